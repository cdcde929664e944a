"""Data with real targets as they were given, to judge a network by: in float64 and in the user's units."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Data
from fastnn.architecture import Architecture
from fastnn.data.arrays import as_data, as_numbers
from fastnn.data.blocks import in_blocks
from fastnn.data.feeds import feed_of
from fastnn.data.labels import Classes
from fastnn.data.scaling import Scaler, Standardizer
from fastnn.data.sparse import written_out
from fastnn.data.weights import check_weights, with_weights

Targets = npt.NDArray[np.float64]


class Given(NamedTuple):
    """Samples and targets, as kernels read them and as they were given.

    Attributes
    ----------
    data : Data
        For the kernels: in the network's dtype, standardised where the network has a scale.
    targets : ndarray, (m, K), or None
        Real targets in float64; None where ``data`` holds the same numbers.
    standardised : bool
        Whether those in ``data`` are.
    """

    data: Data
    targets: Targets | None = None
    standardised: bool = False

    @property
    def own(self) -> Data:
        """The data with the targets as they were given."""
        return self.data if self.targets is None else self.data._replace(targets=self.targets)

    def scaled(self, scaler: Scaler | None) -> Given:
        """Return the same with samples that kernels scale."""
        if scaler is None:
            return self
        return self._replace(data=self.data._replace(X=scaler.scaled(self.data.X, self.data.targets.dtype)))

    def pieces(self) -> Generator[Given, None, None]:
        """Yield parts whose samples are in memory: the whole, where these are."""
        feed = feed_of(self.data.X)
        if feed is None:
            yield self
        else:
            yield from feed.pieces(self)


def as_given(
    X: npt.ArrayLike,
    y: npt.ArrayLike | None,
    architecture: Architecture,
    check_finite: bool = True,
    names: tuple[str, str] = ("X", "y"),
    classes: Classes | None = None,
    scale: Standardizer | None = None,
) -> Given:
    """Check samples and targets; see ``as_data`` for what is raised."""
    if not isinstance(X, np.ndarray) and hasattr(X, "as_given"):  # a stream, which brings its targets
        found: Given = X.as_given(y, architecture, check_finite, names, classes, scale)
        return found
    if y is None:
        raise TypeError(f"{names[1]} must be given with {names[0]}, unless that is a fastnn.data.Stream; got None")
    if architecture.loss.classifies:
        return Given(as_data(X, y, architecture, check_finite, names, classes))
    numbers = as_numbers(written_out(y, names[1]), names[1])
    if scale is not None and numbers.ndim in (1, 2) and numbers.size:
        own = _matrix(numbers)
        if own.shape[1] == len(scale.mean):  # another number of columns is refused below
            return Given(as_data(X, scale.transform(own), architecture, check_finite, names), own, standardised=True)
    data = as_data(X, numbers, architecture, check_finite, names)
    if numbers.dtype == architecture.dtype:
        return Given(data)
    own = _matrix(numbers)
    return Given(data, None if np.array_equal(own, data.targets) else own)


def as_validation_data(
    given: tuple[Any, ...] | Any | None,
    architecture: Architecture,
    check_finite: bool = True,
    classes: Classes | None = None,
    scale: Standardizer | None = None,
) -> Given | None:
    """Check what ``fit`` is given to validate on."""
    if given is None:
        return None
    if hasattr(given, "as_given"):  # a stream
        given = (given, None)
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise TypeError(f"validation_data must be (X, y) or (X, y, weights); got {type(given).__name__}")
    X, y, *weights = given
    X = in_blocks(X)
    held = as_given(X, y, architecture, check_finite, ("validation_data X", "validation_data y"), classes, scale)
    if weights:
        held = held._replace(data=with_weights(held.data, weights[0], name="validation_data weights"))
    return held


def scale_of(y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None, name: str = "y") -> Standardizer:
    """Return the (weighted) mean and deviation of each column of real targets, in float64.

    What is not finite does not count, and a column without anything else keeps its unit. Targets of another shape than
    (m,) or (m, K) give a scale without columns, as which they are refused later.

    Raises
    ------
    ValueError
        If a column's deviation is beyond float64.
    """
    numbers = as_numbers(written_out(y, name), name)
    if numbers.ndim not in (1, 2) or not numbers.size:
        return Standardizer(np.zeros(0), np.ones(0))
    weights = None if sample_weight is None else check_weights(sample_weight, len(numbers), "sample_weight")
    measured = [_measure(column, weights) for column in _matrix(numbers).T]
    scale = Standardizer(*(np.array(part) for part in zip(*measured, strict=True)))
    if not (np.isfinite(scale.mean) & np.isfinite(scale.deviation)).all():
        raise ValueError(f"{name} is too large to be scaled: its deviation is beyond float64")
    return scale


def _measure(column: Targets, weights: Targets | None) -> tuple[float, float]:
    """Return a column's mean and deviation."""
    counts = np.isfinite(column) if weights is None else np.isfinite(column) & (weights > 0)
    values, weights = column[counts], None if weights is None else weights[counts]
    if not values.size:
        return 0.0, 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        scale = Standardizer.of(values, weights=weights)
    return float(scale.mean), float(scale.deviation)


def _matrix(numbers: npt.NDArray[Any]) -> Targets:
    return numbers.astype(np.float64, copy=False).reshape(len(numbers), -1)
