"""scikit-learn's callbacks, from 1.9 on: an epoch, or an iteration of L-BFGS, is a task of theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupportMixin
    from sklearn.callback import with_callbacks as with_callbacks
except ModuleNotFoundError:  # before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """An estimator without callbacks."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method as it is."""
        return method


class Tasks:
    """The tasks of one fit, of which an estimator's callbacks hear; without callbacks nothing happens.

    Parameters
    ----------
    estimator : estimator
        Its method is decorated by ``with_callbacks``.
    count : int
        How many there may be.
    X, y : array_like
        As they were given to ``fit``.
    attributes : callable
        Returns what a copy of the estimator needs to predict as of now.
    """

    def __init__(self, estimator: Any, count: int, X: Any, y: Any, attributes: Callable[[], dict[str, Any]]) -> None:
        self._given = {"estimator": estimator, "X": X, "y": y}
        self._attributes = attributes
        self._left = count
        self._task: Any = None
        self._fit: Any = None
        if hasattr(estimator, "_skl_callbacks") or hasattr(estimator, "_parent_callback_ctx"):
            self._fit = estimator._init_callback_context(max_subtasks=count)
            self._fit.call_on_fit_task_begin(**self._given)

    def begin(self, name: str) -> None:
        """Tell that a task begins, if there is another one."""
        if self._fit is not None and self._left > 0:
            self._left -= 1
            self._task = self._fit.subcontext(task_name=name)
            self._task.call_on_fit_task_begin(**self._given, reconstruction_attributes=self._attributes)

    def end(self) -> bool:
        """Tell that the task ends; return whether a callback wants no further one."""
        if self._task is None:
            return False
        task, self._task = self._task, None
        return bool(task.call_on_fit_task_end(**self._given, reconstruction_attributes=self._attributes))

    def close(self) -> None:
        """Tell that the fit ends."""
        self.end()
        if self._fit is not None:
            self._fit.call_on_fit_task_end(**self._given, reconstruction_attributes=self._attributes)
