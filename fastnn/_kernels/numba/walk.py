"""The walk through a block's samples, one step for each; the derivation is in docs/exact-sgd.md.

A layer whose updates are deferred to the block's end keeps its weights, and corrects what it computes with them; any
other takes its update at once, in the pass over its weights that its products need anyway. Layers after the first are
kept transposed, (n_out, width_in): forward is a dot product with each row. The way through those that are deferred is
in deferred.py, as tasks: large ones are for all threads.
"""

from __future__ import annotations

import numpy as np

from fastnn._kernels.contract import Activation, Loss
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.dots import dots
from fastnn._kernels.numba.elementwise import activated, sigmoid_, times_derivative
from fastnn._kernels.numba.layers import layer_memory, load_targets, output_deltas, prefetch_sample, sample_at
from fastnn._kernels.numba.memory import (
    ACTIVATION,
    BIAS,
    DEFERRED,
    DELTAS,
    N_IN,
    N_OUT,
    ONE,
    OUTPUTS,
    PACKED,
    SPLIT,
    START,
    TRANSPOSED,
    WIDTH_IN,
    WIDTH_OUT,
    call,
    field,
    numbers,
    real,
    reals,
)
from fastnn._kernels.numba.multiply import ADD
from fastnn._kernels.numba.shared import groups_of, parts_of, second_part, thread_scratch
from fastnn._kernels.numba.simd import add, advance, fill, first_lanes, lanes, load, multiply_add, store, total
from fastnn._kernels.numba.team import (
    BACKWARD,
    FORWARD,
    PREPARE,
    end_phase,
    open_phase,
    run_phase,
    run_task,
)

FOUR, TWO = np.int64(4), np.int64(2)  # of a type, as those of memory.py
# Of the next block, prepared by the other threads meanwhile. All at once, they would be done early and fall asleep
# before a long walk ends (784-128-128-10: 5.2 us a sample in place of 4.2).
SAMPLES_AHEAD = 8
LEAKY_RELU, SIGMOID_LOSS = int(Activation.LEAKY_RELU), int(Loss.SIGMOID_CROSS_ENTROPY)


@kernel
def block_inputs(job, like, parity):
    """Return the pointer to the gathered rows of a block: the one under way, or the next."""
    return advance(reals(like, job.gathered), parity * job.tile_rows * field(job, 0, WIDTH_IN))


@kernel
def second_deltas(job, like):
    """Return the pointer to the second part of the sums that become a sample's deltas."""
    return advance(reals(like, job.partials), job.partials_size)


@kernel
def correct(job, like, t, products, D, width, n, z):
    """Add -sum_{u < t} c_u products_u D_u to the n numbers z; the products are used up."""
    rates = numbers(job.block_rates)
    for u in range(t):
        products[u] *= real(like, -rates[u])
    call(job.add_rows, (t, n, D, width, products, z))


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
    """Return the inner product of n numbers, added in four chains."""
    s0, s1, s2, s3 = real(x, 0.0), real(x, 0.0), real(x, 0.0), real(x, 0.0)
    k = 0
    while k + 4 <= n:
        s0 += x[k] * y[k]
        s1 += x[k + 1] * y[k + 1]
        s2 += x[k + 2] * y[k + 2]
        s3 += x[k + 3] * y[k + 3]
        k += 4
    while k < n:
        s0 += x[k] * y[k]
        k += 1
    return (s0 + s1) + (s2 + s3)


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
def run_layer(job, like, thread, kind, layer, t):
    """Take sample t through a deeper layer whose updates are deferred: all threads do, if it is divided."""
    job.layer, job.sample = layer, t
    if field(job, layer, SPLIT) == 0:
        run_task(job, like, thread, kind, START)
    else:
        run_phase(job, like, thread, kind, START, parts_of(job, layer) * groups_of(job, layer))


@kernel
def first_outputs(job, like, t, before, x, c, scale):
    """Compute the first layer's outputs for sample t of the block."""
    memory, width = reals(like, job.tiles), field(job, 0, WIDTH_OUT)
    z, D = layer_memory(job, memory, START, OUTPUTS, t), layer_memory(job, memory, START, DELTAS, START)
    if not field(job, 0, DEFERRED):
        update_and_project(job, like, before, x, advance(D, max(t - 1, 0) * width), c, z, scale)
        return
    if field(job, 0, SPLIT) != 0:
        second = second_part(job, like, START, t)
        for j in range(0, width, lanes(like)):
            store(z, j, add(load(z, j), load(second, j)))
    correct(job, like, t, advance(reals(like, job.gram), t * job.tile_rows), D, width, width, z)
    finish_outputs(job, like, START, z, scale, START, width)


@kernel
def walk_forward(job, like, thread, t, scale):
    """Take sample t from the first layer's outputs as far as Z_L."""
    memory = reals(like, job.tiles)
    for layer in range(1, job.layers - one_output(job)):
        if field(job, layer, DEFERRED):
            run_layer(job, like, thread, FORWARD, layer, t)
            continue
        width_in, z = field(job, layer, WIDTH_IN), layer_memory(job, memory, layer, OUTPUTS, t)
        a, V = layer_memory(job, memory, layer - 1, OUTPUTS, t), reals(like, field(job, layer, TRANSPOSED))
        dots(field(job, layer, N_OUT), width_in, V, width_in, a, z)
        finish_outputs(job, like, layer, z, scale, START, field(job, layer, WIDTH_OUT))


@kernel
def one_output(job):
    """Return whether the network ends in one output behind a hidden layer, whose weights are one vector."""
    return field(job, job.layers - 1, WIDTH_OUT) == 1


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


@kernel
def one_output_losses(job, like):
    """Write the losses of the block's steps, for all of them at once."""
    logits, losses = advance(reals(like, job.tiles), job.compact), advance(numbers(job.losses), job.tile_start)
    targets = advance(logits, job.tile_rows)
    if job.loss == SIGMOID_LOSS:
        call(job.sigmoid_cross_entropy_array, (logits, targets, logits, job.tile_count))
        for t in range(job.tile_count):
            losses[t] = logits[t]
    else:
        for t in range(job.tile_count):
            delta = logits[t] - targets[t]
            losses[t] = delta * delta / 2


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
def finish_deltas(job, like, layer, t, scale):
    """Turn delta V / s, a sum of two parts if the layer is divided, into the deltas of the layer below."""
    memory = reals(like, job.tiles)
    activation, slope = field(job, layer - 1, ACTIVATION), slope_of(job, like, layer - 1)
    a, below = layer_memory(job, memory, layer - 1, OUTPUTS, t), layer_memory(job, memory, layer - 1, DELTAS, t)
    second, divided = second_deltas(job, like), field(job, layer, SPLIT) != 0
    s, zero = fill(real(like, scale)), fill(real(like, 0.0))
    for j in range(0, field(job, layer, WIDTH_IN), lanes(like)):
        products = add(load(below, j), load(second, j)) if divided else load(below, j)
        store(below, j, times_derivative(activation, load(a, j), multiply_add(s, products, zero), slope))


@kernel
def walk_backward(job, like, thread, t, scale, c):
    """Compute the hidden layers' deltas of sample t; update the weights of the layers above that are not deferred."""
    memory = reals(like, job.tiles)
    for layer in range(job.layers - 1 - one_output(job), 0, -1):
        if field(job, layer, DEFERRED):
            run_layer(job, like, thread, BACKWARD, layer, t)
            finish_deltas(job, like, layer, t, scale)
            continue
        a, delta = layer_memory(job, memory, layer - 1, OUTPUTS, t), layer_memory(job, memory, layer, DELTAS, t)
        below = layer_memory(job, memory, layer - 1, DELTAS, t)
        multiply_and_update(job, like, layer, a, delta, below, scale, c)


@kernel
def update_biases(job, like, t, rate):
    """Update the biases: those of a single output are."""
    memory, alpha = reals(like, job.tiles), fill(real(like, -rate))
    for layer in range(job.layers - one_output(job)):
        delta, b = layer_memory(job, memory, layer, DELTAS, t), reals(like, field(job, layer, BIAS))
        for j in range(0, field(job, layer, WIDTH_OUT), lanes(like)):
            store(b, j, multiply_add(alpha, load(delta, j), load(b, j)))


@kernel
def row_of(job, like, t):
    """Return the pointer to the first layer's input of the block's sample t."""
    if field(job, 0, DEFERRED):
        return advance(block_inputs(job, like, job.parity), t * field(job, 0, WIDTH_IN))
    return advance(reals(like, job.X), sample_at(job, job.tile_start + t) * job.n_inputs)


@kernel
def walk(job, like, thread):
    """Go through the block's samples in order; leave the factor that the penalty has shrunk the weights by."""
    memory, at_once, divided = reals(like, job.tiles), not field(job, 0, DEFERRED), job.walk_divided != 0
    helped = job.threads > 1 and not at_once
    # Where all threads are needed in the walk, they prepare a sample each time, beside the first layer.
    ahead, tasks = 1 if divided else SAMPLES_AHEAD, 0
    scale, c, before = 1.0, 0.0, row_of(job, like, START)
    job.scale = scale
    if one_output(job):
        load_targets(job, advance(memory, job.compact + job.tile_rows), job.tile_start, job.tile_count)
    for t in range(job.tile_count):
        step = job.tile_start + t
        if at_once and step + job.tile_rows < job.samples:
            prefetch_sample(job, like, sample_at(job, step + job.tile_rows))
        rate, x = numbers(job.rates)[step * job.rate_stride], row_of(job, like, t)
        if helped and t % ahead == 0:
            tasks = max(0, min(ahead, job.next_count - t))
            open_phase(job, PREPARE, t, t + tasks)
        first_outputs(job, like, t, before, x, c, scale)
        if helped and divided:
            end_phase(job, like, thread, PREPARE, tasks)
        walk_forward(job, like, thread, t, scale)
        shrunk = scale * (1 - rate * job.l2)
        c = rate / shrunk
        if one_output(job):
            step_one_output(job, like, t, rate, scale, c)
        else:
            output_deltas(job, memory, t, ONE, step, advance(numbers(job.losses), step))
        walk_backward(job, like, thread, t, scale, c)
        update_biases(job, like, t, rate)
        numbers(job.block_rates)[t] = c
        job.scale = scale = shrunk
        before = x
        if helped and not divided and t % ahead == ahead - 1:  # the last block, the only short one, prepares none
            end_phase(job, like, thread, PREPARE, tasks)
    if one_output(job):
        one_output_losses(job, like)
    if at_once:
        width, W = field(job, 0, WIDTH_OUT), reals(like, field(job, 0, PACKED))
        change, delta = thread_scratch(job, like, thread), layer_memory(job, memory, 0, DELTAS, job.tile_count - 1)
        for j in range(width):
            change[j] = real(like, -c) * delta[j]
        call(job.multiply, (field(job, 0, N_IN), width, 1, before, 1, 0, change, width, W, width, ADD, W))
