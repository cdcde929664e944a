"""scikit-learn's MLPClassifier and MLPRegressor, one ``partial_fit`` an epoch, without their checks of the input."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from fastnn.bench.cells import Array, Cell, Layers
from fastnn.bench.trainers import Trainer


class _ChecksOnce:
    """Keeps what the estimator's own validation returned, so that it is not timed again in each epoch.

    ``partial_fit`` checks X and y and encodes the labels whenever it is called; in a ``fit`` of many epochs that
    happens once. Should scikit-learn rename the method, the checks are timed again and nothing else changes.
    """

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any]:
        key = (id(X), len(X))
        if getattr(self, "_checked_key", None) != key:
            self._checked = super()._validate_input(X, y, incremental, reset)  # type: ignore[misc]
            self._checked_key = key
        X, y = self._checked
        return X, y


class _Classifier(_ChecksOnce, MLPClassifier):
    pass


class _Regressor(_ChecksOnce, MLPRegressor):
    pass


class SklearnTrainer(Trainer):
    """scikit-learn's multilayer perceptron."""

    @staticmethod
    def variants(cell: Cell, threads: int) -> list[dict[str, Any]]:
        """One BLAS thread or all."""
        return [{"threads": count} for count in sorted({1, threads})]

    def prepare(self, X: Array, y: Any, layers: Layers) -> None:
        """Initialise the estimator with the smallest possible fit, then copy the initial weights into it."""
        warnings.filterwarnings("ignore", message="Got `batch_size` less than 1 or larger")
        sklearn.set_config(assume_finite=True, skip_parameter_validation=True)
        threadpool_limits(self.variant["threads"])
        cell = self.cell
        self.X, self.y, self.first = X, y, (X, y)
        regression = cell.loss == "squared_error"
        self.model = (_Regressor if regression else _Classifier)(
            hidden_layer_sizes=cell.sizes[1:-1],
            activation={"sigmoid": "logistic"}.get(cell.activation, cell.activation),
            solver=cell.optimizer,
            alpha=0,
            batch_size=cell.batch_size or len(X),
            learning_rate_init=cell.learning_rate,
            shuffle=cell.batch_size is not None,
            momentum=0,
            nesterovs_momentum=False,
            random_state=1,
        )
        classes = {} if regression else {"classes": np.arange(max(2, cell.sizes[-1]))}
        self.model.partial_fit(X[:2], y[:2], **classes)
        del self.model._optimizer  # its state; the next partial_fit makes a new one
        for level, (W, b) in enumerate(layers):
            self.model.coefs_[level][:] = W
            self.model.intercepts_[level][:] = b

    def fit(self, epochs: int, samples: int, shuffle: bool = True) -> None:
        """Call ``partial_fit`` once an epoch, always with the same array so that the checks run once."""
        if len(self.first[0]) != samples:
            self.first = self.X[:samples], self.y[:samples]
        self.model.set_params(shuffle=shuffle and self.cell.batch_size is not None)
        for _ in range(epochs):
            self.model.partial_fit(*self.first)

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the fitted attributes."""
        return list(zip(self.model.coefs_, self.model.intercepts_, strict=True))
