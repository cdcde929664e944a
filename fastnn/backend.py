"""A backend for other tools: calls of microseconds, on a network whose work is prepared once.

`prepare` allocates, compiles and checks what does not depend on the samples. The `Prepared` that it returns then checks
shapes and dtypes, writes addresses into a struct, and runs the kernels without Python's lock.

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

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn import _kernels
from fastnn._checks import check_integer, check_real
from fastnn._kernels import contract, reference
from fastnn._kernels.compiled import CompiledKernels, is_plain
from fastnn._kernels.contract import Array, Data, Integers
from fastnn._kernels.division import Request
from fastnn._kernels.job import Job
from fastnn.network import Network
from fastnn.optimizers import Optimizer, find_optimizer, layer_factors

_NO_LABELS: Integers = np.empty(0, dtype=np.int64)


def prepare(network: Network, rows: int = 1, optimizer: str | Optimizer | None = None) -> Prepared:
    """Prepare a network for many calls with so many samples each.

    Parameters
    ----------
    network : Network
        Calls read its parameters as they are at that time, and `Prepared.step` changes them.
    rows : int, default 1
        Samples of a call, >= 1.
    optimizer : {"sgd", "rmsprop", "adam", "adamw"} or Optimizer, optional
        Of `Prepared.step`, which keeps its state in the network as ``fit`` does; by default the one that the network
        was last trained with, or Adam. Of a schedule the learning rate that it was given is taken. Inputs
        have no scales there.

    Returns
    -------
    Prepared
        It runs on the backend and with the number of threads in use now.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a fastnn.Network; got {type(network).__name__}")
    return Prepared(network, check_integer("rows", rows, low=1), optimizer)


def objective(
    network: Network, X: npt.ArrayLike, y: npt.ArrayLike, l2: float = 0.0, sample_weight: npt.ArrayLike | None = None
) -> Callable[[npt.ArrayLike], tuple[float, npt.NDArray[np.float64]]]:
    """Return the cost of a network as a function of its parameters, for ``scipy.optimize.minimize(..., jac=True)``.

    Parameters
    ----------
    network : Network
        Each call writes the parameters into it.
    X, y, l2, sample_weight
        As in ``Network.loss_and_gradient``; they are checked once.

    Returns
    -------
    callable
        ``f(theta)``, theta (P,) laid out like ``Network.parameters``, returns J and its gradient, (P,), in float64.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a fastnn.Network; got {type(network).__name__}")
    l2, data = check_real("l2", l2, low=0), network._given(X, y, sample_weight).data
    model, parameters, kernels = network.architecture.model, network.state.parameters, _kernels.kernels()
    gradient = np.empty_like(parameters)

    def cost(theta: npt.ArrayLike) -> tuple[float, npt.NDArray[np.float64]]:
        parameters[:] = theta
        J = float(kernels.loss_and_gradient(model, parameters, data, l2, gradient))
        return J, gradient.astype(np.float64)

    return cost


class Prepared:
    """A network's calls for a fixed number of samples; `prepare` makes it.

    Samples are arrays of the network's dtype, (rows, n_in), in C order; targets are labels as int64, (rows,), for a
    cross entropy or hinge, or a matrix of the network's dtype, (rows, K), for sigmoid outputs, hinge (0 and 1) and real
    targets, (rows, 1) for several quantiles. Nothing is converted, and values are not looked at, but for labels, which
    must be those of a class, 0 .. K - 1: places in ``Network.classes``. Of a network trained with ``scale_targets``,
    targets and outputs are standardised; of one trained with a ``scale``, samples are scaled ones. With ``out``, no
    array is allocated.

    Several threads may call it at once, but only one at a time may take steps.
    """

    def __init__(self, network: Network, rows: int, optimizer: str | Optimizer | None) -> None:
        architecture = network.architecture
        self._network, self._rows, self._architecture = network, rows, architecture
        self._samples, self._outputs = (rows, architecture.sizes[0]), (rows, architecture.sizes[-1])
        self._targets = (rows, architecture.loss.targets(architecture.sizes[-1]))
        self._classes = max(2, architecture.sizes[-1])
        last = network.optimizer if isinstance(network.optimizer, Optimizer) else "adam"
        found = find_optimizer(optimizer or last)
        if not isinstance(found, Optimizer):
            raise TypeError("optimizer must take steps of its own for Prepared.step; got lbfgs, which is for fit")
        self._optimizer = found
        kernels = _kernels.kernels()
        self._kernels: CompiledKernels | None = getattr(kernels, "compiled_kernels", None)
        self._forward = Request(rows, rows)
        self._gradient = Request(rows, rows, backward=True)
        self._clip_norm = math.inf if found.clip_norm is None else found.clip_norm
        self._factors = layer_factors(found, None, len(architecture.sizes) - 1)
        clipped = self._clip_norm < math.inf
        plain = is_plain(architecture.model, found.rule, found.state_vectors) and not (clipped or self._factors.size)
        per_sample = plain and rows == 1
        self._step = Request(rows, rows, backward=True, training=True, per_sample=per_sample, clipped=clipped)
        self._idle: dict[Request, list[Job]] = {}
        for request in (self._forward, self._gradient, self._step):
            self._idle[request] = [] if self._kernels is None else [self._new_job(request)]
        self._taken_up: contract.Optimizer | None = None

    def forward(self, X: Array, out: Array | None = None) -> Array:
        """Return the output unit's values A_L, (rows, K), in ``out`` if it is given.

        Raises
        ------
        TypeError, ValueError
            If an array has another type, dtype, shape or order.
        """
        self._check("X", X, self._samples)
        if out is None:
            out = np.empty(self._outputs, self._architecture.dtype)
        else:
            self._check("out", out, self._outputs, written=True)
        if self._kernels is None:
            reference.forward(self._architecture.model, self._network.state.parameters, X, out)
        else:
            self._run(self._forward, Data(X, _NO_LABELS, X[:0]), out=out)
        self._architecture.loss.arrange(out)
        return out

    def loss_and_gradient(self, X: Array, y: npt.NDArray[Any], out: Array | None = None) -> tuple[float, Array]:
        """Return the mean loss and its gradient, laid out like ``Network.parameters``, in ``out`` if it is given.

        Raises
        ------
        TypeError, ValueError
            If an array has another type, dtype, shape or order, or a label is of no class.
        """
        data, parameters = self._data(X, y), self._network.state.parameters
        if out is None:
            out = np.empty_like(parameters)
        else:
            self._check("out", out, parameters.shape, written=True)
        if self._kernels is None:
            return reference.loss_and_gradient(self._architecture.model, parameters, data, 0.0, out), out
        return self._run(self._gradient, data, gradient=out), out

    def step(self, X: Array, y: npt.NDArray[Any]) -> float:
        """Take one step of the optimizer from these samples; return their mean loss before it.

        The same as ``fit`` with these samples as one batch. That a parameter stays finite is not checked.

        Raises
        ------
        TypeError, ValueError
            If an array has another type, dtype, shape or order, or a label is of no class.
        RuntimeError
            If the network is being trained by another call.
        """
        data = self._data(X, y)
        with self._network.in_training:
            optimizer = self._take_up()
            if self._kernels is None:
                loss = np.empty(1)
                parameters = self._network.state.parameters
                reference.minibatch_epoch(
                    self._architecture.model, parameters, data, _NO_LABELS, self._rows, optimizer, loss
                )
                return float(loss[0])
            return self._run(self._step, data, optimizer=optimizer)

    def _run(self, request: Request, data: Data, **bound: Any) -> float:
        """Do a job that no other thread has in use; return its loss."""
        idle = self._idle[request]
        try:
            job = idle.pop()
        except IndexError:
            job = self._new_job(request)
        job.bind(self._network.state.parameters, data, **bound)
        assert self._kernels is not None
        reusable = self._kernels.run(job)
        loss = job.loss
        if reusable:
            idle.append(job)
        return loss

    def _new_job(self, request: Request) -> Job:
        assert self._kernels is not None
        return self._kernels.new_job(self._architecture.model, self._architecture.dtype.itemsize, request)

    def _take_up(self) -> contract.Optimizer:
        """Return the optimizer as the kernels take it, with the state that the network has for it."""
        state, taken_up = self._network.state, self._taken_up
        if self._optimizer.base_rate() == 0:
            raise TypeError("step needs a learning rate that is a number or a schedule; the optimizer's is a callable")
        if state.optimizer is self._optimizer and taken_up is not None and taken_up.state is state.optimizer_state:
            return taken_up
        state.take_up(self._optimizer)
        optimizer = self._optimizer
        rates = np.array([optimizer.base_rate()])
        self._taken_up = contract.Optimizer(
            *(int(optimizer.rule), optimizer.hyper(), rates, state.optimizer_state, state.step, 0.0),
            clip_norm=self._clip_norm,
            factors=self._factors,
            seed=state.seed,
        )
        return self._taken_up

    def _data(self, X: Array, y: npt.NDArray[Any]) -> Data:
        self._check("X", X, self._samples)
        if isinstance(y, np.ndarray) and y.dtype == np.int64 and self._architecture.loss.classifies:
            self._check_labels(y)
            return Data(X, y, X[:0])
        if self._architecture.loss.chooses:
            raise TypeError(f"y must be labels, an array of int64; got {_described(y)}")
        self._check("y", y, self._targets)
        return Data(X, _NO_LABELS, y)

    def _check_labels(self, y: npt.NDArray[Any]) -> None:
        """Refuse labels of no class, by which kernels would write outside of their memory."""
        if y.shape != (self._rows,) or not y.flags.c_contiguous:
            raise ValueError(f"y must be labels in an array of shape ({self._rows},); got shape {y.shape}")
        low, high = (y[0], y[0]) if self._rows == 1 else (y.min(), y.max())
        if low < 0 or high >= self._classes:
            raise ValueError(f"y must hold labels from 0 to {self._classes - 1}; found {low if low < 0 else high}")

    def _check(self, name: str, array: Array, shape: tuple[int, ...], written: bool = False) -> None:
        if not isinstance(array, np.ndarray) or array.dtype != self._architecture.dtype:
            raise TypeError(f"{name} must be an array of {self._architecture.dtype}; got {_described(array)}")
        flags = array.flags
        if array.shape != shape or not (flags.c_contiguous and flags.aligned):
            raise ValueError(f"{name} must have shape {shape}, in C order; got shape {array.shape}{_order(array)}")
        if written and not flags.writeable:
            raise ValueError(f"{name} must be writable; got a read-only array")


def _described(array: object) -> str:
    return f"an array of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__


def _order(array: Array) -> str:
    return "" if array.flags.c_contiguous else ", not in C order"
