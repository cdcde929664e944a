"""The kernels' functions for a compiled backend: each prepares a job and has the backend run it."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Array, Data, Integers, Loss, Model, Optimizer, Rule
from fastnn._kernels.job import Job
from fastnn._kernels.reference import penalty

# Per-sample descent keeps the penalty's effect on the weights as a factor, which must stay well above zero in a block.
MAX_SHRINKAGE = 0.05


class CompiledKernels(ABC):
    """The functions of ``contract`` on top of ``run``."""

    @abstractmethod
    def lanes(self, itemsize: int) -> int:
        """Return how many numbers of that many bytes a vector holds."""

    @abstractmethod
    def run(self, job: Job) -> None:
        """Do the job."""

    def dense_forward(self, A: Array, W: Array, b: Array, activation: int, slope: float, out: Array) -> None:
        """Write out = g(A W + b)."""
        model = Model(
            sizes=np.array(W.shape, dtype=np.int64),
            weights=np.array([0], dtype=np.int64),
            biases=np.array([W.size], dtype=np.int64),
            activations=np.array([activation], dtype=np.int64),
            slopes=np.array([slope], dtype=np.float64),
            loss=int(Loss.SQUARED_ERROR),
        )
        self.forward(model, np.concatenate((W.ravel(), b)), A, out)

    def forward(self, model: Model, parameters: Array, X: Array, out: Array) -> None:
        """Write the output unit's values of every row of X."""
        nothing = Data(X, np.empty(0, dtype=np.int64), np.empty((0, 0), X.dtype))
        self.run(Job(self.lanes(X.itemsize), model, parameters, nothing, len(X), out=out))

    def loss(self, model: Model, parameters: Array, data: Data, l2: float) -> float:
        """Return J."""
        losses = np.empty(1)
        self.run(Job(self.lanes(data.X.itemsize), model, parameters, data, len(data.X), losses=losses))
        return float(losses[0]) + penalty(model, parameters, l2 / len(data.X))

    def loss_and_gradient(self, model: Model, parameters: Array, data: Data, l2: float, gradient: Array) -> float:
        """Return J and write dJ/dtheta."""
        losses, decay = np.empty(1), l2 / len(data.X)
        job = Job(
            self.lanes(data.X.itemsize),
            model,
            parameters,
            data,
            len(data.X),
            losses=losses,
            gradient=gradient,
            l2=decay,
        )
        self.run(job)
        return float(losses[0]) + penalty(model, parameters, decay)

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
        lanes = self.lanes(data.X.itemsize)
        self.run(Job(lanes, model, parameters, data, batch_size, order, optimizer, losses, epochs=epochs))

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
        lanes = self.lanes(data.X.itemsize)
        plain = optimizer.rule == Rule.SGD and len(optimizer.state) == 0
        per_sample = plain and float(optimizer.rates.max()) * optimizer.l2 < MAX_SHRINKAGE
        self.run(Job(lanes, model, parameters, data, 1, order, optimizer, losses, per_sample=per_sample, epochs=epochs))
