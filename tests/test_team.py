"""The team of threads with tasks that do nothing: who takes them. Cython's team is the same source."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

pytest.importorskip("numba")

from numba import cfunc
from numba.core import types

from fastnn._kernels.contract import Data, Loss, Model
from fastnn._kernels.division import Costs, Request
from fastnn._kernels.drivers.team import DONE, ROWS, close, help, open_phase, word
from fastnn._kernels.job import Job, plan
from fastnn._kernels.numba.atomics import atomic_load
from fastnn._kernels.numba.cache import entry_point
from fastnn._kernels.numba.memory import job_at
from fastnn._kernels.numba.simd import pointer

HELPER = np.int64(1)


@cfunc(types.void(types.int64, types.CPointer(types.float32), types.int64, types.int64, types.int64))
def do_nothing(job, like, thread, kind, task):
    """Stand in for a task."""


@entry_point
def help_with(address, like):
    help(job_at(address), pointer(like, 0), HELPER)


@entry_point
def open_tasks(address, tasks):
    open_phase(job_at(address), ROWS, 0, tasks)


@entry_point
def tasks_done(address):
    return atomic_load(word(job_at(address), DONE))


@entry_point
def close_team(address):
    close(job_at(address))


@pytest.fixture
def job():
    """A job for two threads, a leader that does no task and a helper."""
    model = Model((1, 1), (0,), (1,), (0,), (0.0,), int(Loss.SQUARED_ERROR))
    costs = Costs(operations_per_step=1.0, operations_per_call=1.0)
    made = Job(plan(model, 16, 4, Request(4, 4), 2, costs), {"run_task": do_nothing.address})
    assert made["threads"] == 2
    data = Data(np.zeros((4, 1), "float32"), np.empty(0, dtype=np.int64), np.zeros((4, 1), "float32"))
    made.bind(np.zeros(2, "float32"), data)
    for prepare in (tasks_done, close_team):  # compiled, and the team closed
        prepare(made.address)
    help_with(made.address, np.zeros(1, "float32"))
    open_tasks(made.address, 0)
    return made


@pytest.mark.parametrize("tasks", [1, 2, 3, 4])
def test_a_helper_takes_the_leaders_tasks_in_every_phase(job, tasks):
    """The queues of several phases in a row look alike when they are empty; each has new tasks nevertheless."""
    thread = threading.Thread(target=help_with, args=(job.address, np.zeros(1, "float32")), daemon=True)
    thread.start()
    try:
        for phase in range(3):
            open_tasks(job.address, tasks)
            end = time.monotonic() + 10
            while tasks_done(job.address) < tasks:
                assert time.monotonic() < end, f"{tasks_done(job.address)} of {tasks} tasks done in phase {phase}"
                time.sleep(1e-4)
    finally:
        close_team(job.address)
        thread.join(10)
    assert not thread.is_alive()
