"""What every way out of a network asks: whether it is one, whether its activations are known there, its order."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from fastnn.architecture import Architecture
from fastnn.losses import Quantile
from fastnn.network import Network


def check_network(net: object) -> Network:
    """Return net if it is a network."""
    if not isinstance(net, Network):
        raise TypeError(
            f"net must be a fastnn.Network; got {type(net).__name__} (from_sklearn makes a network of an estimator)"
        )
    return net


def check_activations(net: Network, known: Collection[str], library: str) -> None:
    """Refuse a hidden layer's activation that another library has not, such as one of a user's own."""
    for number, activation in enumerate(net.activations, 1):
        if activation.name not in known:
            raise ValueError(
                f"hidden layer {number} of net has the activation {activation.name!r}; those that travel to {library} "
                f"are {', '.join(known)}"
            )


def places_in_order(architecture: Architecture) -> list[int] | None:
    """Return the place that each output has among a sample's outputs in ascending order; None where they may cross."""
    loss = architecture.loss
    if not isinstance(loss, Quantile) or loss.crossing or isinstance(loss.quantiles, float):
        return None
    places = np.arange(architecture.sizes[-1], dtype=np.float64)[None]
    loss.arrange(places)
    return [int(place) for place in places[0]]
