"""What a network's outputs say: the predicted targets, the loss and the score."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn import _kernels
from fastnn._kernels.contract import Array, Data
from fastnn.architecture import Architecture
from fastnn.data.labels import Classes


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


def evaluate(architecture: Architecture, parameters: Array, data: Data) -> tuple[float, float]:
    """Return the loss without the penalty, and the score."""
    loss = float(_kernels.kernels().loss(architecture.model, parameters, data, 0.0))
    return loss, score(architecture, outputs(architecture, parameters, data.X), data)
