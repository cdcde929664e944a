"""What every backend receives: the network, the data and the optimizer as plain arrays and numbers.

The three backends implement the same functions with the same arguments, inputs first, outputs last and
preallocated (m samples, s_l units in layer l, P parameters, ``real`` is float32 or float64):

- ``dense_forward(A, W, b, activation, slope, out)``: out = g(A W + b), one layer.
- ``forward(model, parameters, X, out)``: the output unit's values A_L of every row.
- ``loss(model, parameters, data, l2)``: the regularised cost J.
- ``loss_and_gradient(model, parameters, data, l2, gradient)``: J, and dJ/dtheta laid out like ``parameters``.
- ``sample_gradients(model, parameters, data, losses, gradients)``: each sample's loss, (m,), and its gradient, (m, P).
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

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# The codes by which kernels know them: the rows of the equations' tables.
from fastnn._equations.activations import Activation as Activation
from fastnn._equations.formula import Formula as Formula
from fastnn._equations.losses import Loss as Loss
from fastnn._equations.updates import Rule as Rule
from fastnn._kernels.rows import Rows, Samples, SparseRows

Array = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

NO_NUMBERS: Numbers = np.empty(0)


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
    dropout: tuple[float, ...] = ()  # (L - 1,) the share of a layer's units that is dropped while training, or none
    loss_numbers: tuple[float, ...] = ()  # (K,) Huber's threshold or a quantile's level; () where the loss has none
    smoothing: float = 0.0  # e, of a cross entropy's labels: the target (1 - e) y + e / K, of sigmoid (1 - e) y + e / 2
    masked: bool = False  # whether a target that is NaN counts for nothing
    n_targets: int = 0  # columns of the targets: 1 where all outputs share one, otherwise K; 0 stands for K

    @property
    def dropped(self) -> tuple[float, ...]:
        """The share of each layer's units that is dropped while training, 0 where there is no dropout."""
        return self.dropout or (0.0,) * len(self.activations)


def saves(activation: int | Formula) -> bool:
    """Return whether the forward pass keeps what the derivative needs: it does not follow from the output."""
    return isinstance(activation, Formula) or Activation(activation).saves


class Data(NamedTuple):
    """Samples in rows, with the targets in one of two forms; the other one is empty.

    ``labels`` (class numbers) go with softmax and, as 1-of-K targets, with sigmoid outputs; a single sigmoid output's
    are its targets, 0 and 1. ``targets`` hold any 0/1 or real matrix; those of hinge are 0 and 1 as well. Softmax takes
    labels only. A sample's loss and gradient are multiplied by its weight; without weights they are 1.
    """

    X: Samples  # (m, s_1): real, in C order; or rows of any type of numbers, as they are stored, also sparse ones
    labels: Integers  # (m,) or (0,)
    targets: Array  # (m, K) real, C order, (m, 1) where all outputs share one target, or (0, K)
    weights: Numbers = NO_NUMBERS  # (m,) or (0,)


class Optimizer(NamedTuple):
    """An update rule with its hyperparameters and its state.

    ``hyper`` is (first, second, epsilon, weight_decay, variant): first is the momentum of SGD and beta1 of Adam, second
    is rho of RMSprop and beta2 of Adam; variant 1 is Nesterov's momentum, and Adam with epsilon in front of the
    correction of the root. ``state`` holds the velocity or first moment, then the second moment: (k, P) with k = 0 for
    plain SGD, 1 for momentum and RMSprop (the mean square), 2 for Adam and AdamW. Where inputs have scales, the state
    of the first layer's weights V is that of W, whose step they take.
    """

    rule: int  # a Rule code
    hyper: Numbers  # (5,)
    rates: Numbers  # (steps,) the learning rate of each step of this call; the stride may be 0
    state: Array  # (k, P) real
    step: Integers  # (1,) steps taken so far
    l2: float  # the penalty's gradient is l2 W: l2 / m with m the whole training set
    l1: float = 0.0  # after a step weights go towards 0 by rate l1, and no further: l1 / m
    clip_norm: float = math.inf  # a gradient (of all parameters, with l2) of a larger norm is scaled to it
    factors: Numbers = NO_NUMBERS  # (L - 1, 3) a layer's factors of the rate, of weights and biases, and of the decay
    average: Array = NO_NUMBERS  # (P,) real, or (0,): after a step it goes towards the parameters
    average_rates: Numbers = NO_NUMBERS  # (steps,) by that share of the way; the stride may be 0
    seed: int = 0  # of dropout, with the step
    input_scale: Array = NO_NUMBERS  # (1 + k, s_1) real, or (0,): a scale s of each input, and the state of its step
    input_factor: float = 0.0  # of the rate of that step; the first layer's weights are then V = diag(s) W


__all__ = [
    "Activation",
    "Array",
    "Data",
    "Formula",
    "Integers",
    "Loss",
    "Model",
    "Numbers",
    "Optimizer",
    "Rows",
    "Rule",
    "Samples",
    "SparseRows",
    "saves",
]
