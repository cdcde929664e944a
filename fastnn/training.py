"""The one epoch loop: a request in, a history out."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import closing
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastnn._kernels import contract, reference
from fastnn._kernels.contract import NO_NUMBERS, Data, Integers, Numbers, SparseRows
from fastnn.architecture import Architecture
from fastnn.data import ReadError, all_finite, feed_of, read_windows
from fastnn.history import DivergenceError, History
from fastnn.interrupts import InterruptDeferred
from fastnn.optimizers import Optimizer
from fastnn.progress import Partial, Progress
from fastnn.requests import Request
from fastnn.schedules import TrainingRates
from fastnn.shuffling import Order, WindowOrder, check_order, random_order
from fastnn.state import Snapshot, State
from fastnn.watching import Watch, call_all

# A kernel call is a pass of at most about this many floating-point operations: some 100 ms, of small networks 0.5 s, so
# that an interrupt is heard and the progress bar moves, while the 0.5 to 1 ms from one call to the next are at most a
# hundredth (at a third of it, batches of 100 of 784-512-512-10 took 2 % longer). However small the network, a sample
# takes up to 0.1 us, as long as so many operations; NumPy's steps are far slower.
_OPERATIONS_PER_CALL, _OPERATIONS_OF_NUMPY = 3e10, 1e9
_OPERATIONS_PER_SAMPLE = 5000
_TIMES_OF_SPARSE = 16  # how much longer an operation takes with rows of weights that come from memory
# Calls begin at multiples of so many samples, as far as they are whole batches: a kernel of per-sample descent may take
# blocks of samples at a time, and their boundaries, so the rounding, must not depend on the length of a call. Nor may
# the sum of the losses, which is one of sums of so many.
_GRANULE = 1024
_EPOCHS_PER_CALL = 10_000  # of a handful of samples: each has an order and a loss in a list
_SAMPLES_OF_LISTS = 1_000_000  # of a call that needs an order, or a loss, for each of its samples: 8 MB
_BAR_AFTER = 2.0  # seconds
AnyOrder: TypeAlias = Order | WindowOrder
_ALL_ROWS = np.empty(0, dtype=np.int64)  # the order that means first to last


def train(
    kernels: ModuleType,
    architecture: Architecture,
    state: State,
    data: Data,
    request: Request,
    rates: TrainingRates,
    progress: Progress,
) -> History:
    """Train the state in place, from ``progress`` on; KeyboardInterrupt ends it between two kernel calls."""
    state.progress = progress
    try:
        return _Training(kernels, architecture, state, data, request, rates).run()
    finally:
        progress.close()


class _Training:
    """A training under way."""

    def __init__(
        self,
        kernels: ModuleType,
        architecture: Architecture,
        state: State,
        data: Data,
        request: Request,
        rates: TrainingRates,
    ) -> None:
        assert state.progress is not None
        self.kernels, self.architecture, self.state = kernels, architecture, state
        self.data, self.request, self.rates, self.progress = data, request, rates, state.progress
        self.samples, self.feed = len(data.X), feed_of(data.X)
        self.own_order = request.shuffle if callable(request.shuffle) else None
        in_parts = request.batch_size < self.samples  # whether the order of the samples matters
        self.shuffled = self.own_order is not None or (bool(request.shuffle) and in_parts)
        self.history = self.progress.history
        self.steps_per_epoch = -(-self.samples // request.batch_size)
        assert isinstance(request.optimizer, Optimizer)
        self.rule, self.hyper = int(request.optimizer.rule), request.optimizer.hyper()
        self.watch = Watch(
            architecture,
            state,
            request.validation,
            request.early_stopping,
            request.monitor,
            request.optimizer.learning_rate,
            request.average,
        )
        self.clip_norm = math.inf if request.optimizer.clip_norm is None else request.optimizer.clip_norm
        self.samples_per_call = self._samples_per_call()
        self.steps_of_granule = max(1, _GRANULE // request.batch_size)
        self.bar: Any = None
        self.began, self.shows_bar = time.perf_counter(), request.progress
        self.visited = 0  # samples, in all epochs

    def run(self) -> History:
        """Take the epochs that were asked for."""
        history = self.history
        try:
            history.ended = self._take_epochs()
            self._restore_average()
            if history.ended != "callback":
                self.watch.restore_best()
        except KeyboardInterrupt:
            history.interrupted, history.ended = True, "interrupted"
            self.watch.judge()
            self._restore_average()
        except ReadError:
            self._restore_average()
            raise
        finally:
            if self.bar:
                self.bar.close()
        return history

    def _restore_average(self) -> None:
        """Give the network the average of its parameters, where it is to have that."""
        average = self.request.average
        if average is not None and average.restore and not self.state.averaged:
            self.state.swap_average()

    def _take_epochs(self) -> str:
        """Take epochs until the training ends; return why it does."""
        request, history, together = self.request, self.history, self._epochs_per_call()
        while history.epochs < request.epochs and not self.watch.stops:
            self.rates.factor = self.watch.rate_factor
            self._draw_and_take(1 if self.progress.partial else min(together, request.epochs - history.epochs))
            self.watch.judge()
            if request.verbose:
                (self.bar.write if self.bar else print)(str(history))
            if call_all(request.callbacks, history):
                return "callback"
        return "early stopping" if self.watch.stops else "epochs"

    def _draw_and_take(self, epochs: int) -> None:
        """Draw the epochs' orders and take them; what ends them leaves the generator as after the last whole one."""
        rng, taken = self.state.rng, self.history.epochs
        draws = self.shuffled and self.own_order is None
        before = rng.bit_generator.state if draws else {}
        try:
            self._take([self._draw_order() for _ in range(epochs)])
        except BaseException:
            whole = self.history.epochs - taken
            if draws and whole < epochs:
                rng.bit_generator.state = before
                for _ in range(whole):
                    random_order(rng, self.samples)
            raise

    def _draw_order(self) -> AnyOrder:
        """Return the rows that an epoch visits."""
        if self.own_order is not None:
            return check_order(self.own_order(self.samples), self.samples)
        if self.feed is not None:
            return self.feed.order(self.state.rng if self.shuffled else None)
        return random_order(self.state.rng, self.samples) if self.shuffled else _ALL_ROWS

    def _epochs_per_call(self) -> int:
        """Return how many epochs go into one kernel call: one, if anything looks at the network in between.

        Small ones are over before Python has prepared the call, in about 200 us.
        """
        request = self.request
        looks = self.watch.looks or request.verbose or request.callbacks
        if looks or self.feed is not None or request.l2 > 0 or request.l1 > 0:
            return 1
        return max(1, min(_EPOCHS_PER_CALL, self.samples_per_call // self.samples))

    def _samples_per_call(self) -> int:
        operations = _OPERATIONS_OF_NUMPY if self.kernels is reference else _OPERATIONS_PER_CALL
        samples = int(operations / (6 * self._weights_per_sample() + _OPERATIONS_PER_SAMPLE))  # 6 operations a weight
        return min(samples, _SAMPLES_OF_LISTS) if self.shuffled or self.request.batch_size == 1 else samples

    def _weights_per_sample(self) -> float:
        """Return how many weights a sample needs; those of sparse ones take longer, and each step may take all."""
        weights, X = len(self.state.parameters), self.data.X
        if not isinstance(X, SparseRows):
            return weights
        inputs, units = self.architecture.sizes[:2]
        first = float(X.lengths.mean()) + inputs / self.request.batch_size
        return weights - inputs * units + _TIMES_OF_SPARSE * units * first

    def _take(self, orders: list[AnyOrder], again: bool = False) -> None:
        """Take an epoch for each order, or none of them if one diverges."""
        began, before, interrupt = time.perf_counter(), self.state.snapshot(), None
        partial = self.progress.partial or Partial(self._penalty())
        self.progress.partial, beginning = partial, partial.copy()
        try:
            # An overflow is found below, and named with its epoch.
            with np.errstate(all="ignore"), closing(self._calls(orders, partial.samples)) as calls:
                for part, order, epochs in calls:
                    with InterruptDeferred():
                        self._call(part, order, epochs, partial)
                    if self.shows_bar and not again:
                        self._show(len(order) or len(part.X) * epochs)
        except KeyboardInterrupt as error:
            if partial.samples < len(orders) * self.samples:
                if not all_finite(self.state.parameters):
                    self._go_back(before, beginning)
                raise
            interrupt = error  # heard after the last step: the epochs are whole, and are recorded first
        except ReadError as error:
            if not all_finite(self.state.parameters):
                self._go_back(before, beginning)
            raise self._stopped(error) from error
        except Exception:  # of a callable that gives the learning rates
            self._go_back(before, beginning)
            raise
        self._record(orders, began, before, partial)
        if interrupt is not None:
            raise interrupt

    def _call(self, data: Data, order: Integers, epochs: int, partial: Partial) -> None:
        """Do one kernel call, and note what it did."""
        first = self.history.epochs * self.steps_per_epoch + partial.samples // self.request.batch_size
        by_epoch = self._run(data, order, epochs, first).reshape(epochs, -1)
        partial.samples += len(order) or len(data.X) * epochs
        last = partial.samples % self.samples == 0
        partial.sums.append(self._granule_sums(by_epoch, last))  # the steps' own losses only where asked for
        if self.request.keep_batch_loss:
            partial.losses.append(by_epoch)

    def _stopped(self, error: ReadError) -> ReadError:
        """Return the error of samples that could not be read, with what the network is left as."""
        done = 0 if self.progress.partial is None else self.progress.partial.samples
        where = f"{done} samples into epoch {self.history.epochs + 1}"
        way = "" if self.feed is not None and self.feed.once else "; resume=True goes on from there"
        return ReadError(f"{error}. The network is as after its last whole step, {where}{way}.")

    def _go_back(self, before: Snapshot, beginning: Partial) -> None:
        self.state.restore(before)
        self.progress.partial = beginning if beginning.samples else None

    def _record(self, orders: list[AnyOrder], began: float, before: Snapshot, partial: Partial) -> None:
        """Make history of epochs that are whole, unless one diverged."""
        self.progress.partial = None
        sums = partial.sums
        totals: list[float] = (sums[0] if len(sums) == 1 else np.concatenate(sums, axis=1)).sum(axis=1).tolist()
        losses = [total * self.request.batch_size / self.samples + partial.penalty for total in totals]
        if not (all(map(math.isfinite, losses)) and all_finite(self.state.parameters)):
            self.state.restore(before)
            self._diverge(orders, losses[0])
            return
        self.history.loss += losses
        self.history.seconds += [(time.perf_counter() - began) / len(orders)] * len(orders)
        if self.request.keep_batch_loss:
            self.history.batch_loss += list(np.concatenate(partial.losses, axis=1))

    def _penalty(self) -> float:
        l2, l1 = self.request.l2 / self.samples, self.request.l1 / self.samples
        return reference.penalty(self.architecture.model, self.state.parameters, l2, l1)

    def _diverge(self, orders: list[AnyOrder], loss: float) -> None:
        """Raise the error of the epoch that diverged, after those before it; halves tell which it is."""
        if len(orders) > 1:
            middle = len(orders) // 2
            for half in (orders[:middle], orders[middle:]):
                self._take(half, again=True)
            return
        what = "a parameter is no longer finite" if math.isfinite(loss) else f"the loss became {loss}"
        rate = self.rates.of(self.history.epochs * self.steps_per_epoch, self.steps_per_epoch).max()
        raise DivergenceError(
            f"the training diverged in epoch {self.history.epochs + 1}: {what} with learning rate {rate:g}; the "
            "network holds its parameters from before that epoch. A smaller learning rate or standardised inputs may "
            "help.",
            self.history,
        )

    def _calls(self, orders: list[AnyOrder], visited: int) -> Generator[tuple[Data, Integers, int], None, None]:
        """Yield the data, the order and the number of epochs of each kernel call: calls end at ends of batches."""
        if len(orders) > 1:
            drawn = [order[:] for order in orders if not isinstance(order, WindowOrder)]  # several: of data in memory
            yield self.data, np.concatenate(drawn), len(orders)
            return
        granule = self.request.batch_size * self.steps_of_granule
        length = max(1, self.samples_per_call // granule) * granule
        with closing(self._windows(orders[0], visited, granule)) as windows:
            for data, order, first in windows:
                samples = len(order) or len(data.X)
                for start in range(first, samples, length):
                    stop = min(start + length, samples)
                    whole = len(order) > 0 or stop - start == samples
                    yield data if whole else reference.take(data, slice(start, stop)), order[start:stop], 1

    def _windows(self, order: AnyOrder, visited: int, granule: int) -> Generator[tuple[Data, Order, int], None, None]:
        """Yield the data that are in memory together, their order, and where in that to begin."""
        if isinstance(order, WindowOrder):
            assert self.feed is not None
            with closing(read_windows(self.feed, self.data, order, visited, granule)) as found:
                for data, places in found:
                    yield data, places, 0
        else:
            yield self.data, order, visited

    def _run(self, data: Data, order: Integers, epochs: int, first: int) -> npt.NDArray[np.float64]:
        """Take the steps of one kernel call, from number ``first`` of the training on; return their losses."""
        state, batch_size = self.state, self.request.batch_size
        samples = len(order) // epochs or len(data.X)
        losses = np.empty(epochs * -(-samples // batch_size))
        optimizer = contract.Optimizer(
            rule=self.rule,
            hyper=self.hyper,
            rates=self.rates.of(first, len(losses)),
            state=state.optimizer_state,
            step=state.step,
            l2=self.request.l2 / self.samples,
            l1=self.request.l1 / self.samples,
            clip_norm=self.clip_norm,
            factors=self.request.factors,
            average=NO_NUMBERS if state.average is None else state.average,
            average_rates=self._shares(first, len(losses)),
            seed=state.seed,
            input_scale=NO_NUMBERS if state.input_scale is None else state.input_scale,
            input_factor=self.request.input_factor,
        )
        self.progress.largest_rate = max(self.progress.largest_rate, float(optimizer.rates.max()))
        model, theta = self.architecture.model, state.parameters
        if batch_size == 1:
            self.kernels.sgd_epoch(model, theta, data, order, optimizer, losses, epochs)
        else:
            self.kernels.minibatch_epoch(model, theta, data, order, batch_size, optimizer, losses, epochs)
        return losses

    def _shares(self, first: int, steps: int) -> Numbers:
        """Return how far the average goes towards the parameters after each step."""
        average = self.request.average
        return (
            NO_NUMBERS if average is None else average.shares(first, steps, self.steps_per_epoch, self.request.epochs)
        )

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
            self.bar = progress_bar(self.request.epochs * self.samples, " samples", self.visited)
            self.shows_bar = self.bar is not None


def progress_bar(total: int, unit: str, done: int = 0) -> Any:
    """Return a bar for a terminal; None where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return tqdm(total=total, initial=done, unit=unit, unit_scale=True, disable=None, leave=False)
