"""Softmax and its cross entropy: a vector's lanes are that many rows, whose logits lie as columns.

With t the largest z of a row and s the sum of e^(z_j - t) without one that is 1, softmax_k is e^(z_k - t) / (1 + s),
and log sum_j e^z_j is t + log(1 + s): a small loss keeps its digits.
"""

from __future__ import annotations

from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.elementwise import chosen_, exp_of_difference_, inverse_of_1_plus_, larger_, log_of_1_plus_
from fastnn._kernels.numba.memory import real
from fastnn._kernels.numba.simd import add, fill, lanes, load, multiply_add, store


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
def softmax_columns(K, T):
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
