"""MLPClassifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted

from fastnn import losses
from fastnn._kernels.contract import Array
from fastnn.activations import Activation
from fastnn.losses import Loss
from fastnn.sklearn.documents import documented
from fastnn.sklearn.estimator import BaseMLP
from fastnn.sklearn.solvers import Samples

_MULTILABEL = "multilabel-indicator"


@documented
class MLPClassifier(ClassifierMixin, BaseMLP):
    """A multilayer perceptron that chooses classes or labels: ``sklearn.neural_network.MLPClassifier`` on fastnn.

    Parameters
    ----------
    {parameters}
    loss : {"log_loss", "hinge"}, default "log_loss"
        Hinge has no probabilities.
    class_weight : "balanced" or dict of label to weight, optional
        Multiplies the weights of samples; "balanced" gives all classes the same total.
    label_smoothing : float, optional
        e in [0, 1): targets are (1 - e) y + e / K; 0 by default, 0.1 with the preset.
    {last parameters}

    Attributes
    ----------
    classes_ : ndarray, (n_classes,)
        The labels; of several labels their numbers.
    {attributes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastnn.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> MLPClassifier(max_iter=1000, random_state=0).fit(X, y).predict(X[:2])
    array([0, 0])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"log_loss", "hinge"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left"), None],
    }

    def __init__(
        self,
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
        loss: str = "log_loss",
        class_weight: str | dict[Any, float] | None = None,
        label_smoothing: float | None = None,
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
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> MLPClassifier:
        """Take one epoch of the samples, with what the optimizer knows from the calls before.

        Parameters
        ----------
        X : array_like or sparse matrix, (m, n_in)
            Samples.
        y : array_like, (m,) or (m, K)
            Labels.
        sample_weight : array_like, (m,), optional
            >= 0, not all 0.
        classes : array_like, optional
            All labels of all calls; the first one needs them.

        Returns
        -------
        self
        """
        if self.class_weight == "balanced":
            raise ValueError("class_weight='balanced' is not for partial_fit, which does not see all labels")
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer().fit(y if type_of_target(y).startswith("multilabel") else classes)
        self._fit(X, y, sample_weight, (None, None, None), incremental=True)
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the label of each sample, (m,), or of several labels 0 or 1 for each, (m, K).

        Parameters
        ----------
        X : array_like or sparse matrix, (m, n_in)
            Samples.
        """
        check_is_fitted(self)
        return self._decode(self._average(self._read_samples(X)))

    @available_if(lambda estimator: estimator._has_probabilities())
    def predict_proba(self, X: Any) -> npt.NDArray[Any]:
        """Return the probability of each class, (m, n_classes), in the order of ``classes_``.

        Parameters
        ----------
        X : array_like or sparse matrix, (m, n_in)
            Samples.
        """
        check_is_fitted(self)
        outputs: npt.NDArray[Any] = self._average(self._read_samples(X))
        return np.hstack([1 - outputs, outputs]) if self.n_outputs_ == 1 else outputs

    @available_if(lambda estimator: estimator._has_probabilities())
    def predict_log_proba(self, X: Any) -> npt.NDArray[Any]:
        """Return the logarithm of ``predict_proba``.

        Parameters
        ----------
        X : array_like or sparse matrix, (m, n_in)
            Samples.
        """
        with np.errstate(divide="ignore"):
            logarithms: npt.NDArray[Any] = np.log(self.predict_proba(X))
        return logarithms

    def _has_probabilities(self) -> bool:
        if self.loss == "hinge":
            raise AttributeError("probabilities need loss='log_loss'; got loss='hinge'")
        return True

    def _loss(self, params: SimpleNamespace) -> Loss:
        if params.loss == "hinge":
            return losses.Hinge()
        kind = losses.SoftmaxCrossEntropy if self.out_activation_ == "softmax" else losses.SigmoidCrossEntropy
        return kind(label_smoothing=params.label_smoothing or 0.0)

    def _output_layer(self, targets: npt.NDArray[Any]) -> tuple[int, str]:
        """Return the number of outputs, and the name of their unit."""
        kind, count = self._label_binarizer.y_type_, len(self.classes_)
        if kind == "multiclass" or (count == 2 and kind == "binary" and self.preset and self.loss != "hinge"):
            return count, "identity" if self.loss == "hinge" else "softmax"  # the preset's two classes, as its source's
        return count if kind == _MULTILABEL else 1, "identity" if self.loss == "hinge" else "logistic"

    def _encode(self, y: Any, first: bool, incremental: bool) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the targets as they are scored, and as the network takes them: the class's number, or a matrix."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (first and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        elif y.ndim != 1 or self.warm_start or np.any(self.classes_.take(self._places(y), mode="clip") != y):
            self._check_classes(unique_labels(y))  # in 200 us
        if self._label_binarizer.y_type_ == _MULTILABEL:
            answers = self._label_binarizer.transform(y)
            return y, np.asarray(answers.toarray() if sparse.issparse(answers) else answers, np.float64)
        return y, self._places(y)

    def _places(self, y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the place of each label among the classes, where it has one."""
        return np.searchsorted(self.classes_, y)

    def _check_classes(self, found: npt.NDArray[Any]) -> None:
        """Refuse labels that are not those of the calls before."""
        if self.warm_start:
            if set(found) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {found}"
                )
        elif len(np.setdiff1d(found, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {found}."
            )

    def _decode(self, outputs: Array) -> npt.NDArray[Any]:
        """Return labels for the output unit's values."""
        if self._label_binarizer.y_type_ == "multiclass" or self.out_activation_ == "softmax":
            labels: npt.NDArray[Any] = self.classes_[outputs.argmax(axis=1)]
            return labels
        positive = outputs > (0.0 if self.loss == "hinge" else 0.5)
        if self._label_binarizer.y_type_ == _MULTILABEL:
            answers: npt.NDArray[Any] = self._label_binarizer.inverse_transform(positive.astype(np.float64))
            return answers
        return np.asarray(self.classes_[np.minimum(positive[:, 0], len(self.classes_) - 1)])

    def _weights(self, sample_weight: Any, train: Samples) -> npt.NDArray[Any] | None:
        weights = super()._weights(sample_weight, train)
        if self.class_weight is None:
            return weights
        own: npt.NDArray[Any] = compute_sample_weight(self.class_weight, train.y)
        return own if weights is None else own * weights

    def _shown_loss(self, train: Samples) -> Callable[[float], float]:
        """Return the loss without its penalty as scikit-learn has it: as it is."""
        return float

    _measure = staticmethod(accuracy_score)

    def __sklearn_tags__(self) -> Any:
        """Return what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
