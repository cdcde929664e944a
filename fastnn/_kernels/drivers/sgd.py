"""Exact stochastic gradient descent in blocks of samples; the derivation is in docs/exact-sgd.md.

Weights are stored as U = W / s, with the factor that the penalty shrinks them by, s_{t+1} = s_t (1 - alpha_t l2).
Within a block those of a large layer stay as they were, U_0. With c_u = alpha_u / s_{u+1} the weights before step t are

    W_t = s_t (U_0 - sum_{u < t} c_u a_u^T delta_u),

so that z_t = s_t (a_t U_0 - sum_{u < t} c_u (a_t . a_u) delta_u) + b_t: one product for the whole block in the first
layer, where a_t is given, and small corrections. At its end the block's updates are one product again. These are the
steps of one-at-a-time descent, in other order of additions. A small layer takes its update at once instead (U_t =
W_t / s_t changes by -c_t a_t^T delta_t). The walk through the samples is in walk.py.
"""

from __future__ import annotations

from fastnn._kernels.drivers.block import block_inputs, block_row, gram_part, is_gathered
from fastnn._kernels.drivers.language import Job, Reals
from fastnn._kernels.drivers.layers import layer_memory, padded
from fastnn._kernels.drivers.primitives import ADD, ASSIGN, GRAM_ROWS
from fastnn._kernels.drivers.rows import copy_row, prefetch_sample
from fastnn._kernels.drivers.shared import groups_of, part_of, second_part
from fastnn._kernels.drivers.update import block_at
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import (
    BIAS,
    BIASES,
    DEFERRED,
    DELTAS,
    N_IN,
    N_OUT,
    OUTPUTS,
    PACKED,
    TRANSPOSED,
    WEIGHTS,
    WIDTH_IN,
    WIDTH_OUT,
    call,
    field,
    real,
    reals,
)
from fastnn._kernels.numba.simd import advance, copy


@kernel
def prepare_sample(job: Job, like: Reals, t: int) -> None:
    """Copy a row of the next block to the others."""
    copy_row(job, block_row(job, like, 1 - job.parity, t), job.next_start + t, 0, job.n_inputs)
    ahead = job.next_start + job.next_count + t
    if ahead < job.samples:
        prefetch_sample(job, like, ahead)


@kernel
def prepare(job: Job, like: Reals) -> None:
    """Prepare the next block's samples, unless the walk takes its rows where they are."""
    if is_gathered(job):
        for t in range(job.next_count):
            prepare_sample(job, like, t)


# In float32 a factor nearer to 1 than some 1e-7 is 1: after so many samples it is far enough, after a block it may not
# be. Calls begin at multiples of so many: whatever their length, the bits are the same.
FOLDED_SAMPLES = 1024


@kernel
def add_gram(job: Job, like: Reals, part: int, member: int, members: int) -> None:
    """Compute a part's summand of the block's Gram matrix, from the columns that it multiplies.

    Of so many members each takes groups of rows, each longer than the one before, in turns.
    """
    width, G = field(job, 0, WIDTH_IN), gram_part(job, like, part, 0)
    begin, end = part_of(job, 0, N_IN, part)
    X = advance(block_inputs(job, like, job.parity), begin)
    for group in range((job.tile_count + GRAM_ROWS - 1) // GRAM_ROWS):
        turn = group % (2 * members)  # forth and back
        if turn == member or turn == 2 * members - 1 - member:
            call(job.gram_rows, (group * GRAM_ROWS, padded(like, end) - begin, X, width, G, job.tile_rows))


@kernel
def project_part(job: Job, like: Reals, task: int) -> None:
    """Compute X W of the block for a part of the inputs and a group of its samples, and a share of its X X^T."""
    groups, width, stride = groups_of(job, 0), field(job, 0, WIDTH_OUT), field(job, 0, WIDTH_IN)
    part, group = task // groups, task % groups
    begin, end = part_of(job, 0, N_IN, part)
    t = group * job.tile_count // groups
    rows = (group + 1) * job.tile_count // groups - t
    Z = layer_memory(job, reals(like, job.tiles), 0, OUTPUTS, t) if part == 0 else second_part(job, like, 0, t)
    X, W = advance(block_inputs(job, like, job.parity), t * stride + begin), reals(like, field(job, 0, PACKED))
    W = advance(W, begin * width)
    call(job.multiply, (rows, width, end - begin, X, stride, 1, W, width, Z, width, ASSIGN, Z))
    add_gram(job, like, part, group, groups)


@kernel
def factor_to_fold(job: Job) -> float:
    """Return the factor of the penalty that goes into the weights at this block's end; 1: it is carried on."""
    folds = job.next_count == 0 or job.next_start % FOLDED_SAMPLES == 0 or job.scale < 0.5
    return job.scale if folds else 1.0


@kernel
def add_updates(job: Job, like: Reals, task: int) -> None:
    """Apply the block's deferred updates to rows of one layer's weights; scale them by what is folded of the factor."""
    layer, begin, end = block_at(job, task)
    memory, folded = reals(like, job.tiles), real(like, job.folded)
    width_in, width = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
    D = layer_memory(job, memory, layer, DELTAS, 0)
    A = block_inputs(job, like, job.parity)
    if layer > 0:
        A = layer_memory(job, memory, layer - 1, OUTPUTS, 0)
    if field(job, layer, TRANSPOSED) == 0:
        a_row, B, columns = width_in, D, width
        M = advance(reals(like, field(job, layer, PACKED)), begin * width)
    else:
        A, a_row, B, columns = D, width, A, width_in
        M = advance(reals(like, field(job, layer, TRANSPOSED)), begin * width_in)
    if field(job, layer, DEFERRED):
        call(
            job.multiply,
            (end - begin, columns, job.tile_count, advance(A, begin), 1, a_row, B, columns, M, columns, ADD, M),
        )
    if job.folded != 1.0:
        for i in range((end - begin) * columns):
            M[i] *= folded


@kernel
def store_weights(job: Job, like: Reals) -> None:
    """Copy padded and transposed weights, and padded biases, back into the parameters."""
    theta = reals(like, job.parameters)
    for layer in range(job.layers):
        n_in, n_out = field(job, layer, N_IN), field(job, layer, N_OUT)
        width_in, width = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
        W, b = advance(theta, field(job, layer, WEIGHTS)), advance(theta, field(job, layer, BIASES))
        packed, bias = reals(like, field(job, layer, PACKED)), reals(like, field(job, layer, BIAS))
        if field(job, layer, TRANSPOSED) != 0:
            call(job.transpose, (n_out, n_in, reals(like, field(job, layer, TRANSPOSED)), width_in, W, n_out))
        elif n_out != width:
            for i in range(n_in):
                copy(advance(W, i * n_out), advance(packed, i * width), n_out)
        if n_out != width:
            copy(b, bias, n_out)
