"""Sums of some rows of a matrix, each times a number: what sparse samples need both ways; and their columns."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.columns import Columns
from fastnn._kernels.numba.memory import real
from fastnn._kernels.numba.simd import (
    INT32,
    INT64,
    POINTER,
    advance,
    ask_for,
    broadcast,
    element_size,
    fma,
    function,
    lanes,
    require_pointer,
    type_name,
)

AHEAD = 12  # rows that are asked for before they are added


class _Sum(Columns):
    """Emits the function of so many vectors of columns, whose sums never leave the registers.

    Without a number of vectors it is that of a part of one.
    """

    def __init__(self, module: ir.Module, scalar: Any, vectors: int) -> None:
        super().__init__(scalar, vectors)
        name = f"fastnn_add_some_rows_{vectors}x{type_name(self.vector)}"
        arguments = [INT64, INT64, POINTER, POINTER, POINTER, INT64, scalar, scalar, POINTER]
        self.function, is_new = function(module, name, ir.VoidType(), arguments)
        if is_new:
            self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
            self._emit(*self.function.args)

    def _emit(self, n: Any, units: Any, rows: Any, factors: Any, M: Any, m_row: Any, keep: Any, scale: Any,
              out: Any) -> None:  # fmt: skip
        builder = self.builder
        self.begin(units)
        slots = [builder.alloca(self.vector) for _ in range(self.vectors)]
        for slot in slots:
            builder.store(ir.Constant(self.vector, None), slot)
        whole = builder.select(
            builder.icmp_signed(">", n, INT64(AHEAD)), builder.sub(n, INT64(AHEAD)), INT64(0)
        )  # fmt: skip
        for begin, end, asks in ((INT64(0), whole, True), (whole, n, False)):
            with cgutils.for_range_slice(builder, begin, end, INT64(1)) as (k, _):
                if asks:
                    self._ask(self._row(rows, builder.add(k, INT64(AHEAD)), M, m_row))
                place = builder.gep(factors, [k], source_etype=self.scalar)
                factor = builder.load(place, align=element_size(self.scalar), typ=self.scalar)
                vector, row = broadcast(builder, factor, self.vector), self._row(rows, k, M, m_row)
                for i, slot in enumerate(slots):
                    total = builder.load(slot, typ=self.vector)
                    builder.store(fma(builder, vector, self.load(row, i), total), slot)
        scales, keeps = (broadcast(builder, number, self.vector) for number in (scale, keep))
        starts = builder.fcmp_ordered("==", keep, ir.Constant(self.scalar, 0.0))
        with builder.if_else(starts) as (assign, add):
            with assign:
                for i, slot in enumerate(slots):
                    self.store(builder.fmul(scales, builder.load(slot, typ=self.vector)), out, i)
            with add:
                for i, slot in enumerate(slots):
                    kept = builder.fmul(keeps, self.load(out, i))
                    self.store(fma(builder, scales, builder.load(slot, typ=self.vector), kept), out, i)
        builder.ret_void()

    def _row(self, rows: Any, k: Any, M: Any, m_row: Any) -> Any:
        index = self.builder.load(self.builder.gep(rows, [k], source_etype=INT64), typ=INT64)
        return self.builder.gep(M, [self.builder.mul(index, m_row)], source_etype=self.scalar)

    def _ask(self, row: Any) -> None:
        size = self.vector.count * element_size(self.scalar)
        for byte in range(0, self.vectors * size, max(64, size)):
            ask_for(self.builder, self.builder.gep(row, [INT64(byte)], source_etype=ir.IntType(8)))


def _sum_of(vectors: int) -> Any:
    """Return the intrinsic (n, units, rows, factors, M, m_row, keep, scale, out) of a `_Sum`."""

    def typing(typingctx, n, units, rows, factors, M, m_row, keep, scale, out):
        number = require_pointer(factors, M, out)

        def codegen(context, builder, signature, args):
            scalar = context.get_value_type(number)
            builder.call(_Sum(builder.module, scalar, vectors).function, args)
            return context.get_dummy_value()

        given = types.int64, types.int64, rows, factors, M, types.int64, number, number, out
        return types.void(*given), codegen

    return intrinsic(typing)


sum_8, sum_4, sum_2, sum_1, sum_part = map(_sum_of, (8, 4, 2, 1, 0))


@kernel
def add_some_rows(n, units, rows, factors, M, m_row, keep, scale, out):
    """Compute out[:units] = keep out[:units] + scale sum_k factors[k] M[rows[k]]."""
    keep, scale, j = real(out, keep), real(out, scale), 0
    while units - j >= 8 * lanes(out):
        sum_8(n, units, rows, factors, advance(M, j), m_row, keep, scale, advance(out, j))
        j += 8 * lanes(out)
    if units - j >= 4 * lanes(out):
        sum_4(n, units, rows, factors, advance(M, j), m_row, keep, scale, advance(out, j))
        j += 4 * lanes(out)
    if units - j >= 2 * lanes(out):
        sum_2(n, units, rows, factors, advance(M, j), m_row, keep, scale, advance(out, j))
        j += 2 * lanes(out)
    if units - j >= lanes(out):
        sum_1(n, units, rows, factors, advance(M, j), m_row, keep, scale, advance(out, j))
        j += lanes(out)
    if units > j:
        sum_part(n, units - j, rows, factors, advance(M, j), m_row, keep, scale, advance(out, j))


@intrinsic
def widen_numbers(typingctx, size, source, target, n):
    """Compute target[i] = x[i] of whole numbers of 4 or 8 bytes."""

    def codegen(context, builder, signature, args):
        size, source, target, n = args

        def copy(stored):
            numbers = builder.inttoptr(source, stored.as_pointer())
            with cgutils.for_range(builder, n) as loop:
                place = builder.gep(numbers, [loop.index], source_etype=stored)
                x = builder.load(place, align=stored.width // 8, typ=stored)
                x = x if stored == INT64 else builder.sext(x, INT64)
                builder.store(x, builder.gep(target, [loop.index], source_etype=INT64), align=8)

        with builder.if_else(builder.icmp_signed("==", size, INT64(4))) as (short, long):
            with short:
                copy(INT32)
            with long:
                copy(INT64)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, target, types.int64), codegen


@kernel
def widen(size, source, target, n):
    """Copy n whole numbers of 4 or 8 bytes at an address."""
    widen_numbers(size, source, target, n)
