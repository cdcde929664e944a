"""Per-sample descent of a narrow network: one hidden layer of one or two vectors, and one output.

Its chain of steps is all latency, from a sample's delta to the next one's: a call of `walk_narrow` takes all steps of
the block, and what they pass through stays in registers, but for the deltas themselves.
"""

from __future__ import annotations

from fastnn._kernels.drivers.block import block_row, is_gathered, one_output
from fastnn._kernels.drivers.language import Job, Reals
from fastnn._kernels.drivers.layers import layer_memory, slope_of
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


@kernel
def is_narrow(job: Job, like: Reals) -> bool:
    """Return whether the network is one."""
    small = not field(job, 0, DEFERRED) and field(job, 0, WIDTH_OUT) <= 2 * lanes(like)
    return job.layers == 2 and one_output(job) and small


@kernel
def walk_narrow_samples(job: Job, like: Reals) -> float:
    """Take the block's samples one after the other; return the last step's rate relative to the weights' factor."""
    memory, start, count, width = reals(like, job.tiles), job.tile_start, job.tile_count, field(job, 0, WIDTH_OUT)
    logits, deltas = advance(memory, job.compact), layer_memory(job, memory, 0, DELTAS, 0)
    weights, asked, asked_bytes = numbers(job.block_weights), job.targets, job.itemsize
    if job.labels != 0:
        asked, asked_bytes = job.labels, 8
    X, order, samples = reals(like, job.X), job.order, job.samples
    if is_gathered(job):  # then nothing is asked for: the rows are here, and the next ones have been asked for
        X, order, samples = block_row(job, like, job.parity, -start), 0, 0
    job.scale = walk_narrow(
        start, count, job.n_inputs, field(job, 0, N_OUT), width, field(job, 0, ACTIVATION), slope_of(job, 0),
        field(job, 1, ACTIVATION), numbers(job.rates), job.rate_stride, job.l2, job.scale, X, order,
        advance(logits, job.tile_rows), weights, reals(like, field(job, 0, PACKED)),
        reals(like, field(job, 0, BIAS)), reals(like, field(job, 1, TRANSPOSED)), reals(like, field(job, 1, BIAS)),
        deltas, logits, job.tile_rows, samples, asked, asked_bytes,
    )  # fmt: skip
    if count > 1:
        copy(advance(deltas, (count - 1) * width), deltas, width)
    return numbers(job.rates)[(start + count - 1) * job.rate_stride] * weights[count - 1] / job.scale
