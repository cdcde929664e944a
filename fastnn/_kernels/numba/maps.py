"""Loops over arrays in vectors of full width, each from an equation.

Numba's own loops take half of AVX-512's width, and go through what is left over number by number.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastnn._equations.algebra import Equation
from fastnn._kernels.numba.columns import first_lanes, load_where, store_where
from fastnn._kernels.numba.equations import emit
from fastnn._kernels.numba.simd import (
    INT64,
    POINTER,
    broadcast,
    element_size,
    function,
    require_pointer,
    type_name,
    vector_type,
)  # fmt: skip


class _Map:
    """Emits the function (inputs..., outputs..., constants..., n): outputs[i] = equation(inputs[i]..., constants...).

    An output may be an input.
    """

    def __init__(
        self, module: ir.Module, equation: Equation, scalar: Any, inputs: int, outputs: int, constants: int
    ) -> None:
        self.vector, self.scalar, self.equation = vector_type(scalar), scalar, equation
        name = f"fastnn_map_{equation.__name__}_{type_name(self.vector)}"
        arguments = [*[POINTER] * (inputs + outputs), *[scalar] * constants, INT64]
        self.function, is_new = function(module, name, ir.VoidType(), arguments)
        *given, n = self.function.args
        self.inputs, self.outputs, self.constants = (
            given[:inputs], given[inputs : inputs + outputs], given[inputs + outputs :]
        )  # fmt: skip
        if is_new:
            self._emit(n)

    def _emit(self, n: Any) -> None:
        entry, loop, body, rest, tail, done = (
            self.function.append_basic_block(name) for name in ("entry", "loop", "body", "rest", "tail", "done")
        )
        self.builder = builder = ir.IRBuilder(entry)
        lanes = self.vector.count
        full = builder.and_(n, INT64(-lanes))
        self.constants = [broadcast(builder, constant, self.vector) for constant in self.constants]
        builder.branch(loop)

        builder.position_at_end(loop)
        i = builder.phi(INT64)
        builder.cbranch(builder.icmp_signed("<", i, full), body, rest)

        builder.position_at_end(body)
        align = element_size(self.scalar)
        values = self._apply([builder.load(self._at(p, i), align=align, typ=self.vector) for p in self.inputs])
        for p, value in zip(self.outputs, values, strict=True):
            builder.store(value, self._at(p, i), align=align)
        i.add_incoming(INT64(0), entry)
        i.add_incoming(builder.add(i, INT64(lanes)), body)
        builder.branch(loop)

        builder.position_at_end(rest)
        builder.cbranch(builder.icmp_signed("<", i, n), tail, done)

        builder.position_at_end(tail)
        mask = first_lanes(builder, builder.sub(n, i), self.vector)
        values = self._apply([load_where(builder, mask, self._at(p, i), self.vector) for p in self.inputs])
        for p, value in zip(self.outputs, values, strict=True):
            store_where(builder, mask, value, self._at(p, i))
        builder.branch(done)

        builder.position_at_end(done)
        builder.ret_void()

    def _apply(self, inputs: list[Any]) -> list[Any]:
        return emit(self.builder, self.equation, [*inputs, *self.constants])

    def _at(self, base: Any, i: Any) -> Any:
        return self.builder.gep(base, [i], source_etype=self.scalar)


def map_function(
    module: ir.Module, equation: Equation, scalar: Any, inputs: int, outputs: int, constants: int
) -> ir.Function:
    """Return the function of the `_Map` of an equation, which the module gets once for each type."""
    return _Map(module, equation, scalar, inputs, outputs, constants).function


def call_map(builder, equation, scalar, inputs, outputs, constants, n):
    """Emit a call to the function of an equation's `_Map`."""
    function = map_function(builder.module, equation, scalar, len(inputs), len(outputs), len(constants))
    builder.call(function, [*inputs, *outputs, *constants, n])


def map_of(equation: Equation) -> Any:
    """Make the intrinsic (inputs, outputs, constants, n) of a `_Map`: two tuples of pointers and one of numbers."""

    def typing(typingctx, inputs, outputs, constants, n):
        real = require_pointer(*inputs, *outputs)

        def codegen(context, builder, signature, args):
            given, taken, numbers = (cgutils.unpack_tuple(builder, pack) for pack in args[:3])
            numbers = [
                context.cast(builder, number, kind, real) for number, kind in zip(numbers, constants, strict=True)
            ]
            call_map(builder, equation, context.get_value_type(real), given, taken, numbers, args[3])
            return context.get_dummy_value()

        return types.void(inputs, outputs, constants, types.int64), codegen

    return intrinsic(typing)
