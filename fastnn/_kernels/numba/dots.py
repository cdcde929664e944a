"""A matrix and one vector, what a single sample needs of transposed weights: dots with its rows, and their sum."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.simd import (
    INT32,
    INT64,
    POINTER,
    advance,
    element_size,
    fill,
    fma,
    function,
    lanes,
    load,
    multiply_add,
    require_pointer,
    store,
    type_name,
    vector_type,
)

ROWS = (8, 4, 2, 1)  # rows at a time: eight chains of fmas hide their latency


def _add_lanes_of_each(builder: ir.IRBuilder, vectors: list[Any]) -> list[Any]:
    """Emit the sum of each vector's lanes as a tree: in as many lanes, of one vector or several.

    Two vectors are halved and added together, then four, and so on: half the shuffles of one by one. The tree is
    written out, so that a row's bits do not depend on how many others there are.
    """
    segment = vectors[0].type.count
    while segment > 1:
        if len(vectors) == 1:  # its lanes go on as those of a shorter vector
            vectors = [*vectors, ir.Constant(vectors[0].type, ir.Undefined)]
            first_lanes = range(0, vectors[0].type.count, segment)
        else:
            first_lanes = range(0, 2 * vectors[0].type.count, segment)
        segment //= 2
        halves = [[lane + half + i for lane in first_lanes for i in range(segment)] for half in (0, segment)]
        masks = [ir.Constant(ir.VectorType(INT32, len(half)), half) for half in halves]
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [builder.fadd(*(builder.shuffle_vector(a, b, mask) for mask in masks)) for a, b in pairs]
    return vectors


class _Dots:
    """Emits the function of a number of rows: (n, M, m_row, v, out)."""

    def __init__(self, module: ir.Module, scalar: Any, rows: int) -> None:
        self.scalar, self.vector, self.rows = scalar, vector_type(scalar), rows
        name = f"fastnn_dots_{rows}_{type_name(self.vector)}"
        self.function, is_new = function(module, name, ir.VoidType(), [INT64, POINTER, INT64, POINTER, POINTER])
        if is_new:
            self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
            self._emit(*self.function.args)

    def _load(self, base: Any, i: Any) -> Any:
        address = self.builder.gep(base, [i], source_etype=self.scalar)
        return self.builder.load(address, align=element_size(self.scalar), typ=self.vector)

    def _emit(self, n: Any, M: Any, m_row: Any, v: Any, out: Any) -> None:
        builder = self.builder
        entry, loop, body, done = (
            builder.block,
            *(self.function.append_basic_block(name) for name in ("loop", "body", "done")),
        )
        pointers = [builder.gep(M, [builder.mul(m_row, INT64(r))], source_etype=self.scalar) for r in range(self.rows)]
        builder.branch(loop)

        builder.position_at_end(loop)
        i = builder.phi(INT64)
        sums = [builder.phi(self.vector) for _ in range(self.rows)]
        builder.cbranch(builder.icmp_signed("<", i, n), body, done)

        builder.position_at_end(body)
        factor = self._load(v, i)
        added = [fma(builder, self._load(p, i), factor, total) for p, total in zip(pointers, sums, strict=True)]
        following = builder.add(i, INT64(self.vector.count))
        builder.branch(loop)

        zero = ir.Constant(self.vector, None)
        for phi, start, value in zip((i, *sums), (INT64(0), *[zero] * self.rows), (following, *added), strict=True):
            phi.add_incoming(start, entry)
            phi.add_incoming(value, body)

        builder.position_at_end(done)
        r = 0
        for totals in _add_lanes_of_each(builder, sums):
            address = builder.gep(out, [INT64(r)], source_etype=self.scalar)
            builder.store(totals, address, align=element_size(self.scalar))
            r += totals.type.count
        builder.ret_void()


@intrinsic
def some_dots(typingctx, rows, n, M, m_row, v, out):
    """Compute the dot products of 8, 4, 2 or 1 rows."""
    real = require_pointer(M, v, out)

    def codegen(context, builder, signature, args):
        scalar = context.get_value_type(real)
        rows, *arguments = args
        after, other = builder.append_basic_block("after"), builder.append_basic_block("other")
        switch = builder.switch(rows, other)
        for count in ROWS:
            case = builder.append_basic_block(f"dots_{count}")
            switch.add_case(INT64(count), case)
            builder.position_at_end(case)
            builder.call(_Dots(builder.module, scalar, count).function, arguments)
            builder.branch(after)
        builder.position_at_end(other)
        builder.unreachable()
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, M, types.int64, v, out), codegen


@kernel
def dots(rows, n, M, m_row, v, out):
    """Compute out[r] = sum_j M[r m_row + j] v[j] for r < rows, j < n; n is a multiple of the vector's lanes."""
    r = 0
    for count in ROWS:
        while rows - r >= count:
            some_dots(count, n, advance(M, r * m_row), m_row, v, advance(out, r))
            r += count


@kernel
def add_eight_rows(n, M, m_row, v, out):
    """Add eight rows of M, each times a number of v."""
    M1, M2, M3 = advance(M, m_row), advance(M, 2 * m_row), advance(M, 3 * m_row)
    M4, M5, M6, M7 = advance(M, 4 * m_row), advance(M1, 4 * m_row), advance(M2, 4 * m_row), advance(M3, 4 * m_row)
    f0, f1, f2, f3 = fill(v[0]), fill(v[1]), fill(v[2]), fill(v[3])
    f4, f5, f6, f7 = fill(v[4]), fill(v[5]), fill(v[6]), fill(v[7])
    for j in range(0, n, lanes(M)):
        total = multiply_add(f1, load(M1, j), multiply_add(f0, load(M, j), load(out, j)))
        total = multiply_add(f3, load(M3, j), multiply_add(f2, load(M2, j), total))
        total = multiply_add(f5, load(M5, j), multiply_add(f4, load(M4, j), total))
        store(out, j, multiply_add(f7, load(M7, j), multiply_add(f6, load(M6, j), total)))


@kernel
def add_rows(rows, n, M, m_row, v, out):
    """Compute out[j] += sum_r v[r] M[r m_row + j] for r < rows, j < n; n is a multiple of the vector's lanes.

    The last rows come first: they are what `dots` has left in a cache that does not hold them all.
    """
    r = rows
    while r >= 8:
        r -= 8
        add_eight_rows(n, advance(M, r * m_row), m_row, advance(v, r), out)
    while r > 0:
        r -= 1
        row, factor = advance(M, r * m_row), fill(v[r])
        for j in range(0, n, lanes(M)):
            store(out, j, multiply_add(factor, load(row, j), load(out, j)))
