"""Rows of a tile through the network: forward, backward; then into the gradient.

``memory`` is a tile: it holds each layer's outputs and deltas, units padded to whole vectors, and a compact copy of the
outputs and targets. ``tile_row`` and ``rows`` choose a part of its rows.
"""

from __future__ import annotations

from fastnn._kernels.contract import Activation
from fastnn._kernels.drivers.language import Job, Reals
from fastnn._kernels.drivers.primitives import ASSIGN, BIAS_FROM_MEMORY, FROM_BIAS
from fastnn._kernels.drivers.rows import in_place, row
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.dots import total_of
from fastnn._kernels.numba.memory import (
    ACTIVATION,
    BIAS,
    DELTAS,
    DERIVATIVE,
    DROPPED,
    FLIPPED,
    N_IN,
    N_OUT,
    OUTPUTS,
    PACKED,
    SAVED,
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
from fastnn._kernels.numba.sample import finish_outputs
from fastnn._kernels.numba.simd import advance, lanes

IDENTITY, LEAKY_RELU = int(Activation.IDENTITY), int(Activation.LEAKY_RELU)
FROM_OUTPUT = 1  # of DROPPED


@kernel
def inputs(job: Job, like: Reals, thread: int, first: int, tile_row: int) -> tuple[Reals, int]:
    """Return the pointer to the first layer's inputs for a row of the tile, and the elements from there to the next.

    Sample ``first`` is the tile's row 0.
    """
    if in_place(job):
        return row(job, like, first + tile_row), job.n_inputs
    stride = field(job, 0, WIDTH_IN)
    return advance(reals(like, job.gathered), (thread * job.tile_rows + tile_row) * stride), stride


@kernel
def layer_memory(job: Job, memory: Reals, layer: int, column: int, tile_row: int) -> Reals:
    """Return the pointer to a layer's outputs or deltas of a row of the tile."""
    return advance(memory, field(job, layer, column) + tile_row * field(job, layer, WIDTH_OUT))


@kernel
def activation_of(job: Job, layer: int) -> int:
    """Return what a layer's z becomes at once: those of the last one are plain."""
    return field(job, layer, ACTIVATION) if layer < job.layers - 1 else IDENTITY


@kernel
def slope_of(job: Job, layer: int) -> float:
    """Return a layer's slope for z < 0."""
    return numbers(job.slopes)[layer] if field(job, layer, ACTIVATION) == LEAKY_RELU else 0.0


@kernel
def finish_units(job: Job, layer: int, z: Reals, scale: float, begin: int, end: int) -> None:
    """Turn a W / s into outputs begin .. end of a layer."""
    units, bias = field(job, layer, N_OUT) - begin, advance(reals(z, field(job, layer, BIAS)), begin)
    activation, slope = activation_of(job, layer), slope_of(job, layer)
    finish_outputs(units, end - begin, activation, slope, scale, bias, advance(z, begin))


@kernel
def drop_rows(
    job: Job, layer: int, A: Reals, saved: Reals, width: int, first: int, rows: int, begin: int, units: int
) -> None:  # fmt: skip
    """Save g'(z) of units ``begin`` .. begin + units of some rows; while training, drop some of these units.

    A and saved point to the first row's unit ``begin``; sample ``first`` is that row.
    """
    activation, slope, p = field(job, layer, ACTIVATION), slope_of(job, layer), numbers(job.dropouts)[layer]
    for r in range(rows):
        a, kept = advance(A, r * width), advance(saved, r * width)
        if field(job, layer, DROPPED) == FROM_OUTPUT:  # otherwise the activation has saved it
            for j in range(units):
                kept[j] = real(kept, 1.0)
            call(job.multiply_by_derivative, (activation, slope, a, kept, units))
        if job.training:
            row_of_batch, step = first + r - job.batch_start, integers(job.step)[0]
            call(job.drop_units, (job.seed, step, layer, row_of_batch, begin, units, p, a, kept))


@kernel
def single_outputs(job: Job, layer: int, A: Reals, stride: int, rows: int, Z: Reals) -> None:
    """Compute Z of a single output behind a hidden layer: a dot product a row."""
    call(job.dots, (rows, stride, A, stride, reals(A, field(job, layer, TRANSPOSED)), Z))
    bias = reals(A, field(job, layer, BIAS))[0]
    for r in range(rows):
        Z[r] += bias


@kernel
def activate_rows(job: Job, memory: Reals, layer: int, tile_row: int, rows: int, sample: int) -> None:
    """Turn Z of a layer's rows into its outputs in place; the last layer's stay. ``sample`` is the first row's."""
    if layer < job.layers - 1:
        width, Z = field(job, layer, WIDTH_OUT), layer_memory(job, memory, layer, OUTPUTS, tile_row)
        saved = layer_memory(job, memory, layer, SAVED, tile_row)
        call(job.activate, (field(job, layer, ACTIVATION), numbers(job.slopes)[layer], Z, saved, rows * width))
        if field(job, layer, DROPPED) and job.backward:
            drop_rows(job, layer, Z, saved, width, sample, rows, 0, width)


@kernel
def forward(
    job: Job, memory: Reals, first: int, A: Reals, stride: int, tile_row: int, rows: int, sample: int
) -> None:  # fmt: skip
    """Compute the outputs of the layers from ``first`` on, whose input is A; the last layer's are left as Z_L.

    ``sample`` is that of the first row.
    """
    for layer in range(first, job.layers):
        width = field(job, layer, WIDTH_OUT)
        Z = layer_memory(job, memory, layer, OUTPUTS, tile_row)
        W, b = reals(memory, field(job, layer, PACKED)), reals(memory, field(job, layer, BIAS))
        if width == 1:
            single_outputs(job, layer, A, stride, rows, Z)
        else:
            mode = BIAS_FROM_MEMORY if layer == 0 and in_place(job) else FROM_BIAS
            call(job.multiply, (rows, width, field(job, layer, N_IN), A, stride, 1, W, width, Z, width, mode, b))
        activate_rows(job, memory, layer, tile_row, rows, sample)
        A, stride = Z, width


@kernel
def backward(job: Job, memory: Reals, first: int, tile_row: int, rows: int) -> None:
    """Compute the deltas below the layers from ``first`` on: delta_l = (delta_{l+1} W^T) * g'(Z_l)."""
    for layer in range(job.layers - 1, max(first, 1) - 1, -1):
        width_in, width_out = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
        delta_out = layer_memory(job, memory, layer, DELTAS, tile_row)
        delta_in = layer_memory(job, memory, layer - 1, DELTAS, tile_row)
        saved = layer_memory(job, memory, layer - 1, SAVED, tile_row)
        W_T, depth = reals(memory, field(job, layer, TRANSPOSED)), field(job, layer, N_OUT)
        call(
            job.multiply,
            (rows, width_in, depth, delta_out, width_out, 1, W_T, width_in, delta_in, width_in, ASSIGN, delta_in),
        )
        derivative, slope = field(job, layer - 1, DERIVATIVE), numbers(job.slopes)[layer - 1]
        call(job.multiply_by_derivative, (derivative, slope, saved, delta_in, rows * width_in))


@kernel
def padded(like: Reals, n: int) -> int:
    """Return n rounded up to whole vectors."""
    return (n + lanes(like) - 1) // lanes(like) * lanes(like)


@kernel
def add_flipped_gradient(
    job: Job, A: Reals, stride: int, layer: int, delta: Reals, sums: Reals, begin: int, end: int, rows: int, mode: int
) -> None:  # fmt: skip
    """Add delta^T A to columns begin .. end of a layer's flipped sums; the biases' come after its rows."""
    n_in, n_out, width = field(job, layer, N_IN), field(job, layer, N_OUT), field(job, layer, WIDTH_OUT)
    C, count = advance(sums, begin), padded(A, min(end, n_in) - begin)
    next_output = 1 if n_out > 1 else 0  # the stride between outputs; 0 lets the sum be several chains
    call(job.multiply, (n_out, count, rows, delta, next_output, width, advance(A, begin), stride, C, stride, mode, C))
    if end > n_in:
        C = advance(sums, n_out * stride)
        if width == 1:
            total = total_of(delta, rows)
            C[0] = total if mode == ASSIGN else C[0] + total
        else:
            add_bias_gradient(job, delta, width, rows, C, mode)


@kernel
def add_bias_gradient(job: Job, delta: Reals, width: int, rows: int, C: Reals, mode: int) -> None:
    """Add the rows of delta to C: A^T of ones, both of whose strides are 0."""
    call(job.multiply, (1, width, rows, reals(delta, job.one), 0, 0, delta, width, C, width, mode, C))


@kernel
def add_gradient(
    job: Job, memory: Reals, A: Reals, stride: int, layer: int, begin: int, end: int, rows: int, sums: Reals, mode: int
) -> None:  # fmt: skip
    """Add A^T delta of a tile to rows begin .. end of a layer's sums; the row after the weights is the biases'.

    ``A`` is the tile's first-layer input; ``mode`` ASSIGN begins a sum.
    """
    n_in, width = field(job, layer, N_IN), field(job, layer, WIDTH_OUT)
    if layer > 0:
        A, stride = layer_memory(job, memory, layer - 1, OUTPUTS, 0), field(job, layer, WIDTH_IN)
    delta = layer_memory(job, memory, layer, DELTAS, 0)
    C = advance(sums, field(job, layer, SUMS))
    if field(job, layer, FLIPPED):
        add_flipped_gradient(job, A, stride, layer, delta, C, begin, end, rows, mode)
        return
    C = advance(C, begin * width)
    weights = min(end, n_in) - begin
    call(job.multiply, (weights, width, rows, advance(A, begin), 1, stride, delta, width, C, width, mode, C))
    if end > n_in:
        add_bias_gradient(job, delta, width, rows, advance(C, weights * width), mode)
