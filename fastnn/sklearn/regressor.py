"""MLPRegressor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import xlogy
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import d2_pinball_score, r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fastnn._kernels.contract import Array
from fastnn.activations import Activation
from fastnn.losses import Loss, find_loss
from fastnn.sklearn.documents import documented
from fastnn.sklearn.estimator import BaseMLP
from fastnn.sklearn.solvers import Samples

_LOSSES = ("squared_error", "poisson", "absolute_error", "huber", "quantile")


@documented
class MLPRegressor(RegressorMixin, BaseMLP):
    """A multilayer perceptron for real targets: ``sklearn.neural_network.MLPRegressor`` on fastnn.

    Parameters
    ----------
    loss : str or fastnn.losses.Loss, default "squared_error"
        "squared_error", "poisson" (outputs exp z, y >= 0), "absolute_error", "huber", "quantile", or one of
        `fastnn.losses` for real targets, such as ``Huber(2.0)``. Of several quantiles each has a column in ``predict``.
    {parameters}
    {last parameters}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from fastnn.sklearn import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> MLPRegressor(preset="tabular", max_iter=32, random_state=0).fit(X, y).score(X, y) > 0.4
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(set(_LOSSES)), Loss],
    }

    def __init__(
        self,
        loss: str | Loss = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Activation | Sequence[str | Activation] = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float | Sequence[float] = 0.0,
        clip_norm: float | None = None,
        n_threads: int | None = None,
        preset: str | None = None,
        categorical_features: Any = "from_dtype",
        n_ensemble: int = 1,
    ) -> None:
        self._keep(locals())

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Take one epoch of the samples, with what the optimizer knows from the calls before.

        Parameters
        ----------
        X : array_like or sparse matrix, (m, n_in)
            Samples.
        y : array_like, (m,) or (m, K)
            Targets.
        sample_weight : array_like, (m,), optional
            >= 0, not all 0.

        Returns
        -------
        self
        """
        self._fit(X, y, sample_weight, (None, None, None), incremental=True)
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the prediction for each sample, (m,) or (m, K).

        Parameters
        ----------
        X : array_like or sparse matrix, (m, n_in)
            Samples.
        """
        check_is_fitted(self)
        return self._decode(self._average(self._read_samples(X)))

    def _loss(self, params: SimpleNamespace) -> Loss:
        loss = find_loss(params.loss)
        if loss.classifies:
            raise ValueError(f"loss must be one of real targets; got {loss.name!r}")
        return loss

    def _output_layer(self, targets: npt.NDArray[Any]) -> tuple[int, str]:
        """Return the number of outputs, and the name of their unit."""
        loss = find_loss(self.loss)
        return max(len(_quantiles(loss)), targets.shape[1]), loss.output.name.lower()

    def _encode(self, y: Any, first: bool, incremental: bool) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the targets as they are scored, and as the network takes them."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return y, y.reshape(len(y), -1)

    def _decode(self, outputs: Array) -> Array:
        """Return predictions for the output unit's values."""
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def _shown_loss(self, train: Samples) -> Callable[[float], float]:
        """Return the loss without its penalty as scikit-learn has it.

        Squared errors are a mean over the outputs, Poisson's loss half the deviance.
        """
        name = find_loss(self.loss).name
        if name == "squared_error":
            return lambda loss: loss / self.n_outputs_
        if name == "poisson":
            rest = np.average(xlogy(train.targets, train.targets) - train.targets, axis=0, weights=train.weights)
            return lambda loss: loss + float(rest.sum())
        return float

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R^2 of the predictions; of several quantiles the mean of their D^2.

        Parameters
        ----------
        X : array_like or sparse matrix, (m, n_in)
            Samples.
        y : array_like, (m,) or (m, K)
            Targets.
        sample_weight : array_like, (m,), optional
            >= 0.
        """
        return self._measure(y, self.predict(X), sample_weight)

    def _measure(self, y: Any, predictions: Array, sample_weight: Any) -> float:
        """Return the score of predictions."""
        quantiles = _quantiles(find_loss(self.loss))
        if len(quantiles) == 1:
            return float(r2_score(y, predictions, sample_weight=sample_weight))
        each = zip(predictions.T, quantiles, strict=True)
        return float(np.mean([d2_pinball_score(y, h, alpha=q, sample_weight=sample_weight) for h, q in each]))


def _quantiles(loss: Loss) -> Sequence[float]:
    """Return the levels of several quantiles of one target; one number for any other loss."""
    levels = getattr(loss, "quantiles", 0.5)
    return levels if isinstance(levels, tuple) else (0.5,)
