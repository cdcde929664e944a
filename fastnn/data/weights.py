"""Weights of samples: what users give, scaled to mean 1, so that a batch's gradient is an unbiased one of the cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastnn._checks import check_real
from fastnn._kernels.contract import Data, Integers, Numbers

ClassWeight = Literal["balanced"] | Mapping[Any, float]


def with_weights(
    data: Data,
    sample_weight: npt.ArrayLike | None,
    class_weight: ClassWeight | None = None,
    classes: npt.NDArray[Any] | None = None,
    name: str = "sample_weight",
) -> Data:
    """Return the data with a weight for each sample, their mean 1; as they are where there are no weights.

    Parameters
    ----------
    sample_weight : array_like, (m,), optional
        Finite, >= 0, not all 0; only ratios count.
    class_weight : {"balanced"} or mapping of label to weight, optional
        Multiplies the weight of each sample by that of its class; "balanced" is m / (number of classes in y times the
        samples of the class).
    classes : ndarray, optional
        The labels of the classes 0, 1, ...; needed with ``class_weight``.
    name : str
        Of the argument, for errors.
    """
    if sample_weight is None and class_weight is None:
        return data
    m = len(data.X)
    weights = np.ones(m) if sample_weight is None else _check_weights(sample_weight, m, name)
    if class_weight is not None:
        assert classes is not None
        labels = _labels_of(data)
        weights = weights * _weights_of_classes(class_weight, labels, classes)[labels]
        name = name if sample_weight is not None else "class_weight"
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not 0 < total < np.inf:
        raise ValueError(f"{name} must hold a weight above 0, and a finite sum; the weights of y add up to {total:g}")
    return data._replace(weights=weights * (m / total))


def _check_weights(sample_weight: npt.ArrayLike, m: int, name: str) -> Numbers:
    try:
        weights = np.asarray(sample_weight)
    except ValueError as error:
        raise ValueError(f"{name} must be one number a sample, ({m},): {error}") from error
    if weights.dtype.kind not in "buif":
        raise TypeError(f"{name} must hold real numbers; got an array of dtype {weights.dtype}")
    if weights.shape != (m,):
        raise ValueError(f"{name} must be one number a sample, ({m},); got shape {weights.shape}")
    weights = np.ascontiguousarray(weights, np.float64)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{name} must be finite and not negative; found {weights[row]:g} in row {row}")
    return weights


def _labels_of(data: Data) -> Integers:
    """Return each sample's class; a single output's answers are the classes 0 and 1."""
    if data.labels.size:
        return data.labels
    if data.targets.shape[1] == 1 and ((data.targets == 0) | (data.targets == 1)).all():
        return data.targets[:, 0].astype(np.int64)
    raise ValueError("class_weight needs y to be labels, one class a sample; got a matrix or real numbers")


def _weights_of_classes(class_weight: object, labels: Integers, classes: npt.NDArray[Any]) -> Numbers:
    """Return the weight of each class."""
    count, known = np.bincount(labels, minlength=len(classes)), classes.tolist()
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f"class_weight must be 'balanced' or a mapping of label to weight; got {class_weight!r}")
        return np.where(count > 0, len(labels) / (np.count_nonzero(count) * np.maximum(count, 1)), 0.0)
    if not isinstance(class_weight, Mapping):
        found = type(class_weight).__name__
        raise TypeError(f"class_weight must be 'balanced' or a mapping of label to weight; got {found}")
    if missing := [label for label in known if label not in class_weight]:
        raise ValueError(f"class_weight has no weight for class {missing[0]!r}; it has {list(class_weight)}")
    if unknown := [label for label in class_weight if label not in known]:
        raise ValueError(f"class_weight has a weight for {unknown[0]!r}, which is no class; classes are {known}")
    return np.array([check_real(f"class_weight[{label!r}]", class_weight[label], low=0) for label in known])
