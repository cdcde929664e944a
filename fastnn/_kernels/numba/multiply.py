"""Matrix multiplication: a tile of C in vector registers, and the loops that move it over C.

The tile is R rows by N vectors of C. For each k it loads N vectors of B's row k, broadcasts R elements of A and
issues R N fused multiply-adds, whose accumulators never leave the registers. Its strides for A serve A W (rows of A),
A^T delta (columns of A) and delta W^T alike. Every element of C is one chain of fused multiply-adds over k in order,
so a result does not depend on which tile computed it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.simd import (
    INT64,
    LEVEL,
    POINTER,
    advance,
    broadcast,
    element_size,
    fma,
    function,
    lanes,
    require_pointer,
    type_name,
    vector_type,
)  # fmt: skip

ASSIGN, ADD, BIAS = 0, 1, 2  # C = A B, C += A B, C = bias + A B

MAX_VECTORS = LEVEL.tile_vectors
# The most rows of a tile that is 1, 2, ... vectors wide. A narrow tile needs more rows: eight chains or more hide an
# fma's latency.
MAX_ROWS = tuple(LEVEL.tile_rows * min(2, MAX_VECTORS // vectors) for vectors in range(1, MAX_VECTORS + 1))
_ROWS_A_POINTER = 5  # rows 0, 1, 2, 3 and 4 strides away are addressed from one register pair or two


class _Tile:
    """Emits the function of one tile shape: (depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias)."""

    def __init__(self, module: ir.Module, scalar: Any, rows: int, vectors: int) -> None:
        self.scalar, self.vector, self.rows, self.vectors = scalar, vector_type(scalar), rows, vectors
        name = f"fastnn_tile_{rows}x{vectors}_{type_name(self.vector)}"
        arguments = [INT64, POINTER, INT64, INT64, POINTER, INT64, POINTER, INT64, INT64, POINTER]
        self.function, is_new = function(module, name, ir.VoidType(), arguments)
        if is_new:
            self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
            self._emit(*self.function.args)

    def _at(self, base: Any, *steps: Any) -> Any:
        for step in steps:
            base = self.builder.gep(base, [step], source_etype=self.scalar)
        return base

    def _row(self, base: Any, stride: Any) -> list[Any]:
        """Return the pointers to the tile's rows."""
        return [self._at(base, self.builder.mul(stride, INT64(r))) for r in range(self.rows)]

    def _load(self, base: Any) -> list[Any]:
        """Load a row of vectors."""
        align = element_size(self.scalar)
        steps = [INT64(v * self.vector.count) for v in range(self.vectors)]
        return [self.builder.load(self._at(base, step), align=align, typ=self.vector) for step in steps]

    def _broadcast(self, base: Any) -> Any:
        element = self.builder.load(base, align=element_size(self.scalar), typ=self.scalar)
        return broadcast(self.builder, element, self.vector)

    def _emit(self, depth: Any, A: Any, a_row: Any, a_depth: Any, B: Any, b_depth: Any, C: Any, c_row: Any, mode: Any,
              bias: Any) -> None:  # fmt: skip
        builder = self.builder
        entry, from_bias, loop, body, done, add, store = (builder.block, *(
            self.function.append_basic_block(name) for name in ("from_bias", "loop", "body", "done", "add", "store")
        ))  # fmt: skip
        starts = self._row(A, a_row)[::_ROWS_A_POINTER]
        builder.cbranch(builder.icmp_signed("==", mode, INT64(BIAS)), from_bias, loop)

        builder.position_at_end(from_bias)
        biases = self._load(bias)
        builder.branch(loop)

        builder.position_at_end(loop)
        k, b, *pointers = [builder.phi(start.type) for start in (INT64(0), B, *starts)]
        sums = [[builder.phi(self.vector) for _ in range(self.vectors)] for _ in range(self.rows)]
        builder.cbranch(builder.icmp_signed("<", k, depth), body, done)

        builder.position_at_end(body)
        row = self._load(b)
        next_sums = []
        for r in range(self.rows):
            base = pointers[r // _ROWS_A_POINTER]
            a = self._broadcast(self._at(base, builder.mul(a_row, INT64(r % _ROWS_A_POINTER))))
            next_sums.append([fma(builder, a, row[v], sums[r][v]) for v in range(self.vectors)])
        next_values = [builder.add(k, INT64(1)), self._at(b, b_depth), *(self._at(p, a_depth) for p in pointers)]
        self._close_loop(loop)

        for phi, start, following in zip((k, b, *pointers), (INT64(0), B, *starts), next_values, strict=True):
            phi.add_incoming(start, entry)
            phi.add_incoming(start, from_bias)
            phi.add_incoming(following, body)
        zero = ir.Constant(self.vector, None)
        for r in range(self.rows):
            for v in range(self.vectors):
                sums[r][v].add_incoming(zero, entry)
                sums[r][v].add_incoming(biases[v], from_bias)
                sums[r][v].add_incoming(next_sums[r][v], body)

        builder.position_at_end(done)
        rows = self._row(C, c_row)
        builder.cbranch(builder.icmp_signed("==", mode, INT64(ADD)), add, store)

        builder.position_at_end(add)
        totals = [[builder.fadd(c, s) for c, s in zip(self._load(p), sums[r], strict=True)] for r, p in enumerate(rows)]
        builder.branch(store)

        builder.position_at_end(store)
        for r in range(self.rows):
            for v in range(self.vectors):
                value = builder.phi(self.vector)
                value.add_incoming(sums[r][v], done)
                value.add_incoming(totals[r][v], add)
                sums[r][v] = value
        for r, base in enumerate(rows):
            for v in range(self.vectors):
                builder.store(sums[r][v], self._at(base, INT64(v * self.vector.count)), align=element_size(self.scalar))
        builder.ret_void()

    def _close_loop(self, loop: Any) -> None:
        """Branch back, and keep LLVM from unrolling: the tile is its own unrolling, more would only compile longer."""
        module = self.builder.module
        disable = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
        branch = self.builder.branch(loop)
        branch.set_metadata("llvm.loop", module.add_metadata([disable]))


@intrinsic
def tile(typingctx, rows, vectors, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias):
    """Compute one tile of C, ``rows`` by ``vectors`` vectors, both within `MAX_ROWS` and `MAX_VECTORS`."""
    real = require_pointer(A, B, C, bias)
    size = types.int64
    signature = types.void(size, size, size, A, size, size, B, size, C, size, size, bias)

    def codegen(context, builder, signature, args):
        scalar = context.get_value_type(real)
        rows, vectors, *arguments = args
        after = builder.append_basic_block("after_tile")
        other = builder.append_basic_block("no_tile")
        shape = builder.add(builder.mul(vectors, INT64(64)), rows)
        switch = builder.switch(shape, other)
        for n in range(1, MAX_VECTORS + 1):
            for r in range(1, MAX_ROWS[n - 1] + 1):
                case = builder.append_basic_block(f"tile_{r}x{n}")
                switch.add_case(INT64(64 * n + r), case)
                builder.position_at_end(case)
                builder.call(_Tile(builder.module, scalar, r, n).function, arguments)
                builder.branch(after)
        builder.position_at_end(other)
        builder.unreachable()
        builder.position_at_end(after)
        return context.get_dummy_value()

    return signature, codegen


@kernel
def multiply(rows, cols, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias):
    """Compute C[i, j] = init + sum_k A[i a_row + k a_depth] B[k b_depth + j] for i < rows, j < cols.

    ``cols`` is a multiple of the vector's lanes; strides count elements. ``mode``: ASSIGN starts from zero, ADD adds
    the finished sum to C, BIAS starts from bias[j]. Remainders are spread, so that no tile is much smaller than others.
    """
    vectors = cols // lanes(C)
    panels = (vectors + MAX_VECTORS - 1) // MAX_VECTORS
    j = 0
    for panel in range(panels):
        wide = vectors // panels + (panel < vectors % panels)
        most = MAX_ROWS[wide - 1]
        tiles = (rows + most - 1) // most
        high, higher = rows // max(tiles, 1), rows % max(tiles, 1)
        i = 0
        for t in range(tiles):
            r = high + (t < higher)
            a, c = advance(A, i * a_row), advance(C, i * c_row + j)
            tile(r, wide, depth, a, a_row, a_depth, advance(B, j), b_depth, c, c_row, mode, advance(bias, j))
            i += r
        j += wide * lanes(C)
