"""Softmax and its cross entropy: a vector's lanes are that many rows, whose logits a thread takes as columns.

With t the largest z of a row and s the sum of e^(z_j - t) without one that is 1, softmax_k is e^(z_k - t) / (1 + s),
and log sum_j e^z_j is t + log(1 + s): a small loss keeps its digits. A single sample's logits are taken one by one: the
lanes of others would be empty (20-16-3, SGD: 1.3 times as long).
"""

from __future__ import annotations

import math

from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.elementwise import chosen_, exp_of_difference_, inverse_of_1_plus_, larger_, log_of_1_plus_
from fastnn._kernels.numba.layers import sample_at
from fastnn._kernels.numba.memory import call, integers, real, reals
from fastnn._kernels.numba.simd import add, advance, fill, lanes, load, multiply_add, store


@kernel
def logits_memory(job, like, thread):
    """Return the pointer to a thread's logits, as many vectors as the output layer is wide; labels come after them."""
    return advance(reals(like, job.logits), thread * job.logits_size)


@kernel
def top_of(K, T):
    """Return the largest logit of each row."""
    top = load(T, 0)
    for k in range(1, K):
        top = larger_(load(T, k * lanes(T)), top)
    return top


@kernel
def exponentials(K, T, top):
    """Replace each z by e^(z - top); return the sum of all but one that is 1."""
    zero, one = fill(real(T, 0.0)), fill(real(T, 1.0))
    others, ties = zero, fill(real(T, -1.0))
    for k in range(K):
        z = load(T, k * lanes(T))
        e = exp_of_difference_(z, top)
        store(T, k * lanes(T), e)
        others = add(others, chosen_(z, top, zero, e))
        ties = add(ties, chosen_(z, top, one, zero))
    return add(others, ties)


@kernel
def softmax(K, T):
    """Replace each z of K vectors by softmax(z)."""
    inverse, zero = inverse_of_1_plus_(exponentials(K, T, top_of(K, T))), fill(real(T, 0.0))
    for k in range(K):
        store(T, k * lanes(T), multiply_add(load(T, k * lanes(T)), inverse, zero))


@kernel
def delta_columns(K, T, labels):
    """Replace the z of K vectors by softmax(z) minus the labels' ones, and the labels by the losses.

    A label's delta is minus the sum of the others: softmax itself may have rounded to 1.
    """
    label, top, zero = load(labels, 0), top_of(K, T), fill(real(T, 0.0))
    at_label, wrong = top, zero
    for k in range(K):
        at_label = chosen_(label, fill(real(T, k)), load(T, k * lanes(T)), at_label)
    others = exponentials(K, T, top)
    inverse, minus = inverse_of_1_plus_(others), fill(real(T, -1.0))
    store(labels, 0, add(multiply_add(minus, at_label, top), log_of_1_plus_(others)))
    for k in range(K):
        wrong = add(wrong, chosen_(label, fill(real(T, k)), zero, load(T, k * lanes(T))))
    wrong = multiply_add(minus, wrong, zero)
    for k in range(K):
        value = chosen_(label, fill(real(T, k)), wrong, load(T, k * lanes(T)))
        store(T, k * lanes(T), multiply_add(value, inverse, zero))


@kernel
def softmax_rows(job, thread, Z, width, rows, outputs):
    """Write softmax(z) of the rows next to each other."""
    T, K = logits_memory(job, Z, thread), job.n_outputs
    for r in range(0, rows, lanes(Z)):
        n = min(lanes(Z), rows - r)
        call(job.transpose, (n, width, advance(Z, r * width), width, T, lanes(Z)))
        softmax(K, T)
        call(job.transpose, (K, n, T, lanes(Z), advance(outputs, r * K), K))


@kernel
def softmax_deltas(job, thread, Z, width, first, rows, losses):
    """Turn z of the rows visited from the first-th on into softmax minus the labels' ones; write each row's loss."""
    T = logits_memory(job, Z, thread)
    labels = advance(T, width * lanes(Z))
    for r in range(0, rows, lanes(Z)):
        n, z = min(lanes(Z), rows - r), advance(Z, r * width)
        call(job.transpose, (n, width, z, width, T, lanes(Z)))
        for i in range(n):
            labels[i] = integers(job.labels)[sample_at(job, first + r + i)]
        delta_columns(job.n_outputs, T, labels)
        for i in range(n):
            losses[r + i] = labels[i]
        call(job.transpose, (width, n, T, lanes(Z), z, width))


@kernel
def sample_softmax_delta(job, z, sample, loss):
    """Turn z of one sample into softmax minus the label's one, and write its loss."""
    K, label, top = job.n_outputs, integers(job.labels)[sample], z[0]
    for k in range(1, K):
        top = max(top, z[k])
    loss[0] = top - z[label]
    for k in range(K):
        z[k] -= top
    call(job.exp_array, (z, K))
    total, others = 0.0, 0.0  # float64: one number near 1 and small ones, and their sum's logarithm is a small loss
    for k in range(K):
        total += z[k]
    loss[0] += math.log(total)
    inverse = real(z, 1 / total)
    for k in range(K):
        z[k] *= inverse
    z[label] = 0
    for k in range(K):
        others += z[k]
    z[label] = -others  # 1 - softmax from the other outputs: it may have rounded to 1
