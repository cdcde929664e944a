"""Many networks at once: layouts, learning rates, seeds and folds on one X."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import product
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn import _kernels
from fastnn._checks import check_integer
from fastnn.data import Windows
from fastnn.history import History
from fastnn.losses import find_loss
from fastnn.network import Network
from fastnn.schedules import Schedule
from fastnn.training import progress_bar

Configuration = Mapping[str, Any]
Fold = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

_OF_NETWORK = {"activation", "loss", "dtype", "rng", "init", "dropout"}
_NOT_OF_A_FIT = {"self", "X", "y", "validation_data", "reset", "resume", "callback", "verbose", "progress"}
_OF_FIT = set(inspect.signature(Network.fit).parameters) - _NOT_OF_A_FIT


class Search(Sequence[dict[str, Any]]):
    """What `fit_many` found: a record for each configuration, the one with the highest score first.

    Attributes
    ----------
    records : list of dict
        The keys in which the configurations differ, and score, loss, epochs, seconds, error.
    networks : list of list of Network, or None
        Of each record the networks, one a fold, if they were kept.
    interrupted : bool
        Whether Ctrl-C ended the search: configurations that were not trained to their end have no record.
    """

    def __init__(
        self, records: list[dict[str, Any]], networks: list[list[Network]] | None, interrupted: bool = False
    ) -> None:
        self.records, self.networks, self.interrupted = records, networks, interrupted

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.records)

    def __getitem__(self, index: Any) -> Any:
        """Return a record, or some of them."""
        return self.records[index]

    def frame(self) -> Any:
        """Return the records as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.records)

    def __repr__(self) -> str:
        """Return the table in columns."""
        if not self.records:
            return "Search([])"
        names = [name for name in self.records[0] if name != "error" or any(r["error"] for r in self.records)]
        rows = [names, *([_shown(record[name]) for name in names] for record in self.records)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)

    def _repr_html_(self) -> str:
        """Return the table as notebooks show it."""
        from html import escape

        rows = [list(record) for record in self.records[:1]]
        rows += [[_shown(value) for value in record.values()] for record in self.records]
        lines = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
        return f"<table>{''.join(lines)}</table>"


@dataclass
class _Outcome:
    """What became of one network."""

    score: float = math.nan
    loss: float = math.nan
    epochs: int = 0
    seconds: float = 0.0
    error: str = ""
    network: Network | None = None


@dataclass
class _Candidate:
    """A configuration, checked, and its outcomes by fold."""

    given: Configuration
    network: dict[str, Any]
    fit: dict[str, Any]
    outcomes: dict[int, _Outcome] = field(default_factory=dict)

    def build(self) -> Network:
        """Return a network as it begins: a generator that was given as ``rng`` stays where it is."""
        return Network(**self.network | {"rng": deepcopy(self.network.get("rng"))})


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

    Networks train side by side, one a core, in threads of this process: they share X, and so do the folds. The numbers
    are those of single calls of ``fit`` and do not depend on ``n_jobs``.

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
        Networks that train side by side, with the threads divided among them; by default as many as there are threads.
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
    given = _as_list(configurations)
    if cv is not None and validation_data is not None:
        raise ValueError("cv takes a part of X to validate on: only one of cv and validation_data can be given")
    X = X if hasattr(X, "shape") else np.asarray(X)
    y = y if hasattr(y, "shape") else np.asarray(y)
    folds = None if cv is None else _folds(cv, y, X.shape[0])
    trial = validation_data if folds is None else (X, y)
    candidates = [_checked(i, each, X, y, trial) for i, each in enumerate(given)]
    search = _Searching(candidates, X, y, validation_data, folds)
    interrupted = search.run(_jobs(n_jobs), progress)
    return _as_search(candidates, max(1, len(folds or ())), keep, interrupted)


class _Searching:
    """The trainings of a search."""

    def __init__(
        self,
        candidates: list[_Candidate],
        X: Any,
        y: Any,
        validation_data: tuple[npt.ArrayLike, ...] | None,
        folds: list[Fold] | None,
    ) -> None:
        self.candidates, self.X, self.y = candidates, X, y
        self.validation_data, self.folds = validation_data, folds
        self.stops = Event()

    def run(self, n_jobs: int, progress: bool) -> bool:
        """Train all; return whether Ctrl-C ended it."""
        from concurrent.futures import ThreadPoolExecutor, as_completed  # here: they take milliseconds to import

        tasks = [(each, fold) for each in self.candidates for fold in range(len(self.folds or [None]))]
        n_jobs = min(n_jobs, len(tasks))
        threads = max(1, _kernels.get_num_threads() // n_jobs)
        interrupted = False
        bar = progress_bar(len(tasks), " networks") if progress else None
        with ThreadPoolExecutor(n_jobs) as pool:
            futures = [pool.submit(self._train, each, fold, threads) for each, fold in tasks]
            try:
                for future in as_completed(futures):
                    future.result()
                    if bar is not None:
                        bar.update()
            except KeyboardInterrupt:
                interrupted = True
            finally:
                self.stops.set()
                for future in futures:
                    future.cancel()
                if bar is not None:
                    bar.close()
        return interrupted

    def _train(self, candidate: _Candidate, fold: int, threads: int) -> None:
        """Train one network; what goes wrong is its outcome."""
        outcome, began = _Outcome(), time.perf_counter()
        try:
            with _kernels.thread_limit(threads):
                network = candidate.build()
                history = self._fit(network, candidate, fold)
                if history.ended == "callback":
                    return
                outcome.loss, outcome.score = self._judge(network, candidate, fold)
                outcome.epochs, outcome.network = history.epochs, network
        except Exception as error:  # of whatever kind: it is told in the configuration's record
            outcome.error = f"{type(error).__name__}: {error}"
        outcome.seconds = time.perf_counter() - began
        candidate.outcomes[fold] = outcome

    def _fit(self, network: Network, candidate: _Candidate, fold: int) -> History:
        X, y, options = self.X, self.y, dict(candidate.fit)
        if self.folds is not None:
            train = self.folds[fold][0]
            X, y = _rows(X, train), y[train]
            if options.get("sample_weight") is not None:
                options["sample_weight"] = np.asarray(options["sample_weight"])[train]
        return network.fit(
            X,
            y,
            validation_data=self._validation(fold) if _looks(options) else None,
            callback=lambda network, history: self.stops.is_set(),
            check_finite=False,
            progress=False,
            **{name: value for name, value in options.items() if name != "check_finite"},
        )

    def _validation(self, fold: int) -> tuple[Any, ...] | None:
        if self.folds is None:
            return self.validation_data
        test = self.folds[fold][1]
        return _rows(self.X, test), self.y[test]

    def _judge(self, network: Network, candidate: _Candidate, fold: int) -> tuple[float, float]:
        """Return the loss and the score of the network as it is now, with its best or last parameters."""
        X, y, *weights = self._validation(fold) or (self.X, self.y, candidate.fit.get("sample_weight"))
        given = {"sample_weight": weights[0]} if weights else {}
        return network.loss(X, y, **given), network.score(X, y, **given)


def _looks(options: Mapping[str, Any]) -> bool:
    """Return whether a training looks at validation data after each epoch, for more than the record."""
    rates = options.get("learning_rate"), getattr(options.get("optimizer"), "learning_rate", None)
    falls = any(isinstance(rate, Schedule) and rate.name == "reduce_on_plateau" for rate in rates)
    return bool(options.get("early_stopping")) or falls


def _as_list(configurations: object) -> list[Configuration]:
    """Return configurations one by one."""
    if isinstance(configurations, Mapping):
        for key, values in configurations.items():
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise TypeError(f"configurations[{key!r}] must be a list of values; got {values!r}")
        names, values = configurations.keys(), configurations.values()
        return [dict(zip(names, each, strict=True)) for each in product(*values)]
    if not isinstance(configurations, Sequence) or isinstance(configurations, str):
        found = type(configurations).__name__
        raise TypeError(f"configurations must be a list of dicts or a dict of lists; got {found}")
    for i, each in enumerate(configurations):
        if not isinstance(each, Mapping):
            raise TypeError(f"configurations[{i}] must be a dict; got {type(each).__name__}")
    return list(configurations)


def _checked(number: int, given: Configuration, X: Any, y: Any, validation: Any) -> _Candidate:
    """Return a configuration divided by what it is for, after a trial that trains nothing."""
    known = {"hidden", *_OF_NETWORK, *_OF_FIT}
    if unknown := [key for key in given if key not in known]:
        raise ValueError(f"configurations[{number}] has the unknown key {unknown[0]!r}; known are {sorted(known)}")
    network = {key: value for key, value in given.items() if key in _OF_NETWORK}
    fit = {key: value for key, value in given.items() if key in _OF_FIT}
    hidden = given.get("hidden", ())
    try:
        network["sizes"] = (X.shape[1], *([hidden] if isinstance(hidden, int) else hidden), _outputs(network, y))
        check_integer("epochs", fit.get("epochs", 10), low=0)
        finite = number == 0 and fit.get("check_finite", True)  # X is the same for all
        candidate = _Candidate(given, network, fit)
        candidate.build().fit(X, y, **fit | {"epochs": 0, "validation_data": validation, "check_finite": finite})
    except (TypeError, ValueError) as error:
        raise type(error)(f"configurations[{number}]: {error}") from error
    return candidate


def _outputs(network: dict[str, Any], y: Any) -> int:
    """Return the number of outputs for targets."""
    loss = find_loss(network.get("loss", "softmax_cross_entropy"))
    quantiles = getattr(loss, "quantiles", None)
    if isinstance(quantiles, tuple):
        return len(quantiles)
    if loss.chooses:
        return len(np.unique(np.asarray(y)))
    return 1 if y.ndim == 1 else int(y.shape[1])


def _folds(cv: Any, y: Any, samples: int) -> list[Fold]:
    """Return the rows of each fold, checked."""
    if isinstance(cv, int | np.integer):
        return _random_folds(check_integer("cv", cv, low=2), y, samples)
    folds = [(_as_rows(train, samples), _as_rows(test, samples)) for train, test in cv]
    for i, (train, test) in enumerate(folds):
        both = np.intersect1d(train, test)
        if both.size:
            raise ValueError(f"cv[{i}] must not test what it trains on; both have row {both[0]}")
    return folds


def _as_rows(rows: npt.ArrayLike, samples: int) -> npt.NDArray[np.int64]:
    found = np.asarray(rows)
    found = np.flatnonzero(found) if found.dtype.kind == "b" and found.shape == (samples,) else found
    if found.ndim != 1 or found.dtype.kind not in "iu" or not found.size:
        raise ValueError(f"cv must give rows, whole numbers; got {found.dtype} in shape {found.shape}")
    if found.min() < 0 or found.max() >= samples:
        raise ValueError(f"cv must give rows from 0 to {samples - 1}; found {found.min()} to {found.max()}")
    return found.astype(np.int64)


def _random_folds(count: int, y: Any, samples: int) -> list[Fold]:
    """Return folds of a random order, always the same; of labels each has its share."""
    order = np.random.default_rng(0).permutation(samples)
    if y.ndim == 1 and y.dtype.kind != "f":
        order = order[np.argsort(np.asarray(y)[order], kind="stable")]
    tests = [np.sort(order[i::count]) for i in range(count)]
    return [(np.setdiff1d(np.arange(samples), test), test) for test in tests]


def _rows(X: Any, rows: npt.NDArray[np.int64]) -> Windows:
    """Return some samples, which stay where they are."""
    return (X if isinstance(X, Windows) else Windows(X, before=0))[rows]


def _jobs(n_jobs: int | None) -> int:
    if n_jobs is None:
        return _kernels.get_num_threads()
    return check_integer("n_jobs", n_jobs, low=1)


def _as_search(candidates: list[_Candidate], folds: int, keep: bool, interrupted: bool) -> Search:
    """Return the outcomes as a table, best first."""
    done = [each for each in candidates if len(each.outcomes) == folds]
    keys = list(dict.fromkeys(key for each in candidates for key in each.given))
    shown = [key for key in keys if len(candidates) == 1 or _differ(each.given.get(key) for each in candidates)]
    rows = [(_record(each, shown), each) for each in done]
    rows.sort(key=lambda row: (math.isnan(row[0]["score"]), -row[0]["score"]))
    networks = [[o.network for _, o in sorted(each.outcomes.items()) if o.network] for _, each in rows]
    return Search([record for record, _ in rows], networks if keep else None, interrupted)


def _record(candidate: _Candidate, keys: list[str]) -> dict[str, Any]:
    outcomes = list(candidate.outcomes.values())
    errors = [outcome.error for outcome in outcomes if outcome.error]
    means = {name: float(np.mean([getattr(o, name) for o in outcomes])) for name in ("score", "loss", "epochs")}
    return {
        **{key: candidate.given.get(key) for key in keys},
        **means,
        "seconds": sum(outcome.seconds for outcome in outcomes),
        "error": errors[0] if errors else "",
    }


def _differ(values: Iterable[Any]) -> bool:
    return len(set(map(repr, values))) > 1


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
