"""What every backend receives: the network, the data and the optimizer as plain arrays and numbers.

The three backends implement the same functions with the same arguments, inputs first, outputs last and
preallocated (m samples, s_l units in layer l, P parameters, ``real`` is float32 or float64):

- ``dense_forward(A, W, b, activation, slope, out)``: out = g(A W + b), one layer.
- ``forward(model, parameters, X, out)``: the output unit's values A_L of every row.
- ``loss(model, parameters, data, l2)``: the regularised cost J.
- ``loss_and_gradient(model, parameters, data, l2, gradient)``: J, and dJ/dtheta laid out like ``parameters``.
- ``sgd_epoch(model, parameters, data, order, optimizer, losses, epochs=1)``: one step a sample.
- ``minibatch_epoch(model, parameters, data, order, batch_size, optimizer, losses, epochs=1)``: one step a batch; the
  last batch of an epoch may be smaller. ``batch_size >= m`` is gradient descent.
- ``shuffle_grid(down, across, samples, first, order)``: a piece of the order, from number ``first`` on, of samples that
  lie in a grid, row by row, whose columns and rows have turned: round i moves a cell in column c down by
  ``down[i, c]`` rows, then, from its new row r, across by ``across[i, r]`` columns, in a circle; a cell after the last
  sample makes the same moves again, until it is none.

The epochs update ``parameters``, ``optimizer.state`` and ``optimizer.step`` in place and write into ``losses`` the
mean loss of each step's samples, without the penalty, under the parameters before that step. ``order`` holds the rows
to visit, in order (an epoch or a part of it); an empty ``order`` means all rows, first to last. Several epochs go in
one after the other, the order of each following that of the one before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# The codes by which kernels know them: the rows of the equations' tables.
from fastnn._equations.activations import Activation as Activation
from fastnn._equations.formula import Formula as Formula
from fastnn._equations.losses import Loss as Loss
from fastnn._equations.updates import Rule as Rule

Array = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]


class Model(NamedTuple):
    """A network's architecture: where each layer lies in the flat parameter vector, and what it computes.

    Layer l (from 0) maps ``sizes[l]`` units to ``sizes[l + 1]``: its weights, (n_in, n_out) in C order, begin at
    ``weights[l]``, its biases at ``biases[l]``. The last activation is the output unit that the loss fixes. In a
    code's place may be the formula of a function of one's own: g(z) and g'(z), or a loss of z and y and its derivative.
    """

    sizes: tuple[int, ...]  # (L,)
    weights: tuple[int, ...]  # (L - 1,) offsets
    biases: tuple[int, ...]  # (L - 1,) offsets
    activations: tuple[int | Formula, ...]  # (L - 1,) Activation codes
    slopes: tuple[float, ...]  # (L - 1,) leaky_relu's slope for z < 0, otherwise unused
    loss: int | Formula  # a Loss code


def saves(activation: int | Formula) -> bool:
    """Return whether the forward pass keeps what the derivative needs: it does not follow from the output."""
    return isinstance(activation, Formula) or Activation(activation).saves


class Data(NamedTuple):
    """Samples in rows, with the targets in one of two forms; the other one is empty.

    ``labels`` (class numbers) go with softmax and, as 1-of-K targets, with sigmoid outputs; a single sigmoid output's
    are its targets, 0 and 1. ``targets`` hold any 0/1 or real matrix. Softmax takes labels only.
    """

    X: Array  # (m, s_1) real, C order
    labels: Integers  # (m,) or (0,)
    targets: Array  # (m, K) real, C order, or (0, K)


class Optimizer(NamedTuple):
    """An update rule with its hyperparameters and its state.

    ``hyper`` is (first, second, epsilon, weight_decay, nesterov): first is the momentum of SGD and beta1 of Adam,
    second is rho of RMSprop and beta2 of Adam. ``state`` holds the velocity or first moment, then the second moment:
    (k, P) with k = 0 for plain SGD, 1 for momentum and RMSprop (the mean square), 2 for Adam and AdamW.
    """

    rule: int  # a Rule code
    hyper: npt.NDArray[np.float64]  # (5,)
    rates: npt.NDArray[np.float64]  # (steps,) the learning rate of each step of this call; the stride may be 0
    state: Array  # (k, P) real
    step: Integers  # (1,) steps taken so far
    l2: float  # the penalty's gradient is l2 W: l2 / m with m the whole training set


__all__ = ["Activation", "Array", "Data", "Formula", "Integers", "Loss", "Model", "Optimizer", "Rule", "saves"]
