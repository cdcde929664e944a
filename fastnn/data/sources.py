"""Where blocks of samples come from: files that are mapped, and whatever gives rows as slices."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fastnn._kernels.contract import Integers, SparseRows
from fastnn.data.feeds import Buffer, ReadError

BLOCK_BYTES = 2 << 20  # a few milliseconds of a disk's time, so that seeking does not count
# What has one of these is in memory, or is not read by row slices.
_OTHERS = ("as_rows", "as_samples", "toarray", "to_numpy", "__dlpack__", "__array_interface__")


class Source(Protocol):
    """What can be read in blocks of rows."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def edges(self, block_rows: int | None) -> Integers:
        """Return where blocks begin, and the number of rows."""

    def read(self, first: int, out: Buffer) -> None:
        """Write rows from ``first`` on into all of ``out``, (rows, columns), in its dtype; or raise ReadError."""


class Slices:
    """Reads an object by slices of its rows."""

    def __init__(self, X: Any) -> None:
        self._X = X
        self.shape = (int(X.shape[0]), int(X.shape[1]))
        dtype = getattr(X, "dtype", None)
        self.dtype: np.dtype[Any] = dtype if isinstance(dtype, np.dtype) else np.asarray(X[:1]).dtype

    def edges(self, block_rows: int | None) -> Integers:
        """Return where blocks begin: of chunked arrays, at chunks."""
        stored = getattr(self._X, "shards", None) or getattr(self._X, "chunks", None)
        chunk = stored[0] if stored and isinstance(stored[0], int) else 1
        rows = block_rows or max(1, rows_in(BLOCK_BYTES, self.shape[1], self.dtype) // chunk) * chunk
        return even_edges(self.shape[0], rows)

    def read(self, first: int, out: Buffer) -> None:
        """Write rows from ``first`` on into all of ``out``."""
        part = np.asarray(self._X[first : first + len(out)])
        if part.shape != out.shape or part.dtype != self.dtype:
            found = f"got {part.dtype} in shape {part.shape}"
            raise ReadError(f"rows from {first} on must be {self.dtype} in shape {out.shape}; {found}")
        with np.errstate(over="ignore", invalid="ignore"):
            out[...] = part


class File:
    """Reads the rows of a ``numpy.memmap`` from its file: pages that are mapped count as memory, and a file that has
    become shorter ends the process.
    """

    def __init__(self, X: np.memmap[Any, Any], start: int) -> None:
        self._path, self._start = Path(str(X.filename)), start
        self.shape = (X.shape[0], X.shape[1])
        self.dtype = X.dtype

    def edges(self, block_rows: int | None) -> Integers:
        """Return where blocks begin."""
        return even_edges(self.shape[0], block_rows or rows_in(BLOCK_BYTES, self.shape[1], self.dtype))

    def announce(self, spans: Iterable[tuple[int, int]]) -> None:
        """Have the system read rows ahead: scattered blocks then come at 400 MB/s, not 240; a whole file at 420."""
        if hasattr(os, "posix_fadvise"):
            size = self.shape[1] * self.dtype.itemsize
            with self._path.open("rb", buffering=0) as file:
                for first, last in spans:
                    place = self._start + first * size, (last - first) * size
                    os.posix_fadvise(file.fileno(), *place, os.POSIX_FADV_WILLNEED)

    def read(self, first: int, out: Buffer) -> None:
        """Write rows from ``first`` on into all of ``out``."""
        part = out if out.dtype == self.dtype else np.empty(out.shape, self.dtype)
        left = part.reshape(-1).view(np.uint8).data
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._start + first * part.strides[0])
            while len(left):
                count = file.readinto(left)
                if not count:
                    row = first + (part.nbytes - len(left)) // part.strides[0]
                    raise ReadError(f"{self._path} must hold {self.shape[0]} rows; it ends in row {row}")
                left = left[count:]
        if part is not out:
            with np.errstate(over="ignore", invalid="ignore"):
                out[...] = part


def source_of(X: Any) -> Source:
    """Return what reads X in blocks."""
    if is_source(X):
        source: Source = X
    elif not isinstance(getattr(X, "shape", None), tuple) or len(X.shape) != 2 or not hasattr(X, "__getitem__"):
        raise TypeError(f"X must have a shape (m, n_in) and give rows as slices, X[first:last]; got {type(X).__name__}")
    else:
        source = _mapped(X) or Slices(X)
    if source.dtype.kind not in "buif":
        raise TypeError(f"X must hold real numbers; got dtype {source.dtype}")
    if 0 in source.shape:
        raise ValueError(f"X is empty: expected at least one row; got shape {source.shape}")
    return source


def _mapped(X: Any) -> File | None:
    """Return what reads a mapped array from its file, where it is there as a whole."""
    if not is_mapped(X) or not X.flags.c_contiguous or X.filename is None:
        return None
    if X.mode == "c" or (X.mode != "r" and os.name == "nt"):  # what has been written may not be in the file
        return None
    start = X.ctypes.data - np.frombuffer(X._mmap, np.uint8).ctypes.data
    begin = X.offset - X.offset % mmap.ALLOCATIONGRANULARITY  # of what is mapped
    return File(X, begin + start) if Path(str(X.filename)).exists() else None


def is_source(X: Any) -> bool:
    """Return whether X is a `Source` itself."""
    return hasattr(X, "edges") and hasattr(X, "read")


def is_mapped(X: object) -> bool:
    """Return whether X is an array in a file, not what has been computed from one."""
    return isinstance(X, np.memmap) and getattr(X, "_mmap", None) is not None


def has_slices(X: Any) -> bool:
    """Return whether X is read in blocks by itself."""
    if is_source(X):
        return True
    if isinstance(X, SparseRows):
        return False
    shape, dtype = getattr(X, "shape", None), getattr(X, "dtype", None)
    rows = isinstance(shape, tuple) and len(shape) == 2 and hasattr(X, "__getitem__")
    return rows and (dtype is None or isinstance(dtype, np.dtype)) and not any(hasattr(X, name) for name in _OTHERS)


def rows_in(size: int, columns: int, dtype: np.dtype[Any]) -> int:
    """Return how many rows have so many bytes, at least one."""
    return max(1, size // (columns * dtype.itemsize))


def even_edges(samples: int, rows: int) -> Integers:
    """Return where blocks of so many rows begin, and the number of samples."""
    return np.append(np.arange(0, samples, rows), samples)
