"""Progress: where a training stands, so that it can be resumed as if nothing had come between."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Array
from fastnn.history import History

_OF_EPOCHS = ("loss", "validation_loss", "validation_score", "seconds")


@dataclass
class Partial:
    """An epoch under way; the random generator is then as it was before the epoch's order was drawn.

    Attributes
    ----------
    penalty : float
        At the epoch's beginning.
    samples : int
        How many of the order have been visited, in whole calls of the kernels.
    sums : list of ndarray, (1, n)
        Of the losses so far, as the training adds them.
    losses : list of ndarray, (1, n)
        Those of each step, where they are kept.
    """

    penalty: float
    samples: int = 0
    sums: list[npt.NDArray[np.float64]] = field(default_factory=list)
    losses: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def copy(self) -> Partial:
        """Return a copy with lists of its own."""
        return replace(self, sums=list(self.sums), losses=list(self.losses))


@dataclass
class Progress:
    """Where the last training of a network stands.

    Attributes
    ----------
    samples, batch_size : int
        Of its data and of a step.
    history : History
        Of all its epochs; when the training is over, without ``batch_loss``, which may be large.
    monitored : list of float
        What a callable monitor of the early stopping returned, an epoch each.
    best : ndarray, (P,), or None
        The parameters of the best epoch, where they are to be restored.
    partial : Partial or None
        The epoch that an interrupt came into.
    largest_rate : float
        Of the steps so far; it is what is saved of a callable.
    """

    samples: int
    batch_size: int
    history: History = field(default_factory=History)
    monitored: list[float] = field(default_factory=list)
    best: Array | None = None
    partial: Partial | None = None
    largest_rate: float = 0.0

    def copy(self) -> Progress:
        """Return a copy with lists of its own."""
        values = vars(self.history)
        lists: dict[str, Any] = {name: list(value) for name, value in values.items() if isinstance(value, list)}
        return replace(
            self,
            history=replace(self.history, **lists),
            monitored=list(self.monitored),
            best=None if self.best is None else self.best.copy(),
            partial=None if self.partial is None else self.partial.copy(),
        )

    def resumed(self, samples: int, batch_size: int) -> Progress:
        """Return a copy that goes on with these data.

        Raises
        ------
        ValueError
            If an epoch has other steps than before.
        """
        if (samples, batch_size) != (self.samples, self.batch_size):
            was = f"{self.samples} samples in batches of {self.batch_size}"
            raise ValueError(f"resume needs the data and batch_size as before, {was}; got {samples} in {batch_size}")
        again = self.copy()
        again.history.interrupted, again.history.ended, again.history.batch_loss = False, "", []
        return again

    def close(self) -> None:
        """Keep what a resumed training needs, and the caller has not got."""
        self.history = replace(self.history, batch_loss=[])

    def describe(self, parameters: Array) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return the numbers and the arrays of the progress, as they are saved beside the parameters."""
        history, partial = self.history, self.partial
        of_epochs = {name: getattr(history, name) for name in _OF_EPOCHS} | {"monitored": self.monitored}
        arrays: dict[str, npt.NDArray[Any]]
        arrays = {f"training.{name}": np.array(values, np.float64) for name, values in of_epochs.items() if values}
        restored = self.best is not None and np.array_equal(self.best, parameters)
        if self.best is not None and not restored:
            arrays["training.best"] = self.best
        if partial is not None:
            arrays |= {f"training.{name}": np.hstack(getattr(partial, name) or [[[]]]) for name in ("sums", "losses")}
        about = {
            "samples": self.samples,
            "batch_size": self.batch_size,
            "ended": history.ended,
            "best_epoch": history.best_epoch,
            "largest_rate": self.largest_rate,
            "best_restored": restored,
            "partial": None if partial is None else {"penalty": partial.penalty, "samples": partial.samples},
        }
        return about, arrays

    @classmethod
    def from_description(
        cls, about: dict[str, Any], arrays: dict[str, npt.NDArray[Any]], parameters: Array
    ) -> Progress:
        """Return the progress that ``describe`` described; the arrays may have others among them."""
        found = {name.removeprefix("training."): array for name, array in arrays.items()}
        history = History(**{name: found[name].tolist() for name in _OF_EPOCHS if name in found})
        history.ended, history.best_epoch = str(about["ended"]), about["best_epoch"]
        history.interrupted = history.ended == "interrupted"
        best = parameters.copy() if about["best_restored"] else found.get("best")
        partial = None
        if about["partial"] is not None:
            lists = ([found[name]] if found[name].size else [] for name in ("sums", "losses"))
            partial = Partial(about["partial"]["penalty"], about["partial"]["samples"], *lists)
        monitored = found["monitored"].tolist() if "monitored" in found else []
        numbers = int(about["samples"]), int(about["batch_size"])
        return cls(*numbers, history, monitored, best, partial, float(about["largest_rate"]))
