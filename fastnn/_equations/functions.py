"""exp, log, sigmoid, tanh and what softmax needs, without branches or calls.

Errors stay within 2 units in the last place of a float64, 3 of a float32, on the whole range; infinities, denormals
and NaN give what the mathematics gives.
"""

from __future__ import annotations

import math

from fastnn._equations.algebra import Value, fma, select

SIGMOID_RANGE = 40.0  # beyond, sigmoid is 1


def polynomial(x: Value, coefficients: tuple[float, ...]) -> Value:
    """Return the polynomial with those coefficients, the constant first."""
    result = x.constant(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result = fma(result, x, coefficient)
    return result


def _reduce(x: Value, rest: Value | None = None) -> tuple[Value, Value]:
    """Return n + `Format.whole` of the whole number n, and exp(r) - 1, where x = n ln(2) + r, or x + rest is."""
    ln2_high, ln2_low = x.format.ln2
    shifted = fma(x + rest if rest else x, 1 / math.log(2), x.format.whole)
    n = shifted - x.format.whole
    r = fma(n, -ln2_low, fma(n, -ln2_high, x))
    r = r + rest if rest else r
    return shifted, fma(r * r, polynomial(r, x.format.exp), r)


def _power_of_two(n: Value, offset: int = 0) -> Value:
    """Return 2^(n + offset), an exponent of normal numbers, of integers n; their high bits do not count."""
    return ((n + (n.format.bias + offset)) << n.format.mantissa).as_real()


def _scale(x: Value, shifted: Value) -> Value:
    """Return x 2^n of n + `Format.whole`."""
    if x.has("scalef"):
        return x.scaled(shifted - x.format.whole)
    whole = shifted.as_integer() - x.constant(x.format.whole).as_integer()
    half = whole >> 1  # 2^n itself may be out of range where the result is a denormal or just finite
    return x * _power_of_two(half) * _power_of_two(whole - half)


def _scale_small(x: Value, shifted: Value) -> Value:
    """Return x 2^n of n + `Format.whole` for n < 64, where 2^(n + 64) is normal."""
    if x.has("scalef"):
        return x.scaled(shifted - x.format.whole)
    return x * _power_of_two(shifted.as_integer(), 64) * 2.0**-64


def exp(x: Value) -> Value:
    """Return e^x."""
    low, high = x.format.exp_range
    shifted, exp_r_minus_1 = _reduce(x.at_least(low).at_most(high))
    return _scale(exp_r_minus_1 + 1.0, shifted)


def exp_minus_1(x: Value) -> Value:
    """Return e^x - 1 for x <= 1; that of a small x has all digits."""
    shifted, exp_r_minus_1 = _reduce(x.at_least(-2 * x.format.tanh_range))
    scale = _power_of_two(shifted.as_integer())
    return fma(scale, exp_r_minus_1, scale - 1.0)


def exp_of_minus_abs(x: Value) -> Value:
    """Return e^-|x|."""
    shifted, exp_r_minus_1 = _reduce(minus_abs(x).at_least(x.format.exp_range[0]))
    return _scale_small(exp_r_minus_1 + 1.0, shifted)


def rest_of_log_1_plus(f: Value) -> Value:
    """Return log(1 + f) - f for -0.3 < f <= 1, from atanh's series at s = f / (2 + f)."""
    s = f / (f + 2.0)
    square = s * s
    half_square = f * f * 0.5
    return s * fma(square, polynomial(square, f.format.log), half_square) - half_square


def log(x: Value) -> Value:
    """Return the natural logarithm."""
    mantissa, (ln2_high, ln2_low) = x.format.mantissa, x.format.ln2
    tiny = x < x.format.smallest_normal
    normal = select(tiny, x * 2.0 ** (mantissa + 1), x)
    # x = 2^n (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2): the exponent's bits count from sqrt(1/2).
    from_root = normal.as_integer() - x.constant(math.sqrt(0.5)).as_integer()
    exponent = from_root >> mantissa
    f = (normal.as_integer() - (exponent << mantissa)).as_real() - 1.0
    n = exponent.to_real() - select(tiny, x.constant(mantissa + 1.0), 0.0)
    result = fma(n, ln2_high, f + fma(n, ln2_low, rest_of_log_1_plus(f)))
    result = select(x.equals(math.inf), x, result)
    result = select(x.equals(0.0), -math.inf, result)
    return select(x >= 0.0, result, math.nan)


def minus_abs(x: Value) -> Value:
    """Return -|x|."""
    sign_bit = x.constant(-0.0).as_integer()
    return (x.as_integer() | sign_bit).as_real()


def _with_sign_of(magnitude: Value, x: Value) -> Value:
    sign_bit = x.constant(-0.0).as_integer()
    return (magnitude.as_integer() | (x.as_integer() & sign_bit)).as_real()


def sigmoid(x: Value) -> Value:
    """Return 1 / (1 + e^-x) = e^x / (1 + e^x): small values keep their digits, large ones round to 1."""
    shifted, exp_r_minus_1 = _reduce(x.at_least(x.format.exp_range[0]).at_most(SIGMOID_RANGE))
    t = _scale_small(exp_r_minus_1 + 1.0, shifted)
    return t / (t + 1.0)


def tanh(x: Value) -> Value:
    """Return tanh(x) = q / (q + 2) with q = e^(2 |x|) - 1, which is accurate near 0, and the sign of x."""
    size = minus_abs(x) * -2.0
    shifted, exp_r_minus_1 = _reduce(size.at_least(0.0).at_most(2 * x.format.tanh_range))
    scale = _power_of_two(shifted.as_integer())
    q = fma(scale, exp_r_minus_1, scale - 1.0)
    return _with_sign_of(q / (q + 2.0), x)


def normal_tail(x: Value) -> tuple[Value, Value]:
    """Return P(N > x) of a normal number N and its density at x, for x >= 0: all digits of small ones are right.

    The tail is e^(-x^2 / 2) times what falls as slowly as 1 / x. Of x^2 no bit may be lost: the square of x's first
    half of bits is exact.
    """
    shift = x.format.normal_shift
    head = (x.as_integer() & -(1 << (x.format.mantissa + 2) // 2)).as_real()
    shifted, exp_r_minus_1 = _reduce(head * head * -0.5, (x - head) * (x + head) * -0.5)
    e = _scale(exp_r_minus_1 + 1.0, shifted)
    inverse = 1.0 / (x + shift)
    q = (x - shift) * inverse
    q = fma(inverse, fma(-x, q, fma(q + 1.0, -shift, x)), q)  # x - shift - q (x + shift) is what is left
    return e * (inverse * polynomial(q, x.format.normal)), e * (1 / math.sqrt(2 * math.pi))


def log_of_1_plus(t: Value) -> Value:
    """Return log(1 + t) for t >= 0."""
    large = log(t + 1.0)
    return select(t > 1.0, large, log_of_1_plus_unit(t))


def log_of_1_plus_unit(t: Value) -> Value:
    """Return log(1 + t) for 0 <= t <= 1."""
    return t + rest_of_log_1_plus(t)


def exp_of_difference(x: Value, y: Value) -> Value:
    """Return e^(x - y)."""
    return exp(x - y)


def inverse_of_1_plus(x: Value) -> Value:
    """Return 1 / (1 + x)."""
    return 1.0 / (x + 1.0)


def larger(x: Value, y: Value) -> Value:
    """Return x where x > y, y elsewhere."""
    return select(x > y, x, y)


def chosen(x: Value, y: Value, a: Value, b: Value) -> Value:
    """Return a where x = y, b elsewhere."""
    return select(x.equals(y), a, b)


def log1p(x: Value) -> Value:
    """Return log(1 + x): what the sum loses by its rounding is put back (Higham 2002, section 1.14.1)."""
    total = x + 1.0
    lost = ((total - 1.0) - x) / total
    large = log(total)
    small = select(x > -1.0, large - lost, large)
    return select(x > 1.0, large, small)


def expm1(x: Value) -> Value:
    """Return e^x - 1, near 0 with all digits."""
    return select(x > 1.0, exp(x) - 1.0, exp_minus_1(x.at_most(1.0)))
