"""What a training leaves behind: its history, or the error of one that diverged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass
class History:
    """What a training did, one number an epoch.

    Attributes
    ----------
    loss : list of float
        The cost J: the mean loss of the epoch's samples, each under the parameters before its step, plus the penalty
        at the epoch's beginning. For gradient descent that is exactly J before the step.
    validation_loss, validation_score : list of float
        The mean loss without the penalty, and the score, on the validation data after the epoch.
    batch_loss : list of ndarray
        Each epoch's mean loss of every step's samples, where asked for.
    seconds : list of float
        The wall time of each epoch's training, without validation and callbacks; small epochs that went into one
        call of the kernels share its time equally.
    interrupted : bool
        Whether KeyboardInterrupt ended the training early; the network is as trained until then.
    ended : str
        Why the training ended: "epochs", "early stopping", "callback", "interrupted" or, where L-BFGS gets no further,
        "converged"; "" while it is under way, and where it diverged.
    best_epoch : int or None
        The epoch, from 1, with the best value of what early stopping looks at; without it, with the lowest validation
        loss. None where there is neither.

    Examples
    --------
    >>> import fastnn
    >>> (X, y), test = fastnn.datasets.load_digits()
    >>> net = fastnn.Network((784, 16, 10), rng=0)
    >>> history = net.fit(X, y, epochs=3, validation_data=test)
    >>> history.epochs, history.ended, len(history.validation_score)
    (3, 'epochs', 3)
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    batch_loss: list[npt.NDArray[np.float64]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    interrupted: bool = False
    ended: str = ""
    best_epoch: int | None = None

    @property
    def epochs(self) -> int:
        """How many epochs were completed."""
        return len(self.loss)

    def __str__(self) -> str:
        """Return the last epoch in one line."""
        parts = [f"epoch {self.epochs}", f"loss {self.loss[-1]:.5g}"] if self.loss else ["no epoch completed"]
        if self.validation_loss:
            parts += [f"validation loss {self.validation_loss[-1]:.5g}", f"score {self.validation_score[-1]:.4f}"]
        if self.seconds:
            parts.append(f"{self.seconds[-1]:.3g} s")
        return ", ".join(parts) + (" (interrupted)" if self.interrupted else "")


class DivergenceError(FloatingPointError):
    """The loss or a parameter stopped being finite; the network holds the last finite epoch's parameters.

    Attributes
    ----------
    history : History
        The epochs before.

    Examples
    --------
    >>> import fastnn
    >>> net = fastnn.Network((1, 1), loss="squared_error")
    >>> try:
    ...     net.fit([[1.0], [2.0]], [1.0, 2.0], optimizer="sgd", learning_rate=1e38)
    ... except fastnn.DivergenceError as error:
    ...     print(str(error)[:21], error.history.epochs < 10)
    the training diverged True
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history

    def __reduce__(self) -> tuple[type[DivergenceError], tuple[str, History]]:
        """Return how a copy is made, also in another process."""
        return type(self), (str(self), self.history)
