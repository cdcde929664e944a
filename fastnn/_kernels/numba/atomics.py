"""Atomic operations on int64 memory, and the two ways to wait: what threads need to cooperate without locks."""

from __future__ import annotations

import sys

from llvmlite import ir
from numba.core import types
from numba.core.errors import NumbaTypeError
from numba.extending import intrinsic

from fastnn._kernels.numba.simd import ARM64, INT32, INT64, X86, call

_INT64_POINTER = types.CPointer(types.int64)


def _require_int64(p):
    if p != _INT64_POINTER:
        raise NumbaTypeError(f"atomics work on a pointer to int64, got {p}")


@intrinsic
def atomic_load(typingctx, p):
    """Return p[0]; what was written before the matching `atomic_store` is visible afterwards (acquire)."""
    _require_int64(p)

    def codegen(context, builder, signature, args):
        return builder.load_atomic(args[0], "acquire", 8, typ=INT64)

    return types.int64(p), codegen


@intrinsic
def atomic_store(typingctx, p, value):
    """Set p[0] to ``value``, after everything written before (release)."""
    _require_int64(p)

    def codegen(context, builder, signature, args):
        builder.store_atomic(args[1], args[0], "release", 8)
        return context.get_dummy_value()

    return types.void(p, types.int64), codegen


@intrinsic
def atomic_add(typingctx, p, value):
    """Add ``value`` to p[0] and return what was there before (acquire and release)."""
    _require_int64(p)

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", args[0], args[1], "acq_rel")

    return types.int64(p, types.int64), codegen


@intrinsic
def compare_exchange(typingctx, p, expected, value):
    """Set p[0] to ``value`` if it is ``expected``; return what was there before (acquire and release)."""
    _require_int64(p)

    def codegen(context, builder, signature, args):
        pair = builder.cmpxchg(args[0], args[1], args[2], "acq_rel", "acquire")
        return builder.extract_value(pair, 0)

    return types.int64(p, types.int64, types.int64), codegen


# Sleeping, not yielding: beside a busy process on each core, epochs of 784-128-10 took 2.0 to 2.4 times as long as
# alone, up to 2.55 times where waiting threads yielded.
REST_MICROSECONDS = 20


@intrinsic
def pause(typingctx):
    """Tell the CPU that this thread spins: a sibling on the same core gets its resources."""

    def codegen(context, builder, signature, args):
        if X86:
            call(builder, ir.VoidType(), "llvm.x86.sse2.pause")
        elif ARM64:
            call(builder, ir.VoidType(), "llvm.aarch64.hint", INT32(1))
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def rest(typingctx):
    """Give this core away for a moment: a system call, for waits that last."""

    def codegen(context, builder, signature, args):
        # By the symbol's name, not its address, so that the code can be cached on disk.
        if sys.platform == "win32":
            call(builder, INT32, "SwitchToThread")
        else:
            call(builder, INT32, "usleep", INT32(REST_MICROSECONDS))
        return context.get_dummy_value()

    return types.void(), codegen
