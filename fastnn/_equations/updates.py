"""The update rules: from the sums of a batch's gradients to the parameters and their moments.

g is the gradient of the mean loss plus l2 theta; the sums are the gradient times the number of samples. Rates, decays
and their rests are numbers of a step, the same for every parameter.
"""

from __future__ import annotations

from enum import IntEnum

from .algebra import Equation, Value, fma, sqrt


def _gradient(sums: Value, theta: Value, scale: Value, l2: Value) -> Value:
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
    for _ in range(v.format.newton_steps):
        result = fma(fma(-result, result, safe), half, result)
    return result


def quotient(x: Value, y: Value) -> Value:
    """Return x / y for y > 0."""
    if not y.has("rcp14"):
        return x / y
    inverse = y.approximate("rcp14")
    for _ in range(y.format.newton_steps):
        inverse = fma(fma(-y, inverse, 1.0), inverse, inverse)
    return x * inverse


def sgd(sums: Value, theta: Value, rate: Value, scale: Value, l2: Value) -> Value:
    """Gradient descent: theta <- theta - alpha g."""
    return fma(-rate, _gradient(sums, theta, scale, l2), theta)


def momentum(
    sums: Value, theta: Value, v: Value, rate: Value, decay: Value, scale: Value, l2: Value
) -> tuple[Value, Value]:
    """Momentum: v <- momentum v + g, theta <- theta - alpha v."""
    v = fma(decay, v, _gradient(sums, theta, scale, l2))
    return fma(-rate, v, theta), v


def nesterov(
    sums: Value, theta: Value, v: Value, rate: Value, decay: Value, scale: Value, l2: Value
) -> tuple[Value, Value]:
    """Nesterov's momentum: v <- momentum v + g, theta <- theta - alpha (g + momentum v)."""
    g = _gradient(sums, theta, scale, l2)
    v = fma(decay, v, g)
    return fma(-rate, fma(decay, v, g), theta), v


def rmsprop(
    sums: Value, theta: Value, s: Value, rate: Value, rho: Value, rest: Value, epsilon: Value, scale: Value, l2: Value
) -> tuple[Value, Value]:
    """RMSprop: s <- rho s + (1 - rho) g^2, theta <- theta - alpha g / (sqrt(s) + epsilon)."""
    g = _gradient(sums, theta, scale, l2)
    s = fma(s, rho, rest * (g * g))
    return theta - quotient(rate * g, root(s) + epsilon), s


def adam(
    sums: Value,
    theta: Value,
    v: Value,
    s: Value,
    rate: Value,
    beta1: Value,
    rest1: Value,
    beta2: Value,
    rest2: Value,
    epsilon: Value,
    correction: Value,
    keep: Value,
    scale: Value,
    l2: Value,
) -> tuple[Value, Value, Value]:
    """Adam's moments and step; ``keep`` is AdamW's factor of the weights, otherwise 1."""
    g = _gradient(sums, theta, scale, l2)
    v, s = fma(v, beta1, rest1 * g), fma(s, beta2, rest2 * (g * g))
    return theta * keep - quotient(rate * v, fma(root(s), correction, epsilon)), v, s


class Rule(IntEnum):
    """The code by which kernels know an optimizer's update rule."""

    SGD = 0
    RMSPROP = 1
    ADAM = 2
    ADAMW = 3
