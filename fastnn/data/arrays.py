"""Arrays to train on: checks of X and y, and their conversion to what the kernels read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._kernels import get_num_threads
from fastnn._kernels.contract import Array, Data, Integers, Rows, Samples, SparseRows
from fastnn._kernels.rows import FORMATS
from fastnn.architecture import Architecture
from fastnn.data.frames import is_frame, numbers_of_frame
from fastnn.data.labels import Classes, as_classes
from fastnn.data.sparse import as_sparse, check_width, is_sparse, place_of, written_out
from fastnn.losses import Loss

_CHECK_ELEMENTS = 1 << 20  # elements checked for NaN at a time, so that no mask as large as X exists
_PARTS_FOR_THREADS = 16  # of those elements: some milliseconds
_FEW_ELEMENTS = 4096  # whose mask costs nothing
_HALF_INFINITY = 0x7C00  # the bits of a float16
_FEW_LABELS = 32  # which Python compares in less than the 2 us of NumPy's minimum and maximum


def as_samples(
    X: npt.ArrayLike, width: int | None, dtype: np.dtype, check_finite: bool = True, name: str = "X"
) -> Samples:
    """Return X as kernels read it: as it is, where its numbers are of a type that they know and lie together in rows.

    A C-ordered array of the dtype is itself, others are `Rows`, sparse matrices `SparseRows`. What
    kernels cannot read, such as columns of a table or numbers in the other byte order, is copied into such an array.
    Without a width, any will do.

    Raises
    ------
    TypeError
        If X does not hold real numbers.
    ValueError
        If X is not 2-D, is empty, has another width, or holds NaN or infinity.
    """
    if not isinstance(X, np.ndarray):  # of which most are: to ask them for what they have not takes half a microsecond
        if hasattr(X, "as_samples"):  # what is read while it is trained on
            found: Samples = X.as_samples(width, dtype, check_finite, name)
            return found
        if hasattr(X, "as_rows"):
            return _as_windows(X.as_rows(), width, dtype, check_finite, name)
        if is_sparse(X) or isinstance(X, SparseRows):
            return _as_finite(as_sparse(X, width, name), dtype, check_finite, name)
    array = as_numbers(X, name)
    if array.ndim != 2:
        raise ValueError(f"{name} must be 2-D, samples in rows; got shape {array.shape}")
    if array.shape[0] == 0:
        raise ValueError(f"{name} is empty: expected at least one row; got shape {array.shape}")
    check_width(array.shape, width, name)
    if not _has_rows(array) or (array.dtype == dtype and array.flags.c_contiguous):
        return _convert(array, dtype, check_finite, name)
    if check_finite and not all_finite(array, dtype):
        refuse(array, dtype, name)
    return Rows(array, array.shape[1])


def _as_windows(rows: Rows, width: int | None, dtype: np.dtype, check_finite: bool, name: str) -> Rows:
    """Check windows; what is in none of them need not be finite."""
    if len(rows) == 0:
        raise ValueError(f"{name} is empty: expected at least one window")
    if width is not None and rows.width != width:
        columns = rows.array.shape[1]
        found = f"windows of {rows.steps} steps of {columns}, {rows.width} numbers"
        raise ValueError(f"{name} must have {width} columns, one for each input unit; got {found}")
    if not check_finite or all_finite(rows.array, dtype):
        return rows
    starts = np.arange(len(rows)) if rows.starts is None else rows.starts
    changes = np.bincount(starts, minlength=len(rows.array) + 1) - np.bincount(
        starts + rows.steps, minlength=len(rows.array) + 1
    )
    read = np.flatnonzero(np.cumsum(changes)[:-1])
    with np.errstate(over="ignore"):
        wrong = np.argwhere(~np.isfinite(rows.array[read].astype(dtype)))
    if len(wrong):
        time, column = read[wrong[0][0]], wrong[0][1]
        raise ValueError(
            f"{name} must be finite in {dtype}; found {rows.array[time, column]} at time step {time}, column {column} "
            "(check_finite=False skips this check)"
        )
    return rows


def _as_finite(rows: SparseRows, dtype: np.dtype, check_finite: bool, name: str) -> SparseRows:
    """Check the stored numbers of sparse samples."""
    if check_finite and not all_finite(rows.values, dtype):
        with np.errstate(over="ignore"):
            wrong = int(np.argmin(np.isfinite(rows.values.astype(dtype))))
        row, column = place_of(rows, wrong)
        raise ValueError(
            f"{name} must be finite in {dtype}; found {rows.values[wrong]} in row {row}, column {column} "
            "(check_finite=False skips this check)"
        )
    return rows


def _has_rows(array: npt.NDArray[np.generic]) -> bool:
    """Return whether kernels can read the rows of an array: numbers that they know, those of a row together."""
    together = array.strides[1] == array.itemsize or array.shape[1] == 1
    return together and array.flags.aligned and array.dtype.isnative and array.dtype in FORMATS


def as_data(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    architecture: Architecture,
    check_finite: bool = True,
    names: tuple[str, str] = ("X", "y"),
    classes: Classes | None = None,
) -> Data:
    """Check samples and targets and return them as the kernels read them; ``classes`` are those of the labels."""
    sizes, dtype = architecture.sizes, architecture.dtype
    if architecture.loss.classifies:
        y, _ = as_classes(y, sizes[-1], classes, names[1])
    samples = as_samples(X, sizes[0], dtype, check_finite, names[0])
    labels, targets = as_targets(y, sizes[-1], architecture.loss, dtype, check_finite, names[1])
    m = len(labels) or len(targets)
    if m != len(samples):
        raise ValueError(f"{names[0]} and {names[1]} must have as many rows; got {len(samples)} and {m}")
    return Data(samples, labels, targets)


def as_targets(
    y: npt.ArrayLike, outputs: int, loss: Loss, dtype: np.dtype, check_finite: bool = True, name: str = "y"
) -> tuple[Integers, Array]:
    """Return (labels, targets), one of them empty, in the form that the loss takes.

    Parameters
    ----------
    y : array_like
        Classification: labels 0 .. K - 1, (m,), or a 0/1 matrix (m, K), with exactly one 1 a row for softmax. With one
        sigmoid output: 0 or 1, (m,) or (m, 1); hinge also takes -1 and 1. Regression: real values, (m, K), or (m,) for
        one output, or for several quantiles of one target.
    """
    array, columns = as_numbers(written_out(y, name), name), loss.targets(outputs)
    if array.ndim not in (1, 2) or array.shape[0] == 0:
        raise ValueError(f"{name} must hold at least one target, (m,) or (m, {columns}); got shape {array.shape}")
    if array.ndim == 2 and array.shape[1] != columns:
        expected = f"{columns} columns, one for each output unit"
        if columns < outputs:
            expected = "one column, of which all outputs are quantiles"
        raise ValueError(f"{name} must have {expected}; got shape {array.shape}")
    no_labels, no_targets = np.empty(0, dtype=np.int64), np.empty((0, columns), dtype)
    if loss.classifies and array.ndim == 1 and (loss.chooses or outputs > 1):
        return _as_labels(array, outputs, name), no_targets
    if array.ndim == 1:
        if columns != 1:
            raise ValueError(f"{name} must be a matrix (m, {columns}), one column an output; got shape {array.shape}")
        array = array[:, None]
    if not loss.classifies:
        return no_labels, _as_values(array, loss, dtype, check_finite, name)
    array = _as_answers(array, loss, name)
    if not loss.chooses:
        if outputs == 1 and array.dtype == np.int64:  # no copy: the kernels read them
            return np.require(array[:, 0], requirements=["C", "A"]), no_targets
        return no_labels, _as_kernels_read(array, dtype)
    if (array.sum(axis=1) != 1).any():
        row = int(np.flatnonzero(array.sum(axis=1) != 1)[0])
        raise ValueError(f"{name} must have exactly one 1 in each row for softmax; row {row} has {array[row].sum():g}")
    return array.argmax(axis=1).astype(np.int64), no_targets


def _as_values(array: npt.NDArray[Any], loss: Loss, dtype: np.dtype, check_finite: bool, name: str) -> Array:
    """Return real targets; what a loss masks is NaN."""
    targets = _convert(array, dtype, check_finite, name, missing=loss.masks)
    if loss.domain == "not negative" and np.fmin.reduce(targets, axis=None) < 0:
        row, column = np.argwhere(targets < 0)[0]
        found = f"{targets[row, column]:g} in row {row}, column {column}"
        raise ValueError(f"{name} must not be negative for loss={loss.name!r}; found {found}")
    return targets


def _as_answers(array: npt.NDArray[Any], loss: Loss, name: str) -> npt.NDArray[Any]:
    """Return a matrix of 0 and 1, itself where it is one; the hinge loss also takes -1 and 1."""
    signed = not loss.has_probabilities
    if signed and array.dtype.kind != "u" and array.min() == -1:
        if not (np.abs(array) == 1).all():
            row, column = np.argwhere(np.abs(array) != 1)[0]
            raise ValueError(
                f"{name} must hold -1 and 1 only, or 0 and 1; found {array[row, column]} beside -1 in row {row}"
            )
        return (array > 0).astype(np.int64)
    for part in _in_parts(array):
        if not _is_binary(part):
            wrong = (part != 0) & (part != 1)
            expected = "0 and 1 only, or -1 and 1" if signed else "0 and 1 only"
            raise ValueError(f"{name} must hold {expected}; found {part[wrong][0]}")
    return array


def all_finite(array: npt.NDArray[np.generic], dtype: np.dtype | None = None) -> bool:
    """Return whether the array holds neither NaN nor infinity, without a mask as large as the array.

    With a dtype, whether it does not when its numbers are converted to that.
    """
    if array.dtype.kind != "f":
        return True
    fits = partial(_fits, dtype=dtype) if dtype is not None and dtype.itemsize < array.itemsize else _is_finite
    if array.size <= _FEW_ELEMENTS and fits is _is_finite:  # 1 us; a sum, whose warnings np.errstate must keep, takes 3
        return bool(np.count_nonzero(np.isfinite(array)) == array.size)
    parts = list(_in_parts(array))
    if len(parts) < _PARTS_FOR_THREADS:
        return all(map(fits, parts))
    from concurrent.futures import ThreadPoolExecutor  # here: it takes a few milliseconds to import

    with ThreadPoolExecutor(get_num_threads()) as pool:  # one core cannot read memory as fast as two
        return all(pool.map(fits, parts))


def _is_finite(array: npt.NDArray[Any]) -> bool:
    """Return whether the array holds neither NaN nor infinity; most often after one sum, as fast as memory.

    A product with itself takes 1.25 times as long (188 MB on two threads), and numpy.dot's BLAS may use threads of its
    own, which then spin beside the next epoch for 30 ms. Sums of float16 soon overflow; its bits tell.
    """
    if array.dtype == np.float16:
        return bool((array.view(np.uint16) & 0x7FFF).max() < _HALF_INFINITY)
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum()
    return bool(np.isfinite(total)) or bool(np.isfinite(array).all())  # a finite array's sum may be infinite


def _fits(array: npt.NDArray[Any], dtype: np.dtype) -> bool:
    """Return whether the numbers, of a wider type, are finite in the dtype."""
    with np.errstate(over="ignore", invalid="ignore"):  # NaN is both the smallest and the largest
        return bool(np.isfinite(np.array([array.min(), array.max()]).astype(dtype)).all())


def _is_binary(array: npt.NDArray[Any]) -> bool:
    """Return whether the array holds 0 and 1 only."""
    if array.dtype.kind in "iu":  # whether no other bit is set in any: 1.5 -> 0.2 ns each
        return int(np.bitwise_or.reduce(array, axis=None)) in (0, 1)
    return not ((array != 0) & (array != 1)).any()


def _in_parts(array: npt.NDArray[np.generic]) -> Iterator[npt.NDArray[Any]]:
    """Yield rows of the array, a part at a time."""
    rows = max(1, _CHECK_ELEMENTS // max(1, array[:1].size))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def _as_labels(array: npt.NDArray[np.generic], classes: int, name: str) -> Integers:
    if array.dtype.kind == "i":
        labels = array.astype(np.int64, copy=False)
    else:
        with np.errstate(invalid="ignore"):  # NaN and infinity have no integer; the comparison finds them
            labels = array.astype(np.int64)
        if not np.array_equal(labels, array):
            raise ValueError(f"{name} must hold integer labels; found {array[labels != array][0]}")
    bounds = labels.tolist() if len(labels) <= _FEW_LABELS else (labels.min(), labels.max())
    if min(bounds) < 0 or max(bounds) >= classes:
        found = labels[(labels < 0) | (labels >= classes)][0]
        raise ValueError(f"{name} must hold labels from 0 to {classes - 1}, one class an output; found {found}")
    return np.ascontiguousarray(labels)


def as_numbers(values: npt.ArrayLike, name: str) -> npt.NDArray[np.generic]:
    """Return real numbers as an array, itself where it is one.

    Raises
    ------
    TypeError
        If the values are no real numbers.
    ValueError
        If they make no array, or some are masked.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error
    if array.dtype.kind == "O" and array.ndim in (1, 2) and is_frame(values):
        return numbers_of_frame(values, array, name)
    if array.dtype.kind not in "buif":
        found = f"an array of dtype {array.dtype}"
        if is_sparse(values):
            found = f"a sparse {type(values).__name__}, of which {name}.toarray() makes an array"
        raise TypeError(f"{name} must hold real numbers; got {found}")
    if array is not values and "numpy.ma" in sys.modules and np.ma.is_masked(values):  # imported by those who use it
        raise ValueError(f"{name} must hold a number in every place; got a masked array with masked ones")
    return array


def _convert(
    array: npt.NDArray[np.generic], dtype: np.dtype, check_finite: bool, name: str, missing: bool = False
) -> Array:
    """Return the array in the dtype; NaN is refused unless it may be ``missing``, infinity in any case."""
    converted = _as_kernels_read(array, dtype)
    if check_finite and array.dtype.kind == "f" and not all_finite(converted):
        if missing and not any(np.isinf(part).any() for part in _in_parts(converted)):
            return converted
        refuse(array, dtype, name, missing)
    return converted


def refuse(
    array: npt.NDArray[Any], dtype: np.dtype, name: str, missing: bool = False, first: int = 0
) -> None:  # fmt: skip
    """Raise the error that names the first number that is not finite in the dtype; NaN may be ``missing``.

    The array begins with the row of number ``first``.
    """
    for part in _in_parts(array):
        with np.errstate(over="ignore"):
            converted = part.astype(dtype)
        wrong = np.argwhere(np.isinf(converted) if missing else ~np.isfinite(converted))
        if len(wrong):
            row, column = wrong[0]
            raise ValueError(
                f"{name} must be finite in {dtype}; found {part[row, column]} in row {first + row}, column {column} "
                "(check_finite=False skips this check)"
            )
        first += len(part)


def _as_kernels_read(array: npt.NDArray[Any], dtype: np.dtype) -> Array:
    """Return the array in the dtype, C-ordered and aligned, itself where it is; what is beyond float32 is infinite."""
    flags = array.flags
    if array.dtype == dtype and flags.c_contiguous and flags.aligned:  # np.require takes ten times as long to say so
        return array
    with np.errstate(over="ignore"):
        converted: Array = np.require(array, dtype, ["C", "A"])
    return converted
