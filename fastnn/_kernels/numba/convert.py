"""Rows of X as they are stored: their numbers in the network's type, each rounded once, and scaled.

LLVM makes vectors of these loops by itself.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastnn._kernels.drivers import primitives
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.simd import ARM64, INT32, INT64, element_size, host_features, require_pointer

HAS_HALF = ARM64 or "f16c" in host_features()

KINDS = {
    primitives.UINT8: types.uint8,
    primitives.INT8: types.int8,
    primitives.UINT16: types.uint16,
    primitives.INT16: types.int16,
    primitives.UINT32: types.uint32,
    primitives.INT32: types.int32,
    primitives.UINT64: types.uint64,
    primitives.INT64: types.int64,
    primitives.FLOAT16: types.uint16,  # their bits
    primitives.FLOAT32: types.float32,
    primitives.FLOAT64: types.float64,
}


def _half_value(builder, half):
    """Emit a float16 as float32: without the instruction by its bits, as LLVM would call a library for it."""
    if HAS_HALF:
        return builder.fpext(builder.bitcast(half, ir.HalfType()), ir.FloatType())
    half = builder.zext(half, INT32)
    size, sign = builder.and_(half, INT32(0x7FFF)), builder.shl(builder.and_(half, INT32(0x8000)), INT32(16))
    bias = INT32(112 << 23)  # of the exponent: 127 in place of 15
    shifted = builder.add(builder.shl(size, INT32(13)), bias)
    large = builder.select(builder.icmp_unsigned("<", size, INT32(0x7C00)), shifted, builder.add(shifted, bias))
    small = builder.fmul(builder.sitofp(size, ir.FloatType()), ir.Constant(ir.FloatType(), 2.0**-24))
    is_small = builder.icmp_unsigned("<", size, INT32(0x0400))
    found = builder.select(is_small, builder.bitcast(small, INT32), large)
    return builder.bitcast(builder.or_(found, sign), ir.FloatType())


def _convert(context, builder, real, format, source, target, n, scaled):
    """Emit a loop over the numbers for each format; ``scaled(x, i)`` emits what becomes of them."""
    scalar = context.get_value_type(real)
    done = builder.append_basic_block("done")
    choice = builder.switch(format, done)
    for code, kind in KINDS.items():
        case = builder.append_basic_block(f"format_{code}")
        choice.add_case(INT64(code), case)
        builder.position_at_end(case)
        stored = context.get_value_type(kind)
        numbers = builder.inttoptr(source, stored.as_pointer())
        with cgutils.for_range(builder, n) as loop:
            place = builder.gep(numbers, [loop.index], source_etype=stored)
            x = builder.load(place, align=kind.bitwidth // 8, typ=stored)
            if code == primitives.FLOAT16:
                x, kind = _half_value(builder, x), types.float32
            x = scaled(context.cast(builder, x, kind, real), loop.index)
            builder.store(x, builder.gep(target, [loop.index], source_etype=scalar), align=element_size(scalar))
        builder.branch(done)
    builder.position_at_end(done)


@intrinsic
def convert_numbers(typingctx, format, source, target, n):
    """Compute target[i] = x[i] in the target's type."""
    real = require_pointer(target)

    def codegen(context, builder, signature, args):
        _convert(context, builder, real, *args, lambda x, i: x)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, target, types.int64), codegen


@intrinsic
def convert_and_scale_numbers(typingctx, format, source, mean, inverse, target, n):
    """Compute target[i] = (x[i] - mean[i]) inverse[i]."""
    real = require_pointer(mean, inverse, target)

    def codegen(context, builder, signature, args):
        format, source, mean, inverse, target, n = args
        scalar = context.get_value_type(real)

        def number(p, i):
            return builder.load(builder.gep(p, [i], source_etype=scalar), align=element_size(scalar), typ=scalar)

        def scaled(x, i):
            return builder.fmul(builder.fsub(x, number(mean, i)), number(inverse, i))

        _convert(context, builder, real, format, source, target, n, scaled)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, mean, inverse, target, types.int64), codegen


@kernel
def convert(format, source, target, n):
    """Compute target[:n] = x of n numbers of a format at an address."""
    convert_numbers(format, source, target, n)


@kernel
def convert_and_scale(format, source, mean, inverse, target, n):
    """Compute target[:n] = (x - mean) inverse of n numbers of a format at an address."""
    convert_and_scale_numbers(format, source, mean, inverse, target, n)
