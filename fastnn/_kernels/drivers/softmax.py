"""Softmax and its cross entropy: a thread takes the logits of as many rows as a vector has lanes as columns.

A single sample's logits are taken one by one: the lanes of others would be empty (20-16-3, SGD: 1.3 times as long).
"""

from __future__ import annotations

from math import log

from fastnn._kernels.drivers.language import Job, Numbers, Reals
from fastnn._kernels.drivers.rows import sample_at
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import call, integers, real, reals
from fastnn._kernels.numba.simd import advance, lanes
from fastnn._kernels.numba.softmax import delta_columns, softmax_columns
from fastnn._kernels.numba.transpose import square


@kernel
def logits_memory(job: Job, like: Reals, thread: int) -> Reals:
    """Return the pointer to a thread's logits, as many vectors as the output layer is wide; labels come after them."""
    return advance(reals(like, job.logits), thread * job.logits_size)


@kernel
def columns_moved(like: Reals, K: int, width: int) -> int:
    """Return how many columns are transposed for K outputs: those of whole squares, if there are so many."""
    return min(width, (K + square(like) - 1) // square(like) * square(like))


@kernel
def softmax_rows(job: Job, thread: int, Z: Reals, width: int, rows: int, outputs: Reals) -> None:
    """Write softmax(z) of the rows next to each other."""
    T, K = logits_memory(job, Z, thread), job.n_outputs
    columns = columns_moved(Z, K, width)
    for r in range(0, rows, lanes(Z)):
        n = min(lanes(Z), rows - r)
        call(job.transpose, (n, columns, advance(Z, r * width), width, T, lanes(Z)))
        softmax_columns(K, T)
        call(job.transpose, (K, n, T, lanes(Z), advance(outputs, r * K), K))


@kernel
def smoothing_loss(job: Job, z: Reals, label: int) -> float:
    """Return what smoothing adds to the loss of a row's logits: e (z_label - mean z)."""
    K, total = job.n_outputs, 0.0
    for k in range(K):
        total += z[label] - z[k]
    return job.smoothing * total / K


@kernel
def smooth_delta(job: Job, delta: Reals, label: int) -> None:
    """Move e of the label's 1, which has been subtracted from softmax, to all outputs alike."""
    share = real(delta, job.smoothing / job.n_outputs)
    for k in range(job.n_outputs):
        delta[k] -= share
    delta[label] += real(delta, job.smoothing)


@kernel
def softmax_deltas(
    job: Job, thread: int, Z: Reals, width: int, first: int, rows: int, losses: Numbers
) -> None:  # fmt: skip
    """Turn z of the rows visited from the first-th on into softmax minus the labels' ones; write each row's loss."""
    T, K, smoothed = logits_memory(job, Z, thread), job.n_outputs, job.smoothing != 0.0
    labels, columns = advance(T, width * lanes(Z)), columns_moved(Z, K, width)
    if smoothed:
        for r in range(rows):
            label = integers(job.labels)[sample_at(job, first + r)]
            losses[r] = smoothing_loss(job, advance(Z, r * width), label)
    for r in range(0, rows, lanes(Z)):
        n, z = min(lanes(Z), rows - r), advance(Z, r * width)
        call(job.transpose, (n, columns, z, width, T, lanes(Z)))
        for i in range(n):
            labels[i] = integers(job.labels)[sample_at(job, first + r + i)]
        delta_columns(K, T, labels)
        for i in range(n):
            if smoothed:
                losses[r + i] += labels[i]
            else:
                losses[r + i] = labels[i]
        call(job.transpose, (columns, n, T, lanes(Z), z, width))
    if smoothed:
        for r in range(rows):
            smooth_delta(job, advance(Z, r * width), integers(job.labels)[sample_at(job, first + r)])


@kernel
def sample_softmax_delta(job: Job, z: Reals, sample: int, loss: Numbers) -> None:
    """Turn z of one sample into softmax minus the label's one, and write its loss."""
    K, label, top = job.n_outputs, integers(job.labels)[sample], z[0]
    added = smoothing_loss(job, z, label) if job.smoothing != 0.0 else 0.0
    for k in range(1, K):
        top = max(top, z[k])
    loss[0] = top - z[label]
    for k in range(K):
        z[k] -= top
    call(job.exp_array, (z, K))
    total, others = 0.0, 0.0  # float64: one number near 1 and small ones, and their sum's logarithm is a small loss
    for k in range(K):
        total += z[k]
    loss[0] += log(total) + added
    inverse = real(z, 1 / total)
    for k in range(K):
        z[k] *= inverse
    z[label] = real(z, 0.0)
    for k in range(K):
        others += z[k]
    z[label] = real(z, -others)  # 1 - softmax from the other outputs: it may have rounded to 1
    if job.smoothing != 0.0:
        smooth_delta(job, z, label)
