"""The kernels' functions for a compiled backend: each has the backend run a job that is prepared for its shape."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fastnn import _kernels
from fastnn._kernels import division
from fastnn._kernels.contract import NO_NUMBERS, Array, Data, Formula, Integers, Loss, Model, Optimizer, Rule, saves
from fastnn._kernels.division import Request
from fastnn._kernels.job import Job, Plan, plan
from fastnn._kernels.pool import Pool
from fastnn._kernels.reference import penalty
from fastnn._kernels.rows import Rows, Samples, SparseRows

# Per-sample descent keeps the penalty's effect on the weights as a factor, which must stay well above zero in a block.
MAX_SHRINKAGE = 0.05

_ANY_NUMBER = 1 << 20  # of threads; work that is for one thread alone then need not ask how many there are
_NO_LABELS = _ALL_ROWS = np.empty(0, dtype=np.int64)


_CANONICAL = frozenset(int(code) for code in Loss if code.is_canonical)


def is_plain(model: Model, rule: int, state_vectors: int) -> bool:
    """Return whether the kernels of per-sample descent take the steps of a rule.

    Their rule has no state, they take derivatives from outputs, and the delta of a single output behind a hidden layer
    is its value minus the target.
    """
    if rule != Rule.SGD or state_vectors > 0 or any(model.dropout) or any(map(saves, model.activations[:-1])):
        return False
    single = len(model.sizes) > 2 and model.sizes[-1] == 1
    return not isinstance(model.loss, Formula) and (not single or (model.loss in _CANONICAL and not model.masked))


def is_bare(optimizer: Optimizer) -> bool:
    """Return whether an optimizer's step is all that happens to the parameters, at the same rate."""
    extras = optimizer.factors.size or optimizer.average.size or optimizer.input_scale.size
    return not (extras or optimizer.l1 or optimizer.clip_norm < math.inf)


def _for(X: Samples, request: Request, order: Integers = _ALL_ROWS, optimizer: Optimizer | None = None) -> Request:
    """Return the request with what it must say of how the samples are stored."""
    if isinstance(X, np.ndarray):
        return request
    if isinstance(X, Rows):
        return request._replace(stored=True)
    entries, tile = 1, division.sparse_tile(request.batch_size, division.COSTS)
    if request.backward:
        entries = _most_entries(X, request, order, tile)
    elif len(X):
        entries = int(X.lengths.mean() * tile)
    # a power of two, so that calls share plans
    return request._replace(
        stored=True,
        entries=1 << max(6, (entries - 1).bit_length()),
        lazy=optimizer is not None and tile == request.batch_size and _waits(optimizer),
    )


def _most_entries(X: SparseRows, request: Request, order: Integers, tile: int) -> int:
    """Return the most numbers that are stored of the samples of a tile."""
    lengths = X.lengths[order].reshape(request.epochs, -1) if order.size else X.lengths[None]
    starts = np.arange(0, request.samples, request.batch_size)[:, None] + np.arange(0, request.batch_size, tile)
    return int(np.add.reduceat(lengths, starts[starts < request.samples], axis=1).max())


def _waits(optimizer: Optimizer) -> bool:
    """Return whether weights may wait for the steps of which they have no gradient.

    Plain descent has one factor for all that the penalty has shrunk, which must stay well above zero in a step.
    """
    if not is_bare(optimizer._replace(factors=NO_NUMBERS)):
        return False
    plain = optimizer.rule == Rule.SGD and not len(optimizer.state)
    factor = float(optimizer.factors[0, 0]) if optimizer.factors.size else 1.0
    return not plain or float(optimizer.rates.max()) * factor * optimizer.l2 < MAX_SHRINKAGE


class CompiledKernels(ABC):
    """The functions of ``contract`` on top of ``run``."""

    def __init__(self) -> None:
        self._pool = Pool()

    @abstractmethod
    def lanes(self, itemsize: int) -> int:
        """Return how many numbers of that many bytes a vector holds."""

    @abstractmethod
    def functions(self, itemsize: int, per_sample: bool) -> Mapping[str, int]:
        """Return the addresses of the compiled functions that kernels call through the job."""

    @abstractmethod
    def address(self, formula: Formula, itemsize: int) -> int:
        """Return the address of what computes a formula; it stays for as long as the process."""

    @abstractmethod
    def run(self, job: Job) -> bool:
        """Do the job; return whether all threads are done with it, so that it can serve another call."""

    def prepare(self, model: Model, itemsize: int, request: Request) -> Job:
        """Return a job of that shape that no call has in use."""
        planned = self._plan(model, itemsize, request)
        return self._pool.take(planned) or self._job(planned)

    def new_job(self, model: Model, itemsize: int, request: Request) -> Job:
        """Return a job for the caller to keep: bind a call's data to it and `run` it."""
        return self._job(self._plan(model, itemsize, request))

    def _job(self, planned: Plan) -> Job:
        model, itemsize = planned.model, planned.layout.itemsize
        own = [each for each in (*model.activations, model.loss) if isinstance(each, Formula)]
        formulas = {formula: self.address(formula, itemsize) for formula in own}
        return Job(planned, self.functions(itemsize, planned.request.per_sample), formulas)

    def _plan(self, model: Model, itemsize: int, request: Request) -> Plan:
        lanes, costs = self.lanes(itemsize), division.COSTS
        planned = plan(model, lanes, itemsize, request, _ANY_NUMBER, costs)
        if planned.division.threads > 1:
            planned = plan(model, lanes, itemsize, request, _kernels.get_num_threads(), costs)
        return planned

    def finish(self, job: Job) -> float:
        """Do the job and keep it for other calls; return its loss where it was bound without an array for losses."""
        reusable = self.run(job)
        loss = job.loss
        if reusable:
            self._pool.give(job)
        return loss

    def dense_forward(
        self, A: Array, W: Array, b: Array, activation: int | Formula, slope: float, out: Array
    ) -> None:  # fmt: skip
        """Write out = g(A W + b)."""
        codes, offsets = (activation,), ((0,), (W.size,))
        model = Model(W.shape, *offsets, codes, (slope,), int(Loss.SQUARED_ERROR))
        self.forward(model, np.concatenate((W.ravel(), b)), A, out)

    def forward(self, model: Model, parameters: Array, X: Samples, out: Array) -> None:
        """Write the output unit's values of every row of X."""
        job = self.prepare(model, parameters.itemsize, _for(X, Request(len(X), len(X))))
        job.bind(parameters, Data(X, _NO_LABELS, parameters[:0]), out=out)
        self.finish(job)

    def loss(self, model: Model, parameters: Array, data: Data, l2: float) -> float:
        """Return J."""
        m = len(data.X)
        job = self.prepare(model, parameters.itemsize, _for(data.X, Request(m, m)))
        job.bind(parameters, data)
        return self.finish(job) + penalty(model, parameters, l2 / m)

    def loss_and_gradient(self, model: Model, parameters: Array, data: Data, l2: float, gradient: Array) -> float:
        """Return J and write dJ/dtheta."""
        m = len(data.X)
        request = _for(data.X, Request(m, m, backward=True))
        job = self.prepare(model, parameters.itemsize, request)
        job.bind(parameters, data, gradient=gradient, l2=l2 / m)
        return self.finish(job) + penalty(model, parameters, l2 / m)

    def sample_gradients(
        self, model: Model, parameters: Array, data: Data, losses: npt.NDArray[np.float64], gradients: Array
    ) -> None:
        """Write each sample's loss and its gradient: in steps of one sample each, which change nothing."""
        request = _for(data.X, Request(len(data.X), 1, backward=True))
        job = self.prepare(model, parameters.itemsize, request)
        job.bind(parameters, data, losses=losses, gradient=gradients)
        self.finish(job)

    def minibatch_epoch(
        self,
        model: Model,
        parameters: Array,
        data: Data,
        order: Integers,
        batch_size: int,
        optimizer: Optimizer,
        losses: npt.NDArray[np.float64],
        epochs: int = 1,
    ) -> None:
        """Take one step for each batch_size rows of the order."""
        self._train(model, parameters, data, order, batch_size, optimizer, losses, epochs, per_sample=False)

    def sgd_epoch(
        self,
        model: Model,
        parameters: Array,
        data: Data,
        order: Integers,
        optimizer: Optimizer,
        losses: npt.NDArray[np.float64],
        epochs: int = 1,
    ) -> None:
        """Take one step for each sample of the order.

        Plain descent has kernels of its own; a rule with a state touches every parameter at each step, as a batch does.
        """
        plain = is_plain(model, optimizer.rule, len(optimizer.state)) and is_bare(optimizer)
        plain = plain and not isinstance(data.X, SparseRows)
        per_sample = plain and float(optimizer.rates.max() * optimizer.l2) < MAX_SHRINKAGE
        self._train(model, parameters, data, order, 1, optimizer, losses, epochs, per_sample)

    def _train(
        self,
        model: Model,
        parameters: Array,
        data: Data,
        order: Integers,
        batch_size: int,
        optimizer: Optimizer,
        losses: npt.NDArray[np.float64],
        epochs: int,
        per_sample: bool,
    ) -> None:
        samples = len(order) // epochs if order.size else len(data.X)
        request = Request(
            samples=samples,
            batch_size=batch_size,  # also for an epoch's last samples alone: it decides in which chunks they are added
            epochs=epochs,
            backward=True,
            training=True,
            per_sample=per_sample,
            ordered=order.size > 0,
            clipped=optimizer.clip_norm < math.inf,
        )
        job = self.prepare(model, parameters.itemsize, _for(data.X, request, order, optimizer))
        job.bind(parameters, data, order, optimizer, losses)
        self.finish(job)
