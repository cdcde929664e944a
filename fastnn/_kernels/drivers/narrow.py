"""Per-sample descent of a narrow network: one hidden layer of one or two vectors, and one output.

Its chain of steps is all latency, from a sample's delta to the next one's: a call of `walk_narrow` takes several steps,
and what they pass through stays in registers.
"""

from __future__ import annotations

from fastnn._kernels.drivers.block import one_output, row_of
from fastnn._kernels.drivers.language import Job, Reals
from fastnn._kernels.drivers.layers import layer_memory, prefetch_sample, slope_of
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import (
    ACTIVATION,
    BIAS,
    DEFERRED,
    DELTAS,
    N_OUT,
    PACKED,
    TRANSPOSED,
    WIDTH_OUT,
    field,
    numbers,
    reals,
)
from fastnn._kernels.numba.narrow import walk_narrow
from fastnn._kernels.numba.simd import advance, copy, lanes

SAMPLES_OF_PIECE = 4  # so many of the next block are asked for, then so many steps taken


@kernel
def is_narrow(job: Job, like: Reals) -> bool:
    """Return whether the network is one."""
    small = not field(job, 0, DEFERRED) and field(job, 0, WIDTH_OUT) <= 2 * lanes(like)
    return job.layers == 2 and one_output(job) and small


@kernel
def walk_piece(job: Job, like: Reals, first: int, count: int, c: float) -> None:
    """Take samples from the block's sample ``first`` on."""
    memory, start = reals(like, job.tiles), job.tile_start + first
    logits = advance(memory, job.compact + first)
    job.scale = walk_narrow(
        start, count, job.n_inputs, field(job, 0, N_OUT), field(job, 0, WIDTH_OUT), field(job, 0, ACTIVATION),
        slope_of(job, 0), field(job, 1, ACTIVATION), numbers(job.rates), job.rate_stride, job.l2, job.scale, c,
        reals(like, job.X), job.order, row_of(job, like, max(first - 1, 0)), advance(logits, job.tile_rows),
        reals(like, field(job, 0, PACKED)), reals(like, field(job, 0, BIAS)), reals(like, field(job, 1, TRANSPOSED)),
        reals(like, field(job, 1, BIAS)), layer_memory(job, memory, 0, DELTAS, 0), logits,
    )  # fmt: skip


@kernel
def walk_narrow_samples(job: Job, like: Reals) -> float:
    """Take the block's samples one after the other; return the last step's rate relative to the weights' factor."""
    width, c, next_block = field(job, 0, WIDTH_OUT), 0.0, job.tile_start + job.tile_rows
    for first in range(0, job.tile_count, SAMPLES_OF_PIECE):
        count = min(SAMPLES_OF_PIECE, job.tile_count - first)
        for i in range(next_block + first, min(next_block + first + count, job.samples)):
            prefetch_sample(job, like, i)
        walk_piece(job, like, first, count, c)
        c = numbers(job.rates)[(job.tile_start + first + count - 1) * job.rate_stride] / job.scale
    if job.tile_count > 1:
        deltas = layer_memory(job, reals(like, job.tiles), 0, DELTAS, 0)
        copy(advance(deltas, (job.tile_count - 1) * width), deltas, width)
    return c
