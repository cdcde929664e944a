"""Windows of samples, copied together in the order of their visit: the steps then find them one after the other.

Rows in random order of a large data set are cache misses, each about as long as a small network's step on the row. A
second thread takes them on itself, one window ahead. To the steps, a window looks like data without an order.
"""

from __future__ import annotations

from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import integers, reals
from fastnn._kernels.numba.simd import advance, copy, prefetch

AHEAD = 16  # samples: about as many cache lines as a core can ask for at a time


@kernel
def staged_rows(job, like, parity):
    """Return the pointer to the rows of a window."""
    return advance(reals(like, job.staged), parity * job.window * job.n_inputs)


@kernel
def staged_targets(job, parity):
    """Return the address of a window's labels or targets."""
    size = 8 if job.source_labels != 0 else job.n_outputs * job.itemsize
    return job.staged_targets + parity * job.window * size


@kernel
def prefetch_source(job, like, sample):
    """Ask for a sample's row and target."""
    prefetch(advance(reals(like, job.source_X), sample * job.n_inputs), job.n_inputs)
    if job.source_labels != 0:
        prefetch(advance(reals(like, job.source_labels), sample * 8 // job.itemsize), 1)
    else:
        prefetch(advance(reals(like, job.source_targets), sample * job.n_outputs), job.n_outputs)


@kernel
def stage(job, like):
    """Copy the next window's samples together."""
    n, K, parity = job.n_inputs, job.n_outputs, 1 - job.parity
    X, order = reals(like, job.source_X), integers(job.source_order)
    rows, targets = staged_rows(job, like, parity), staged_targets(job, parity)
    for i in range(job.next_count):
        sample, ahead = order[job.next_start + i], job.next_start + i + AHEAD
        if ahead < job.samples:
            prefetch_source(job, like, order[ahead])
        copy(advance(rows, i * n), advance(X, sample * n), n)
        if job.source_labels != 0:
            integers(targets)[i] = integers(job.source_labels)[sample]
        else:
            copy(advance(reals(like, targets), i * K), advance(reals(like, job.source_targets), sample * K), K)


@kernel
def enter_window(job):
    """Make the next window the one under way, seen as data whose sample 0 is that of the epoch; name the next."""
    job.parity = 1 - job.parity
    start, targets = job.next_start, staged_targets(job, job.parity)
    job.X = job.staged + (job.parity * job.window - start) * job.n_inputs * job.itemsize
    if job.source_labels != 0:
        job.labels = targets - start * 8
    else:
        job.targets = targets - start * job.n_outputs * job.itemsize
    job.tile_count = job.next_count
    job.next_start += job.next_count
    job.next_count = min(job.window, job.samples - job.next_start)
