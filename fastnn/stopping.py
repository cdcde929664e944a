"""When a training ends early: after so many epochs without a better one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastnn._checks import check_flag, check_integer, check_real

MONITORS = ("loss", "score")


@dataclass(frozen=True)
class EarlyStopping:
    """End a training after ``patience`` epochs in a row without an improvement.

    Parameters
    ----------
    patience : int, default 10
        Epochs, >= 1.
    min_delta : float, default 0
        >= 0; a smaller improvement is none.
    monitor : {"loss", "score"} or callable, default "loss"
        What must improve: the validation loss, which is to fall, the validation score, which is to rise, or what
        ``monitor(network, history)`` returns after each epoch, a number that is to fall. NaN is no improvement.
    restore_best : bool, default True
        Give the network the parameters of the best epoch, ``history.best_epoch``, when the training is over. It is not,
        if a callback or an interrupt ends it: it can then be resumed.

    References
    ----------
    Prechelt: Early stopping, but when? In: Neural Networks: Tricks of the Trade. Springer 1998.

    Examples
    --------
    >>> import fastnn
    >>> (X, y), test = fastnn.datasets.load_digits()
    >>> net = fastnn.Network((784, 16, 10), rng=0)
    >>> stopping = fastnn.EarlyStopping(patience=2, monitor="score")
    >>> history = net.fit(X, y, epochs=20, validation_data=test, early_stopping=stopping)
    >>> history.best_epoch <= history.epochs
    True
    """

    patience: int = 10
    min_delta: float = 0.0
    monitor: str | Callable[[Any, Any], float] = "loss"
    restore_best: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "patience", check_integer("patience", self.patience, low=1))
        object.__setattr__(self, "min_delta", check_real("min_delta", self.min_delta, low=0))
        if not callable(self.monitor) and self.monitor not in MONITORS:
            known = "one of loss, score, or callable, monitor(network, history)"
            raise ValueError(f"monitor must be {known}; got {self.monitor!r}")
        object.__setattr__(self, "restore_best", check_flag("restore_best", self.restore_best))


def find_early_stopping(early_stopping: EarlyStopping | bool | None, validates: bool) -> EarlyStopping | None:
    """Return what ``fit`` is to stop by; None for no early stopping."""
    if early_stopping is None or early_stopping is False:
        return None
    found = EarlyStopping() if early_stopping is True else early_stopping
    if not isinstance(found, EarlyStopping):
        raise TypeError(f"early_stopping must be True, False or a fastnn.EarlyStopping; got {early_stopping!r}")
    if not validates and not callable(found.monitor):
        raise ValueError(f"early_stopping by the validation {found.monitor} needs validation_data; got None")
    return found


class Patience:
    """Counts the epochs since the lowest value.

    Attributes
    ----------
    lowest, epoch : float, int
        The lowest value so far, and the epoch that had it, from 1; inf and 0 before there is one.
    waited : int
        Epochs since then, or since ``begin_anew``.
    """

    def __init__(self, min_delta: float = 0.0) -> None:
        self._min_delta = min_delta
        self._epochs = 0
        self.lowest, self.epoch, self.waited = math.inf, 0, 0

    def take(self, value: float) -> bool:
        """Take an epoch's value; return whether it is an improvement."""
        self._epochs += 1
        better = value < self.lowest - self._min_delta
        if better:
            self.lowest, self.epoch, self.waited = value, self._epochs, 0
        else:
            self.waited += 1
        return better

    def begin_anew(self) -> None:
        """Count from here on; the lowest value stays."""
        self.waited = 0
