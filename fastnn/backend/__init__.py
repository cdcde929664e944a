"""A backend for other tools: calls of microseconds, and the derivatives that tools ask for.

- `prepare` makes `Prepared`, whose ``forward``, ``loss_and_gradient`` and ``step`` do not allocate or convert;
- `objective` is the cost as a function of the parameters, for ``scipy.optimize.minimize``;
- `per_sample_gradients` and `input_gradient` are derivatives of each sample's loss;
- `dense_forward` is one layer, without a network.

This interface is stable: what ``__all__`` names here, the names and the order of the arguments, the layouts of the
arrays and the types of the errors stay as they are in all versions with the same first number, before 1.0 with the same
first two. New arguments come last, with a default. Digits of results may differ between versions, backends and CPUs;
they do not depend on the number of threads. All else in this package is its inside. docs/backend.md has examples.

Layouts: samples lie in rows, (m, n_in); outputs are (m, K). Parameters, and gradients in their last axis, are one
vector (P,): W_1 (n_in, n_out) in C order, b_1, W_2, b_2, ... Arrays are NumPy's or anything on the CPU with
``__dlpack__`` or the array interface, such as tensors of PyTorch and arrays of JAX; those of the right dtype and order
are read, and written, where they lie.

Examples
--------
>>> import numpy as np
>>> import fastnn
>>> net = fastnn.Network((20, 16, 2), rng=1)
>>> prepared = fastnn.backend.prepare(net, rows=1)
>>> X, y, out = np.ones((1, 20), np.float32), np.array([1]), np.empty((1, 2), np.float32)
>>> prepared.forward(X, out=out) is out
True
>>> loss_before = prepared.step(X, y)  # of the samples, under the parameters before the step
>>> J, gradient = prepared.loss_and_gradient(X, y)
>>> J < loss_before
True
"""

from fastnn.backend.cost import objective
from fastnn.backend.dense import dense_forward
from fastnn.backend.gradients import input_gradient, per_sample_gradients
from fastnn.backend.prepared import Prepared, prepare

__all__ = ["Prepared", "dense_forward", "input_gradient", "objective", "per_sample_gradients", "prepare"]
