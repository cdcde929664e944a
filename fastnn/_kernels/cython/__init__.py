"""The kernels compiled by Cython and C; see ``contract`` for what each one does."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

# Not `from ... import`, whose error for a module that is not there speaks of a circular import.
import fastnn._kernels.cython.kernels as kernels
from fastnn._kernels.compiled import CompiledKernels
from fastnn._kernels.contract import Formula, Integers
from fastnn._kernels.job import Job
from fastnn._kernels.programs import program
from fastnn._kernels.schema import fingerprint

kernels.use_level(os.environ.get("FASTNN_SIMD", ""))


def _check_schema() -> None:
    """Compare what the compiled kernels were built with to what Python goes by."""
    if fingerprint() != kernels.FINGERPRINT:
        raise ImportError("fastnn's compiled kernels belong to another version of fastnn: build them again")


_check_schema()


@lru_cache
def _helpers() -> ThreadPoolExecutor:
    """Return the threads that help the calling one; they begin when first needed and then wait for work."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "fastnn")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # a fork copies no threads


class _Kernels(CompiledKernels):
    def lanes(self, itemsize: int) -> int:
        return int(kernels.lanes(itemsize))

    def functions(self, itemsize: int, per_sample: bool) -> Mapping[str, int]:
        """Return nothing: the kernels call each other by name."""
        return {}

    def address(self, formula: Formula, itemsize: int) -> int:
        """Return the address of the formula's program."""
        return int(kernels.address(program(formula)))

    def run(self, job: Job) -> bool:
        """Do the job. No helper is waited for: one that comes late keeps the job alive, but finds the team closed."""
        helpers: list[Future[None]] = []
        # Nor is any needed: there may be no more threads to be had, or Python is shutting down.
        with contextlib.suppress(RuntimeError):
            for _ in range(1, job.plan.division.threads):
                helpers.append(_helpers().submit(_work, job))
        _work(job)
        unfinished = [helper for helper in helpers if not (helper.cancel() or helper.done())]
        return not unfinished


def _work(job: Job) -> None:
    """Work on a job until it is done."""
    work = kernels.work_float32 if job.plan.layout.itemsize == 4 else kernels.work_float64
    work(job.address)


def shuffle_grid(down: Integers, across: Integers, samples: int, first: int, order: Integers) -> None:
    """Write a piece of the order of the samples in a grid whose columns and rows have turned."""
    grid = (down.ctypes.data, across.ctypes.data, len(down), across.shape[1], down.shape[1], samples)
    kernels.shuffle_grid(*grid, first, order.ctypes.data, len(order))


def cache_folder() -> None:
    """Return None: nothing is compiled at run time."""


def simd_level() -> str:
    """Return the name of the vector instructions in use."""
    return str(kernels.level())


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
]
