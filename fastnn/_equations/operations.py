"""The operations that functions of a user's own are made of, each an equation, and the table of them."""

from __future__ import annotations

from enum import IntEnum
from typing import cast

from fastnn._equations.algebra import Equation, Value, select, sqrt
from fastnn._equations.functions import exp, expm1, log, log1p, log_of_1_plus_unit, minus_abs, tanh


def add(x: Value, y: Value) -> Value:
    """Return x + y."""
    return x + y


def subtract(x: Value, y: Value) -> Value:
    """Return x - y."""
    return x - y


def multiply(x: Value, y: Value) -> Value:
    """Return x y."""
    return x * y


def divide(x: Value, y: Value) -> Value:
    """Return x / y."""
    return x / y


def logaddexp(x: Value, y: Value) -> Value:
    """Return log(e^x + e^y) = max(x, y) + log(1 + e^-|x - y|); of two like infinities, that one."""
    rest = log_of_1_plus_unit(exp(minus_abs(x - y)))
    top = maximum(x, y)
    return select(x.equals(y), top + log_of_1_plus_unit(x.constant(1.0)), top + rest)


def absolute(x: Value) -> Value:
    """Return |x|."""
    return -minus_abs(x)


def maximum(x: Value, y: Value) -> Value:
    """Return the larger one; a NaN stays a NaN."""
    return select(y.equals(y), x.at_least(y), y)


def minimum(x: Value, y: Value) -> Value:
    """Return the smaller one; a NaN stays a NaN."""
    return select(y.equals(y), x.at_most(y), y)


def less(x: Value, y: Value) -> Value:
    """Return 1 where x < y, 0 elsewhere."""
    return select(x < y, x.constant(1.0), 0.0)


def less_equal(x: Value, y: Value) -> Value:
    """Return 1 where x <= y, 0 elsewhere."""
    return select(y >= x, x.constant(1.0), 0.0)


def equal(x: Value, y: Value) -> Value:
    """Return 1 where x = y, 0 elsewhere."""
    return select(x.equals(y), x.constant(1.0), 0.0)


def where(condition: Value, x: Value, y: Value) -> Value:
    """Return x where the condition is 1, y where it is 0."""
    return select(condition > 0.0, x, y)


def finite(x: Value) -> Value:
    """Return x, or the type's largest number, with its sign, where x is infinite."""
    return x.at_most(x.format.largest).at_least(-x.format.largest)


class Operation(IntEnum):
    """The code by which the interpreter knows an operation, its equation, and how it is written.

    The name is NumPy's, in upper case; ``CONSTANT`` has a number instead of operands, ``FINITE`` serves derivatives.
    """

    equation: Equation | None
    text: str

    def __new__(cls, code: int, equation: Equation | None, text: str) -> Operation:
        """Make a row of the table."""
        row = int.__new__(cls, code)
        row._value_ = code
        row.equation, row.text = equation, text
        return row

    @property
    def operands(self) -> int:
        """How many values it takes."""
        return self.text.count("{}")

    def apply(self, *operands: Value) -> Value:
        """Return what comes of the operands."""
        assert self.equation
        return cast("Value", self.equation(*operands))

    CONSTANT = 0, None, ""
    ADD = 1, add, "({} + {})"
    SUBTRACT = 2, subtract, "({} - {})"
    MULTIPLY = 3, multiply, "({} * {})"
    DIVIDE = 4, divide, "({} / {})"
    EXP = 5, exp, "exp({})"
    LOG = 6, log, "log({})"
    LOG1P = 7, log1p, "log1p({})"
    EXPM1 = 8, expm1, "expm1({})"
    TANH = 9, tanh, "tanh({})"
    SQRT = 10, sqrt, "sqrt({})"
    ABSOLUTE = 11, absolute, "abs({})"
    MAXIMUM = 12, maximum, "maximum({}, {})"
    MINIMUM = 13, minimum, "minimum({}, {})"
    LESS = 14, less, "({} < {})"
    LESS_EQUAL = 15, less_equal, "({} <= {})"
    EQUAL = 16, equal, "({} == {})"
    WHERE = 17, where, "where({}, {}, {})"
    LOGADDEXP = 18, logaddexp, "logaddexp({}, {})"
    FINITE = 19, finite, "finite({})"


OPERATIONS = {row: row.equation for row in Operation if row.equation}
