"""From a block of the gradient's sums to the parameters: the optimizer's step, or the gradient written out.

g is the gradient of the mean loss plus l2 theta; the sums are the gradient times the number of samples.
"""

from __future__ import annotations

import math

from fastnn._equations import updates
from fastnn._kernels.contract import Rule
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.maps import map_of
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
from fastnn._kernels.numba.simd import advance, lanes

SGD, RMSPROP, ADAMW = int(Rule.SGD), int(Rule.RMSPROP), int(Rule.ADAMW)


@kernel
def write_gradient(theta, sums, gradient, n, scale, l2):
    """Write the gradient of n parameters."""
    for i in range(n):
        gradient[i] = scale * sums[i] + l2 * theta[i]


sgd_map, momentum_map, nesterov_map = map_of(updates.sgd), map_of(updates.momentum), map_of(updates.nesterov)
rmsprop_map, adamw_map = map_of(updates.rmsprop), map_of(updates.adamw)


@kernel
def step_sgd(job, theta, sums, n, scale, l2):
    """Take gradient descent's step of n parameters."""
    sgd_map((sums, theta), (theta,), (job.rate, scale, l2), n)


@kernel
def step_momentum(job, theta, v, sums, n, scale, l2):
    """Take momentum's step of n parameters, or Nesterov's."""
    constants = (job.rate, job.momentum, scale, l2)
    if job.nesterov:
        nesterov_map((sums, theta, v), (theta, v), constants, n)
    else:
        momentum_map((sums, theta, v), (theta, v), constants, n)


@kernel
def step_rmsprop(job, theta, s, sums, n, scale, l2):
    """Take RMSprop's step of n parameters."""
    constants = (job.rate, job.second, 1 - job.second, job.epsilon, scale, l2)
    rmsprop_map((sums, theta, s), (theta, s), constants, n)


@kernel
def step_adam(job, theta, v, s, sums, n, scale, l2, keep):
    """Take Adam's step of n parameters, or AdamW's: without it ``keep`` is 1."""
    rate, correction = job.rate / job.correction1, 1 / math.sqrt(job.correction2)
    beta1, beta2 = job.momentum, job.second
    constants = (rate, beta1, 1 - beta1, beta2, 1 - beta2, job.epsilon, correction, keep, scale, l2)
    adamw_map((sums, theta, v, s), (theta, v, s), constants, n)


@kernel
def apply(job, offset, n, sums, is_weight):
    """Take the step of parameters offset .. offset + n, or write their gradient."""
    theta = advance(reals(sums, job.parameters), offset)
    scale, l2 = real(theta, job.scale), real(theta, job.l2 if is_weight else 0.0)
    if not job.training:
        write_gradient(theta, sums, advance(reals(sums, job.gradient), offset), n, scale, l2)
        return
    first = advance(reals(sums, job.state), offset)
    second = advance(first, job.n_parameters)
    if job.rule == SGD:
        if job.momentum == 0:
            step_sgd(job, theta, sums, n, scale, l2)
        else:
            step_momentum(job, theta, first, sums, n, scale, l2)
    elif job.rule == RMSPROP:
        step_rmsprop(job, theta, first, sums, n, scale, l2)
    else:
        decay = job.rate * job.weight_decay if job.rule == ADAMW and is_weight else 0.0
        step_adam(job, theta, first, second, sums, n, scale, l2, real(theta, 1 - decay))


@kernel
def refresh(job, like, layer, begin, end):
    """Bring the padded and the transposed copies of rows begin .. end of a layer's weights up to date."""
    n_in, n_out = field(job, layer, N_IN), field(job, layer, N_OUT)
    width_in, width_out = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
    theta = reals(like, job.parameters)
    W, b = advance(theta, field(job, layer, WEIGHTS)), advance(theta, field(job, layer, BIASES))
    if n_out != width_out:
        packed = reals(like, field(job, layer, PACKED))
        for i in range(begin, min(end, n_in)):
            for j in range(n_out):
                packed[i * width_out + j] = W[i * n_out + j]
        if end > n_in:
            bias = reals(like, field(job, layer, BIAS))
            for j in range(n_out):
                bias[j] = b[j]
    if layer > 0 and field(job, layer, TRANSPOSED) != 0:
        transposed, last = advance(reals(like, field(job, layer, TRANSPOSED)), begin), min(end, n_in)
        call(job.transpose, (last - begin, n_out, advance(W, begin * n_out), n_out, transposed, width_in))


@kernel
def block_at(job, task):
    """Return a task's block of the gradient: its layer, its first row and the one after its last."""
    entry = advance(integers(job.block_table), 3 * task)
    return entry[0], entry[1], entry[2]


@kernel
def unflip(job, sums, layer, begin, end):
    """Lay columns begin .. end of a layer's flipped sums out as its weights lie in the parameters; return where."""
    n_out, width_in, flipped = field(job, layer, N_OUT), field(job, layer, WIDTH_IN), advance(sums, begin)
    if n_out == 1:
        return flipped
    rows = advance(sums, n_out * width_in + lanes(sums) + begin * n_out)
    call(job.transpose, (n_out, end - begin, flipped, width_in, rows, n_out))
    return rows


@kernel
def finish_block(job, sums, layer, begin, end):
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
            for j in range(n_out):
                rows[i * n_out + j] = rows[i * width + j]
    apply(job, field(job, layer, WEIGHTS) + begin * n_out, (last - begin) * n_out, rows, True)
    if job.training:
        refresh(job, sums, layer, begin, end)


@kernel
def add_parts(job, sums, chunks, start, n):
    """Add the other chunks' n sums from ``start`` on to the first's: those of a pair, then the pairs in order."""
    total = advance(sums, start)
    for chunk in range(0, chunks, 2):
        pair = advance(total, chunk * job.sums_size)
        if not job.paired and chunk + 1 < chunks:
            second = advance(pair, job.sums_size)
            for i in range(n):
                pair[i] += second[i]
        if chunk > 0:
            for i in range(n):
                total[i] += pair[i]


@kernel
def add_chunks(job, sums, chunks, layer, begin, end):
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
