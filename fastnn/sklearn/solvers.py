"""scikit-learn's solvers on fastnn's kernels: the epochs of sgd and adam with its rules of stopping, and lbfgs."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.optimize import _check_optimize_result

from fastnn import backend, schedules
from fastnn.history import DivergenceError, History
from fastnn.network import Network
from fastnn.optimizers import SGD, Adam, Optimizer
from fastnn.schedules import LearningRate
from fastnn.sklearn.callbacks import Tasks
from fastnn.sklearn.presets import rate_factors

SCHEDULES = ("coslog4", "cosine", "one_cycle")  # of fastnn.schedules, which a rate alone makes
_NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)
_SMALLEST_RATE, _RATE_DIVISOR = 1e-6, 5.0  # of learning_rate="adaptive"


class Samples(NamedTuple):
    """Samples as the network takes them, with the targets as they are scored."""

    X: Any  # an array or a sparse matrix
    y: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    weights: npt.NDArray[Any] | None

    def take(self, rows: npt.NDArray[np.int64]) -> Samples:
        """Return some of them."""
        weights = None if self.weights is None else self.weights[rows]
        return Samples(self.X[rows], self.y[rows], self.targets[rows], weights)


class Order:
    """scikit-learn's order of the samples: each epoch shuffles that of the one before."""

    def __init__(self, rng: np.random.RandomState) -> None:
        self._rng = rng
        self._order = np.arange(0)

    def __call__(self, samples: int) -> npt.NDArray[np.int64]:
        """Return the rows of the next epoch."""
        places = np.arange(samples)
        self._rng.shuffle(places)
        self._order = self._order[places] if len(self._order) else places
        return self._order


class Descent:
    """The epochs of one call of ``fit`` or ``partial_fit``.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Its attributes are brought up to date after each epoch.
    network : Network
        What is trained.
    asked : SimpleNamespace
        The parameters, see `fastnn.sklearn.presets.asked`.
    train : Samples
        What it is trained on.
    validation : Samples, optional
        What early stopping looks at.
    tasks : Tasks
        Of scikit-learn's callbacks.
    """

    def __init__(
        self,
        estimator: Any,
        network: Network,
        asked: SimpleNamespace,
        train: Samples,
        validation: Samples | None,
        tasks: Tasks,
    ) -> None:
        self.estimator, self.network, self.asked = estimator, network, asked
        self.train, self.validation, self.tasks = train, validation, tasks
        self.batch_size = _batch_size(asked, train.X.shape[0])
        self.l2 = _l2(asked.alpha, train, self.batch_size)
        self.order = Order(estimator._random_state) if asked.shuffle else False
        self.shown = estimator._shown_loss(train)
        self.penalty = _penalty(network, self.l2, train)
        self.best = None if validation is None else network.parameters.copy()
        self.ended = False

    def run(self, epochs: int) -> None:
        """Take at most so many epochs, the first of them at the estimator's learning rate."""
        self.epochs = epochs
        while not self.ended and self.estimator.n_iter_ < epochs:
            rate = self.estimator._rate
            self._train(rate)
            if self.estimator._rate != rate:  # scikit-learn's velocity is in steps: it keeps the old rate
                self.network.state.optimizer_state *= rate / self.estimator._rate
        if self.best is not None:
            self.network.parameters[:] = self.best

    def _train(self, rate: float) -> None:
        """Train at one learning rate, until the epochs are over or something changes."""
        asked, train, by_preset = self.asked, self.train, self.asked.preset == "tabular"
        self.tasks.begin("epoch")
        try:
            history = self.network.fit(
                train.X,
                train.targets,
                train.weights,
                optimizer=find_optimizer(asked, rate),
                batch_size=self.batch_size,
                epochs=self.epochs - self.estimator.n_iter_,
                l2=self.l2,
                rate_factors=rate_factors(self.network.sizes) if by_preset else None,
                scale_targets=by_preset and not self.network.architecture.loss.classifies,
                shuffle=self.order,
                callback=self._end_epoch,
                check_finite=False,
                progress=False,
            )
        except DivergenceError as error:
            self._diverge(error)
            return
        if history.interrupted:
            self.ended = True
            warnings.warn("Training interrupted by user.", stacklevel=5)

    def _end_epoch(self, network: Network, history: History) -> bool:
        """Count an epoch by scikit-learn's rules; return whether the training at this rate ends."""
        estimator, asked = self.estimator, self.asked
        estimator.n_iter_ += 1
        estimator.t_ += self.train.X.shape[0]
        estimator.loss_ = self.shown(history.loss[-1] - self.penalty) + self.penalty
        self.penalty = _penalty(network, self.l2, self.train)
        estimator.loss_curve_.append(estimator.loss_)
        if asked.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
        self._judge()
        rate = estimator._rate
        if asked.solver == "sgd" and asked.learning_rate == "invscaling":
            estimator._rate = asked.learning_rate_init / (estimator.t_ + 1) ** asked.power_t
        if estimator._no_improvement_count > asked.n_iter_no_change:
            self._give_up()
        self.ended = self.tasks.end() or self.ended
        if not self.ended and estimator.n_iter_ < self.epochs and estimator._rate == rate:
            self.tasks.begin("epoch")
            return False
        return True

    def _judge(self) -> None:
        """Compare the epoch with the best one so far."""
        estimator, asked = self.estimator, self.asked
        if self.validation is None:
            improved = estimator.loss_ <= estimator.best_loss_ - asked.tol
            estimator.best_loss_ = min(estimator.best_loss_, estimator.loss_)
        else:
            score = estimator._score(self.validation)
            estimator.validation_scores_.append(score)
            if asked.verbose:
                print(f"Validation score: {score:f}")
            best = estimator.best_validation_score_
            improved = not score < best + asked.tol
            # A schedule ends in small steps: of equal scores the last one is the best trained.
            if score > best or (score == best and asked.learning_rate in SCHEDULES):
                estimator.best_validation_score_, self.best = score, self.network.parameters.copy()
        estimator._no_improvement_count = 0 if improved else estimator._no_improvement_count + 1

    def _give_up(self) -> None:
        """End the training, or go on at a smaller rate, after too many epochs without an improvement."""
        estimator, asked = self.estimator, self.asked
        if asked.solver == "sgd" and asked.learning_rate == "adaptive" and estimator._rate > _SMALLEST_RATE:
            estimator._rate /= _RATE_DIVISOR
            estimator._no_improvement_count = 0
            what = f"Setting learning rate to {estimator._rate:f}"
        else:
            self.ended = True
            what = "Stopping."
        if asked.verbose:
            measure = "Training loss" if self.validation is None else "Validation score"
            waited = f"for {asked.n_iter_no_change} consecutive epochs"
            print(f"{measure} did not improve more than tol={asked.tol:f} {waited}. {what}")

    def _diverge(self, error: DivergenceError) -> None:
        """End at the last finite epoch; with early stopping at the best one, as scikit-learn does."""
        self.ended = True
        if self.validation is None:
            raise ValueError(_NOT_FINITE) from error
        self.estimator.validation_scores_.append(float("nan"))
        warnings.warn(str(error), ConvergenceWarning, stacklevel=5)


def minimise(estimator: Any, network: Network, asked: SimpleNamespace, train: Samples, tasks: Tasks) -> None:
    """Minimise the cost of all samples by SciPy's L-BFGS-B, with scikit-learn's limits."""
    l2 = _l2(asked.alpha, train, train.X.shape[0])
    objective = backend.objective(network, train.X, train.targets, l2, train.weights)

    def end_iteration(intermediate_result: Any) -> None:
        network.parameters[:] = intermediate_result.x
        if tasks.end():
            raise StopIteration
        tasks.begin("iteration")

    tasks.begin("iteration")
    with np.errstate(all="ignore"):  # a step of the line search may go too far
        found = scipy.optimize.minimize(
            objective,
            network.parameters.astype(np.float64),
            method="L-BFGS-B",
            jac=True,
            options={"maxfun": asked.max_fun, "maxiter": asked.max_iter, "gtol": asked.tol},
            callback=end_iteration,
        )
    network.parameters[:] = found.x
    penalty = _penalty(network, l2, train)
    estimator.loss_ = estimator._shown_loss(train)(float(found.fun) - penalty) + penalty
    estimator.n_iter_ = _check_optimize_result("lbfgs", found, asked.max_iter)
    if not np.isfinite(network.parameters).all():
        raise ValueError(_NOT_FINITE)


def find_optimizer(asked: SimpleNamespace, rate: float) -> Optimizer:
    """Return fastnn's optimizer for a solver, with scikit-learn's forms of momentum and of epsilon."""
    learning_rate: LearningRate = rate
    if asked.learning_rate in SCHEDULES:
        learning_rate = getattr(schedules, asked.learning_rate)(rate)
    if asked.solver == "sgd":
        nesterov = bool(asked.nesterovs_momentum and asked.momentum > 0)
        return SGD(learning_rate, asked.momentum, nesterov, clip_norm=asked.clip_norm)
    plain = asked.preset is None
    return Adam(learning_rate, asked.beta_1, asked.beta_2, asked.epsilon, epsilon_hat=plain, clip_norm=asked.clip_norm)


def _batch_size(asked: SimpleNamespace, samples: int) -> int:
    batch_size = asked.batch_size
    if batch_size == "auto":
        return min(200, samples)
    if batch_size > samples and asked.preset is None:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
        )
    return min(int(batch_size), samples)


def _l2(alpha: float, train: Samples, batch_size: int) -> float:
    """Return fastnn's l2 for scikit-learn's alpha.

    The penalty's gradient is l2 / m W in fastnn, in every batch. In scikit-learn it is alpha W divided by the sum of
    the batch's weights, so by the size of a batch times the mean weight.
    """
    m = train.X.shape[0]
    mean = 1.0 if train.weights is None else float(np.mean(train.weights))
    return float(alpha) * m / (batch_size * mean) if mean > 0 else 0.0


def _penalty(network: Network, l2: float, train: Samples) -> float:
    """Return the penalty's part of the loss."""
    if l2 == 0:
        return 0.0
    m: int = train.X.shape[0]
    return 0.5 * l2 / m * sum(float(np.vdot(W, W)) for W in network.weights)
