"""The turn from one sample to the next in the second layer, if its updates are deferred: one pass over its weights.

Row j of the weights, those of the first layer's unit j, gives the last sample's delta of that unit; times the unit's
output for the next sample it is then added to the second layer's outputs. Of the last sample's deltas in the first
layer that output needs its own unit's alone: the product of the inputs is known, and corrections go unit by unit. So a
block of rows serves both samples while it is in the first-level cache, which takes half of the traffic from the second
one, and threads, each with its own units, meet once a sample here, not twice.
"""

from __future__ import annotations

import numpy as np

from fastnn._kernels.numba.block import add_second_gram, gram_part, scale_deltas, second_deltas
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.dots import add_rows_and_ask
from fastnn._kernels.numba.elementwise import times_derivative
from fastnn._kernels.numba.layers import layer_memory, padded
from fastnn._kernels.numba.memory import (
    ACTIVATION,
    BIAS,
    DELTAS,
    N_IN,
    ONE,
    OUTPUTS,
    PACKED,
    SPLIT,
    START,
    WIDTH_IN,
    WIDTH_OUT,
    call,
    field,
    real,
    reals,
)
from fastnn._kernels.numba.sample import add_vectors, finish_outputs, outputs_of, slope_of
from fastnn._kernels.numba.shared import part_of, parts_of, second_part, share_of, thread_scratch
from fastnn._kernels.numba.simd import add, advance, copy, element_bytes, fill, lanes, load, multiply_add, store
from fastnn._kernels.numba.team import TURN, run_phase, run_task

TWO = np.int64(2)  # of a type, as those of memory.py
BLOCK_BYTES = 16384  # of eight rows; of longer ones four go together: half of the next block needs room as well


@kernel
def turn_tasks(job):
    """Return into how many tasks a turn is divided: so many summands its outputs have."""
    return parts_of(job, ONE) * job.turned


@kernel
def turn_outputs(job, like, task):
    """Return the pointer to a task's summand of the second layer's outputs, and of the products of the first's."""
    return advance(second_deltas(job, like), task * (field(job, 1, WIDTH_OUT) + job.tile_rows))


@kernel
def delta_products(job, like):
    """Return the pointer to the products of the last sample's deltas in the second layer with the earlier ones."""
    return gram_part(job, like, TWO, START)


@kernel
def start_turn(job, like, t):
    """Compute what all tasks of the turn to sample t need: the factors of their corrections."""
    width, D = field(job, 1, WIDTH_OUT), layer_memory(job, reals(like, job.tiles), ONE, DELTAS, START)
    job.layer, job.sample = 1, t
    if t > 0:
        call(job.dots, (t - 1, width, D, width, advance(D, (t - 1) * width), delta_products(job, like)))
    if t < job.tile_count:
        add_second_gram(job, like, t)


@kernel
def run_turn(job, like, thread, t, c):
    """Take the last sample down through the second layer and sample t up, as far as both are in the block."""
    start_turn(job, like, t)
    if field(job, 1, SPLIT) == 0:
        run_task(job, like, thread, TURN, START)
    else:
        run_phase(job, like, thread, TURN, START, turn_tasks(job))
    if t > 0:
        scale_deltas(job, like, ONE, t - 1, c)


@kernel
def finish_turn(job, like):
    """Add the tasks' summands, the corrections and the biases to the second layer's outputs."""
    t, width, memory = job.sample, field(job, 1, WIDTH_OUT), reals(like, job.tiles)
    z, D = layer_memory(job, memory, ONE, OUTPUTS, t), layer_memory(job, memory, ONE, DELTAS, START)
    first = turn_outputs(job, like, START)
    products = advance(first, width)
    copy(z, first, width)
    for task in range(1, turn_tasks(job)):
        summand = turn_outputs(job, like, task)
        add_vectors(width, summand, z)
        add_vectors(t, advance(summand, width), products)
    call(job.add_rows, (t, width, D, width, products, z))
    finish_outputs(job, like, ONE, z, job.scale, START, width)


@kernel
def clear(x, n):
    """Write n zeros."""
    for j in range(n):
        x[j] = real(x, 0.0)


@kernel
def start_units(job, like, begin, units, corrections, z):
    """Compute the corrections of some units' deltas for the last sample, and a W / s for the next one.

    Of the latter's corrections the last sample's is missing.
    """
    t, width, memory = job.sample, field(job, 0, WIDTH_OUT), reals(like, job.tiles)
    A = advance(layer_memory(job, memory, START, OUTPUTS, START), begin)
    D = advance(layer_memory(job, memory, START, DELTAS, START), begin)
    clear(corrections, units)
    call(job.add_rows, (t - 1, units, A, width, delta_products(job, like), corrections))
    if t < job.tile_count:
        copy(z, advance(A, t * width), units)
        if field(job, 0, SPLIT) != 0:
            add_vectors(units, advance(second_part(job, like, START, t), begin), z)
        call(job.add_rows, (t - 1, units, D, width, gram_part(job, like, START, t), z))


@kernel
def turn_vectors(job, like, begin, first, last, sums, corrections, z):
    """Go from the last sample's sums in units first .. last after ``begin`` to its deltas, and on to their outputs."""
    t, width, memory = job.sample, field(job, 0, WIDTH_OUT), reals(like, job.tiles)
    A, D = layer_memory(job, memory, START, OUTPUTS, t), layer_memory(job, memory, START, DELTAS, t - 1)
    before, activation, slope = advance(A, -width), field(job, 0, ACTIVATION), slope_of(job, like, START)
    delta_scale, zero = fill(real(like, job.delta_scale)), fill(real(like, 0.0))
    # b += s_t D: the bias, which is not shrunk, takes the step of a weight whose input is 1
    overlap = fill(gram_part(job, like, START, t)[t - 1] + real(like, 1.0)) if 0 < t < job.tile_count else zero
    for j in range(first, last, lanes(like)):
        delta = zero
        if t > 0:
            delta = multiply_add(delta_scale, add(load(sums, j), load(corrections, j)), zero)
            delta = times_derivative(activation, load(before, begin + j), delta, slope)
            store(D, begin + j, delta)
        if t < job.tile_count:
            total = multiply_add(overlap, delta, load(z, j))
            store(A, begin + j, outputs_of(job, like, START, begin + j, total, job.scale))


@kernel
def turn_units(job, like, thread, task):
    """Take a task's units of the first layer from the last sample to the next."""
    t, width_in, width = job.sample, field(job, 1, WIDTH_IN), field(job, 1, WIDTH_OUT)
    memory, count = reals(like, job.tiles), lanes(like)
    begin, end = part_of(job, ONE, N_IN, task // job.turned)
    begin, end = share_of(like, begin, end, task % job.turned, job.turned)
    units, block = padded(like, end - begin), 8 if 8 * width * element_bytes(like) <= BLOCK_BYTES else 4
    A = advance(layer_memory(job, memory, START, OUTPUTS, START), begin)
    D = advance(layer_memory(job, memory, START, DELTAS, START), begin)
    delta, W = layer_memory(job, memory, ONE, DELTAS, t - 1), reals(like, field(job, 1, PACKED))
    sums, out = thread_scratch(job, like, thread), turn_outputs(job, like, task)
    corrections = advance(sums, width_in)
    z = advance(corrections, width_in)
    start_units(job, like, begin, units, corrections, z)
    clear(sums, units)
    clear(out, width)
    for j in range(0, end - begin, block):
        rows, first, row = min(block, end - begin - j), j // count * count, advance(W, (begin + j) * width)
        if t > 0:
            call(job.dots, (rows, width, row, width, delta, advance(sums, j)))
        turn_vectors(job, like, begin, first, padded(like, j + rows), sums, corrections, z)
        if t < job.tile_count:
            add_rows_and_ask(rows, width, row, width, advance(A, t * width_in + j), out)
    if t > 0:
        bias, step, scale = reals(like, field(job, 0, BIAS)), advance(D, (t - 1) * width_in), real(like, job.scale)
        for j in range(units):
            bias[begin + j] += scale * step[j]
    if t < job.tile_count:
        call(job.dots, (t, units, A, width_in, advance(A, t * width_in), advance(out, width)))
