"""The random order of an epoch's samples.

Few samples are shuffled by NumPy. That visits memory at random: 8 ns a sample while the order fits in a cache, 15 at
1,000,000 samples, 30 at 10,000,000, where a network of 20-16-1 trains on a sample in 26. Therefore many samples are
laid out in a grid, row by row. A round turns each column by a random number of cells, and then each row; the i-th
sample to be visited is the number of the cell that sample i has come to. That takes 4 to 7 ns a sample at any size,
from two small tables.

It is a Feistel network on a grid whose round functions are random tables (Luby and Rackoff, "How to construct
pseudorandom permutations from pseudorandom functions", SIAM J. Comput. 17, 1988; for any number of cells: Black and
Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). Two rounds of two turns fail the tests in
``tests/test_shuffling.py``, three pass them, four are used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fastnn import _kernels
from fastnn._kernels.contract import Integers

GRID_SAMPLES = 16_384  # which take 5 ns each, with the tables, and 8 with NumPy's shuffle
ROUNDS = 4


@dataclass(frozen=True)
class GridOrder:
    """A random order whose pieces are computed when they are asked for: ``order[start:stop]``.

    Attributes
    ----------
    samples : int
        How many there are.
    down, across : ndarray of shape (rounds, columns) and (rounds, rows)
        By how many cells each round turns each column, and then each row.
    """

    samples: int
    down: npt.NDArray[np.uint32]
    across: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.samples

    def __getitem__(self, piece: slice) -> Integers:
        """Return the numbers of the samples that come in these places."""
        start, stop, _ = piece.indices(self.samples)
        order = np.empty(stop - start, dtype=np.int64)
        _kernels.kernels().shuffle_grid(self.down, self.across, self.samples, start, order)
        return order


Order: TypeAlias = Integers | GridOrder


@dataclass(frozen=True, eq=False)
class WindowOrder:
    """The order of samples that are read in blocks: one window of blocks after the other, in each a random order.

    Attributes
    ----------
    windows : tuple of tuple of (int, int)
        The first row of each block of a window, and the one after its last.
    seed : int or None
        Of the orders within windows; None for first to last.
    only : Order or None
        That of the only window, which is a usual order of all samples.
    """

    windows: tuple[tuple[tuple[int, int], ...], ...]
    seed: int | None = None
    only: Order | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return sum(map(self.count, range(len(self.windows))))

    def count(self, window: int) -> int:
        """Return the number of samples in a window."""
        return sum(last - first for first, last in self.windows[window])

    def places(self, window: int) -> Integers:
        """Return the order of a window's samples, by their places in it."""
        if self.only is not None:
            return self.only[:]
        if self.seed is None:
            return np.arange(self.count(window))
        return random_order(np.random.default_rng([self.seed, window]), self.count(window))[:]

    def rows(self) -> Integers:
        """Return the numbers of all samples in this order."""
        return np.concatenate([rows_of(spans)[self.places(window)] for window, spans in enumerate(self.windows)])


def random_order(rng: np.random.Generator, samples: int) -> Order:
    """Return the samples' numbers in random order, another one at each call."""
    if samples < GRID_SAMPLES:
        return rng.permutation(samples)
    columns = isqrt(samples - 1) + 1
    rows = -(-samples // columns)
    down = rng.integers(rows, size=(ROUNDS, columns), dtype=np.uint32)
    across = rng.integers(columns, size=(ROUNDS, rows), dtype=np.uint32)
    return GridOrder(samples, down, across)


def window_order(
    edges: Integers, window_rows: int, rng: np.random.Generator | None, in_turn: bool = False
) -> WindowOrder:
    """Return an order of samples that are read in blocks, another one at each call.

    Parameters
    ----------
    edges : ndarray, (blocks + 1,)
        Where blocks begin, and the number of samples.
    window_rows : int
        Samples of a window, which takes as many blocks as fit, at least one.
    rng : Generator or None
        None for blocks, and samples, from first to last. If all samples fit into a window, the order is the one that
        `random_order` draws.
    in_turn : bool
        Whether blocks can only be read one after the other; samples are then shuffled within windows alone.
    """
    blocks = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    samples = int(edges[-1])
    if rng is not None and samples <= window_rows:
        return WindowOrder((tuple(blocks),), only=random_order(rng, samples))
    if rng is not None and not in_turn:
        blocks = [blocks[i] for i in rng.permutation(len(blocks)).tolist()]
    windows: list[list[tuple[int, int]]] = []
    free = 0
    for first, last in blocks:
        if not windows or last - first > free:
            windows.append([])
            free = window_rows
        windows[-1].append((first, last))
        free -= last - first
    seed = None if rng is None else int(rng.integers(1 << 63))
    return WindowOrder(tuple(tuple(sorted(window)) for window in windows), seed)


def rows_of(spans: Iterable[tuple[int, int]]) -> Integers:
    """Return the numbers of the samples from first to last of each span."""
    return np.concatenate([np.arange(first, last) for first, last in spans])


def check_order(order: npt.ArrayLike, samples: int) -> Integers:
    """Return the order that a function of the user's gave, as kernels take it.

    Raises
    ------
    TypeError, ValueError
        If it is not as many numbers of samples, from 0 on.
    """
    found = np.asarray(order)
    if found.dtype.kind not in "iu" or found.shape != (samples,):
        raise TypeError(f"shuffle must return {samples} whole numbers; got {found.dtype} in shape {found.shape}")
    if found.min() < 0 or found.max() >= samples:
        raise ValueError(f"shuffle must return rows from 0 to {samples - 1}; found {found.min()} to {found.max()}")
    return np.ascontiguousarray(found, np.int64)
