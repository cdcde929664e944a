"""The one epoch loop: a request in, a history out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn._kernels import contract, reference
from fastnn._kernels.contract import Data, Integers
from fastnn.architecture import Architecture
from fastnn.data import all_finite
from fastnn.evaluation import evaluate
from fastnn.history import DivergenceError, History
from fastnn.interrupts import InterruptDeferred
from fastnn.optimizers import Optimizer
from fastnn.shuffling import Order, random_order
from fastnn.state import State

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
_BAR_AFTER = 2.0  # seconds
_ALL_ROWS = np.empty(0, dtype=np.int64)  # the order that means first to last


class Request(NamedTuple):
    """What a training is asked to do; ``Network.fit`` explains each part."""

    optimizer: Optimizer
    batch_size: int
    epochs: int
    l2: float
    shuffle: bool
    validation: Data | None
    keep_batch_loss: bool
    callback: Callable[[History], object] | None
    verbose: bool
    progress: bool


def train(kernels: ModuleType, architecture: Architecture, state: State, data: Data, request: Request) -> History:
    """Train the state in place; KeyboardInterrupt ends it at the next boundary of kernel calls."""
    return _Training(kernels, architecture, state, data, request).run()


class _Training:
    """A training under way."""

    def __init__(
        self, kernels: ModuleType, architecture: Architecture, state: State, data: Data, request: Request
    ) -> None:
        self.kernels, self.architecture, self.state = kernels, architecture, state
        self.data, self.request = data, request
        self.samples = len(data.X)
        self.shuffled = request.shuffle and request.batch_size < self.samples  # whether their order matters
        self.history = History()
        self.hyper, self.rate = request.optimizer.hyper(), np.array([request.optimizer.learning_rate])
        self.samples_per_call = self._samples_per_call()
        self.steps_of_granule = max(1, _GRANULE // request.batch_size)
        self.bar: Any = None
        self.began, self.shows_bar = time.perf_counter(), request.progress
        self.visited = 0  # samples, in all epochs

    def run(self) -> History:
        """Take the epochs that were asked for."""
        request, history, together = self.request, self.history, self._epochs_per_call()
        try:
            while history.epochs < request.epochs:
                self._draw_and_take(min(together, request.epochs - history.epochs))
                self._validate()
                if request.verbose:
                    (self.bar.write if self.bar else print)(str(history))
                if request.callback is not None and _ends(request.callback(history)):
                    break
        except KeyboardInterrupt:
            history.interrupted = True
            self._validate()
        finally:
            if self.bar:
                self.bar.close()
        return history

    def _draw_and_take(self, epochs: int) -> None:
        """Draw the epochs' orders and take them; a divergence leaves the generator as the last finite epoch left it."""
        if not self.shuffled:
            self._take([_ALL_ROWS] * epochs)
            return
        rng, done = self.state.rng, self.history.epochs
        before = rng.bit_generator.state
        try:
            self._take([random_order(rng, self.samples) for _ in range(epochs)])
        except DivergenceError:
            rng.bit_generator.state = before
            for _ in range(self.history.epochs - done):
                random_order(rng, self.samples)
            raise

    def _validate(self) -> None:
        """Record the loss and the score on the validation data, unless they are."""
        data, history = self.request.validation, self.history
        if data is not None and len(history.validation_loss) < history.epochs:
            with InterruptDeferred():
                loss, score = evaluate(self.architecture, self.state.parameters, data)
                history.validation_loss.append(loss)
                history.validation_score.append(score)

    def _epochs_per_call(self) -> int:
        """Return how many epochs go into one kernel call: one, if anything looks at the network in between.

        Small ones are over before Python has prepared the call, in about 200 us.
        """
        request = self.request
        if request.validation is not None or request.verbose or request.callback is not None or request.l2 > 0:
            return 1
        return max(1, min(_EPOCHS_PER_CALL, self.samples_per_call // self.samples))

    def _samples_per_call(self) -> int:
        operations = _OPERATIONS_OF_NUMPY if self.kernels is reference else _OPERATIONS_PER_CALL
        samples = int(operations / (6 * len(self.state.parameters) + _OPERATIONS_PER_SAMPLE))  # 6 operations a weight
        return min(samples, _SAMPLES_OF_LISTS) if self.shuffled or self.request.batch_size == 1 else samples

    def _take(self, orders: list[Order], again: bool = False) -> None:
        """Take an epoch for each order, or none of them if one diverges."""
        began, before = time.perf_counter(), self.state.snapshot()
        penalty, interrupt = self._penalty(), None
        steps, whole = 0, len(orders) * -(-self.samples // self.request.batch_size)
        sums: list[npt.NDArray[np.float64]] = []  # of granules, a row an epoch; the steps' own only where asked for
        batch_losses: list[npt.NDArray[np.float64]] = []
        try:
            with np.errstate(all="ignore"):  # an overflow is found below, and named with its epoch
                for part, order, epochs in self._calls(orders):
                    with InterruptDeferred():
                        by_epoch = self._run(part, order, epochs).reshape(epochs, -1)
                        steps += by_epoch.size
                        sums.append(self._granule_sums(by_epoch, last=steps == whole))
                        if self.request.keep_batch_loss:
                            batch_losses.append(by_epoch)
                    if self.shows_bar and not again:
                        self._show(len(order) or len(part.X) * epochs)
        except KeyboardInterrupt as error:
            if steps < whole:
                if not all_finite(self.state.parameters):
                    self.state.restore(before)
                raise
            interrupt = error  # heard after the last step: the epochs are whole, and are recorded first
        totals: list[float] = (sums[0] if len(sums) == 1 else np.concatenate(sums, axis=1)).sum(axis=1).tolist()
        losses = [total * self.request.batch_size / self.samples + penalty for total in totals]
        if not (all(map(math.isfinite, losses)) and all_finite(self.state.parameters)):
            self.state.restore(before)
            self._diverge(orders, losses[0])
            return
        self.history.loss += losses
        self.history.seconds += [(time.perf_counter() - began) / len(orders)] * len(orders)
        if self.request.keep_batch_loss:
            self.history.batch_loss += list(np.concatenate(batch_losses, axis=1))
        if interrupt is not None:
            raise interrupt

    def _penalty(self) -> float:
        l2 = self.request.l2
        return reference.penalty(self.architecture.model, self.state.parameters, l2 / self.samples) if l2 else 0.0

    def _diverge(self, orders: list[Order], loss: float) -> None:
        """Raise the error of the epoch that diverged, after those before it; halves tell which it is."""
        if len(orders) > 1:
            middle = len(orders) // 2
            for half in (orders[:middle], orders[middle:]):
                self._take(half, again=True)
            return
        what = "a parameter is no longer finite" if math.isfinite(loss) else f"the loss became {loss}"
        raise DivergenceError(
            f"the training diverged in epoch {self.history.epochs + 1}: {what} with learning rate "
            f"{self.request.optimizer.learning_rate:g}; the network holds its parameters from before that epoch. A "
            "smaller learning rate or standardised inputs may help.",
            self.history,
        )

    def _calls(self, orders: list[Order]) -> Iterator[tuple[Data, Integers, int]]:
        """Yield the data, the order and the number of epochs of each kernel call: calls end at ends of batches."""
        if len(orders) > 1:
            yield self.data, np.concatenate([order[:] for order in orders]), len(orders)
            return
        granule = self.request.batch_size * self.steps_of_granule
        length = max(1, self.samples_per_call // granule) * granule
        for start in range(0, self.samples, length):
            stop = min(start + length, self.samples)
            whole = self.shuffled or stop - start == self.samples
            yield self.data if whole else reference.take(self.data, slice(start, stop)), orders[0][start:stop], 1

    def _run(self, data: Data, order: Integers, epochs: int) -> npt.NDArray[np.float64]:
        """Take the steps of one kernel call; return their losses."""
        state, batch_size = self.state, self.request.batch_size
        samples = len(order) // epochs or len(data.X)
        losses = np.empty(epochs * -(-samples // batch_size))
        optimizer = contract.Optimizer(
            rule=int(self.request.optimizer.rule),
            hyper=self.hyper,
            rates=np.ndarray(losses.shape, np.float64, self.rate, strides=(0,)),  # np.broadcast_to takes 4 us
            state=state.optimizer_state,
            step=state.step,
            l2=self.request.l2 / self.samples,
            seed=state.seed,
        )
        model, theta = self.architecture.model, state.parameters
        if batch_size == 1:
            self.kernels.sgd_epoch(model, theta, data, order, optimizer, losses, epochs)
        else:
            self.kernels.minibatch_epoch(model, theta, data, order, batch_size, optimizer, losses, epochs)
        return losses

    def _granule_sums(self, by_epoch: npt.NDArray[np.float64], last: bool) -> npt.NDArray[np.float64]:
        """Return sums of the steps' mean losses; an epoch's last step counts as the part of a batch that it has."""
        rest = self.samples % self.request.batch_size
        if last and rest:
            by_epoch = by_epoch.copy()
            by_epoch[:, -1] *= rest / self.request.batch_size
        steps = by_epoch.shape[1]
        return by_epoch if steps == 1 else np.add.reduceat(by_epoch, range(0, steps, self.steps_of_granule), axis=1)

    def _show(self, samples: int) -> None:
        """Move the bar, which appears after two seconds: tqdm takes 50 ms to import, and 30 us for a bar."""
        self.visited += samples
        if self.bar:
            self.bar.update(samples)
        elif time.perf_counter() - self.began > _BAR_AFTER:
            self.bar = _progress_bar(self.request.epochs * self.samples, self.visited)
            self.shows_bar = self.bar is not None


def _ends(answer: object) -> bool:
    """Return whether a callback's answer is Python's True or NumPy's."""
    return isinstance(answer, bool | np.bool_) and bool(answer)


def _progress_bar(samples: int, visited: int) -> Any:
    """Return a bar for a terminal; None where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return tqdm(total=samples, initial=visited, unit=" samples", unit_scale=True, disable=None, leave=False)
