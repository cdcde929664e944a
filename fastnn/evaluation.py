"""What a network's outputs say: the predicted targets, the loss and the score."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn import _kernels, scores
from fastnn._kernels import reference
from fastnn._kernels.contract import Activation, Array, Data, Samples
from fastnn._kernels.contract import Loss as Code
from fastnn.architecture import Architecture
from fastnn.data import Classes, Given, Standardizer, feed_of
from fastnn.own_functions import OwnLoss


def outputs(architecture: Architecture, parameters: Array, X: Samples) -> Array:
    """Return the output unit's values A_L of samples as the kernels read them, quantiles in order if they must be."""
    if (feed := feed_of(X)) is not None:
        with closing(feed.samples()) as parts:
            return np.concatenate([outputs(architecture, parameters, part) for part in parts])
    out = np.empty((len(X), architecture.sizes[-1]), architecture.dtype)
    _kernels.kernels().forward(architecture.model, parameters, X, out)
    architecture.loss.arrange(out)
    return out


def decide(
    architecture: Architecture, outputs: Array, as_labels: bool, classes: Classes | None = None
) -> npt.NDArray[Any]:
    """Return the targets that the outputs predict, labels as users have them.

    For several yes/no outputs the labels, or an answer each.
    """
    places = _decide(architecture, outputs, as_labels)
    if classes is None or classes.numbered or places.ndim > 1:
        return places
    labels: npt.NDArray[Any] = classes.labels[places]
    return labels


def _decide(architecture: Architecture, outputs: Array, as_labels: bool) -> npt.NDArray[Any]:
    loss, single = architecture.loss, architecture.sizes[-1] == 1
    if loss.classifies and as_labels and not single:
        labels: npt.NDArray[Any] = outputs.argmax(axis=1)
        return labels
    answers = (outputs >= loss.threshold).astype(np.int64) if loss.classifies else outputs
    return answers[:, 0] if single else answers


def score(architecture: Architecture, outputs: Array, data: Data, warn: bool = True) -> float:
    """Return the accuracy, R^2 or D^2 on targets as the kernels read them; see ``Network.score``."""
    targets = data.labels if data.labels.size else data.targets
    return score_of(architecture, outputs, targets, data.weights if data.weights.size else None, warn)


def score_of(
    architecture: Architecture,
    outputs: Array,
    targets: npt.NDArray[Any],
    weights: npt.NDArray[Any] | None = None,
    warn: bool = True,
) -> float:
    """Return the accuracy, R^2 or D^2 of outputs.

    Parameters
    ----------
    outputs : ndarray, (m, K)
        The output unit's values.
    targets : ndarray, (m,), (m, K) or (m, 1)
        Labels, for several outputs or one; or 0 and 1 for each output; or real numbers of any dtype, which are compared
        in float64, NaN where one is missing.
    weights : ndarray, (m,), optional
        Of the samples.
    warn : bool
        Whether a UserWarning names outputs all of whose targets are the same: they have no R^2 or D^2.
    """
    loss = architecture.loss
    if isinstance(loss, OwnLoss):
        return loss.score(outputs, targets, weights)
    if not loss.classifies:
        levels = loss.numbers(architecture.sizes[-1]) if loss.code == Code.QUANTILE else ()
        return scores.explained(outputs, targets, scores.DEVIANCES.get(loss.code, scores.R2), levels, weights, warn)
    if targets.ndim == 1:
        answers = outputs[:, 0] >= loss.threshold if architecture.sizes[-1] == 1 else outputs.argmax(axis=1)
        return scores.accuracy(answers == targets, weights)
    return scores.accuracy(((outputs >= loss.threshold) == targets).all(axis=1), weights)


def loss(architecture: Architecture, parameters: Array, given: Given, l2: float = 0.0) -> float:
    """Return J, of targets that are not rounded; of standardised ones where the network has a scale."""
    model, data = architecture.model, given.data
    if feed_of(data.X) is not None:
        with closing(given.pieces()) as pieces:
            parts = [(loss(architecture, parameters, piece), len(piece.data.X)) for piece in pieces]
        return _mean(parts) + reference.penalty(model, parameters, l2 / sum(count for _, count in parts))
    if given.targets is None or given.standardised:
        return float(_kernels.kernels().loss(model, parameters, data, l2))
    Z = np.empty((len(data.X), architecture.sizes[-1]), architecture.dtype)
    linear = model._replace(activations=(*model.activations[:-1], int(Activation.IDENTITY)))
    _kernels.kernels().forward(linear, parameters, data.X, Z)
    mean = reference.mean_loss(model, Z, given.targets, data.weights)
    return mean + reference.penalty(model, parameters, l2 / len(data.X))


def predicted(architecture: Architecture, parameters: Array, X: Samples, scale: Standardizer | None) -> Array:
    """Return the outputs in the units of the targets as they were given, in float64 where the network has a scale."""
    found = outputs(architecture, parameters, X)
    return found if scale is None else found * scale.deviation + scale.mean


def judged(
    architecture: Architecture, parameters: Array, given: Given, scale: Standardizer | None = None
) -> tuple[Array, Data]:
    """Return the outputs, and the targets as they were given, which `score` takes."""
    with closing(given.pieces()) as pieces:
        return _joined([_judged(architecture, parameters, piece, scale) for piece in pieces])


def evaluate(
    architecture: Architecture, parameters: Array, given: Given, scale: Standardizer | None = None
) -> tuple[float, float]:
    """Return the loss without the penalty, and the score; after every epoch, so nothing is said of constant targets."""
    parts, losses = [], []
    with closing(given.pieces()) as pieces:
        for piece in pieces:
            parts.append(_judged(architecture, parameters, piece, scale))
            losses.append((loss(architecture, parameters, piece), len(piece.data.X)))
    return _mean(losses), score(architecture, *_joined(parts), warn=False)


def _judged(architecture: Architecture, parameters: Array, piece: Given, scale: Standardizer | None) -> Data:
    """Return the targets, with the outputs in the place of the samples, which then need not stay in memory."""
    return piece.own._replace(X=predicted(architecture, parameters, piece.data.X, scale))


def _joined(parts: list[Data]) -> tuple[Any, Data]:
    """Return the outputs and the targets of all parts."""
    if len(parts) == 1:
        return parts[0].X, parts[0]
    joined: list[Any] = [np.concatenate(each) for each in zip(*parts, strict=True)]
    return joined[0], Data(*joined)


def _mean(parts: list[tuple[float, int]]) -> float:
    """Return the mean of parts' mean losses."""
    return parts[0][0] if len(parts) == 1 else sum(each * m for each, m in parts) / sum(m for _, m in parts)
