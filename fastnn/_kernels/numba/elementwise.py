"""Activations, their derivatives and other functions of each element, of arrays and of what a kernel holds.

The equations are those of ``fastnn/_equations``. From each come functions of a whole array (``exp_array``), and of a
vector or a number that a kernel holds (``sigmoid_``); a kernel that has an activation's code chooses from the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastnn._equations import functions
from fastnn._equations.activations import DERIVATIVES, EQUATIONS, Activation
from fastnn._equations.algebra import Equation, signature
from fastnn._equations.losses import sigmoid_cross_entropy
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.equations import call_equation, of_lanes
from fastnn._kernels.numba.maps import call_map, map_of
from fastnn._kernels.numba.simd import INT64, require_lanes, require_pointer

sigmoid_ = of_lanes(functions.sigmoid)
exp_of_difference_, log_of_1_plus_ = of_lanes(functions.exp_of_difference), of_lanes(functions.log_of_1_plus)
inverse_of_1_plus_, larger_, chosen_ = (
    of_lanes(equation, inline=True) for equation in (functions.inverse_of_1_plus, functions.larger, functions.chosen)
)
_exp_map, _log_map, _cross_entropy_map = map_of(functions.exp), map_of(functions.log), map_of(sigmoid_cross_entropy)

Table = Mapping[Activation, Equation]


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


def _choice_of_maps(table: Table) -> Callable[..., Any]:
    """Return the typing of an intrinsic (code, slope, pointers..., n): the last array becomes the equation's result."""

    def typing(code, kind, *rest):
        *pointers, _ = rest
        real = require_pointer(*pointers)

        def codegen(context, builder, _, args):
            code, slope, *arrays, n = args
            slope = context.cast(builder, slope, kind, real)

            def emit(equation):
                constants = [slope] if signature(equation).numbers else []
                call_map(builder, equation, context.get_value_type(real), arrays, arrays[-1:], constants, n)

            _choose(builder, code, table, emit)
            return context.get_dummy_value()

        return types.void(types.int64, kind, *pointers, types.int64), codegen

    return typing


_activated, _times_derivative = _choice_of_lanes(EQUATIONS, 0), _choice_of_lanes(DERIVATIVES, 1)
_activate, _multiply_by_derivative = _choice_of_maps(EQUATIONS), _choice_of_maps(DERIVATIVES)


@intrinsic
def activated(typingctx, activation, x, slope):
    """Return g(x) of a vector for the activation's code."""
    return _activated(activation, x, slope)


@intrinsic
def times_derivative(typingctx, activation, a, delta, slope):
    """Return delta g'(z) of vectors, taken from the output a = g(z)."""
    return _times_derivative(activation, a, delta, slope)


@intrinsic
def activate_map(typingctx, activation, slope, z, n):
    """Compute z[:n] = g(z[:n])."""
    return _activate(activation, slope, z, n)


@intrinsic
def derivative_map(typingctx, activation, slope, a, delta, n):
    """Compute delta[:n] *= g'(z[:n])."""
    return _multiply_by_derivative(activation, slope, a, delta, n)


@kernel
def activate(activation, slope, z, n):
    """Compute z[:n] = g(z[:n]) for the activation's code; softmax, which needs whole rows, is not among them."""
    activate_map(activation, slope, z, n)


@kernel
def multiply_by_derivative(activation, slope, a, delta, n):
    """Compute delta[:n] *= g'(z[:n]), taken from the output a = g(z)."""
    derivative_map(activation, slope, a, delta, n)


@kernel
def exp_array(z, n):
    """Compute z[:n] = exp(z[:n])."""
    _exp_map((z,), (z,), (), n)


@kernel
def log_array(z, n):
    """Compute z[:n] = log(z[:n])."""
    _log_map((z,), (z,), (), n)


@kernel
def sigmoid_cross_entropy_array(z, y, loss, n):
    """Compute loss[:n] of the logits z and the targets y; loss may be z or y itself."""
    _cross_entropy_map((z, y), (loss,), (), n)
