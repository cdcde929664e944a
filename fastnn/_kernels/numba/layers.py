"""Rows of a tile through the network: gather, forward, backward; then into the gradient.

``memory`` is a tile: it holds each layer's outputs and deltas, units padded to whole vectors, and a compact copy of the
outputs and targets. ``row`` and ``rows`` choose a part of its rows.
"""

from __future__ import annotations

from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import (
    ACTIVATION,
    BIAS,
    DELTAS,
    FLIPPED,
    N_IN,
    N_OUT,
    ONE,
    OUTPUTS,
    PACKED,
    START,
    SUMS,
    TRANSPOSED,
    WIDTH_IN,
    WIDTH_OUT,
    call,
    field,
    integers,
    numbers,
    real,
    reals,
)
from fastnn._kernels.numba.multiply import BIAS as FROM_BIAS
from fastnn._kernels.numba.multiply import BIAS_FROM_MEMORY
from fastnn._kernels.numba.simd import advance, copy, lanes, prefetch
from fastnn._kernels.numba.tile import ASSIGN


@kernel
def sample_at(job, i):
    """Return the row of the data that is visited as the i-th."""
    return integers(job.order)[i] if job.order != 0 else i


@kernel
def inputs(job, like, thread, first, row):
    """Return the pointer to the first layer's inputs for tile row ``row``; sample ``first`` is the tile's row 0."""
    if job.order == 0:
        return advance(reals(like, job.X), (first + row) * job.n_inputs)
    stride = field(job, 0, WIDTH_IN)
    return advance(reals(like, job.gathered), (thread * job.tile_rows + row) * stride)


@kernel
def input_stride(job):
    """Return the elements from one row of the first layer's inputs to the next."""
    return field(job, 0, WIDTH_IN) if job.order != 0 else job.n_inputs


@kernel
def prefetch_targets(job, like, sample):
    """Ask for a sample's targets."""
    if job.labels != 0:
        prefetch(advance(reals(like, job.labels), sample * 8 // job.itemsize), 1)
    else:
        prefetch(advance(reals(like, job.targets), sample * job.n_outputs), job.n_outputs)


@kernel
def prefetch_sample(job, like, sample):
    """Ask for a sample: rows in random order are a cache miss each."""
    prefetch(advance(reals(like, job.X), sample * job.n_inputs), job.n_inputs)
    prefetch_targets(job, like, sample)


@kernel
def gather(job, like, A, stride, first, rows, begin, end):
    """Copy columns begin .. end of the rows visited from the first-th on together; ask for the thread's next ones."""
    if job.order == 0:
        return
    order, X, columns = integers(job.order), reals(like, job.X), end - begin
    for r in range(rows):
        copy(advance(A, r * stride + begin), advance(X, order[first + r] * job.n_inputs + begin), columns)
        ahead = first + r + job.rows_ahead
        if ahead < job.samples:
            prefetch(advance(X, order[ahead] * job.n_inputs + begin), columns)
            if begin == 0:
                prefetch_targets(job, like, order[ahead])


@kernel
def layer_memory(job, memory, layer, column, row):
    """Return the pointer to a layer's outputs or deltas of tile row ``row``."""
    return advance(memory, field(job, layer, column) + row * field(job, layer, WIDTH_OUT))


@kernel
def single_outputs(job, layer, A, stride, rows, Z):
    """Compute Z of a single output behind a hidden layer: a dot product a row."""
    call(job.dots, (rows, stride, A, stride, reals(A, field(job, layer, TRANSPOSED)), Z))
    bias = reals(A, field(job, layer, BIAS))[0]
    for r in range(rows):
        Z[r] += bias


@kernel
def forward(job, memory, first, A, stride, row, rows):
    """Compute the outputs of the layers from ``first`` on, whose input is A; the last layer's are left as Z_L."""
    for layer in range(first, job.layers):
        width = field(job, layer, WIDTH_OUT)
        Z = layer_memory(job, memory, layer, OUTPUTS, row)
        W, b = reals(memory, field(job, layer, PACKED)), reals(memory, field(job, layer, BIAS))
        if width == 1:
            single_outputs(job, layer, A, stride, rows, Z)
        else:
            mode = BIAS_FROM_MEMORY if layer == 0 and job.order == 0 else FROM_BIAS
            call(job.multiply, (rows, width, field(job, layer, N_IN), A, stride, 1, W, width, Z, width, mode, b))
        if layer < job.layers - 1:
            call(job.activate, (field(job, layer, ACTIVATION), numbers(job.slopes)[layer], Z, rows * width))
        A, stride = Z, width


@kernel
def backward(job, memory, first, row, rows):
    """Compute the deltas below the layers from ``first`` on: delta_l = (delta_{l+1} W^T) * g'(A_l)."""
    for layer in range(job.layers - 1, max(first, 1) - 1, -1):
        width_in, width_out = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
        delta_out = layer_memory(job, memory, layer, DELTAS, row)
        delta_in = layer_memory(job, memory, layer - 1, DELTAS, row)
        A = layer_memory(job, memory, layer - 1, OUTPUTS, row)
        W_T, depth = reals(memory, field(job, layer, TRANSPOSED)), field(job, layer, N_OUT)
        call(
            job.multiply,
            (rows, width_in, depth, delta_out, width_out, 1, W_T, width_in, delta_in, width_in, ASSIGN, delta_in),
        )
        slope = numbers(job.slopes)[layer - 1]
        call(job.multiply_by_derivative, (field(job, layer - 1, ACTIVATION), slope, A, delta_in, rows * width_in))


@kernel(fastmath={"contract", "nsz", "reassoc"})
def total_of(values, n):
    """Return the sum of n numbers, added in several chains."""
    total = real(values, 0.0)
    for i in range(n):
        total += values[i]
    return total


@kernel
def padded(like, n):
    """Return n rounded up to whole vectors."""
    return (n + lanes(like) - 1) // lanes(like) * lanes(like)


@kernel
def add_flipped_gradient(job, A, stride, layer, delta, sums, begin, end, rows, mode):
    """Add delta^T A to columns begin .. end of a layer's flipped sums; the biases' come after its rows."""
    n_in, n_out, width = field(job, layer, N_IN), field(job, layer, N_OUT), field(job, layer, WIDTH_OUT)
    C, count = advance(sums, begin), padded(A, min(end, n_in) - begin)
    next_output = ONE if n_out > 1 else START  # the stride between outputs; 0 lets the sum be several chains
    call(job.multiply, (n_out, count, rows, delta, next_output, width, advance(A, begin), stride, C, stride, mode, C))
    if end > n_in:
        C = advance(sums, n_out * stride)
        if width == 1:
            total = total_of(delta, rows)
            C[0] = total if mode == ASSIGN else C[0] + total
        else:
            add_bias_gradient(job, delta, width, rows, C, mode)


@kernel
def add_bias_gradient(job, delta, width, rows, C, mode):
    """Add the rows of delta to C: A^T of ones, both of whose strides are 0."""
    call(job.multiply, (1, width, rows, reals(delta, job.one), 0, 0, delta, width, C, width, mode, C))


@kernel
def add_gradient(job, memory, A, stride, layer, begin, end, rows, sums, mode):
    """Add A^T delta of a tile to rows begin .. end of a layer's sums; the row after the weights is the biases'.

    ``A`` is the tile's first-layer input; ``mode`` ASSIGN begins a sum.
    """
    n_in, width = field(job, layer, N_IN), field(job, layer, WIDTH_OUT)
    if layer > 0:
        A, stride = layer_memory(job, memory, layer - 1, OUTPUTS, START), field(job, layer, WIDTH_IN)
    delta = layer_memory(job, memory, layer, DELTAS, START)
    C = advance(sums, field(job, layer, SUMS))
    if field(job, layer, FLIPPED):
        add_flipped_gradient(job, A, stride, layer, delta, C, begin, end, rows, mode)
        return
    C = advance(C, begin * width)
    weights = min(end, n_in) - begin
    call(job.multiply, (weights, width, rows, advance(A, begin), 1, stride, delta, width, C, width, mode, C))
    if end > n_in:
        add_bias_gradient(job, delta, width, rows, advance(C, weights * width), mode)
