"""The derivative of a formula by its first input, formed step by step beside the values.

Each step's derivative follows from those of its operands: 0, which is None here, for constants, conditions and the
second input. Where a function has a kink the derivative is that of one side: of the second operand where those of
maximum or minimum are alike, 0 for abs at 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from fastnn._equations.formula import Builder, Formula
from fastnn._equations.operations import Operation

Derivative = int | None  # a value's number; None is 0


class _Differentiator(Builder):
    """Adds the steps of derivatives to those of a formula."""

    def plus(self, a: Derivative, b: Derivative) -> Derivative:
        if a is None or b is None:
            return b if a is None else a
        return self.apply(Operation.ADD, a, b)

    def minus(self, a: Derivative, b: Derivative) -> Derivative:
        if b is None:
            return a
        if a is None:
            return self.apply(Operation.MULTIPLY, b, self.constant(-1.0))
        return self.apply(Operation.SUBTRACT, a, b)

    def times(self, d: Derivative, value: int) -> Derivative:
        return None if d is None else self.apply(Operation.MULTIPLY, d, value)

    def over(self, d: Derivative, value: int) -> Derivative:
        return None if d is None else self.apply(Operation.DIVIDE, d, value)

    def choice(self, condition: int, a: Derivative, b: Derivative) -> Derivative:
        if a == b:
            return a
        chosen = (self.constant(0.0) if d is None else d for d in (a, b))
        return self.apply(Operation.WHERE, condition, *chosen)

    def finite(self, value: int) -> int:
        """Return the value, or the largest number where it is infinite: 0 times infinity would be NaN.

        So z / (1 + exp(-z)), which is 0 where exp(-z) is infinite, has the derivative 0 there.
        """
        return value if self._is_finite(value) else self.apply(Operation.FINITE, value)

    def _is_finite(self, value: int) -> bool:
        number = self.known(value)
        if number is not None or value < self.inputs:
            return True
        operation, operands, _ = self.steps[value - self.inputs]
        if operation == Operation.MULTIPLY:
            factor = self.known(operands[1])
            return factor is not None and abs(factor) <= 1 and self._is_finite(operands[0])
        return operation == Operation.FINITE

    def one_plus(self, value: int) -> int:
        return self.apply(Operation.ADD, value, self.constant(1.0))


def _exp_of_difference(b: _Differentiator, x: int, y: int) -> int:
    return b.apply(Operation.EXP, b.apply(Operation.SUBTRACT, x, y))


def _sign(b: _Differentiator, x: int) -> int:
    zero = b.constant(0.0)
    return b.apply(Operation.SUBTRACT, b.apply(Operation.LESS, zero, x), b.apply(Operation.LESS, x, zero))


def _one_minus_square(b: _Differentiator, r: int) -> int:
    return b.apply(Operation.SUBTRACT, b.constant(1.0), b.apply(Operation.MULTIPLY, r, r))


# Of each operation: the derivative of its result r, from the operands' values, then their derivatives.
_RULES: dict[Operation, Callable[..., Derivative]] = {
    Operation.ADD: lambda b, r, x, y, dx, dy: b.plus(dx, dy),
    Operation.SUBTRACT: lambda b, r, x, y, dx, dy: b.minus(dx, dy),
    Operation.MULTIPLY: lambda b, r, x, y, dx, dy: b.plus(b.times(dx, y), b.times(dy, x)),
    Operation.DIVIDE: lambda b, r, x, y, dx, dy: b.over(b.minus(dx, b.times(dy if dy is None else b.finite(dy), r)), y),
    Operation.EXP: lambda b, r, x, dx: b.times(dx, b.finite(r)),
    Operation.LOG: lambda b, r, x, dx: b.over(dx, x),
    Operation.LOG1P: lambda b, r, x, dx: b.over(dx, b.one_plus(x)),
    Operation.EXPM1: lambda b, r, x, dx: b.times(dx, b.finite(b.apply(Operation.EXP, x))),
    Operation.TANH: lambda b, r, x, dx: b.times(dx, _one_minus_square(b, r)),
    Operation.SQRT: lambda b, r, x, dx: b.over(dx, b.apply(Operation.ADD, r, r)),
    Operation.ABSOLUTE: lambda b, r, x, dx: b.times(dx, _sign(b, x)),
    Operation.MAXIMUM: lambda b, r, x, y, dx, dy: b.choice(b.apply(Operation.LESS, y, x), dx, dy),
    Operation.MINIMUM: lambda b, r, x, y, dx, dy: b.choice(b.apply(Operation.LESS, x, y), dx, dy),
    Operation.WHERE: lambda b, r, c, x, y, dc, dx, dy: b.choice(c, dx, dy),
    Operation.LOGADDEXP: lambda b, r, x, y, dx, dy: b.plus(
        b.times(dx, _exp_of_difference(b, x, r)), b.times(dy, _exp_of_difference(b, y, r))
    ),
}
_FLAT = {Operation.CONSTANT, Operation.LESS, Operation.LESS_EQUAL, Operation.EQUAL}


@cache
def with_derivative(value: Formula) -> Formula:
    """Return the formula of a value and of its derivative by z, the first input."""
    b = _Differentiator(value.inputs, value.steps)
    derivatives: list[Derivative] = [b.constant(1.0), *[None] * (value.inputs - 1)]
    for number, (operation, operands, _) in enumerate(value.steps, value.inputs):
        given = [derivatives[x] for x in operands]
        known = operation in _FLAT or all(d is None for d in given)
        derivatives.append(None if known else _RULES[operation](b, number, *operands, *given))
    derivative = derivatives[value.results[0]]
    return b.formula(value.results[0], b.constant(0.0) if derivative is None else derivative)
