"""Optimizers: their hyperparameters and checks. The update itself runs inside the kernels.

theta are the parameters, g the gradient of one step's samples (with the penalty), alpha the learning rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np

from fastnn._checks import check_choice, check_flag, check_integer, check_real
from fastnn._kernels.contract import NO_NUMBERS, Numbers, Rule
from fastnn.schedules import LearningRate, Schedule, check_learning_rate

# Of the hyperparameters, in the order in which they are given.
_DECAY = {"low": 0.0, "below": 1.0}
_BOUNDS = dict.fromkeys(("momentum", "rho", "beta1", "beta2"), _DECAY)
_BOUNDS |= {"epsilon": {"above": 0.0}, "weight_decay": {"low": 0.0}}


@dataclass(frozen=True)
class Optimizer:
    """What every optimizer has: a learning rate, a kernel code and a number of state vectors.

    The learning rate is a number > 0, a schedule, or a callable of the progress t in [0, 1); see ``fastnn.schedules``.
    ``clip_norm``, > 0, limits the norm of a step's gradient, over all parameters: a larger gradient is scaled to it
    (Pascanu, Mikolov, Bengio: On the difficulty of training recurrent neural networks. ICML 2013).
    """

    learning_rate: LearningRate
    clip_norm: float | None = field(default=None, kw_only=True)
    rule: ClassVar[Rule]

    @property
    def name(self) -> str:
        """The name by which ``fit`` takes it."""
        return type(self).__name__.lower()

    @property
    def state_vectors(self) -> int:
        """How many vectors as long as the parameters it keeps from step to step."""
        return 1

    def base_rate(self, of_callable: float = 0.0) -> float:
        """Return the learning rate as a number: that of a schedule, and of a callable what is given here."""
        if isinstance(self.learning_rate, float):
            return self.learning_rate
        return self.learning_rate.learning_rate if isinstance(self.learning_rate, Schedule) else of_callable

    def hyper(self) -> Numbers:
        """Return (first, second, epsilon, weight_decay, variant) as the kernels take them."""
        value = vars(self)
        first = value.get("momentum", value.get("beta1", 0.0))
        second = value.get("rho", value.get("beta2", 0.0))
        variant = value.get("nesterov", value.get("epsilon_hat", False))
        return np.array([first, second, value.get("epsilon", 0.0), value.get("weight_decay", 0.0), variant], np.float64)

    def __post_init__(self) -> None:
        values = vars(self)
        values["learning_rate"] = check_learning_rate(self.learning_rate)
        for key in ("nesterov", "epsilon_hat"):
            if key in values:
                values[key] = check_flag(key, values[key])
        if self.clip_norm is not None:
            values["clip_norm"] = check_real("clip_norm", self.clip_norm, above=0)
        for key, bounds in _BOUNDS.items():
            if key in values:
                values[key] = check_real(key, values[key], **bounds)  # as float, for saving


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: v <- momentum v + g, theta <- theta - alpha v.

    Parameters
    ----------
    learning_rate : float, Schedule or callable, default 0.01
        alpha > 0.
    momentum : float, default 0
        In [0, 1); 0 is the textbook's gradient descent, theta <- theta - alpha g.
    nesterov : bool, default False
        Step by g + momentum v instead of v.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep learning. ICML 2013.

    Examples
    --------
    >>> import fastnn
    >>> (X, y), test = fastnn.datasets.load_digits()
    >>> net = fastnn.Network((784, 16, 10), rng=0)
    >>> history = net.fit(X, y, optimizer=fastnn.SGD(0.1, momentum=0.9, nesterov=True), epochs=1)
    """

    learning_rate: LearningRate = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    rule: ClassVar[Rule] = Rule.SGD

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs a momentum > 0; got momentum=0")

    @property
    def state_vectors(self) -> int:
        """One, the velocity, if there is momentum."""
        return int(self.momentum > 0)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """s <- rho s + (1 - rho) g^2, theta <- theta - alpha g / (sqrt(s) + epsilon).

    Parameters
    ----------
    learning_rate : float, Schedule or callable, default 0.001
        alpha > 0.
    rho : float, default 0.9
        Decay of the mean square, in [0, 1).
    epsilon : float, default 1e-8
        Added to the root; > 0.

    References
    ----------
    Tieleman, Hinton: Lecture 6.5, rmsprop. Coursera: Neural networks for machine learning, 2012.

    Examples
    --------
    >>> import fastnn
    >>> (X, y), test = fastnn.datasets.load_digits()
    >>> net = fastnn.Network((784, 16, 10), rng=0)
    >>> history = net.fit(X, y, optimizer=fastnn.RMSprop(1e-3), epochs=1)
    """

    learning_rate: LearningRate = 1e-3
    rho: float = 0.9
    epsilon: float = 1e-8
    rule: ClassVar[Rule] = Rule.RMSPROP


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam: moments v and s of g, corrected for their bias; theta <- theta - alpha v_hat / (sqrt(s_hat) + epsilon).

    v <- beta1 v + (1 - beta1) g, s <- beta2 s + (1 - beta2) g^2, v_hat = v / (1 - beta1^t), s_hat = s / (1 - beta2^t).

    Parameters
    ----------
    learning_rate : float, Schedule or callable, default 0.001
        alpha > 0.
    beta1, beta2 : float, default 0.9, 0.999
        Decay of the first and second moment, each in [0, 1).
    epsilon : float, default 1e-8
        Added to the root; > 0.
    epsilon_hat : bool, default False
        Add epsilon to sqrt(s), before its bias is corrected: the form of the paper's section 2, of TensorFlow and
        scikit-learn. The steps of a training's beginning are then shorter where gradients are small.

    References
    ----------
    Kingma, Ba: Adam: a method for stochastic optimization. ICLR 2015.

    Examples
    --------
    >>> import fastnn
    >>> (X, y), test = fastnn.datasets.load_digits()
    >>> net = fastnn.Network((784, 16, 10), rng=0)
    >>> falling = fastnn.schedules.cosine(3e-3)
    >>> history = net.fit(X, y, optimizer=fastnn.Adam(falling, clip_norm=1.0), epochs=1)
    """

    learning_rate: LearningRate = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_hat: bool = field(default=False, kw_only=True)
    rule: ClassVar[Rule] = Rule.ADAM

    @property
    def state_vectors(self) -> int:
        """Two, the moments."""
        return 2


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam after W <- (1 - alpha weight_decay) W: decay apart from the gradient, on weights and not on biases.

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon, epsilon_hat
        As in ``Adam``.
    weight_decay : float or sequence of float, default 0.01
        >= 0; of all layers of weights, or one for each.

    References
    ----------
    Loshchilov, Hutter: Decoupled weight decay regularization. ICLR 2019.

    Examples
    --------
    >>> import fastnn
    >>> (X, y), test = fastnn.datasets.load_digits()
    >>> net = fastnn.Network((784, 16, 10), rng=0)
    >>> history = net.fit(X, y, optimizer=fastnn.AdamW(1e-3, weight_decay=[0.1, 0.01]), epochs=1)
    """

    weight_decay: float | Sequence[float] = 0.01
    rule: ClassVar[Rule] = Rule.ADAMW

    def __post_init__(self) -> None:
        """Check the hyperparameters."""
        decay = self.weight_decay
        if isinstance(decay, list | tuple | np.ndarray):
            decays = tuple(check_real(f"weight_decay[{i}]", each, low=0) for i, each in enumerate(decay))
            object.__setattr__(self, "weight_decay", 1.0)  # the factor of each
            super().__post_init__()
            object.__setattr__(self, "weight_decay", decays)
        else:
            super().__post_init__()

    def hyper(self) -> Numbers:
        """Return the hyperparameters; a decay of 1 where `layer_factors` has those of the layers."""
        if isinstance(self.weight_decay, tuple):
            return replace(self, weight_decay=1.0).hyper()
        return super().hyper()


@dataclass(frozen=True)
class LBFGS:
    """L-BFGS on all samples, for small data: a quasi-Newton method with a line search, by SciPy (the extra ``lbfgs``).

    An epoch is one iteration, mostly of one evaluation of the cost and its gradient; ``history.loss`` has the cost
    before it. The training ends early, "converged", where the gradient is small or rounding hides any gain. Its memory
    begins anew with each call of ``fit``, and so it cannot be resumed.

    Parameters
    ----------
    history : int, default 10
        Steps that are remembered, >= 1.
    tolerance : float, default 1e-5
        >= 0: the training ends where no element of the gradient is larger.

    References
    ----------
    Byrd, Lu, Nocedal, Zhu: A limited memory algorithm for bound constrained optimization. SIAM Journal on Scientific
    Computing 16, 1995.

    Examples
    --------
    >>> import fastnn
    >>> (X, y), test = fastnn.datasets.load_digits()
    >>> net = fastnn.Network((784, 10), rng=0)
    >>> history = net.fit(X[:500], y[:500], optimizer=fastnn.LBFGS(tolerance=1e-4), l2=1.0, epochs=20)
    """

    history: int = 10
    tolerance: float = 1e-5
    state_vectors: ClassVar[int] = 0

    @property
    def name(self) -> str:
        """The name by which ``fit`` takes it."""
        return "lbfgs"

    def __post_init__(self) -> None:
        object.__setattr__(self, "history", check_integer("history", self.history, low=1))
        object.__setattr__(self, "tolerance", check_real("tolerance", self.tolerance, low=0))


AnyOptimizer: TypeAlias = Optimizer | LBFGS
OPTIMIZERS: dict[str, type[Any]] = {kind.__name__.lower(): kind for kind in (SGD, RMSprop, Adam, AdamW, LBFGS)}
_DEFAULTS: dict[str, AnyOptimizer] = {name: kind() for name, kind in OPTIMIZERS.items()}


def find_optimizer(optimizer: str | AnyOptimizer, learning_rate: LearningRate | None = None) -> AnyOptimizer:
    """Return the optimizer of that name, or the one given, with the learning rate where one is given."""
    if isinstance(optimizer, AnyOptimizer) and type(optimizer) is not Optimizer:
        found = optimizer
    else:
        found = _DEFAULTS[check_choice("optimizer", optimizer, OPTIMIZERS)]
    if isinstance(found, LBFGS):
        if learning_rate is not None:
            raise ValueError(f"learning_rate must be None for lbfgs, which has a line search; got {learning_rate!r}")
        return found
    return found if learning_rate is None else replace(found, learning_rate=learning_rate)


def find_minimizer() -> Callable[..., Any]:
    """Return ``scipy.optimize.minimize``.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    """
    try:
        from scipy.optimize import minimize
    except ModuleNotFoundError as error:
        raise ImportError("optimizer='lbfgs' needs SciPy: pip install fastnn-cpu[lbfgs]", name="scipy") from error
    found: Callable[..., Any] = minimize
    return found


RateFactors = Mapping[str, float | Sequence[float]]
_RATES = "'weights', 'biases' and 'inputs'"


def layer_factors(optimizer: AnyOptimizer, rate_factors: RateFactors | None, layers: int) -> Numbers:
    """Return each layer's factors of the learning rate, for weights and for biases, and of the weight decay.

    Parameters
    ----------
    rate_factors : mapping, optional
        "weights" and "biases", each one number >= 0 or one for each layer of weights; 0 keeps a layer as it is.
        "inputs" is for `input_factor`.

    Returns
    -------
    ndarray, (layers, 3)
        Or (0,), where all of them are 1.
    """
    given = {} if rate_factors is None else rate_factors
    if not isinstance(given, Mapping):
        raise TypeError(f"rate_factors must be a mapping with {_RATES}; got {type(given).__name__}")
    if unknown := [key for key in given if key not in ("weights", "biases", "inputs")]:
        raise ValueError(f"rate_factors has {unknown[0]!r}; known are {_RATES}")
    decay = getattr(optimizer, "weight_decay", 1.0)
    columns = [_of_layers(f"rate_factors[{key!r}]", given.get(key, 1.0), layers) for key in ("weights", "biases")]
    columns.append(_of_layers("weight_decay", decay, layers) if isinstance(decay, tuple) else [1.0] * layers)
    factors = np.array(columns).T
    return NO_NUMBERS if (factors == 1).all() else np.ascontiguousarray(factors)


def input_factor(rate_factors: RateFactors | None) -> float:
    """Return the factor > 0 of the learning rate of the inputs' scales; 0 where they are not trained."""
    if rate_factors is None or "inputs" not in rate_factors:
        return 0.0
    return check_real("rate_factors['inputs']", rate_factors["inputs"], above=0)


def _of_layers(name: str, given: object, layers: int) -> list[float]:
    """Return one number for each layer."""
    if not isinstance(given, list | tuple | np.ndarray):
        return [check_real(name, given, low=0)] * layers
    if len(given) != layers:
        raise ValueError(f"{name} must be one number, or one for each of {layers} layers of weights; got {len(given)}")
    return [check_real(f"{name}[{i}]", each, low=0) for i, each in enumerate(given)]
