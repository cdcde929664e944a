"""The output unit and the loss: from a tile's Z_L to its outputs, or to the first deltas and each row's loss."""

from __future__ import annotations

from fastnn._kernels.contract import Activation, Loss
from fastnn._kernels.drivers.language import Job, Numbers, Reals
from fastnn._kernels.drivers.layers import layer_memory
from fastnn._kernels.drivers.rows import in_order, sample_at
from fastnn._kernels.drivers.softmax import softmax_deltas, softmax_rows
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import (
    ACTIVATION,
    OUTPUTS,
    SAVED,
    WIDTH_OUT,
    call,
    field,
    integers,
    numbers,
    real,
    reals,
)
from fastnn._kernels.numba.simd import advance, copy, prefetch

# Columns are taken one after the other where there are fewer: a loop over those of a row ends in a mispredicted branch
# (4-32-16-4, full batch, Cython: this file took 10.4 % of the time, now 8.8).
FEW = 8
SOFTMAX, SOFTMAX_LOSS = int(Activation.SOFTMAX), int(Loss.SOFTMAX_CROSS_ENTROPY)


@kernel
def copy_rows(source: Reals, source_row: int, target: Reals, target_row: int, K: int, rows: int) -> None:
    """Copy K numbers of each row."""
    if K < FEW:
        for k in range(K):
            for r in range(rows):
                target[r * target_row + k] = source[r * source_row + k]
    else:
        for r in range(rows):
            copy(advance(target, r * target_row), advance(source, r * source_row), K)


@kernel
def output_units(job: Job, thread: int, memory: Reals, rows: int, outputs: Reals) -> None:
    """Write A_L of the rows next to each other, from Z_L."""
    last = job.layers - 1
    K, width, activation = job.n_outputs, field(job, last, WIDTH_OUT), field(job, last, ACTIVATION)
    Z = layer_memory(job, memory, last, OUTPUTS, 0)
    if activation == SOFTMAX:
        softmax_rows(job, thread, Z, width, rows, outputs)
    else:
        copy_rows(Z, width, outputs, K, K, rows)
        saved = layer_memory(job, memory, last, SAVED, 0)
        call(job.activate, (activation, numbers(job.slopes)[last], outputs, saved, rows * K))


@kernel
def load_targets(job: Job, Y: Reals, first: int, rows: int) -> None:
    """Copy the targets of the samples visited from the first-th on next to each other, a number for each output.

    Labels of several outputs become 0 and 1; those of a single one are 0 and 1. Smoothed ones are nearer to 1/2.
    """
    K, n, labels, targets = job.n_outputs, job.n_targets, integers(job.labels), reals(Y, job.targets)
    for r in range(rows):
        sample, y = sample_at(job, first + r), advance(Y, r * K)
        if job.labels == 0:
            for k in range(n):
                y[k] = targets[sample * n + k]
            for k in range(n, K):  # one target that all outputs share
                y[k] = y[0]
        elif K == 1:
            y[0] = labels[sample]
        else:
            for k in range(K):
                y[k] = k == labels[sample]
    if job.smoothing != 0.0:
        keep, middle = real(Y, 1.0 - job.smoothing), real(Y, 0.5 * job.smoothing)
        for i in range(rows * K):
            Y[i] = keep * Y[i] + middle


@kernel
def load_weights(job: Job, like: Reals) -> None:
    """Copy the weights of a block's samples next to each other, and ask for the next ones; without them they are 1."""
    weights, ahead = numbers(job.block_weights), job.tile_start + job.tile_rows
    for t in range(job.tile_count):
        if job.weights == 0:
            weights[t] = 1.0
            continue
        weights[t] = numbers(job.weights)[sample_at(job, job.tile_start + t)]
        if ahead + t < job.samples:
            prefetch(reals(like, job.weights + 8 * sample_at(job, ahead + t)), 1)


@kernel
def targets_of(job: Job, Y: Reals, first: int, rows: int) -> Reals:
    """Return the pointer to the rows' targets: in the data where they lie as they are used, copied to Y otherwise."""
    as_stored = in_order(job) and job.labels == 0 and job.n_targets == job.n_outputs and job.smoothing == 0.0
    if as_stored:
        return advance(reals(Y, job.targets), first * job.n_outputs)
    load_targets(job, Y, first, rows)
    return Y


@kernel
def leave_out_missing(n: int, Y: Reals, deltas: Reals, values: Reals) -> None:
    """Set the losses and deltas of targets that are NaN to 0."""
    for i in range(n):
        if Y[i] != Y[i]:
            deltas[i] = values[i] = real(Y, 0.0)


@kernel
def add_outputs(values: Reals, K: int, rows: int, losses: Numbers) -> None:
    """Write the sum of each row's K values."""
    if K < FEW:
        for r in range(rows):
            losses[r] = values[r * K]
        for k in range(1, K):
            for r in range(rows):
                losses[r] += values[r * K + k]
        return
    for r in range(rows):
        total = 0.0
        for k in range(r * K, r * K + K):
            total += values[k]
        losses[r] = total


@kernel
def unit_deltas(
    job: Job, memory: Reals, Z: Reals, width: int, tile_row: int, first: int, rows: int, losses: Numbers
) -> None:  # fmt: skip
    """Turn Z_L of the rows into delta_L of a loss that is a sum over the outputs, and write each row's loss."""
    K, n = job.n_outputs, job.tile_rows * job.n_outputs
    compact = advance(memory, job.compact + tile_row * K)
    values, Y, deltas = advance(compact, 2 * n), targets_of(job, advance(compact, n), first, rows), Z
    if width != K:
        deltas = compact
        copy_rows(Z, width, deltas, K, K, rows)
    call(job.loss_and_delta, (job.loss, deltas, Y, reals(Z, job.loss_numbers), values, rows * K))
    if job.masked:
        leave_out_missing(rows * K, Y, deltas, values)
    if width != K:
        copy_rows(deltas, K, Z, width, K, rows)
    add_outputs(values, K, rows, losses)


@kernel
def weigh(job: Job, delta: Reals, width: int, first: int, rows: int, losses: Numbers) -> None:
    """Multiply the deltas and the loss of each row by its sample's weight; sample ``first`` is row 0."""
    for r in range(rows):
        weight = numbers(job.weights)[sample_at(job, first + r)]
        losses[r] *= weight
        for j in range(r * width, (r + 1) * width):
            delta[j] *= real(delta, weight)


@kernel
def output_deltas(
    job: Job, thread: int, memory: Reals, tile_row: int, rows: int, first: int, losses: Numbers
) -> None:  # fmt: skip
    """Turn Z_L of the rows into delta_L, the loss's derivative there, and write each row's loss.

    ``first`` is the sample of the first row. Losses come from Z_L: a saturated output has a finite, right one.
    """
    last = job.layers - 1
    Z, width = layer_memory(job, memory, last, OUTPUTS, tile_row), field(job, last, WIDTH_OUT)
    if job.loss == SOFTMAX_LOSS:
        softmax_deltas(job, thread, Z, width, first, rows, losses)
    else:
        unit_deltas(job, memory, Z, width, tile_row, first, rows, losses)
    if job.weights != 0:
        weigh(job, Z, width, first, rows, losses)
