"""The primitives as functions with addresses, compiled once for a dtype however many kernels call them."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import contextmanager
from functools import lru_cache

from numba.core import types
from numba.core.ccallback import CFunc
from numba.core.registry import cpu_target  # noqa: F401 (initialises the target that CFunc compiles for)

from fastnn._kernels.numba import elementwise
from fastnn._kernels.numba.cache import OPTIONS, KernelCache, cache_folder
from fastnn._kernels.numba.dots import add_rows, dots, gram_rows
from fastnn._kernels.numba.multiply import multiply
from fastnn._kernels.numba.transpose import transpose

SIZE, VOID = types.int64, types.void


def _signatures(real):
    p = types.CPointer(real)
    return {
        "multiply": (multiply, VOID(SIZE, SIZE, SIZE, p, SIZE, SIZE, p, SIZE, p, SIZE, SIZE, p)),
        "dots": (dots, VOID(SIZE, SIZE, p, SIZE, p, p)),
        "gram_rows": (gram_rows, VOID(SIZE, SIZE, p, SIZE, p, SIZE)),
        "add_rows": (add_rows, VOID(SIZE, SIZE, p, SIZE, p, p)),
        "transpose": (transpose, VOID(SIZE, SIZE, p, SIZE, p, SIZE)),
        "activate": (elementwise.activate, VOID(SIZE, types.float64, p, SIZE)),
        "multiply_by_derivative": (elementwise.multiply_by_derivative, VOID(SIZE, types.float64, p, p, SIZE)),
        "exp_array": (elementwise.exp_array, VOID(p, SIZE)),
        "sigmoid_cross_entropy_array": (elementwise.sigmoid_cross_entropy_array, VOID(p, p, p, SIZE)),
    }


class _Function(CFunc):
    """A function for callers by address."""

    def _compile_uncached(self):
        _announce(next(argument.dtype for argument in self._sig.args if isinstance(argument, types.CPointer)))
        with _no_collector():
            return super()._compile_uncached()


@contextmanager
def _no_collector():
    """Keep Python's collector away: what the compiler makes, it keeps, and looking through it takes a tenth longer."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@lru_cache
def _announce(real):
    """Say, once for each dtype, why the first call takes so long; the variable FASTNN_QUIET silences it."""
    if not os.environ.get("FASTNN_QUIET"):
        what = f"fastnn: compiling kernels for this CPU ({real}), once: some 8 s for batches or for single samples"
        print(f"{what}, 4 more for the others; kept in {cache_folder().parent}", file=sys.stderr, flush=True)


@lru_cache
def compiled(function, signature):
    """Return the function compiled for callers by address."""
    found = _Function(function.py_func, (signature.args, signature.return_type), {}, OPTIONS)
    found._cache = KernelCache(function.py_func)
    found.compile()
    return found


@lru_cache
def addresses(real):
    """Return the address of each primitive for a Numba real type, by name."""
    return {name: compiled(*pair).address for name, pair in _signatures(real).items()}
