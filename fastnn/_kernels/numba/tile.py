"""The register tile of a matrix multiplication, R rows by N vectors of C, as LLVM code.

For each k it loads N vectors of B's row k, broadcasts R elements of A and issues R N fused multiply-adds, whose
accumulators never leave the registers. Its strides for A serve A W (rows of A), A^T delta (columns of A) and delta W^T
alike: either A's rows or its columns lie together, and one stride is 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastnn._kernels.drivers.primitives import ADD, FROM_BIAS
from fastnn._kernels.numba.simd import (
    INT64,
    LEVEL,
    POINTER,
    ask_for,
    broadcast,
    element_size,
    fma,
    function,
    require_pointer,
    type_name,
    vector_type,
)  # fmt: skip

START = FROM_BIAS  # a tile that starts from memory, be it the bias or the sums so far

MAX_VECTORS = LEVEL.tile_vectors
VECTORS = range(1, MAX_VECTORS + 1)
HAS_PAIRS = MAX_VECTORS == 2
# The most rows of a tile that is 1, 2, ... vectors wide. A narrow tile needs more rows: eight chains or more hide an
# fma's latency.
MAX_ROWS = tuple(LEVEL.tile_rows * min(2, MAX_VECTORS // vectors) for vectors in VECTORS)
_ROWS_A_POINTER = 3  # pointer + 0, 1 and 2 strides: addresses that need no arithmetic of their own


def is_paired(rows: int, vectors: int) -> bool:
    """Return whether a tile takes two steps at a time, with addresses for rows of A that lie together, or columns.

    With any strides a step of 6 x 2 is 27 instructions for 12 fmas; so it is 24 (22 in C). A core shared with others
    may issue no more than some three a cycle: in such minutes AVX2 is 1.1 to 1.25 times faster for it in C, else up to
    1.1. Tiles of AVX-512 have enough fmas as they are.
    """
    return HAS_PAIRS and vectors == 2 and rows > 3


class _Tile:
    """Emits the function of one tile shape: the arguments are those of `tile` from ``depth`` on.

    ``by_rows``: each row of A lies together (a_depth is 1), not each column (a_row is 1). What changes from one step to
    the next lies in stack slots, which LLVM turns into registers.
    """

    def __init__(self, module: ir.Module, scalar: Any, by_rows: bool, rows: int, vectors: int) -> None:
        self.scalar, self.vector, self.rows, self.vectors = scalar, vector_type(scalar), rows, vectors
        way = ("rows" if by_rows else "columns") if is_paired(rows, vectors) else "strides"
        self.accumulate = {"rows": self._by_rows, "columns": self._by_columns, "strides": self._by_strides}[way]
        self.asks = rows == MAX_ROWS[-1] and vectors == MAX_VECTORS  # small networks have other tiles
        name = f"fastnn_tile_{rows}x{vectors}_by_{way}_{type_name(self.vector)}"
        arguments = [INT64, POINTER, INT64, INT64, POINTER, INT64, POINTER, INT64, INT64, POINTER, INT64, INT64]
        self.function, is_new = function(module, name, ir.VoidType(), arguments)
        if is_new:
            self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
            self._emit(*self.function.args)

    def _emit(self, depth: Any, A: Any, a_row: Any, a_depth: Any, B: Any, b_depth: Any, C: Any, c_row: Any, mode: Any,
              start: Any, start_row: Any, ahead: Any) -> None:  # fmt: skip
        builder = self.builder
        self.sums = [
            [self._slot(ir.Constant(self.vector, None)) for _ in range(self.vectors)] for _ in range(self.rows)
        ]
        with builder.if_then(builder.icmp_signed("==", mode, INT64(START))):
            self._update_sums(lambda r, sums: self._load_row(self._at(start, start_row, r)))
        with builder.if_then(builder.icmp_signed("==", mode, INT64(ADD))):  # else they are waited for: 6 % of a tile
            for r in range(self.rows):
                for place in self._places(self._at(C, c_row, r)):
                    ask_for(builder, place)
        is_asked = builder.icmp_signed(">", ahead, INT64(0))
        self.next_rows = self._slot(builder.select(is_asked, self._at(A, a_row, self.rows), A))
        self.row_of_b = self._slot(B)
        self.accumulate(depth, A, a_row, a_depth, b_depth, ahead)
        with builder.if_then(builder.icmp_signed("==", mode, INT64(ADD))):
            self._update_sums(lambda r, sums: map(builder.fadd, self._load_row(self._at(C, c_row, r)), sums))
        for r, sums in enumerate(self.sums):
            for slot, place in zip(sums, self._places(self._at(C, c_row, r)), strict=True):
                builder.store(builder.load(slot, typ=self.vector), place, align=element_size(self.scalar))
        builder.ret_void()

    def _by_strides(self, depth: Any, A: Any, a_row: Any, a_depth: Any, b_depth: Any, ahead: Any) -> None:
        """Add A[:, k] B[k, :] to the sums for each k, one by one."""
        groups = [self._slot(self._at(A, a_row, r)) for r in range(0, self.rows, _ROWS_A_POINTER)]
        with self._loop(depth, 1):
            pointers = [self._opaque(self.builder.load(slot, typ=POINTER)) for slot in groups]
            self._ask(ahead, 1)
            self._step([self._at(pointers[r // _ROWS_A_POINTER], a_row, r % _ROWS_A_POINTER) for r in range(self.rows)])
            self._move(self.row_of_b, b_depth)
            for slot, p in zip(groups, pointers, strict=True):
                self.builder.store(self._at(p, a_depth, 1), slot)

    def _by_rows(self, depth: Any, A: Any, a_row: Any, a_depth: Any, b_depth: Any, ahead: Any) -> None:
        """Add two steps at a time; one index serves the ends of all rows, and ends the loop."""
        pairs = self.builder.and_(depth, INT64(-2))
        ends = [self._opaque(self._at(self._at(A, a_row, r), pairs, 1)) for r in range(self.rows)]
        with self._loop(pairs, 2) as to_end:
            self._ask(ahead, 2)
            for step in range(2):
                k = self.builder.add(to_end, INT64(step))
                self._step([self._at(end, k, 1) for end in ends])
                self._move(self.row_of_b, b_depth)
        with self.builder.if_then(self.builder.icmp_signed("!=", depth, pairs)):
            self._step(ends)

    def _by_columns(self, depth: Any, A: Any, a_row: Any, a_depth: Any, b_depth: Any, ahead: Any) -> None:
        """Add two steps at a time; each column is reached from one pointer."""
        pairs, column = self.builder.and_(depth, INT64(-2)), self._slot(A)

        def step() -> None:
            numbers = self.builder.load(column, typ=POINTER)
            self._step([self._at(numbers, INT64(1), r) for r in range(self.rows)])
            self._move(self.row_of_b, b_depth)
            self._move(column, a_depth)

        with self._loop(pairs, 2):
            step()
            step()
        with self.builder.if_then(self.builder.icmp_signed("!=", depth, pairs)):
            step()

    def _step(self, numbers: list[Any]) -> None:
        """Add the products of the numbers at these pointers, one a row, and the row of B to the sums."""
        builder, row_of_b = self.builder, self._load_row(self.builder.load(self.row_of_b, typ=POINTER))

        def multiply_add(r: int, sums: list[Any]) -> list[Any]:
            number = builder.load(numbers[r], align=element_size(self.scalar), typ=self.scalar)
            a = broadcast(builder, number, self.vector)
            return [fma(builder, a, vector, total) for vector, total in zip(row_of_b, sums, strict=True)]

        self._update_sums(multiply_add)

    def _ask(self, ahead: Any, steps: int) -> None:
        """Ask for what so many steps need of A's next rows; a cache line holds two steps of float32."""
        if self.asks:
            for step in range(0, steps, 2 if element_size(self.scalar) == 4 else 1):
                ask_for(self.builder, self._at(self.builder.load(self.next_rows, typ=POINTER), ahead, step))
            self._move(self.next_rows, ahead, steps)

    @contextmanager
    def _loop(self, count: Any, step: int) -> Iterator[Any]:
        """Emit a loop over -count, -count + step, ... up to 0, around what is emitted in the with block.

        LLVM is kept from unrolling it: a tile is its own unrolling, more would only compile longer.
        """
        builder, module = self.builder, self.builder.module
        index = self._slot(builder.neg(count))
        loop, body, done = (self.function.append_basic_block(name) for name in ("loop", "body", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        builder.cbranch(builder.icmp_signed("!=", builder.load(index, typ=INT64), INT64(0)), body, done)
        builder.position_at_end(body)
        yield builder.load(index, typ=INT64)
        builder.store(builder.add(builder.load(index, typ=INT64), INT64(step)), index)
        disable = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
        name = module.add_metadata([ir.MetaDataString(module, self.function.name), disable])
        name.operands = (name, disable)  # LLVM knows a loop by a node that refers to itself
        builder.branch(loop).set_metadata("llvm.loop", name)
        builder.position_at_end(done)

    def _slot(self, value: Any) -> Any:
        slot = self.builder.alloca(value.type)
        self.builder.store(value, slot)
        return slot

    def _move(self, slot: Any, stride: Any, count: int = 1) -> None:
        """Move the pointer in a slot on by ``count`` strides."""
        self.builder.store(self._at(self.builder.load(slot, typ=POINTER), stride, count), slot)

    def _update_sums(self, change: Callable[[int, list[Any]], Iterable[Any]]) -> None:
        """Replace the sums of each row r by change(r, sums)."""
        for r, slots in enumerate(self.sums):
            sums = [self.builder.load(slot, typ=self.vector) for slot in slots]
            for slot, value in zip(slots, change(r, sums), strict=True):
                self.builder.store(value, slot)

    def _at(self, base: Any, stride: Any, count: int) -> Any:
        """Return the pointer ``count`` strides after ``base``."""
        return self.builder.gep(base, [self.builder.mul(stride, INT64(count))], source_etype=self.scalar)

    def _places(self, row: Any) -> list[Any]:
        """Return the pointers to a row's vectors."""
        return [self._at(row, INT64(self.vector.count), v) for v in range(self.vectors)]

    def _load_row(self, base: Any) -> list[Any]:
        align = element_size(self.scalar)
        return [self.builder.load(place, align=align, typ=self.vector) for place in self._places(base)]

    def _opaque(self, p: Any) -> Any:
        """Hide where a pointer comes from: LLVM would derive each row's from the one before, a chain of additions."""
        return self.builder.asm(ir.FunctionType(POINTER, [POINTER]), "", "=r,0", [p], side_effect=False)


@intrinsic
def tile(typingctx, rows, vectors, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, start, start_row, ahead):
    """Compute one tile of C, ``rows`` by ``vectors`` vectors, both within `MAX_ROWS` and `MAX_VECTORS`; none with 0.

    In mode START the accumulators start from the tile at ``start``, whose rows are ``start_row`` apart. ``ahead`` is
    how many elements of A's next rows a tile goes on by at each step while it asks for them; 0: it does not.
    """
    real = require_pointer(A, B, C, start)
    size = types.int64
    signature = types.void(size, size, size, A, size, size, B, size, C, size, size, start, size, size)

    def codegen(context, builder, signature, args):
        scalar = context.get_value_type(real)
        rows, vectors, *arguments = args
        after = builder.append_basic_block("after_tile")
        by_rows, ways = INT64(0), (False,)
        if HAS_PAIRS:
            by_rows, ways = builder.zext(builder.icmp_signed("==", arguments[3], INT64(1)), INT64), (False, True)
        shape = builder.add(builder.mul(builder.add(builder.mul(vectors, INT64(2)), by_rows), INT64(64)), rows)
        switch = builder.switch(shape, after)
        for n, together in itertools.product(VECTORS, ways):
            for r in range(1, MAX_ROWS[n - 1] + 1):
                case = builder.append_basic_block(f"tile_{r}x{n}")
                switch.add_case(INT64(64 * (2 * n + together) + r), case)
                builder.position_at_end(case)
                builder.call(_Tile(builder.module, scalar, together, r, n).function, arguments)
                builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return signature, codegen
