"""The rows that the networks of a search train on, and those that they are judged by."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastnn._checks import check_integer
from fastnn._kernels.contract import SparseRows
from fastnn.data import Windows

Fold: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def folds_of(cv: Any, y: Any, samples: int) -> list[Fold]:
    """Return the rows of each fold, checked."""
    if isinstance(cv, int | np.integer):
        return random_folds(check_integer("cv", cv, low=2), y, samples)
    folds = [(_as_rows(train, samples), _as_rows(test, samples)) for train, test in cv]
    for i, (train, test) in enumerate(folds):
        both = np.intersect1d(train, test)
        if both.size:
            raise ValueError(f"cv[{i}] must not test what it trains on; both have row {both[0]}")
    return folds


def _as_rows(rows: npt.ArrayLike, samples: int) -> npt.NDArray[np.int64]:
    found = np.asarray(rows)
    found = np.flatnonzero(found) if found.dtype.kind == "b" and found.shape == (samples,) else found
    if found.ndim != 1 or found.dtype.kind not in "iu" or not found.size:
        raise ValueError(f"cv must give rows, whole numbers; got {found.dtype} in shape {found.shape}")
    if found.min() < 0 or found.max() >= samples:
        raise ValueError(f"cv must give rows from 0 to {samples - 1}; found {found.min()} to {found.max()}")
    return found.astype(np.int64)


def random_folds(count: int, y: Any, samples: int) -> list[Fold]:
    """Return folds of a random order, always the same; of labels each has its share."""
    order = np.random.default_rng(0).permutation(samples)
    if y.ndim == 1 and y.dtype.kind != "f":
        order = order[np.argsort(np.asarray(y)[order], kind="stable")]
    tests = [np.sort(order[i::count]) for i in range(count)]
    return [(np.setdiff1d(np.arange(samples), test), test) for test in tests]


def rows_of(X: Any, rows: npt.NDArray[np.int64]) -> Windows | SparseRows:
    """Return some samples, which stay where they are."""
    if isinstance(X, SparseRows):
        return X[rows]
    return (X if isinstance(X, Windows) else Windows(X, before=0))[rows]
