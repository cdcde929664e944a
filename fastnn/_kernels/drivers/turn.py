"""The turn from one sample to the next in the second layer, if its updates are deferred: one pass over its weights.

Row j of the weights, those of the first layer's unit j, gives the last sample's delta of that unit; times the unit's
output for the next sample it is then added to the second layer's outputs. Of the last sample's deltas in the first
layer that output needs its own unit's alone: the product of the inputs is known, and corrections go unit by unit. So a
block of rows serves both samples while it is in the first-level cache, which takes half of the traffic from the second
one, and threads, each with its own units, meet once a sample here, not twice.
"""

from __future__ import annotations

from fastnn._kernels.drivers.block import add_second_gram, gram_part, scale_deltas, second_deltas
from fastnn._kernels.drivers.language import Job, Reals
from fastnn._kernels.drivers.layers import activation_of, finish_units, layer_memory, padded, slope_of
from fastnn._kernels.drivers.shared import part_of, parts_of, second_part, share_of, thread_scratch
from fastnn._kernels.drivers.team import TURN, run_phase
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.dots import add_rows_and_ask
from fastnn._kernels.numba.memory import (
    BIAS,
    DELTAS,
    N_IN,
    N_OUT,
    OUTPUTS,
    PACKED,
    SPLIT,
    WIDTH_IN,
    WIDTH_OUT,
    call,
    field,
    real,
    reals,
)
from fastnn._kernels.numba.sample import add_multiple, turn_vectors
from fastnn._kernels.numba.simd import advance, copy, element_bytes, lanes

BLOCK_BYTES = 16384  # of eight rows; of longer ones four go together: half of the next block needs room as well


@kernel
def turn_tasks(job: Job) -> int:
    """Return into how many tasks a turn is divided: so many summands its outputs have."""
    return parts_of(job, 1) * job.turned


@kernel
def turn_outputs(job: Job, like: Reals, task: int) -> Reals:
    """Return the pointer to a task's summand of the second layer's outputs, and of the products of the first's."""
    return advance(second_deltas(job, like), task * (field(job, 1, WIDTH_OUT) + job.tile_rows))


@kernel
def delta_products(job: Job, like: Reals) -> Reals:
    """Return the pointer to the products of the last sample's deltas in the second layer with the earlier ones."""
    return gram_part(job, like, 2, 0)


@kernel
def start_turn(job: Job, like: Reals, t: int) -> None:
    """Compute what all tasks of the turn to sample t need: the factors of their corrections."""
    width, D = field(job, 1, WIDTH_OUT), layer_memory(job, reals(like, job.tiles), 1, DELTAS, 0)
    job.layer, job.sample = 1, t
    if t > 0:
        call(job.dots, (t - 1, width, D, width, advance(D, (t - 1) * width), delta_products(job, like)))
    if t < job.tile_count:
        add_second_gram(job, like, t)


@kernel
def run_turn(job: Job, like: Reals, thread: int, t: int, c: float) -> None:
    """Take the last sample down through the second layer and sample t up, as far as both are in the block."""
    start_turn(job, like, t)
    if field(job, 1, SPLIT) == 0:
        call(job.run_task, (job, like, thread, TURN, 0))
    else:
        run_phase(job, like, thread, TURN, 0, turn_tasks(job))
    if t > 0:
        scale_deltas(job, like, 1, t - 1, c)


@kernel
def finish_turn(job: Job, like: Reals) -> None:
    """Add the tasks' summands, the corrections and the biases to the second layer's outputs."""
    t, width, memory = job.sample, field(job, 1, WIDTH_OUT), reals(like, job.tiles)
    z, D = layer_memory(job, memory, 1, OUTPUTS, t), layer_memory(job, memory, 1, DELTAS, 0)
    first = turn_outputs(job, like, 0)
    products = advance(first, width)
    copy(z, first, width)
    for task in range(1, turn_tasks(job)):
        summand = turn_outputs(job, like, task)
        add_multiple(width, 1.0, summand, z)
        add_multiple(t, 1.0, advance(summand, width), products)
    call(job.add_rows, (t, width, D, width, products, z))
    finish_units(job, 1, z, job.scale, 0, width)


@kernel
def clear(x: Reals, n: int) -> None:
    """Write n zeros."""
    for j in range(n):
        x[j] = real(x, 0.0)


@kernel
def start_units(job: Job, like: Reals, begin: int, units: int, corrections: Reals, z: Reals) -> None:
    """Compute the corrections of some units' deltas for the last sample, and a W / s for the next one.

    Of the latter's corrections the last sample's is missing.
    """
    t, width, memory = job.sample, field(job, 0, WIDTH_OUT), reals(like, job.tiles)
    A = advance(layer_memory(job, memory, 0, OUTPUTS, 0), begin)
    D = advance(layer_memory(job, memory, 0, DELTAS, 0), begin)
    clear(corrections, units)
    call(job.add_rows, (t - 1, units, A, width, delta_products(job, like), corrections))
    if t < job.tile_count:
        copy(z, advance(A, t * width), units)
        if field(job, 0, SPLIT) != 0:
            add_multiple(units, 1.0, advance(second_part(job, like, 0, t), begin), z)
        call(job.add_rows, (t - 1, units, D, width, gram_part(job, like, 0, t), z))


@kernel
def turn_block(job: Job, begin: int, width: int, sums: Reals, corrections: Reals, z: Reals) -> None:
    """Go from the last sample's sums in some units, whole vectors, to its deltas, and on to their outputs."""
    t, stride, memory = job.sample, field(job, 0, WIDTH_OUT), reals(sums, job.tiles)
    outputs = advance(layer_memory(job, memory, 0, OUTPUTS, t), begin)
    deltas = advance(layer_memory(job, memory, 0, DELTAS, t - 1), begin)
    last, next = 1 if t > 0 else 0, 1 if t < job.tile_count else 0
    # b += s_t D: the bias, which is not shrunk, takes the step of a weight whose input is 1
    overlap = real(sums, 0.0)
    if last + next == 2:
        overlap = gram_part(job, sums, 0, t)[t - 1] + real(sums, 1.0)
    turn_vectors(
        field(job, 0, N_OUT) - begin, width, activation_of(job, 0), slope_of(job, 0), job.scale, last, next,
        job.delta_scale, overlap, sums, corrections, advance(outputs, -stride), z,
        advance(reals(sums, field(job, 0, BIAS)), begin), deltas, outputs,
    )  # fmt: skip


@kernel
def turn_units(job: Job, like: Reals, thread: int, task: int) -> None:
    """Take a task's units of the first layer from the last sample to the next."""
    t, width_in, width = job.sample, field(job, 1, WIDTH_IN), field(job, 1, WIDTH_OUT)
    memory, count = reals(like, job.tiles), lanes(like)
    begin, end = part_of(job, 1, N_IN, task // job.turned)
    begin, end = share_of(like, begin, end, task % job.turned, job.turned)
    units, block = padded(like, end - begin), 8 if 8 * width * element_bytes(like) <= BLOCK_BYTES else 4
    A = advance(layer_memory(job, memory, 0, OUTPUTS, 0), begin)
    D = advance(layer_memory(job, memory, 0, DELTAS, 0), begin)
    delta, W = layer_memory(job, memory, 1, DELTAS, t - 1), reals(like, field(job, 1, PACKED))
    sums, out = thread_scratch(job, like, thread), turn_outputs(job, like, task)
    corrections = advance(sums, width_in)
    z = advance(corrections, width_in)
    start_units(job, like, begin, units, corrections, z)
    clear(sums, units)
    clear(out, width)
    for j in range(0, end - begin, block):
        rows, first, W_j = min(block, end - begin - j), j // count * count, advance(W, (begin + j) * width)
        if t > 0:
            call(job.dots, (rows, width, W_j, width, delta, advance(sums, j)))
        turned = padded(like, j + rows) - first
        turn_block(
            job, begin + first, turned, advance(sums, first), advance(corrections, first), advance(z, first)
        )  # fmt: skip
        if t < job.tile_count:
            add_rows_and_ask(rows, width, W_j, width, advance(A, t * width_in + j), out)
    if t > 0:
        add_multiple(units, job.scale, advance(D, (t - 1) * width_in), advance(reals(like, field(job, 0, BIAS)), begin))
    if t < job.tile_count:
        call(job.dots, (t, units, A, width_in, advance(A, t * width_in), advance(out, width)))
