"""Exact stochastic gradient descent in blocks of samples; the derivation is in docs/exact-sgd.md.

Within a block the weights of a large layer stay as they were, W_0. With c_u = alpha_u / s_{u+1} and the factor that the
penalty has shrunk the weights by, s_{t+1} = s_t (1 - alpha_t l2), the weights before step t are

    W_t = s_t (W_0 - sum_{u < t} c_u a_u^T delta_u),

so that z_t = s_t (a_t W_0 - sum_{u < t} c_u (a_t . a_u) delta_u) + b_t: one product for the whole block in the first
layer, where a_t is given, and small corrections. At its end the block's updates are one product again. These are the
steps of one-at-a-time descent, in other order of additions. A small layer takes its update at once instead (U_t =
W_t / s_t changes by -c_t a_t^T delta_t).

Layers after the first are kept transposed, (n_out, width_in): forward is a dot product with each row.
"""

from __future__ import annotations

from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.layers import layer_memory, output_deltas, prefetch_sample, sample_at
from fastnn._kernels.numba.memory import (
    ACTIVATION,
    BIAS,
    BIASES,
    DEFERRED,
    DELTAS,
    N_IN,
    N_OUT,
    ONE,
    OUTPUTS,
    PACKED,
    START,
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
from fastnn._kernels.numba.multiply import ADD, ASSIGN
from fastnn._kernels.numba.simd import advance, copy

PANEL = 64  # columns of the first layer that a task takes


@kernel
def scratch(job, like, part):
    """Return the pointer to one of the walk's vectors: 0 corrections, 1 the scaled delta."""
    return advance(reals(like, job.scratch), part * job.scratch_size)


@kernel
def block_inputs(job, like, parity):
    """Return the pointer to the gathered rows of a block: the one under way, or the next."""
    return advance(reals(like, job.gathered), parity * job.tile_rows * field(job, 0, WIDTH_IN))


@kernel
def block_gram(job, like, parity):
    """Return the pointer to the Gram matrix of a block."""
    return advance(reals(like, job.gram), parity * job.tile_rows * job.tile_rows)


@kernel
def prepare(job, like):
    """Gather the next block's rows, and compute the product of each with those before it."""
    parity, width = 1 - job.parity, field(job, 0, WIDTH_IN)
    X, G, source = block_inputs(job, like, parity), block_gram(job, like, parity), reals(like, job.X)
    for t in range(job.next_count):
        x, row = advance(X, t * width), advance(source, sample_at(job, job.next_start + t) * job.n_inputs)
        copy(x, row, job.n_inputs)
        ahead = job.next_start + job.next_count + t
        if ahead < job.samples:
            prefetch_sample(job, like, sample_at(job, ahead))
        if field(job, 0, DEFERRED):
            call(job.dots, (t, width, X, width, x, advance(G, t * job.tile_rows)))


@kernel
def project_panel(job, like, task):
    """Compute X W of the block for a panel of the first layer's columns."""
    width, stride = field(job, 0, WIDTH_OUT), field(job, 0, WIDTH_IN)
    begin = task * PANEL
    Z = advance(layer_memory(job, reals(like, job.tiles), 0, OUTPUTS, START), begin)
    W = advance(reals(like, field(job, 0, PACKED)), begin)
    X, cols = block_inputs(job, like, job.parity), min(PANEL, width - begin)
    call(job.multiply, (job.tile_count, cols, field(job, 0, N_IN), X, stride, 1, W, width, Z, width, ASSIGN, Z))


@kernel
def correct(job, like, t, products, D, width, z):
    """Add -sum_{u < t} c_u products_u D_u to z; the products are used up."""
    rates = numbers(job.block_rates)
    for u in range(t):
        products[u] *= real(like, -rates[u])
    call(job.multiply, (1, width, t, products, 0, 1, D, width, z, width, ADD, z))


@kernel
def walk_forward(job, like, t, scale):
    """Take sample t of the block through the network as far as Z_L."""
    memory = reals(like, job.tiles)
    for layer in range(job.layers):
        width = field(job, layer, WIDTH_OUT)
        z, D = layer_memory(job, memory, layer, OUTPUTS, t), layer_memory(job, memory, layer, DELTAS, START)
        if layer == 0:
            if field(job, 0, DEFERRED):
                correct(job, like, t, advance(block_gram(job, like, job.parity), t * job.tile_rows), D, width, z)
            else:
                x = advance(block_inputs(job, like, job.parity), t * field(job, 0, WIDTH_IN))
                W = reals(like, field(job, 0, PACKED))
                call(job.multiply, (1, width, field(job, 0, N_IN), x, 0, 1, W, width, z, width, ASSIGN, z))
        else:
            width_in = field(job, layer, WIDTH_IN)
            A = layer_memory(job, memory, layer - 1, OUTPUTS, START)
            a, V = advance(A, t * width_in), reals(like, field(job, layer, TRANSPOSED))
            call(job.dots, (field(job, layer, N_OUT), width_in, V, width_in, a, z))
            if field(job, layer, DEFERRED):
                products = scratch(job, like, 0)
                call(job.dots, (t, width_in, A, width_in, a, products))
                correct(job, like, t, products, D, width, z)
        b, s = reals(like, field(job, layer, BIAS)), real(like, scale)
        for j in range(width):
            z[j] = s * z[j] + b[j]
        if layer < job.layers - 1:
            call(job.activate, (field(job, layer, ACTIVATION), numbers(job.slopes)[layer], z, width))
            for j in range(field(job, layer, N_OUT), width):
                z[j] = 0  # sigmoid(0) is not: the padding must not enter products of outputs


@kernel
def walk_backward(job, like, t, scale):
    """Compute the hidden layers' deltas of sample t."""
    memory = reals(like, job.tiles)
    for layer in range(job.layers - 1, 0, -1):
        width_in, width = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
        A, D = layer_memory(job, memory, layer - 1, OUTPUTS, START), layer_memory(job, memory, layer, DELTAS, START)
        delta, below = advance(D, t * width), layer_memory(job, memory, layer - 1, DELTAS, t)
        V, n_out = reals(like, field(job, layer, TRANSPOSED)), field(job, layer, N_OUT)
        call(job.multiply, (1, width_in, n_out, delta, 0, 1, V, width_in, below, width_in, ASSIGN, below))
        if field(job, layer, DEFERRED):
            products = scratch(job, like, 0)
            call(job.dots, (t, width, D, width, delta, products))
            correct(job, like, t, products, A, width_in, below)
        if scale != 1.0:
            s = real(like, scale)
            for j in range(width_in):
                below[j] *= s
        slope, a = numbers(job.slopes)[layer - 1], advance(A, t * width_in)
        call(job.multiply_by_derivative, (field(job, layer - 1, ACTIVATION), slope, a, below, width_in))


@kernel
def walk_update(job, like, t, rate, c):
    """Update every bias, and the weights of the layers that are not deferred."""
    memory, scaled = reals(like, job.tiles), scratch(job, like, 1)
    for layer in range(job.layers):
        width, width_in = field(job, layer, WIDTH_OUT), field(job, layer, WIDTH_IN)
        delta, b = layer_memory(job, memory, layer, DELTAS, t), reals(like, field(job, layer, BIAS))
        alpha, factor = real(like, rate), real(like, -c)
        for j in range(width):
            b[j] -= alpha * delta[j]
            scaled[j] = factor * delta[j]
        if field(job, layer, DEFERRED):
            continue
        if layer == 0:
            x, W = advance(block_inputs(job, like, job.parity), t * width_in), reals(like, field(job, 0, PACKED))
            call(job.multiply, (field(job, 0, N_IN), width, 1, x, 1, 0, scaled, width, W, width, ADD, W))
        else:
            a = layer_memory(job, memory, layer - 1, OUTPUTS, t)
            V, n_out = reals(like, field(job, layer, TRANSPOSED)), field(job, layer, N_OUT)
            call(job.multiply, (n_out, width_in, 1, scaled, 1, 0, a, width_in, V, width_in, ADD, V))


@kernel
def walk(job, like):
    """Go through the block's samples in order; return the factor that the penalty has shrunk the weights by."""
    memory, scale = reals(like, job.tiles), 1.0
    for t in range(job.tile_count):
        step = job.tile_start + t
        rate = numbers(job.rates)[step * job.rate_stride]
        walk_forward(job, like, t, scale)
        output_deltas(job, memory, t, ONE, step, advance(numbers(job.losses), step))
        walk_backward(job, like, t, scale)
        scale *= 1 - rate * job.l2
        numbers(job.block_rates)[t] = rate / scale
        walk_update(job, like, t, rate, rate / scale)
    return scale


@kernel
def add_updates(job, like, task):
    """Apply the block's deferred updates to rows of one layer's weights; scale all weights by the penalty's factor."""
    entry = advance(integers(job.block_table), 3 * task)
    layer, begin, end = entry[0], entry[1], entry[2]
    memory, scale = reals(like, job.tiles), real(like, job.scale)
    width_in, width = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
    D = layer_memory(job, memory, layer, DELTAS, START)
    if layer == 0:
        A, a_row, B, columns = block_inputs(job, like, job.parity), width_in, D, width
        M = advance(reals(like, field(job, 0, PACKED)), begin * width)
    else:
        A, a_row, B, columns = D, width, layer_memory(job, memory, layer - 1, OUTPUTS, START), width_in
        M = advance(reals(like, field(job, layer, TRANSPOSED)), begin * width_in)
    if field(job, layer, DEFERRED):
        call(
            job.multiply,
            (end - begin, columns, job.tile_count, advance(A, begin), 1, a_row, B, columns, M, columns, ADD, M),
        )
    if job.scale != 1.0:
        for i in range((end - begin) * columns):
            M[i] *= scale


@kernel
def scale_deltas(job, like):
    """Multiply each sample's deltas of the deferred layers by -c, as the updates have them."""
    memory, rates = reals(like, job.tiles), numbers(job.block_rates)
    for layer in range(job.layers):
        if field(job, layer, DEFERRED):
            width = field(job, layer, WIDTH_OUT)
            for t in range(job.tile_count):
                delta, c = layer_memory(job, memory, layer, DELTAS, t), real(like, -rates[t])
                for j in range(width):
                    delta[j] *= c


@kernel
def store_weights(job, like):
    """Copy padded and transposed weights, and padded biases, back into the parameters."""
    theta = reals(like, job.parameters)
    for layer in range(job.layers):
        n_in, n_out = field(job, layer, N_IN), field(job, layer, N_OUT)
        width_in, width = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
        W, b = advance(theta, field(job, layer, WEIGHTS)), advance(theta, field(job, layer, BIASES))
        packed, bias = reals(like, field(job, layer, PACKED)), reals(like, field(job, layer, BIAS))
        if layer > 0:
            V = reals(like, field(job, layer, TRANSPOSED))
            for i in range(n_in):
                for j in range(n_out):
                    W[i * n_out + j] = V[j * width_in + i]
        elif n_out != width:
            for i in range(n_in):
                for j in range(n_out):
                    W[i * n_out + j] = packed[i * width + j]
        if n_out != width:
            for j in range(n_out):
                b[j] = bias[j]
