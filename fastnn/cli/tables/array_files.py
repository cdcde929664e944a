"""Files of arrays: NPZ with X and y, NPY, IDX, and svmlight's sparse rows."""

from __future__ import annotations

import gzip
import math
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from fastnn.cli.tables.sources import ArraySource, Values, told_of
from fastnn.datasets import read_idx
from fastnn.datasets.archives import MAX_DEFLATION
from fastnn.datasets.idx import MAX_DIMENSIONS, VALUE_TYPES


def read(path: str, kind: str, inputs: int | None, first: int | None) -> ArraySource:
    """Return the samples of a file of a kind, and the targets where it has them."""
    begin = None
    how = kind.upper() if kind != "svmlight" else kind
    if kind == "npz":
        X, y, others = _read_npz(path)
        how += f"; its arrays {', '.join(others)} are not read" if others else ""
    elif kind == "svmlight":
        X, y, begin = _read_svmlight(path, inputs, first)
    else:
        X, y = read_array(path), None
    if kind == "idx" and X.ndim > 2:
        X = X.reshape(len(X), -1)
    return ArraySource(path, X, y, how, begin)


def read_array(path: str) -> Values:
    """Return the array of an NPY or an IDX file, of any shape."""
    if is_idx(path):
        return read_idx(path)
    with told_of(path), Path(path).open("rb") as file:
        _check_npy(file, path, Path(path).stat().st_size)
        file.seek(0)
        array: Values = np.load(file, allow_pickle=False)
        return array


def is_idx(path: str) -> bool:
    """Return whether a file, gzipped or not, begins as IDX does."""
    try:
        with gzip.open(path) as file:
            head = file.read(4)
    except (OSError, EOFError):
        with Path(path).open("rb") as plain:
            head = plain.read(4)
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in VALUE_TYPES and 1 <= head[3] <= MAX_DIMENSIONS


def _read_npz(path: str) -> tuple[Values, Values | None, list[str]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.file_size > member.compress_size * MAX_DEFLATION + 1024:
                raise ValueError(f"{path}: the size of {member.filename} is wrong")
            if member.filename.endswith(".npy"):
                with archive.open(member) as file:
                    _check_npy(file, path, member.file_size)
    with np.load(path, allow_pickle=False) as content:
        if "X" not in content.files:
            raise ValueError(f"{path} must hold an array X; it holds {', '.join(content.files) or 'nothing'}")
        others = [name for name in content.files if name not in ("X", "y")]
        return content["X"], content["y"] if "y" in content.files else None, others


def _check_npy(file: IO[bytes], path: str, size: int) -> None:
    """Refuse an array of which the file does not have all: NumPy would take its memory first."""
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files that Python 2 wrote
        shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError(f"{path} is no NumPy file of plain numbers or text: it holds Python objects")
    expected = math.prod(map(int, shape)) * dtype.itemsize
    if expected > size - file.tell():
        raise ValueError(f"{path} is truncated: its header {tuple(shape)} {dtype} asks for {expected:,} bytes")


def _read_svmlight(path: str, inputs: int | None, first: int | None) -> tuple[Any, npt.NDArray[np.float64], int]:
    """Return the samples, the targets, and the index of the first column: 0 or 1, which the file alone may not say."""
    from fastnn.datasets.extras import require

    library = require("sklearn.datasets", "scikit-learn", "sklearn", "svmlight's format")
    X, y = library.load_svmlight_file(path, zero_based=True)
    lowest = int(X.indices.min()) if X.nnz else 1
    first = min(lowest, 1) if first is None else first
    if lowest < first:
        raise ValueError(f"{path} has the index 0, but the rows that the model was trained on begin with 1")
    X.indices -= first
    X.resize(len(y), max(X.shape[1] - first, inputs or 0))
    return X, y, first
