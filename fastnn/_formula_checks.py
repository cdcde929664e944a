"""What is asked of a function of one's own: numbers where it needs them, and a derivative that differences confirm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fastnn._equations.derivative import with_derivative
from fastnn._equations.formula import INPUTS, Formula
from fastnn._equations.operations import Operation
from fastnn._kernels.contract import Array
from fastnn._kernels.formulas import evaluate, values
from fastnn._kernels.programs import program

TARGETS = (-2.0, -0.6, 0.0, 0.4, 1.0, 3.0)
_SIZES = (0.25, 1.0, 7.0, 30.0, 85.0, 100.0, 1000.0)
FAR = np.array([0.0, *(sign * size for size in _SIZES for sign in (1, -1))])
OVERFLOWS = 30.0  # beyond, a value may be NaN: infinity minus infinity
# No kink of a usual function is among these.
NEAR = np.linspace(-6, 6, 49) + 0.0137
STEP, TOLERANCE = 1e-3, 1e-6


def check_activation(value: Formula) -> None:
    """Refuse a function that no network could train with, on whatever backend."""
    both = with_derivative(value)
    program(both)
    for dtype in (np.float32, np.float64):
        g, slope = evaluate(both, FAR.astype(dtype))
        if not (np.isfinite(g[0]) and np.isfinite(slope[0])):
            found = f"its value is {g[0]:g} and its derivative {slope[0]:g}"
            raise ValueError(
                "activation_from: the function must be finite at z = 0, where the units are that fill up vectors; "
                f"{found}. np.where chooses another value there, and safe arguments: "
                "np.where(z == 0, 1, z / np.expm1(np.where(z == 0, 1, z)))"
            )
        _check_numbers("activation_from", g, slope, (FAR,), dtype)
    _check_derivative("activation_from", both, (NEAR,))


def check_loss(value: Formula) -> None:
    """Refuse a function that no network could train with, on whatever backend; some targets may be none of its."""
    both = with_derivative(value)
    program(both)
    Z, Y = np.meshgrid(FAR, TARGETS)
    for dtype in (np.float32, np.float64):
        loss, slope = evaluate(both, Z.astype(dtype), Y.astype(dtype))
        nowhere = np.isnan(loss).all(axis=0) & (np.abs(FAR) <= OVERFLOWS)
        if nowhere.any():
            raise ValueError(f"loss_from: the loss is nan at z = {FAR[nowhere][0]:g}, whatever y; it must be a number")
        valid = ~np.isnan(loss)
        _check_numbers("loss_from", loss[valid], slope[valid], (Z[valid], Y[valid]), dtype)
    _check_derivative("loss_from", both, tuple(grid.ravel() for grid in np.meshgrid(NEAR, TARGETS)))


def _check_numbers(maker: str, value: Array, slope: Array, points: Sequence[Array], dtype: npt.DTypeLike) -> None:
    """Refuse a value that is NaN, or the derivative of a finite one."""
    undefined_value = np.isnan(value) & (np.abs(points[0]) <= OVERFLOWS)
    for what, undefined in (("value", undefined_value), ("derivative", np.isnan(slope) & np.isfinite(value))):
        if undefined.any():
            where = _place(points, int(np.argmax(undefined)))
            raise ValueError(f"{maker}: the function's {what} in {np.dtype(dtype)} is nan at {where}")


def _check_derivative(maker: str, both: Formula, points: Sequence[Array]) -> None:
    """Compare the derivative with differences of fourth order, wherever no kink or jump is near."""
    z, *rest = points
    h = STEP * np.maximum(1, np.abs(z))
    (value, slope), branches = evaluate(both, *points), _branches(both, points)
    usable, around = np.isfinite(value) & np.isfinite(slope), []
    for k in (-2, -1, 1, 2):
        there = (z + k * h, *rest)
        around.append(evaluate(both, *there)[0])
        usable &= np.isfinite(around[-1]) & (_branches(both, there) == branches).all(axis=0)
    if not usable.any():
        raise ValueError(f"{maker}: the function is finite and smooth at none of {len(z)} points from {z[0]:g} on")
    with np.errstate(all="ignore"):
        rough = (around[2] - around[1]) / (2 * h)
        difference = (around[0] - 8 * around[1] + 8 * around[2] - around[3]) / (12 * h)
        allowed = TOLERANCE * (np.abs(slope) + np.max(np.abs(around), axis=0)) + np.abs(rough - difference)
        wrong = usable & (np.abs(slope - difference) > allowed)
    if wrong.any():
        i = int(np.argmax(wrong))
        found = f"{slope[i]:g}, differences of its values give {difference[i]:g}"
        raise ValueError(f"{maker}: the derivative at {_place(points, i)} is {found}")
    if not slope[usable].any():
        raise ValueError(f"{maker}: the function's derivative is 0 everywhere; nothing could be learned from it")


def _branches(formula: Formula, points: Sequence[Array]) -> npt.NDArray[np.bool_]:
    """Return what was chosen at each point, a row for each choice: where that changes is a kink or a jump."""
    known = list(values(formula, *points))
    rows = [np.zeros(len(points[0]), bool)]
    for number, (operation, operands, _) in enumerate(formula.steps, formula.inputs):
        given = [known[i] for i in operands]
        match operation:
            case Operation.LESS | Operation.LESS_EQUAL | Operation.EQUAL:
                chosen = known[number] > 0
            case Operation.MAXIMUM | Operation.MINIMUM:
                chosen = given[0] < given[1]
            case Operation.ABSOLUTE:
                chosen = given[0] > 0
            case _:
                continue
        rows.append(np.broadcast_to(chosen, rows[0].shape))
    return np.array(rows)


def _place(points: Sequence[Array], i: int) -> str:
    return ", ".join(f"{name} = {values[i]:g}" for name, values in zip(INPUTS, points, strict=False))
