"""A tile that all threads share.

Its rows are divided among them. Layers with large weights, the first ``job.divided``, are divided by their units: a
part of a layer's inputs is a column of its input and a row of its weights. The layer's product is the sum of two parts'
products, a + b in this order whoever computed them: the first goes where the layer's outputs will be, the second into
memory of its own. Whoever needs a unit's output adds the two.
"""

from __future__ import annotations

from fastnn._kernels.drivers.language import Job, Reals
from fastnn._kernels.drivers.layers import (
    add_gradient,
    backward,
    drop_rows,
    forward,
    inputs,
    layer_memory,
    padded,
)
from fastnn._kernels.drivers.lazy import update_columns
from fastnn._kernels.drivers.outputs import output_deltas
from fastnn._kernels.drivers.primitives import ADD, ASSIGN, FROM_BIAS
from fastnn._kernels.drivers.rows import gather, in_place
from fastnn._kernels.drivers.sparse import add_columns, enter
from fastnn._kernels.drivers.update import block_at, finish_block
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import (
    ACTIVATION,
    BIAS,
    DELTAS,
    DERIVATIVE,
    DROPPED,
    FLIPPED,
    N_IN,
    N_OUT,
    OUTPUTS,
    PACKED,
    SAVED,
    SPLIT,
    SUMS,
    WIDTH_IN,
    WIDTH_OUT,
    call,
    field,
    numbers,
    reals,
)
from fastnn._kernels.numba.sample import add_multiple
from fastnn._kernels.numba.simd import advance, lanes

SHARED = 0  # the thread whose tile all share


@kernel
def parts_of(job: Job, layer: int) -> int:
    """Return into how many parts a layer is divided."""
    return 1 if field(job, layer, SPLIT) == 0 else 2


@kernel
def groups_of(job: Job, layer: int) -> int:
    """Return into how many groups, of rows or of units, each part is divided, so that every thread has one."""
    parts = parts_of(job, layer)
    return (job.threads + parts - 1) // parts


@kernel
def part_of(job: Job, layer: int, side: int, part: int) -> tuple[int, int]:
    """Return the first unit of a part of one side of a layer, N_IN or N_OUT, and the one after its last."""
    split, n = field(job, layer, SPLIT), field(job, layer, side)
    if part == 0 and split > 0:
        return 0, split
    return split, n


@kernel
def share_of(like: Reals, begin: int, end: int, group: int, groups: int) -> tuple[int, int]:
    """Return a group's share of begin .. end, in whole vectors."""
    vectors = (end - begin + lanes(like) - 1) // lanes(like)
    first, last = group * vectors // groups, (group + 1) * vectors // groups
    return begin + first * lanes(like), min(begin + last * lanes(like), end)


@kernel
def inputs_of_part(job: Job, like: Reals, begin: int, tile_row: int) -> tuple[Reals, int]:
    """Return the pointer to a row of the network's inputs, for columns of the part with ``begin``, and the stride.

    Gathered rows lie together in each part: a core's prefetcher runs past the columns that it reads, and would take the
    other thread's away from its core.
    """
    if in_place(job) or job.divided == 0:
        return inputs(job, like, SHARED, job.tile_start, tile_row)
    split, width = field(job, 0, SPLIT), field(job, 0, WIDTH_IN)
    A = reals(like, job.gathered)
    if split == 0:
        return advance(A, tile_row * width), width
    if begin < split:
        return advance(A, tile_row * split), split
    return advance(A, job.tile_rows * split + tile_row * (width - split) - split), width - split


@kernel
def second_part(job: Job, like: Reals, layer: int, tile_row: int) -> Reals:
    """Return the pointer to the second part's product of a layer; layers take turns with the memory."""
    start = (layer & 1) * job.partials_size + tile_row * field(job, layer, WIDTH_OUT)
    return advance(reals(like, job.partials), start)


@kernel
def finish_parts(job: Job, memory: Reals, layer: int, tile_row: int, rows: int, begin: int, end: int) -> None:
    """Turn the two parts of Z into outputs of units begin .. end, whose number is one of whole vectors."""
    width, activation, slope = field(job, layer, WIDTH_OUT), field(job, layer, ACTIVATION), numbers(job.slopes)[layer]
    Z, second = layer_memory(job, memory, layer, OUTPUTS, tile_row), second_part(job, memory, layer, tile_row)
    for r in range(rows):
        z = advance(Z, r * width + begin)
        if field(job, layer, SPLIT) != 0:
            add_multiple(end - begin, 1.0, advance(second, r * width + begin), z)
        if layer < job.layers - 1:
            saved = advance(layer_memory(job, memory, layer, SAVED, tile_row), r * width + begin)
            call(job.activate, (activation, slope, z, saved, end - begin))
            if field(job, layer, DROPPED) and job.backward:
                drop_rows(job, layer, z, saved, width, job.tile_start + tile_row + r, 1, begin, end - begin)


@kernel
def multiply_part(job: Job, like: Reals, task: int) -> None:
    """Compute a part of a layer's product for a group of rows, from the inputs' own columns."""
    layer, memory = job.layer, reals(like, job.tiles)
    groups, width = groups_of(job, layer), field(job, layer, WIDTH_OUT)
    part, group = task // groups, task % groups
    tile_row = group * job.tile_count // groups
    rows = (group + 1) * job.tile_count // groups - tile_row
    begin, end = part_of(job, layer, N_IN, part)
    if layer == 0:
        A, stride = inputs_of_part(job, like, begin, tile_row)
        gather(job, like, A, stride, job.tile_start + tile_row, rows, begin, end)
    else:
        A, stride = layer_memory(job, memory, layer - 1, OUTPUTS, tile_row), field(job, layer, WIDTH_IN)
        finish_parts(job, memory, layer - 1, tile_row, rows, begin, padded(memory, end))
    Z, mode = layer_memory(job, memory, layer, OUTPUTS, tile_row), FROM_BIAS
    if part > 0:
        Z, mode = second_part(job, like, layer, tile_row), ASSIGN
    A, W = advance(A, begin), advance(reals(like, field(job, layer, PACKED)), begin * width)
    b = reals(like, field(job, layer, BIAS))
    call(job.multiply, (rows, width, end - begin, A, stride, 1, W, width, Z, width, mode, b))


@kernel
def pass_rows(job: Job, like: Reals, thread: int, task: int) -> None:
    """Take some rows through the layers that are not divided, the output and the loss, and back."""
    memory, tile_row, divided = reals(like, job.tiles), task * job.task_rows, job.divided
    rows, first = min(job.task_rows, job.tile_count - tile_row), job.tile_start + tile_row
    if divided == 0:
        enter(job, like, SHARED, thread, memory, job.tile_start, tile_row, rows)
    else:
        A, stride = layer_memory(job, memory, divided - 1, OUTPUTS, tile_row), field(job, divided - 1, WIDTH_OUT)
        finish_parts(job, memory, divided - 1, tile_row, rows, 0, stride)
        forward(job, memory, divided, A, stride, tile_row, rows, first)
    output_deltas(job, thread, memory, tile_row, rows, first, advance(numbers(job.row_losses), tile_row))
    backward(job, memory, divided, tile_row, rows)


@kernel
def thread_scratch(job: Job, like: Reals, thread: int) -> Reals:
    """Return the pointer to a thread's own memory: a block's transposed weights, then its gradient, or vectors."""
    return advance(reals(like, job.scratch), thread * job.scratch_size)


@kernel
def deltas_below(job: Job, memory: Reals, thread: int, layer: int, begin: int, end: int) -> None:
    """Compute the deltas of the units of the layer below with weights begin .. end.

    The block is transposed anew for each tile, in cache. A transposed copy of the layer would leave no room there for
    the weights: batches of 100 of 64-1024-1024-10 took 1.33 times as long, 784-512-512-10 1.02 times.
    """
    width_in, width, depth = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT), field(job, layer, N_OUT)
    units, W_T = padded(memory, end - begin), thread_scratch(job, memory, thread)
    W = advance(reals(memory, field(job, layer, PACKED)), begin * width)
    # columns after the block's are whatever was there: nobody reads what comes of them
    call(job.transpose, (end - begin, depth, W, width, W_T, units))
    delta, below = layer_memory(job, memory, layer, DELTAS, 0), layer_memory(job, memory, layer - 1, DELTAS, 0)
    saved, C = advance(layer_memory(job, memory, layer - 1, SAVED, 0), begin), advance(below, begin)
    call(job.multiply, (job.tile_count, units, depth, delta, width, 1, W_T, units, C, width_in, ASSIGN, C))
    derivative, slope = field(job, layer - 1, DERIVATIVE), numbers(job.slopes)[layer - 1]
    for r in range(job.tile_count):
        kept, delta_in = advance(saved, r * width_in), advance(C, r * width_in)
        call(job.multiply_by_derivative, (derivative, slope, kept, delta_in, units))


@kernel
def block_sums(job: Job, like: Reals, thread: int, layer: int, begin: int) -> Reals:
    """Return the pointer to the gradient that a block is added to, as if all of it was there.

    A step of one tile needs no more than the block: it goes where the thread's last block was, which is still in cache.
    """
    if job.tile_count < job.batch_rows or field(job, layer, FLIPPED) or job.clipped:
        return reals(like, job.sums)
    return advance(thread_scratch(job, like, thread), -(field(job, layer, SUMS) + begin * field(job, layer, WIDTH_OUT)))


@kernel
def add_block(job: Job, like: Reals, thread: int, task: int) -> None:
    """Take the tile through a block of a layer's weights: the deltas below, if they are not there, and the gradient.

    After a step's last tile the gradient is used.
    """
    if task >= job.blocks:
        update_columns(job, like, thread_scratch(job, like, thread), task - job.blocks)
        return
    layer, begin, end = block_at(job, task)
    memory, n_in = reals(like, job.tiles), field(job, layer, N_IN)
    if 0 < layer < job.divided and begin < n_in:
        deltas_below(job, memory, thread, layer, begin, min(end, n_in))
    sums = block_sums(job, like, thread, layer, begin)
    mode = ASSIGN if job.tile_start == job.batch_start else ADD
    if job.sparse and layer == 0:
        add_columns(job, sums, begin, end, mode)
    else:
        A, stride = inputs_of_part(job, like, begin, 0)
        add_gradient(job, memory, A, stride, layer, begin, end, job.tile_count, sums, mode)
    if job.tile_start + job.tile_count == job.batch_start + job.batch_rows:
        finish_block(job, thread, sums, task)
