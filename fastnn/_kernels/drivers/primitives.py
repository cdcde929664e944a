"""The table of primitives: what drivers call, and each side computes in vectors of its own.

In C a function of the same name, with the arguments in this order, is compiled once for each SIMD level, and a table of
them is chosen at run time; its type comes from here. In Numba `functions.PRIMITIVES` holds them. ``Given`` is a pointer
whose numbers are only read.

All widths are whole vectors, ``n`` of them units and the rest padding, unless something else is said.
"""

from __future__ import annotations

from fastnn._kernels.drivers.language import Given, Integers, Numbers, Real, Reals

# The modes of `multiply`: C = A B, C += A B, C = bias + A B; and the last for an A whose rows lie together and come
# from memory, not a cache: while a tile computes with some rows it asks for the next (784-128-10, full batch: 4 %).
ASSIGN, ADD, FROM_BIAS, BIAS_FROM_MEMORY = range(4)
GRAM_ROWS = 4  # of a call of `gram_rows`
# What rows of X may hold. Those that are stored as the kernels take them, of the network's type and not to be scaled,
# need no conversion.
AS_STORED, UINT8, INT8, UINT16, INT16, UINT32, INT32, UINT64, INT64, FLOAT16, FLOAT32, FLOAT64 = range(12)

SPARSE_PIECE = 256  # stored numbers of a sparse sample that are read at a time
DIGIT_BITS = 11  # of columns, by which a tile's stored numbers are sorted
NUMBERS_OF_STEP = 4  # an optimizer's, that are kept for weights whose steps are taken later


def widen(size: int, source: int, target: Integers, n: int) -> None:
    """Copy n whole numbers of 4 or 8 bytes at an address."""


def add_some_rows(
    n: int, units: int, rows: Integers, factors: Given, M: Given, m_row: int, keep: float, scale: float, out: Reals
) -> None:  # fmt: skip
    """Compute out[j] = keep out[j] + scale sum_k factors[k] M[rows[k] m_row + j] for k < n, j < units, any number.

    Each element is one chain of (fused) multiply-adds over k in order. Where keep is 0, out need not be a number.
    """


def take_missed_steps(
    rule: int, variant: float, steps: int, numbers: Numbers, first: float, second: float, l2: float, decay: float,
    n: int, theta: Reals, m1: Reals, m2: Reals,
) -> None:  # fmt: skip
    """Take steps of a rule with moments, of n parameters whose gradient is l2 theta, with the arithmetic of `update`.

    ``numbers`` has four for each step: the rate, the rate over Adam's first correction, 1 over the root of the second,
    and epsilon.
    """


def convert(format: int, source: int, target: Reals, n: int) -> None:
    """Compute target = x of n numbers of a format at an address, each rounded to the network's type."""


def convert_and_scale(format: int, source: int, mean: Given, inverse: Given, target: Reals, n: int) -> None:
    """Compute target = (x - mean) inverse of n numbers of a format at an address, each x rounded first."""


def multiply(
    rows: int, cols: int, depth: int, A: Given, a_row: int, a_depth: int, B: Given, b_depth: int, C: Reals, c_row: int,
    mode: int, bias: Given,
) -> None:  # fmt: skip
    """Compute C[i, j] = init + sum_k A[i a_row + k a_depth] B[k b_depth + j] for i < rows, j < cols, whole vectors.

    Of several rows a_row or a_depth is 1. Each element is one chain of (fused) multiply-adds over k in order, whatever
    tile computes it; where a_row is 0, which stands for one row that is a sum over samples, it may be several.
    """


def dots(rows: int, n: int, M: Given, m_row: int, v: Given, out: Reals) -> None:
    """Compute out[r] = sum_j M[r m_row + j] v[j] for r < rows, j < n, whole vectors."""


def gram_rows(first: int, n: int, X: Given, x_row: int, G: Reals, g_row: int) -> None:
    """Compute G[t, u] = sum_j X[t x_row + j] X[u x_row + j], j < n, whole vectors, for `GRAM_ROWS` rows t.

    They begin with the first, a multiple of `GRAM_ROWS`, and u goes up to the last of them.
    """


def add_rows(rows: int, n: int, M: Given, m_row: int, v: Given, out: Reals) -> None:
    """Compute out[j] += sum_r v[r] M[r m_row + j] for r < rows, j < n, whole vectors; the last rows come first."""


def add_rows_and_ask(rows: int, n: int, M: Given, m_row: int, v: Given, out: Reals) -> None:
    """Compute the same for up to eight rows of M, while half as many of the next are asked for."""


def total_of(values: Given, n: int) -> Real:
    """Return values[0] + ... + values[n - 1], added in an order that depends on n alone; n is any number."""


def transpose(rows: int, cols: int, source: Given, source_row: int, target: Reals, target_row: int) -> None:
    """Compute target[j, i] = source[i, j] for i < rows, j < cols, any numbers."""


def activate(activation: int, slope: float, z: Reals, saved: Reals, n: int) -> None:
    """Compute z = g(z) in place, and what g' needs where it does not follow from the output, for any n."""


def multiply_by_derivative(activation: int, slope: float, saved: Given, delta: Reals, n: int) -> None:
    """Compute delta *= g', taken from what `activate` has saved, or else from its output, for any n."""


def drop_units(
    seed: int, step: int, layer: int, row: int, begin: int, n: int, p: float, a: Reals, saved: Reals
) -> None:  # fmt: skip
    """Multiply units ``begin`` .. begin + n of a row of the batch by dropout's mask: outputs, and saved g'(z).

    The mask is 0 with probability p, 1 / (1 - p) otherwise; `fastnn._kernels.dropout` says which bits decide.
    """


def exp_array(z: Reals, n: int) -> None:
    """Compute z = e^z in place, for any n."""


def log_array(z: Reals, n: int) -> None:
    """Compute z = log z in place, for any n."""


def loss_and_delta(loss: int, z: Reals, y: Given, numbers: Given, value: Reals, n: int) -> None:
    """Compute the loss of each z and its target y, and z = the loss's derivative at z in place, for any n.

    Losses that take a number for each output find it in ``numbers``; others do not read there.
    """


def softmax_columns(K: int, T: Reals) -> None:
    """Compute z = e^z / sum_j e^z_j of as many rows as there are lanes: the k-th vector at T is the k-th z of all."""


def delta_columns(K: int, T: Reals, labels: Reals) -> None:
    """Compute z = softmax_k - [k is the label] at T, and labels = log sum_j e^z_j - z_label, the losses."""


def add_multiple(n: int, factor: float, x: Given, y: Reals) -> None:
    """Compute y += factor x, of n numbers, of which the last vector takes what follows along."""


# Of a sample's step, with W the stored weights, (n_in, width), or V the transposed ones, (n_out, width).


def finish_outputs(
    n: int, width: int, activation: int, slope: float, scale: float, bias: Given, z: Reals
) -> None:  # fmt: skip
    """Compute z = g(scale z + bias) in place, zeros in the padding."""


def update_and_project(
    n_in: int, n: int, width: int, activation: int, slope: float, scale: float, factor: float, before: Given, x: Given,
    delta: Given, W: Reals, bias: Given, z: Reals,
) -> None:  # fmt: skip
    """Compute W += factor before^T delta, the last sample's step; z = g(scale x W + bias) for this one."""


def step_one_output(
    width: int, activation: int, slope: float, output_activation: int, scale: float, rate: float, c: float,
    target: Real, weight: Real, a: Given, V: Reals, bias: Reals, deltas: Reals,
) -> Real:  # fmt: skip
    """Take a layer of one output forward and back; z = scale a . V + bias is returned.

    delta = weight (output(z) - target); deltas = delta scale V * g' of the layer below; V -= c delta a; bias -= rate
    delta.
    """


def multiply_and_update(
    n_out: int, width: int, activation: int, slope: float, scale: float, factor: float, a: Given, delta: Given,
    V: Reals, deltas: Reals,
) -> None:  # fmt: skip
    """Compute deltas = scale delta V * g' of the layer below, whose outputs are a; V += factor delta^T a."""


def finish_deltas(
    width: int, activation: int, slope: float, scale: float, parts: int, a: Given, second: Given, deltas: Reals
) -> None:  # fmt: skip
    """Compute deltas = scale deltas * g' in place; with two parts, scale (deltas + second) * g'."""


def turn_vectors(
    n: int, width: int, activation: int, slope: float, scale: float, last: int, next: int, delta_scale: float,
    overlap: Real, sums: Given, corrections: Given, before: Given, z: Given, bias: Given, deltas: Reals, outputs: Reals,
) -> None:  # fmt: skip
    """Go from the last sample to the next one, if there are any, in some units of the first layer.

    deltas = delta_scale (sums + corrections) * g' of the last outputs, before;
    outputs = g(scale (z + overlap deltas) + bias), zeros in the padding.
    """


def walk_narrow(
    start: int, count: int, n_in: int, n: int, width: int, activation: int, slope: float, output_activation: int,
    rates: Numbers, rate_stride: int, l2: float, scale: float, X: Given, order: int, targets: Given, weights: Numbers,
    W: Reals, bias: Reals, V: Reals, output_bias: Reals, deltas: Reals, logits: Reals, ahead: int, samples: int,
    asked: int, asked_bytes: int,
) -> float:  # fmt: skip
    """Take samples one after the other through a layer of one or two vectors and one output; the factor is returned.

    Each is what `update_and_project` and `step_one_output` do, but for the last one's step in W, with its deltas, which
    are left; weights multiply rates, though not in the penalty. Sample i from ``start`` on is row i of X, or order[i]
    where that address is not 0. Meanwhile the row that comes ``ahead`` samples later is asked for, if there are so
    many, and what belongs to it at ``asked``.
    """
