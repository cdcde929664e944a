"""From a block of the gradient's sums to the parameters: the optimizer's step, or the gradient written out.

g is the gradient of the mean loss plus l2 theta; the sums are the gradient times the number of samples.
"""

from __future__ import annotations

from math import sqrt

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
    numbers,
    real,
    reals,
)
from fastnn._kernels.numba.sample import add_multiple
from fastnn._kernels.numba.simd import advance, copy, lanes, move
from fastnn._kernels.numba.update import update

PRODUCTS = 1024  # added in their type
SMALLEST_SCALE_INVERSE = 1 << 20  # of an input: its size stays at least one by this, so that W = V / s is finite


@kernel
def write_gradient(theta: Reals, sums: Reals, gradient: Reals, n: int, scale: Real, l2: Real) -> None:
    """Write the gradient of n parameters."""
    for i in range(n):
        gradient[i] = scale * sums[i] + l2 * theta[i]


@kernel
def shrink(theta: Reals, n: int, change: Real) -> None:
    """Bring n parameters nearer to 0, and no further: the proximal step of the penalty l1 sum |theta|."""
    for i in range(n):
        theta[i] -= max(-change, min(theta[i], change))


@kernel
def approach(theta: Reals, average: Reals, n: int, share: Real) -> None:
    """Take averages of n parameters a share of the way to them."""
    for i in range(n):
        average[i] += share * (theta[i] - average[i])


@kernel
def factor_of(job: Job, layer: int, column: int) -> float:
    """Return a layer's factor of the rate for weights (0) or biases (1), or of the decay (2)."""
    return 1.0 if job.factors == 0 else numbers(job.factors)[3 * layer + column]


@kernel
def sum_of_products(job: Job, thread: int, u: Reals, v: Reals, n: int) -> float:
    """Return the sum of n products: of some at a time in their type, of those sums in float64."""
    total, whole, one = 0.0, n // lanes(v) * lanes(v), advance(reals(v, job.logits), thread * job.logits_size)
    for i in range(0, whole, PRODUCTS):
        call(job.dots, (1, min(PRODUCTS, whole - i), advance(u, i), 0, advance(v, i), one))
        total += one[0]
    for i in range(whole, n):
        total += u[i] * v[i]
    return total


@kernel
def multiply_by(theta: Reals, n: int, factor: Real) -> None:
    """Multiply n parameters."""
    for i in range(n):
        theta[i] *= factor


@kernel
def step_scaled(
    job: Job, thread: int, begin: int, rows: int, sums: Reals, V: Reals, first: Reals,
    rate: float, scale: float, l2: float, decay: float,
) -> None:  # fmt: skip
    """Take the step of rows V = s W of the first layer's weights: W's, whose gradient is s times V's, and that of s.

    The gradient of s is the product of W's row and V's. It goes where sums have been used, a number a row.
    """
    n_out, s = field(job, 0, N_OUT), advance(reals(sums, job.input_scale), begin)
    smallest = 1.0 / SMALLEST_SCALE_INVERSE
    for i in range(rows):
        W, g, m = advance(V, i * n_out), advance(sums, i * n_out), advance(first, i * n_out)
        multiply_by(W, n_out, real(W, 1.0 / s[i]))
        slope = scale * sum_of_products(job, thread, W, g, n_out)
        if l2 > 0.0:
            slope += l2 * s[i] * sum_of_products(job, thread, W, W, n_out)
        second = advance(m, job.n_parameters)
        update(job, g, W, m, second, n_out, rate, scale * s[i], l2 * s[i] * s[i], decay)
        sums[i] = slope
    m = advance(s, job.n_inputs)
    update(job, sums, s, m, advance(m, job.n_inputs), rows, job.rate * job.input_factor, 1.0, 0.0, 0.0)
    for i in range(rows):
        if -smallest < s[i] and s[i] < smallest:
            s[i] = -smallest if s[i] < 0.0 else smallest
        multiply_by(advance(V, i * n_out), n_out, s[i])


@kernel
def apply(job: Job, thread: int, layer: int, offset: int, n: int, sums: Reals, is_weight: bool) -> None:
    """Take the step of parameters offset .. offset + n of a layer, or write their gradient."""
    theta = advance(reals(sums, job.parameters), offset)
    scale, l2 = job.scale, job.l2 if is_weight else 0.0
    if job.clipped:  # the sums are the gradient by now
        scale, l2 = job.clipped_to, 0.0
    if not job.training:
        gradient = advance(reals(sums, job.gradient), offset)
        write_gradient(theta, sums, gradient, n, real(theta, scale), real(theta, l2))
        return
    first, rate = advance(reals(sums, job.state), offset), job.rate * factor_of(job, layer, 0 if is_weight else 1)
    decay = job.weight_decay * factor_of(job, layer, 2) if is_weight else 0.0
    if is_weight and layer == 0 and job.input_scale != 0:
        n_out, begin = field(job, 0, N_OUT), offset - field(job, 0, WEIGHTS)
        step_scaled(job, thread, begin // n_out, n // n_out, sums, theta, first, rate, scale, l2, decay)
    else:
        update(job, sums, theta, first, advance(first, job.n_parameters), n, rate, scale, l2, decay)
    if is_weight and job.l1 > 0.0:
        shrink(theta, n, real(theta, rate * job.l1))
    if job.average != 0 and job.average_rate != 0.0:
        approach(theta, advance(reals(sums, job.average), offset), n, real(theta, job.average_rate))


@kernel
def refresh(job: Job, like: Reals, layer: int, begin: int, end: int) -> None:
    """Bring the padded and the transposed copies of rows begin .. end of a layer's weights up to date."""
    n_in, n_out = field(job, layer, N_IN), field(job, layer, N_OUT)
    width_in, width_out = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
    theta = reals(like, job.parameters)
    W, b = advance(theta, field(job, layer, WEIGHTS)), advance(theta, field(job, layer, BIASES))
    if n_out != width_out and not (job.sparse and layer == 0):
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
def bias_sums(job: Job, G: Reals, layer: int) -> Reals:
    """Return the pointer to the biases' sums in those of a layer."""
    n_in, n_out = field(job, layer, N_IN), field(job, layer, N_OUT)
    return advance(
        G, n_out * field(job, layer, WIDTH_IN) if field(job, layer, FLIPPED) else n_in * field(job, layer, WIDTH_OUT)
    )


@kernel
def rows_laid_out(job: Job, G: Reals, layer: int, begin: int) -> Reals:
    """Return the pointer to where the sums of a layer's rows from ``begin`` on lie as the weights do."""
    n_out, width_in = field(job, layer, N_OUT), field(job, layer, WIDTH_IN)
    if not field(job, layer, FLIPPED):
        return advance(G, begin * field(job, layer, WIDTH_OUT))
    return advance(G, begin) if n_out == 1 else advance(G, n_out * width_in + lanes(G) + begin * n_out)


@kernel
def lay_out(job: Job, G: Reals, layer: int, begin: int, end: int) -> None:
    """Lay the sums of a layer's rows out as its weights lie in the parameters: without padding, and not flipped."""
    n_out, width, rows = field(job, layer, N_OUT), field(job, layer, WIDTH_OUT), rows_laid_out(job, G, layer, begin)
    if not field(job, layer, FLIPPED):
        if n_out != width:
            for i in range(1, end - begin):
                move(advance(rows, i * n_out), advance(rows, i * width), n_out)
    elif n_out > 1:
        call(job.transpose, (n_out, end - begin, advance(G, begin), field(job, layer, WIDTH_IN), rows, n_out))


@kernel
def use_block(job: Job, thread: int, G: Reals, layer: int, begin: int, end: int) -> None:
    """Use the laid out sums of rows begin .. end of a layer; the row after the weights is the biases'."""
    n_in, n_out = field(job, layer, N_IN), field(job, layer, N_OUT)
    if end > n_in:
        apply(job, thread, layer, field(job, layer, BIASES), n_out, bias_sums(job, G, layer), False)
    offset, rows = field(job, layer, WEIGHTS) + begin * n_out, rows_laid_out(job, G, layer, begin)
    apply(job, thread, layer, offset, (min(end, n_in) - begin) * n_out, rows, True)
    if job.training:
        refresh(job, G, layer, begin, end)


@kernel
def measure_block(job: Job, thread: int, G: Reals, task: int) -> None:
    """Turn a block's laid out sums into the gradient, with its penalty, and note the sum of its squares."""
    layer, begin, end = block_at(job, task)
    n_in, n_out, theta = field(job, layer, N_IN), field(job, layer, N_OUT), reals(G, job.parameters)
    n, rows, total = (min(end, n_in) - begin) * n_out, rows_laid_out(job, G, layer, begin), 0.0
    W, scale, l2 = advance(theta, field(job, layer, WEIGHTS) + begin * n_out), real(G, job.scale), real(G, job.l2)
    write_gradient(W, rows, rows, n, scale, l2)
    if end > n_in:
        b, sums = advance(theta, field(job, layer, BIASES)), bias_sums(job, G, layer)
        write_gradient(b, sums, sums, n_out, scale, real(G, 0.0))
        total = sum_of_products(job, thread, sums, sums, n_out)
    numbers(job.norms)[task] = total + sum_of_products(job, thread, rows, rows, n)


@kernel
def finish_block(job: Job, thread: int, sums: Reals, task: int) -> None:
    """Use the finished sums of a block, or only measure them."""
    layer, begin, end = block_at(job, task)
    G = advance(sums, field(job, layer, SUMS))
    lay_out(job, G, layer, begin, min(end, field(job, layer, N_IN)))
    if job.clipped:
        measure_block(job, thread, G, task)
    else:
        use_block(job, thread, G, layer, begin, end)


@kernel
def update_block(job: Job, like: Reals, thread: int, task: int) -> None:
    """Use a block that has been measured."""
    layer, begin, end = block_at(job, task)
    use_block(job, thread, advance(reals(like, job.sums), field(job, layer, SUMS)), layer, begin, end)


@kernel
def limit_norm(job: Job) -> None:
    """Set the factor that scales a gradient of a larger norm to the largest one."""
    total = 0.0
    for task in range(job.blocks):
        total += numbers(job.norms)[task]
    norm = sqrt(total)
    job.clipped_to = job.clip_norm / norm if norm > job.clip_norm else 1.0


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
