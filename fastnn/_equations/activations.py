"""The activations, their derivatives taken from what the forward pass saves, and the table that kernels choose from."""

from __future__ import annotations

from enum import IntEnum

from fastnn._equations.algebra import Equation, Number, Value, fma, select, signature
from fastnn._equations.functions import (
    exp,
    exp_minus_1,
    exp_of_minus_abs,
    log_of_1_plus_unit,
    minus_abs,
    normal_tail,
    sigmoid,
    tanh,
)

# Of "Self-normalizing neural networks" (Klambauer and others 2017): selu keeps mean 0 and variance 1.
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def sigmoid_derivative(a: Value, delta: Value) -> Value:
    """Return delta a (1 - a): from one rounding of a - a^2 where the CPU can."""
    return delta * (fma(-a, a, a) if a.has("fma") else a * (1.0 - a))


def tanh_derivative(a: Value, delta: Value) -> Value:
    """Return delta (1 - a^2): from one rounding where the CPU can."""
    return delta * (fma(-a, a, 1.0) if a.has("fma") else (1.0 - a) * (a + 1.0))


def relu(z: Value) -> Value:
    """Return 0 where z < 0, z elsewhere."""
    return z.at_least(0.0)


def relu_derivative(a: Value, delta: Value) -> Value:
    """Return delta where a > 0, 0 elsewhere."""
    return select(a > 0.0, delta, 0.0)


def leaky_relu(z: Value, slope: Number) -> Value:
    """Return z where z > 0, slope z elsewhere."""
    return select(z > 0.0, z, z * slope)


def leaky_relu_derivative(a: Value, delta: Value, slope: Number) -> Value:
    """Return delta where a > 0, slope delta elsewhere."""
    return select(a > 0.0, delta, delta * slope)


def elu(z: Value) -> Value:
    """Return z where z > 0, e^z - 1 elsewhere."""
    return select(z > 0.0, z, exp_minus_1(z.at_most(0.0)))


def elu_derivative(a: Value, delta: Value) -> Value:
    """Return delta where a > 0, delta e^z = delta (a + 1) elsewhere."""
    return select(a > 0.0, delta, delta * (a + 1.0))


def selu(z: Value) -> Value:
    """Return scale z where z > 0, scale alpha (e^z - 1) elsewhere."""
    return select(z > 0.0, z * SELU_SCALE, exp_minus_1(z.at_most(0.0)) * (SELU_SCALE * SELU_ALPHA))


def selu_derivative(a: Value, delta: Value) -> Value:
    """Return scale delta where a > 0, delta scale alpha e^z = delta (a + scale alpha) elsewhere."""
    return delta * select(a > 0.0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA)


def silu(z: Value) -> tuple[Value, Value]:
    """Return z s of s = sigmoid(z), and its derivative s (1 + z (1 - s))."""
    bound = z.format.exp_range[1]
    low = z.at_least(z.format.exp_range[0])
    e = exp_of_minus_abs(z)
    inverse = 1.0 / (e + 1.0)
    positive = z > 0.0
    s, rest = select(positive, inverse, e * inverse), select(positive, e * inverse, inverse)
    return low * s, fma(low.at_most(bound) * s, rest, s)


def mish(z: Value) -> tuple[Value, Value]:
    """Return z t of t = tanh(log(1 + e^z)), and its derivative t + z (1 - t^2) sigmoid(z).

    t = n / d of n = (1 + e^z)^2 - 1 and d = n + 2. Both are divided by e^2z where that is large.
    """
    bound = z.format.exp_range[1]
    low = z.at_least(z.format.exp_range[0])
    e = exp_of_minus_abs(z)
    square = e * e
    positive = z > 0.0
    n = select(positive, fma(e, 2.0, 1.0), fma(e, 2.0, square))
    inverse = 1.0 / (n + select(positive, square * 2.0, 2.0))
    t = n * inverse
    # (1 - t^2) sigmoid(z) = 4 (1 + e) / d^2, times e^2 or e
    rest = (select(positive, square, e) * 4.0) * (e + 1.0) * (inverse * inverse)
    return low * t, fma(low.at_most(bound), rest, t)


def softplus(z: Value) -> tuple[Value, Value]:
    """Return log(1 + e^z) = max(z, 0) + log(1 + e^-|z|), and its derivative sigmoid(z)."""
    e = exp_of_minus_abs(z)
    inverse = 1.0 / (e + 1.0)
    return z.at_least(0.0) + log_of_1_plus_unit(e), select(z > 0.0, inverse, e * inverse)


def gelu(z: Value) -> tuple[Value, Value]:
    """Return z P(N < z) of a normal number N, and its derivative P(N < z) + z p(z) with N's density p."""
    bound = z.format.normal_range
    bounded = z.at_least(-bound)
    tail, density = normal_tail((-minus_abs(z)).at_most(bound))
    below = select(z > 0.0, 1.0 - tail, tail)
    return bounded * below, fma(bounded.at_most(bound), density, below)


def saved_derivative(saved: Value, delta: Value) -> Value:
    """Return delta times the derivative that the forward pass has saved."""
    return delta * saved


class Activation(IntEnum):
    """The code by which kernels know an activation, with its equations; exp and softmax are output units only.

    Each row: the code, g(z), delta g'(z) of the output a = g(z) and delta, both as texts, and the initialiser that
    keeps the variance of signals from layer to layer. Equations that take a slope name it as their last input. Where g'
    does not follow from the output, the first equation returns both, g(z) and what the second one takes in its place.
    """

    equation: Equation | None
    derivative: Equation | None
    text: str
    derivative_text: str
    gain: str

    def __new__(
        cls,
        code: int,
        equation: Equation | None = None,
        derivative: Equation | None = None,
        text: str = "",
        derivative_text: str = "",
        gain: str = "",
    ) -> Activation:
        """Make a row of the table."""
        row = int.__new__(cls, code)
        row._value_ = code
        row.equation, row.derivative = equation, derivative
        row.text, row.derivative_text, row.gain = text, derivative_text, gain
        return row

    @property
    def has_slope(self) -> bool:
        """Whether it has a slope for z < 0."""
        return self.equation is not None and "slope" in signature(self.equation).numbers

    @property
    def saves(self) -> bool:
        """Whether the derivative does not follow from the output: what it needs has memory of its own."""
        return self.equation is not None and signature(self.equation).results > 1

    IDENTITY = 0, None, None, "z", "1", "glorot"
    SIGMOID = 1, sigmoid, sigmoid_derivative, "1 / (1 + exp(-z))", "a - a^2", "glorot"
    TANH = 2, tanh, tanh_derivative, "tanh(z)", "1 - a^2", "glorot"
    RELU = 3, relu, relu_derivative, "max(z, 0)", "1 if a > 0 else 0", "he"
    LEAKY_RELU = 4, leaky_relu, leaky_relu_derivative, "z if z > 0 else slope z", "1 if a > 0 else slope", "he"
    ELU = 8, elu, elu_derivative, "z if z > 0 else e^z - 1", "1 if a > 0 else 1 + a", "he"
    SELU = 9, selu, selu_derivative, "c z if z > 0 else c b (e^z - 1)", "c if a > 0 else c b + a", "glorot"
    SOFTMAX = 5
    EXP = 6, exp, None, "exp(z)"
    GELU = 7, gelu, saved_derivative, "z P(N < z), N normal", "P(N < z) + z p(z)", "he"
    SILU = 10, silu, saved_derivative, "z s, s = sigmoid(z)", "s (1 + z (1 - s))", "he"
    MISH = 11, mish, saved_derivative, "z t, t = tanh(log(1 + e^z))", "t + z (1 - t^2) sigmoid(z)", "he"
    SOFTPLUS = 12, softplus, saved_derivative, "log(1 + e^z)", "sigmoid(z)", "he"


EQUATIONS = {row: row.equation for row in Activation if row.equation}
DERIVATIVES = {row: row.derivative for row in Activation if row.derivative}
