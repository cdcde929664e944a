"""The losses, and the output unit that each fixes: what is chosen by name or made with arguments.

``Network(loss=...)`` takes a name, which is the class with its defaults, or an instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from fastnn._checks import check_choice, check_flag, check_real
from fastnn._kernels.contract import Activation as ActivationCode
from fastnn._kernels.contract import Array
from fastnn._kernels.contract import Loss as Code


@dataclass(frozen=True)
class Loss:
    """A cost function of the network's output h and the target y, a mean over the samples; the classes below are some.

    Attributes
    ----------
    name : str
        The name by which ``Network`` takes it.
    equation : str
        One sample's cost; it is computed from Z_L, so a saturated output gives a finite, right value.
    code : Code
        How kernels know it.
    """

    name: ClassVar[str]
    equation: ClassVar[str]
    kernel_code: ClassVar[Code]

    def _keep(self, **checked: object) -> None:
        """Take arguments as they were checked."""
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def code(self) -> Code:
        """How kernels know it."""
        return self.kernel_code

    @property
    def output(self) -> ActivationCode:
        """The output unit."""
        return self.code.output

    @property
    def classifies(self) -> bool:
        """Whether the targets are classes or yes/no answers, not real numbers."""
        return self.code.kind != "numbers"

    @property
    def chooses(self) -> bool:
        """Whether the outputs are the probabilities of classes of which each sample has one."""
        return self.code.kind == "classes"

    @property
    def domain(self) -> str:
        """The values that targets may take."""
        return self.code.domain

    @property
    def has_units(self) -> bool:
        """Whether the outputs are numbers of any size, in the targets' units."""
        return not self.classifies and self.output == ActivationCode.IDENTITY

    @property
    def threshold(self) -> float:
        """The output from which on an answer is yes: a probability's 1/2, a margin's 0."""
        return 0.5 if self.has_probabilities else 0.0

    @property
    def has_probabilities(self) -> bool:
        """Whether the outputs are probabilities."""
        return self.output in (ActivationCode.SOFTMAX, ActivationCode.SIGMOID)

    @property
    def smoothing(self) -> float:
        """How much of a label is spread over all answers."""
        return float(getattr(self, "label_smoothing", 0.0))

    @property
    def masks(self) -> bool:
        """Whether a target that is NaN counts for nothing."""
        return bool(getattr(self, "masked", False))

    def numbers(self, outputs: int) -> tuple[float, ...]:
        """Return the number that the kernels need for each output; () where there is none."""
        return ()

    def targets(self, outputs: int) -> int:
        """Return how many columns the targets have."""
        return outputs

    def arrange(self, outputs: Array) -> None:
        """Change the outputs of a network in place into what it predicts."""

    def describe(self) -> str | dict[str, Any]:
        """Return what is saved of it: the name, and arguments that are not the defaults."""
        defaults = asdict(type(self)())
        chosen = {key: value for key, value in asdict(self).items() if value != defaults[key]}
        return {"name": self.name, **chosen} if chosen else self.name


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Loss):
    """The cross entropy of one class of K, -log h_y of h = softmax(z).

    Parameters
    ----------
    label_smoothing : float, default 0
        e in [0, 1): the target of class k is (1 - e) [k = y] + e / K.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the Inception architecture for computer vision. CVPR 2016.

    Examples
    --------
    >>> import fastnn
    >>> net = fastnn.Network((1, 4), loss=fastnn.losses.SoftmaxCrossEntropy(), init="zeros")  # h = 1/4 for each class
    >>> round(net.loss([[0.0]], [2]), 4)
    1.3863
    """

    label_smoothing: float = 0.0

    name = "softmax_cross_entropy"
    equation = "-log h_y"
    kernel_code = Code.SOFTMAX_CROSS_ENTROPY

    def __post_init__(self) -> None:
        """Check the argument."""
        self._keep(label_smoothing=check_real("label_smoothing", self.label_smoothing, low=0, below=1))


@dataclass(frozen=True)
class SigmoidCrossEntropy(Loss):
    """The cross entropy of a yes or no for each output, -sum_k [y_k log h_k + (1 - y_k) log(1 - h_k)], h = sigmoid(z).

    Parameters
    ----------
    label_smoothing : float, default 0
        e in [0, 1): the target of output k is (1 - e) y_k + e / 2.

    Examples
    --------
    >>> import fastnn
    >>> net = fastnn.Network((1, 1), loss=fastnn.losses.SigmoidCrossEntropy(), init="zeros")  # h = 1/2
    >>> round(net.loss([[0.0]], [1]), 4)
    0.6931
    """

    label_smoothing: float = 0.0

    name = "sigmoid_cross_entropy"
    equation = "-sum_k [y_k log h_k + (1 - y_k) log(1 - h_k)]"
    kernel_code = Code.SIGMOID_CROSS_ENTROPY

    def __post_init__(self) -> None:
        """Check the argument."""
        self._keep(label_smoothing=check_real("label_smoothing", self.label_smoothing, low=0, below=1))


@dataclass(frozen=True)
class SquaredError(Loss):
    """Half the squared error, 1/2 sum_k (h_k - y_k)^2, h = z; the outputs are means.

    Parameters
    ----------
    masked : bool, default False
        A target that is NaN contributes nothing for that output of that sample; the cost stays a mean over all samples.
        Otherwise NaN is an error.

    Examples
    --------
    >>> import fastnn
    >>> net = fastnn.Network((1, 1), loss=fastnn.losses.SquaredError(masked=True), init="zeros")  # h = 0
    >>> round(net.loss([[0.0], [0.0]], [2.0, float("nan")]), 4)
    1.0
    """

    masked: bool = False

    name = "squared_error"
    equation = "1/2 sum_k (h_k - y_k)^2"
    kernel_code = Code.SQUARED_ERROR

    def __post_init__(self) -> None:
        """Check the argument."""
        check_flag("masked", self.masked)


@dataclass(frozen=True)
class AbsoluteError(Loss):
    """The absolute error, ``sum_k |h_k - y_k|``, h = z; the outputs are medians. Its derivative at h = y is taken as 0.

    Parameters
    ----------
    masked : bool, default False
        A target that is NaN contributes nothing, as for `SquaredError`.

    Examples
    --------
    >>> import fastnn
    >>> net = fastnn.Network((1, 1), loss=fastnn.losses.AbsoluteError(), init="zeros")  # h = 0
    >>> round(net.loss([[0.0]], [2.0]), 4)
    2.0
    """

    masked: bool = False

    name = "absolute_error"
    equation = "sum_k |h_k - y_k|"
    kernel_code = Code.ABSOLUTE_ERROR

    def __post_init__(self) -> None:
        """Check the argument."""
        check_flag("masked", self.masked)


@dataclass(frozen=True)
class Huber(Loss):
    """Huber's loss of errors e = h_k - y_k, h = z: e^2 / 2 where ``|e| <= delta``, ``delta (|e| - delta / 2)`` beyond.

    Parameters
    ----------
    delta : float, default 1
        > 0: the error beyond which the cost grows linearly.
    masked : bool, default False
        A target that is NaN contributes nothing, as for `SquaredError`.

    References
    ----------
    Huber: Robust estimation of a location parameter. Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> import fastnn
    >>> net = fastnn.Network((1, 1), loss=fastnn.losses.Huber(delta=0.5), init="zeros")  # h = 0
    >>> round(net.loss([[0.0]], [2.0]), 4)
    0.875
    """

    delta: float = 1.0
    masked: bool = False

    name = "huber"
    equation = "sum_k e_k^2 / 2 if |e_k| <= delta else delta (|e_k| - delta / 2)"
    kernel_code = Code.HUBER

    def __post_init__(self) -> None:
        """Check the arguments."""
        self._keep(delta=check_real("delta", self.delta, above=0))
        check_flag("masked", self.masked)

    def numbers(self, outputs: int) -> tuple[float, ...]:
        """Return delta for each output."""
        return (self.delta,) * outputs


@dataclass(frozen=True)
class Quantile(Loss):
    """The quantile or pinball loss, q (y - h) where y > h, (1 - q) (h - y) elsewhere, h = z; the outputs are quantiles.

    Its derivative at h = y is taken as 0.

    Parameters
    ----------
    quantiles : float or sequence of float, default 0.5
        In (0, 1). A number serves every output, each with a target of its own. Several are those of a single target, y
        (m,) or (m, 1), with one output each, in this order.
    masked : bool, default False
        A target that is NaN contributes nothing, as for `SquaredError`.
    crossing : bool, default True
        Whether the predicted quantiles of a sample may cross, as those of different outputs can. False has them
        rearranged: whatever predicts or scores takes a sample's outputs in ascending order of the levels, which is
        never farther from the true quantiles. Training is the same.

    References
    ----------
    Koenker, Bassett: Regression quantiles. Econometrica 46, 1978.
    Chernozhukov, Fernandez-Val, Galichon: Quantile and probability curves without crossing. Econometrica 78, 2010.

    Examples
    --------
    >>> import fastnn
    >>> net = fastnn.Network((1, 3), loss=fastnn.losses.Quantile([0.1, 0.5, 0.9]), init="zeros")  # h = 0
    >>> round(net.loss([[0.0]], [2.0]), 4)
    3.0
    """

    quantiles: float | Sequence[float] = 0.5
    masked: bool = False
    crossing: bool = True

    name = "quantile"
    equation = "sum_k q_k (y_k - h_k) if y_k > h_k else (1 - q_k) (h_k - y_k)"
    kernel_code = Code.QUANTILE

    def __post_init__(self) -> None:
        """Check the arguments; keep several quantiles as a tuple."""
        self._keep(quantiles=_check_levels(self.quantiles))
        check_flag("masked", self.masked)
        check_flag("crossing", self.crossing)

    def numbers(self, outputs: int) -> tuple[float, ...]:
        """Return each output's level.

        Raises
        ------
        ValueError
            If there are several quantiles, and not as many outputs.
        """
        if isinstance(self.quantiles, float):
            return (self.quantiles,) * outputs
        if len(self.quantiles) != outputs:
            raise ValueError(f"quantiles must have one output each, {len(self.quantiles)}; got {outputs} output units")
        return tuple(self.quantiles)

    def targets(self, outputs: int) -> int:
        """Return how many columns the targets have: 1 for several quantiles."""
        return outputs if isinstance(self.quantiles, float) else 1

    def arrange(self, outputs: Array) -> None:
        """Sort each sample's outputs, unless they may cross."""
        if not self.crossing and not isinstance(self.quantiles, float):
            outputs[:, np.argsort(self.quantiles, kind="stable")] = np.sort(outputs, axis=1)


def _check_levels(quantiles: object) -> float | tuple[float, ...]:
    if not isinstance(quantiles, list | tuple | np.ndarray):
        return check_real("quantiles", quantiles, above=0, below=1)
    if len(quantiles) == 0:
        raise ValueError("quantiles must be a number, or name at least one; got none")
    return tuple(check_real(f"quantiles[{i}]", q, above=0, below=1) for i, q in enumerate(quantiles))


@dataclass(frozen=True)
class Poisson(Loss):
    """The Poisson loss sum_k (h_k - y_k log h_k) of targets y >= 0, counts or other numbers; the outputs are means.

    Parameters
    ----------
    link : {"exp", "softplus"}, default "exp"
        The output unit: h = e^z, or h = log(1 + e^z), which grows no faster than z.
    masked : bool, default False
        A target that is NaN contributes nothing, as for `SquaredError`.

    Examples
    --------
    >>> import fastnn
    >>> net = fastnn.Network((1, 1), loss=fastnn.losses.Poisson(), init="zeros")  # h = exp(0)
    >>> round(net.loss([[0.0]], [2.0]), 4)
    1.0
    """

    link: Literal["exp", "softplus"] = "exp"
    masked: bool = False

    name = "poisson"
    equation = "sum_k (h_k - y_k log h_k)"
    kernel_code = Code.POISSON

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_choice("link", self.link, ("exp", "softplus"))
        check_flag("masked", self.masked)

    @property
    def code(self) -> Code:
        """How kernels know it."""
        return Code.POISSON if self.link == "exp" else Code.POISSON_SOFTPLUS


@dataclass(frozen=True)
class Hinge(Loss):
    """The hinge loss sum_k max(0, 1 - y_k z_k) of y = -1 or 1, which may be given as 0 and 1 as well; h = z.

    An output is a margin: where it is at least 0 the answer is 1, elsewhere 0. Its derivative at y z = 1 is taken as 0.

    References
    ----------
    Cortes, Vapnik: Support-vector networks. Machine Learning 20, 1995.

    Examples
    --------
    >>> import fastnn
    >>> net = fastnn.Network((1, 1), loss=fastnn.losses.Hinge(), init="zeros")  # z = 0
    >>> round(net.loss([[0.0]], [1]), 4)
    1.0
    """

    name = "hinge"
    equation = "sum_k max(0, 1 - y_k z_k), y_k = -1 or 1"
    kernel_code = Code.HINGE


_CLASSES = (
    SoftmaxCrossEntropy, SigmoidCrossEntropy, SquaredError, AbsoluteError, Huber, Quantile, Poisson, Hinge,
)  # fmt: skip
LOSSES: dict[str, Loss] = {kind.name: kind() for kind in _CLASSES}


def find_loss(loss: str | Loss) -> Loss:
    """Return the loss of that name; an instance is returned as it is."""
    if isinstance(loss, Loss) and type(loss) is not Loss:
        return loss
    return LOSSES[check_choice("loss", loss, LOSSES)]


def from_description(about: str | dict[str, Any]) -> Loss:
    """Return the loss that ``Loss.describe`` described."""
    if isinstance(about, str):
        return LOSSES[about]
    arguments = dict(about)
    return type(LOSSES[arguments.pop("name")])(**arguments)
