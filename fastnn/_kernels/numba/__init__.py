"""The kernels compiled by Numba; see ``contract`` for what each one does."""

from __future__ import annotations

import numba
import numpy as np

from fastnn._kernels.compiled import CompiledKernels
from fastnn._kernels.job import Job
from fastnn._kernels.numba import training
from fastnn._kernels.numba.cache import cache_folder
from fastnn._kernels.numba.simd import LEVEL


class _Kernels(CompiledKernels):
    def lanes(self, itemsize: int) -> int:
        return LEVEL.lanes(8 * itemsize)

    def run(self, job: Job) -> None:
        threads, dtype = job["threads"], np.empty(1, job.parameters.dtype)
        job.set(**training.addresses(numba.from_dtype(dtype.dtype)))
        if threads == 1:
            training.run_alone(job.address, dtype)
            return
        before = numba.get_num_threads()
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        try:
            training.run(job.address, threads, dtype)
        finally:
            numba.set_num_threads(before)


def simd_level() -> str:
    """Return the name of the vector instructions in use."""
    return LEVEL.name


_kernels = _Kernels()
dense_forward, forward = _kernels.dense_forward, _kernels.forward
loss, loss_and_gradient = _kernels.loss, _kernels.loss_and_gradient
sgd_epoch, minibatch_epoch = _kernels.sgd_epoch, _kernels.minibatch_epoch

__all__ = [
    "cache_folder",
    "dense_forward",
    "forward",
    "loss",
    "loss_and_gradient",
    "minibatch_epoch",
    "sgd_epoch",
    "simd_level",
]
