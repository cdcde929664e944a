"""The thread's floating-point control: whether numbers below the smallest normal one count as zero.

A step with such a number adds nothing to a weight, but on Intel's CPUs it takes some hundred times as long (Wittmann et
al. 2015, https://arxiv.org/abs/1506.03997; on a Zen 4 no longer than others). They stay once they are there: nine
tenths of the smallest number round to itself, so some 800 steps after inputs were last seen (in float32), all of their
momentum, and half of their state in Adam, is denormal for good.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastnn._kernels.numba.simd import INT32, X86, call

FLUSH = 0x8040  # of x86: results that are denormal become zero, operands count as zero


@intrinsic
def float_control(typingctx):
    """Return the control word of the calling thread; 0 where there is none that matters."""

    def codegen(context, builder, signature, args):
        if not X86:
            return INT32(0)
        place = builder.alloca(INT32)
        call(builder, ir.VoidType(), "llvm.x86.sse.stmxcsr", place)
        return builder.load(place, typ=INT32)

    return types.int32(), codegen


@intrinsic
def set_float_control(typingctx, control):
    """Set the control word of the calling thread."""

    def codegen(context, builder, signature, args):
        if X86:
            place = builder.alloca(INT32)
            builder.store(args[0], place)
            call(builder, ir.VoidType(), "llvm.x86.sse.ldmxcsr", place)
        return context.get_dummy_value()

    return types.void(types.int32), codegen
