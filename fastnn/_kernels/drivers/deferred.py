"""One sample's way through a layer after the second whose updates are deferred: products, and corrections.

The weights are transposed, (n_out, width_in), and divided by their rows, the layer's units: a part of them gives its
own units' outputs, and its own summand of the deltas below. So each thread reads the same weights forward and back, and
a layer that is too large for one core's cache may fit in those of two.
"""

from __future__ import annotations

from fastnn._kernels.drivers.block import second_deltas
from fastnn._kernels.drivers.language import Job, Reals
from fastnn._kernels.drivers.layers import finish_units, layer_memory, padded
from fastnn._kernels.drivers.shared import groups_of, part_of, share_of, thread_scratch
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import (
    DELTAS,
    N_OUT,
    OUTPUTS,
    SPLIT,
    TRANSPOSED,
    WIDTH_IN,
    WIDTH_OUT,
    call,
    field,
    real,
    reals,
)
from fastnn._kernels.numba.simd import advance


@kernel
def part_and_group(job: Job, layer: int, task: int) -> tuple[int, int, int]:
    """Return the part that a task is about, and which group of how many it is."""
    groups = 1 if field(job, layer, SPLIT) == 0 else groups_of(job, layer)
    return task // groups, task % groups, groups


@kernel
def project_units(job: Job, like: Reals, thread: int, task: int) -> None:
    """Compute the outputs of a group of a part's units."""
    layer, t, memory = job.layer, job.sample, reals(like, job.tiles)
    width_in, width = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
    part, group, groups = part_and_group(job, layer, task)
    begin, end = part_of(job, layer, N_OUT, part)
    begin, end = share_of(like, begin, end, group, groups)
    A, D = layer_memory(job, memory, layer - 1, OUTPUTS, 0), layer_memory(job, memory, layer, DELTAS, 0)
    V, a = reals(like, field(job, layer, TRANSPOSED)), advance(A, t * width_in)
    products, last = thread_scratch(job, like, thread), padded(like, end)
    z = layer_memory(job, memory, layer, OUTPUTS, t)
    call(job.dots, (end - begin, width_in, advance(V, begin * width_in), width_in, a, advance(z, begin)))
    call(job.dots, (t, width_in, A, width_in, a, products))
    call(job.add_rows, (t, last - begin, advance(D, begin), width, products, advance(z, begin)))
    finish_units(job, layer, z, job.scale, begin, last)


@kernel
def sum_deltas(job: Job, like: Reals, thread: int, task: int) -> None:
    """Compute a part's units' summand of a group of the deltas below."""
    layer, t, memory = job.layer, job.sample, reals(like, job.tiles)
    width_in, width = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
    part, group, groups = part_and_group(job, layer, task)
    begin, end = part_of(job, layer, N_OUT, part)
    first, last = share_of(like, 0, width_in, group, groups)
    A, D = layer_memory(job, memory, layer - 1, OUTPUTS, 0), layer_memory(job, memory, layer, DELTAS, 0)
    below = layer_memory(job, memory, layer - 1, DELTAS, t) if part == 0 else second_deltas(job, like)
    sums, products, D = advance(below, first), thread_scratch(job, like, thread), advance(D, begin)
    V, delta = advance(reals(like, field(job, layer, TRANSPOSED)), begin * width_in), advance(D, t * width)
    for j in range(last - first):
        sums[j] = real(like, 0.0)
    call(job.add_rows, (end - begin, last - first, advance(V, first), width_in, delta, sums))
    call(job.dots, (t, padded(like, end) - begin, D, width, delta, products))
    call(job.add_rows, (t, last - first, advance(A, first), width_in, products, sums))
