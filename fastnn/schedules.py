"""Learning rates that change during a training, as data: the rates of a kernel call's steps are one array.

alpha is the learning rate that a schedule is given, t the progress of the training: the steps taken so far, divided by
all steps of the training, epochs times steps an epoch. Each function returns a frozen `Schedule`, which an optimizer
takes as its ``learning_rate``; so does it any callable of t.

With ``warmup`` w > 0 the rate first rises in proportion to the number of steps, over the share w of the training, to
the schedule's first rate; the schedule then runs over what is left, t being the progress of that. (`coslog4` begins at
0, and stays there while it is warmed up.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastnn._checks import check_integer, check_real

Rates: TypeAlias = npt.NDArray[np.float64]
_KEPT_STEPS = 1 << 20  # of a callable: as many rates are computed before the training, 8 MB; of more, some are checked
_TRIED_STEPS = 1 << 12


@dataclass(frozen=True)
class Schedule:
    """A learning rate as a function of the progress; the functions of this module make it.

    Attributes
    ----------
    name : str
        Of the function that made it.
    learning_rate : float
        alpha > 0.
    warmup : float
        The share of the training, in [0, 1), over which the rate rises.
    options : tuple of (str, value)
        The function's other arguments.
    """

    name: str
    learning_rate: float
    warmup: float = 0.0
    options: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        """Return the call that makes it."""
        options = "".join(f", {name}={value!r}" for name, value in (*self.options, ("warmup", self.warmup)))
        return f"{self.name}({self.learning_rate!r}{options})"

    def rates(self, first: int, count: int, steps: int, steps_per_epoch: int) -> Rates:
        """Return the rates of ``count`` steps from number ``first`` on, of a training of ``steps`` steps."""
        number = np.arange(first, first + count, dtype=np.float64)
        before = self.warmup * steps
        after = np.maximum(number - before, 0.0)  # steps since the warm-up
        factors = _EQUATIONS[self.name](after / (steps - before), after / steps_per_epoch, **dict(self.options))
        rates: Rates = self.learning_rate * factors
        return rates * np.minimum((number + 1) / before, 1.0) if before else rates

    def describe(self) -> dict[str, Any]:
        """Return the schedule in names and numbers, as it is saved."""
        return {"name": self.name, "learning_rate": self.learning_rate, "warmup": self.warmup, **dict(self.options)}


LearningRate: TypeAlias = float | Schedule | Callable[[Any], Any]


def constant(learning_rate: float, warmup: float = 0.0) -> Schedule:
    """Return the schedule alpha, which makes sense with a warm-up.

    Parameters
    ----------
    learning_rate : float
        alpha > 0.
    warmup : float, default 0
        The share of the training over which the rate rises, in [0, 1).

    Examples
    --------
    >>> import fastnn
    >>> schedule = fastnn.schedules.constant(1.0, warmup=0.5)
    >>> schedule.rates(0, 4, steps=4, steps_per_epoch=2).round(4).tolist()
    [0.5, 1.0, 1.0, 1.0]
    """
    return _schedule("constant", learning_rate, warmup)


def step(
    learning_rate: float, factor: float = 0.1, drops: Sequence[float] = (0.5, 0.75), warmup: float = 0.0
) -> Schedule:
    """Return the schedule alpha factor^n, n being the number of drops that are at t or before.

    Parameters
    ----------
    learning_rate : float
        alpha > 0.
    factor : float, default 0.1
        In (0, 1].
    drops : sequence of float, default (0.5, 0.75)
        Values of t, in (0, 1), in ascending order: He et al. drop the rate when half of the training is over, and when
        three quarters are.
    warmup : float, default 0
        The share of the training over which the rate rises, in [0, 1).

    References
    ----------
    He, Zhang, Ren, Sun: Deep residual learning for image recognition. CVPR 2016.

    Examples
    --------
    >>> import fastnn
    >>> schedule = fastnn.schedules.step(1.0)
    >>> schedule.rates(0, 4, steps=4, steps_per_epoch=2).round(4).tolist()
    [1.0, 1.0, 0.1, 0.01]
    """
    if not isinstance(drops, list | tuple):
        raise TypeError(f"drops must be a sequence of numbers in (0, 1), in ascending order; got {drops!r}")
    values = tuple(check_real(f"drops[{i}]", drop, above=0, below=1) for i, drop in enumerate(drops))
    if list(values) != sorted(values):
        raise ValueError(f"drops must be in ascending order; got {values}")
    return _schedule("step", learning_rate, warmup, factor=_check_share("factor", factor), drops=values)


def exponential(learning_rate: float, factor: float = 0.01, warmup: float = 0.0) -> Schedule:
    """Return the schedule alpha factor^t, which falls to alpha factor at the end.

    Parameters
    ----------
    learning_rate : float
        alpha > 0.
    factor : float, default 0.01
        In (0, 1].
    warmup : float, default 0
        The share of the training over which the rate rises, in [0, 1).

    References
    ----------
    Darken, Moody: Towards faster stochastic gradient search. NIPS 1991 compares such schedules.

    Examples
    --------
    >>> import fastnn
    >>> schedule = fastnn.schedules.exponential(1.0)
    >>> schedule.rates(0, 4, steps=4, steps_per_epoch=2).round(4).tolist()
    [1.0, 0.3162, 0.1, 0.0316]
    """
    return _schedule("exponential", learning_rate, warmup, factor=_check_share("factor", factor))


def inverse_scaling(learning_rate: float, power: float = 0.5, warmup: float = 0.0) -> Schedule:
    """Return the schedule alpha / (1 + e)^power, e being the passes over the data so far, with their fractions.

    Unlike the others it does not depend on how long the training is.

    Parameters
    ----------
    learning_rate : float
        alpha > 0.
    power : float, default 0.5
        > 0.
    warmup : float, default 0
        The share of the training over which the rate rises, in [0, 1); e counts from its end.

    References
    ----------
    Robbins, Monro: A stochastic approximation method. Annals of Mathematical Statistics 22, 1951.

    Examples
    --------
    >>> import fastnn
    >>> schedule = fastnn.schedules.inverse_scaling(1.0)
    >>> schedule.rates(0, 4, steps=4, steps_per_epoch=2).round(4).tolist()
    [1.0, 0.8165, 0.7071, 0.6325]
    """
    return _schedule("inverse_scaling", learning_rate, warmup, power=check_real("power", power, above=0))


def cosine(learning_rate: float, final: float = 0.0, warmup: float = 0.0) -> Schedule:
    """Return the schedule alpha (final + (1 - final) (1 + cos(pi t)) / 2).

    Parameters
    ----------
    learning_rate : float
        alpha > 0.
    final : float, default 0
        The share of alpha to which the rate falls, in [0, 1).
    warmup : float, default 0
        The share of the training over which the rate rises, in [0, 1).

    References
    ----------
    Loshchilov, Hutter: SGDR: stochastic gradient descent with warm restarts. ICLR 2017 (without the restarts).

    Examples
    --------
    >>> import fastnn
    >>> schedule = fastnn.schedules.cosine(1.0)
    >>> schedule.rates(0, 4, steps=4, steps_per_epoch=2).round(4).tolist()
    [1.0, 0.8536, 0.5, 0.1464]
    """
    return _schedule("cosine", learning_rate, warmup, final=check_real("final", final, low=0, below=1))


def one_cycle(
    learning_rate: float, rise: float = 0.3, first: float = 0.04, last: float = 4e-6, warmup: float = 0.0
) -> Schedule:
    """Return the schedule that rises from alpha first to alpha, and falls to alpha last, both along a cosine.

    With c(u) = (1 - cos(pi u)) / 2 it is alpha (first + (1 - first) c(t / rise)) for t < rise, and then
    alpha (1 - (1 - last) c((t - rise) / (1 - rise))).

    Parameters
    ----------
    learning_rate : float
        alpha > 0, the largest rate.
    rise : float, default 0.3
        The share of the training in which the rate rises, in (0, 1).
    first, last : float, default 0.04 and 4e-6
        Shares of alpha, in [0, 1), as PyTorch's OneCycleLR has them.
    warmup : float, default 0
        The share of the training over which the rate rises to alpha first, in [0, 1).

    References
    ----------
    Smith, Topin: Super-convergence: very fast training of neural networks using large learning rates. 2018.

    Examples
    --------
    >>> import fastnn
    >>> schedule = fastnn.schedules.one_cycle(1.0)
    >>> schedule.rates(0, 4, steps=4, steps_per_epoch=2).round(4).tolist()
    [0.04, 0.9357, 0.8117, 0.2831]
    """
    options = {name: check_real(name, value, low=0, below=1) for name, value in (("first", first), ("last", last))}
    return _schedule("one_cycle", learning_rate, warmup, rise=check_real("rise", rise, above=0, below=1), **options)


def coslog4(learning_rate: float, warmup: float = 0.0) -> Schedule:
    """Return the schedule alpha (1 - cos(2 pi log2(1 + 15 t))) / 2: four cycles, each twice as long as that before it.

    Parameters
    ----------
    learning_rate : float
        alpha > 0, the largest rate.
    warmup : float, default 0
        The share of the training in front of it, in [0, 1), with the rate 0 that it begins with.

    References
    ----------
    Holzmüller, Grinsztajn, Steinwart: Better by default: strong pre-tuned MLPs and boosted trees on tabular data.
    NeurIPS 2024.

    Examples
    --------
    >>> import fastnn
    >>> schedule = fastnn.schedules.coslog4(1.0)
    >>> schedule.rates(0, 4, steps=4, steps_per_epoch=2).round(4).tolist()
    [0.0, 0.4935, 0.0736, 0.8757]
    """
    return _schedule("coslog4", learning_rate, warmup)


def reduce_on_plateau(
    learning_rate: float,
    factor: float = 0.1,
    patience: int = 10,
    min_delta: float = 0.0,
    min_rate: float = 0.0,
    warmup: float = 0.0,
) -> Schedule:
    """Return the schedule max(alpha factor^n, min_rate), n being how often the loss stopped falling.

    The loss is the validation loss where there are validation data, otherwise the training loss of the epoch. After
    ``patience`` epochs in a row without one whose loss is more than ``min_delta`` below the lowest before, n grows by
    one, and the epochs are counted anew.

    Parameters
    ----------
    learning_rate : float
        alpha > 0.
    factor : float, default 0.1
        In (0, 1].
    patience : int, default 10
        >= 1.
    min_delta : float, default 0
        >= 0.
    min_rate : float, default 0
        >= 0, at most alpha.
    warmup : float, default 0
        The share of the training over which the rate rises, in [0, 1).

    Examples
    --------
    >>> import fastnn
    >>> (X, y), test = fastnn.datasets.load_digits()
    >>> net = fastnn.Network((784, 16, 10), rng=0)
    >>> falling = fastnn.schedules.reduce_on_plateau(1e-2, factor=0.5, patience=2)
    >>> history = net.fit(X, y, learning_rate=falling, epochs=3, validation_data=test)
    """
    floor = check_real("min_rate", min_rate, low=0)
    if floor > check_real("learning_rate", learning_rate, above=0):
        raise ValueError(f"min_rate must be at most the learning rate {learning_rate:g}; got {min_rate:g}")
    return _schedule(
        "reduce_on_plateau",
        learning_rate,
        warmup,
        factor=_check_share("factor", factor),
        patience=check_integer("patience", patience, low=1),
        min_delta=check_real("min_delta", min_delta, low=0),
        min_rate=floor,
    )


# --- the factors by which alpha is multiplied, of the progress t and the passes e ------------------------------------


def _step(t: Rates, e: Rates, factor: float, drops: tuple[float, ...]) -> Rates:
    levels: Rates = factor ** np.arange(len(drops) + 1.0)
    return levels[np.searchsorted(drops, t, side="right")]


def _cosine(t: Rates, e: Rates, final: float) -> Rates:
    return final + (1 - final) * (1 - _rising(t))


def _one_cycle(t: Rates, e: Rates, rise: float, first: float, last: float) -> Rates:
    up = first + (1 - first) * _rising(t / rise)
    return np.where(t < rise, up, 1 - (1 - last) * _rising((t - rise) / (1 - rise)))


def _rising(u: Rates) -> Rates:
    """Return (1 - cos(pi u)) / 2, from 0 to 1."""
    rising: Rates = (1 - np.cos(np.pi * u)) / 2
    return rising


_EQUATIONS: dict[str, Callable[..., Rates]] = {
    "constant": lambda t, e: np.ones_like(t),
    "step": _step,
    "exponential": lambda t, e, factor: factor**t,
    "inverse_scaling": lambda t, e, power: (1 + e) ** -power,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
    "coslog4": lambda t, e: _rising(2 * np.log2(1 + 15 * t)),
    "reduce_on_plateau": lambda t, e, **_: np.ones_like(t),  # the training multiplies it
}


def _schedule(name: str, learning_rate: float, warmup: float, **options: Any) -> Schedule:
    alpha = check_real("learning_rate", learning_rate, above=0)
    return Schedule(name, alpha, check_real("warmup", warmup, low=0, below=1), tuple(options.items()))


def _check_share(name: str, value: float) -> float:
    number = check_real(name, value, above=0)
    if number > 1:
        raise ValueError(f"{name} must be in (0, 1]; got {value}")
    return number


# --- what optimizers and trainings do with them ----------------------------------------------------------------------


def check_learning_rate(value: object) -> LearningRate:
    """Return a number > 0 as a float, or the schedule or callable."""
    if isinstance(value, Schedule) or (callable(value) and not isinstance(value, type)):
        return value
    return check_real("learning_rate", value, above=0)


def from_description(about: dict[str, Any]) -> Schedule:
    """Return the schedule that ``Schedule.describe`` described."""
    options = dict(about)
    makers: list[Any] = [constant, step, exponential, inverse_scaling, cosine, one_cycle, coslog4, reduce_on_plateau]
    schedule: Schedule = {maker.__name__: maker for maker in makers}[options.pop("name")](**options)
    return schedule


class TrainingRates:
    """The learning rate of each step of one training.

    Parameters
    ----------
    learning_rate : float, Schedule or callable
        A callable is given an array of values of t and returns as many rates, or one for all; one that raises TypeError
        or ValueError at an array is called with each number by itself.
    steps, steps_per_epoch : int
        Of the whole training, and of one epoch.

    Attributes
    ----------
    factor : float
        By which all rates are multiplied.

    Raises
    ------
    ValueError
        If a callable gives a rate that is negative or not finite: of more than 1,048,576 steps, at one of 4,096 that
        lie evenly, and of the others when their turn comes.
    """

    def __init__(self, learning_rate: LearningRate, steps: int, steps_per_epoch: int) -> None:
        self._rate, self._steps, self._per_epoch = learning_rate, steps, steps_per_epoch
        self._constant = np.array([learning_rate]) if isinstance(learning_rate, float) else None
        self._known: Rates | None = None
        self.factor = 1.0
        if isinstance(learning_rate, float | Schedule) or steps == 0:
            return
        self._by_number = _takes_numbers(learning_rate)
        if steps <= _KEPT_STEPS:
            self._known = self._called(np.arange(steps))
        else:
            self._called(np.linspace(0, steps - 1, _TRIED_STEPS).astype(np.int64))

    def of(self, first: int, count: int) -> Rates:
        """Return the rates of ``count`` steps from number ``first`` on, as kernels read them."""
        if self._constant is not None:
            return np.ndarray((count,), np.float64, self._constant, strides=(0,))  # np.broadcast_to takes 4 us
        if isinstance(self._rate, Schedule):
            rates = self._rate.rates(first, count, self._steps, self._per_epoch)
            return rates if self.factor == 1 else self.factor * rates
        if self._known is not None:
            return self._known[first : first + count]
        return self._called(np.arange(first, first + count))

    def _called(self, steps: npt.NDArray[np.int64]) -> Rates:
        """Return what the callable gives, checked."""
        t = steps / self._steps
        assert callable(self._rate)
        found = [self._rate(number) for number in t.tolist()] if self._by_number else self._rate(t)
        rates = np.asarray(found)
        if rates.dtype.kind not in "buif" or rates.shape not in ((), t.shape):
            expected = f"a number for each of {len(t)} values of t"
            raise TypeError(f"learning_rate must return {expected}; got {rates.dtype} in shape {rates.shape}")
        rates = np.ascontiguousarray(np.broadcast_to(rates, t.shape), np.float64)
        bad = ~((rates >= 0) & (rates < np.inf))
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            found = f"{rates[i]:g} at step {steps[i]}, t = {t[i]:g}"
            raise ValueError(f"learning_rate must give finite rates >= 0; got {found}")
        return rates


def _takes_numbers(function: Callable[[Any], Any]) -> bool:
    """Return whether a callable is for numbers, not for arrays of them."""
    try:
        function(np.array([0.0, 0.5]))
    except (TypeError, ValueError):
        return True
    return False
