"""Per-sample descent of a narrow network: one hidden layer of one or two vectors, and one output.

Its chain of steps is all latency, from a sample's delta to the next one's, so that what it passes through stays in
registers, but for the deltas themselves.
"""

from __future__ import annotations

import numpy as np

from fastnn._kernels.numba.block import one_output, row_of
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.elementwise import activated, sigmoid_, times_derivative
from fastnn._kernels.numba.layers import layer_memory, prefetch_sample, sample_at
from fastnn._kernels.numba.memory import (
    ACTIVATION,
    BIAS,
    DEFERRED,
    DELTAS,
    N_OUT,
    ONE,
    OUTPUTS,
    PACKED,
    START,
    TRANSPOSED,
    WIDTH_OUT,
    field,
    numbers,
    real,
    reals,
)
from fastnn._kernels.numba.outputs import SIGMOID_LOSS
from fastnn._kernels.numba.sample import dot, project_columns, slope_of
from fastnn._kernels.numba.simd import advance, copy, fill, first_lanes, lanes, load, multiply_add, store, total

TWO = np.int64(2)  # of a type, as those of memory.py


@kernel
def is_narrow(job, like):
    """Return whether the network is one."""
    small = not field(job, 0, DEFERRED) and field(job, 0, WIDTH_OUT) <= 2 * lanes(like)
    return job.layers == 2 and one_output(job) and small


@kernel(forceinline=True)  # by LLVM, which folds the number of vectors into it
def walk_vectors(vectors, job, like):
    """Take the block's samples one after the other; return the last step's rate relative to the weights' factor."""
    memory, n, width = reals(like, job.tiles), job.n_inputs, vectors * lanes(like)
    z, deltas = layer_memory(job, memory, START, OUTPUTS, START), layer_memory(job, memory, START, DELTAS, START)
    W, V = reals(like, field(job, 0, PACKED)), reals(like, field(job, 1, TRANSPOSED))
    bias, output_bias = reals(like, field(job, 0, BIAS)), reals(like, field(job, 1, BIAS))
    logits = advance(memory, job.compact)
    targets = advance(logits, job.tile_rows)
    activation, slope, units = field(job, 0, ACTIVATION), slope_of(job, like, START), field(job, 0, N_OUT)
    last, zero = width - lanes(like), fill(real(like, 0.0))
    b0, b1, v0, v1, top = load(bias, 0), load(bias, last), load(V, 0), load(V, last), output_bias[0]
    scale, c, before = job.scale, 0.0, row_of(job, like, START)
    for t in range(job.tile_count):
        step = job.tile_start + t
        if step + job.tile_rows < job.samples:
            prefetch_sample(job, like, sample_at(job, step + job.tile_rows))
        rate, x, s = numbers(job.rates)[step * job.rate_stride], row_of(job, like, t), real(like, scale)
        overlap, factor = fill(dot(before, x, n)), fill(real(like, -c))
        project_columns(vectors, n, width, before, x, overlap, deltas, factor, W, z)
        a0 = first_lanes(activated(activation, multiply_add(fill(s), load(z, 0), b0), slope), units)
        a1, products = a0, multiply_add(a0, v0, zero)
        if vectors == 2:
            a1 = first_lanes(activated(activation, multiply_add(fill(s), load(z, last), b1), slope), units - last)
            products = multiply_add(a1, v1, products)
        logit = s * total(products) + top
        error = (sigmoid_(logit) if job.loss == SIGMOID_LOSS else logit) - targets[t]
        shrunk = scale * (1 - rate * job.l2)
        c = rate / shrunk
        factor, change, alpha = fill(s * error), fill(real(like, -c) * error), fill(real(like, -rate))
        delta = times_derivative(activation, a0, multiply_add(factor, v0, zero), slope)
        v0, b0 = multiply_add(change, a0, v0), multiply_add(alpha, delta, b0)
        store(deltas, 0, delta)
        if vectors == 2:
            delta = times_derivative(activation, a1, multiply_add(factor, v1, zero), slope)
            v1, b1 = multiply_add(change, a1, v1), multiply_add(alpha, delta, b1)
            store(deltas, last, delta)
        top -= real(like, rate) * error
        logits[t] = logit
        before, scale = x, shrunk
    if vectors == 2:
        store(bias, last, b1)
        store(V, last, v1)
    store(bias, 0, b0)
    store(V, 0, v0)
    output_bias[0] = top
    if job.tile_count > 1:
        copy(advance(deltas, (job.tile_count - 1) * width), deltas, width)
    job.scale = scale
    return c


@kernel
def walk_narrow(job, like):
    """Take the block's samples one after the other; return the last step's rate relative to the weights' factor."""
    if field(job, 0, WIDTH_OUT) == lanes(like):
        return walk_vectors(ONE, job, like)
    return walk_vectors(TWO, job, like)
