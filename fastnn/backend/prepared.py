"""Calls of microseconds, on a network whose work is prepared once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn import _kernels
from fastnn._checks import check_integer
from fastnn._kernels import contract, reference
from fastnn._kernels.compiled import CompiledKernels, is_plain
from fastnn._kernels.contract import Array, Data, Integers
from fastnn._kernels.division import Request
from fastnn._kernels.job import Job
from fastnn.backend.arrays import as_array, check_array, check_network, described
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

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> net = fastnn.Network((4, 8, 3), rng=0)
    >>> X, y = np.ones((2, 4), np.float32), np.array([0, 2])
    >>> prepared = fastnn.backend.prepare(net, rows=2)
    >>> prepared.forward(X).shape
    (2, 3)
    """
    return Prepared(check_network(network), check_integer("rows", rows, low=1), optimizer)


class Prepared:
    """A network's calls for a fixed number of samples; `prepare` makes it.

    Samples are arrays of the network's dtype, (rows, n_in), in C order; targets are labels as int64, (rows,), for a
    cross entropy or hinge, or a matrix of the network's dtype, (rows, K), for sigmoid outputs, hinge (0 and 1) and real
    targets, (rows, 1) for several quantiles. They are NumPy's, or of anything with DLPack or the array interface, and
    are read and written where they lie: nothing is converted. Values are not looked at, but for labels, which must be
    those of a class, 0 .. K - 1: places in ``Network.classes``. Of a network trained with ``scale_targets``, targets
    and outputs are standardised; of one trained with a ``scale``, samples are scaled ones. With ``out``, no array is
    allocated; what is returned is ``out`` itself.

    Several threads may call it at once, but only one at a time may take steps. A copy or a pickle is prepared anew, for
    a copy of the network.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> net = fastnn.Network((4, 8, 3), rng=0)
    >>> X, y = np.ones((2, 4), np.float32), np.array([0, 2])
    >>> prepared = fastnn.backend.prepare(net, rows=2, optimizer=fastnn.SGD(0.1))
    >>> first = prepared.step(X, y)
    >>> prepared.step(X, y) < first
    True
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

    def __reduce__(self) -> tuple[Callable[..., Prepared], tuple[Network, int, Optimizer]]:
        """Return how a copy is made, also in another process: it is prepared anew, of a copy of the network."""
        return prepare, (self._network, self._rows, self._optimizer)

    def forward(self, X: Array, out: Array | None = None) -> Array:
        """Return the output unit's values A_L, (rows, K), in ``out`` if it is given.

        Raises
        ------
        TypeError, ValueError
            If an array has another type, dtype, shape or order.
        """
        dtype = self._architecture.dtype
        X = check_array("X", X, dtype, self._samples)
        if out is None:
            out = np.empty(self._outputs, dtype)
        outputs = check_array("out", out, dtype, self._outputs, written=True)
        if self._kernels is None:
            reference.forward(self._architecture.model, self._network.state.parameters, X, outputs)
        else:
            self._run(self._forward, Data(X, _NO_LABELS, X[:0]), out=outputs)
        self._architecture.loss.arrange(outputs)
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
        gradient = check_array("out", out, parameters.dtype, parameters.shape, written=True)
        if self._kernels is None:
            return reference.loss_and_gradient(self._architecture.model, parameters, data, 0.0, gradient), out
        return self._run(self._gradient, data, gradient=gradient), out

    def step(self, X: Array, y: npt.NDArray[Any]) -> float:
        """Take one step of the optimizer from these samples; return their mean loss before it.

        The same as ``fit`` with these samples as one batch, without a penalty: online learning with rows=1. The
        parameters change in place, so the next ``forward`` sees the step. That a parameter stays finite is not checked.

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
        dtype, loss = self._architecture.dtype, self._architecture.loss
        X, y = check_array("X", X, dtype, self._samples), as_array("y", y)
        if isinstance(y, np.ndarray) and y.dtype == np.int64 and loss.classifies:
            self._check_labels(y)
            return Data(X, y, X[:0])
        if loss.chooses:
            raise TypeError(f"y must be labels, an array of int64; got {described(y)}")
        return Data(X, _NO_LABELS, check_array("y", y, dtype, self._targets))

    def _check_labels(self, y: npt.NDArray[Any]) -> None:
        """Refuse labels of no class, by which kernels would write outside of their memory."""
        if y.shape != (self._rows,) or not y.flags.c_contiguous:
            raise ValueError(f"y must be labels in an array of shape ({self._rows},); got shape {y.shape}")
        low, high = (y[0], y[0]) if self._rows == 1 else (y.min(), y.max())
        if low < 0 or high >= self._classes:
            raise ValueError(f"y must hold labels from 0 to {self._classes - 1}; found {low if low < 0 else high}")
