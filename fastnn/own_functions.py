"""Activations and losses of one's own, from functions written with NumPy's: traced, differentiated and checked once.

What a network holds, saves and pickles is the formula that was traced, not the function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._equations.formula import Formula
from fastnn._kernels.contract import Activation as ActivationCode
from fastnn._kernels.contract import Array
from fastnn._kernels.formulas import evaluate
from fastnn.activations import ACTIVATIONS, Activation, find_activation, leaky_relu
from fastnn.losses import LOSSES, Loss, from_description


def activation_from(value: Callable[[Any], Any], name: str | None = None) -> Activation:
    """Return an activation g of your own.

    Parameters
    ----------
    value : callable
        g(z) of an array z, written with NumPy's functions of single elements: arithmetic, exp, expm1, log, log1p,
        logaddexp, tanh, sqrt, abs, sign, maximum, minimum, clip, where, comparisons, powers by whole numbers. It is
        called once, and must be finite at z = 0 and a number for every z; at a kink the derivative is one side's.
    name : str, optional
        For messages and ``Network``'s text; by default the function's, or "own".

    Returns
    -------
    Activation
        To be given as ``Network(activation=...)``, alone or in a list. Initial weights are He's where g grows on the
        positive side alone, ``|g(-8)| < |g(8)| / 2`` with ``|g(8)| > 4``, as rectifiers do; Glorot's otherwise.

    Raises
    ------
    TypeError
        If the function uses anything else, which the message names.
    ValueError
        If it is not finite at 0 or no number somewhere, or if its derivative is 0 everywhere or differs from finite
        differences; the message names the point.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> swish = fastnn.activation_from(lambda z: z / (1 + np.exp(-2 * z)), name="swish")
    >>> fastnn.Network((2, 3, 1), swish, "squared_error")
    Network((2, 3, 1), activation=['swish'], loss='squared_error', dtype='float32')
    """
    from fastnn._formula_checks import check_activation  # here, as `_tracer`: 12 ms that `import fastnn` need not take
    from fastnn._tracer import trace

    formula = trace("activation_from", value, 1)
    name = _name("activation_from", value, name, ACTIVATIONS)
    check_activation(formula)
    return _activation(name, formula)


def loss_from(value: Callable[[Any, Any], Any], name: str | None = None) -> Loss:
    """Return a loss of your own.

    A sample's loss is the sum of value(z, y) over its outputs z, which are units without an activation, and their
    targets y; the cost is the mean over the samples. The score is minus that mean, so that more is better.

    Parameters
    ----------
    value : callable
        The loss of arrays z and y, written as for `activation_from`. It is called once.
    name : str, optional
        For messages and ``Network.loss_name``; by default the function's, or "own".

    Returns
    -------
    Loss
        To be given as ``Network(loss=...)``; targets are any finite numbers, (m,) or (m, K).

    Raises
    ------
    TypeError
        If the function uses anything else, which the message names.
    ValueError
        If it is no number at some z, or if its derivative is 0 everywhere or differs from finite differences; the
        message names the point.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> log_cosh = fastnn.loss_from(lambda z, y: np.logaddexp(z - y, y - z) - np.log(2), name="log_cosh")
    >>> fastnn.Network((2, 3, 1), "tanh", log_cosh).loss_name
    'log_cosh'
    """
    from fastnn._formula_checks import check_loss
    from fastnn._tracer import trace

    formula = trace("loss_from", value, 2)
    name = _name("loss_from", value, name, LOSSES)
    check_loss(formula)
    return _loss(name, formula)


@dataclass(frozen=True)
class OwnLoss(Loss):
    """A loss of one's own: its code is the formula of the loss and of its derivative."""

    name: str  # type: ignore[misc]
    equation: str  # type: ignore[misc]
    formula: Formula

    @property
    def code(self) -> Formula:  # type: ignore[override]
        """How kernels know it."""
        return self.formula

    @property
    def output(self) -> ActivationCode:
        """The output unit: none."""
        return ActivationCode.IDENTITY

    @property
    def classifies(self) -> bool:
        """No: its targets are numbers."""
        return False

    @property
    def chooses(self) -> bool:
        """No: its targets are numbers."""
        return False

    @property
    def domain(self) -> str:
        """The values that targets may take: any."""
        return "real"

    @property
    def has_units(self) -> bool:
        """No: it may depend on the unit that targets are measured in."""
        return False

    def describe(self) -> dict[str, Any]:
        """Return what is saved of it."""
        return {"name": self.name, "formula": self.formula.only(0).describe()}

    def score(self, outputs: Array, targets: Array, weights: npt.NDArray[Any] | None = None) -> float:
        """Return minus the mean loss of outputs, (m, K), and targets, in float64; weights are the samples'."""
        values, _ = evaluate(self.formula, outputs.astype(np.float64), targets.astype(np.float64))
        return -float(np.average(values.sum(axis=1), weights=weights))


def _name(maker: str, value: Callable[..., Any], name: str | None, known: dict[str, Any]) -> str:
    """Return the name of a function of one's own: it must not be taken for one of fastnn's."""
    if name is None:
        name = getattr(value, "__name__", "own")
        return "own" if name == "<lambda>" or name in known else name
    if not isinstance(name, str) or not name:
        raise TypeError(f"{maker}: name must be a text; got {name!r}")
    if name in known:
        raise ValueError(f"{maker}: name={name!r} is the name of one of fastnn's own; choose another")
    return name


def _with_derivative(formula: Formula) -> Formula:
    from fastnn._equations.derivative import with_derivative

    return with_derivative(formula)


def _activation(name: str, formula: Formula) -> Activation:
    both = _with_derivative(formula)
    equation, derivative = both.texts()
    ends, _ = evaluate(both, np.array([-8.0, 8.0]))
    low, high = np.abs(ends)
    return Activation(name, equation, derivative, "he" if high > 4 and low < high / 2 else "glorot", both)


def _loss(name: str, formula: Formula) -> OwnLoss:
    both = _with_derivative(formula)
    return OwnLoss(name, f"sum_k {both.texts()[0]}", both)


def describe_activation(activation: Activation) -> dict[str, Any]:
    """Return an activation in names and numbers, as it is saved."""
    about: dict[str, Any] = {"name": activation.name, "slope": activation.slope}
    if isinstance(activation.code, Formula):
        about["formula"] = activation.code.only(0).describe()
    return about


def described_activation(about: dict[str, Any]) -> Activation:
    """Return the activation that `describe_activation` described."""
    if "formula" in about:
        return _activation(about["name"], _read(about["formula"], inputs=1))
    return leaky_relu(about["slope"]) if about["name"] == "leaky_relu" else find_activation(about["name"])


def described_loss(about: str | dict[str, Any]) -> Loss:
    """Return the loss that ``Loss.describe`` described."""
    if isinstance(about, dict) and "formula" in about:
        return _loss(about["name"], _read(about["formula"], inputs=2))
    return from_description(about)


def _read(about: dict[str, Any], inputs: int) -> Formula:
    formula = Formula.from_description(about)
    if formula.inputs != inputs or len(formula.results) != 1:
        raise ValueError(f"a formula of {inputs} inputs and 1 result is expected; got {about!r}")
    return formula
