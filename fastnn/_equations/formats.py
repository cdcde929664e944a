"""What the equations need to know of each floating-point type: its bits, its limits, and the polynomials' coefficients."""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """A floating-point type."""

    mantissa: int  # bits after the point
    bias: int  # of the exponent
    smallest_normal: float
    largest: float
    exp_range: tuple[float, float]  # beyond, exp is 0 or inf
    tanh_range: float  # beyond, tanh is 1
    ln2: tuple[float, float]  # in two parts, the first with trailing zeros: n times it is exact
    # Minimax coefficients, the constant first: (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2 ...
    exp: tuple[float, ...]
    # ... and (2 atanh(s) - 2 s) / s^3 as a polynomial of s^2 <= 1/9.
    log: tuple[float, ...]

    @property
    def newton_steps(self) -> int:
        """How often Newton's method doubles 14 bits, for all of them."""
        return 1 if self.mantissa == 23 else 2

    @property
    def whole(self) -> float:
        """1.5 * 2^mantissa: adding it rounds to a whole number and leaves it in the low bits."""
        return 1.5 * 2.0**self.mantissa


FORMATS = {
    32: Format(
        23, 127, 2.0**-126, (2.0 - 2.0**-23) * 2.0**127, (-104.0, 89.0), 10.0, (0.693359375, -2.12194440e-4),
        exp=(0.5, 0.1666654348373413, 0.04166628047823906, 0.008366583846509457, 0.0013946450781077147),
        log=(0.6666641235351562, 0.40021705627441406, 0.27999013662338257, 0.2802514135837555),
    ),
    64: Format(
        52, 1023, 2.0**-1022, (2.0 - 2.0**-52) * 2.0**1023, (-746.0, 710.0), 20.0,
        (0.6931471803691238, 1.9082149292705877e-10),
        exp=(0.5000000000000006, 0.16666666666666685, 0.04166666666657363, 0.008333333333314591, 0.0013888888932378906,
             0.00019841269903034072, 2.480150444586969e-05, 2.7557227946747926e-06, 2.762632655327874e-07,
             2.511447658353813e-08),
        log=(0.6666666666666652, 0.4000000000009882, 0.28571428553884626, 0.22222223649323414, 0.18181753855751137,
             0.15386370093308088, 0.13303242693543857, 0.12089560566783902, 0.08407173290239474, 0.16902263955262548),
    ),
}  # fmt: skip
