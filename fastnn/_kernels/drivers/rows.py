"""Rows of X: which sample is visited when, where it lies, and how its numbers come into the network's type.

Kernels multiply rows of X where they lie if these are numbers of the network's type, one row after the other, and are
visited in order. All others, those of another type, scaled ones and those that begin anywhere, are read by `read`
alone, into memory where rows lie together.
"""

from __future__ import annotations

from fastnn._kernels.drivers.language import Job, Reals
from fastnn._kernels.drivers.primitives import AS_STORED
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import call, integers, reals
from fastnn._kernels.numba.simd import advance, copy, element_bytes, prefetch


@kernel
def in_order(job: Job) -> bool:
    """Return whether the samples are visited as they lie."""
    return job.order == 0


@kernel
def in_place(job: Job) -> bool:
    """Return whether the kernels take rows of X where they lie, one after the other: also those of a window."""
    return in_order(job) and (not job.stored or job.window > 0)


@kernel
def sample_at(job: Job, i: int) -> int:
    """Return the row of the data that is visited as the i-th."""
    return i if in_order(job) else integers(job.order)[i]


@kernel
def row(job: Job, like: Reals, i: int) -> Reals:
    """Return the pointer to the row of X that is visited as the i-th, where it need not be read."""
    return advance(reals(like, job.X), sample_at(job, i) * job.n_inputs)


@kernel
def stored_row(job: Job, sample: int, column: int) -> int:
    """Return the address of a column of a sample that must be read."""
    first = sample if job.starts == 0 else integers(job.starts)[sample]
    return job.source_X + first * job.row_bytes + column * job.item_bytes


@kernel
def read(job: Job, target: Reals, sample: int, begin: int, columns: int) -> None:
    """Read columns of a sample, from ``begin`` on, as numbers of the network's type, and scale them."""
    source, means, inverses = stored_row(job, sample, begin), job.means, job.inverses
    if job.format == AS_STORED:
        copy(target, reals(target, source), columns)
    elif means == 0:
        call(job.convert, (job.format, source, target, columns))
    else:
        mean, inverse = advance(reals(target, means), begin), advance(reals(target, inverses), begin)
        call(job.convert_and_scale, (job.format, source, mean, inverse, target, columns))


@kernel
def ask_for(job: Job, like: Reals, sample: int, begin: int, columns: int) -> None:
    """Ask for columns of a sample that must be read."""
    size = element_bytes(like)
    prefetch(reals(like, stored_row(job, sample, begin)), (columns * job.item_bytes + size - 1) // size)


@kernel
def copy_row(job: Job, target: Reals, i: int, begin: int, columns: int) -> None:
    """Copy columns of the row visited as the i-th, from ``begin`` on, to other memory."""
    if job.stored:
        read(job, target, sample_at(job, i), begin, columns)
    else:
        copy(target, advance(row(job, target, i), begin), columns)


@kernel
def prefetch_row(job: Job, like: Reals, i: int, begin: int, columns: int) -> None:
    """Ask for columns of the row visited as the i-th."""
    if job.stored:
        ask_for(job, like, sample_at(job, i), begin, columns)
    else:
        prefetch(advance(row(job, like, i), begin), columns)


@kernel
def prefetch_targets(job: Job, like: Reals, i: int) -> None:
    """Ask for the targets and the weight of the sample that is visited as the i-th."""
    sample = sample_at(job, i)
    if job.labels != 0:
        prefetch(reals(like, job.labels + 8 * sample), 1)
    else:
        prefetch(advance(reals(like, job.targets), sample * job.n_targets), job.n_targets)
    if job.weights != 0:
        prefetch(reals(like, job.weights + 8 * sample), 1)


@kernel
def prefetch_sample(job: Job, like: Reals, i: int) -> None:
    """Ask for the sample that is visited as the i-th: rows in random order are a cache miss each."""
    prefetch_row(job, like, i, 0, job.n_inputs)
    prefetch_targets(job, like, i)


@kernel
def gather(job: Job, like: Reals, A: Reals, stride: int, first: int, rows: int, begin: int, end: int) -> None:
    """Copy columns begin .. end of the rows visited from the first-th on together; ask for the thread's next ones."""
    if in_place(job):
        return
    columns = end - begin
    for r in range(rows):
        copy_row(job, advance(A, r * stride + begin), first + r, begin, columns)
        ahead = first + r + job.rows_ahead
        if ahead < job.samples and not in_order(job):
            prefetch_row(job, like, ahead, begin, columns)
            if begin == 0:
                prefetch_targets(job, like, ahead)
