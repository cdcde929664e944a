"""A function of a user's own as a formula: its operations in their order, each on what came before.

A formula is what models, saved files and pickles hold in the place of a code. `as_equation` makes it an equation, for
Numba; the Cython backend interprets it (``fastnn/_kernels/programs.py``), the reference evaluates it with NumPy
(``fastnn/_kernels/formulas.py``).
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

from fastnn._equations.algebra import Equation, Value
from fastnn._equations.operations import Operation

FIRST_ADDRESS = 4096  # codes are less; from here on, in a code's place, is the address of what computes a formula
MAX_STEPS = 1000
INPUTS = ("z", "y")
MAX_TEXT = 200
# The second operand that changes nothing.
_NEUTRAL = {Operation.ADD: 0.0, Operation.SUBTRACT: 0.0, Operation.MULTIPLY: 1.0, Operation.DIVIDE: 1.0}


class Step(NamedTuple):
    """An operation on earlier values, by their numbers; a constant's number is kept as text, so that equal is alike."""

    operation: Operation
    operands: tuple[int, ...] = ()
    number: str = ""


@dataclass(frozen=True, repr=False)
class Formula:
    """Results of one or two inputs, z and y. Values are numbered: first the inputs, then what comes of each step.

    Parameters
    ----------
    inputs : int
        1 or 2.
    steps : tuple of Step
        In their order, at most `MAX_STEPS`.
    results : tuple of int
        The numbers of the values that are the results.

    Raises
    ------
    ValueError
        If a step takes what does not come before it, or too many or too few values.
    """

    inputs: int
    steps: tuple[Step, ...]
    results: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check all numbers: formulas come from files, too."""
        if self.inputs not in (1, 2) or not 1 <= len(self.results) <= 2 or len(self.steps) > MAX_STEPS:
            counts = f"{self.inputs} inputs, {len(self.steps)} steps, {len(self.results)} results"
            raise ValueError(f"a formula has 1 or 2 inputs and results and at most {MAX_STEPS} steps; got {counts}")
        for number, (operation, operands, text) in enumerate(self.steps, self.inputs):
            known = all(type(x) is int and 0 <= x < number for x in operands)
            if len(operands) != operation.operands or not known:
                raise ValueError(f"value {number} cannot be {operation.name.lower()} of the values {operands}")
            if operation == Operation.CONSTANT:
                float(text)
        if not all(type(x) is int and 0 <= x < self.inputs + len(self.steps) for x in self.results):
            raise ValueError(f"the results {self.results} are not among the values")

    @cached_property
    def _hash(self) -> int:
        return hash((self.inputs, self.steps, self.results))

    def __hash__(self) -> int:
        """Return a hash that is computed once: formulas are in the keys by which plans are kept."""
        return self._hash

    def __repr__(self) -> str:
        """Return the results as expressions."""
        return f"Formula({'; '.join(self.texts())})"

    def __reduce__(self) -> tuple[Callable[..., Formula], tuple[dict[str, Any]]]:
        """Return how a copy is made, also in another process: of names, so that a pickle outlives codes."""
        return Formula.from_description, (self.describe(),)

    def describe(self) -> dict[str, Any]:
        """Return the formula in names and numbers, as it is saved."""
        steps = [[s.operation.name.lower(), *s.operands, *([s.number] if s.number else [])] for s in self.steps]
        return {"inputs": self.inputs, "steps": steps, "results": list(self.results)}

    @classmethod
    def from_description(cls, about: dict[str, Any]) -> Formula:
        """Return the formula that ``describe`` described; ValueError if there can be none."""
        known = {row.name.lower(): row for row in Operation}
        steps = []
        for name, *rest in about["steps"]:
            if name not in known:
                raise ValueError(f"a formula's operation {name!r} is unknown; known are {', '.join(known)}")
            constant = known[name] == Operation.CONSTANT
            steps.append(Step(known[name], () if constant else tuple(rest), str(rest[0]) if constant else ""))
        return cls(about["inputs"], tuple(steps), tuple(about["results"]))

    def texts(self) -> list[str]:
        """Return each result as an expression; a long one is cut short."""
        known = list(INPUTS[: self.inputs])
        for operation, operands, number in self.steps:
            text = operation.text.format(*(known[x] for x in operands)) if operands else f"{float(number):.6g}"
            if operation == Operation.MULTIPLY and known[operands[1]] == "-1":
                text = f"-{known[operands[0]]}"
            known.append(text if len(text) <= MAX_TEXT else "...")
        return [known[x][1:-1] if _is_wrapped(known[x]) else known[x] for x in self.results]

    def only(self, *results: int) -> Formula:
        """Return the formula of some of the results, without the steps that they do not need."""
        wanted = [self.results[i] for i in results]
        needed = set(wanted)
        for number in range(self.inputs + len(self.steps) - 1, self.inputs - 1, -1):
            if number in needed:
                needed.update(self.steps[number - self.inputs].operands)
        kept = [*range(self.inputs), *sorted(x for x in needed if x >= self.inputs)]
        places = {old: new for new, old in enumerate(kept)}
        steps = (self.steps[x - self.inputs] for x in kept[self.inputs :])
        renumbered = tuple(s._replace(operands=tuple(places[x] for x in s.operands)) for s in steps)
        return Formula(self.inputs, renumbered, tuple(places[x] for x in wanted))

    def depends_on(self, given: int) -> bool:
        """Tell whether a result is a function of an input."""
        dependent = {given}
        for number, step in enumerate(self.steps, self.inputs):
            if not dependent.isdisjoint(step.operands):
                dependent.add(number)
        return not dependent.isdisjoint(self.results)


def _is_wrapped(text: str) -> bool:
    """Tell whether the first parenthesis is closed by the last."""
    depth = 0
    for i, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and i < len(text) - 1:
            return False
    return text.startswith("(")


class Builder:
    """Collects steps: what is there already is not added again, nor what changes nothing."""

    def __init__(self, inputs: int, steps: Sequence[Step] = ()) -> None:
        self.inputs = inputs
        self.steps = list(steps)
        self._numbers = {step: number for number, step in enumerate(self.steps, inputs)}

    def constant(self, number: float) -> int:
        """Return the value of a number."""
        return self._value(Step(Operation.CONSTANT, number=repr(float(number))))

    def apply(self, operation: Operation, *operands: int) -> int:
        """Return the value of an operation; a constant is the second factor."""
        if operation == Operation.MULTIPLY and self.known(operands[0]) is not None:
            operands = operands[::-1]
        if operation in _NEUTRAL and self.known(operands[1]) == _NEUTRAL[operation]:
            return operands[0]
        return self._value(Step(operation, operands))

    def copy(self, value: int) -> int:
        """Return a new value that is the same."""
        return self._value(Step(Operation.MULTIPLY, (value, self.constant(1.0))))

    def known(self, value: int) -> float | None:
        """Return a constant's number, None for other values."""
        step = self.steps[value - self.inputs] if value >= self.inputs else None
        return float(step.number) if step and step.operation == Operation.CONSTANT else None

    def formula(self, *results: int) -> Formula:
        """Return the formula of some values."""
        return Formula(self.inputs, tuple(self.steps), results).only(*range(len(results)))

    def _value(self, step: Step) -> int:
        if step not in self._numbers:
            self._numbers[step] = self.inputs + len(self.steps)
            self.steps.append(step)
        return self._numbers[step]


@cache
def as_equation(formula: Formula) -> Equation:
    """Return a formula as an equation of vectors, with as many inputs and results."""

    def equation(*inputs: Value) -> tuple[Value, ...]:
        known = list(inputs)
        for operation, operands, number in formula.steps:
            values = [known[x] for x in operands]
            known.append(operation.apply(*values) if values else inputs[0].constant(float(number)))
        return tuple(known[x] for x in formula.results)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind, annotation="Value") for name in INPUTS[: formula.inputs]]
    equation.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    equation.__name__ = f"formula_{hashlib.sha256(repr(formula.describe()).encode()).hexdigest()[:16]}"
    return equation
