"""One sample's pass through a layer, with the update of the weights that it reads: the inner loops of the walk.

All widths are whole vectors.
"""

from __future__ import annotations

import numpy as np

from fastnn._kernels.contract import Activation
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.elementwise import activated, sigmoid_, times_derivative
from fastnn._kernels.numba.layers import layer_memory
from fastnn._kernels.numba.memory import (
    ACTIVATION,
    BIAS,
    DELTAS,
    N_IN,
    N_OUT,
    ONE,
    OUTPUTS,
    PACKED,
    START,
    TRANSPOSED,
    WIDTH_IN,
    WIDTH_OUT,
    field,
    numbers,
    real,
    reals,
)
from fastnn._kernels.numba.outputs import SIGMOID_LOSS
from fastnn._kernels.numba.simd import add, advance, fill, first_lanes, lanes, load, multiply_add, store, total

FOUR, TWO = np.int64(4), np.int64(2)  # of a type, as those of memory.py
LEAKY_RELU = int(Activation.LEAKY_RELU)


@kernel
def slope_of(job, like, layer):
    """Return the vector of a hidden layer's slope for z < 0."""
    leaky = field(job, layer, ACTIVATION) == LEAKY_RELU
    return fill(real(like, numbers(job.slopes)[layer] if leaky else 0.0))


@kernel
def outputs_of(job, like, layer, j, z, scale):
    """Return outputs j to j + lanes of a layer from a W / s; those of the output layer, and padding, are plain."""
    z = multiply_add(fill(real(like, scale)), z, load(reals(like, field(job, layer, BIAS)), j))
    if layer == job.layers - 1:
        return z
    # sigmoid(0) is not 0: the padding must not enter products of outputs
    z = activated(field(job, layer, ACTIVATION), z, slope_of(job, like, layer))
    return first_lanes(z, field(job, layer, N_OUT) - j)


@kernel
def finish_outputs(job, like, layer, z, scale, begin, end):
    """Turn a W / s into outputs begin .. end of a layer."""
    for j in range(begin, end, lanes(like)):
        store(z, j, outputs_of(job, like, layer, j, load(z, j), scale))


@kernel
def updated(W, at, factor, change):
    """Add a multiple of a vector to the one at W[at]; return what was there before."""
    w = load(W, at)
    store(W, at, multiply_add(fill(factor), change, w))
    return w


@kernel
def dot(x, y, n):
    """Return the inner product of n numbers: of whole vectors, and of the rest one by one."""
    products, rest, k = fill(real(x, 0.0)), real(x, 0.0), 0
    while k + lanes(x) <= n:
        products = multiply_add(load(x, k), load(y, k), products)
        k += lanes(x)
    while k < n:
        rest += x[k] * y[k]
        k += 1
    return total(products) + rest


@kernel(forceinline=True)  # by LLVM, which folds the number of vectors into it; Numba's inlining takes 3 s longer
def project_columns(vectors, n, width, before, x, overlap, delta, factor, W, z):
    """Take 1, 2 or 4 vectors of columns through a step and a product, in four chains: 4 / vectors rows at a time.

    z = x (W - c before^T delta) = x W - c (x . before) delta: the long sum does not wait for the last sample's delta.
    """
    rows, r1, r2, r3 = 4 // vectors, 1 // vectors, 2 // vectors, 3 // vectors
    j1, j2, j3 = 1 % vectors * lanes(W), 2 % vectors * lanes(W), 3 % vectors * lanes(W)
    zero = fill(real(W, 0.0))
    d0, d1 = multiply_add(factor, load(delta, 0), zero), multiply_add(factor, load(delta, j1), zero)
    d2, d3 = multiply_add(factor, load(delta, j2), zero), multiply_add(factor, load(delta, j3), zero)
    z0, z1, z2, z3 = zero, zero, zero, zero
    k = 0
    while k + rows <= n:
        z0 = multiply_add(fill(x[k]), updated(W, k * width, before[k], d0), z0)
        z1 = multiply_add(fill(x[k + r1]), updated(W, (k + r1) * width + j1, before[k + r1], d1), z1)
        z2 = multiply_add(fill(x[k + r2]), updated(W, (k + r2) * width + j2, before[k + r2], d2), z2)
        z3 = multiply_add(fill(x[k + r3]), updated(W, (k + r3) * width + j3, before[k + r3], d3), z3)
        k += rows
    while k < n:
        z0 = multiply_add(fill(x[k]), updated(W, k * width, before[k], d0), z0)
        if vectors == 2:
            z1 = multiply_add(fill(x[k]), updated(W, k * width + j1, before[k], d1), z1)
        k += 1
    if vectors == 4:
        store(z, j2, multiply_add(overlap, d2, z2))
        store(z, j3, multiply_add(overlap, d3, z3))
    else:
        z0, z1 = add(z0, z2), add(z1, z3)
    if vectors == 1:
        z0 = add(z0, z1)
    else:
        store(z, j1, multiply_add(overlap, d1, z1))
    store(z, 0, multiply_add(overlap, d0, z0))


@kernel
def update_and_project(job, like, before, x, delta, c, z, scale):
    """Take the last sample's step in the first layer's weights and compute the outputs for this one, in one pass.

    Columns go by as many vectors as there are chains: by one at a time, the lines of a wide layer whose rows are a
    power of two apart would share a few places in the cache (a deeper layer, 256-200, took 2.0 times as long).
    """
    n, width, W = field(job, 0, N_IN), field(job, 0, WIDTH_OUT), reals(like, field(job, 0, PACKED))
    factor, overlap = fill(real(like, -c)), fill(dot(before, x, n))
    j = 0
    while width - j >= 4 * lanes(like):
        project_columns(FOUR, n, width, before, x, overlap, advance(delta, j), factor, advance(W, j), advance(z, j))
        j += 4 * lanes(like)
    while width - j >= 2 * lanes(like):
        project_columns(TWO, n, width, before, x, overlap, advance(delta, j), factor, advance(W, j), advance(z, j))
        j += 2 * lanes(like)
    while width - j >= lanes(like):
        project_columns(ONE, n, width, before, x, overlap, advance(delta, j), factor, advance(W, j), advance(z, j))
        j += lanes(like)
    finish_outputs(job, like, 0, z, scale, START, width)


@kernel
def step_one_output(job, like, t, rate, scale, c):
    """Take sample t through a layer of one output and back: its logit, its delta, the deltas below, and the update."""
    memory, last = reals(like, job.tiles), job.layers - 1
    logits = advance(memory, job.compact)
    targets = advance(logits, job.tile_rows)
    a, below = layer_memory(job, memory, last - 1, OUTPUTS, t), layer_memory(job, memory, last - 1, DELTAS, t)
    V, b = reals(like, field(job, last, TRANSPOSED)), reals(like, field(job, last, BIAS))
    width = field(job, last, WIDTH_IN)
    zero = fill(real(like, 0.0))
    products = zero
    for j in range(0, width, lanes(like)):
        products = multiply_add(load(a, j), load(V, j), products)
    z = real(like, scale) * total(products) + b[0]
    delta = (sigmoid_(z) if job.loss == SIGMOID_LOSS else z) - targets[t]
    logits[t] = z
    b[0] -= real(like, rate) * delta
    activation, slope = field(job, last - 1, ACTIVATION), slope_of(job, like, last - 1)
    factor, change = fill(real(like, scale) * delta), fill(real(like, -c) * delta)
    for j in range(0, width, lanes(like)):
        v, outputs = load(V, j), load(a, j)
        store(below, j, times_derivative(activation, outputs, multiply_add(factor, v, zero), slope))
        store(V, j, multiply_add(change, outputs, v))


@kernel(forceinline=True)  # by LLVM, which folds the number of vectors into it; Numba's inlining takes 3 s longer
def multiply_columns(vectors, job, layer, a, delta, V, below, scale, c):
    """Take 1, 2 or 4 vectors of columns through a product and the update, in four chains as `project_columns` does."""
    rows, r1, r2, r3 = 4 // vectors, 1 // vectors, 2 // vectors, 3 // vectors
    j1, j2, j3 = 1 % vectors * lanes(V), 2 % vectors * lanes(V), 3 % vectors * lanes(V)
    n, width, factor, zero = field(job, layer, N_OUT), field(job, layer, WIDTH_IN), real(V, -c), fill(real(V, 0.0))
    a0, a1, a2, a3 = load(a, 0), load(a, j1), load(a, j2), load(a, j3)
    d0, d1, d2, d3 = zero, zero, zero, zero
    k = 0
    while k + rows <= n:
        f0, f1, f2, f3 = delta[k], delta[k + r1], delta[k + r2], delta[k + r3]
        d0 = multiply_add(fill(f0), updated(V, k * width, factor * f0, a0), d0)
        d1 = multiply_add(fill(f1), updated(V, (k + r1) * width + j1, factor * f1, a1), d1)
        d2 = multiply_add(fill(f2), updated(V, (k + r2) * width + j2, factor * f2, a2), d2)
        d3 = multiply_add(fill(f3), updated(V, (k + r3) * width + j3, factor * f3, a3), d3)
        k += rows
    while k < n:
        d0 = multiply_add(fill(delta[k]), updated(V, k * width, factor * delta[k], a0), d0)
        if vectors == 2:
            d1 = multiply_add(fill(delta[k]), updated(V, k * width + j1, factor * delta[k], a1), d1)
        k += 1
    activation, slope, s = field(job, layer - 1, ACTIVATION), slope_of(job, V, layer - 1), fill(real(V, scale))
    if vectors == 4:
        store(below, j2, times_derivative(activation, a2, multiply_add(s, d2, zero), slope))
        store(below, j3, times_derivative(activation, a3, multiply_add(s, d3, zero), slope))
    else:
        d0, d1 = add(d0, d2), add(d1, d3)
    if vectors == 1:
        d0 = add(d0, d1)
    else:
        store(below, j1, times_derivative(activation, a1, multiply_add(s, d1, zero), slope))
    store(below, 0, times_derivative(activation, a0, multiply_add(s, d0, zero), slope))


@kernel
def multiply_and_update(job, like, layer, a, delta, below, scale, c):
    """Compute the deltas of the layer below from the weights, which take their update, in one pass."""
    V, width = reals(like, field(job, layer, TRANSPOSED)), field(job, layer, WIDTH_IN)
    j = 0
    while width - j >= 4 * lanes(like):
        multiply_columns(FOUR, job, layer, advance(a, j), delta, advance(V, j), advance(below, j), scale, c)
        j += 4 * lanes(like)
    while width - j >= 2 * lanes(like):
        multiply_columns(TWO, job, layer, advance(a, j), delta, advance(V, j), advance(below, j), scale, c)
        j += 2 * lanes(like)
    while width - j >= lanes(like):
        multiply_columns(ONE, job, layer, advance(a, j), delta, advance(V, j), advance(below, j), scale, c)
        j += lanes(like)


@kernel
def add_vectors(n, x, y):
    """Add n numbers, padded to whole vectors, to others."""
    for j in range(0, n, lanes(x)):
        store(y, j, add(load(y, j), load(x, j)))
