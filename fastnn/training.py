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
from fastnn.shuffling import Order, random_order

if TYPE_CHECKING:
    from fastnn.network import Network

Callback = Callable[["Network", "History"], object]

# A kernel call is a pass of at most about this many floating-point operations: some 100 ms, of small networks 0.5 s, so
# that an interrupt is heard and the progress bar moves, while the 0.5 to 1 ms from one call to the next are at most a
# hundredth (at a third of it, batches of 100 of 784-512-512-10 took 2 % longer). However small the network, a sample
# takes up to 0.1 us, as long as so many operations; NumPy's steps are far slower.
_OPERATIONS_PER_CALL, _OPERATIONS_OF_NUMPY = 3e10, 1e9
_OPERATIONS_PER_SAMPLE = 5000
# Calls begin at multiples of so many samples, as far as they are whole batches: a kernel of per-sample descent may take
# blocks of samples at a time, and their boundaries, so the rounding, must not depend on the length of a call. Nor may
# the sum of the losses, which is one of sums of so many.
_GRANULE = 1024
_EPOCHS_PER_CALL = 10_000  # of a handful of samples: each has an order and a loss in a list
_SAMPLES_OF_LISTS = 1_000_000  # of a call that needs an order, or a loss, for each of its samples: 8 MB


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
        The wall time of each epoch's training, without validation and callbacks; small epochs that went into one
        call of the kernels share its time equally.
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

    def __reduce__(self) -> tuple[type[DivergenceError], tuple[str, History]]:
        """Return how a copy is made, also in another process."""
        return type(self), (str(self), self.history)


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

    @property
    def shuffled(self) -> bool:
        """Whether the order of the samples matters, and is drawn."""
        return self.shuffle and self.batch_size < self.samples


def train(network: Network, data: Data, plan: Plan) -> History:
    """Train the network in place; KeyboardInterrupt ends it at the next boundary of kernel calls."""
    history = History()
    bar = _progress_bar(plan.epochs * plan.samples) if plan.progress else None
    together = _epochs_per_call(network, plan)
    try:
        while history.epochs < plan.epochs:
            _draw_and_take(network, data, plan, min(together, plan.epochs - history.epochs), history, bar)
            _validate(network, plan, history)
            if plan.verbose:
                (bar.write if bar else print)(str(history))
            if plan.callback is not None and _ends(plan.callback(network, history)):
                break
    except KeyboardInterrupt:
        history.interrupted = True
        _validate(network, plan, history)
    finally:
        if bar:
            bar.close()
    return history


def _draw_and_take(network: Network, data: Data, plan: Plan, epochs: int, history: History, bar: Any) -> None:
    """Draw the epochs' orders and take them; a divergence leaves the generator as the last finite epoch left it."""
    generator, before, done = network.rng.bit_generator, network.rng.bit_generator.state, history.epochs
    try:
        _epochs(network, data, plan, [_order(network, plan) for _ in range(epochs)], history, bar)
    except DivergenceError:
        generator.state = before
        for _ in range(history.epochs - done):
            _order(network, plan)
        raise


def _validate(network: Network, plan: Plan, history: History) -> None:
    """Record the loss and the score on the validation data, unless they are."""
    if plan.validation is not None and len(history.validation_loss) < history.epochs:
        with _interrupt_deferred():
            loss, score = network._evaluate(plan.validation)
            history.validation_loss.append(loss)
            history.validation_score.append(score)


def _ends(answer: object) -> bool:
    """Return whether a callback's answer is Python's True or NumPy's."""
    return isinstance(answer, bool | np.bool_) and bool(answer)


def _epochs_per_call(network: Network, plan: Plan) -> int:
    """Return how many epochs go into one kernel call: one, if anything looks at the network in between.

    Small ones are over before Python has prepared the call, in about 200 us.
    """
    if plan.validation is not None or plan.verbose or plan.callback is not None or plan.l2 > 0:
        return 1
    return max(1, min(_EPOCHS_PER_CALL, _samples_per_call(network, plan) // plan.samples))


def _samples_per_call(network: Network, plan: Plan) -> int:
    operations = _OPERATIONS_OF_NUMPY if _kernels.get_backend() == "numpy" else _OPERATIONS_PER_CALL
    samples = int(operations / (6 * len(network.parameters) + _OPERATIONS_PER_SAMPLE))  # 6 operations a weight
    return min(samples, _SAMPLES_OF_LISTS) if plan.shuffled or plan.batch_size == 1 else samples


def _steps_of_granule(plan: Plan) -> int:
    return max(1, _GRANULE // plan.batch_size)


def _order(network: Network, plan: Plan) -> Order:
    """Draw the order of an epoch's samples; empty where it does not matter."""
    return random_order(network.rng, plan.samples) if plan.shuffled else np.empty(0, dtype=np.int64)


def _epochs(network: Network, data: Data, plan: Plan, orders: list[Order], history: History, bar: Any) -> None:
    """Take an epoch for each order, or none of them if one diverges."""
    began = time.perf_counter()
    before = network._snapshot()
    penalty = reference.penalty(network._model, network.parameters, plan.l2 / plan.samples) if plan.l2 else 0.0
    steps, whole = 0, len(orders) * -(-plan.samples // plan.batch_size)
    sums: list[npt.NDArray[np.float64]] = []  # of granules, a row for each epoch; the steps' own only where asked for
    batch_losses: list[npt.NDArray[np.float64]] = []
    interrupt = None
    try:
        with np.errstate(all="ignore"):  # an overflow is found below, and named with its epoch
            for part, order, epochs in _calls(network, data, plan, orders):
                with _interrupt_deferred():
                    by_epoch = _run(network, part, order, epochs, plan).reshape(epochs, -1)
                    steps += by_epoch.size
                    sums.append(_granule_sums(by_epoch, plan, last=steps == whole))
                    if plan.keep_batch_loss:
                        batch_losses.append(by_epoch)
                if bar:
                    bar.update(len(order) or len(part.X) * epochs)
    except KeyboardInterrupt as error:
        if steps < whole:
            if not all_finite(network.parameters):
                network._restore(before)
            raise
        interrupt = error  # heard after the last step: the epochs are whole, and are recorded first
    mean_losses = np.concatenate(sums, axis=1).sum(axis=1) * plan.batch_size / plan.samples
    losses: list[float] = (mean_losses + penalty).tolist()
    if not (all(map(math.isfinite, losses)) and all_finite(network.parameters)):
        network._restore(before)
        _diverge(network, data, plan, orders, history, losses[0])
        return
    history.loss += losses
    history.seconds += [(time.perf_counter() - began) / len(orders)] * len(orders)
    if plan.keep_batch_loss:
        history.batch_loss += list(np.concatenate(batch_losses, axis=1))
    if interrupt is not None:
        raise interrupt


def _diverge(network: Network, data: Data, plan: Plan, orders: list[Order], history: History, loss: float) -> None:
    """Raise the error of the epoch that diverged, after those before it; halves tell which it is."""
    if len(orders) > 1:
        middle = len(orders) // 2
        for half in (orders[:middle], orders[middle:]):
            _epochs(network, data, plan, half, history, None)
        return
    what = "a parameter is no longer finite" if math.isfinite(loss) else f"the loss became {loss}"
    raise DivergenceError(
        f"the training diverged in epoch {history.epochs + 1}: {what} with learning rate "
        f"{plan.optimizer.learning_rate:g}; the network holds its parameters from before that epoch. A smaller "
        "learning rate or standardised inputs may help.",
        history,
    )


def _calls(network: Network, data: Data, plan: Plan, orders: list[Order]) -> Iterator[tuple[Data, Integers, int]]:
    """Yield the data, the order and the number of epochs of each kernel call: calls end at boundaries of batches."""
    if len(orders) > 1:
        yield data, np.concatenate([order[:] for order in orders]), len(orders)
        return
    granule = plan.batch_size * _steps_of_granule(plan)
    length = max(1, _samples_per_call(network, plan) // granule) * granule
    for start in range(0, plan.samples, length):
        stop = min(start + length, plan.samples)
        part = data if plan.shuffled else _rows(data, start, stop)
        yield part, orders[0][start:stop], 1


def _rows(data: Data, start: int, stop: int) -> Data:
    labels = data.labels[start:stop] if data.labels.size else data.labels
    targets = data.targets[start:stop] if data.targets.size else data.targets
    return Data(data.X[start:stop], labels, targets)


def _run(network: Network, data: Data, order: Integers, epochs: int, plan: Plan) -> npt.NDArray[np.float64]:
    """Take the steps of one kernel call; return their losses."""
    samples = len(order) // epochs or len(data.X)
    losses = np.empty(epochs * -(-samples // plan.batch_size))
    optimizer = contract.Optimizer(
        rule=int(plan.optimizer.rule),
        hyper=plan.optimizer.hyper(),
        rates=np.broadcast_to(np.float64(plan.optimizer.learning_rate), losses.shape),
        state=network._state,
        step=network._step,
        l2=plan.l2 / plan.samples,
    )
    kernels, model, theta = _kernels.kernels(), network._model, network.parameters
    if plan.batch_size == 1:
        kernels.sgd_epoch(model, theta, data, order, optimizer, losses, epochs)
    else:
        kernels.minibatch_epoch(model, theta, data, order, plan.batch_size, optimizer, losses, epochs)
    return losses


def _granule_sums(by_epoch: npt.NDArray[np.float64], plan: Plan, last: bool) -> npt.NDArray[np.float64]:
    """Return sums of the steps' mean losses; an epoch's last step counts as the part of a batch that it has."""
    rest = plan.samples % plan.batch_size
    if last and rest:
        by_epoch = by_epoch.copy()
        by_epoch[:, -1] *= rest / plan.batch_size
    return np.add.reduceat(by_epoch, range(0, by_epoch.shape[1], _steps_of_granule(plan)), axis=1)


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
