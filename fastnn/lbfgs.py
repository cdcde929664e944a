"""Full-batch training by L-BFGS: SciPy's minimiser on the kernels' cost and gradient, an epoch an iteration."""

from __future__ import annotations

import math
import time
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._kernels import reference
from fastnn._kernels.contract import Data
from fastnn.architecture import Architecture
from fastnn.history import DivergenceError, History
from fastnn.interrupts import InterruptDeferred
from fastnn.optimizers import LBFGS, find_minimizer
from fastnn.progress import Progress
from fastnn.requests import Request
from fastnn.state import State
from fastnn.watching import Watch, call_all

Vector = npt.NDArray[np.float64]

_LINE_SEARCH = 20  # evaluations at most, SciPy's default


def train(
    kernels: ModuleType, architecture: Architecture, state: State, data: Data, request: Request, progress: Progress
) -> History:
    """Train the state in place; KeyboardInterrupt leaves it as after the last whole iteration."""
    state.progress = progress
    try:
        return _Minimisation(kernels, architecture, state, data, request).run()
    finally:
        progress.close()


class _Minimisation:
    """A training under way."""

    def __init__(
        self, kernels: ModuleType, architecture: Architecture, state: State, data: Data, request: Request
    ) -> None:
        assert state.progress is not None
        self.kernels, self.architecture, self.state = kernels, architecture, state
        self.data, self.request, self.history = data, request, state.progress.history
        self.watch = Watch(architecture, state, request.validation, request.early_stopping, request.monitor, 1.0)
        self.theta = state.parameters.astype(np.float64)  # after the last whole iteration
        self.gradient = np.empty_like(state.parameters)
        self.cost = math.nan  # there
        self.began = time.perf_counter()

    def run(self) -> History:
        """Minimise until the epochs are over, or something ends it."""
        history = self.history
        try:
            if self.request.epochs > 0:
                self._minimise()
            over = history.epochs >= self.request.epochs
            history.ended = history.ended or ("epochs" if over else "converged")
        except KeyboardInterrupt:
            history.interrupted, history.ended = True, "interrupted"
        finally:
            self.state.parameters[:] = self.theta
        if history.interrupted:
            self.watch.judge()
        elif history.ended != "callback":
            self.watch.restore_best()
        return history

    def _minimise(self) -> None:
        settings = self.request.optimizer
        assert isinstance(settings, LBFGS)
        options = {
            "maxcor": settings.history,
            "gtol": settings.tolerance,
            "ftol": float(np.finfo(self.architecture.dtype).eps),  # smaller gains are rounding
            "maxiter": self.request.epochs,
            "maxfun": (self.request.epochs + 1) * _LINE_SEARCH,
            "maxls": _LINE_SEARCH,
        }
        with np.errstate(all="ignore"):  # a step of the line search may go too far
            find_minimizer()(
                self._cost, self.theta, jac=True, method="L-BFGS-B", callback=self._end_epoch, options=options
            )

    def _cost(self, theta: Vector) -> tuple[float, Vector]:
        """Return J and its gradient."""
        parameters = self.state.parameters
        with InterruptDeferred():
            parameters[:] = theta
            model, l2 = self.architecture.model, self.request.l2
            cost = float(self.kernels.loss_and_gradient(model, parameters, self.data, l2, self.gradient))
        if math.isnan(self.cost):
            self.cost = cost
            self._check(cost)
        return cost, self.gradient.astype(np.float64)

    def _end_epoch(self, intermediate_result: Any) -> None:
        """Record an iteration; SciPy takes StopIteration as the end."""
        history, request = self.history, self.request
        cost = float(intermediate_result.fun)
        self._check(cost)
        with InterruptDeferred():
            history.loss.append(self.cost)
            history.seconds.append(time.perf_counter() - self.began)
            if request.keep_batch_loss:
                history.batch_loss.append(np.array([self.cost - self._penalty()]))
            self.theta, self.cost = np.array(intermediate_result.x), cost
            self.state.parameters[:] = self.theta
        self.watch.judge()
        if request.verbose:
            print(history)
        if call_all(request.callbacks, history):
            history.ended = "callback"
        elif self.watch.stops and history.epochs < request.epochs:
            history.ended = "early stopping"
        if history.ended:
            raise StopIteration
        self.began = time.perf_counter()

    def _penalty(self) -> float:
        theta = self.theta.astype(self.architecture.dtype)
        return reference.penalty(self.architecture.model, theta, self.request.l2 / len(self.data.X))

    def _check(self, cost: float) -> None:
        if not math.isfinite(cost):
            raise DivergenceError(
                f"the training diverged in epoch {self.history.epochs + 1}: the loss became {cost}; the network holds "
                "its parameters from before that epoch. Standardised inputs may help.",
                self.history,
            )
