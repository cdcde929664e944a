"""Windows in time: samples that are consecutive steps of a recording, read from it, never written out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._checks import check_integer
from fastnn._kernels.contract import Integers, Rows
from fastnn._kernels.rows import FORMATS
from fastnn.data.arrays import as_numbers

Index = slice | npt.NDArray[Any] | list[int]


class Windows:
    """Samples that are windows of a recording: at time t, all its columns at t - before .. t + after, in this order.

    They are read from the recording itself, which stays as it is. ``fit``, ``predict``, ``score`` and
    ``validation_data`` take them as X; ``numpy.asarray`` writes them out for others.

    Parameters
    ----------
    counts : array_like, (time, columns)
        Of any type of numbers, such as counts of spikes, a row for each time step.
    before, after : int, default 13 and 0
        Steps of a window before and after its own, >= 0.
    groups : array_like, (time,), optional
        The trial of each time step, of any type: no window goes across an edge, where it changes.

    Attributes
    ----------
    rows : ndarray, (m,)
        The time step t of each window: ``y[windows.rows]`` are its targets.
    steps : int
        Of a window, before + 1 + after.
    shape : tuple of int
        The windows, and the numbers of one: steps times columns.
    dtype : dtype
        That of the recording.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit, or no group is as long as a window.

    Warns
    -----
    UserWarning
        If groups are shorter than a window: there is none of their steps.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import Windows
    >>> windows = Windows(np.arange(10).reshape(5, 2), before=1)
    >>> windows.shape, windows.rows
    ((4, 4), array([1, 2, 3, 4]))
    >>> np.asarray(windows[:2])
    array([[0, 1, 2, 3],
           [2, 3, 4, 5]])
    """

    def __init__(
        self, counts: npt.ArrayLike, before: int = 13, after: int = 0, groups: npt.ArrayLike | None = None
    ) -> None:
        array = as_numbers(counts, "counts")
        if array.ndim != 2 or array.size == 0:
            raise ValueError(f"counts must be 2-D and not empty, time steps in rows; got shape {array.shape}")
        dtype = array.dtype.newbyteorder("=")
        self._array = np.require(array, dtype if dtype in FORMATS else np.float64, ["C", "A"])
        self.before, self.after = check_integer("before", before, low=0), check_integer("after", after, low=0)
        self._starts = self._find_starts(groups)

    @property
    def steps(self) -> int:
        """Time steps of a window."""
        return self.before + 1 + self.after

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the recording's numbers."""
        return self._array.dtype

    @property
    def shape(self) -> tuple[int, int]:
        """The windows, and the numbers of one."""
        return self.as_rows().shape

    @property
    def ndim(self) -> int:
        """As of an array with samples in rows."""
        return 2

    @property
    def rows(self) -> Integers:
        """The time step of each window."""
        first = np.arange(len(self)) if self._starts is None else self._starts
        return first + self.before

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.as_rows())

    def __repr__(self) -> str:
        """Return what they are of."""
        what = f"{self._array.shape[0]} x {self._array.shape[1]} {self.dtype}"
        return f"<{len(self)} windows of {self.steps} steps ({self.before} before, {self.after} after) of {what}>"

    def __getitem__(self, index: Index) -> Windows:
        """Return some of the windows, by a slice, an array of their numbers or a mask: they share the recording."""
        if not isinstance(index, slice):
            chosen = np.asarray(index)
            if chosen.ndim != 1 or chosen.dtype.kind not in "iub":
                raise TypeError(f"windows are chosen by a slice, whole numbers or a mask; got {index!r}")
        first = np.arange(len(self)) if self._starts is None else self._starts
        part = object.__new__(Windows)
        part._array, part.before, part.after = self._array, self.before, self.after
        part._starts = np.ascontiguousarray(first[index])
        return part

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return the windows written out."""
        if copy is False:
            raise ValueError("windows have no array of their own: one must be written")
        return np.array(self.as_rows().stored(), dtype)

    def as_rows(self) -> Rows:
        """Return the windows as kernels read them."""
        return Rows(self._array, self.steps * self._array.shape[1], self._starts)

    def _find_starts(self, groups: npt.ArrayLike | None) -> Integers | None:
        """Return the time step where each window begins; None: at each one, up to the last that is whole."""
        times = len(self._array)
        if groups is None:
            if times < self.steps:
                raise ValueError(f"counts has {times} time steps, fewer than the {self.steps} of a window")
            return None
        labels = np.asarray(groups)
        if labels.shape != (times,):
            raise ValueError(f"groups must be one label a time step, ({times},); got shape {labels.shape}")
        if (labels != labels).any():
            raise ValueError(f"groups must have a label at each time step; found {labels[labels != labels][0]}")
        edges = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1], True])
        lengths = np.diff(edges)
        short = lengths < self.steps
        if short.all():
            longest = f"the longest of {len(lengths)} groups has {lengths.max()} time steps"
            raise ValueError(f"no group is as long as a window of {self.steps} steps: {longest}")
        if short.any():
            warnings.warn(
                f"{short.sum()} of {len(lengths)} groups are shorter than a window of {self.steps} steps: their "
                f"{lengths[short].sum()} time steps are in none",
                UserWarning,
                stacklevel=3,
            )
        whole = zip(edges[:-1][~short], lengths[~short], strict=True)
        return np.concatenate([np.arange(first, first + length - self.steps + 1) for first, length in whole])


def split_time(n: int, folds: int = 5, gap: int = 0) -> Iterator[tuple[Integers, Integers]]:
    """Return (train, test) for each of several folds: consecutive samples are held out, the others trained on.

    Neighbours in time are alike, and windows overlap: samples held out at random would be known from those trained on.

    Parameters
    ----------
    n : int
        Samples, in the order of time.
    folds : int, default 5
        Parts of equal length, >= 2, each held out once.
    gap : int, default 0
        Samples on either side of those held out that are not trained on; of `Windows` no step is shared if it is
        steps - 1.

    Returns
    -------
    iterator of (ndarray, ndarray)
        The numbers of the samples.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit, or a fold leaves nothing to train on.

    Examples
    --------
    >>> from fastnn.data import split_time
    >>> for train, test in split_time(6, folds=3, gap=1):
    ...     print(train, test)
    [3 4 5] [0 1]
    [0 5] [2 3]
    [0 1 2] [4 5]
    """
    folds, gap = check_integer("folds", folds, low=2), check_integer("gap", gap, low=0)
    n = check_integer("n", n, low=folds)
    edges = [n * fold // folds for fold in range(folds + 1)]
    parts = list(zip(edges[:-1], edges[1:], strict=True))
    for begin, end in parts:
        if begin <= gap and end + gap >= n:
            raise ValueError(f"a gap of {gap} leaves nothing to train on beside samples {begin} to {end - 1} of {n}")
    times = np.arange(n)
    return ((np.r_[0 : max(0, begin - gap), min(n, end + gap) : n], times[begin:end]) for begin, end in parts)
