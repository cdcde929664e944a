"""Standardisation: values of mean 0 and standard deviation 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Array


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
        # Rounding can leave a constant column a deviation of about its last bit: that is noise, not a scale.
        noise = 4 * np.finfo(X.dtype if X.dtype.kind == "f" else np.float64).eps * np.abs(mean)
        return cls(np.asarray(mean), np.where(deviation > noise, deviation, 1.0))

    def transform(self, X: Array) -> Array:
        """Return the standardised X, in its own dtype or, where it holds no float32 or float64, in float64."""
        dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        standardised: Array = (X.astype(dtype, copy=False) - self.mean.astype(dtype)) / self.deviation.astype(dtype)
        return standardised
