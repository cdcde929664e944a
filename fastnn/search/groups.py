"""Networks that see the same rows in the same order: an epoch's rows are gathered and converted once for all of them.

Where X has wider numbers than the networks, that is worth an array of it in theirs: an epoch of 784-16-10 takes 1.8
times as long on float64 in random order as on float32 in the order of its rows, and one of 784-64-10 1.2 times. Of
float32 itself it is 1.0 to 1.2, as much as gathering costs. 12 networks of one seed train 1.1 to 1.2 times as fast
together, 24 of 784-16-10 1.3 times.
"""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastnn._kernels.rows import FORMATS
from fastnn.network import Network
from fastnn.optimizers import LBFGS
from fastnn.requests import BATCH_SIZE, EPOCHS
from fastnn.search.configurations import Candidate
from fastnn.search.folds import Fold
from fastnn.shuffling import random_order

Task: TypeAlias = tuple[Candidate, int]  # a configuration, and the fold that it is trained on

_MOST_BYTES = 256 << 20  # of an epoch's rows
_ROWS = 64  # gathered at a time: they stay in the cache
_FEWEST = 4  # networks for which gathering with NumPy costs less than it saves
# Whatever else is asked of a training may depend on the order in which samples are given.
_OPTIONS = {"optimizer", "learning_rate", "batch_size", "epochs", "l2", "l1", "rate_factors", "scale", "check_finite"}


def groups_of(tasks: list[Task], X: Any, y: Any, folds: list[Fold] | None, n_jobs: int) -> list[list[Task]]:
    """Return the tasks in groups that share their rows, no larger than that each of the jobs has as many."""
    found: dict[object, list[Task]] = {}
    for task in tasks:
        found.setdefault(_rows_seen_by(task, X, y, folds), []).append(task)
    most = -(-len(tasks) // n_jobs)
    parts = [group[i : i + most] for group in found.values() for i in range(0, len(group), most)]
    return [group for part in parts for group in ([part] if len(part) >= _FEWEST else [[task] for task in part])]


def _rows_seen_by(task: Task, X: Any, y: Any, folds: list[Fold] | None) -> object:
    """Return what is equal for networks that see the same rows; something of its own where they are not shared."""
    candidate, fold = task
    network, samples = candidate.build(), X.shape[0] if folds is None else len(folds[fold][0])
    if not (_is_wide(X, network) and isinstance(y, np.ndarray) and _is_plain(candidate, samples)):
        return id(candidate), fold
    if samples * X.shape[1] * network.dtype.itemsize > _MOST_BYTES:
        return id(candidate), fold
    return fold, network.dtype, pickle.dumps(network.rng.bit_generator.state)


def _is_wide(X: Any, network: Network) -> bool:
    """Return whether X is an array of wider numbers than the network's."""
    return type(X) is np.ndarray and X.dtype in FORMATS and X.dtype.itemsize > network.dtype.itemsize


def _is_plain(candidate: Candidate, samples: int) -> bool:
    """Return whether a training takes batches of rows in random order, and does nothing else with the order."""
    options = candidate.fit
    batch_size, optimizer = options.get("batch_size", BATCH_SIZE), options.get("optimizer")
    steps = batch_size is not None and batch_size < samples and options.get("epochs", EPOCHS) > 0
    return steps and set(options) <= _OPTIONS and not (optimizer == "lbfgs" or isinstance(optimizer, LBFGS))


class SharedRows:
    """The rows of one epoch after the other, in the order that each network of a group would draw.

    Parameters
    ----------
    X, y : ndarray
        The samples and targets.
    rows : ndarray or None
        Those to train on; all.
    network : Network
        One of the group, as it begins.
    """

    def __init__(
        self, X: npt.NDArray[Any], y: npt.NDArray[Any], rows: npt.NDArray[np.int64] | None, network: Network
    ) -> None:
        self._X, self._y, self._rows = X, y, rows
        self.rng = deepcopy(network.rng)
        samples = len(X) if rows is None else len(rows)
        self._gathered = np.empty((samples, X.shape[1]), network.dtype)

    def next_epoch(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the samples and the targets of the next epoch; the samples until the one after it."""
        gathered = self._gathered
        order = random_order(self.rng, len(gathered))[:]
        chosen = order if self._rows is None else self._rows[order]
        with np.errstate(over="ignore"):  # a number that is too large for the network diverges, as in a single fit
            for first in range(0, len(gathered), _ROWS):
                gathered[first : first + _ROWS] = np.take(self._X, chosen[first : first + _ROWS], axis=0, mode="clip")
        return gathered, self._y[chosen]
