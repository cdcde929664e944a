"""What both estimators are: scikit-learn's parameters, checks and attributes around a `fastnn.Network`."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, _fit_context, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from fastnn import _kernels
from fastnn._kernels.contract import Array
from fastnn.activations import ACTIVATIONS, Activation
from fastnn.data import Standardizer
from fastnn.network import Network
from fastnn.sklearn.callbacks import CallbackSupportMixin, Tasks, with_callbacks
from fastnn.sklearn.presets import PRESETS, asked, glorot_arrays, tangent_arrays
from fastnn.sklearn.solvers import SCHEDULES, Descent, Samples, find_optimizer, minimise

_STOCHASTIC = ("sgd", "adam")


class BaseMLP(CallbackSupportMixin, BaseEstimator):
    """What `MLPClassifier` and `MLPRegressor` share.

    ``coefs_`` and ``intercepts_`` are the model. The network that trains and predicts has its parameters in the same
    memory, and takes over what is assigned to them.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"logistic", *ACTIVATIONS}), Activation, list, tuple],
        "solver": [StrOptions({"lbfgs", *_STOCHASTIC})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", *SCHEDULES})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "preset": [StrOptions(set(PRESETS)), None],
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
        "n_ensemble": [Interval(Integral, 1, None, closed="left")],
    }
    _doc_link_module = "fastnn"
    _doc_link_template = "https://github.com/fastnn-cpu/fastnn/blob/main/docs/scikit-learn.md"

    coefs_: list[Array]
    intercepts_: list[Array]
    _network: Network | None
    _views: list[Array]
    _seed = 0  # of dropout's masks

    def _keep(self, given: dict[str, Any]) -> None:
        """Keep the parameters of ``__init__``."""
        for name in self._get_param_names():
            setattr(self, name, given[name])

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> BaseMLP:
        """Train on samples X, (m, n_in), with their targets.

        Parameters
        ----------
        X : array_like or sparse matrix, (m, n_in)
            Samples; float32 stays that, anything else is computed in float64. With a preset also a data frame with
            categories, strings and missing values.
        y : array_like, (m,) or (m, K)
            Labels, answers of several labels (0 and 1), or real numbers.
        sample_weight : array_like, (m,), optional
            >= 0, not all 0. In a batch they are divided by their mean over all samples, where scikit-learn divides by
            the batch's.
        X_val, y_val, sample_weight_val : array_like, optional
            What ``early_stopping`` looks at in the place of a part of X.

        Returns
        -------
        self
        """
        if self.n_ensemble > 1:
            return self._fit_ensemble(X, y, sample_weight, X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    def _fit_ensemble(self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any, weight_val: Any) -> BaseMLP:
        """Train networks with seeds of their own, side by side; the attributes are those of the first."""
        if self.warm_start:
            raise ValueError("warm_start=True does not support n_ensemble > 1")
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=self.n_ensemble)
        members = [clone(self).set_params(n_ensemble=1, random_state=int(seed)) for seed in seeds]
        validation = {"X_val": X_val, "y_val": y_val, "sample_weight_val": weight_val}
        threads = self.n_threads or _kernels.get_num_threads()
        jobs = min(threads, self.n_ensemble)
        train = delayed(_fit_with_threads)
        members = Parallel(jobs, prefer="threads")(
            train(member, threads // jobs, X, y, sample_weight, **validation) for member in members
        )
        own = self._get_param_names()
        self.__dict__.update({name: value for name, value in vars(members[0]).items() if name not in own})
        self.estimators_ = members
        return self

    def _check_solver(self) -> bool:
        if self.solver not in _STOCHASTIC:
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, Any, Any], incremental: bool = False
    ) -> BaseMLP:
        params = asked(self)
        self._check(params, validation, incremental)
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        self.__dict__.pop("estimators_", None)
        given = X, y
        with _kernels.thread_limit(params.n_threads):
            X, y = self._validate(X, y, reset=first)
            y, targets = self._encode(y, first, incremental)
            train = Samples(X, y, targets, None)
            train = train._replace(weights=self._weights(sample_weight, train))
            self._random_state = check_random_state(params.random_state)
            held_out = self._read_validation(*validation)
            if first:
                self._begin(train, params)
            elif not incremental:
                self._network = None  # and with it the optimizer's state
            if params.solver in _STOCHASTIC and (first or not self._is_counted(params.early_stopping)):
                self._begin_counting(params.early_stopping)
            if params.early_stopping and held_out is None and params.solver in _STOCHASTIC:
                train, held_out = self._split(train, params.validation_fraction)
            network = self._current()
            tasks = Tasks(self, params.max_iter, *given, self._as_of_now)
            if params.solver == "lbfgs":
                minimise(self, network, params, train, tasks)
            else:
                self._descend(Descent(self, network, params, train, held_out, tasks), params, incremental)
            tasks.close()
        return self

    def _descend(self, descent: Descent, params: SimpleNamespace, incremental: bool) -> None:
        """Take the epochs."""
        self.n_iter_ = 0
        if not incremental or not hasattr(self, "_rate"):
            self._rate = float(params.learning_rate_init)
        descent.run(1 if incremental else params.max_iter)
        if not incremental and self.n_iter_ == params.max_iter and params.learning_rate not in SCHEDULES:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({params.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _check(self, params: SimpleNamespace, validation: tuple[Any, Any, Any], incremental: bool) -> None:
        """Refuse what cannot go together."""
        X_val, y_val, sample_weight_val = validation
        if (X_val is None) != (y_val is None) or (X_val is None and sample_weight_val is not None):
            missing = "y_val" if X_val is not None else "X_val"
            raise ValueError(f"X_val and y_val belong together; got no {missing}")
        if incremental and params.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if X_val is not None and not params.early_stopping:
            raise ValueError("X_val and y_val are what early_stopping looks at; got early_stopping=False")
        if incremental and (params.preset or params.n_ensemble > 1):
            raise ValueError("partial_fit does not support preset and n_ensemble, which take all of the data")
        if params.solver == "lbfgs" and (np.any(np.asarray(params.dropout) > 0) or params.preset):
            raise ValueError("solver='lbfgs' does not support dropout and preset; got one of them")
        sizes = _hidden_sizes(params)
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")

    # --- what is read ---------------------------------------------------------------------------------------------

    def _validate(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """Return checked samples and targets."""
        numeric = not is_classifier(self)
        if self.preset is None:
            checks: dict[str, Any] = {"multi_output": True, "y_numeric": numeric}
            X, y = validate_data(self, X, y, accept_sparse=_SPARSE, dtype=_DTYPES, reset=reset, **checks)
            return X, y
        from fastnn.sklearn.preprocessing import TabularPreprocessor

        X = validate_data(self, X, skip_check_array=True, reset=reset)
        y = _check_y(y, multi_output=True, y_numeric=numeric, estimator=self)
        check_consistent_length(X, y)
        if reset:
            self._preprocessor = TabularPreprocessor(categorical_features=self.categorical_features).fit(X)
        return self._preprocessor.transform(X), y

    def _read_samples(self, X: Any) -> Any:
        """Return checked samples to predict, sparse ones as they are."""
        if self.preset is None:
            return validate_data(self, X, accept_sparse=_SPARSE, dtype=_DTYPES, reset=False)
        return self._preprocessor.transform(validate_data(self, X, skip_check_array=True, reset=False))

    def _read_validation(self, X: Any, y: Any, sample_weight: Any) -> Samples | None:
        """Return what was given to validate on."""
        if X is None:
            return None
        X, y = self._read_samples(X), np.asarray(y)
        check_consistent_length(X, y)
        return Samples(X, y, y, None if sample_weight is None else _check_sample_weight(sample_weight, X))

    def _weights(self, sample_weight: Any, train: Samples) -> npt.NDArray[Any] | None:
        return None if sample_weight is None else _check_sample_weight(sample_weight, train.X, ensure_non_negative=True)

    def _split(self, train: Samples, fraction: float) -> tuple[Samples, Samples]:
        """Return the samples to train on and those to validate on, as scikit-learn divides them."""
        stratify = self._strata(train, fraction)
        rows = np.arange(train.X.shape[0])
        parts = train_test_split(rows, random_state=self._random_state, test_size=fraction, stratify=stratify)
        if len(parts[1]) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        kept, held_out = (train.take(part) for part in parts)
        return kept, held_out

    def _strata(self, train: Samples, fraction: float) -> npt.NDArray[Any] | None:
        """Return what both parts are to have the same shares of: two classes, as in scikit-learn; with a preset all."""
        if not is_classifier(self) or train.targets.ndim > 1:
            return None
        if self.preset is None:
            return train.targets.reshape(-1, 1).astype(bool) if self.n_outputs_ == 1 else None
        counts = np.bincount(train.targets)
        enough = counts[counts > 0].min() >= 2 and fraction * train.X.shape[0] >= np.count_nonzero(counts)
        return train.targets if enough else None

    # --- the model --------------------------------------------------------------------------------------------------

    def _begin(self, train: Samples, params: SimpleNamespace) -> None:
        """Draw the initial coefficients, as scikit-learn or the preset does, and set what is counted to its start."""
        self.n_outputs_, self.out_activation_ = self._output_layer(train.targets)
        sizes = (train.X.shape[1], *_hidden_sizes(params), self.n_outputs_)
        self.n_layers_, self.n_iter_, self.t_ = len(sizes), 0, 0
        if params.preset == "tabular":
            arrays = tangent_arrays(sizes, self._random_state)
        else:
            arrays = glorot_arrays(sizes, params.activation, self._random_state)
        self.coefs_ = [W.astype(train.X.dtype, copy=False) for W, _ in arrays]
        self.intercepts_ = [b.astype(train.X.dtype, copy=False) for _, b in arrays]
        self._network, self._seed = None, 0
        if np.any(np.asarray(params.dropout) > 0):  # which scikit-learn has not: it draws no further number
            self._seed = int(self._random_state.randint(np.iinfo(np.int32).max))

    def _begin_counting(self, validates: bool) -> None:
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        self.best_loss_ = None if validates else np.inf
        self.validation_scores_: list[float] | None = [] if validates else None
        self.best_validation_score_ = -np.inf if validates else None

    def _is_counted(self, validates: bool) -> bool:
        """Return whether a warm start goes on with what was counted: by sgd or adam, and by the same measure."""
        return hasattr(self, "loss_curve_") and (self.best_loss_ is None) == validates

    @property
    def network_(self) -> Network:
        """The network, whose parameters are in the memory of ``coefs_`` and ``intercepts_``."""
        check_is_fitted(self, "coefs_")
        return self._current()

    def _current(self) -> Network:
        """Return the network, with the coefficients as they are now."""
        arrays = [*self.coefs_, *self.intercepts_]
        network: Network | None = self.__dict__.get("_network")
        if network is None or [np.shape(a) for a in arrays] != [v.shape for v in self._views]:
            network = self._network = self._new_network()
        elif all(a is view for a, view in zip(arrays, self._views, strict=True)):
            return network
        for view, array in zip([*network.weights, *network.biases], arrays, strict=True):
            view[:] = array
        self.coefs_, self.intercepts_ = network.weights, network.biases
        self._views = [*self.coefs_, *self.intercepts_]
        return network

    def _new_network(self) -> Network:
        """Return a network of the coefficients' shapes, with the optimizer's state of one that was pickled."""
        params = asked(self)
        sizes = (len(self.coefs_[0]), *(len(b) for b in self.intercepts_))
        network = Network(
            sizes,
            _activations(params.activation),
            self._loss(params),
            self.coefs_[0].dtype if self.coefs_[0].dtype == np.float32 else np.float64,
            rng=self._seed,
            init="zeros",
            dropout=params.dropout,
        )
        self._restore(network, params)
        return network

    def _restore(self, network: Network, params: SimpleNamespace) -> None:
        """Give the network what was pickled of its state."""
        held = self.__dict__.pop("_pickled", None)
        if held is not None:
            state, scale = network.state, held["target_scale"]
            state.optimizer = find_optimizer(params, params.learning_rate_init)
            state.optimizer_state, state.step = held["optimizer_state"], held["step"]
            state.target_scale = None if scale is None else Standardizer(*scale)

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes, of the network the optimizer's state alone: all else is in others."""
        state: dict[str, Any] = dict(super().__getstate__())
        network, _ = state.pop("_network", None), state.pop("_views", None)
        if network is not None:
            held, scale = network.state, network.state.target_scale
            state["_pickled"] = {
                "optimizer_state": held.optimizer_state,
                "step": held.step,
                "target_scale": None if scale is None else [scale.mean, scale.deviation],
            }
            state["coefs_"], state["intercepts_"] = ([np.array(a) for a in state[k]] for k in ("coefs_", "intercepts_"))
        return state

    def _as_of_now(self) -> dict[str, Any]:
        """Return what a copy of the estimator needs to predict."""
        names = [name for name in vars(self) if name.endswith("_") and not name.startswith("__")]
        state = self.__getstate__()
        return {**{name: state[name] for name in names if name in state}, "_network": None}

    # --- what it computes -------------------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> Array:
        """Return the output unit's values for checked samples."""
        network = self._current()
        with _kernels.thread_limit(self.n_threads):
            return network.forward(X)

    def _average(self, X: Any) -> Array:
        """Return the mean of the networks' outputs for checked samples."""
        members = getattr(self, "estimators_", [self])
        outputs: list[Array] = [member._outputs(X) for member in members]
        return outputs[0] if len(outputs) == 1 else np.mean(np.stack(outputs), axis=0)

    def _score(self, held_out: Samples) -> float:
        """Return the score of samples that have been checked; NaN if an output is not finite."""
        outputs = self._outputs(held_out.X)
        if not np.isfinite(outputs).all():
            return float("nan")
        return float(self._measure(held_out.y, self._decode(outputs), sample_weight=held_out.weights))

    def __sklearn_tags__(self) -> Any:
        """Return what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.preset is None
        if self.preset is not None:
            tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        return tags


_DTYPES, _SPARSE = (np.float64, np.float32), ["csr", "csc"]


def _fit_with_threads(member: Any, threads: int, *data: Any, **validation: Any) -> Any:
    """Return a member of an ensemble, trained with so many threads."""
    own = member.n_threads
    return member.set_params(n_threads=threads).fit(*data, **validation).set_params(n_threads=own)


def _hidden_sizes(params: SimpleNamespace) -> list[int]:
    given = params.hidden_layer_sizes
    return list(given) if hasattr(given, "__iter__") else [given]


def _activations(given: Any) -> Any:
    """Return activations by fastnn's names."""
    if isinstance(given, list | tuple):
        return [_activations(each) for each in given]
    return "sigmoid" if given == "logistic" else given
