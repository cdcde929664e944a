"""The losses of one output, always from its logit z and its target y, and the table of them."""

from __future__ import annotations

import inspect
from enum import IntEnum
from typing import Literal, cast

from fastnn._equations.activations import Activation
from fastnn._equations.algebra import Equation, Value, fma, select
from fastnn._equations.functions import (
    exp,
    exp_of_minus_abs,
    log,
    log_of_1_plus_unit,
    minus_abs,
    rest_of_log_1_plus,
    sigmoid,
)

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


def absolute_error(z: Value, y: Value) -> Value:
    """Return |z - y|."""
    return minus_abs(z - y) * -1.0


def absolute_error_delta(z: Value, y: Value) -> Value:
    """Return the sign of z - y; 0 where they are equal."""
    error = z - y
    return select(error > 0.0, 1.0, select(error < 0.0, -1.0, error))


def huber(z: Value, y: Value, threshold: Value) -> Value:
    """Return e^2 / 2 of e = z - y up to the threshold t, t (|e| - t / 2) beyond: c (e - c / 2) of e cut off at c."""
    error = z - y
    cut = error.at_least(-threshold).at_most(threshold)
    return cut * fma(cut, -0.5, error)


def huber_delta(z: Value, y: Value, threshold: Value) -> Value:
    """Return z - y, cut off at the threshold."""
    return (z - y).at_least(-threshold).at_most(threshold)


def quantile(z: Value, y: Value, level: Value) -> Value:
    """Return level (y - z) where y > z, (1 - level) (z - y) elsewhere."""
    error = z - y
    return select(error > 0.0, 1.0 - level, -level) * error


def quantile_delta(z: Value, y: Value, level: Value) -> Value:
    """Return -level where y > z, 1 - level where y < z, 0 where they are equal."""
    error = z - y
    return select(error > 0.0, 1.0 - level, select(error < 0.0, -level, error))


def _softplus(z: Value) -> tuple[Value, Value, Value, Value]:
    """Return h = log(1 + e^z), its derivative s = sigmoid(z), log(h) and s / h, also where h and s are 0.

    For z <= 0 log(h) is z + log(h e^-z), and s / h is s e^-z / (h e^-z).
    """
    e = exp_of_minus_abs(z)
    positive, inverse, rest = z > 0.0, 1.0 / (e + 1.0), rest_of_log_1_plus(e)
    h = z.at_least(0.0) + (e + rest)
    scaled = select(positive, h, rest / e.at_least(z.format.smallest_normal) + 1.0)
    return h, select(positive, inverse, e * inverse), z.at_most(0.0) + log(scaled), inverse / scaled


def poisson_softplus(z: Value, y: Value) -> Value:
    """Return h - y log(h) of h = log(1 + e^z)."""
    h, _, log_h, _ = _softplus(z)
    return h - y * log_h


def poisson_softplus_delta(z: Value, y: Value) -> Value:
    """Return sigmoid(z) (1 - y / h) of h = log(1 + e^z)."""
    _, slope, _, slope_by_h = _softplus(z)
    return slope - y * slope_by_h


def hinge(z: Value, y: Value) -> Value:
    """Return max(0, 1 - z) where y = 1, max(0, 1 + z) where y = 0."""
    return fma(fma(y, -2.0, 1.0), z, 1.0).at_least(0.0)


def hinge_delta(z: Value, y: Value) -> Value:
    """Return -1 where y = 1 and z < 1, 1 where y = 0 and z > -1, 0 elsewhere."""
    minus_side = fma(y, -2.0, 1.0)
    return select(fma(minus_side, z, 1.0) > 0.0, minus_side, 0.0)


CANONICAL = (sigmoid_cross_entropy_delta, squared_error_delta, poisson_delta)  # the output unit's value minus y


def value_and_delta(value: Equation, delta: Equation) -> Equation:
    """Return the equation that computes both of one z and y, and of the output's number where they take one."""

    def of_two(z: Value, y: Value) -> tuple[Value, Value]:
        return cast("Value", value(z, y)), cast("Value", delta(z, y))

    def of_three(z: Value, y: Value, number: Value) -> tuple[Value, Value]:
        return cast("Value", value(z, y, number)), cast("Value", delta(z, y, number))

    both = of_three if len(inspect.signature(value).parameters) == 3 else of_two
    both.__name__ = f"{value.__name__}_and_delta"
    return both


class Loss(IntEnum):
    """The code by which kernels know a loss, with its equations.

    Each row: the code, one output's loss and its derivative at z (softmax, which needs whole rows, has none), the
    output unit, what the targets are, and the values that they may take. Equations of z and y may take a third input, a
    number that the network has for each output.
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

    @property
    def is_canonical(self) -> bool:
        """Whether the derivative at z is the output unit's value minus the target."""
        return self.delta_equation is None or self.delta_equation in CANONICAL

    SOFTMAX_CROSS_ENTROPY = 0, None, None, Activation.SOFTMAX, "classes", "unit interval"
    SIGMOID_CROSS_ENTROPY = (
        1, sigmoid_cross_entropy, sigmoid_cross_entropy_delta, Activation.SIGMOID, "answers", "unit interval",
    )  # fmt: skip
    SQUARED_ERROR = 2, squared_error, squared_error_delta, Activation.IDENTITY, "numbers", "real"
    POISSON = 3, poisson, poisson_delta, Activation.EXP, "numbers", "not negative"
    ABSOLUTE_ERROR = 4, absolute_error, absolute_error_delta, Activation.IDENTITY, "numbers", "real"
    HUBER = 5, huber, huber_delta, Activation.IDENTITY, "numbers", "real"
    QUANTILE = 6, quantile, quantile_delta, Activation.IDENTITY, "numbers", "real"
    POISSON_SOFTPLUS = 7, poisson_softplus, poisson_softplus_delta, Activation.SOFTPLUS, "numbers", "not negative"
    HINGE = 8, hinge, hinge_delta, Activation.IDENTITY, "answers", "unit interval"


# Of the losses of single outputs: softmax needs whole rows.
VALUES_AND_DELTAS = {
    row: value_and_delta(row.value_equation, row.delta_equation)
    for row in Loss
    if row.value_equation and row.delta_equation
}
