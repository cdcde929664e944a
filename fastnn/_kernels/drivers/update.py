"""From a block of the gradient's sums to the parameters: the optimizer's step, or the gradient written out.

g is the gradient of the mean loss plus l2 theta; the sums are the gradient times the number of samples.
"""

from __future__ import annotations

from fastnn._kernels.drivers.language import Job, Real, Reals
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import (
    BIAS,
    BIASES,
    FLIPPED,
    N_IN,
    N_OUT,
    PACKED,
    SUMS,
    TRANSPOSED,
    WEIGHTS,
    WIDTH_IN,
    WIDTH_OUT,
    call,
    field,
    integers,
    real,
    reals,
)
from fastnn._kernels.numba.sample import add_multiple
from fastnn._kernels.numba.simd import advance, copy, lanes, move
from fastnn._kernels.numba.update import update


@kernel
def write_gradient(theta: Reals, sums: Reals, gradient: Reals, n: int, scale: Real, l2: Real) -> None:
    """Write the gradient of n parameters."""
    for i in range(n):
        gradient[i] = scale * sums[i] + l2 * theta[i]


@kernel
def apply(job: Job, offset: int, n: int, sums: Reals, is_weight: bool) -> None:
    """Take the step of parameters offset .. offset + n, or write their gradient."""
    theta = advance(reals(sums, job.parameters), offset)
    if job.training:
        first = advance(reals(sums, job.state), offset)
        update(job, sums, theta, first, advance(first, job.n_parameters), n, is_weight)
        return
    scale, l2 = real(theta, job.scale), real(theta, job.l2 if is_weight else 0.0)
    write_gradient(theta, sums, advance(reals(sums, job.gradient), offset), n, scale, l2)


@kernel
def refresh(job: Job, like: Reals, layer: int, begin: int, end: int) -> None:
    """Bring the padded and the transposed copies of rows begin .. end of a layer's weights up to date."""
    n_in, n_out = field(job, layer, N_IN), field(job, layer, N_OUT)
    width_in, width_out = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
    theta = reals(like, job.parameters)
    W, b = advance(theta, field(job, layer, WEIGHTS)), advance(theta, field(job, layer, BIASES))
    if n_out != width_out:
        packed = reals(like, field(job, layer, PACKED))
        for i in range(begin, min(end, n_in)):
            copy(advance(packed, i * width_out), advance(W, i * n_out), n_out)
        if end > n_in:
            copy(reals(like, field(job, layer, BIAS)), b, n_out)
    if layer > 0 and field(job, layer, TRANSPOSED) != 0:
        transposed, last = advance(reals(like, field(job, layer, TRANSPOSED)), begin), min(end, n_in)
        call(job.transpose, (last - begin, n_out, advance(W, begin * n_out), n_out, transposed, width_in))


@kernel
def block_at(job: Job, task: int) -> tuple[int, int, int]:
    """Return a task's block of the gradient: its layer, its first row and the one after its last."""
    entry = advance(integers(job.block_table), 3 * task)
    return entry[0], entry[1], entry[2]


@kernel
def unflip(job: Job, sums: Reals, layer: int, begin: int, end: int) -> Reals:
    """Lay columns begin .. end of a layer's flipped sums out as its weights lie in the parameters; return where."""
    n_out, width_in, flipped = field(job, layer, N_OUT), field(job, layer, WIDTH_IN), advance(sums, begin)
    if n_out == 1:
        return flipped
    rows = advance(sums, n_out * width_in + lanes(sums) + begin * n_out)
    call(job.transpose, (n_out, end - begin, flipped, width_in, rows, n_out))
    return rows


@kernel
def finish_block(job: Job, sums: Reals, layer: int, begin: int, end: int) -> None:
    """Use the finished sums of rows begin .. end of a layer; the row after the weights is the biases'."""
    n_in, n_out, width = field(job, layer, N_IN), field(job, layer, N_OUT), field(job, layer, WIDTH_OUT)
    G, flipped = advance(sums, field(job, layer, SUMS)), field(job, layer, FLIPPED)
    last = min(end, n_in)
    if end > n_in:  # before the rows above it move
        bias = n_out * field(job, layer, WIDTH_IN) if flipped else n_in * width
        apply(job, field(job, layer, BIASES), n_out, advance(G, bias), False)
    rows = unflip(job, G, layer, begin, last) if flipped else advance(G, begin * width)
    if n_out != width and not flipped:
        for i in range(1, last - begin):
            move(advance(rows, i * n_out), advance(rows, i * width), n_out)
    apply(job, field(job, layer, WEIGHTS) + begin * n_out, (last - begin) * n_out, rows, True)
    if job.training:
        refresh(job, sums, layer, begin, end)


@kernel
def add_parts(job: Job, sums: Reals, chunks: int, start: int, n: int) -> None:
    """Add the other chunks' n sums from ``start`` on to the first's: those of a pair, then the pairs in order.

    The last vector may take padding along.
    """
    total = advance(sums, start)
    for chunk in range(0, chunks, 2):
        pair = advance(total, chunk * job.sums_size)
        if not job.paired and chunk + 1 < chunks:
            add_multiple(n, 1.0, advance(pair, job.sums_size), pair)
        if chunk > 0:
            add_multiple(n, 1.0, pair, total)


@kernel
def add_chunks(job: Job, sums: Reals, chunks: int, layer: int, begin: int, end: int) -> None:
    """Add the other chunks' sums of a layer's rows begin .. end to the first chunk's."""
    start, width = field(job, layer, SUMS), field(job, layer, WIDTH_OUT)
    if not field(job, layer, FLIPPED):
        add_parts(job, sums, chunks, start + begin * width, (end - begin) * width)
        return
    n_in, n_out, width_in = field(job, layer, N_IN), field(job, layer, N_OUT), field(job, layer, WIDTH_IN)
    for k in range(n_out):
        add_parts(job, sums, chunks, start + k * width_in + begin, min(end, n_in) - begin)
    if end > n_in:
        add_parts(job, sums, chunks, start + n_out * width_in, n_out)
