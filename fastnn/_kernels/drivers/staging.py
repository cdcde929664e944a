"""Windows of samples, copied together in the order of their visit: the steps then find them one after the other.

Rows in random order of a large data set are cache misses, each about as long as a small network's step on the row. A
second thread takes them on itself, one window ahead; the first helps it when it is done with its own window. To the
steps, a window looks like data without an order.
"""

from __future__ import annotations

from fastnn._kernels.drivers.language import Job, Reals
from fastnn._kernels.drivers.rows import ask_for, read
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import integers, numbers, reals
from fastnn._kernels.numba.simd import advance, copy, prefetch

AHEAD = 16  # samples: about as many cache lines as a core can ask for at a time
# Of a task: the thread that is done with its steps takes some, if the other core is far from memory or from it
# (20-16-1, batch 100, where a cache line takes 400 ns from core to core and back: 10 us a step became 5.8).
PIECE_SAMPLES = 128


@kernel
def staged_rows(job: Job, like: Reals, parity: int) -> Reals:
    """Return the pointer to the rows of a window."""
    return advance(reals(like, job.staged), parity * job.window * job.n_inputs)


@kernel
def staged_targets(job: Job, parity: int) -> int:
    """Return the address of a window's labels or targets."""
    size = 8 if job.source_labels != 0 else job.n_targets * job.itemsize
    return job.staged_targets + parity * job.window * size


@kernel
def pieces_of(job: Job) -> int:
    """Return into how many tasks the copying of the next window is divided."""
    return (job.next_count + PIECE_SAMPLES - 1) // PIECE_SAMPLES


@kernel
def stage(job: Job, like: Reals, task: int) -> None:
    """Copy a piece of the next window's samples together.

    The job's fields are read once: others share their cache lines, and the leading thread writes those at each step.
    The helper's queue is the second half of the tasks: it begins with the first pieces, then goes on with the others.
    """
    n, K, parity, start = job.n_inputs, job.n_targets, 1 - job.parity, job.next_start
    pieces, known, labelled = pieces_of(job), job.samples - AHEAD - start, job.source_labels != 0
    stored = job.stored
    first = (task + pieces - pieces // 2) % pieces * PIECE_SAMPLES
    last = min(first + PIECE_SAMPLES, job.next_count)
    X, Y, order = reals(like, job.source_X), reals(like, job.source_targets), advance(integers(job.source_order), start)
    rows, targets = staged_rows(job, like, parity), reals(like, staged_targets(job, parity))
    labels_at = job.source_labels
    labels, staged_labels = integers(labels_at), integers(staged_targets(job, parity))
    weighted, weights_at = job.source_weights != 0, job.source_weights
    weights, staged_weights = numbers(weights_at), numbers(job.staged_weights + parity * job.window * 8)
    for i in range(first, last):
        sample = order[i]
        if i < known:
            ahead = order[i + AHEAD]
            if weighted:
                prefetch(reals(like, weights_at + 8 * ahead), 1)
            if stored:
                ask_for(job, like, ahead, 0, n)
            else:
                prefetch(advance(X, ahead * n), n)
            if labelled:
                prefetch(reals(like, labels_at + 8 * ahead), 1)
            else:
                prefetch(advance(Y, ahead * K), K)
        if weighted:
            staged_weights[i] = weights[sample]
        if stored:
            read(job, advance(rows, i * n), sample, 0, n)
        else:
            copy(advance(rows, i * n), advance(X, sample * n), n)
        if labelled:
            staged_labels[i] = labels[sample]
        else:
            copy(advance(targets, i * K), advance(Y, sample * K), K)


@kernel
def enter_window(job: Job) -> None:
    """Make the next window the one under way, seen as data whose sample 0 is that of the epoch; name the next."""
    job.parity = 1 - job.parity
    start, targets = job.next_start, staged_targets(job, job.parity)
    job.X = job.staged + (job.parity * job.window - start) * job.n_inputs * job.itemsize
    if job.source_labels != 0:
        job.labels = targets - start * 8
    else:
        job.targets = targets - start * job.n_targets * job.itemsize
    if job.source_weights != 0:
        job.weights = job.staged_weights + (job.parity * job.window - start) * 8
    job.tile_count = job.next_count
    job.next_start += job.next_count
    job.next_count = min(job.window, job.samples - job.next_start)
