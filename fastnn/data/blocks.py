"""Samples in files, and in whatever gives rows as slices: read in blocks, never as a whole."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._checks import check_integer
from fastnn._kernels.contract import Data, Integers, Samples
from fastnn.data.arrays import all_finite, refuse
from fastnn.data.feeds import Buffer, Feed, ahead, format_of, targets_at
from fastnn.data.sources import File, Source, has_slices, is_mapped, rows_in, source_of
from fastnn.data.sparse import check_width
from fastnn.shuffling import WindowOrder, rows_of, window_order

WINDOW_BYTES = 64 << 20
WINDOW_ROWS = 1 << 20  # at most, as each has a place in an order: 8 bytes, several times over


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
        Rows that are shuffled together, at least those of a block; by default 64 MB of them, and a
        million at most. Twice as many are in memory.

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
    array([8, 9, 5, 4, 1, 6, 7, 0, 3, 2])
    """

    def __init__(self, X: Any, block_rows: int | None = None, window_rows: int | None = None) -> None:
        self._source: Source = source_of(X)
        self.shape, self.dtype = self._source.shape, self._source.dtype
        if block_rows is not None:
            check_integer("block_rows", block_rows, low=1)
        self._edges = self._source.edges(block_rows)
        self.block_rows = int(np.diff(self._edges).max())
        default = max(self.block_rows, rows_of_window(self.shape, self.dtype))
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

    def announce(self, spans: Iterable[tuple[int, int]]) -> None:
        """Say which rows will be read, from first to last of each span, where that helps."""
        if isinstance(self._source, File):
            self._source.announce(spans)

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
        with closing(self.samples()) as parts:
            for (first, last), X in zip(self.blocks.spans(), parts, strict=True):
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
        self._feed.blocks.announce(spans)
        for first, last in spans:
            self._feed.read(first, out[at : at + last - first])
            at += last - first
        return Data(out, *targets_at(self._data, rows_of(spans)))

    def end(self) -> None:
        """There is nothing to check."""

    def close(self) -> None:
        """There is nothing to let go of."""


def in_blocks(X: Any) -> Any:
    """Return what is read in blocks as `Blocks`, or an array where it is not larger than a window; others as given."""
    if type(X) is np.ndarray:
        return X
    if isinstance(X, Blocks):
        return X.in_memory() if len(X) <= X.window_rows else X
    if isinstance(X, np.ndarray):
        large = X.nbytes > WINDOW_BYTES and X.ndim == 2 and is_mapped(X)
        return Blocks(X) if large and X.dtype.kind in "buif" else X
    return in_blocks(Blocks(X)) if has_slices(X) else X


def rows_of_window(shape: tuple[int, int], dtype: np.dtype[Any]) -> int:
    """Return how many rows of so many samples a window has by default: all, if these are no larger."""
    rows = rows_in(WINDOW_BYTES, shape[1], dtype)
    return rows if shape[0] <= rows else min(rows, WINDOW_ROWS)
