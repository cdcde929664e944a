"""Scores: the accuracy of answers, and how much of the targets' deviance the outputs explain (R^2, D^2).

All functions take outputs and targets as arrays and compute in float64; ``weights`` are the samples', (m,).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Loss as Code

Numbers = npt.NDArray[np.float64]
Weights = npt.NDArray[Any] | None


class Deviance(NamedTuple):
    """How far outputs are from targets, and the constant that is nearest to all targets.

    ``of`` takes (y, h, level) and returns an array, ``best`` (y, weights, level) and returns a number.
    """

    of: Callable[[Numbers, Numbers, float], Numbers]
    best: Callable[[Numbers, Weights, float], float]


def mean(y: Numbers, weights: Weights, level: float = 0.0) -> float:
    """Return the weighted mean."""
    return float(np.average(y, weights=weights))


def quantile(y: Numbers, weights: Weights, level: float) -> float:
    """Return the least number that is at least as large as a share of the weights, which is the level."""
    order = np.argsort(y, kind="stable")
    reached = np.cumsum(np.ones(len(y)) if weights is None else weights[order], dtype=np.float64)
    return float(y[order[min(np.searchsorted(reached, level * reached[-1]), len(y) - 1)]])


def squared_error(y: Numbers, h: Numbers, level: float = 0.0) -> Numbers:
    """Return (y - h)^2."""
    square: Numbers = (y - h) ** 2
    return square


def pinball(y: Numbers, h: Numbers, level: float) -> Numbers:
    """Return level (y - h) where y > h, (1 - level) (h - y) elsewhere."""
    error = y - h
    loss: Numbers = np.maximum(level * error, (level - 1) * error)
    return loss


def poisson(y: Numbers, h: Numbers, level: float = 0.0) -> Numbers:
    """Return 2 (y log(y / h) - y + h); y log y is 0 for y = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):  # infinite of an output that has become 0
        ratio = np.log(np.where(y > 0, y, 1)) - np.log(np.where(y > 0, h, 1))
        deviance: Numbers = 2 * (y * ratio - y + h)
    return deviance


R2, PINBALL, POISSON = Deviance(squared_error, mean), Deviance(pinball, quantile), Deviance(poisson, mean)
DEVIANCES = {
    Code.ABSOLUTE_ERROR: PINBALL, Code.QUANTILE: PINBALL, Code.POISSON: POISSON, Code.POISSON_SOFTPLUS: POISSON,
}  # fmt: skip


def explained(
    outputs: npt.NDArray[Any],
    targets: npt.NDArray[Any],
    deviance: Deviance,
    levels: Sequence[float] = (),
    weights: Weights = None,
    warn: bool = True,
) -> float:
    """Return 1 - sum d(y, h) / sum d(y, c) with the best constant c, the mean over the outputs.

    Parameters
    ----------
    outputs : ndarray, (m, K)
        h.
    targets : ndarray, (m, K) or (m, 1)
        y; those that are NaN are left out.
    deviance : Deviance
        d, and what finds c.
    levels : sequence of float, (K,)
        Each output's level, for quantiles.
    weights : ndarray, (m,), optional
        Of the samples.
    warn : bool
        Whether a UserWarning names outputs all of whose targets are the same.

    Returns
    -------
    float
        At most 1; NaN where no output has different targets. If some have not, the mean is over the others.
    """
    targets = np.broadcast_to(targets, outputs.shape)
    scores = np.array(
        [
            _explained(h.astype(np.float64), y.astype(np.float64), deviance, level, weights)
            for h, y, level in zip(outputs.T, targets.T, levels or [0.5] * len(outputs.T), strict=True)
        ]
    )
    defined = ~np.isnan(scores)
    if warn and not defined.all():
        names = ", ".join(map(str, np.flatnonzero(~defined)))
        warnings.warn(f"score: all targets of column {names} are the same: it has none", UserWarning, stacklevel=5)
    return float(scores[defined].mean()) if defined.any() else float("nan")


def _explained(h: Numbers, y: Numbers, deviance: Deviance, level: float, weights: Weights) -> float:
    """Return one output's score, NaN if all its targets that are there are the same."""
    there = ~np.isnan(y)
    if not there.all():
        h, y, weights = h[there], y[there], None if weights is None else weights[there]
    if weights is not None and not weights.all():  # what weighs nothing makes no difference either
        h, y, weights = h[weights > 0], y[weights > 0], weights[weights > 0]
    if not y.size or y.min() == y.max():
        return float("nan")
    best = np.full_like(y, deviance.best(y, weights, level))
    left, total = (np.average(deviance.of(y, x, level), weights=weights) for x in (h, best))
    return float(1 - left / total)


def accuracy(right: npt.NDArray[np.bool_], weights: Weights = None) -> float:
    """Return the share of the samples, (m,), whose answers are right."""
    return float(np.average(right, weights=weights))
