"""An architecture and its state as a safetensors file, and back: arrays and text, no code that a reader would run.

The tensors are ``parameters``, ``optimizer_state``, where there are any ``average`` and ``input_scale``, and, where
they were given as arrays, the initial parameters ``init``; those of a training's history begin with ``training.``. The
metadata's one entry ``fastnn`` is JSON with the architecture, the optimizer and the random generator, so that training
continues as if it had never stopped. A schedule is kept as data. Of a learning rate that is a callable the largest one
so far is kept, as a number: to resume such a training, give ``fit`` the callable again.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fastnn import schedules
from fastnn.architecture import Architecture
from fastnn.data import Classes, Scaler, Standardizer
from fastnn.optimizers import LBFGS, OPTIMIZERS, AnyOptimizer
from fastnn.progress import Progress
from fastnn.state import State

FORMAT = 1
_BIT_GENERATORS = (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64)


def save(
    path: str | os.PathLike[str], architecture: Architecture, state: State, metadata: dict[str, str] | None = None
) -> None:
    """Write a network to a file, whole or not at all: a temporary file, flushed to the disk, takes the name last.

    A link is followed, and a device or a pipe is written to, not replaced.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    architecture, state : Architecture, State
        All that makes the network, its optimizer and random generator included.
    metadata : dict of str, optional
        Texts to keep beside the network; ``read_metadata`` returns them.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be written; a file that was there is untouched.
    TypeError
        If the optimizer or the random generator is of a class of your own, which ``load`` does not know.
    """
    content = to_bytes(architecture, state, metadata)
    write_atomically(path, content)


def load(path: str | os.PathLike[str]) -> tuple[Architecture, State]:
    """Read what ``save`` wrote; ``fastnn.load`` says what is raised."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"path: no file {os.fspath(path)!r}")
    try:
        return from_bytes(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r} is not a whole fastnn network: {error}") from error


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the texts that were saved beside a network."""
    with Path(path).open("rb") as file:
        return {key: text for key, text in _texts(file).items() if key not in ("fastnn", "sha256")}


def to_bytes(architecture: Architecture, state: State, metadata: dict[str, str] | None = None) -> bytes:
    """Return a network as the contents of a file."""
    from safetensors.numpy import save as serialize

    _check_known("optimizer", state.optimizer, [type(None), *OPTIMIZERS.values()])
    _check_known("rng.bit_generator", state.rng.bit_generator, _BIT_GENERATORS)
    tensors = {"parameters": state.parameters, "optimizer_state": state.optimizer_state}
    if state.average is not None:
        tensors["average"] = state.average
    if state.input_scale is not None:
        tensors["input_scale"] = state.input_scale
    if not isinstance(state.init, str):
        tensors["init"] = np.concatenate([array.ravel() for layer in state.init for array in layer])
    description = _describe(architecture, state)
    if state.progress is not None:
        description["training"], arrays = state.progress.describe(state.parameters)
        tensors |= arrays
    about = json.dumps(description, default=_as_list)
    texts = {**(metadata or {}), "fastnn": about, "sha256": _digest(about, tensors)}
    content: bytes = serialize(tensors, metadata=texts)
    return content


def from_bytes(content: bytes) -> tuple[Architecture, State]:
    """Return the network that a file holds.

    Raises
    ------
    ValueError
        If the contents are damaged, truncated or of another origin.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as deserialize

    try:
        tensors = deserialize(content)
        texts = _texts(io.BytesIO(content))
        if "fastnn" not in texts:
            raise ValueError("its metadata have no entry 'fastnn'")
        if texts.get("sha256") != _digest(texts["fastnn"], tensors):
            raise ValueError("its contents do not match their checksum")
        return _rebuild(json.loads(texts["fastnn"]), tensors)
    except (SafetensorError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from error


def from_flat_pickle(content: dict[str, Any]) -> tuple[Architecture, State]:
    """Return what a pickle of a network holds that was made before its architecture and state were apart."""
    about = {
        "sizes": content["sizes"],
        "activations": [{"name": a.name, "slope": a.slope} for a in content["activations"]],
        "loss": content["_loss"].name,
        "dtype": content["dtype"],
    }
    state = State(
        parameters=content["_parameters"],
        rng=content["rng"],
        init=content["_init"],
        trained_on_labels=content["_trained_on_labels"],
        optimizer=content["optimizer"],
        optimizer_state=content["_state"],
        step=content["_step"],
    )
    return Architecture.from_description(about), state


def _texts(file: BinaryIO) -> dict[str, str]:
    """Return the metadata of a safetensors file; they are in its header, which comes after its length."""
    length = int.from_bytes(file.read(8), "little")
    end = file.seek(0, os.SEEK_END)
    if length > end - 8:
        raise ValueError(f"its header is to have {length} bytes; the file has {end}")
    file.seek(8)
    header = json.loads(file.read(length))
    texts: dict[str, str] = (header.get("__metadata__") or {}) if isinstance(header, dict) else {}
    return texts


def _digest(about: str, tensors: dict[str, np.ndarray[Any, Any]]) -> str:
    """Return the SHA-256 of the description and the arrays, so that damage anywhere is found."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def _check_known(name: str, value: object, known: Iterable[type]) -> None:
    if type(value) not in known:
        raise TypeError(
            f"a network whose {name} is a {type(value).__qualname__} cannot be saved: load does not know it"
        )


def _as_list(array: np.ndarray[Any, Any]) -> Any:
    """Return an array, such as that in the state of a random generator, as JSON takes it; of one number the number."""
    return array.tolist()


def _describe(architecture: Architecture, state: State) -> dict[str, Any]:
    optimizer = state.optimizer
    scale, scaler = state.target_scale, state.scaler
    schedule = getattr(optimizer, "learning_rate", None)
    return {
        "format": FORMAT,
        **architecture.describe(),
        "init": state.init if isinstance(state.init, str) else None,
        "trained_on_labels": state.trained_on_labels,
        **({} if state.classes is None else {"classes": state.classes.labels.tolist()}),
        "optimizer": None if optimizer is None else _describe_optimizer(optimizer, state.progress),
        **({"schedule": schedule.describe()} if isinstance(schedule, schedules.Schedule) else {}),
        **({} if scale is None else {"target_scale": {"mean": scale.mean, "deviation": scale.deviation}}),
        **({} if scaler is None else {"scaler": {"mean": scaler.mean, "deviation": scaler.deviation}}),
        "step": int(state.step[0]),
        **({"seed": state.seed} if state.seed else {}),
        **({} if state.average is None else {"averaged": state.averaged}),
        "rng": state.rng.bit_generator.state,
    }


def _describe_optimizer(optimizer: AnyOptimizer, progress: Progress | None) -> dict[str, Any]:
    """Return its name and its hyperparameters, which are numbers: those who do not know schedules can read them."""
    if isinstance(optimizer, LBFGS):
        return {"name": optimizer.name, **asdict(optimizer)}
    of_callable = progress.largest_rate if progress and progress.largest_rate else 1e-3
    numbers = replace(optimizer, learning_rate=optimizer.base_rate(of_callable))
    chosen = {key: value for key, value in asdict(numbers).items() if value is not None}
    if not chosen.get("epsilon_hat", True):  # earlier versions know no such option
        del chosen["epsilon_hat"]
    return {"name": optimizer.name, **chosen}


def _rebuild(about: dict[str, Any], tensors: dict[str, np.ndarray[Any, Any]]) -> tuple[Architecture, State]:
    if about["format"] != FORMAT:
        raise ValueError(f"its format is {about['format']}; this version reads {FORMAT}")
    architecture = Architecture.from_description(about)
    found = tensors["parameters"].shape
    if found != (architecture.n_parameters,):  # before memory is taken for them
        raise ValueError(f"parameters must be ({architecture.n_parameters},); found {found}")
    state = State.of(architecture, None, "zeros")
    state.rng = _generator(about["rng"])  # now: dropout has drawn a seed
    if about["optimizer"] is not None:
        options = dict(about["optimizer"])
        if "schedule" in about:
            options["learning_rate"] = schedules.from_description(about["schedule"])
        scaled_inputs = architecture.sizes[0] if "input_scale" in tensors else 0
        state.take_up(OPTIMIZERS[options.pop("name")](**options), scaled_inputs)
    arrays = {"parameters": state.parameters, "optimizer_state": state.optimizer_state}
    if "averaged" in about:
        state.average, state.averaged = np.empty_like(state.parameters), bool(about["averaged"])
        arrays["average"] = state.average
    if state.input_scale is not None:
        arrays["input_scale"] = state.input_scale
    if about["init"] is None:
        arrays["init"] = np.empty_like(state.parameters)
        state.init = architecture.layers(arrays["init"])
    else:
        state.init = about["init"]
    for name, array in arrays.items():
        found = tensors[name]
        if (found.shape, found.dtype) != (array.shape, array.dtype):
            raise ValueError(f"{name} must be {array.shape} {array.dtype}; found {found.shape} {found.dtype}")
        array[:] = found
    state.step[0], state.seed = about["step"], about.get("seed", 0)
    state.trained_on_labels = bool(about["trained_on_labels"])
    if "target_scale" in about:
        state.target_scale = Standardizer(*(np.array(about["target_scale"][name]) for name in ("mean", "deviation")))
    if "scaler" in about:
        state.scaler = Scaler(about["scaler"]["mean"], about["scaler"]["deviation"])
    if "classes" in about:
        state.classes = Classes.of_list(about["classes"])
    if "training" in about:
        state.progress = Progress.from_description(about["training"], tensors, state.parameters)
    return architecture, state


def _generator(state: dict[str, Any]) -> np.random.Generator:
    kinds: dict[str, Any] = {kind.__name__: kind for kind in _BIT_GENERATORS}
    bit_generator = kinds[state["bit_generator"]]()
    arrays = {
        key: np.array(value, dtype=bit_generator.state["state"][key].dtype)
        for key, value in state["state"].items()
        if isinstance(value, list)
    }
    buffer = {"buffer": np.array(state["buffer"], dtype=np.uint64)} if "buffer" in state else {}
    bit_generator.state = state | buffer | {"state": state["state"] | arrays}
    return np.random.Generator(bit_generator)


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all.

    A link is followed: what it names is replaced. What is no regular file, such as /dev/stdout or a pipe, is written
    to.

    Raises
    ------
    OSError
        If it cannot be written; it names ``path``.
    """
    with _told_of(path):
        if _is_stream(path):
            with Path(path).open("wb") as stream:
                stream.write(content)
            return
        target = Path(os.path.realpath(path))
        with _temporary(target) as (temporary, file):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            file.close()  # Windows moves no open file
            temporary.replace(target)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out whether ``write_atomically`` could write a file, and leave everything as it is.

    Raises
    ------
    OSError
        If it could not.
    """
    with _told_of(path):
        if not _is_stream(path):
            with _temporary(Path(os.path.realpath(path))):
                return
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _is_stream(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a device, a pipe or a descriptor, and no file that can be replaced."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return not stat.S_ISREG(mode) or os.path.abspath(path).startswith(("/dev/", "/proc/"))  # noqa: PTH100


@contextmanager
def _temporary(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file beside the target, with the mode of any new file, which mkstemp would not give."""
    temporary = target.with_name(f".{target.name[:100]}.{os.urandom(8).hex()}")
    try:
        with temporary.open("xb") as file:
            yield temporary, file
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _told_of(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let errors name the path that was given."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
