"""Weights of samples: what users give, scaled to mean 1, so that a batch's gradient is an unbiased one of the cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastnn._checks import check_real
from fastnn._kernels.contract import Data, Integers, Numbers
from fastnn.data.arrays import as_numbers

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
        Multiplies the weight of each sample by that of its class. "balanced" gives every class in y the same total: m /
        (the number of these classes times the samples of the class), where all samples weigh the same.
    classes : ndarray, optional
        The labels of the classes 0, 1, ...; needed with ``class_weight``.
    name : str
        Of the argument, for errors.
    """
    if sample_weight is None and class_weight is None:
        return data
    m = len(data.X)
    weights = np.ones(m) if sample_weight is None else check_weights(sample_weight, m, name)
    if class_weight is not None:
        assert classes is not None
        labels = _labels_of(data)
        weights = weights * _weights_of_classes(class_weight, labels, classes, weights)[labels]
        name = name if sample_weight is not None else "class_weight"
    largest = weights.max()
    if not 0 < largest < np.inf:
        raise ValueError(f"{name} must hold a weight above 0, and a finite one; the largest weight of y is {largest:g}")
    weights = weights / largest  # whose sum is in range
    return data._replace(weights=weights * (m / weights.sum()))


def check_weights(sample_weight: npt.ArrayLike, m: int, name: str) -> Numbers:
    """Return weights as float64; see ``with_weights``."""
    weights = as_numbers(sample_weight, name)
    if weights.shape != (m,):
        raise ValueError(f"{name} must be one number a sample, ({m},); got shape {weights.shape}")
    found = np.ascontiguousarray(weights, np.float64)
    wrong = ~(np.isfinite(found) & (found >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{name} must be finite and not negative; found {found[row]:g} in row {row}")
    return found


def _labels_of(data: Data) -> Integers:
    """Return each sample's class; a single output's answers are the classes 0 and 1."""
    if data.labels.size:
        return data.labels
    if len(data.targets) and data.targets.shape[1] == 1 and ((data.targets == 0) | (data.targets == 1)).all():
        return data.targets[:, 0].astype(np.int64)
    raise ValueError(
        "class_weight needs y to be labels in memory, one class a sample; got a matrix, real numbers or a stream"
    )


def _weights_of_classes(
    class_weight: object, labels: Integers, classes: npt.NDArray[Any], weights: Numbers
) -> Numbers:  # fmt: skip
    """Return the weight of each class."""
    totals, known = np.bincount(labels, weights, minlength=len(classes)), classes.tolist()
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f"class_weight must be 'balanced' or a mapping of label to weight; got {class_weight!r}")
        there = totals > 0
        return np.where(there, weights.sum() / (np.count_nonzero(there) * np.where(there, totals, 1.0)), 0.0)
    if not isinstance(class_weight, Mapping):
        found = type(class_weight).__name__
        raise TypeError(f"class_weight must be 'balanced' or a mapping of label to weight; got {found}")
    if missing := [label for label in known if label not in class_weight]:
        raise ValueError(f"class_weight has no weight for class {missing[0]!r}; it has {list(class_weight)}")
    if unknown := [label for label in class_weight if label not in known]:
        raise ValueError(f"class_weight has a weight for {unknown[0]!r}, which is no class; classes are {known}")
    return np.array([check_real(f"class_weight[{label!r}]", class_weight[label], low=0) for label in known])
