"""The output unit and the loss: from a tile's Z_L to its outputs, or to the first deltas and each row's loss."""

from __future__ import annotations

from fastnn._kernels.contract import Activation, Loss
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.layers import layer_memory, sample_at
from fastnn._kernels.numba.memory import (
    ACTIVATION,
    OUTPUTS,
    START,
    WIDTH_OUT,
    call,
    field,
    integers,
    numbers,
    real,
    reals,
)
from fastnn._kernels.numba.simd import advance
from fastnn._kernels.numba.softmax import softmax_deltas, softmax_rows

SOFTMAX, SIGMOID = int(Activation.SOFTMAX), int(Activation.SIGMOID)
SOFTMAX_LOSS, SIGMOID_LOSS = int(Loss.SOFTMAX_CROSS_ENTROPY), int(Loss.SIGMOID_CROSS_ENTROPY)


@kernel
def compact(Z, width, K, rows, outputs):
    """Copy the first K of each row of Z next to each other."""
    for r in range(rows):
        for k in range(K):
            outputs[r * K + k] = Z[r * width + k]


@kernel
def output_units(job, thread, memory, rows, outputs):
    """Write A_L of the rows next to each other, from Z_L."""
    last = job.layers - 1
    K, width, activation = job.n_outputs, field(job, last, WIDTH_OUT), field(job, last, ACTIVATION)
    Z = layer_memory(job, memory, last, OUTPUTS, START)
    if activation == SOFTMAX:
        softmax_rows(job, thread, Z, width, rows, outputs)
    else:
        compact(Z, width, K, rows, outputs)
        call(job.activate, (activation, numbers(job.slopes)[last], outputs, rows * K))


@kernel
def load_binary_labels(job, Y, first, rows):
    """Write the labels of the samples visited from the first-th on as targets of a single output: they are 0 and 1."""
    labels, order = integers(job.labels), integers(job.order)
    if job.order == 0:
        for r in range(rows):
            Y[r] = real(Y, labels[first + r])
    else:
        for r in range(rows):
            Y[r] = real(Y, labels[order[first + r]])


@kernel
def load_targets(job, Y, first, rows):
    """Copy the targets of the samples visited from the first-th on next to each other; labels become 0 and 1."""
    K = job.n_outputs
    if job.labels != 0 and K == 1:
        load_binary_labels(job, Y, first, rows)
        return
    for r in range(rows):
        sample, y = sample_at(job, first + r), advance(Y, r * K)
        if job.labels != 0:
            for k in range(K):
                y[k] = k == integers(job.labels)[sample]
        else:
            for k in range(K):
                y[k] = reals(Y, job.targets)[sample * K + k]


@kernel
def targets_of(job, Y, first, rows):
    """Return the pointer to the rows' targets: in the data where they lie next to each other, copied to Y otherwise."""
    if job.order == 0 and job.labels == 0:
        return advance(reals(Y, job.targets), first * job.n_outputs)
    load_targets(job, Y, first, rows)
    return Y


@kernel
def add_outputs(values, K, rows, losses):
    """Write the sum of each row's K values."""
    if K == 1:
        for r in range(rows):
            losses[r] = values[r]
        return
    for r in range(rows):
        total = 0.0
        for k in range(r * K, r * K + K):
            total += values[k]
        losses[r] = total


@kernel
def sigmoid_deltas(job, outputs, Y, entropies, rows, losses):
    """Turn the outputs' z into sigmoid(z) - y, and write each row's loss."""
    K = job.n_outputs
    call(job.sigmoid_cross_entropy_array, (outputs, Y, entropies, rows * K))
    call(job.activate, (SIGMOID, 0.0, outputs, rows * K))
    for i in range(rows * K):
        outputs[i] -= Y[i]
    add_outputs(entropies, K, rows, losses)


@kernel
def linear_deltas(Z, width, Y, K, rows, losses):
    """Turn each row's z into z - y, and write its loss."""
    for r in range(rows):
        total = 0.0
        for k in range(K):
            delta = Z[r * width + k] - Y[r * K + k]
            Z[r * width + k] = delta
            total += delta * delta
        losses[r] = total / 2


@kernel
def output_deltas(job, thread, memory, row, rows, first, losses):
    """Turn Z_L of the rows into delta_L = A_L - Y, and write each row's loss.

    ``first`` is the sample of the first row. Losses come from Z_L: a saturated output has a finite, right one.
    """
    last = job.layers - 1
    K, width, n = job.n_outputs, field(job, last, WIDTH_OUT), job.tile_rows * job.n_outputs
    Z = layer_memory(job, memory, last, OUTPUTS, row)
    outputs = advance(memory, job.compact + row * K)
    Y, entropies = advance(outputs, n), advance(outputs, 2 * n)
    if job.loss == SOFTMAX_LOSS:
        softmax_deltas(job, thread, Z, width, first, rows, losses)
        return
    Y = targets_of(job, Y, first, rows)
    if job.loss != SIGMOID_LOSS:
        linear_deltas(Z, width, Y, K, rows, losses)
        return
    if width == K:
        sigmoid_deltas(job, Z, Y, entropies, rows, losses)
        return
    compact(Z, width, K, rows, outputs)
    sigmoid_deltas(job, outputs, Y, entropies, rows, losses)
    for r in range(rows):
        for k in range(K):
            Z[r * width + k] = outputs[r * K + k]
