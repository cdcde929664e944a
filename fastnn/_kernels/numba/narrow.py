"""Steps of per-sample descent in a narrow network: one hidden layer of one or two vectors, and one output."""

from __future__ import annotations

from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.elementwise import activated, times_derivative
from fastnn._kernels.numba.memory import integers, real, reals
from fastnn._kernels.numba.sample import dot, project_columns
from fastnn._kernels.numba.simd import (
    LEVEL,
    advance,
    fill,
    first_lanes,
    lanes,
    load,
    multiply_add,
    prefetch,
    stack_memory,
    store,
    total,
)

TWO_VECTORS = 2 * LEVEL.bits // 8  # bytes


@kernel
def sample_at(order, i):
    """Return the row of the data that is visited as the i-th."""
    return integers(order)[i] if order != 0 else i


@kernel(forceinline=True)  # by LLVM, which folds the number of vectors into it
def walk_vectors(
    vectors, start, count, n_in, n, activation, slope, output_activation, rates, rate_stride, l2, scale, X, order,
    targets, weights, W, bias, V, output_bias, deltas, logits, ahead, samples, asked, asked_bytes,
):  # fmt: skip
    """Take samples one after the other; return the weights' factor."""
    width, z = vectors * lanes(W), stack_memory(W, TWO_VECTORS)
    last, zero, slopes = width - lanes(W), fill(real(W, 0.0)), fill(real(W, slope))
    b0, b1, v0, v1, top = load(bias, 0), load(bias, last), load(V, 0), load(V, last), output_bias[0]
    c, before = 0.0, advance(X, sample_at(order, start) * n_in)
    for t in range(start, start + count):
        if t + ahead < samples:
            later = sample_at(order, t + ahead)
            prefetch(advance(X, later * n_in), n_in)
            prefetch(reals(W, asked + later * asked_bytes), 1)
        rate, x, s = rates[t * rate_stride], advance(X, sample_at(order, t) * n_in), real(W, scale)
        overlap, factor = fill(dot(before, x, n_in)), fill(real(W, -c))
        project_columns(vectors, n_in, width, before, x, overlap, deltas, factor, W, z)
        a0 = first_lanes(activated(activation, multiply_add(fill(s), load(z, 0), b0), slopes), n)
        a1, products = a0, multiply_add(a0, v0, zero)
        if vectors == 2:
            a1 = first_lanes(activated(activation, multiply_add(fill(s), load(z, last), b1), slopes), n - last)
            products = multiply_add(a1, v1, products)
        logit = s * total(products) + top
        error = activated(output_activation, logit, real(W, 0.0)) - targets[t - start]
        shrunk, rate = scale * (1 - rate * l2), rate * weights[t - start]
        c = rate / shrunk
        factor, change, alpha = fill(s * error), fill(real(W, -c) * error), fill(real(W, -rate))
        delta = times_derivative(activation, a0, multiply_add(factor, v0, zero), slopes)
        v0, b0 = multiply_add(change, a0, v0), multiply_add(alpha, delta, b0)
        store(deltas, 0, delta)
        if vectors == 2:
            delta = times_derivative(activation, a1, multiply_add(factor, v1, zero), slopes)
            v1, b1 = multiply_add(change, a1, v1), multiply_add(alpha, delta, b1)
            store(deltas, last, delta)
        top -= real(W, rate) * error
        logits[t - start] = logit
        before, scale = x, shrunk
    if vectors == 2:
        store(bias, last, b1)
        store(V, last, v1)
    store(bias, 0, b0)
    store(V, 0, v0)
    output_bias[0] = top
    return scale


@kernel
def walk_narrow(
    start, count, n_in, n, width, activation, slope, output_activation, rates, rate_stride, l2, scale, X, order,
    targets, weights, W, bias, V, output_bias, deltas, logits, ahead, samples, asked, asked_bytes,
):  # fmt: skip
    """Take samples one after the other; return the weights' factor."""
    if width == lanes(W):
        return walk_vectors(
            1, start, count, n_in, n, activation, slope, output_activation, rates, rate_stride, l2, scale, X, order,
            targets, weights, W, bias, V, output_bias, deltas, logits, ahead, samples, asked, asked_bytes,
        )  # fmt: skip
    return walk_vectors(
        2, start, count, n_in, n, activation, slope, output_activation, rates, rate_stride, l2, scale, X, order,
        targets, weights, W, bias, V, output_bias, deltas, logits, ahead, samples, asked, asked_bytes,
    )  # fmt: skip
