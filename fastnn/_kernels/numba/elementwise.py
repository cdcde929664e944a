"""Vector exp, log, sigmoid and tanh, the activations, and their derivatives taken from the output.

Each function is written once, as an equation on `Lanes`, without branches or calls. From it come functions of a whole
array (``exp_array``), and of a vector or a number that a kernel holds (``sigmoid_``). Errors stay within 2 units in the
last place of a float64, 3 of a float32, on the whole range; infinities, denormals and NaN give what the mathematics
gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba.extending import intrinsic

from fastnn._kernels.contract import Activation
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.maps import map_intrinsic
from fastnn._kernels.numba.simd import Lanes, function, require_lanes, type_name

SIGMOID_RANGE = 40.0  # beyond, sigmoid is 1


class _Real(NamedTuple):
    """What the equations need to know of a floating-point type."""

    mantissa: int  # bits after the point
    bias: int  # of the exponent
    exp_range: tuple[float, float]  # beyond, exp is 0 or inf
    tanh_range: float  # beyond, tanh is 1
    ln2: tuple[float, float]  # in two parts, the first with trailing zeros: n times it is exact
    smallest_normal: float
    # Minimax coefficients, the constant first: (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2 ...
    exp: tuple[float, ...]
    # ... and (2 atanh(s) - 2 s) / s^3 as a polynomial of s^2 <= 1/9.
    log: tuple[float, ...]


_FLOAT32 = _Real(
    23, 127, (-104.0, 89.0), 10.0, (0.693359375, -2.12194440e-4), 2.0**-126,
    exp=(0.5, 0.1666654348373413, 0.04166628047823906, 0.008366583846509457, 0.0013946450781077147),
    log=(0.6666641235351562, 0.40021705627441406, 0.27999013662338257, 0.2802514135837555),
)  # fmt: skip
_FLOAT64 = _Real(
    52, 1023, (-746.0, 710.0), 20.0, (0.6931471803691238, 1.9082149292705877e-10), 2.0**-1022,
    exp=(0.5000000000000006, 0.16666666666666685, 0.04166666666657363, 0.008333333333314591, 0.0013888888932378906,
         0.00019841269903034072, 2.480150444586969e-05, 2.7557227946747926e-06, 2.762632655327874e-07,
         2.511447658353813e-08),
    log=(0.6666666666666652, 0.4000000000009882, 0.28571428553884626, 0.22222223649323414, 0.18181753855751137,
         0.15386370093308088, 0.13303242693543857, 0.12089560566783902, 0.08407173290239474, 0.16902263955262548),
)  # fmt: skip


def format_of(x: Lanes) -> _Real:
    """Return what the equations need to know of the lanes' type."""
    return _FLOAT32 if x.bits == 32 else _FLOAT64


def _polynomial(x: Lanes, coefficients: tuple[float, ...]) -> Lanes:
    result = x.constant(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result = result.fma(x, coefficient)
    return result


def _reduce(x: Lanes) -> tuple[Lanes, Lanes]:
    """Return n + magic of the whole number n, and exp(r) - 1, where x = n ln(2) + r."""
    real = format_of(x)
    shifted = x.fma(1 / math.log(2), _magic(x))
    n = shifted - _magic(x)
    r = n.fma(-real.ln2[1], n.fma(-real.ln2[0], x))
    return shifted, (r * r).fma(_polynomial(r, real.exp), r)


def _magic(x: Lanes) -> float:
    """Return 1.5 * 2^mantissa: adding it rounds to a whole number and leaves it in the low bits."""
    return 1.5 * 2.0 ** format_of(x).mantissa


def _power_of_two(n: Lanes, offset: int = 0) -> Lanes:
    """Return 2^(n + offset), an exponent of normal numbers, of integers n; their high bits do not count."""
    real = format_of(n)
    return ((n + (real.bias + offset)) << real.mantissa).as_float()


def _scale(x: Lanes, shifted: Lanes) -> Lanes:
    """Return x 2^n of n + magic."""
    result = x.times_power_of_two(shifted - _magic(x))
    if result is not None:
        return result
    whole = shifted.as_int() - x.constant(_magic(x)).as_int()
    half = whole >> 1  # 2^n itself may be out of range where the result is a denormal or just finite
    return x * _power_of_two(half) * _power_of_two(whole - half)


def _scale_small(x: Lanes, shifted: Lanes) -> Lanes:
    """Return x 2^n of n + magic for n < 64, where 2^(n + 64) is normal."""
    result = x.times_power_of_two(shifted - _magic(x))
    return x * _power_of_two(shifted.as_int(), 64) * 2.0**-64 if result is None else result


def exp(x: Lanes) -> Lanes:
    """Return e^x."""
    shifted, exp_r_minus_1 = _reduce(x.clip(*format_of(x).exp_range))
    return _scale(exp_r_minus_1 + 1.0, shifted)


def _log_1_plus(f: Lanes) -> Lanes:
    """Return log(1 + f) - f for -0.3 < f <= 1, from atanh's series at s = f / (2 + f)."""
    s = f / (f + 2.0)
    square = s * s
    half_square = f * f * 0.5
    return s * (square.fma(_polynomial(square, format_of(f).log), half_square)) - half_square


def log(x: Lanes) -> Lanes:
    """Return the natural logarithm."""
    real = format_of(x)
    tiny = x.compare("<", real.smallest_normal)
    normal = (x * 2.0 ** (real.mantissa + 1)).where(tiny, x)
    # x = 2^n (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2): the exponent's bits count from sqrt(1/2).
    from_root = normal.as_int() - x.constant(math.sqrt(0.5)).as_int()
    n = from_root >> real.mantissa
    f = (normal.as_int() - (n << real.mantissa)).as_float() - 1.0
    n = n.to_float() - x.constant(real.mantissa + 1.0).where(tiny, 0.0)
    result = n.fma(real.ln2[0], f + n.fma(real.ln2[1], _log_1_plus(f)))
    result = x.where(x.compare("==", math.inf), result)
    result = x.constant(-math.inf).where(x.compare("==", 0.0), result)
    return result.where(x.compare(">=", 0.0), math.nan)


def _minus_abs(x: Lanes) -> Lanes:
    sign_bit = x.constant(-0.0).as_int()
    return (x.as_int() | sign_bit).as_float()


def _with_sign_of(magnitude: Lanes, x: Lanes) -> Lanes:
    sign_bit = x.constant(-0.0).as_int()
    return (magnitude.as_int() | (x.as_int() & sign_bit)).as_float()


def sigmoid(x: Lanes) -> Lanes:
    """Return 1 / (1 + e^-x) = e^x / (1 + e^x): small values keep their digits, large ones round to 1."""
    shifted, exp_r_minus_1 = _reduce(x.clip(format_of(x).exp_range[0], SIGMOID_RANGE))
    t = _scale_small(exp_r_minus_1 + 1.0, shifted)
    return t / (t + 1.0)


def tanh(x: Lanes) -> Lanes:
    """Return tanh(x) = q / (q + 2) with q = e^(2 |x|) - 1, which is accurate near 0, and the sign of x."""
    size = _minus_abs(x) * -2.0
    shifted, exp_r_minus_1 = _reduce(size.clip(0.0, 2 * format_of(x).tanh_range))
    scale = _power_of_two(shifted.as_int())
    q = scale.fma(exp_r_minus_1, scale - 1.0)
    return _with_sign_of(q / (q + 2.0), x)


def log_of_1_plus(t: Lanes) -> Lanes:
    """Return log(1 + t) for t >= 0."""
    return log(t + 1.0).where(t.compare(">", 1.0), t + _log_1_plus(t))


def exp_of_difference(x: Lanes, y: Lanes) -> Lanes:
    """Return e^(x - y)."""
    return exp(x - y)


def inverse_of_1_plus(x: Lanes) -> Lanes:
    """Return 1 / (1 + x)."""
    return x.constant(1.0) / (x + 1.0)


def larger(x: Lanes, y: Lanes) -> Lanes:
    """Return x where x > y, y elsewhere."""
    return x.where(x.compare(">", y), y)


def chosen(x: Lanes, y: Lanes, a: Lanes, b: Lanes) -> Lanes:
    """Return a where x = y, b elsewhere."""
    return a.where(x.compare("==", y), b)


def sigmoid_cross_entropy(z: Lanes, y: Lanes) -> Lanes:
    """Return -y log(sigmoid(z)) - (1 - y) log(1 - sigmoid(z)) = max(z, 0) - z y + log(1 + e^-|z|)."""
    t = exp(_minus_abs(z))
    positive = z.where(z.compare(">", 0.0), 0.0)
    return (positive - z * y) + (t + _log_1_plus(t))


def sigmoid_derivative(a: Lanes, delta: Lanes) -> Lanes:
    """Return delta (a - a^2)."""
    return delta * (a - a * a)


def tanh_derivative(a: Lanes, delta: Lanes) -> Lanes:
    """Return delta (1 - a^2)."""
    return delta * (a.constant(1.0) - a * a)


def relu(z: Lanes) -> Lanes:
    """Return 0 where z < 0, z elsewhere."""
    return z.constant(0.0).where(z.compare("<", 0.0), z)


def leaky_relu(z: Lanes, slope: Lanes) -> Lanes:
    """Return z where z > 0, slope z elsewhere."""
    return z.where(z.compare(">", 0.0), z * slope)


def leaky_relu_derivative(a: Lanes, delta: Lanes, slope: Lanes) -> Lanes:
    """Return delta where a > 0, slope delta elsewhere."""
    return delta.where(a.compare(">", 0.0), delta * slope)


def _lanes_intrinsic(equation: Callable[..., Lanes], inline: bool = False) -> Any:
    """Make the intrinsic that computes an equation of one to four floats, or as many vectors, of one type.

    A long one stays out of line: inlined into a loop, its constants would all be kept in registers around it, or on the
    stack.
    """

    def lower(*shapes):
        shape = require_lanes(*shapes)

        def codegen(context, builder, signature, args):
            kind = args[0].type
            if inline:
                return equation(*(Lanes(builder, value) for value in args)).value
            name = f"fastnn_{equation.__name__}_{type_name(kind)}"
            compute, is_new = function(builder.module, name, kind, [kind] * len(args))
            if is_new:
                body = ir.IRBuilder(compute.append_basic_block())
                body.ret(equation(*(Lanes(body, value) for value in compute.args)).value)
            return builder.call(compute, args)

        return shape(*shapes), codegen

    typings = (
        lambda _, x: lower(x),
        lambda _, x, y: lower(x, y),
        lambda _, x, y, slope: lower(x, y, slope),
        lambda _, x, y, a, b: lower(x, y, a, b),
    )
    return intrinsic(typings[equation.__code__.co_argcount - 1])


sigmoid_, tanh_, relu_, leaky_relu_ = (_lanes_intrinsic(equation) for equation in (sigmoid, tanh, relu, leaky_relu))
sigmoid_derivative_, tanh_derivative_, leaky_relu_derivative_ = (
    _lanes_intrinsic(equation) for equation in (sigmoid_derivative, tanh_derivative, leaky_relu_derivative)
)


exp_of_difference_, log_of_1_plus_ = _lanes_intrinsic(exp_of_difference), _lanes_intrinsic(log_of_1_plus)
inverse_of_1_plus_, larger_, chosen_ = (
    _lanes_intrinsic(equation, inline=True) for equation in (inverse_of_1_plus, larger, chosen)
)


_exp_map, _log_map = map_intrinsic("exp", exp), map_intrinsic("log", log)
_sigmoid_map, _tanh_map = map_intrinsic("sigmoid", sigmoid), map_intrinsic("tanh", tanh)
_relu_map = map_intrinsic("relu", relu)
_leaky_relu_map = map_intrinsic("leaky_relu", leaky_relu)
_sigmoid_derivative_map = map_intrinsic("sigmoid_derivative", sigmoid_derivative)
_tanh_derivative_map = map_intrinsic("tanh_derivative", tanh_derivative)
_leaky_relu_derivative_map = map_intrinsic("leaky_relu_derivative", leaky_relu_derivative)
_cross_entropy_map = map_intrinsic("sigmoid_cross_entropy", sigmoid_cross_entropy)

_SIGMOID, _TANH = int(Activation.SIGMOID), int(Activation.TANH)
_RELU, _LEAKY_RELU = int(Activation.RELU), int(Activation.LEAKY_RELU)


@kernel
def activated(activation, x, slope):
    """Return g(x) of a vector for the activation's code."""
    if activation == _SIGMOID:
        return sigmoid_(x)
    if activation == _TANH:
        return tanh_(x)
    if activation == _RELU:
        return relu_(x)
    if activation == _LEAKY_RELU:
        return leaky_relu_(x, slope)
    return x


@kernel
def times_derivative(activation, a, delta, slope):
    """Return delta g'(z) of vectors, taken from the output a = g(z)."""
    if activation == _SIGMOID:
        return sigmoid_derivative_(a, delta)
    if activation == _TANH:
        return tanh_derivative_(a, delta)
    if activation in (_RELU, _LEAKY_RELU):
        return leaky_relu_derivative_(a, delta, slope)
    return delta


@kernel
def exp_array(z, n):
    """Compute z[:n] = exp(z[:n])."""
    _exp_map((z,), (z,), (), n)


@kernel
def log_array(z, n):
    """Compute z[:n] = log(z[:n])."""
    _log_map((z,), (z,), (), n)


@kernel
def sigmoid_cross_entropy_array(z, y, loss, n):
    """Compute loss[:n] of the logits z and the targets y; loss may be z or y itself."""
    _cross_entropy_map((z, y), (loss,), (), n)


@kernel
def activate(activation, slope, z, n):
    """Compute z[:n] = g(z[:n]) for the activation's code; softmax, which needs whole rows, is not among them."""
    if activation == _SIGMOID:
        _sigmoid_map((z,), (z,), (), n)
    elif activation == _TANH:
        _tanh_map((z,), (z,), (), n)
    elif activation == _RELU:
        _relu_map((z,), (z,), (), n)
    elif activation == _LEAKY_RELU:
        _leaky_relu_map((z,), (z,), (slope,), n)


@kernel
def multiply_by_derivative(activation, slope, a, delta, n):
    """Compute delta[:n] *= g'(z[:n]), taken from the output a = g(z)."""
    if activation == _SIGMOID:
        _sigmoid_derivative_map((a, delta), (delta,), (), n)
    elif activation == _TANH:
        _tanh_derivative_map((a, delta), (delta,), (), n)
    elif activation == _RELU:
        _leaky_relu_derivative_map((a, delta), (delta,), (0.0,), n)
    elif activation == _LEAKY_RELU:
        _leaky_relu_derivative_map((a, delta), (delta,), (slope,), n)
