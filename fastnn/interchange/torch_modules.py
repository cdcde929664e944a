"""Modules of PyTorch for what networks do before their first layer and after their last one, and PyTorch has not."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from fastnn._kernels.contract import Array
from fastnn.data import Scaler
from fastnn.interchange.common import FAR

if TYPE_CHECKING:
    from fastnn.sklearn.preprocessing import CategoryColumn, TabularPreprocessor


class Exp(nn.Module):
    """e^z: the output unit of Poisson's loss."""

    def forward(self, Z: torch.Tensor) -> torch.Tensor:
        """Return e^z of each element."""
        return Z.exp()


class Ascending(nn.Module):
    """Puts each sample's outputs in ascending order of their levels: quantiles that may not cross.

    Parameters
    ----------
    places : sequence of int
        Each output's place in that order.
    """

    def __init__(self, places: list[int]) -> None:
        super().__init__()
        self.register_buffer("places", torch.tensor(places))

    def forward(self, Z: torch.Tensor) -> torch.Tensor:
        """Return the outputs in order."""
        return Z.sort(dim=1).values[:, self.places]


class InputScale(nn.Module):
    """(x - mean) * inverse: the scale of a network's inputs, the first step of a module.

    Parameters
    ----------
    scaler : fastnn.data.Scaler
        Of the inputs.
    width : int
        The number of inputs.
    dtype : dtype
        The network's.
    """

    def __init__(self, scaler: Scaler, width: int, dtype: np.dtype[Any]) -> None:
        super().__init__()
        mean, inverse = scaler.numbers(width, dtype)
        self.scaler = scaler  # in float64, for the way back
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("inverse", torch.tensor(inverse))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the inputs as the first layer takes them."""
        return (X - self.mean) * self.inverse


class Tabular(nn.Module):
    """The preprocessing of ``preset="tabular"``, the first step of a module; categories must be numbers.

    Parameters
    ----------
    table : TabularPreprocessor
        Fitted.

    Raises
    ------
    ValueError
        If a column holds text, of which tensors know nothing.
    """

    def __init__(self, table: TabularPreprocessor) -> None:
        super().__init__()
        numbers, self.categories = table.steps()
        self.places, self.marked = numbers.places, numbers.marked
        self.dtype = getattr(torch, np.dtype(table.dtype).name)
        self.register_buffer("center", torch.tensor(numbers.center))
        self.register_buffer("factor", torch.tensor(numbers.factor))
        for column in self.categories:
            if not all(isinstance(each, Real | np.bool_) for each in column.values):
                raise ValueError(
                    f"column {column.place} of the table holds categories such as {column.values[0]!r}, and a tensor "
                    "numbers alone; to_onnx takes text"
                )
            values = torch.tensor([float(each) for each in column.values], dtype=torch.float64)
            self.register_buffer(f"values_{column.place}", values)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the table, (m, columns), NaN where a value is missing, as the first layer takes it."""
        X = X.double()
        numbers = X[:, self.places]
        missing = numbers.isnan()
        scaled = ((numbers - self.center) * self.factor).clamp(-FAR, FAR)
        clipped = (scaled / (1 + (scaled / 3) ** 2).sqrt()).masked_fill(missing, 0)
        parts = [clipped, missing[:, self.marked], *map(partial(self._ones, X), self.categories)]
        return torch.cat(parts, dim=1).to(self.dtype)

    def _ones(self, X: torch.Tensor, column: CategoryColumn) -> torch.Tensor:
        """Return 1 where a column has a category, a column each; 1 and -1 in one where there are two."""
        ones = (X[:, [column.place]] == getattr(self, f"values_{column.place}")).double()
        return ones[:, :1] - ones[:, 1:] if column.signed else ones


class TargetScale(nn.Module):
    """z * deviation + mean in float64: from standardised targets to the targets' units.

    Parameters
    ----------
    mean, deviation : ndarray, (K,) or ()
        In float64.
    """

    def __init__(self, mean: Array, deviation: Array) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))

    def forward(self, Z: torch.Tensor) -> torch.Tensor:
        """Return the outputs in the targets' units."""
        return Z.double() * self.deviation + self.mean
