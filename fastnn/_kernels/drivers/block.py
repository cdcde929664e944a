"""A block of samples in per-sample descent: its inputs, its Gram matrix, its deltas; and what its network is like."""

from __future__ import annotations

from fastnn._kernels.drivers.language import Job, Reals
from fastnn._kernels.drivers.layers import layer_memory
from fastnn._kernels.drivers.rows import row
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import DEFERRED, DELTAS, SPLIT, WIDTH_IN, WIDTH_OUT, field, real, reals
from fastnn._kernels.numba.sample import add_multiple
from fastnn._kernels.numba.simd import advance


@kernel
def block_inputs(job: Job, like: Reals, parity: int) -> Reals:
    """Return the pointer to the gathered rows of a block: the one under way, or the next."""
    return advance(reals(like, job.gathered), parity * job.tile_rows * field(job, 0, WIDTH_IN))


@kernel
def gram_part(job: Job, like: Reals, part: int, t: int) -> Reals:
    """Return the pointer to row t of a part's summand of the block's Gram matrix."""
    return advance(reals(like, job.gram), (part * job.tile_rows + t) * job.tile_rows)


@kernel
def second_deltas(job: Job, like: Reals) -> Reals:
    """Return the pointer to the second part of the sums that become a sample's deltas, or to a turn's sums."""
    return advance(reals(like, job.partials), job.partials_size)


@kernel
def add_second_gram(job: Job, like: Reals, t: int) -> None:
    """Add the second part of a sample's row of the Gram matrix, if there is one."""
    if field(job, 0, SPLIT) != 0:
        add_multiple(t, 1.0, gram_part(job, like, 1, t), gram_part(job, like, 0, t))


@kernel
def scale_deltas(job: Job, like: Reals, layer: int, t: int, c: float) -> None:
    """Multiply the sample's deltas of a deferred layer by -c, as corrections and the update have them."""
    delta, factor = layer_memory(job, reals(like, job.tiles), layer, DELTAS, t), real(like, -c)
    for j in range(field(job, layer, WIDTH_OUT)):
        delta[j] *= factor


@kernel
def is_gathered(job: Job) -> bool:
    """Return whether a block's rows are copied together before its walk: for products of them, or to be read."""
    return field(job, 0, DEFERRED) or job.stored


@kernel
def block_row(job: Job, like: Reals, parity: int, t: int) -> Reals:
    """Return the pointer to a gathered row of a block; those that only a walk takes have no padding, as in X."""
    stride = field(job, 0, WIDTH_IN) if field(job, 0, DEFERRED) else job.n_inputs
    return advance(block_inputs(job, like, parity), t * stride)


@kernel
def row_of(job: Job, like: Reals, t: int) -> Reals:
    """Return the pointer to the first layer's input of the block's sample t."""
    return block_row(job, like, job.parity, t) if is_gathered(job) else row(job, like, job.tile_start + t)


@kernel
def one_output(job: Job) -> bool:
    """Return whether the network ends in one output behind a hidden layer, whose weights are one vector."""
    return job.layers > 1 and field(job, job.layers - 1, WIDTH_OUT) == 1
