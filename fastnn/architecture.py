"""Architecture: what a network computes. It is checked once, when it is made, and never changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._checks import check_integer, check_real
from fastnn._kernels import reference
from fastnn._kernels.contract import Array, Model
from fastnn.activations import Activation, find_activation
from fastnn.losses import Loss, find_loss
from fastnn.own_functions import describe_activation, described_activation, described_loss

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Architecture:
    """The layers of a network, its loss and its dtype; ``Architecture.of`` makes one of what a user gives.

    Attributes
    ----------
    sizes : tuple of int
        Units of each layer, inputs first, outputs last.
    activations : tuple of Activation
        One for each hidden layer.
    loss : Loss
        It fixes the output unit.
    dtype : numpy.dtype
        Of the parameters and of all computation.
    dropout : tuple of float
        The share of each hidden layer's units that is dropped while training.
    """

    sizes: tuple[int, ...]
    activations: tuple[Activation, ...]
    loss: Loss
    dtype: np.dtype[Any]
    dropout: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        sizes: Sequence[int],
        activation: str | Activation | Sequence[str | Activation] = "sigmoid",
        loss: str | Loss = "softmax_cross_entropy",
        dtype: npt.DTypeLike = "float32",
        dropout: float | Sequence[float] = 0.0,
    ) -> Architecture:
        """Check what ``Network`` was given, and make an architecture of it."""
        units = _check_sizes(sizes)
        activations = _check_activations(activation, len(units) - 2)
        found = find_loss(loss)
        if found.chooses and units[-1] < 2:
            raise ValueError(
                f"softmax needs at least two output units; got sizes={units}. For two classes with one output "
                "take loss='sigmoid_cross_entropy'"
            )
        found.numbers(units[-1])  # refused here where it does not fit the outputs
        return cls(units, activations, found, _check_dtype(dtype), _check_dropout(dropout, len(units) - 2))

    @cached_property
    def model(self) -> Model:
        """The architecture as the kernels take it."""
        n_in, n_out = np.array(self.sizes[:-1]), np.array(self.sizes[1:])
        ends = np.cumsum(n_in * n_out + n_out)
        return Model(
            sizes=self.sizes,
            weights=(0, *ends[:-1].tolist()),
            biases=tuple((ends - n_out).tolist()),
            activations=(*(a.code for a in self.activations), self.loss.output),
            slopes=(*(a.slope for a in self.activations), 0.0),
            loss=self.loss.code,
            dropout=(*self.dropout, 0.0) if any(self.dropout) else (),
            loss_numbers=self.loss.numbers(self.sizes[-1]),
            smoothing=self.loss.smoothing,
            masked=self.loss.masks,
            n_targets=self.loss.targets(self.sizes[-1]),
        )

    @cached_property
    def n_parameters(self) -> int:
        """How many weights and biases there are."""
        return self.model.biases[-1] + self.sizes[-1]

    def layers(self, vector: Array) -> list[tuple[Array, Array]]:
        """Return views (W, b) of each layer in a vector laid out like the parameters."""
        return list(reference.layers(self.model, vector))

    def describe(self) -> dict[str, Any]:
        """Return the architecture in names and numbers, as it is saved."""
        return {
            "sizes": self.sizes,
            "activations": [describe_activation(a) for a in self.activations],
            "loss": self.loss.describe(),
            "dtype": self.dtype.name,
            **({"dropout": self.dropout} if any(self.dropout) else {}),
        }

    @classmethod
    def from_description(cls, about: dict[str, Any]) -> Architecture:
        """Return the architecture that ``describe`` described."""
        activations = [described_activation(a) for a in about["activations"]]
        loss = described_loss(about["loss"])
        return cls.of(about["sizes"], activations, loss, about["dtype"], about.get("dropout", 0.0))

    def __reduce__(self) -> tuple[Callable[..., Architecture], tuple[dict[str, Any]]]:
        """Return how a copy is made, also in another process: of names, so that a pickle outlives codes and layouts."""
        return Architecture.from_description, (self.describe(),)


def _check_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(sizes, list | tuple | np.ndarray):
        raise TypeError(f"sizes must be a sequence of integers, inputs first and outputs last; got {sizes!r}")
    if len(sizes) < 2:
        raise ValueError(f"sizes must name at least the inputs and the outputs; got {tuple(sizes)}")
    return tuple(check_integer(f"sizes[{i}]", n, low=1) for i, n in enumerate(sizes))


def _check_activations(
    activation: str | Activation | Sequence[str | Activation], hidden: int
) -> tuple[Activation, ...]:
    if isinstance(activation, str | Activation):
        return (find_activation(activation),) * hidden
    if not isinstance(activation, Sequence):
        raise TypeError(f"activation must be one name, or one for each of {hidden} hidden layers; got {activation!r}")
    found = tuple(find_activation(a) for a in activation)
    if len(found) != hidden:
        raise ValueError(f"activation must be one name, or one for each of {hidden} hidden layers; got {len(found)}")
    return found


def _check_dropout(dropout: object, hidden: int) -> tuple[float, ...]:
    if isinstance(dropout, Real):
        return (check_real("dropout", dropout, low=0, below=1),) * hidden
    if isinstance(dropout, str) or not isinstance(dropout, Sequence | np.ndarray):
        raise TypeError(f"dropout must be one number, or one for each of {hidden} hidden layers; got {dropout!r}")
    if len(dropout) != hidden:
        raise ValueError(f"dropout must be one number, or one for each of {hidden} hidden layers; got {len(dropout)}")
    return tuple(check_real(f"dropout[{i}]", p, low=0, below=1) for i, p in enumerate(dropout))


def _check_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    try:
        found = np.dtype(dtype)
    except TypeError as error:
        raise TypeError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}") from error
    if dtype is None:  # float64 to NumPy
        raise TypeError(f"dtype must be one of {', '.join(DTYPES)}; got None")
    if found.name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {found.name}")
    return found.newbyteorder("=")
