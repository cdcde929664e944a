"""Averages of the parameters over a training's steps, which often predict better than the last step's.

``shares(first, steps, steps_per_epoch, epochs)`` returns how far an average goes towards the parameters after each of
these steps, counted in the training from 0: by 0 it stays, by 1 it becomes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastnn._checks import check_flag, check_real
from fastnn._kernels.contract import Numbers


@dataclass(frozen=True)
class EMA:
    """The exponential moving average of the parameters: average <- decay average + (1 - decay) theta, after each step.

    It begins with the parameters after the first step.

    Parameters
    ----------
    decay : float, default 0.999
        In [0, 1): an average over about the last 1 / (1 - decay) steps.
    restore : bool, default True
        The network has the average when the training ends, and is validated with it; otherwise it has its last
        parameters, and ``Network.average`` the average.

    References
    ----------
    Polyak, Juditsky: Acceleration of stochastic approximation by averaging. SIAM J. Control Optim. 30, 1992.

    Examples
    --------
    >>> import fastnn
    >>> (X, y), test = fastnn.datasets.load_digits()
    >>> net = fastnn.Network((784, 16, 10), rng=0)
    >>> history = net.fit(X, y, epochs=2, average=fastnn.EMA(0.99))
    """

    decay: float = 0.999
    restore: bool = True

    def __post_init__(self) -> None:
        """Check the arguments."""
        object.__setattr__(self, "decay", check_real("decay", self.decay, low=0, below=1))
        check_flag("restore", self.restore)

    def shares(self, first: int, steps: int, steps_per_epoch: int, epochs: int) -> Numbers:
        """Return 1 - decay for each step, 1 for the training's first."""
        shares = np.full(steps, 1 - self.decay)
        if first == 0:
            shares[:1] = 1.0
        return shares


@dataclass(frozen=True)
class SWA:
    """Stochastic weight averaging: the mean of the parameters at the ends of the last epochs.

    Before these begin, it is the parameters at the end of the last epoch.

    Parameters
    ----------
    start : float, default 0.75
        In [0, 1): the share of the epochs after which averaging begins; the last epoch always counts.
    restore : bool, default True
        As for ``EMA``.

    References
    ----------
    Izmailov, Podoprikhin, Garipov, Vetrov, Wilson: Averaging weights leads to wider optima and better generalization.
    UAI 2018.

    Examples
    --------
    >>> import fastnn
    >>> (X, y), test = fastnn.datasets.load_digits()
    >>> net = fastnn.Network((784, 16, 10), rng=0)
    >>> history = net.fit(X, y, epochs=4, average=fastnn.SWA(start=0.5))  # the mean of the last two
    """

    start: float = 0.75
    restore: bool = True

    def __post_init__(self) -> None:
        """Check the arguments."""
        object.__setattr__(self, "start", check_real("start", self.start, low=0, below=1))
        check_flag("restore", self.restore)

    def shares(self, first: int, steps: int, steps_per_epoch: int, epochs: int) -> Numbers:
        """Return 1 / k for the k-th epoch that counts, 1 for those before, at their last steps; 0 elsewhere."""
        step = np.arange(first, first + steps)
        counted = step // steps_per_epoch - min(int(self.start * epochs), epochs - 1) + 1
        return np.where((step + 1) % steps_per_epoch == 0, 1 / np.maximum(counted, 1), 0.0)


Average = EMA | SWA


def check_average(average: object) -> Average | None:
    """Return what ``fit`` was given to average with."""
    if average is not None and not isinstance(average, Average):
        raise TypeError(f"average must be fastnn.EMA(...), fastnn.SWA(...) or None; got {average!r}")
    return average
