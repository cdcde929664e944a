"""Prepared jobs between two calls: each serves one call at a time, so threads that call at once have one each."""

from __future__ import annotations

import os
import threading
from collections import deque

from fastnn._kernels.job import Job, Plan

# A job takes some 50 us to prepare: that matters where a call is short, and then a job is small.
MAX_JOBS, MAX_BYTES = 32, 4 * 1024 * 1024


class Pool:
    """Jobs that no call has in use, the last ones that were."""

    def __init__(self) -> None:
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)  # another thread may hold the lock, which no one gives back

    def _begin(self) -> None:
        self._idle: deque[Job] = deque(maxlen=MAX_JOBS)
        self._lock = threading.Lock()

    def take(self, plan: Plan) -> Job | None:
        """Return an idle job of the plan, for the caller alone; None if there is none."""
        with self._lock:
            for i, job in enumerate(self._idle):
                if job.plan is plan:
                    del self._idle[i]
                    return job
        return None

    def give(self, job: Job) -> None:
        """Take a job back, unless it is large; the one that has been idle for longest goes if there are too many."""
        if job.plan.workspace.size <= MAX_BYTES:
            with self._lock:
                self._idle.appendleft(job)
