"""A matrix and one vector, what a single sample needs of transposed weights: dots with its rows, and their sum.

And the inner products of the rows of one matrix, which a block of samples needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastnn._kernels.drivers.primitives import GRAM_ROWS
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import real
from fastnn._kernels.numba.simd import (
    INT32,
    INT64,
    LEVEL,
    POINTER,
    advance,
    ask_for,
    broadcast,
    element_size,
    fma,
    function,
    require_pointer,
    type_name,
    vector_type,
)

ROWS = (8, 4, 2, 1)  # rows at a time: eight chains of fmas hide their latency
# Columns of a Gram matrix at a time: with `GRAM_ROWS` a load serves as many fmas, where `dots` needs one for each.
_GRAM_COLUMNS = LEVEL.tile_vectors


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
    """Emits the function of so many rows of M by so many of V: (n, M, m_row, V, v_row, out, out_row)."""

    def __init__(self, module: ir.Module, scalar: Any, rows: int, others: int) -> None:
        self.scalar, self.vector, self.rows, self.others = scalar, vector_type(scalar), rows, others
        name = f"fastnn_dots_{rows}x{others}_{type_name(self.vector)}"
        arguments = [INT64, POINTER, INT64, POINTER, INT64, POINTER, INT64]
        self.function, is_new = function(module, name, ir.VoidType(), arguments)
        if is_new:
            self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
            self._emit(*self.function.args)

    def _load(self, base: Any, i: Any) -> Any:
        address = self.builder.gep(base, [i], source_etype=self.scalar)
        return self.builder.load(address, align=element_size(self.scalar), typ=self.vector)

    def _rows(self, base: Any, stride: Any, count: int) -> list[Any]:
        """Return the pointers to the first rows of a matrix."""
        offsets = (self.builder.mul(stride, INT64(r)) for r in range(count))
        return [self.builder.gep(base, [offset], source_etype=self.scalar) for offset in offsets]

    def _emit(self, n: Any, M: Any, m_row: Any, V: Any, v_row: Any, out: Any, out_row: Any) -> None:
        builder = self.builder
        entry, loop, body, done = (
            builder.block,
            *(self.function.append_basic_block(name) for name in ("loop", "body", "done")),
        )
        rows, others = self._rows(M, m_row, self.rows), self._rows(V, v_row, self.others)
        builder.branch(loop)

        builder.position_at_end(loop)
        i = builder.phi(INT64)
        sums = [builder.phi(self.vector) for _ in range(self.rows * self.others)]
        builder.cbranch(builder.icmp_signed("<", i, n), body, done)

        builder.position_at_end(body)
        factors = [self._load(p, i) for p in others]
        terms = [(a, factor) for a in [self._load(p, i) for p in rows] for factor in factors]
        added = [fma(builder, *term, total) for term, total in zip(terms, sums, strict=True)]
        following = builder.add(i, INT64(self.vector.count))
        builder.branch(loop)

        starts = [INT64(0), *[ir.Constant(self.vector, None)] * len(sums)]
        for phi, start, value in zip((i, *sums), starts, (following, *added), strict=True):
            phi.add_incoming(start, entry)
            phi.add_incoming(value, body)

        builder.position_at_end(done)
        for t, place in enumerate(self._rows(out, out_row, self.others)):
            r = 0
            for totals in _add_lanes_of_each(builder, sums[t :: self.others]):
                address = builder.gep(place, [INT64(r)], source_etype=self.scalar)
                builder.store(totals, address, align=element_size(self.scalar))
                r += totals.type.count
        builder.ret_void()


def _by_rows(emit: Callable[..., Any]) -> Any:
    """Make the intrinsic that emits its work for 8, 4, 2 or 1 rows, whichever it is asked for."""

    @intrinsic
    def some_rows(typingctx, rows, n, M, m_row, v, out):
        real = require_pointer(M, v, out)

        def codegen(context, builder, signature, args):
            rows, *others = args
            after, other = builder.append_basic_block("after"), builder.append_basic_block("other")
            switch = builder.switch(rows, other)
            for count in ROWS:
                case = builder.append_basic_block(f"rows_{count}")
                switch.add_case(INT64(count), case)
                builder.position_at_end(case)
                emit(builder, context.get_value_type(real), count, *others)
                builder.branch(after)
            builder.position_at_end(other)
            builder.unreachable()
            builder.position_at_end(after)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, M, types.int64, v, out), codegen

    return some_rows


@_by_rows
def some_dots(builder, scalar, rows, n, M, m_row, v, out):
    """Compute the dot products of some rows."""
    builder.call(_Dots(builder.module, scalar, rows, 1).function, [n, M, m_row, v, INT64(0), out, INT64(0)])


@kernel
def dots(rows, n, M, m_row, v, out):
    """Compute out[r] = sum_j M[r m_row + j] v[j] for r < rows, j < n; n is a multiple of the vector's lanes."""
    r = 0
    for count in ROWS:
        while rows - r >= count:
            some_dots(count, n, advance(M, r * m_row), m_row, v, advance(out, r))
            r += count


@intrinsic
def _gram_tile(typingctx, n, x, row, y, G, g_row):
    """Compute the dot products of `_GRAM_COLUMNS` rows from ``x`` on with `GRAM_ROWS` from ``y`` on."""
    real = require_pointer(x, y, G)

    def codegen(context, builder, signature, args):
        n, x, row, y, G, g_row = args
        tile = _Dots(builder.module, context.get_value_type(real), _GRAM_COLUMNS, GRAM_ROWS).function
        builder.call(tile, [n, x, row, y, row, G, g_row])
        return context.get_dummy_value()

    return types.void(types.int64, x, types.int64, y, G, types.int64), codegen


@kernel
def gram_rows(first, n, X, x_row, G, g_row):
    """Compute G[t, u] = sum_j X[t x_row + j] X[u x_row + j], j < n, for the `GRAM_ROWS` rows t from ``first`` on.

    u goes up to the last of them; n is a multiple of the vector's lanes, ``first`` one of `GRAM_ROWS`. Of 32 rows of
    784, `dots` took 0.56 us a row, this takes 0.25.
    """
    y, rows = advance(X, first * x_row), advance(G, first * g_row)
    for u in range(0, first + GRAM_ROWS, _GRAM_COLUMNS):
        _gram_tile(n, advance(X, u * x_row), x_row, y, advance(rows, u), g_row)


class _AddedRows:
    """Emits the function that adds so many rows of M, each times a number of v: (n, M, m_row, v, out)."""

    def __init__(self, module: ir.Module, scalar: Any, rows: int, ask: bool) -> None:
        self.scalar, self.vector, self.rows, self.ask = scalar, vector_type(scalar), rows, ask
        name = f"fastnn_add_rows_{rows}{'_and_ask' if ask else ''}_{type_name(self.vector)}"
        self.function, is_new = function(module, name, ir.VoidType(), [INT64, POINTER, INT64, POINTER, POINTER])
        if is_new:
            self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
            self._emit(*self.function.args)

    def _at(self, base: Any, i: Any) -> Any:
        return self.builder.gep(base, [i], source_etype=self.scalar)

    def _emit(self, n: Any, M: Any, m_row: Any, v: Any, out: Any) -> None:
        builder, align = self.builder, element_size(self.scalar)
        count = self.rows + (self.rows // 2 if self.ask else 0)
        rows = [self._at(M, builder.mul(m_row, INT64(r))) for r in range(count)]
        numbers = [builder.load(self._at(v, INT64(r)), typ=self.scalar) for r in range(self.rows)]
        factors = [broadcast(builder, number, self.vector) for number in numbers]
        with cgutils.for_range_slice(builder, INT64(0), n, INT64(self.vector.count), INT64) as (j, _):
            place = self._at(out, j)
            total = builder.load(place, align=align, typ=self.vector)
            for row, factor in zip(rows, factors, strict=False):
                total = fma(builder, builder.load(self._at(row, j), align=align, typ=self.vector), factor, total)
            for row in rows[self.rows :]:
                ask_for(builder, self._at(row, j))
            builder.store(total, place, align=align)
        builder.ret_void()


@_by_rows
def add_some_rows(builder, scalar, rows, *arguments):
    """Add some rows."""
    builder.call(_AddedRows(builder.module, scalar, rows, ask=False).function, arguments)


@_by_rows
def add_some_rows_and_ask(builder, scalar, rows, *arguments):
    """Add some rows, and ask for half as many after them."""
    builder.call(_AddedRows(builder.module, scalar, rows, ask=True).function, arguments)


@kernel
def add_rows(rows, n, M, m_row, v, out):
    """Compute out[j] += sum_r v[r] M[r m_row + j] for r < rows, j < n; n is a multiple of the vector's lanes.

    The last rows come first: they are what `dots` has left in a cache that does not hold them all.
    """
    for count in ROWS:
        while rows >= count:
            rows -= count
            add_some_rows(count, n, advance(M, rows * m_row), m_row, advance(v, rows), out)


@kernel
def add_rows_and_ask(rows, n, M, m_row, v, out):
    """Compute the same for up to eight rows in a first-level cache, while half as many of the next come there.

    All of them would crowd out what is in use (a turn of 384 to 640 units takes up to 1.13 times as long).
    """
    if rows in (8, 4):
        add_some_rows_and_ask(rows, n, M, m_row, v, out)
    else:
        add_rows(rows, n, M, m_row, v, out)


@kernel(fastmath={"contract", "nsz", "reassoc"})
def total_of(values, n):
    """Return the sum of n numbers, added in several chains."""
    total = real(values, 0.0)
    for i in range(n):
        total += values[i]
    return total


total_of_numbers = total_of  # of float64, whatever the network's type
