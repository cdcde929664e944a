"""Standardisation: values of mean 0 and standard deviation 1, of targets and of inputs."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Array, Numbers, Rows, Samples, SparseRows
from fastnn._kernels.rows import numbers_of
from fastnn.data.arrays import as_samples
from fastnn.data.blocks import in_blocks
from fastnn.data.feeds import Feed, check_in_memory, feed_of

_ELEMENTS = 1 << 18  # measured at a time
_MEANS = (
    "scale must have no means (scikit-learn's with_mean=False) where X is sparse: without its zeros it would be dense. "
    "Scaler(0 * deviation, deviation) divides by the deviations alone"
)


@dataclass(frozen=True)
class Standardizer:
    """x -> (x - mean) / deviation, column by column or with one number for all columns.

    Attributes
    ----------
    mean, deviation : ndarray, (n,) or ()
        In float64; the deviation of a constant column is 1, so that it becomes 0.
    """

    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]

    @classmethod
    def of(cls, X: Array, columns: bool = True, weights: npt.NDArray[np.float64] | None = None) -> Standardizer:
        """Measure X, each column by itself or, with ``columns=False``, all values together; ``weights`` are of rows."""
        axis = 0 if columns else None
        if weights is None:
            mean, deviation = X.mean(axis=axis, dtype=np.float64), X.std(axis=axis, dtype=np.float64)
        else:
            mean = np.average(X, axis=axis, weights=weights)
            deviation = np.sqrt(np.average((X - mean) ** 2, axis=axis, weights=weights))
        return cls(np.asarray(mean), _without_noise(mean, deviation, X.dtype))

    def transform(self, X: Array) -> Array:
        """Return the standardised X, in its own dtype or, where it holds no float32 or float64, in float64."""
        dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        standardised: Array = (X.astype(dtype, copy=False) - self.mean.astype(dtype)) / self.deviation.astype(dtype)
        return standardised


def _without_noise(mean: Numbers, deviation: Numbers, dtype: np.dtype[Any]) -> Numbers:
    """Return the deviations, 1 where values are constant: rounding can leave them one of about their last bit."""
    noise = 4 * np.finfo(dtype if dtype.kind == "f" else np.float64).eps * np.abs(mean)
    return np.where(deviation > noise, deviation, 1.0)


@dataclass(frozen=True, eq=False)
class Scaler:
    """The scale of a network's inputs, x -> (x - mean) / deviation, of each column or one for all.

    ``Network.fit`` takes it, and keeps it with the network: kernels scale rows of X while they read them, also in
    ``predict``, ``score`` and the others, so X is never copied.

    Parameters
    ----------
    mean, deviation : array_like, (n_in,) or ()
        Finite, in float64; deviations > 0.

    Raises
    ------
    ValueError
        If they are not, or are not of one shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import Scaler
    >>> X = np.array([[0, 10], [4, 10]], np.uint8)
    >>> scaler = Scaler.of(X)
    >>> scaler.transform(X)
    array([[-1.,  0.],
           [ 1.,  0.]], dtype=float32)
    """

    mean: Numbers
    deviation: Numbers

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("mean", "deviation"):
            values = np.array(getattr(self, name), np.float64)
            if values.ndim > 1 or not np.isfinite(values).all():
                raise ValueError(f"{name} must be one finite number a column, or one for all; got {values!r}")
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if self.mean.shape != self.deviation.shape:
            raise ValueError(f"mean and deviation must have one shape; got {self.mean.shape}, {self.deviation.shape}")
        if not (self.deviation > 0).all():
            raise ValueError(f"deviation must be > 0; got {self.deviation.min():g}")

    @classmethod
    def of(cls, X: npt.ArrayLike, columns: bool = True) -> Scaler:
        """Measure samples to train on: each column by itself or, with ``columns=False``, all numbers together.

        A column, all of whose numbers are the same, has the deviation 1, so that it becomes 0.

        Raises
        ------
        TypeError, ValueError
            If X does not hold finite real numbers in rows, or their squares are beyond float64.
        """
        return _measured(as_samples(in_blocks(X), None, np.dtype(np.float64)), columns)

    def transform(self, X: npt.ArrayLike, dtype: npt.DTypeLike = "float32") -> Array:
        """Return what a network of the dtype sees of X: x is converted first, then (x - mean) (1 / deviation)."""
        dtype = np.dtype(dtype)
        return numbers_of(self.scaled(as_samples(check_in_memory(X), None, dtype, check_finite=False), dtype), dtype)

    def scaled(self, X: Samples, dtype: np.dtype[Any]) -> Samples:
        """Return samples that kernels scale while they read them; of sparse ones the stored numbers are copied.

        Raises
        ------
        ValueError
            If they have another number of columns, or a deviation is too small for the dtype; if means would leave no
            zeros in sparse samples.
        """
        mean, inverse = self.numbers(X.shape[1], dtype)
        if (feed := feed_of(X)) is not None:
            scaled: Samples = feed.scaled(mean, inverse)
            return scaled
        if isinstance(X, SparseRows):
            if self.mean.any():
                raise ValueError(_MEANS)
            return replace(X, values=X.values.astype(dtype) * inverse[X.indices], inverse=inverse)
        return replace(X if isinstance(X, Rows) else Rows(X, X.shape[1]), mean=mean, inverse=inverse)

    def numbers(self, width: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """Return the means and 1 / deviations of so many columns, as a network of the dtype computes with them.

        Raises
        ------
        ValueError
            If they are of another number of columns, or not finite in that dtype.
        """
        if self.mean.ndim and len(self.mean) != width:
            raise ValueError(f"scale must be of the {width} columns of X; it is of {len(self.mean)}")
        with np.errstate(over="ignore", divide="ignore"):
            mean, inverse = (np.full(width, part.astype(dtype)) for part in (self.mean, np.asarray(1 / self.deviation)))
        if not (np.isfinite(mean) & np.isfinite(inverse)).all():
            raise ValueError(f"scale must have means and 1 / deviations that are finite in {dtype}")
        return mean, inverse


def _measured(X: Samples, columns: bool) -> Scaler:
    """Return the scale of samples, a part of them at a time."""
    if (feed := feed_of(X)) is not None:
        return _measured_once(feed, columns)
    if isinstance(X, SparseRows):
        raise ValueError(_MEANS)
    rows = X if isinstance(X, Rows) else Rows(X, X.shape[1])
    length, axis = max(1, _ELEMENTS // rows.width), 0 if columns else None
    count = len(rows) if columns else len(rows) * rows.width

    def sum_of(values: Any) -> Any:
        parts = (rows[first : first + length].numbers(np.dtype(np.float64)) for first in range(0, len(rows), length))
        return sum(values(part).sum(axis=axis) for part in parts)

    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.asarray(sum_of(lambda part: part) / count)
        deviation = np.sqrt(sum_of(lambda part: (part - mean) ** 2) / count)
    if not np.isfinite(deviation).all():
        raise ValueError("X is too large to be scaled: its deviation is beyond float64")
    return Scaler(mean, _without_noise(mean, deviation, rows.array.dtype))


def _measured_once(feed: Feed, columns: bool) -> Scaler:
    """Return the scale of samples that are read a single time: parts' means and sums of squares about them are merged.

    Chan, Golub, LeVeque: Algorithms for computing the sample variance. The American Statistician 37, 1983.
    """
    count = 0
    mean: Any = 0.0
    squares: Any = 0.0
    with np.errstate(over="ignore", invalid="ignore"), closing(feed.samples()) as parts:
        for samples in parts:
            part = numbers_of(samples, np.dtype(np.float64))
            part = part if columns else part.reshape(-1, 1)
            own = part.mean(axis=0, dtype=np.float64)
            away, before, count = own - mean, count, count + len(part)
            squares = squares + ((part - own) ** 2).sum(axis=0) + away**2 * (before * len(part) / count)
            mean = mean + away * (len(part) / count)
        deviation = np.sqrt(squares / count)
    if not np.isfinite(deviation).all():
        raise ValueError("X is too large to be scaled: its deviation is beyond float64")
    mean, deviation = (part if columns else part[0] for part in (mean, deviation))
    return Scaler(mean, _without_noise(mean, deviation, feed.format))


def smooth_clip(X: Numbers) -> Numbers:
    """Return x / sqrt(1 + (x / 3)^2), in (-3, 3): hardly another number near 0 (Holzmüller et al., NeurIPS 2024)."""
    clipped: Numbers = X / np.hypot(1.0, X / 3.0)  # the square itself could overflow
    return clipped


def scaler_of(X: Samples) -> Scaler:
    """Return the scale of the columns of samples that have been checked."""
    return _measured(X, columns=True)
