"""A grid whose columns and rows turn: the random order of many samples (see `fastnn.shuffling`)."""

from __future__ import annotations

import numpy as np

from fastnn._kernels.numba.cache import entry_point, kernel

BLOCK = 1024  # cells that go through all turns together: they stay in the first-level cache, most tables too


@kernel
def turn(steps, side, place, position, n):
    """Move n cells on by the steps of their column or row: position = (position + steps[place]) mod side."""
    for i in range(n):
        ahead = np.uint32(position[i] + steps[place[i]])
        position[i] = min(ahead, np.uint32(ahead - side))  # the difference wraps around where there is none


@kernel
def shuffle_cells(down, across, row, column, n):
    """Move n cells through all rounds."""
    rows, columns = np.uint32(across.shape[1]), np.uint32(down.shape[1])
    for i in range(len(down)):
        turn(down[i], rows, column, row, n)
        turn(across[i], columns, row, column, n)


@entry_point
def shuffle_grid(down, across, samples, first, order):
    """Write where cells come to lie, from the first one on."""
    columns = down.shape[1]
    row, column = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
    for start in range(0, len(order), BLOCK):
        n = min(BLOCK, len(order) - start)
        r, c = (first + start) // columns, (first + start) % columns
        for i in range(n):
            row[i], column[i] = r, c
            c += 1
            if c == columns:
                r, c = r + 1, 0
        shuffle_cells(down, across, row, column, n)
        for i in range(n):
            order[start + i] = np.int64(row[i]) * columns + column[i]
    for i in range(len(order)):  # a cell after the last sample moves on, as if it were one
        while order[i] >= samples:
            row[0], column[0] = order[i] // columns, order[i] % columns
            shuffle_cells(down, across, row, column, 1)
            order[i] = np.int64(row[0]) * columns + column[0]
