"""CIFAR-10, from its binary or its Python version."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from fastnn.datasets import homes
from fastnn.datasets.archives import tar_members
from fastnn.datasets.cifar10_pickle import unpickle_batch
from fastnn.datasets.fetching import obtain
from fastnn.datasets.images import Split, as_inputs, input_dtype

PIXELS = 3 * 32 * 32
CLASSES = 10
BATCH_SIZE = 10_000  # the binary version has no headers: only the number tells that a file is whole
MAX_FILE = 1 << 26  # bytes; a batch has 31 MB
TRAIN = [f"data_batch_{i}" for i in range(1, 6)]
BATCHES = [*TRAIN, "test_batch"]
BINARY = ".bin"

FOLDERS = {BINARY: "cifar-10-batches-bin", "": "cifar-10-batches-py"}
ARCHIVES = {BINARY: "cifar-10-binary.tar.gz", "": "cifar-10-python.tar.gz"}


def load_cifar10(
    data_dir: str | PathLike[str] | None = None, dtype: DTypeLike = "float32", *, download: bool = False
) -> tuple[Split, Split]:
    """Load CIFAR-10: colour pictures of ten classes, 32x32 pixels.

    Parameters
    ----------
    data_dir : path-like, optional
        Folder with data_batch_1.bin to data_batch_5.bin and test_batch.bin (the binary version), or the same names
        without .bin (the Python version), or with the folder or archive that these are published in; by default as
        in `load_mnist`, ``cifar-10``.
    dtype : {"float32", "float64", "uint8"}
        Type of the pixels; "uint8" gives the bytes as they are stored, 0 to 255.
    download : bool
        Whether the binary version is downloaded (162 MB) if there are no files, with pooch (the extra ``data``).

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        X (50000, 3072) and (10000, 3072): the red, then the green, then the blue pixels, row by row
        (``X.reshape(-1, 3, 32, 32)``). y: 0 airplane, 1 automobile, 2 bird, 3 cat, 4 deer, 5 dog, 6 frog, 7 horse,
        8 ship, 9 truck.

    Raises
    ------
    FileNotFoundError
        A file is missing. A part of the set is read by `read_cifar10_batch`.
    ValueError
        A file is damaged, or not whole.
    ConnectionError
        The download failed.

    Notes
    -----
    The Python version's pickles are read without running code: anything but the arrays, lists and strings of
    these files is refused.

    References
    ----------
    A. Krizhevsky: Learning multiple layers of features from tiny images. University of Toronto (2009),
    https://www.cs.toronto.edu/~kriz/cifar.html

    Examples
    --------
    >>> from fastnn.datasets import load_cifar10
    >>> (X, y), (X_test, y_test) = load_cifar10(dtype="uint8", download=True)  # doctest: +SKIP
    """
    dtype = input_dtype(dtype)
    found = obtain(homes.CIFAR10, data_dir, download, _find)
    *train, (test_images, test_labels) = _whole_batches(found)
    train_images = np.concatenate([images for images, _ in train])
    train_labels = np.concatenate([labels for _, labels in train])
    return (as_inputs(train_images, dtype), train_labels), (as_inputs(test_images, dtype), test_labels)


def read_cifar10_batch(path: str | PathLike[str], dtype: DTypeLike = "float32") -> Split:
    """Read one file of CIFAR-10, of any number of images.

    Parameters
    ----------
    path : path-like
        A .bin file of the binary version, or a file of the Python version.
    dtype : {"float32", "float64", "uint8"}
        Type of the pixels, as in `load_cifar10`.

    Returns
    -------
    X : ndarray, (m, 3072)
        The pixels, as from `load_cifar10`.
    y : ndarray, (m,)
        The classes, int64.

    Examples
    --------
    >>> from pathlib import Path
    >>> from fastnn.datasets import read_cifar10_batch
    >>> written = Path("one.bin").write_bytes(bytes([6]) + bytes(3072))
    >>> X, y = read_cifar10_batch("one.bin", dtype="uint8")
    >>> X.shape, y.tolist()
    ((1, 3072), [6])
    """
    dtype = input_dtype(dtype)
    path = Path(path).expanduser()
    images, labels = _parse(_content(path), str(path))
    return as_inputs(images, dtype), labels


def _find(folder: Path) -> Path | list[Path]:
    """Return the six files' paths, or the archive's."""
    for suffix in FOLDERS:
        for place in (folder, folder / FOLDERS[suffix]):
            files = [place / (batch + suffix) for batch in BATCHES]
            if all(file.is_file() for file in files):
                return files
        archive = folder / ARCHIVES[suffix]
        if archive.is_file():
            return archive
    there = sorted(file.name for batch in BATCHES for file in folder.glob(f"{batch}*"))
    raise FileNotFoundError(
        f"{folder} lacks files of CIFAR-10: wanted {BATCHES[0]}.bin to {BATCHES[-2]}.bin and {BATCHES[-1]}.bin, or all "
        f"without .bin, or {' or '.join(ARCHIVES.values())}; found {', '.join(there) or 'none of them'} "
        "(read_cifar10_batch reads single files)"
    )


def _whole_batches(found: Path | list[Path]) -> list[Split]:
    """Read the six batches in the order of `BATCHES`."""
    contents = _archived(found) if isinstance(found, Path) else ((str(path), _content(path)) for path in found)
    batches = []
    for name, content in contents:
        images, labels = _parse(content, name)
        if len(images) != BATCH_SIZE:
            raise ValueError(
                f"{name} has {len(images)} images, not {BATCH_SIZE}: read_cifar10_batch reads such parts of the set"
            )
        batches.append((images, labels))
    return batches


def _archived(archive: Path) -> Iterable[tuple[str, bytes]]:
    """The batches' names for messages, and contents, in the order of `BATCHES`."""
    found = {}
    for name, content in tar_members(archive, _is_batch, limit=MAX_FILE, total=len(BATCHES) * MAX_FILE):
        found[_batch_of(name)] = f"{archive} ({name})", content
    if missing := [batch for batch in BATCHES if batch not in found]:
        raise ValueError(f"{archive} is not CIFAR-10's archive: it lacks {', '.join(missing)}")
    return [found[batch] for batch in BATCHES]


def _batch_of(member: str) -> str:
    return member.rpartition("/")[2].removesuffix(BINARY)


def _is_batch(member: str) -> bool:
    return _batch_of(member) in BATCHES


def _content(path: Path) -> bytes:
    if (size := path.stat().st_size) > MAX_FILE:
        raise ValueError(f"{path} is not a batch of CIFAR-10: it has {size} bytes")
    return path.read_bytes()


def _parse(content: bytes, name: str) -> Split:
    """Images (m, 3072) as bytes, and labels."""
    # A record of the binary version begins with a label of 0 to 9, a pickle of these files with the byte 0x80.
    images, labels = (unpickle_batch if content[:1] == b"\x80" else _parse_binary)(content, name)
    if images.shape[1:] != (PIXELS,) or labels.shape != (len(images),):
        raise ValueError(f"{name} is damaged: its pixels have the shape {images.shape}, its labels {labels.shape}")
    if not len(labels) or labels.min() < 0 or labels.max() >= CLASSES:
        raise ValueError(f"{name} is not a batch of CIFAR-10: its labels are not all from 0 to {CLASSES - 1}")
    return images, labels


def _parse_binary(content: bytes, name: str) -> Split:
    record = 1 + PIXELS
    if not content or len(content) % record:
        raise ValueError(
            f"{name} is truncated or not a batch of CIFAR-10: it has {len(content)} bytes, no multiple of {record}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return records[:, 1:].copy(), records[:, 0].astype(np.int64)
