"""Transposition of weights, which deltas are multiplied with: a block at a time, or a copy of a small layer."""

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
    function,
    lanes,
    require_pointer,
    type_name,
    vector_type,
)


def _exchange(builder: ir.IRBuilder, rows: list[Any], bit: int) -> list[Any]:
    """Exchange elements between rows whose numbers differ in a bit: that bit of row and lane change places."""
    count = len(rows)
    low = [lane if not lane & bit else count + lane - bit for lane in range(count)]
    high = [lane + bit if not lane & bit else count + lane for lane in range(count)]
    masks = [ir.Constant(ir.VectorType(INT32, count), numbers) for numbers in (low, high)]
    result = list(rows)
    for i in range(count):
        if not i & bit:
            for j, mask in zip((i, i + bit), masks, strict=True):
                result[j] = builder.shuffle_vector(rows[i], rows[i + bit], mask)
    return result


def _square(module: ir.Module, scalar: Any) -> ir.Function:
    """Emit the function (source, source_row, target, target_row) of a square as wide as a vector."""
    vector, align = vector_type(scalar), element_size(scalar)
    arguments = [POINTER, INT64, POINTER, INT64]
    created, is_new = function(module, f"fastnn_transpose_{type_name(vector)}", ir.VoidType(), arguments)
    if is_new:
        builder = ir.IRBuilder(created.append_basic_block())
        source, source_row, target, target_row = created.args

        def at(base: Any, stride: Any, i: int) -> Any:
            return builder.gep(base, [builder.mul(stride, INT64(i))], source_etype=scalar)

        rows = [builder.load(at(source, source_row, i), align=align, typ=vector) for i in range(vector.count)]
        for power in range((vector.count - 1).bit_length()):
            rows = _exchange(builder, rows, 1 << power)
        for i, row in enumerate(rows):
            builder.store(row, at(target, target_row, i), align=align)
        builder.ret_void()
    return created


square = lanes  # of a pointer: the side of the squares that are moved as a whole


@intrinsic
def _transpose_square(typingctx, source, source_row, target, target_row):
    real = require_pointer(source, target)

    def codegen(context, builder, signature, args):
        builder.call(_square(builder.module, context.get_value_type(real)), args)
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), codegen


@kernel
def transpose(rows, cols, source, source_row, target, target_row):
    """Compute target[j, i] = source[i, j] for i < rows, j < cols."""
    side = square(source)
    whole_rows, whole_cols = rows // side * side, cols // side * side
    for j in range(0, whole_cols, side):
        for i in range(0, whole_rows, side):
            a, b = advance(source, i * source_row + j), advance(target, j * target_row + i)
            _transpose_square(a, source_row, b, target_row)
    for j in range(cols):
        for i in range(whole_rows if j < whole_cols else 0, rows):
            target[j * target_row + i] = source[i * source_row + j]
