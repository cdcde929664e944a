"""Samples in files, and in whatever gives rows as slices: read in blocks, never as a whole."""

from __future__ import annotations

import mmap
from collections.abc import Generator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastnn._checks import check_integer
from fastnn._kernels.contract import Data, Integers, Samples
from fastnn.data.arrays import all_finite, check_width, refuse
from fastnn.data.feeds import Buffer, Feed, ReadError, ahead, format_of, targets_at
from fastnn.shuffling import WindowOrder, rows_of, window_order

BLOCK_BYTES = 2 << 20  # a few milliseconds of a disk's time, so that seeking does not count
WINDOW_BYTES = 64 << 20
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


class Blocks:
    """Samples that are read in blocks: of a file, or of any object with ``shape`` and row slices.

    ``fit``, ``predict``, ``score`` and ``loss`` read a ``numpy.memmap``, an HDF5 or Zarr array and such objects in this
    way by themselves, where they are larger than a window. An epoch visits the blocks in random order; a window of them
    is in memory at a time, whose rows are shuffled, while a thread reads the next one. What fits into one window is
    read once, and then in memory.

    Parameters
    ----------
    X : memmap, h5py.Dataset, zarr.Array, Table or object, (m, n_in)
        With ``shape`` and slices of rows, ``X[first:last]``, of any type of numbers.
    block_rows : int, optional
        Rows of a block, which are read together; by default 2 MB of them, and whole chunks of HDF5 and Zarr.
    window_rows : int, optional
        Rows that are shuffled together, at least those of a block; by default 64 MB of them. Twice as many are in
        memory.

    Attributes
    ----------
    shape, dtype : tuple of int, dtype
        Those of X.
    block_rows, window_rows : int
        Of the largest block, and of a window.

    Raises
    ------
    TypeError, ValueError
        If X is no such object, or holds no real numbers in rows.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import Blocks
    >>> blocks = Blocks(np.zeros((10, 3)), block_rows=2, window_rows=4)
    >>> blocks.order(np.random.default_rng(0))
    array([8, 5, 9, 4, 0, 1, 7, 6, 3, 2])
    """

    def __init__(self, X: Any, block_rows: int | None = None, window_rows: int | None = None) -> None:
        self._source: Source = source_of(X)
        self.shape, self.dtype = self._source.shape, self._source.dtype
        if block_rows is not None:
            check_integer("block_rows", block_rows, low=1)
        self._edges = self._source.edges(block_rows)
        self.block_rows = int(np.diff(self._edges).max())
        default = max(self.block_rows, rows_in(WINDOW_BYTES, self.shape[1], self.dtype))
        self.window_rows = (
            default if window_rows is None else check_integer("window_rows", window_rows, self.block_rows)
        )

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.shape[0]

    def __repr__(self) -> str:
        """Return what they are of."""
        what = f"{self.shape[0]} x {self.shape[1]} {self.dtype}"
        return f"<{len(self._edges) - 1} blocks of {what}, {self.window_rows} rows in memory>"

    def order(self, rng: np.random.Generator) -> Integers:
        """Return the rows in the order in which an epoch visits them, (m,).

        A training in memory that is given this order, ``fit(X[:], y, shuffle=lambda m: blocks.order(rng))``, leaves the
        same bits, if ``rng`` is where the network's was.
        """
        return self.draw(rng).rows()

    def draw(self, rng: np.random.Generator | None) -> WindowOrder:
        """Return the order of an epoch, window by window."""
        return window_order(self._edges, self.window_rows, rng)

    def read(self, first: int, out: Buffer) -> None:
        """Write rows from ``first`` on into all of ``out``."""
        self._source.read(first, out)

    def spans(self) -> list[tuple[int, int]]:
        """Return the first row of each block, and the one after its last."""
        return list(zip(self._edges[:-1].tolist(), self._edges[1:].tolist(), strict=True))

    def in_memory(self) -> npt.NDArray[Any]:
        """Return all rows."""
        out = np.empty(self.shape, self.dtype)
        for first, last in self.spans():
            self.read(first, out[first:last])
        return out

    def as_samples(self, width: int | None, dtype: np.dtype[Any], check_finite: bool, name: str) -> Feed:
        """Return the samples as a training takes them; see ``arrays.as_samples``."""
        check_width(self.shape, width, name)
        return BlockFeed(self, dtype, check_finite, name)


class BlockFeed(Feed):
    """Blocks, as a network takes them; their targets are in memory."""

    def __init__(self, blocks: Blocks, dtype: np.dtype[Any], check_finite: bool, name: str) -> None:
        self.blocks, self.dtype, self.check_finite, self.name = blocks, dtype, check_finite, name
        self.shape, self.window_rows = blocks.shape, blocks.window_rows
        self.format = format_of(blocks.dtype, dtype)

    def order(self, rng: np.random.Generator | None) -> WindowOrder:
        """Return the order of an epoch."""
        return self.blocks.draw(rng)

    def reader(self, data: Data) -> _BlockReader:
        """Return what reads the windows of an epoch."""
        return _BlockReader(self, data)

    def pieces(self, given: Any) -> Generator[Any, None, None]:
        """Yield parts of `Given`, first to last."""
        for (first, last), X in zip(self.blocks.spans(), self.samples(), strict=True):
            rows = slice(first, last)
            own = None if given.targets is None else given.targets[rows]
            yield given._replace(data=Data(X, *targets_at(given.data, rows)), targets=own)

    def samples(self) -> Generator[Samples, None, None]:
        """Yield the samples, block by block."""
        return ahead(self._samples())

    def _samples(self) -> Generator[Samples, None, None]:
        for first, last in self.blocks.spans():
            out = np.empty((last - first, self.shape[1]), self.format)
            self.read(first, out)
            yield self.as_kernels_read(out)

    def read(self, first: int, out: Buffer) -> None:
        """Write rows from ``first`` on into all of ``out``, and check them."""
        self.blocks.read(first, out)
        if self.check_finite and not all_finite(out, self.dtype):
            refuse(out, self.dtype, self.name, first=first)


class _BlockReader:
    """Reads the windows of an epoch."""

    def __init__(self, feed: BlockFeed, data: Data) -> None:
        self._feed, self._data = feed, data

    def read(self, spans: tuple[tuple[int, int], ...], out: Buffer) -> Data:
        """Write the rows of the spans into ``out``, and return them with their targets."""
        at = 0
        for first, last in spans:
            self._feed.read(first, out[at : at + last - first])
            at += last - first
        return Data(out, *targets_at(self._data, rows_of(spans)))

    def end(self) -> None:
        """There is nothing to check."""

    def close(self) -> None:
        """There is nothing to let go of."""


class _Slices:
    """Reads an object by slices of its rows."""

    def __init__(self, X: Any) -> None:
        self._X = X
        self.shape = (int(X.shape[0]), int(X.shape[1]))
        dtype = getattr(X, "dtype", None)
        self.dtype = np.dtype(np.asarray(X[:1]).dtype if dtype is None else dtype)

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


class _File:
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
    if hasattr(X, "edges") and hasattr(X, "read"):
        source: Source = X
    elif not isinstance(getattr(X, "shape", None), tuple) or len(X.shape) != 2 or not hasattr(X, "__getitem__"):
        raise TypeError(f"X must have a shape (m, n_in) and give rows as slices, X[first:last]; got {type(X).__name__}")
    else:
        source = _mapped(X) or _Slices(X)
    if source.dtype.kind not in "buif":
        raise TypeError(f"X must hold real numbers; got dtype {source.dtype}")
    if 0 in source.shape:
        raise ValueError(f"X is empty: expected at least one row; got shape {source.shape}")
    return source


def _mapped(X: Any) -> _File | None:
    """Return what reads a mapped array from its file, where it is there as a whole."""
    if not is_mapped(X) or X.mode == "c" or not X.flags.c_contiguous or X.filename is None:
        return None
    start = X.ctypes.data - np.frombuffer(X._mmap, np.uint8).ctypes.data
    begin = X.offset - X.offset % mmap.ALLOCATIONGRANULARITY  # of what is mapped
    return _File(X, begin + start) if Path(str(X.filename)).exists() else None


def is_mapped(X: object) -> bool:
    """Return whether X is an array in a file, not what has been computed from one."""
    return isinstance(X, np.memmap) and getattr(X, "_mmap", None) is not None


def in_blocks(X: Any) -> Any:
    """Return what is read in blocks as `Blocks`, or an array where it is not larger than a window; others as given."""
    if isinstance(X, Blocks):
        return X.in_memory() if len(X) <= X.window_rows else X
    if isinstance(X, np.ndarray):
        large = X.nbytes > WINDOW_BYTES and X.ndim == 2 and is_mapped(X)
        return Blocks(X) if large and X.dtype.kind in "buif" else X
    if not (hasattr(X, "edges") and hasattr(X, "read")) and not _has_slices(X):
        return X
    return in_blocks(Blocks(X))


def _has_slices(X: Any) -> bool:
    shape, dtype = getattr(X, "shape", None), getattr(X, "dtype", None)
    rows = isinstance(shape, tuple) and len(shape) == 2 and hasattr(X, "__getitem__")
    return rows and (dtype is None or isinstance(dtype, np.dtype)) and not any(hasattr(X, name) for name in _OTHERS)


def rows_in(size: int, columns: int, dtype: np.dtype[Any]) -> int:
    """Return how many rows have so many bytes, at least one."""
    return max(1, size // (columns * dtype.itemsize))


def even_edges(samples: int, rows: int) -> Integers:
    """Return where blocks of so many rows begin, and the number of samples."""
    return np.append(np.arange(0, samples, rows), samples)
