"""The walk through a block's samples, one step for each; the derivation is in docs/exact-sgd.md.

A layer whose updates are deferred to the block's end keeps its weights, and corrects what it computes with them; any
other takes its update at once, in the pass over its weights that its products need anyway: the passes are in sample.py.
Layers after the first, but for a deferred second one, are kept transposed, (n_out, width_in): forward is a dot product
with each row. The way through those that are deferred is in turn.py for the second layer, in deferred.py for later
ones, as tasks: large ones are for all threads.
"""

from __future__ import annotations

from fastnn._kernels.numba.block import add_second_gram, gram_part, one_output, row_of, scale_deltas, second_deltas
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.dots import dots
from fastnn._kernels.numba.elementwise import times_derivative
from fastnn._kernels.numba.layers import layer_memory, prefetch_sample, sample_at
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
from fastnn._kernels.numba.narrow import is_narrow, walk_narrow
from fastnn._kernels.numba.outputs import SIGMOID_LOSS, SOFTMAX_LOSS, load_targets, output_deltas
from fastnn._kernels.numba.sample import (
    add_vectors,
    finish_outputs,
    multiply_and_update,
    slope_of,
    step_one_output,
    update_and_project,
)
from fastnn._kernels.numba.shared import groups_of, parts_of, second_part, thread_scratch
from fastnn._kernels.numba.simd import add, advance, fill, lanes, load, multiply_add, store
from fastnn._kernels.numba.softmax import sample_softmax_delta
from fastnn._kernels.numba.team import (
    BACKWARD,
    FORWARD,
    PREPARE,
    end_phase,
    open_phase,
    run_phase,
    run_task,
)
from fastnn._kernels.numba.tile import ADD
from fastnn._kernels.numba.turn import finish_turn, run_turn

# Of the next block, prepared by the other threads meanwhile. All at once, they would be done early and fall asleep
# before a long walk ends (784-128-128-10: 5.2 us a sample in place of 4.2).
SAMPLES_AHEAD = 8


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
        add_vectors(width, second_part(job, like, START, t), z)
    add_second_gram(job, like, t)
    call(job.add_rows, (t, width, D, width, gram_part(job, like, START, t), z))
    finish_outputs(job, like, START, z, scale, START, width)


@kernel
def walk_forward(job, like, thread, t, scale):
    """Take sample t from the first layer's outputs, or the second's after a turn, as far as Z_L."""
    memory = reals(like, job.tiles)
    for layer in range(2 if job.turned else 1, job.layers - one_output(job)):
        if field(job, layer, DEFERRED):
            run_layer(job, like, thread, FORWARD, layer, t)
            continue
        width_in, z = field(job, layer, WIDTH_IN), layer_memory(job, memory, layer, OUTPUTS, t)
        a, V = layer_memory(job, memory, layer - 1, OUTPUTS, t), reals(like, field(job, layer, TRANSPOSED))
        dots(field(job, layer, N_OUT), width_in, V, width_in, a, z)
        finish_outputs(job, like, layer, z, scale, START, field(job, layer, WIDTH_OUT))


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
    """Compute the hidden layers' deltas of sample t; update the weights of the layers above that are not deferred.

    The first layer's are left to the next turn.
    """
    memory = reals(like, job.tiles)
    for layer in range(job.layers - 1 - one_output(job), 1 if job.turned else 0, -1):
        if field(job, layer, DEFERRED):
            run_layer(job, like, thread, BACKWARD, layer, t)
            finish_deltas(job, like, layer, t, scale)
            continue
        a, delta = layer_memory(job, memory, layer - 1, OUTPUTS, t), layer_memory(job, memory, layer, DELTAS, t)
        below = layer_memory(job, memory, layer - 1, DELTAS, t)
        multiply_and_update(job, like, layer, a, delta, below, scale, c)


@kernel
def update_biases(job, like, t, rate):
    """Update the biases: those of a single output are, those of the first layer are in a turn."""
    memory, alpha = reals(like, job.tiles), fill(real(like, -rate))
    for layer in range(1 if job.turned else 0, job.layers - one_output(job)):
        delta, b = layer_memory(job, memory, layer, DELTAS, t), reals(like, field(job, layer, BIAS))
        for j in range(0, field(job, layer, WIDTH_OUT), lanes(like)):
            store(b, j, multiply_add(alpha, load(delta, j), load(b, j)))


@kernel
def walk_samples(job, like, thread):
    """Take the block's samples one after the other; return the last step's rate relative to the weights' factor."""
    memory, at_once, divided = reals(like, job.tiles), not field(job, 0, DEFERRED), job.walk_divided != 0
    helped = job.threads > 1 and not at_once
    # Where all threads are needed in the walk, they prepare a sample each time, beside the layer that leads there.
    ahead, tasks = 1 if divided else SAMPLES_AHEAD, 0
    scale, c, before = job.scale, 0.0, row_of(job, like, START)
    for t in range(job.tile_count):
        step = job.tile_start + t
        if at_once and step + job.tile_rows < job.samples:
            prefetch_sample(job, like, sample_at(job, step + job.tile_rows))
        rate, x = numbers(job.rates)[step * job.rate_stride], row_of(job, like, t)
        if job.turned:
            run_turn(job, like, thread, t, c)
        if helped and t % ahead == 0:
            tasks = max(0, min(ahead, job.next_count - t))
            open_phase(job, PREPARE, t, t + tasks)
        if job.turned:
            finish_turn(job, like)
        else:
            first_outputs(job, like, t, before, x, c, scale)
        if helped and divided:
            end_phase(job, like, thread, PREPARE, tasks)
        walk_forward(job, like, thread, t, scale)
        shrunk = scale * (1 - rate * job.l2)
        c = rate / shrunk
        if one_output(job):
            step_one_output(job, like, t, rate, scale, c)
        elif job.loss == SOFTMAX_LOSS:
            z = layer_memory(job, memory, job.layers - 1, OUTPUTS, t)
            sample_softmax_delta(job, z, sample_at(job, step), advance(numbers(job.losses), step))
        else:
            output_deltas(job, thread, memory, t, ONE, step, advance(numbers(job.losses), step))
        walk_backward(job, like, thread, t, scale, c)
        update_biases(job, like, t, rate)
        for layer in range(2 if job.turned else 0, job.layers):
            if field(job, layer, DEFERRED):
                scale_deltas(job, like, layer, t, c)
        job.delta_scale = -c * scale
        job.scale = scale = shrunk
        before = x
        if helped and not divided and t % ahead == ahead - 1:  # the last block, the only short one, prepares none
            end_phase(job, like, thread, PREPARE, tasks)
    if job.turned:
        run_turn(job, like, thread, job.tile_count, c)
    return c


@kernel
def update_first_layer(job, like, thread, c):
    """Take the block's last step in the first layer's weights, which each step leaves to the next sample."""
    width, W, last = field(job, 0, WIDTH_OUT), reals(like, field(job, 0, PACKED)), job.tile_count - 1
    change, delta = thread_scratch(job, like, thread), layer_memory(job, reals(like, job.tiles), START, DELTAS, last)
    for j in range(width):
        change[j] = real(like, -c) * delta[j]
    x = row_of(job, like, last)
    call(job.multiply, (field(job, 0, N_IN), width, 1, x, 1, 0, change, width, W, width, ADD, W))


@kernel
def walk(job, like, thread):
    """Go through the block's samples in order, with the factor that the penalty has shrunk the weights by."""
    if one_output(job):
        targets = advance(reals(like, job.tiles), job.compact + job.tile_rows)
        load_targets(job, targets, job.tile_start, job.tile_count)
    c = walk_narrow(job, like) if is_narrow(job, like) else walk_samples(job, like, thread)
    if one_output(job):
        one_output_losses(job, like)
    if not field(job, 0, DEFERRED):
        update_first_layer(job, like, thread, c)
