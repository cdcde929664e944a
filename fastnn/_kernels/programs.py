"""Formulas as programs for the interpreter in ``interpreter.h``, whose head describes them."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from fastnn._equations.formula import Builder, Formula
from fastnn._equations.operations import Operation

FIRST_REGISTER = 2  # the places before are those of z and y
MAX_REGISTERS = 64  # a block of one still has some vectors' elements


@cache
def program(formula: Formula) -> npt.NDArray[np.int64]:
    """Return the program of a formula with two results; kept as long as the process: idle jobs know its address.

    Raises
    ------
    ValueError
        If more values than `MAX_REGISTERS` are needed at a time.
    """
    formula = _with_results_of_steps(formula)
    constants = [i for i, step in enumerate(formula.steps) if step.operation == Operation.CONSTANT]
    steps = [i for i, step in enumerate(formula.steps) if step.operation != Operation.CONSTANT]
    places = dict(enumerate(range(formula.inputs)))
    places |= {formula.inputs + i: FIRST_REGISTER + k for k, i in enumerate(constants)}
    lines, registers = _allocate(formula, steps, places, len(constants))
    if registers > MAX_REGISTERS:
        found = f"{registers}, constants included"
        raise ValueError(f"a function may need at most {MAX_REGISTERS} values at a time; this one needs {found}")
    numbers = np.array([float(formula.steps[i].number) for i in constants])
    head = [registers, len(constants), len(steps), *(places[x] for x in formula.results)]
    words = np.concatenate([np.array(head, np.int64), numbers.view(np.int64), np.array(lines, np.int64).ravel()])
    words.flags.writeable = False
    return words


def _with_results_of_steps(formula: Formula) -> Formula:
    """Return the formula with a copy of each result that is an input: results may be stored where inputs are read."""
    builder = Builder(formula.inputs, formula.steps)
    results = [builder.copy(x) if x < formula.inputs else x for x in formula.results]
    return builder.formula(*results)


def _allocate(
    formula: Formula, steps: list[int], places: dict[int, int], constants: int
) -> tuple[list[list[int]], int]:
    """Give each value a register, which others take after its last use; return the steps' lines and the registers."""
    last_use = {x: i for i in steps for x in formula.steps[i].operands}
    kept = {*formula.results, *range(formula.inputs)}
    free: list[int] = []
    lines, end = [], FIRST_REGISTER + constants
    for i in steps:
        operation, operands, _ = formula.steps[i]
        given = [places[x] for x in operands]
        done = {x for x in operands if last_use[x] == i and x not in kept}
        free += sorted(places[x] for x in done if places[x] >= FIRST_REGISTER + constants)
        if not free:
            free.append(end)
            end += 1
        to = places[formula.inputs + i] = free.pop()
        lines.append([int(operation), to, *given, *[given[0]] * (3 - len(given))])
    return lines, end - FIRST_REGISTER
