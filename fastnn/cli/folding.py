"""The algebra of a standardisation folded into a trained network, which then takes and predicts raw values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastnn.data import Standardizer
from fastnn.network import Network

# From an offset of so many deviations on, raw values in float32 are a ten-thousandth of a deviation off, or more.
_FAR = 1000


def fold_into_inputs(scale: Standardizer, network: Network) -> Network:
    """Return a network that takes raw x where the given one takes the standardised one.

    With s the deviation and u the mean: ((x - u) / s) W + b = x W' + b' for W' = W / s, b' = b - (u / s) W. Where
    |u| is over 1000 s, as with the seconds of a clock, it is a float64 network: float32 would lose the digits of x.
    """
    far = (np.abs(scale.mean) > _FAR * scale.deviation).any()
    W, b = (array.astype(np.float64) for array in (network.weights[0], network.biases[0]))
    scaled = W / np.broadcast_to(scale.deviation, len(W))[:, None]
    shift = np.broadcast_to(scale.mean, len(W)) @ scaled
    return _with_layer(network, 0, scaled, b - shift, np.dtype(np.float64) if far else network.dtype)


def _with_layer(
    network: Network, layer: int, W: npt.NDArray[np.float64], b: npt.NDArray[np.float64], dtype: np.dtype
) -> Network:
    """Return the same network with another W and b in one layer, in the dtype, and without the optimizer's state."""
    arrays: list[tuple[npt.ArrayLike, npt.ArrayLike]] = list(zip(network.weights, network.biases, strict=True))
    arrays[layer] = (W, b)
    folded = Network(network.sizes, network.activations, network.architecture.loss, dtype, network.rng, [*arrays])
    folded.state.init = network.state.init
    folded.state.trained_on_labels = network.state.trained_on_labels
    folded.state.classes, folded.state.target_scale = network.state.classes, network.state.target_scale
    return folded
