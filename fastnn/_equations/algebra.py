"""The algebra of vectors that equations are written in, and the steps that an equation takes.

A `Value` stands for a number, or for one in each lane of a vector. Nothing is computed: each operation is a step of
the trace, which a backend then emits. Python's numbers are constants.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Literal, NamedTuple

from fastnn._equations.formats import FORMATS, Format

Kind = Literal["real", "integer", "condition"]
Equation = Callable[..., "Value | tuple[Value, ...]"]


class Value:
    """The result of a step: floats, integers of the same width, or conditions."""

    def __init__(
        self, trace: _Tracer, kind: Kind, operation: str, operands: tuple[Value, ...] = (), number: float = 0
    ) -> None:
        self.trace = trace
        self.kind = kind
        self.operation = operation
        self.operands = operands
        self.number = number

    @property
    def format(self) -> Format:
        """What the equations need to know of the floating-point type."""
        return self.trace.format

    def has(self, instruction: str) -> bool:
        """Tell whether one instruction does it: "fma", "scalef", "rsqrt14" or "rcp14"."""
        return instruction in self.trace.instructions

    def constant(self, number: float) -> Value:
        """Return ``number`` in every lane, of this one's kind."""
        return Value(self.trace, self.kind, "constant", number=number)

    def _step(self, operation: str, *others: Value | float, kind: Kind | None = None) -> Value:
        operands = tuple(other if isinstance(other, Value) else self.constant(other) for other in others)
        step = Value(self.trace, kind or self.kind, operation, (self, *operands))
        self.trace.steps.append(step)
        return step

    def __add__(self, other: Value | float) -> Value:
        return self._step("add", other)

    def __sub__(self, other: Value | float) -> Value:
        return self._step("sub", other)

    def __rsub__(self, other: float) -> Value:
        return self.constant(other) - self

    def __mul__(self, other: Value | float) -> Value:
        return self._step("mul", other)

    def __truediv__(self, other: Value | float) -> Value:
        return self._step("div", other)

    def __rtruediv__(self, other: float) -> Value:
        return self.constant(other) / self

    def __neg__(self) -> Value:
        return self * -1.0

    def __and__(self, other: Value | int) -> Value:
        return self._step("and", other)

    def __or__(self, other: Value | int) -> Value:
        return self._step("or", other)

    def __lshift__(self, other: int) -> Value:
        return self._step("shl", other)

    def __rshift__(self, other: int) -> Value:
        return self._step("ashr", other)

    # Comparisons never hold for a NaN.
    def __lt__(self, other: Value | float) -> Value:
        return self._step("lt", other, kind="condition")

    def __gt__(self, other: Value | float) -> Value:
        return self._step("gt", other, kind="condition")

    def __ge__(self, other: Value | float) -> Value:
        return self._step("ge", other, kind="condition")

    def equals(self, other: Value | float) -> Value:
        """Return where this is ``other``."""
        return self._step("eq", other, kind="condition")

    def at_least(self, low: Value | float) -> Value:
        """Return this, or ``low`` where it is less; a NaN stays a NaN."""
        return self._step("at_least", low)

    def at_most(self, high: Value | float) -> Value:
        """Return this, or ``high`` where it is more; a NaN stays a NaN."""
        return self._step("at_most", high)

    def as_integer(self) -> Value:
        """Return the bits of the floats as integers."""
        return self._step("as_integer", kind="integer")

    def as_real(self) -> Value:
        """Return the integers, taken as bits, as floats."""
        return self._step("as_real", kind="real")

    def to_real(self) -> Value:
        """Return the integers' values as floats; they are exponents."""
        return self._step("to_real", kind="real")

    def scaled(self, n: Value) -> Value:
        """Return this 2^n for whole n, rounded once, by the instruction scalef."""
        return self._step("scalef", n)

    def approximate(self, instruction: str) -> Value:
        """Return the first 14 bits of a function, by the instruction rsqrt14 or rcp14."""
        return self._step(instruction)


Number = Value  # an input that is the same for every element


def fma(a: Value | float, b: Value | float, c: Value | float) -> Value:
    """Return a b + c, rounded once where the CPU can."""
    first = a if isinstance(a, Value) else b if isinstance(b, Value) else c
    assert isinstance(first, Value)
    a = a if isinstance(a, Value) else first.constant(a)
    return a._step("fma", b, c)


def select(condition: Value, a: Value | float, b: Value | float) -> Value:
    """Return a where the condition holds, b elsewhere."""
    first = a if isinstance(a, Value) else b
    assert isinstance(first, Value)
    return condition._step("select", *(x if isinstance(x, Value) else first.constant(x) for x in (a, b)), kind="real")


def sqrt(x: Value) -> Value:
    """Return the square root."""
    return x._step("sqrt")


class _Tracer:
    def __init__(self, bits: int, instructions: frozenset[str]) -> None:
        self.format = FORMATS[bits]
        self.instructions = instructions
        self.steps: list[Value] = []


class Trace(NamedTuple):
    """What an equation does: the steps in their order, from the inputs to the results."""

    inputs: tuple[Value, ...]
    steps: tuple[Value, ...]
    results: tuple[Value, ...]


class Signature(NamedTuple):
    """An equation's inputs, first those of each element, then the numbers that are the same for all; its results."""

    elements: tuple[str, ...]
    numbers: tuple[str, ...]
    results: int

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of all inputs, in order."""
        return self.elements + self.numbers


@cache
def signature(equation: Equation) -> Signature:
    """Return an equation's signature."""
    inputs = inspect.signature(equation).parameters.values()
    elements, numbers = (
        tuple(x.name for x in inputs if (x.annotation == "Number") is number) for number in (False, True)
    )
    return Signature(elements, numbers, len(trace(equation, 32, frozenset()).results))


@cache
def trace(equation: Equation, bits: int, instructions: frozenset[str]) -> Trace:
    """Return the steps of an equation for floats of so many bits, on a CPU that has the instructions."""
    tracer = _Tracer(bits, instructions)
    inputs = tuple(Value(tracer, "real", "input") for _ in inspect.signature(equation).parameters)
    results = equation(*inputs)
    results = results if isinstance(results, tuple) else (results,)
    used = set(results)
    for step in reversed(tracer.steps):
        if step in used:
            used.update(step.operands)
    return Trace(inputs, tuple(step for step in tracer.steps if step in used), results)
