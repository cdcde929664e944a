"""What a network's outputs say: the predicted targets, the loss and the score."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn import _kernels
from fastnn._kernels import reference
from fastnn._kernels.contract import Activation, Array, Data
from fastnn.architecture import Architecture
from fastnn.data import Classes, Given, Standardizer


def outputs(architecture: Architecture, parameters: Array, X: Array) -> Array:
    """Return the output unit's values A_L of samples as the kernels read them."""
    out = np.empty((len(X), architecture.sizes[-1]), architecture.dtype)
    _kernels.kernels().forward(architecture.model, parameters, X, out)
    return out


def decide(
    architecture: Architecture, outputs: Array, as_labels: bool, classes: Classes | None = None
) -> npt.NDArray[Any]:
    """Return the targets that the outputs predict, labels as users have them.

    For several sigmoid outputs the labels, or an answer each.
    """
    places = _decide(architecture, outputs, as_labels)
    if classes is None or classes.numbered or places.ndim > 1:
        return places
    labels: npt.NDArray[Any] = classes.labels[places]
    return labels


def _decide(architecture: Architecture, outputs: Array, as_labels: bool) -> npt.NDArray[Any]:
    classifies, single = architecture.loss.classifies, architecture.sizes[-1] == 1
    if classifies and as_labels and not single:
        labels: npt.NDArray[Any] = outputs.argmax(axis=1)
        return labels
    answers = (outputs >= 0.5).astype(np.int64) if classifies else outputs
    return answers[:, 0] if single else answers


def score(architecture: Architecture, outputs: Array, data: Data) -> float:
    """Return the accuracy, for the squared error R^2; see ``Network.score``."""
    if data.labels.size:
        answers = outputs[:, 0] >= 0.5 if architecture.sizes[-1] == 1 else outputs.argmax(axis=1)
        return _mean(answers == data.labels, data)
    if architecture.loss.classifies:
        return _mean(((outputs >= 0.5) == data.targets).all(axis=1), data)
    y, weights = data.targets.astype(np.float64), data.weights[:, None] if data.weights.size else 1.0
    mean = (weights * y).mean(axis=0)  # the weights' mean is 1
    residual, total = (weights * (y - outputs) ** 2).sum(axis=0), (weights * (y - mean) ** 2).sum(axis=0)
    return float(np.mean(1 - residual / np.where(total > 0, total, np.nan)))


def _mean(right: npt.NDArray[np.bool_], data: Data) -> float:
    return float((data.weights[right].sum() / len(right)) if data.weights.size else right.mean())


def loss(architecture: Architecture, parameters: Array, given: Given, l2: float = 0.0) -> float:
    """Return J, of targets that are not rounded; of standardised ones where the network has a scale."""
    model, data = architecture.model, given.data
    if given.targets is None or given.standardised:
        return float(_kernels.kernels().loss(model, parameters, data, l2))
    Z = np.empty((len(data.X), architecture.sizes[-1]), architecture.dtype)
    linear = model._replace(activations=(*model.activations[:-1], int(Activation.IDENTITY)))
    _kernels.kernels().forward(linear, parameters, data.X, Z)
    mean = reference.mean_loss(model, Z, given.targets, data.weights)
    return mean + reference.penalty(model, parameters, l2 / len(data.X))


def predicted(architecture: Architecture, parameters: Array, X: Array, scale: Standardizer | None) -> Array:
    """Return the outputs in the units of the targets as they were given, in float64 where the network has a scale."""
    found = outputs(architecture, parameters, X)
    return found if scale is None else found * scale.deviation + scale.mean


def evaluate(
    architecture: Architecture, parameters: Array, given: Given, scale: Standardizer | None = None
) -> tuple[float, float]:
    """Return the loss without the penalty, and the score."""
    found = predicted(architecture, parameters, given.data.X, scale)
    return loss(architecture, parameters, given), score(architecture, found, given.own)
