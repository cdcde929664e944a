"""The update rules: from the sums of a batch's gradients to the parameters and their moments.

g is the gradient of the mean loss plus l2 theta; the sums are the gradient times the number of samples. Rates, decays
and so on are numbers of a step, the same for every parameter.
"""

from __future__ import annotations

from enum import IntEnum

from fastnn._equations.algebra import Equation, Number, Value, fma, sqrt


def _gradient(sums: Value, theta: Value, scale: Number, l2: Number) -> Value:
    return fma(theta, l2, sums * scale)


def root(v: Value) -> Value:
    """Return the square root of v >= 0; on AVX-512 v counts as a normal number, the smallest or the largest one.

    AVX-512's divider takes 22 cycles for a root and a quotient, Newton's method from 14 bits half of that.
    """
    if not v.has("rsqrt14"):
        return sqrt(v)
    safe = v.at_least(v.format.smallest_normal).at_most(v.format.largest)
    estimate = safe.approximate("rsqrt14")
    result, half = safe * estimate, estimate * 0.5
    for _ in range(v.format.newton_steps - 1):
        rest = fma(-result, half, 0.5)
        result, half = fma(result, rest, result), fma(half, rest, half)
    return fma(fma(-result, result, safe), half, result)


def quotient(x: Value, y: Value) -> Value:
    """Return x / y for y > 0."""
    if not y.has("rcp14"):
        return x / y
    inverse = y.approximate("rcp14")
    for _ in range(y.format.newton_steps):
        inverse = fma(fma(-y, inverse, 1.0), inverse, inverse)
    return x * inverse


def sgd(sums: Value, theta: Value, rate: Number, scale: Number, l2: Number) -> Value:
    """Gradient descent: theta <- theta - alpha g."""
    return fma(-rate, _gradient(sums, theta, scale, l2), theta)


def momentum(
    sums: Value, theta: Value, v: Value, rate: Number, first: Number, scale: Number, l2: Number
) -> tuple[Value, Value]:
    """Momentum: v <- first v + g, theta <- theta - alpha v."""
    v = fma(first, v, _gradient(sums, theta, scale, l2))
    return fma(-rate, v, theta), v


def nesterov(
    sums: Value, theta: Value, v: Value, rate: Number, first: Number, scale: Number, l2: Number
) -> tuple[Value, Value]:
    """Nesterov's momentum: v <- first v + g, theta <- theta - alpha (g + first v)."""
    g = _gradient(sums, theta, scale, l2)
    v = fma(first, v, g)
    return fma(-rate, fma(first, v, g), theta), v


def rmsprop(
    sums: Value, theta: Value, s: Value,
    rate: Number, second: Number, second_rest: Number, epsilon: Number, scale: Number, l2: Number,
) -> tuple[Value, Value]:  # fmt: skip
    """RMSprop: s <- rho s + (1 - rho) g^2, theta <- theta - alpha g / (sqrt(s) + epsilon); rho is ``second``."""
    g = _gradient(sums, theta, scale, l2)
    s = fma(s, second, second_rest * (g * g))
    return theta - quotient(rate * g, root(s) + epsilon), s


def adamw(
    sums: Value, theta: Value, v: Value, s: Value,
    corrected_rate: Number, first: Number, first_rest: Number, second: Number, second_rest: Number,
    epsilon: Number, root_correction: Number, keep: Number, scale: Number, l2: Number,
) -> tuple[Value, Value, Value]:  # fmt: skip
    """Adam's moments and step, of weights that ``keep`` scales; the betas are ``first`` and ``second``."""
    g = _gradient(sums, theta, scale, l2)
    v, s = fma(v, first, first_rest * g), fma(s, second, second_rest * (g * g))
    return theta * keep - quotient(corrected_rate * v, fma(root(s), root_correction, epsilon)), v, s


def adam(
    sums: Value, theta: Value, v: Value, s: Value,
    corrected_rate: Number, first: Number, first_rest: Number, second: Number, second_rest: Number,
    epsilon: Number, root_correction: Number, scale: Number, l2: Number,
) -> tuple[Value, Value, Value]:  # fmt: skip
    """Adam's moments and step."""
    numbers = corrected_rate, first, first_rest, second, second_rest, epsilon, root_correction
    return adamw(sums, theta, v, s, *numbers, theta.constant(1.0), scale, l2)


# The numbers of a step, by the names that equations give them: alpha, alpha / (1 - first^t), the decays with their
# rests 1 - first and 1 - second, ...
NUMBERS = (
    "rate", "corrected_rate", "first", "first_rest", "second", "second_rest", "epsilon",
    "root_correction", "keep", "scale", "l2",
)  # fmt: skip


class Rule(IntEnum):
    """The code by which kernels know an optimizer's update rule, with its equation.

    An equation's inputs are the sums, the parameters, their moments, and any of `NUMBERS`; its results are the
    parameters and the moments. Those after AdamW are SGD's with momentum: optimizers say SGD, kernels choose.
    """

    equation: Equation

    def __new__(cls, code: int, equation: Equation) -> Rule:
        """Make a row of the table."""
        row = int.__new__(cls, code)
        row._value_ = code
        row.equation = equation
        return row

    SGD = 0, sgd
    RMSPROP = 1, rmsprop
    ADAM = 2, adam
    ADAMW = 3, adamw
    MOMENTUM = 4, momentum
    NESTEROV = 5, nesterov
