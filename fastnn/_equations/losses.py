"""The losses of one output, always from its logit z and its target y, and the table of them."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, cast

from fastnn._equations.activations import Activation
from fastnn._equations.algebra import Equation, Value, select
from fastnn._equations.functions import exp, log_of_1_plus_unit, minus_abs, sigmoid

Kind = Literal["classes", "answers", "numbers"]
Domain = Literal["real", "unit interval", "not negative"]


def sigmoid_cross_entropy(z: Value, y: Value) -> Value:
    """Return -y log(sigmoid(z)) - (1 - y) log(1 - sigmoid(z)) = max(z, 0) - z y + log(1 + e^-|z|)."""
    t = exp(minus_abs(z))
    positive = select(z > 0.0, z, 0.0)
    return (positive - z * y) + log_of_1_plus_unit(t)


def sigmoid_cross_entropy_delta(z: Value, y: Value) -> Value:
    """Return sigmoid(z) - y."""
    return sigmoid(z) - y


def squared_error(z: Value, y: Value) -> Value:
    """Return (z - y)^2 / 2."""
    error = z - y
    return error * error * 0.5


def squared_error_delta(z: Value, y: Value) -> Value:
    """Return z - y."""
    return z - y


def poisson(z: Value, y: Value) -> Value:
    """Return h - y log(h) of h = e^z."""
    return exp(z) - y * z


def poisson_delta(z: Value, y: Value) -> Value:
    """Return e^z - y."""
    return exp(z) - y


def value_and_delta(value: Equation, delta: Equation) -> Equation:
    """Return the equation that computes both of one z and y."""

    def both(z: Value, y: Value) -> tuple[Value, Value]:
        return cast("Value", value(z, y)), cast("Value", delta(z, y))

    both.__name__ = f"{value.__name__}_and_delta"
    return both


class Loss(IntEnum):
    """The code by which kernels know a loss, with its equations.

    Each row: the code, one output's loss and its derivative at z (softmax, which needs whole rows, has none), the
    output unit, what the targets are, and the values that they may take.
    """

    value_equation: Equation | None
    delta_equation: Equation | None
    output: Activation
    kind: Kind
    domain: Domain

    def __new__(
        cls, code: int, value: Equation | None, delta: Equation | None, output: Activation, kind: Kind, domain: Domain
    ) -> Loss:
        """Make a row of the table."""
        row = int.__new__(cls, code)
        row._value_ = code
        row.value_equation, row.delta_equation = value, delta
        row.output, row.kind, row.domain = output, kind, domain
        return row

    SOFTMAX_CROSS_ENTROPY = 0, None, None, Activation.SOFTMAX, "classes", "unit interval"
    SIGMOID_CROSS_ENTROPY = (
        1, sigmoid_cross_entropy, sigmoid_cross_entropy_delta, Activation.SIGMOID, "answers", "unit interval",
    )  # fmt: skip
    SQUARED_ERROR = 2, squared_error, squared_error_delta, Activation.IDENTITY, "numbers", "real"
    POISSON = 3, poisson, poisson_delta, Activation.EXP, "numbers", "not negative"


# Of the losses of single outputs: softmax needs whole rows.
VALUES_AND_DELTAS = {
    row: value_and_delta(row.value_equation, row.delta_equation)
    for row in Loss
    if row.value_equation and row.delta_equation
}
