"""Matrix multiplication: a tile of C in vector registers, and the loops that move it over C.

The tile is R rows by N vectors of C. For each k it loads N vectors of B's row k, broadcasts R elements of A and
issues R N fused multiply-adds, whose accumulators never leave the registers. Its strides for A serve A W (rows of A),
A^T delta (columns of A) and delta W^T alike: either A's rows or its columns lie together, and one stride is 1. Every
element of C is one chain of fused multiply-adds over k in order, so a result does not depend on which tile computed it.

Where A's row stride is 0 there must be one row: a sum over samples, not a part of a taller product. It may be several
chains.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import real
from fastnn._kernels.numba.simd import (
    CACHE_LINE,
    INT64,
    LEVEL,
    POINTER,
    add,
    advance,
    ask_for,
    broadcast,
    element_size,
    fill,
    fma,
    function,
    lanes,
    load,
    multiply_add,
    prefetch,
    require_pointer,
    store,
    type_name,
    vector_type,
)  # fmt: skip

# C = A B, C += A B, C = bias + A B; and the last for an A whose rows lie together and come from memory, not a cache:
# while a tile computes with some rows it asks for the next ones (784-128-10, full batch: 4 %).
ASSIGN, ADD, BIAS, BIAS_FROM_MEMORY = 0, 1, 2, 3
START = BIAS  # of a tile: it starts from memory, be it the bias or the sums so far

MAX_VECTORS = LEVEL.tile_vectors
# The most rows of a tile that is 1, 2, ... vectors wide. A narrow tile needs more rows: eight chains or more hide an
# fma's latency.
MAX_ROWS = tuple(LEVEL.tile_rows * min(2, MAX_VECTORS // vectors) for vectors in range(1, MAX_VECTORS + 1))
# A panel of B that is packed, copied together: on the stack, in bytes and in rows.
PACKED_BYTES = 64 * 1024
MAX_DEPTH = PACKED_BYTES // (MAX_VECTORS * LEVEL.bits // 8)
NARROW_DEPTH = 512  # of a block whose panels are two vectors wide
BLOCK_ROWS = 48  # of a product of A's columns
# Narrow tiles ask for short rows of A this far ahead: at 20 numbers a row, memory takes longer than the tile itself.
# Long ones the CPU follows on its own.
ROWS_AHEAD = 48
_VECTORS_A_LINE = 8 * CACHE_LINE // LEVEL.bits
_SHORT_ROW = 8 * 1024 // LEVEL.bits  # in vectors: 1 kB
_ROWS_A_POINTER = 3  # pointer + 0, 1 and 2 strides: addresses that need no arithmetic of their own


def is_paired(rows: int, vectors: int) -> bool:
    """Return whether a tile takes two steps at a time, with addresses for rows of A that lie together, or columns.

    With any strides a step of 6 x 2 is 27 instructions for 12 fmas; so it is 24 (22 in C). A core shared with others
    may issue no more than some three a cycle: in such minutes AVX2 is 1.1 to 1.25 times faster for it in C, else up to
    1.1. Tiles of AVX-512 have enough fmas as they are.
    """
    return MAX_VECTORS == vectors == 2 and rows > 3


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
        by_rows = builder.zext(builder.icmp_signed("==", arguments[3], INT64(1)), INT64)
        shape = builder.add(builder.mul(builder.add(builder.mul(vectors, INT64(2)), by_rows), INT64(64)), rows)
        switch = builder.switch(shape, after)
        for n, by_rows in itertools.product(range(1, MAX_VECTORS + 1), (False, True)):
            for r in range(1, MAX_ROWS[n - 1] + 1):
                case = builder.append_basic_block(f"tile_{r}x{n}")
                switch.add_case(INT64(64 * (2 * n + by_rows) + r), case)
                builder.position_at_end(case)
                builder.call(_Tile(builder.module, scalar, by_rows, r, n).function, arguments)
                builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return signature, codegen


@kernel(forceinline=True)  # into `multiply` alone: the tiles are compiled once
def _multiply_panel(rows, vectors, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, start, start_row, ahead):
    """Compute the rows of a panel of C that is one tile wide; no tile is much lower than the others."""
    most = MAX_ROWS[vectors - 1]
    tiles = max(1, (rows + most - 1) // most)
    low, higher = rows // tiles, rows % tiles
    i = 0
    for t in range(tiles):
        high = low + (t < higher)
        a, c, s = advance(A, i * a_row), advance(C, i * c_row), advance(start, i * start_row)
        if ahead > 0 and vectors < MAX_VECTORS and a_row <= _SHORT_ROW * lanes(A):
            for line in range(0, high * a_row, _VECTORS_A_LINE * lanes(A)):
                prefetch(advance(a, ROWS_AHEAD * a_row + line), 1)
        tile(high, vectors, depth, a, a_row, a_depth, B, b_depth, c, c_row, mode, s, start_row, ahead)
        i += high


@kernel
def sum_rows(depth, A, a_depth, B, b_depth, C, mode, bias):
    """Compute one row of C, a vector wide, of numbers A and rows of B: eight chains, whose sums are added as a tree.

    One chain would wait for each fma: 96 rows of B took 76 ns in place of 41 (in C).
    """
    zero = fill(real(C, 0.0))
    s0 = load(bias, 0) if mode == BIAS else zero
    s1, s2, s3, s4, s5, s6, s7 = zero, zero, zero, zero, zero, zero, zero
    a1, a2, a3 = advance(A, a_depth), advance(A, 2 * a_depth), advance(A, 3 * a_depth)
    b1, b2, b3 = advance(B, b_depth), advance(B, 2 * b_depth), advance(B, 3 * b_depth)
    whole = depth // 8 * 8
    for k in range(0, whole, 8):
        i, i4, j, j4 = k * a_depth, (k + 4) * a_depth, k * b_depth, (k + 4) * b_depth
        s0, s4 = multiply_add(fill(A[i]), load(B, j), s0), multiply_add(fill(A[i4]), load(B, j4), s4)
        s1, s5 = multiply_add(fill(a1[i]), load(b1, j), s1), multiply_add(fill(a1[i4]), load(b1, j4), s5)
        s2, s6 = multiply_add(fill(a2[i]), load(b2, j), s2), multiply_add(fill(a2[i4]), load(b2, j4), s6)
        s3, s7 = multiply_add(fill(a3[i]), load(b3, j), s3), multiply_add(fill(a3[i4]), load(b3, j4), s7)
    for k in range(whole, depth):
        s0 = multiply_add(fill(A[k * a_depth]), load(B, k * b_depth), s0)
    total = add(add(add(s0, s4), add(s2, s6)), add(add(s1, s5), add(s3, s7)))
    store(C, 0, add(load(C, 0), total) if mode == ADD else total)


@intrinsic
def panel_memory(typingctx, like):
    """Return the pointer to `PACKED_BYTES` on the calling function's stack, of the type that ``like`` points to."""
    require_pointer(like)

    def codegen(context, builder, signature, args):
        with builder.goto_entry_block():
            memory = builder.alloca(ir.ArrayType(ir.IntType(8), PACKED_BYTES))
        memory.align = CACHE_LINE
        return builder.bitcast(memory, context.get_value_type(like))

    return like(like), codegen


@kernel
def pack(rows, vectors, B, b_depth, packed):
    """Copy rows of a panel of B together."""
    width = vectors * lanes(B)
    for k in range(rows):
        for j in range(0, width, lanes(B)):
            store(packed, k * width + j, load(B, k * b_depth + j))


@kernel
def is_worth_packing(B, rows, depth, b_depth, mode):
    """Return whether the panels of B are packed before the tiles of rows read them.

    Rows that are far apart share few places in the caches (512 deep, 1024 wide, 192 rows, AVX2: 65 GFLOP/s became 101,
    in C). There must be enough tiles to pay for it. The depth is taken in blocks, and the sums so far pass through C,
    which keeps each chain as it was; C += A B cannot: it is packed whole.
    """
    tiles, apart = rows // MAX_ROWS[-1], b_depth // (MAX_VECTORS * lanes(B))
    if mode == ADD:
        return tiles >= 32 and apart >= 8 and depth <= MAX_DEPTH
    return tiles >= 8 and apart >= 16


@kernel
def depth_of_block(packs, depth, mode):
    """Return the depth of a block: of a packed panel, or of one of two vectors.

    The latter stays in the first-level cache beside its tile's rows of A (784 deep, 128 wide, 96 rows, AVX2, in C: 87
    GFLOP/s became 94).
    """
    if packs:
        return MAX_DEPTH
    return NARROW_DEPTH if MAX_VECTORS == 2 and mode != ADD else depth


@kernel
def is_tall(B, rows, cols, depth, a_row):
    """Return whether a product of A's columns has so many rows that they go in blocks, past all of B, which is packed.

    A block's columns stay in the first-level cache while the panels pass: the gradients of large layers (784 rows, 128
    wide, 96 deep, AVX2, in C: 84 GFLOP/s became 92).
    """
    fits = cols >= 8 * lanes(B) and depth * cols <= MAX_DEPTH * MAX_VECTORS * lanes(B)
    return MAX_VECTORS == 2 and a_row == 1 and rows >= 8 * BLOCK_ROWS and fits


@kernel
def multiply(rows, cols, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias):
    """Compute C[i, j] = init + sum_k A[i a_row + k a_depth] B[k b_depth + j] for i < rows, j < cols.

    ``cols`` is a multiple of the vector's lanes; strides count elements, and of several rows a_row or a_depth is 1.
    ``mode``: ASSIGN starts from zero, ADD adds the finished sum to C, BIAS and BIAS_FROM_MEMORY start from bias[j].
    Remainders are spread, so that no tile is much smaller than others.
    """
    vectors = cols // lanes(C)
    from_memory = mode == BIAS_FROM_MEMORY
    if from_memory:
        mode = BIAS
    if a_row == 0 and vectors <= 2:
        for j in range(0, cols, lanes(C)):
            sum_rows(depth, A, a_depth, advance(B, j), b_depth, advance(C, j), mode, advance(bias, j))
        return
    if vectors <= MAX_VECTORS and rows <= MAX_ROWS[vectors - 1]:
        # One tile: the divisions below would take longer than it, which small networks feel at each sample.
        tile(rows, vectors, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias, 0, 0)
        return
    panels = (vectors + MAX_VECTORS - 1) // MAX_VECTORS
    tall, packed = is_tall(B, rows, cols, depth, a_row), panel_memory(B)
    packs = tall or is_worth_packing(B, rows, depth, b_depth, mode)
    most = depth_of_block(packs, depth, mode)
    blocks = (depth + most - 1) // most if depth > most else 1
    height = BLOCK_ROWS if tall else rows
    for i in range(0, rows, max(1, height)):
        k = 0
        for block in range(blocks):
            deep = depth // blocks + (block < depth % blocks)
            a, j = advance(A, i * a_row + k * a_depth), 0
            for panel in range(panels):
                wide = vectors // panels + (panel < vectors % panels)
                b, b_row, c = advance(B, k * b_depth + j), b_depth, advance(C, i * c_row + j)
                if packs:
                    copy = advance(packed, j * depth if tall else 0)
                    if i == 0:
                        pack(deep, wide, b, b_depth, copy)
                    b, b_row = copy, wide * lanes(B)
                first = block == 0
                start, start_row = (advance(bias, j), 0) if first else (c, c_row)
                begin = mode if first else START
                ahead = MAX_ROWS[-1] if from_memory and panel == 0 else 0
                low = min(height, rows - i)
                _multiply_panel(low, wide, deep, a, a_row, a_depth, b, b_row, c, c_row, begin, start, start_row, ahead)
                j += wide * lanes(C)
            k += deep
