"""What kernels call by address: the primitives and a mode's own functions, each compiled once for a dtype."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import contextmanager, nullcontext
from functools import lru_cache

import numpy as np
from numba.core import types
from numba.core.ccallback import CFunc
from numba.core.registry import cpu_target
from numba.np.numpy_support import from_dtype

from fastnn._kernels.numba import elementwise, training
from fastnn._kernels.numba.cache import OPTIONS, KernelCache, cache_folder
from fastnn._kernels.numba.dots import add_rows, dots, gram_rows
from fastnn._kernels.numba.multiply import multiply
from fastnn._kernels.numba.second_process import second_process
from fastnn._kernels.numba.transpose import transpose

SIZE, VOID = types.int64, types.void


def _primitives(real):
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


def _drivers(real, per_sample):
    """Return the mode's own functions; the last takes about as long to compile as all that the mode needs besides."""
    p = types.CPointer(real)
    lead, run_task = VOID(SIZE, p, SIZE), VOID(SIZE, p, SIZE, SIZE, SIZE)
    if per_sample:
        return {"run_task": (training.run_sample_task_at, run_task), "lead": (training.lead_samples_at, lead)}
    return {"lead": (training.lead_at, lead), "run_task": (training.run_task_at, run_task)}


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
        what = f"fastnn: compiling kernels for this CPU ({real}), once: some 10 s for batches or for single samples"
        print(f"{what}, again for the others; kept in {cache_folder().parent}", file=sys.stderr, flush=True)


@lru_cache
def _compiled(function, signature):
    """Return the function compiled for callers by address."""
    found = _Function(function.py_func, (signature.args, signature.return_type), {}, OPTIONS)
    found._cache = KernelCache(function.py_func)
    found.compile()
    return found


def compile_largest(dtype, per_sample):
    """Compile the mode's largest function."""
    *_, largest = _drivers(from_dtype(np.dtype(dtype)), per_sample).values()
    _compiled(*largest)


def _compiling_largest(dtype, per_sample):
    """Have a second process compile the mode's largest function beside the block, if primitives have to be as well.

    If only the mode's own functions have to be, this process would soon wait: the second one takes a while to start.
    """
    function, signature = _primitives(from_dtype(dtype))["multiply"]
    if not KernelCache(function.py_func).lacks(signature, cpu_target.target_context):
        return nullcontext()
    return second_process(f"from {__name__} import compile_largest; compile_largest({dtype.name!r}, {per_sample})")


@lru_cache
def compiled(itemsize, per_sample):
    """Return the addresses of the functions that kernels call through the job, by name, and `work_at` for a dtype.

    A fit of one mode does not wait for the other's compilation.
    """
    dtype = np.dtype(f"f{itemsize}")
    real = from_dtype(dtype)
    functions = _primitives(real) | _drivers(real, per_sample)
    name_of_largest, largest = functions.popitem()
    with _compiling_largest(dtype, per_sample):
        work = _compiled(training.work_at, VOID(SIZE, types.CPointer(real)))
        addresses = {name: _compiled(*function).address for name, function in functions.items()}
    return addresses | {name_of_largest: _compiled(*largest).address}, work
