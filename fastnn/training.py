"""The one epoch loop, and the history that it returns."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastnn import _kernels
from fastnn._kernels import contract, reference
from fastnn._kernels.contract import Data, Integers
from fastnn.data import all_finite
from fastnn.optimizers import Optimizer

if TYPE_CHECKING:
    from fastnn.network import Network

Callback = Callable[["Network", "History"], object]

# A kernel call is a pass of at most about this many floating-point operations: some 20 to 100 ms, so that an interrupt
# is heard and the progress bar moves, while the 20 us of a call stay under a thousandth.
_OPERATIONS_PER_CALL = 1e10
# Calls of per-sample descent begin at multiples of this many samples: a kernel may take blocks of samples at a time,
# and their boundaries, so the rounding, must not depend on the length of a call.
_SGD_GRANULE = 1024


@dataclass
class History:
    """What a training did, one number an epoch.

    Attributes
    ----------
    loss : list of float
        The cost J: the mean loss of the epoch's samples, each under the parameters before its step, plus the penalty
        at the epoch's beginning. For gradient descent that is exactly J before the step.
    validation_loss, validation_score : list of float
        The mean loss without the penalty, and the score, on the validation data after the epoch.
    batch_loss : list of ndarray
        Each epoch's mean loss of every step's samples, where asked for.
    seconds : list of float
        The wall time of each epoch's training, without validation and callbacks.
    interrupted : bool
        Whether KeyboardInterrupt ended the training early; the network is as trained until then.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    batch_loss: list[npt.NDArray[np.float64]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    interrupted: bool = False

    @property
    def epochs(self) -> int:
        """How many epochs were completed."""
        return len(self.loss)

    def __str__(self) -> str:
        """Return the last epoch in one line."""
        parts = [f"epoch {self.epochs}", f"loss {self.loss[-1]:.5g}"] if self.loss else ["no epoch completed"]
        if self.validation_loss:
            parts += [f"validation loss {self.validation_loss[-1]:.5g}", f"score {self.validation_score[-1]:.4f}"]
        if self.seconds:
            parts.append(f"{self.seconds[-1]:.3g} s")
        return ", ".join(parts) + (" (interrupted)" if self.interrupted else "")


class DivergenceError(FloatingPointError):
    """The loss or a parameter stopped being finite; the network holds the last finite epoch's parameters.

    Attributes
    ----------
    history : History
        The epochs before.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


@dataclass(frozen=True)
class Plan:
    """What a training is asked to do; ``Network.fit`` explains each part."""

    optimizer: Optimizer
    samples: int
    batch_size: int
    epochs: int
    l2: float
    shuffle: bool
    validation: Data | None
    keep_batch_loss: bool
    callback: Callback | None
    verbose: bool
    progress: bool


def train(network: Network, data: Data, plan: Plan) -> History:
    """Train the network in place; KeyboardInterrupt ends it at the next boundary of kernel calls."""
    history = History()
    bar = _progress_bar(plan.epochs * len(data.X)) if plan.progress else None
    try:
        for _ in range(plan.epochs):
            _epoch(network, data, plan, history, bar)
            if plan.validation is not None:
                network._validate(plan.validation, history)
            if plan.verbose:
                (bar.write if bar else print)(str(history))
            if plan.callback is not None and plan.callback(network, history) is True:
                break
    except KeyboardInterrupt:
        history.interrupted = True
    finally:
        if bar:
            bar.close()
    return history


def _epoch(network: Network, data: Data, plan: Plan, history: History, bar: Any) -> None:
    began = time.perf_counter()
    m = len(data.X)
    before = network._snapshot()
    penalty = reference.penalty(network._model, network.parameters, plan.l2 / m) if plan.l2 else 0.0
    steps = []
    try:
        with np.errstate(all="ignore"):  # an overflow is found below, and named with its epoch
            for part, order in _calls(network, data, plan):
                with _interrupt_deferred():
                    steps.append(_run(network, part, order, plan))
                if bar:
                    bar.update(len(order) or len(part.X))
    except KeyboardInterrupt:
        if not all_finite(network.parameters):
            network._restore(before)
        raise
    batch_loss = np.concatenate(steps)
    loss = _mean_over_samples(batch_loss, m, plan.batch_size) + penalty
    if not math.isfinite(loss) or not all_finite(network.parameters):
        network._restore(before)
        raise DivergenceError(_explain_divergence(loss, history.epochs + 1, plan), history)
    history.loss.append(loss)
    history.seconds.append(time.perf_counter() - began)
    if plan.keep_batch_loss:
        history.batch_loss.append(batch_loss)


def _calls(network: Network, data: Data, plan: Plan) -> Iterator[tuple[Data, Integers]]:
    """Yield the data and the order of each kernel call of an epoch: calls end at boundaries of batches."""
    m = len(data.X)
    granule = plan.batch_size if plan.batch_size > 1 else _SGD_GRANULE
    budget = int(_OPERATIONS_PER_CALL / (6 * len(network.parameters)))  # 6 operations a weight and sample
    length = max(1, budget // granule) * granule
    no_order = np.empty(0, dtype=np.int64)
    order = network.rng.permutation(m) if plan.shuffle and plan.batch_size < m else no_order
    for start in range(0, m, length):
        stop = min(start + length, m)
        if order.size:
            yield data, order[start:stop]
        else:
            yield _rows(data, start, stop), no_order


def _rows(data: Data, start: int, stop: int) -> Data:
    labels = data.labels[start:stop] if data.labels.size else data.labels
    targets = data.targets[start:stop] if data.targets.size else data.targets
    return Data(data.X[start:stop], labels, targets)


def _run(network: Network, data: Data, order: Integers, plan: Plan) -> npt.NDArray[np.float64]:
    """Take the steps of one kernel call; return their losses."""
    samples = len(order) or len(data.X)
    losses = np.empty(-(-samples // plan.batch_size))
    optimizer = contract.Optimizer(
        rule=int(plan.optimizer.rule),
        hyper=plan.optimizer.hyper(),
        rates=np.broadcast_to(np.float64(plan.optimizer.learning_rate), losses.shape),
        state=network._state,
        step=network._step,
        l2=plan.l2 / plan.samples,
    )
    kernels = _kernels.kernels()
    if plan.batch_size == 1:
        kernels.sgd_epoch(network._model, network.parameters, data, order, optimizer, losses)
    else:
        kernels.minibatch_epoch(network._model, network.parameters, data, order, plan.batch_size, optimizer, losses)
    return losses


def _mean_over_samples(batch_loss: npt.NDArray[np.float64], m: int, batch_size: int) -> float:
    """Return the mean of the batches' mean losses, the last weighted by its own size."""
    last = m - (len(batch_loss) - 1) * batch_size
    return float((batch_loss[:-1].sum() * batch_size + batch_loss[-1] * last) / m)


def _explain_divergence(loss: float, epoch: int, plan: Plan) -> str:
    what = "a parameter is no longer finite" if math.isfinite(loss) else f"the loss became {loss}"
    return (
        f"the training diverged in epoch {epoch}: {what} with learning rate {plan.optimizer.learning_rate:g}; the "
        "network holds its parameters from before that epoch. A smaller learning rate or standardised inputs may help."
    )


@contextmanager
def _interrupt_deferred() -> Iterator[None]:
    """Let an interrupt from the keyboard wait for the end of a kernel call, where no step is half taken."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    pending: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: pending.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if pending:
        handler(*pending[0])


def _progress_bar(samples: int) -> Any:
    """Return a bar that appears on a terminal after two seconds; None where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return tqdm(total=samples, unit=" samples", unit_scale=True, delay=2, disable=None, leave=False)
