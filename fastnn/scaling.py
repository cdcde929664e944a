"""Standardisation: inputs of mean 0 and standard deviation 1, and its algebra folded into a trained network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Array
from fastnn.network import Network

# From an offset of so many deviations on, raw values in float32 are a ten-thousandth of a deviation off, or more.
_FAR = 1000


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
    def of(cls, X: Array, columns: bool = True) -> Standardizer:
        """Measure X, each column by itself or, with ``columns=False``, all values together."""
        axis = 0 if columns else None
        mean, deviation = X.mean(axis=axis, dtype=np.float64), X.std(axis=axis, dtype=np.float64)
        # Rounding can leave a constant column a deviation of about its last bit: that is noise, not a scale.
        noise = 4 * np.finfo(X.dtype if X.dtype.kind == "f" else np.float64).eps * np.abs(mean)
        return cls(np.asarray(mean), np.where(deviation > noise, deviation, 1.0))

    def transform(self, X: Array) -> Array:
        """Return the standardised X, in its own dtype or, where it holds no float32 or float64, in float64."""
        dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        standardised: Array = (X.astype(dtype, copy=False) - self.mean.astype(dtype)) / self.deviation.astype(dtype)
        return standardised

    def fold_into_inputs(self, network: Network) -> Network:
        """Return a network that takes raw x where the given one takes the standardised one.

        With s the deviation and u the mean: ((x - u) / s) W + b = x W' + b' for W' = W / s, b' = b - (u / s) W. Where
        |u| is over 1000 s, as with the seconds of a clock, it is a float64 network: float32 would lose the digits of x.
        """
        dtype = np.dtype(np.float64) if (np.abs(self.mean) > _FAR * self.deviation).any() else network.dtype
        W, b = (array.astype(np.float64) for array in (network.weights[0], network.biases[0]))
        scaled = W / np.broadcast_to(self.deviation, len(W))[:, None]
        shift = np.broadcast_to(self.mean, len(W)) @ scaled
        return _with_layer(network, 0, scaled, b - shift, dtype)

    def fold_into_outputs(self, network: Network) -> Network:
        """Return a network that predicts raw y where the given one, of squared error, predicts the standardised one.

        y = s (A W + b) + u = A W' + b' for W' = s W, b' = s b + u.
        """
        W, b = (array.astype(np.float64) for array in (network.weights[-1], network.biases[-1]))
        return _with_layer(network, -1, W * self.deviation, b * self.deviation + self.mean, network.dtype)


def _with_layer(
    network: Network, layer: int, W: npt.NDArray[np.float64], b: npt.NDArray[np.float64], dtype: np.dtype
) -> Network:
    """Return the same network with another W and b in one layer, in the dtype, and without the optimizer's state."""
    arrays: list[tuple[npt.ArrayLike, npt.ArrayLike]] = list(zip(network.weights, network.biases, strict=True))
    arrays[layer] = (W, b)
    folded = Network(network.sizes, network.activations, network.loss_name, dtype, network.rng, [*arrays])
    folded._init = network._init
    folded._trained_on_labels = network._trained_on_labels
    return folded
