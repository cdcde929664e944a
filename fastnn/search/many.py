"""The trainings of a search, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastnn import _kernels
from fastnn._checks import check_integer
from fastnn.data import Scaler
from fastnn.data.sparse import as_sparse, is_sparse, written_out
from fastnn.history import History
from fastnn.network import Network
from fastnn.requests import EPOCHS
from fastnn.schedules import Schedule
from fastnn.search.configurations import Candidate, Configuration, Outcome, as_list, checked
from fastnn.search.folds import Fold, folds_of, rows_of
from fastnn.search.groups import SharedRows, Task, groups_of
from fastnn.search.table import Search, as_search
from fastnn.training import progress_bar

if TYPE_CHECKING:
    from concurrent.futures import Future


def fit_many(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    configurations: Sequence[Configuration] | Mapping[str, Sequence[Any]],
    *,
    validation_data: tuple[npt.ArrayLike, ...] | None = None,
    cv: int | Iterable[tuple[npt.ArrayLike, npt.ArrayLike]] | None = None,
    n_jobs: int | None = None,
    keep: bool = False,
    progress: bool = True,
) -> Search:
    """Train a network for each configuration, and compare them.

    Networks train side by side, one a core, in threads of this process: they share X, and so do the folds. When fewer
    are left than there are cores, these have several each. Networks that see the same rows in the same order, such as
    several learning rates with one ``rng``, share an epoch's rows where X has wider numbers than they: an array of the
    rows in the networks' dtype, of at most 256 MB, is then made by each job. The numbers are those of single calls of
    ``fit`` and do not depend on ``n_jobs``.

    Parameters
    ----------
    X, y : array_like
        As in ``Network.fit``.
    configurations : sequence of dict, or dict of lists
        Arguments of `Network` and of ``fit`` by name, and ``hidden``, the sizes of the hidden layers: the data give
        those of inputs and outputs. A dict of lists stands for all of their combinations.
    validation_data : (X, y) or (X, y, weights), optional
        What loss and score are of; by default the samples trained on.
    cv : int or iterable of (train, test), optional
        In the place of ``validation_data``: each configuration is trained once a fold, on the rows ``train``, and
        judged by the rows ``test``. A number makes so many random folds, of labels with equal shares.
    n_jobs : int, optional
        Networks that train side by side, with the threads divided among them; by default as many as there are threads,
        also for large networks: two of 784-512-512-10 are 1.2 times as fast as one after the other on both cores, in
        batches of 100, and as fast in full batches.
    keep : bool, default False
        Keep the networks.
    progress : bool, default True
        Show a bar on a terminal, if tqdm is installed.

    Returns
    -------
    Search
        The records by score, the mean over the folds; at the end those that failed, with the reason in ``error``.

    Raises
    ------
    TypeError, ValueError
        If a configuration has an unknown key or does not fit the data, or if a fold's rows overlap: before anything is
        trained.

    Examples
    --------
    >>> import fastnn
    >>> (X, y), test = fastnn.datasets.load_digits()
    >>> grid = {"hidden": [(), (16,)], "learning_rate": [1e-3, 1e-2], "epochs": [2], "rng": [0]}
    >>> found = fastnn.fit_many(X, y, grid, validation_data=test)
    >>> found[0]["score"] == max(record["score"] for record in found)
    True
    """
    given = as_list(configurations)
    if cv is not None and validation_data is not None:
        raise ValueError("cv takes a part of X to validate on: only one of cv and validation_data can be given")
    samples: Any = X if hasattr(X, "shape") else np.asarray(X)
    samples = as_sparse(samples, None, "X") if is_sparse(samples) else samples
    y = written_out(y if hasattr(y, "shape") else np.asarray(y), "y")
    folds = None if cv is None else folds_of(cv, y, samples.shape[0])
    trial = validation_data if folds is None else (samples, y)
    candidates = [checked(i, each, samples, y, trial) for i, each in enumerate(given)]
    search = Searching(candidates, samples, y, validation_data, folds, keep)
    interrupted = search.run(_jobs(n_jobs), progress)
    return as_search(candidates, max(1, len(folds or ())), keep, interrupted)


@dataclass
class _Run:
    """A network under way."""

    candidate: Candidate
    fold: int
    network: Network
    outcome: Outcome = field(default_factory=Outcome)


class Searching:
    """The trainings of a search."""

    def __init__(
        self,
        candidates: list[Candidate],
        X: Any,
        y: Any,
        validation_data: tuple[npt.ArrayLike, ...] | None,
        folds: list[Fold] | None,
        keep: bool,
    ) -> None:
        self.candidates, self.X, self.y = candidates, X, y
        self.validation_data, self.folds, self.keep = validation_data, folds, keep
        self.tasks = [(each, fold) for each in candidates for fold in range(len(folds or [None]))]
        self.stops = Event()

    def run(self, n_jobs: int, progress: bool) -> bool:
        """Train all; return whether Ctrl-C ended it."""
        from concurrent.futures import ThreadPoolExecutor, as_completed  # here: they take milliseconds to import

        threads, interrupted = _kernels.get_num_threads(), False
        groups = groups_of(self.tasks, self.X, self.y, self.folds, n_jobs)

        def share() -> int:
            """Return the threads of each network that trains: the last ones have those of others, which are done."""
            left = len(groups) - sum(future.done() for future in futures)
            return max(1, threads // max(1, min(n_jobs, left)))

        bar = progress_bar(len(self.tasks), " networks") if progress else None
        with ThreadPoolExecutor(n_jobs) as pool:
            futures: list[Future[int]] = []
            futures += (pool.submit(self._train_group, group, share) for group in groups)
            try:
                for future in as_completed(futures):
                    done = future.result()
                    if bar is not None:
                        bar.update(done)
            except KeyboardInterrupt:
                interrupted = True
            finally:
                self.stops.set()
                for future in futures:
                    future.cancel()
                if bar is not None:
                    bar.close()
        return interrupted

    def _train_group(self, group: list[Task], threads: Callable[[], int]) -> int:
        """Train the networks of a group; return how many there are."""
        with _kernels.thread_limit(threads):
            runs = [_Run(candidate, fold, candidate.build()) for candidate, fold in group]
            if len(runs) == 1:
                self._take(runs[0], self._fit)
            else:
                self._train_together(runs)
        return len(group)

    def _train_together(self, runs: list[_Run]) -> None:
        """Train networks that see the same rows, an epoch of each at a time."""
        fold, first = runs[0].fold, runs[0].network
        rows = None if self.folds is None else self.folds[fold][0]
        shared = SharedRows(self.X, self.y, rows, first)
        scaler: Scaler | None = None
        if any(run.candidate.fit.get("scale") == "standard" for run in runs):
            samples: Any = self.X if rows is None else rows_of(self.X, rows)
            scaler = Scaler.of(samples)
        while runs and not self.stops.is_set():
            X, y = shared.next_epoch()
            epoch = partial(self._fit_epoch, X=X, y=y, shared=shared, scaler=scaler)
            runs = [run for run in runs if self._take(run, epoch)]

    def _take(self, run: _Run, fit: Callable[[_Run], History]) -> bool:
        """Train a network, to its end or for an epoch; return whether it goes on. What goes wrong is its outcome."""
        outcome, began = run.outcome, time.perf_counter()
        try:
            history = fit(run)
            if history.ended == "callback":
                return not self.stops.is_set()
            outcome.loss, outcome.score = self._judge(run.network, run.candidate, run.fold)
            outcome.epochs, outcome.network = history.epochs, run.network if self.keep else None
        except Exception as error:  # of whatever kind: it is told in the configuration's record
            outcome.error = f"{type(error).__name__}: {error}"
        finally:
            outcome.seconds += time.perf_counter() - began
        run.candidate.outcomes[run.fold] = outcome
        return False

    def _fit_epoch(
        self, run: _Run, X: npt.NDArray[Any], y: npt.NDArray[Any], shared: SharedRows, scaler: Scaler | None
    ) -> History:
        """Train a network on the next epoch's rows, which are in its order already."""
        options, epochs = dict(run.candidate.fit), run.candidate.fit.get("epochs", EPOCHS)
        if isinstance(options.get("scale"), str):
            options["scale"] = scaler
        history = run.network.fit(
            X,
            y,
            shuffle=False,
            resume=True,
            callback=lambda network, history: self.stops.is_set() or history.epochs < epochs,
            progress=False,
            **options | {"check_finite": False},
        )
        run.network.rng.bit_generator.state = shared.rng.bit_generator.state
        return history

    def _fit(self, run: _Run) -> History:
        """Train a network to its end."""
        X, y, options = self.X, self.y, dict(run.candidate.fit)
        if self.folds is not None:
            train = self.folds[run.fold][0]
            X, y = rows_of(X, train), y[train]
            if options.get("sample_weight") is not None:
                options["sample_weight"] = np.asarray(options["sample_weight"])[train]
        return run.network.fit(
            X,
            y,
            validation_data=self._validation(run.fold) if _looks(options) else None,
            callback=lambda network, history: self.stops.is_set(),
            check_finite=False,
            progress=False,
            **{name: value for name, value in options.items() if name != "check_finite"},
        )

    def _validation(self, fold: int) -> tuple[Any, ...] | None:
        if self.folds is None:
            return self.validation_data
        test = self.folds[fold][1]
        return rows_of(self.X, test), self.y[test]

    def _judge(self, network: Network, candidate: Candidate, fold: int) -> tuple[float, float]:
        """Return the loss and the score of the network as it is now, with its best or last parameters."""
        X, y, *weights = self._validation(fold) or (self.X, self.y, candidate.fit.get("sample_weight"))
        given = {"sample_weight": weights[0]} if weights else {}
        return network.loss(X, y, **given), network.score(X, y, **given)


def _looks(options: Mapping[str, Any]) -> bool:
    """Return whether a training looks at validation data after each epoch, for more than the record."""
    rates = options.get("learning_rate"), getattr(options.get("optimizer"), "learning_rate", None)
    falls = any(isinstance(rate, Schedule) and rate.name == "reduce_on_plateau" for rate in rates)
    return bool(options.get("early_stopping")) or falls


def _jobs(n_jobs: int | None) -> int:
    if n_jobs is None:
        return _kernels.get_num_threads()
    return check_integer("n_jobs", n_jobs, low=1)
