"""What is done between the epochs of a training: validation, early stopping, a falling rate, callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn._kernels.contract import Array
from fastnn.architecture import Architecture
from fastnn.averaging import Average
from fastnn.data import Given
from fastnn.evaluation import evaluate
from fastnn.history import History
from fastnn.interrupts import InterruptDeferred
from fastnn.progress import Progress
from fastnn.schedules import LearningRate, Schedule
from fastnn.state import State
from fastnn.stopping import EarlyStopping, Patience

Callback = Callable[[History], object]


class Plateau:
    """The factor of ``schedules.reduce_on_plateau``, from the losses so far."""

    def __init__(self, schedule: Schedule) -> None:
        self._options = dict(schedule.options)
        self._floor = self._options["min_rate"] / schedule.learning_rate
        self._patience = Patience(self._options["min_delta"])
        self._drops = 0

    def take(self, loss: float) -> None:
        """Take an epoch's loss."""
        if not self._patience.take(loss) and self._patience.waited >= self._options["patience"]:
            self._drops += 1
            self._patience.begin_anew()

    @property
    def factor(self) -> float:
        """By which the learning rate is multiplied now."""
        return float(max(self._options["factor"] ** self._drops, self._floor))


class Watch:
    """Looks at a training after each epoch.

    What it counts follows from the history alone, and from what a callable monitor returned, so that a resumed training
    counts on.
    """

    def __init__(
        self,
        architecture: Architecture,
        state: State,
        validation: Given | None,
        stopping: EarlyStopping | None,
        monitor: Callable[[History], Any] | None,
        learning_rate: LearningRate,
        average: Average | None = None,
    ) -> None:
        assert state.progress is not None
        self._architecture, self._state, self._validation = architecture, state, validation
        self._progress: Progress = state.progress
        self._history = state.progress.history
        self._stopping, self._monitor = stopping, monitor
        self._averages = average is not None and average.restore
        self._patience = Patience(stopping.min_delta if stopping else 0.0)
        falls = isinstance(learning_rate, Schedule) and learning_rate.name == "reduce_on_plateau"
        self._plateau = Plateau(learning_rate) if isinstance(learning_rate, Schedule) and falls else None
        self._counted = 0  # epochs
        self.judge()

    @property
    def looks(self) -> bool:
        """Whether an epoch's end is to be seen at all."""
        return bool(self._validation is not None or self._stopping or self._plateau)

    @property
    def rate_factor(self) -> float:
        """By which the learning rate is multiplied in the next epoch."""
        return self._plateau.factor if self._plateau else 1.0

    @property
    def stops(self) -> bool:
        """Whether the last improvement is too long ago."""
        return self._stopping is not None and self._patience.waited >= self._stopping.patience

    def judge(self) -> None:
        """Record what the last epoch is worth, once; an interrupt waits for that."""
        if self.looks:
            with InterruptDeferred():
                self._validate()
                while self._counted < self._history.epochs:
                    self._count(self._counted)

    def _parameters(self) -> Array:
        """Return what the network would have, were the training over."""
        state = self._state
        return state.average if self._averages and state.average is not None else state.parameters

    def _validate(self) -> None:
        history = self._history
        if self._validation is not None and len(history.validation_loss) < history.epochs:
            loss, score = evaluate(self._architecture, self._parameters(), self._validation, self._state.target_scale)
            history.validation_loss.append(loss)
            history.validation_score.append(score)
        if self._monitor is not None and len(self._progress.monitored) < history.epochs:
            self._progress.monitored.append(_as_number(self._measure(self._monitor)))

    def _measure(self, monitor: Callable[[History], Any]) -> Any:
        """Return what a callable monitor says of the parameters that the network would have."""
        if not self._averages:
            return monitor(self._history)
        self._state.swap_average()
        try:
            return monitor(self._history)
        finally:
            self._state.swap_average()

    def _count(self, epoch: int) -> None:
        """Take the epoch of that number, from 0, into account."""
        history, progress = self._history, self._progress
        self._counted += 1
        if self._plateau:
            self._plateau.take((history.validation_loss or history.loss)[epoch])
        if self._monitor is not None:
            value = progress.monitored[epoch]
        elif self._validation is not None:
            scores = self._stopping is not None and self._stopping.monitor == "score"
            value = -history.validation_score[epoch] if scores else history.validation_loss[epoch]
        else:
            return
        if self._patience.take(value):
            history.best_epoch = epoch + 1
            if self._stopping is not None and self._stopping.restore_best and self._counted == history.epochs:
                progress.best = self._parameters().copy()

    def restore_best(self) -> None:
        """Give the network its best parameters, where early stopping is to do that."""
        progress = self._progress
        if self._stopping is not None and self._stopping.restore_best and progress.best is not None:
            self._state.parameters[:] = progress.best


def call_all(callbacks: Sequence[Callback], history: History) -> bool:
    """Call each callback; return whether one ends the training, with Python's True or NumPy's."""
    answers = [callback(history) for callback in callbacks]
    return any(isinstance(answer, bool | np.bool_) and bool(answer) for answer in answers)


def _as_number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"the monitor of early_stopping must return a number; got {value!r}") from None
