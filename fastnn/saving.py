"""Save and load networks as safetensors files: arrays and text, no code that a reader would run.

The tensors are ``parameters``, ``optimizer_state`` and, where they were given as arrays, the initial parameters
``init``; the metadata's one entry ``fastnn`` is JSON with the architecture, the optimizer and the random generator, so
that training continues as if it had never stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fastnn._kernels import reference
from fastnn.activations import ACTIVATIONS, leaky_relu
from fastnn.network import Network
from fastnn.optimizers import OPTIMIZERS

FORMAT = 1
_BIT_GENERATORS = (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64)


def save(network: Network, path: str | os.PathLike[str], metadata: dict[str, str] | None = None) -> None:
    """Write a network to a file, whole or not at all: a temporary file, flushed to the disk, takes the name last.

    Parameters
    ----------
    network : Network
        Its parameters, architecture, optimizer with state, and random generator are kept.
    path : path
        Replaced if it exists.
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
    from safetensors.numpy import save as to_bytes

    _check_known("optimizer", network.optimizer, [type(None), *OPTIMIZERS.values()])
    _check_known("rng.bit_generator", network.rng.bit_generator, _BIT_GENERATORS)
    tensors = {"parameters": network.parameters, "optimizer_state": network._state}
    if not isinstance(network._init, str):
        tensors["init"] = np.concatenate([array.ravel() for layer in network._init for array in layer])
    about = json.dumps(_describe(network), default=_as_list)
    content = to_bytes(tensors, metadata={**(metadata or {}), "fastnn": about, "sha256": _digest(about, tensors)})
    _write_atomically(Path(path), content)


def load(path: str | os.PathLike[str]) -> Network:
    """Read a network from a file that ``Network.save`` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, truncated or of another origin.
    ImportError
        If safetensors is not installed.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"path: no file {os.fspath(path)!r}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        if "fastnn" not in metadata:
            raise ValueError("its metadata have no entry 'fastnn'")
        if metadata.get("sha256") != _digest(metadata["fastnn"], tensors):
            raise ValueError("its contents do not match their checksum")
        return _rebuild(json.loads(metadata["fastnn"]), tensors)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{os.fspath(path)!r} is not a whole fastnn network: {error}") from error


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the texts that were saved beside a network."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        texts: dict[str, str] = dict(file.metadata() or {})
    return {key: text for key, text in texts.items() if key not in ("fastnn", "sha256")}


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


def _as_list(array: np.ndarray[Any, Any]) -> list[Any]:
    """Return an array in the state of a random generator as JSON takes it."""
    return list(array.tolist())


def _describe(network: Network) -> dict[str, Any]:
    optimizer = network.optimizer
    return {
        "format": FORMAT,
        "sizes": network.sizes,
        "activations": [{"name": a.name, "slope": a.slope} for a in network.activations],
        "loss": network.loss_name,
        "dtype": network.dtype.name,
        "init": network._init if isinstance(network._init, str) else None,
        "trained_on_labels": network._trained_on_labels,
        "optimizer": None if optimizer is None else {"name": optimizer.name, **asdict(optimizer)},
        "step": int(network._step[0]),
        "rng": network.rng.bit_generator.state,
    }


def _rebuild(about: dict[str, Any], tensors: dict[str, np.ndarray[Any, Any]]) -> Network:
    if about["format"] != FORMAT:
        raise ValueError(f"its format is {about['format']}; this version reads {FORMAT}")
    activations = [
        leaky_relu(a["slope"]) if a["name"] == "leaky_relu" else ACTIVATIONS[a["name"]] for a in about["activations"]
    ]
    network = Network(about["sizes"], activations, about["loss"], about["dtype"], _generator(about["rng"]), "zeros")
    if about["optimizer"] is not None:
        options = dict(about["optimizer"])
        network._take_up(OPTIMIZERS[options.pop("name")](**options))
    arrays = {"parameters": network.parameters, "optimizer_state": network._state}
    if about["init"] is None:
        arrays["init"] = np.empty_like(network.parameters)
        network._init = list(reference.layers(network._model, arrays["init"]))
    else:
        network._init = about["init"]
    for name, array in arrays.items():
        found = tensors[name]
        if (found.shape, found.dtype) != (array.shape, array.dtype):
            raise ValueError(f"{name} must be {array.shape} {array.dtype}; found {found.shape} {found.dtype}")
        array[:] = found
    network._step[0] = about["step"]
    network._trained_on_labels = bool(about["trained_on_labels"])
    return network


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


def _write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        with temporary.open("xb") as file:  # with the mode of any new file, which mkstemp would not give
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
