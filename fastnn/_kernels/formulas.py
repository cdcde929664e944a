"""Formulas evaluated by NumPy, step by step: for the reference, and for the checks of a new one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastnn._equations.formula import Formula
from fastnn._equations.operations import Operation
from fastnn._kernels.contract import Array

_OWN: dict[Operation, Callable[..., Any]] = {
    Operation.WHERE: lambda condition, x, y: np.where(condition > 0, x, y),
    Operation.FINITE: lambda x: np.clip(x, np.finfo(x.dtype).min, np.finfo(x.dtype).max),
}


def values(formula: Formula, *inputs: Array) -> Iterator[Any]:
    """Yield every value of a formula, the inputs first, in their dtype; what is no number becomes NaN or infinity."""
    dtype = inputs[0].dtype
    known: list[Any] = list(inputs)
    yield from inputs
    for operation, operands, number in formula.steps:
        with np.errstate(all="ignore"):
            if operation == Operation.CONSTANT:
                value: Any = dtype.type(number)
            else:
                compute = _OWN.get(operation) or getattr(np, operation.name.lower())
                value = np.asarray(compute(*(known[x] for x in operands))).astype(dtype, copy=False)
        known.append(value)
        yield value


def evaluate(formula: Formula, *inputs: Array) -> list[Array]:
    """Return a formula's results, each of the inputs' shape."""
    known = list(values(formula, *inputs))
    return [np.array(np.broadcast_to(known[x], inputs[0].shape)) for x in formula.results]
