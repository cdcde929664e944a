"""What every way out asks: the networks and the preprocessing, whether activations are known there, outputs' order."""

from __future__ import annotations

import copy
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn.architecture import Architecture
from fastnn.data import as_classes
from fastnn.losses import Quantile
from fastnn.network import Network

if TYPE_CHECKING:
    from fastnn.sklearn.estimator import BaseMLP
    from fastnn.sklearn.preprocessing import TabularPreprocessor


FAR = 1e100  # beyond where the smooth clipping of tables has reached 3; its square is finite


class Model(NamedTuple):
    """What predicts: a network, or the networks of an estimator and the preprocessing of its preset."""

    networks: list[Network]
    table: TabularPreprocessor | None = None

    def network(self, library: str) -> Network:
        """Return the network; of an ensemble there are several, which a library may not take."""
        if len(self.networks) > 1:
            raise ValueError(f"net must be one network for {library}; it is an ensemble of {len(self.networks)}")
        return self.networks[0]


def model_of(net: object) -> Model:
    """Return what a network or an estimator of ``fastnn.sklearn`` predicts with."""
    if isinstance(net, Network):
        return Model([net])
    if "fastnn.sklearn.estimator" in sys.modules:  # otherwise net cannot be one of its estimators
        from fastnn.sklearn.estimator import BaseMLP

        if isinstance(net, BaseMLP):
            networks = [own_network(member) for member in getattr(net, "estimators_", [net])]
            return Model(networks, None if net.preset is None else net._preprocessor)
    raise TypeError(
        f"net must be a fastnn.Network or an estimator of fastnn.sklearn; got {type(net).__name__} "
        "(from_sklearn makes a network of scikit-learn's)"
    )


def own_network(estimator: BaseMLP) -> Network:
    """Return a copy of the network in one of fastnn's estimators, which comes after a preset's preprocessing."""
    return labelled(copy.deepcopy(estimator.network_), estimator)


def labelled(net: Network, estimator: Any) -> Network:
    """Return a network that knows the labels of an estimator."""
    if hasattr(estimator, "classes_") and estimator._label_binarizer.y_type_ != "multilabel-indicator":
        _, net.state.classes = as_classes(estimator.classes_, net.sizes[-1], None, "estimator.classes_", learns=True)
        net.state.trained_on_labels = True
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
