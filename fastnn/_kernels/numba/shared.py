"""A tile that all threads share.

Its rows are divided among them. Layers with large weights, the first ``job.divided``, are divided by their units: a
part of a layer's inputs is a column of its input and a row of its weights. The layer's product is the sum of two parts'
products, a + b in this order whoever computed them: the first goes where the layer's outputs will be, the second into
memory of its own. Whoever needs a unit's output adds the two.
"""

from __future__ import annotations

from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.layers import (
    add_gradient,
    backward,
    forward,
    gather,
    input_stride,
    inputs,
    layer_memory,
    padded,
)
from fastnn._kernels.numba.memory import (
    ACTIVATION,
    BIAS,
    DELTAS,
    FLIPPED,
    N_IN,
    N_OUT,
    OUTPUTS,
    PACKED,
    SPLIT,
    START,
    SUMS,
    WIDTH_IN,
    WIDTH_OUT,
    call,
    field,
    numbers,
    reals,
)
from fastnn._kernels.numba.multiply import BIAS as FROM_BIAS
from fastnn._kernels.numba.outputs import output_deltas
from fastnn._kernels.numba.simd import add, advance, lanes, load, store
from fastnn._kernels.numba.tile import ADD, ASSIGN
from fastnn._kernels.numba.update import block_at, finish_block

SHARED = START  # the thread whose tile all share


@kernel
def parts_of(job, layer):
    """Return into how many parts a layer is divided."""
    return 1 if field(job, layer, SPLIT) == 0 else 2


@kernel
def groups_of(job, layer):
    """Return into how many groups, of rows or of units, each part is divided, so that every thread has one."""
    parts = parts_of(job, layer)
    return (job.threads + parts - 1) // parts


@kernel
def part_of(job, layer, side, part):
    """Return the first unit of a part of one side of a layer, N_IN or N_OUT, and the one after its last."""
    split, n = field(job, layer, SPLIT), field(job, layer, side)
    return (0, split) if part == 0 and split > 0 else (split, n)


@kernel
def share_of(like, begin, end, group, groups):
    """Return a group's share of begin .. end, in whole vectors."""
    vectors = (end - begin + lanes(like) - 1) // lanes(like)
    first, last = group * vectors // groups, (group + 1) * vectors // groups
    return begin + first * lanes(like), min(begin + last * lanes(like), end)


@kernel
def inputs_of_part(job, like, begin, row):
    """Return the pointer to row ``row`` of the network's inputs, for columns of the part with ``begin``; the stride.

    Gathered rows lie together in each part: a core's prefetcher runs past the columns that it reads, and would take the
    other thread's away from its core.
    """
    if job.order == 0 or job.divided == 0:
        return inputs(job, like, SHARED, job.tile_start, row), input_stride(job)
    split, width = field(job, 0, SPLIT), field(job, 0, WIDTH_IN)
    A = reals(like, job.gathered)
    if split == 0:
        return advance(A, row * width), width
    if begin < split:
        return advance(A, row * split), split
    return advance(A, job.tile_rows * split + row * (width - split) - split), width - split


@kernel
def second_part(job, like, layer, row):
    """Return the pointer to the second part's product of a layer; layers take turns with the memory."""
    start = (layer & 1) * job.partials_size + row * field(job, layer, WIDTH_OUT)
    return advance(reals(like, job.partials), start)


@kernel
def finish_parts(job, memory, layer, row, rows, begin, end):
    """Turn the two parts of Z into outputs of units begin .. end, whose number is one of whole vectors."""
    width, activation, slope = field(job, layer, WIDTH_OUT), field(job, layer, ACTIVATION), numbers(job.slopes)[layer]
    Z, second = layer_memory(job, memory, layer, OUTPUTS, row), second_part(job, memory, layer, row)
    for r in range(rows):
        z = advance(Z, r * width)
        if field(job, layer, SPLIT) != 0:
            for j in range(begin, end, lanes(memory)):
                store(z, j, add(load(z, j), load(second, r * width + j)))
        if layer < job.layers - 1:
            call(job.activate, (activation, slope, advance(z, begin), end - begin))


@kernel
def multiply_part(job, like, task):
    """Compute a part of a layer's product for a group of rows, from the inputs' own columns."""
    layer, memory = job.layer, reals(like, job.tiles)
    groups, width = groups_of(job, layer), field(job, layer, WIDTH_OUT)
    part, group = task // groups, task % groups
    row = group * job.tile_count // groups
    rows = (group + 1) * job.tile_count // groups - row
    begin, end = part_of(job, layer, N_IN, part)
    if layer == 0:
        A, stride = inputs_of_part(job, like, begin, row)
        gather(job, like, A, stride, job.tile_start + row, rows, begin, end)
    else:
        A, stride = layer_memory(job, memory, layer - 1, OUTPUTS, row), field(job, layer, WIDTH_IN)
        finish_parts(job, memory, layer - 1, row, rows, begin, padded(memory, end))
    Z, mode = layer_memory(job, memory, layer, OUTPUTS, row), FROM_BIAS
    if part > 0:
        Z, mode = second_part(job, like, layer, row), ASSIGN
    A, W = advance(A, begin), advance(reals(like, field(job, layer, PACKED)), begin * width)
    b = reals(like, field(job, layer, BIAS))
    call(job.multiply, (rows, width, end - begin, A, stride, 1, W, width, Z, width, mode, b))


@kernel
def pass_rows(job, like, thread, task):
    """Take some rows through the layers that are not divided, the output and the loss, and back."""
    memory, row, divided = reals(like, job.tiles), task * job.task_rows, job.divided
    rows, first = min(job.task_rows, job.tile_count - row), job.tile_start + row
    if divided == 0:
        A, stride = inputs(job, like, SHARED, job.tile_start, row), input_stride(job)
        gather(job, like, A, stride, first, rows, START, job.n_inputs)
    else:
        A, stride = layer_memory(job, memory, divided - 1, OUTPUTS, row), field(job, divided - 1, WIDTH_OUT)
        finish_parts(job, memory, divided - 1, row, rows, START, stride)
    forward(job, memory, divided, A, stride, row, rows)
    output_deltas(job, thread, memory, row, rows, first, advance(numbers(job.row_losses), row))
    backward(job, memory, divided, row, rows)


@kernel
def thread_scratch(job, like, thread):
    """Return the pointer to a thread's own memory: a block's transposed weights, then its gradient, or vectors."""
    return advance(reals(like, job.scratch), thread * job.scratch_size)


@kernel
def deltas_below(job, memory, thread, layer, begin, end):
    """Compute the deltas of the units of the layer below with weights begin .. end.

    The block is transposed anew for each tile, in cache. A transposed copy of the layer would leave no room there for
    the weights: batches of 100 of 64-1024-1024-10 took 1.33 times as long, 784-512-512-10 1.02 times.
    """
    width_in, width, depth = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT), field(job, layer, N_OUT)
    units, W_T = padded(memory, end - begin), thread_scratch(job, memory, thread)
    W = advance(reals(memory, field(job, layer, PACKED)), begin * width)
    # columns after the block's are whatever was there: nobody reads what comes of them
    call(job.transpose, (end - begin, depth, W, width, W_T, units))
    delta, below = layer_memory(job, memory, layer, DELTAS, START), layer_memory(job, memory, layer - 1, DELTAS, START)
    A, C = advance(layer_memory(job, memory, layer - 1, OUTPUTS, START), begin), advance(below, begin)
    call(job.multiply, (job.tile_count, units, depth, delta, width, 1, W_T, units, C, width_in, ASSIGN, C))
    activation, slope = field(job, layer - 1, ACTIVATION), numbers(job.slopes)[layer - 1]
    for r in range(job.tile_count):
        a, delta_in = advance(A, r * width_in), advance(C, r * width_in)
        call(job.multiply_by_derivative, (activation, slope, a, delta_in, units))


@kernel
def block_sums(job, like, thread, layer, begin):
    """Return the pointer to the gradient that a block is added to, as if all of it was there.

    A step of one tile needs no more than the block: it goes where the thread's last block was, which is still in cache.
    """
    if job.tile_count < job.batch_rows or field(job, layer, FLIPPED):
        return reals(like, job.sums)
    return advance(thread_scratch(job, like, thread), -(field(job, layer, SUMS) + begin * field(job, layer, WIDTH_OUT)))


@kernel
def add_block(job, like, thread, task):
    """Take the tile through a block of a layer's weights: the deltas below, if they are not there, and the gradient.

    After a step's last tile the gradient is used.
    """
    layer, begin, end = block_at(job, task)
    memory, n_in = reals(like, job.tiles), field(job, layer, N_IN)
    if 0 < layer < job.divided and begin < n_in:
        deltas_below(job, memory, thread, layer, begin, min(end, n_in))
    A, stride = inputs_of_part(job, like, begin, START)
    sums = block_sums(job, like, thread, layer, begin)
    mode = ASSIGN if job.tile_start == job.batch_start else ADD
    add_gradient(job, memory, A, stride, layer, begin, end, job.tile_count, sums, mode)
    if job.tile_start + job.tile_count == job.batch_start + job.batch_rows:
        finish_block(job, sums, layer, begin, end)
