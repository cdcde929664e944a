"""What the equations need to know of each floating-point type: its bits, its limits, and polynomials' coefficients."""

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
    # ... (2 atanh(s) - 2 s) / s^3 as a polynomial of s^2 <= 1/9 ...
    log: tuple[float, ...]
    # ... and, with t the shift, (x + t) e^(x^2 / 2) P(N > x) of a normal number N as one of (x - t) / (x + t), x >= 0.
    normal: tuple[float, ...]
    normal_shift: float
    normal_range: float  # beyond, P(N > x) is 0

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
        normal=(0.7552851438522339, -0.6078965663909912, 0.38713690638542175, -0.1865234375, 0.06040383502840996,
                -0.007525271270424128, -0.0035125643480569124, 0.001569919753819704, 0.00017936619406100363,
                -0.0001319639413850382),
        normal_shift=4.0, normal_range=14.5,
    ),
    64: Format(
        52, 1023, 2.0**-1022, (2.0 - 2.0**-52) * 2.0**1023, (-746.0, 710.0), 20.0,
        (0.6931471803691238, 1.9082149292705877e-10),
        exp=(0.5000000000000006, 0.16666666666666685, 0.04166666666657363, 0.008333333333314591, 0.0013888888932378906,
             0.00019841269903034072, 2.480150444586969e-05, 2.7557227946747926e-06, 2.762632655327874e-07,
             2.511447658353813e-08),
        log=(0.6666666666666652, 0.4000000000009882, 0.28571428553884626, 0.22222223649323414, 0.18181753855751137,
             0.15386370093308088, 0.13303242693543857, 0.12089560566783902, 0.08407173290239474, 0.16902263955262548),
        normal=(0.769193049750063, -0.6653825028900566, 0.4953056159699769, -0.313533156671315, 0.16502036617036497,
                -0.06911863870597468, 0.02079506680017289, -0.002993376775395626, -0.0007978694007388425,
                0.0005448991037674443, -5.937571595701367e-05, -4.97630018864245e-05, 1.6681163180727738e-05,
                3.98147236067575e-06, -2.7691004028373305e-06, -3.3772146978952266e-07, 4.32754290742525e-07,
                4.360695380205147e-08, -6.537648017130865e-08, -1.0222951568450514e-08, 7.202097755261802e-09,
                2.0225358147045456e-09),
        normal_shift=5.0, normal_range=38.7,
    ),
}  # fmt: skip
