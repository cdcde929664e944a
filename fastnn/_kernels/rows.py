"""Samples as they are stored, of any type of numbers: kernels convert and scale them while they read their rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastnn._kernels.drivers import primitives

Array: TypeAlias = npt.NDArray[np.floating]
Integers: TypeAlias = npt.NDArray[np.int64]

# The formats that kernels read, by the kind and the bytes of a number; a bool is a byte, 0 or 1.
FORMATS = {
    np.dtype(name): getattr(primitives, code.upper())
    for name, code in [
        *((name, name) for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")),
        *((name, name) for name in ("float16", "float32", "float64")),
        ("bool", "uint8"),
    ]
}


@dataclass(frozen=True, eq=False)
class Rows:
    """Samples whose numbers lie together in an array, though not as the kernels multiply them.

    Attributes
    ----------
    array : ndarray, (rows, columns)
        Of a dtype in `FORMATS`, aligned; the numbers of a row lie together.
    width : int
        Numbers of a sample: a row of the array, or several, which then follow one another without a gap.
    starts : ndarray, (m,), or None
        The row where each sample begins; without them, sample i begins at row i.
    mean, inverse : ndarray, (width,), or None
        In the network's type: x becomes (x - mean) inverse.
    """

    array: npt.NDArray[Any]
    width: int
    starts: Integers | None = None
    mean: Array | None = None
    inverse: Array | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.array) - self.steps + 1 if self.starts is None else len(self.starts)

    @property
    def shape(self) -> tuple[int, int]:
        """The samples, and the numbers of one."""
        return len(self), self.width

    @property
    def steps(self) -> int:
        """How many rows of the array a sample has."""
        return self.width // int(self.array.shape[1])

    def __getitem__(self, rows: slice | Integers) -> Rows:
        """Return some of the samples, which stay where they are."""
        if isinstance(rows, slice) and rows.step in (None, 1):
            first, last, _ = rows.indices(len(self))
            if self.starts is not None:
                return replace(self, starts=self.starts[first:last])
            return replace(self, array=self.array[first : last + self.steps - 1])
        starts = np.arange(len(self)) if self.starts is None else self.starts
        return replace(self, starts=np.ascontiguousarray(starts[rows], np.int64))

    def numbers(self, dtype: np.dtype[Any]) -> Array:
        """Return the samples as kernels see them, (m, width)."""
        found = self.stored().astype(dtype)
        if self.mean is not None:
            found -= self.mean
            found *= self.inverse
        return found

    def stored(self) -> npt.NDArray[Any]:
        """Return the samples in their own type, a view where each begins a row after the one before."""
        step, item = self.array.strides[0], self.array.itemsize
        shape = (len(self.array) - self.steps + 1, self.width)
        windows = np.lib.stride_tricks.as_strided(self.array, shape, (step, item), writeable=False)
        found: npt.NDArray[Any] = windows if self.starts is None else windows[self.starts]
        return found


_PART = 1 << 20  # numbers of sparse samples that are written out at a time, by the reference


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Samples of which only some numbers are stored, those of a sample together; all others are 0.

    Attributes
    ----------
    values : ndarray, (n,)
        Of a dtype in `FORMATS`, contiguous.
    indices : ndarray, (n,)
        The column of each, int32 or int64, contiguous, in 0 .. width - 1.
    begins, ends : ndarray, (m,)
        Where the numbers of each sample begin, and the place after the last.
    width : int
        Columns.
    inverse : ndarray, (width,), or None
        What the values have been multiplied by, column by column.
    """

    values: npt.NDArray[Any]
    indices: npt.NDArray[np.signedinteger]
    begins: Integers
    ends: Integers
    width: int
    inverse: Array | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.begins)

    @property
    def shape(self) -> tuple[int, int]:
        """The samples, and the columns."""
        return len(self), self.width

    @property
    def lengths(self) -> Integers:
        """How many numbers each sample has."""
        return self.ends - self.begins

    def __getitem__(self, rows: slice | Integers) -> SparseRows:
        """Return some of the samples, which stay where they are."""
        begins, ends = (np.ascontiguousarray(each[rows]) for each in (self.begins, self.ends))
        return replace(self, begins=begins, ends=ends)

    def numbers(self, dtype: np.dtype[Any]) -> Array:
        """Return the samples with all their zeros, (m, width)."""
        found, lengths = np.zeros(self.shape, dtype), self.lengths
        rows = np.repeat(np.arange(len(self)), lengths)
        places = np.arange(len(rows)) + np.repeat(self.begins - (np.cumsum(lengths) - lengths), lengths)
        np.add.at(found, (rows, self.indices[places]), self.values[places].astype(dtype))
        return found

    def times(self, W: Array) -> Array:
        """Return X W, some rows at a time."""
        Z = np.empty((len(self), W.shape[1]), W.dtype)
        for rows in self._parts():
            Z[rows] = self[rows].numbers(W.dtype) @ W
        return Z

    def transposed_times(self, D: Array) -> Array:
        """Return X^T D, some rows at a time."""
        total = np.zeros((self.width, D.shape[1]), D.dtype)
        for rows in self._parts():
            total += self[rows].numbers(D.dtype).T @ D[rows]
        return total

    def _parts(self) -> Iterator[slice]:
        step = max(1, _PART // self.width)
        return (slice(start, start + step) for start in range(0, len(self), step))


Samples: TypeAlias = Array | Rows | SparseRows


def numbers_of(X: Samples, dtype: np.dtype[Any]) -> Array:
    """Return samples as the equations take them."""
    return X if isinstance(X, np.ndarray) else X.numbers(dtype)
