"""What kernels call by address: the primitives and a mode's own functions, each compiled once for a dtype."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import contextmanager, nullcontext
from functools import lru_cache

import numpy as np
from numba import prange
from numba.core import types
from numba.core.ccallback import CFunc
from numba.core.registry import cpu_target
from numba.np.numpy_support import from_dtype

from fastnn._kernels.drivers import primitives
from fastnn._kernels.numba import elementwise
from fastnn._kernels.numba.cache import OPTIONS, KernelCache, cache_folder, entry_point
from fastnn._kernels.numba.convert import convert, convert_and_scale
from fastnn._kernels.numba.dots import add_rows, add_rows_and_ask, dots, gram_rows, total_of
from fastnn._kernels.numba.dropout import drop_units
from fastnn._kernels.numba.memory import JOB_TYPE, call
from fastnn._kernels.numba.missed import take_missed_steps
from fastnn._kernels.numba.multiply import multiply
from fastnn._kernels.numba.narrow import walk_narrow
from fastnn._kernels.numba.sample import (
    add_multiple,
    finish_deltas,
    finish_outputs,
    multiply_and_update,
    step_one_output,
    turn_vectors,
    update_and_project,
)
from fastnn._kernels.numba.second_process import second_process
from fastnn._kernels.numba.softmax import delta_columns, softmax_columns
from fastnn._kernels.numba.sparse import add_some_rows, widen
from fastnn._kernels.numba.transpose import transpose
from fastnn._kernels.schema import WORDS

SIZE, VOID = types.int64, types.void

# The primitives of the table, by name.
PRIMITIVES = {
    function.py_func.__name__: function
    for function in (
        multiply, dots, gram_rows, add_rows, add_rows_and_ask, total_of, transpose, elementwise.activate,
        elementwise.multiply_by_derivative, drop_units, elementwise.exp_array, elementwise.log_array,
        elementwise.loss_and_delta, softmax_columns, delta_columns, convert, convert_and_scale, widen,
        add_some_rows, take_missed_steps, add_multiple,
        finish_outputs, update_and_project, step_one_output, multiply_and_update, finish_deltas, turn_vectors,
        walk_narrow,
    )
}  # fmt: skip
# Those that drivers call by their addresses, each compiled once; the others are compiled into what calls them.
BY_ADDRESS = [name for name in PRIMITIVES if name in WORDS]


def signature(name, real):
    """Return the Numba signature of a primitive in the table for float32 or float64."""
    p, number = types.CPointer(real), types.float64
    kinds = {"Real": real, "Reals": p, "Given": p, "Numbers": types.CPointer(number)}
    kinds |= {"Integers": types.CPointer(types.int64), "int": SIZE, "float": number, "None": VOID}
    *arguments, result = (kinds[kind] for kind in getattr(primitives, name).__annotations__.values())
    return result(*arguments)


def _primitives(real):
    return {name: (PRIMITIVES[name], signature(name, real)) for name in BY_ADDRESS}


def _drivers(real, per_sample):
    """Return `work_at` and the mode's functions; the last takes as long to compile as all that it needs besides."""
    from fastnn._kernels.drivers import training  # not before this package is there: drivers import its primitives

    p = types.CPointer(real)
    work = {"work_at": (training.work_at, VOID(SIZE, p))}
    lead, run_task = VOID(JOB_TYPE, p, SIZE), VOID(JOB_TYPE, p, SIZE, SIZE, SIZE)
    if per_sample:
        return work | {"run_task": (training.run_sample_task, run_task), "lead": (training.lead_sample_job, lead)}
    return work | {"lead": (training.lead_batch_job, lead), "run_task": (training.run_batch_task, run_task)}


@entry_point(parallel=True)
def run(work, address, threads):
    """Do a job with a number of threads; ``work`` is the address of `work_at`."""
    for _ in prange(threads):
        call(work, (address, address))


class _Function(CFunc):
    """A function for callers by address."""

    def _compile_uncached(self):
        pointed = [argument.dtype for argument in self._sig.args if isinstance(argument, types.CPointer)]
        floats = [dtype for dtype in pointed if isinstance(dtype, types.Float)]  # rates are float64 in any case
        if floats:
            _announce(min(floats, key=lambda dtype: dtype.bitwidth))
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


def address_of(function, signature):
    """Return where a function lies, compiled for callers by address."""
    return _compiled(function, signature).address


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
    work, (name_of_largest, largest) = functions.pop("work_at"), functions.popitem()
    with _compiling_largest(dtype, per_sample):
        work = _compiled(*work)
        addresses = {name: _compiled(*function).address for name, function in functions.items()}
    return addresses | {name_of_largest: _compiled(*largest).address}, work
