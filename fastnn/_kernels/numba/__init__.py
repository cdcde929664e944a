"""The kernels compiled by Numba; see ``contract`` for what each one does."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

import numba
import numpy as np
import numpy.typing as npt
from numba.core import config, types

from fastnn._kernels.compiled import CompiledKernels
from fastnn._kernels.contract import Formula
from fastnn._kernels.job import Job
from fastnn._kernels.numba import formulas, functions
from fastnn._kernels.numba.cache import cache_folder
from fastnn._kernels.numba.shuffle import shuffle_grid
from fastnn._kernels.numba.simd import LEVEL

_threads_in_use = threading.Lock()
_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Kernels(CompiledKernels):
    def lanes(self, itemsize: int) -> int:
        return LEVEL.lanes(8 * itemsize)

    def functions(self, itemsize: int, per_sample: bool) -> Mapping[str, int]:
        return functions.compiled(itemsize, per_sample)[0]

    def address(self, formula: Formula, itemsize: int) -> int:
        return formulas.address(formula, itemsize)

    def run(self, job: Job) -> bool:
        """Do the job; on the calling thread alone where another job has the threads.

        Not every threading layer of Numba serves two callers at once, and OpenMP's does not survive a fork.
        """
        request, threads = job.plan.request, job.plan.division.threads
        work = functions.compiled(job.plan.layout.itemsize, request.per_sample)[1]
        if threads == 1 or _forked or not _threads_in_use.acquire(blocking=False):
            work.ctypes(job.address, None)  # nothing is read from the second argument: its type tells the dtype
            return True
        try:
            before = numba.get_num_threads()  # raises where the threading layer that is asked for cannot be loaded
            try:
                numba.set_num_threads(min(threads, config.NUMBA_NUM_THREADS))
                functions.run(work.address, job.address, threads)
            finally:
                numba.set_num_threads(before)
        finally:
            _threads_in_use.release()
        return True


def warm_up(dtype: npt.DTypeLike) -> None:
    """Compile all kernels of a dtype and keep them on disk, unless that has been done."""
    for per_sample in (False, True):
        functions.compiled(np.dtype(dtype).itemsize, per_sample)
    functions.run.compile((types.int64,) * 3)
    shuffle_grid.compile((types.uint32[:, ::1], types.uint32[:, ::1], types.int64, types.int64, types.int64[::1]))


def simd_level() -> str:
    """Return the name of the vector instructions in use."""
    return LEVEL.name


compiled_kernels = _Kernels()
dense_forward, forward = compiled_kernels.dense_forward, compiled_kernels.forward
loss, loss_and_gradient = compiled_kernels.loss, compiled_kernels.loss_and_gradient
sample_gradients = compiled_kernels.sample_gradients
sgd_epoch, minibatch_epoch = compiled_kernels.sgd_epoch, compiled_kernels.minibatch_epoch

__all__ = [
    "cache_folder",
    "compiled_kernels",
    "dense_forward",
    "forward",
    "loss",
    "loss_and_gradient",
    "minibatch_epoch",
    "sample_gradients",
    "sgd_epoch",
    "shuffle_grid",
    "simd_level",
    "warm_up",
]
