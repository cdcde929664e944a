"""Sparse matrices of SciPy to train on: checks, and the stored numbers as kernels read them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fastnn._kernels.rows import FORMATS, SparseRows

_PART = 1 << 20  # stored numbers that are looked at at a time


def is_sparse(values: object) -> bool:
    """Return whether something is a sparse matrix or array of SciPy, which whoever made it has imported."""
    if isinstance(values, np.ndarray) or "scipy.sparse" not in sys.modules:
        return False
    return bool(sys.modules["scipy.sparse"].issparse(values))


def as_sparse(X: Any, width: int | None, name: str) -> SparseRows:
    """Return a sparse matrix as kernels read it: a CSR matrix where it is, without a copy.

    One in another format is converted. The columns of a row may come in any order, and several times: their numbers
    then count together.

    Raises
    ------
    TypeError
        If it does not hold real numbers.
    ValueError
        If it is not 2-D, has no row or another width, or its arrays do not fit together.
    """
    if isinstance(X, SparseRows):  # which has been checked
        check_width(X.shape, width, name)
        return X
    if X.dtype not in FORMATS:
        raise TypeError(f"{name} must hold real numbers; got a sparse {type(X).__name__} of dtype {X.dtype}")
    if len(X.shape) != 2:
        raise ValueError(f"{name} must be 2-D, samples in rows; got shape {X.shape}")
    if X.shape[0] == 0:
        raise ValueError(f"{name} is empty: expected at least one row; got shape {X.shape}")
    check_width(X.shape, width, name)
    if X.format == "csc":
        _check_places(X, X.shape[1], X.shape[0], name, ("row", "columns"))
    if X.format != "csr":
        X = X.tocsr()
    _check_places(X, X.shape[0], X.shape[1], name, ("column", "rows"))
    stored = int(X.indptr[-1])
    values, indices = (np.require(each[:stored], requirements=["C", "A"]) for each in (X.data, X.indices))
    places = np.require(X.indptr, np.int64, ["C", "A"])
    return SparseRows(values, indices, places[:-1], places[1:], int(X.shape[1]))


def written_out(values: Any, name: str) -> Any:
    """Return a sparse matrix of targets, which are few, with all its zeros, and anything else as it is."""
    if not is_sparse(values):
        return values
    if len(values.shape) == 2 and values.shape[0]:
        as_sparse(values, None, name)
    return values.toarray()


def check_width(shape: tuple[int, ...], width: int | None, name: str) -> None:
    """Refuse samples with another number of columns than a network has inputs."""
    if width is not None and shape[1] != width:
        raise ValueError(f"{name} must have {width} columns, one for each input unit; got shape {shape}")


def _check_places(X: Any, major: int, minor: int, name: str, what: tuple[str, str]) -> None:
    """Check that all that the arrays of a compressed matrix point to is there."""
    places, indices, values = X.indptr, X.indices, X.data
    for part, array in (("indptr", places), ("indices", indices)):
        if array.dtype not in (np.int32, np.int64) or array.ndim != 1:
            raise ValueError(f"{name}.{part} must be 1-D, int32 or int64; got {array.dtype} in shape {array.shape}")
    if len(places) != major + 1:
        raise ValueError(f"{name}.indptr must have {major + 1} places, one more than {what[1]}; got {len(places)}")
    if places[0] != 0 or (places[1:] < places[:-1]).any():
        raise ValueError(f"{name}.indptr must begin with 0 and not descend")
    if places[-1] > min(len(indices), len(values)):
        found = f"{len(indices)} indices and {len(values)} numbers"
        raise ValueError(f"{name}.indptr ends at {places[-1]}, but there are {found}")
    for start in range(0, int(places[-1]), _PART):
        part = indices[start : min(start + _PART, int(places[-1]))]
        if part.min() < 0 or part.max() >= minor:
            wrong = part[(part < 0) | (part >= minor)][0]
            raise ValueError(f"{name}.indices must be from 0 to {minor - 1}, {what[0]}s of {name}; found {wrong}")


def place_of(rows: SparseRows, stored: int) -> tuple[int, int]:
    """Return the row and the column of a stored number."""
    return int(np.searchsorted(rows.ends, stored, side="right")), int(rows.indices[stored])
