"""Activations, their derivatives and other functions of each element, of arrays and of what a kernel holds.

The equations are those of ``fastnn/_equations``. From each come functions of a whole array (``exp_array``), and of a
vector or a number that a kernel holds (``sigmoid_``); a kernel that has an activation's code chooses from the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastnn._equations import functions
from fastnn._equations.activations import DERIVATIVES, EQUATIONS, Activation
from fastnn._equations.algebra import Equation, signature
from fastnn._equations.formula import FIRST_ADDRESS
from fastnn._equations.losses import VALUES_AND_DELTAS, Loss
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.equations import call_equation, of_lanes
from fastnn._kernels.numba.maps import call_map, map_of
from fastnn._kernels.numba.memory import call
from fastnn._kernels.numba.simd import INT64, require_lanes, require_pointer

sigmoid_ = of_lanes(functions.sigmoid)
exp_of_difference_, log_of_1_plus_ = of_lanes(functions.exp_of_difference), of_lanes(functions.log_of_1_plus)
inverse_of_1_plus_, larger_, chosen_ = (
    of_lanes(equation, inline=True) for equation in (functions.inverse_of_1_plus, functions.larger, functions.chosen)
)
_exp_map, _log_map = map_of(functions.exp), map_of(functions.log)

Table = Mapping[Activation, Equation] | Mapping[Loss, Equation]


def _choose(builder: ir.IRBuilder, code: Any, table: Table, emit: Callable[[Equation], Any]) -> list[tuple[Any, Any]]:
    """Emit the equation of each code as one case; return their results, each with the block that it comes from."""
    done = builder.append_basic_block("done")
    choice = builder.switch(code, done)
    results = []
    for row, equation in table.items():
        case = builder.append_basic_block(equation.__name__)
        choice.add_case(INT64(int(row)), case)
        builder.position_at_end(case)
        results.append((emit(equation), builder.block))
        builder.branch(done)
    builder.position_at_end(done)
    return results


def _choice_of_lanes(table: Table, unchanged: int) -> Callable[..., Any]:
    """Return the typing of an intrinsic (code, values...): the equation's result, or one of the values for no code."""

    def typing(code, *shapes):
        shape = require_lanes(*shapes)

        def codegen(context, builder, _, args):
            code, *values = args
            before = builder.block

            def emit(equation):
                return call_equation(builder, equation, values[: len(signature(equation).inputs)])

            results = _choose(builder, code, table, emit)
            chosen = builder.phi(values[0].type)
            for result, block in [(values[unchanged], before), *results]:
                chosen.add_incoming(result, block)
            return chosen

        return shape(types.int64, *shapes), codegen

    return typing


def _choice_of_maps(table: Table, inputs: Sequence[int], outputs: Sequence[int]) -> Callable[..., Any]:
    """Return the typing of an intrinsic (code, slope, pointers..., n) of loops over arrays.

    ``inputs`` and ``outputs`` say which arrays equations take, and where results go; one of fewer leaves the last ones
    alone.
    """

    def typing(code, kind, *rest):
        *pointers, _ = rest
        real = require_pointer(*pointers)

        def codegen(context, builder, _, args):
            code, slope, *arrays, n = args
            slope = context.cast(builder, slope, kind, real)

            def emit(equation):
                elements, constants, results = signature(equation)
                constants = [slope] if constants else []
                given, places = [arrays[i] for i in inputs[: len(elements)]], [arrays[i] for i in outputs[:results]]
                call_map(builder, equation, context.get_value_type(real), given, places, constants, n)

            _choose(builder, code, table, emit)
            return context.get_dummy_value()

        return types.void(types.int64, kind, *pointers, types.int64), codegen

    return typing


_OUTPUTS, _FROM_OUTPUT = (  # kernels that hold vectors take derivatives from outputs
    {row: equation for row, equation in table.items() if not row.saves} for table in (EQUATIONS, DERIVATIVES)
)
_activated, _times_derivative = _choice_of_lanes(_OUTPUTS, 0), _choice_of_lanes(_FROM_OUTPUT, 1)
_activate, _multiply_by_derivative = (
    _choice_of_maps(EQUATIONS, (0,), (0, 1)),
    _choice_of_maps(DERIVATIVES, (0, 1), (1,)),
)
_loss_and_delta = _choice_of_maps(VALUES_AND_DELTAS, (0, 1, 2), (3, 0))


@intrinsic
def activated(typingctx, activation, x, slope):
    """Return g(x) of a vector for the activation's code."""
    return _activated(activation, x, slope)


@intrinsic
def times_derivative(typingctx, activation, a, delta, slope):
    """Return delta g'(z) of vectors, taken from the output a = g(z)."""
    return _times_derivative(activation, a, delta, slope)


@intrinsic
def activate_map(typingctx, activation, slope, z, saved, n):
    """Compute z[:n] = g(z[:n]), and what is saved."""
    return _activate(activation, slope, z, saved, n)


@intrinsic
def derivative_map(typingctx, activation, slope, saved, delta, n):
    """Compute delta[:n] *= g'(z[:n])."""
    return _multiply_by_derivative(activation, slope, saved, delta, n)


@intrinsic
def loss_map(typingctx, loss, slope, z, y, numbers, value, n):
    """Compute value[:n] and the deltas z[:n]; no loss has a slope."""
    return _loss_and_delta(loss, slope, z, y, numbers, value, n)


@kernel
def activate(activation, slope, z, saved, n):
    """Compute z[:n] = g(z[:n]) for the activation's code, and what is saved where the derivative needs more than that.

    Softmax, which needs whole rows, is not among them. In a code's place may be the address of a formula's function.
    """
    if activation >= FIRST_ADDRESS:
        call(activation, (z, z, saved, n))
    else:
        activate_map(activation, slope, z, saved, n)


@kernel
def multiply_by_derivative(activation, slope, saved, delta, n):
    """Compute delta[:n] *= g'(z[:n]), taken from what is saved, or else from the output a = g(z)."""
    derivative_map(activation, slope, saved, delta, n)


@kernel
def exp_array(z, n):
    """Compute z[:n] = exp(z[:n])."""
    _exp_map((z,), (z,), (), n)


@kernel
def log_array(z, n):
    """Compute z[:n] = log(z[:n])."""
    _log_map((z,), (z,), (), n)


@kernel
def loss_and_delta(loss, z, y, numbers, value, n):
    """Compute the losses value[:n] of z and the targets y for the loss's code, and the deltas in place of z.

    Only losses that take a number for each output read them. In the code's place may be the address of a formula's
    function.
    """
    if loss >= FIRST_ADDRESS:
        call(loss, (z, y, value, z, n))
    else:
        loss_map(loss, 0.0, z, y, numbers, value, n)
