"""The walk through a block's samples, one step for each; the derivation is in docs/exact-sgd.md.

A layer whose updates are deferred to the block's end keeps its weights, and corrects what it computes with them; any
other takes its update at once, in the pass over its weights that its products need anyway: the passes are in sample.py.
Layers after the first, but for a deferred second one, are kept transposed, (n_out, width_in): forward is a dot product
with each row. The way through those that are deferred is in turn.py for the second layer, in deferred.py for later
ones, as tasks: large ones are for all threads.
"""

from __future__ import annotations

from fastnn._kernels.drivers.block import (
    add_second_gram,
    gram_part,
    is_gathered,
    one_output,
    row_of,
    scale_deltas,
    second_deltas,
)
from fastnn._kernels.drivers.language import Job, Reals
from fastnn._kernels.drivers.layers import (
    activation_of,
    finish_units,
    layer_memory,
    slope_of,
)
from fastnn._kernels.drivers.narrow import is_narrow, walk_narrow_samples
from fastnn._kernels.drivers.outputs import SOFTMAX_LOSS, load_targets, load_weights, output_deltas, weigh
from fastnn._kernels.drivers.primitives import ADD
from fastnn._kernels.drivers.rows import prefetch_sample, sample_at
from fastnn._kernels.drivers.shared import groups_of, parts_of, second_part, thread_scratch
from fastnn._kernels.drivers.softmax import sample_softmax_delta
from fastnn._kernels.drivers.team import BACKWARD, FORWARD, PREPARE, end_phase, open_phase, run_phase
from fastnn._kernels.drivers.turn import finish_turn, run_turn
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.dots import dots
from fastnn._kernels.numba.memory import (
    ACTIVATION,
    BIAS,
    DEFERRED,
    DELTAS,
    N_IN,
    N_OUT,
    OUTPUTS,
    PACKED,
    SPLIT,
    TRANSPOSED,
    WIDTH_IN,
    WIDTH_OUT,
    call,
    field,
    numbers,
    real,
    reals,
)
from fastnn._kernels.numba.sample import (
    add_multiple,
    finish_deltas,
    multiply_and_update,
    step_one_output,
    update_and_project,
)
from fastnn._kernels.numba.simd import advance

# Of the next block, prepared by the other threads meanwhile. All at once, they would be done early and fall asleep
# before a long walk ends (784-128-128-10: 5.2 us a sample in place of 4.2).
SAMPLES_AHEAD = 8


@kernel
def run_layer(job: Job, like: Reals, thread: int, kind: int, layer: int, t: int) -> None:
    """Take sample t through a deeper layer whose updates are deferred: all threads do, if it is divided."""
    job.layer, job.sample = layer, t
    if field(job, layer, SPLIT) == 0:
        call(job.run_task, (job, like, thread, kind, 0))
    else:
        run_phase(job, like, thread, kind, 0, parts_of(job, layer) * groups_of(job, layer))


@kernel
def first_outputs(job: Job, like: Reals, t: int, before: Reals, x: Reals, c: float, scale: float) -> None:
    """Compute the first layer's outputs for sample t of the block."""
    memory, width = reals(like, job.tiles), field(job, 0, WIDTH_OUT)
    z, D = layer_memory(job, memory, 0, OUTPUTS, t), layer_memory(job, memory, 0, DELTAS, 0)
    if not field(job, 0, DEFERRED):
        update_and_project(
            field(job, 0, N_IN), field(job, 0, N_OUT), width, activation_of(job, 0), slope_of(job, 0), scale, -c,
            before, x, advance(D, max(t - 1, 0) * width), reals(like, field(job, 0, PACKED)),
            reals(like, field(job, 0, BIAS)), z,
        )  # fmt: skip
        return
    if field(job, 0, SPLIT) != 0:
        add_multiple(width, 1.0, second_part(job, like, 0, t), z)
    add_second_gram(job, like, t)
    call(job.add_rows, (t, width, D, width, gram_part(job, like, 0, t), z))
    finish_units(job, 0, z, scale, 0, width)


@kernel
def walk_forward(job: Job, like: Reals, thread: int, t: int, scale: float) -> None:
    """Take sample t from the first layer's outputs, or the second's after a turn, as far as Z_L."""
    memory = reals(like, job.tiles)
    for layer in range(2 if job.turned else 1, job.layers - one_output(job)):
        if field(job, layer, DEFERRED):
            run_layer(job, like, thread, FORWARD, layer, t)
            continue
        width_in, z = field(job, layer, WIDTH_IN), layer_memory(job, memory, layer, OUTPUTS, t)
        a, V = layer_memory(job, memory, layer - 1, OUTPUTS, t), reals(like, field(job, layer, TRANSPOSED))
        dots(field(job, layer, N_OUT), width_in, V, width_in, a, z)
        finish_units(job, layer, z, scale, 0, field(job, layer, WIDTH_OUT))


@kernel
def one_output_losses(job: Job, like: Reals) -> None:
    """Write the losses of the block's steps, for all of them at once."""
    logits, losses = advance(reals(like, job.tiles), job.compact), advance(numbers(job.losses), job.tile_start)
    targets, values = advance(logits, job.tile_rows), advance(logits, 2 * job.tile_rows)
    no_numbers = reals(like, job.loss_numbers)  # nor has a loss that comes here any
    call(job.loss_and_delta, (job.loss, logits, targets, no_numbers, values, job.tile_count))
    for t in range(job.tile_count):
        losses[t] = values[t] * numbers(job.block_weights)[t]


@kernel
def step_last(job: Job, like: Reals, t: int, rate: float, scale: float, c: float) -> None:
    """Take sample t through a layer of one output and back: its logit, its delta, the deltas below, and the update."""
    memory, last = reals(like, job.tiles), job.layers - 1
    logits = advance(memory, job.compact)
    target = advance(logits, job.tile_rows)[t]
    logits[t] = step_one_output(
        field(job, last, WIDTH_IN), field(job, last - 1, ACTIVATION), slope_of(job, last - 1),
        field(job, last, ACTIVATION), scale, rate, c, target, real(like, numbers(job.block_weights)[t]),
        layer_memory(job, memory, last - 1, OUTPUTS, t), reals(like, field(job, last, TRANSPOSED)),
        reals(like, field(job, last, BIAS)), layer_memory(job, memory, last - 1, DELTAS, t),
    )  # fmt: skip


@kernel
def walk_backward(job: Job, like: Reals, thread: int, t: int, scale: float, c: float) -> None:
    """Compute the hidden layers' deltas of sample t; update the weights of the layers above that are not deferred.

    The first layer's are left to the next turn.
    """
    memory = reals(like, job.tiles)
    for layer in range(job.layers - 1 - one_output(job), 1 if job.turned else 0, -1):
        if field(job, layer, DEFERRED):
            run_layer(job, like, thread, BACKWARD, layer, t)
        width, activation = field(job, layer, WIDTH_IN), field(job, layer - 1, ACTIVATION)
        a, delta = layer_memory(job, memory, layer - 1, OUTPUTS, t), layer_memory(job, memory, layer, DELTAS, t)
        below, slope = layer_memory(job, memory, layer - 1, DELTAS, t), slope_of(job, layer - 1)
        if field(job, layer, DEFERRED):
            finish_deltas(width, activation, slope, scale, parts_of(job, layer), a, second_deltas(job, like), below)
        else:
            V, n_out = reals(like, field(job, layer, TRANSPOSED)), field(job, layer, N_OUT)
            multiply_and_update(n_out, width, activation, slope, scale, -c, a, delta, V, below)


@kernel
def update_biases(job: Job, like: Reals, t: int, rate: float) -> None:
    """Update the biases: those of a single output are, those of the first layer are in a turn."""
    memory = reals(like, job.tiles)
    for layer in range(1 if job.turned else 0, job.layers - one_output(job)):
        delta, b = layer_memory(job, memory, layer, DELTAS, t), reals(like, field(job, layer, BIAS))
        add_multiple(field(job, layer, WIDTH_OUT), -rate, delta, b)


@kernel
def walk_samples(job: Job, like: Reals, thread: int) -> float:
    """Take the block's samples one after the other; return the last step's rate relative to the weights' factor."""
    memory, at_once, divided = reals(like, job.tiles), not field(job, 0, DEFERRED), job.walk_divided != 0
    helped = job.threads > 1 and not at_once
    # Where all threads are needed in the walk, they prepare a sample each time, beside the layer that leads there.
    ahead, tasks = 1 if divided else SAMPLES_AHEAD, 0
    scale, c, before = job.scale, 0.0, row_of(job, like, 0)
    for t in range(job.tile_count):
        step = job.tile_start + t
        if not is_gathered(job) and step + job.tile_rows < job.samples:
            prefetch_sample(job, like, step + job.tile_rows)
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
            step_last(job, like, t, rate, scale, c)
        elif job.loss == SOFTMAX_LOSS:
            z, loss = layer_memory(job, memory, job.layers - 1, OUTPUTS, t), advance(numbers(job.losses), step)
            sample_softmax_delta(job, z, sample_at(job, step), loss)
            if job.weights != 0:
                weigh(job, z, job.n_outputs, step, 1, loss)
        else:
            output_deltas(job, thread, memory, t, 1, step, advance(numbers(job.losses), step))
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
def update_first_layer(job: Job, like: Reals, thread: int, c: float) -> None:
    """Take the block's last step in the first layer's weights, which each step leaves to the next sample."""
    width, W, last = field(job, 0, WIDTH_OUT), reals(like, field(job, 0, PACKED)), job.tile_count - 1
    change, delta = thread_scratch(job, like, thread), layer_memory(job, reals(like, job.tiles), 0, DELTAS, last)
    for j in range(width):
        change[j] = real(like, -c) * delta[j]
    x = row_of(job, like, last)
    call(job.multiply, (field(job, 0, N_IN), width, 1, x, 1, 0, change, width, W, width, ADD, W))


@kernel
def walk(job: Job, like: Reals, thread: int) -> None:
    """Go through the block's samples in order, with the factor that the penalty has shrunk the weights by."""
    if one_output(job):
        targets = advance(reals(like, job.tiles), job.compact + job.tile_rows)
        load_targets(job, targets, job.tile_start, job.tile_count)
        load_weights(job, like)
    c = walk_narrow_samples(job, like) if is_narrow(job, like) else walk_samples(job, like, thread)
    if one_output(job):
        one_output_losses(job, like)
    if not field(job, 0, DEFERRED):
        update_first_layer(job, like, thread, c)
