"""fastnn.sklearn beside scikit-learn's estimators of the same parameters: a grid search, and single calls."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice, product
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from fastnn import datasets
from fastnn import sklearn as ours
from fastnn.network import Network
from fastnn.search import fit_many

GRID = {"hidden_layer_sizes": [(32,), (64,), (128,)], "alpha": [1e-4, 1e-2], "learning_rate_init": [1e-3, 3e-3]}
ROWS = (1, 100, 10_000)  # of one call of partial_fit
LAYERS = 20, (16,), 2  # of the network that takes them
KINDS: dict[str, Any] = {"fastnn": ours.MLPClassifier, "scikit-learn": neural_network.MLPClassifier}

Times = dict[str, list[float]]


def time_in_turns(calls: dict[str, Callable[[], object]], rounds: int) -> Times:
    """Return each call's seconds in each round; calls take turns, after one that is not timed."""
    seconds: Times = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn > 0:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def search_times(rounds: int, epochs: int, n_jobs: int) -> tuple[Times, dict[str, float]]:
    """Return the seconds of a grid search on the embedded digits, and each library's best score in it."""
    (X, y), _ = datasets.load_digits()
    searches = {
        name: GridSearchCV(kind(max_iter=epochs, random_state=0), GRID, cv=3, n_jobs=n_jobs)
        for name, kind in KINDS.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        times = time_in_turns({name: partial(search.fit, X, y) for name, search in searches.items()}, rounds)
    return times, {name: float(search.best_score_) for name, search in searches.items()}


def many_times(count: int, rounds: int, epochs: int) -> Times:
    """Return the seconds of so many networks: by `fit_many`, one by one, and by joblib over scikit-learn."""
    (X, y), (X_test, y_test) = datasets.load_digits()
    seeds = range(-(-count // 12))
    layouts = product([(16,), (32,), (64,), (32, 16)], [1e-3, 3e-3, 1e-2], seeds)
    configurations = [
        {"hidden": h, "activation": "relu", "learning_rate": rate, "rng": seed, "epochs": epochs, "batch_size": 200}
        for h, rate, seed in islice(layouts, count)
    ]

    def alone(c: dict[str, Any]) -> float:
        net = Network((784, *c["hidden"], 10), c["activation"], rng=c["rng"])
        net.fit(X, y, learning_rate=c["learning_rate"], epochs=epochs, batch_size=200)
        return net.score(X_test, y_test)

    def theirs(c: dict[str, Any]) -> float:
        rate, seed = c["learning_rate"], c["rng"]
        kind = neural_network.MLPClassifier
        model = kind(c["hidden"], learning_rate_init=rate, max_iter=epochs, random_state=seed, alpha=0, tol=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return float(model.fit(X, y).score(X_test, y_test))

    calls: dict[str, Callable[[], object]] = {
        "fastnn": partial(fit_many, X, y, configurations, validation_data=(X_test, y_test), progress=False),
        "one after the other": lambda: [alone(each) for each in configurations],
        "scikit-learn": lambda: Parallel(n_jobs=-1)(delayed(theirs)(each) for each in configurations),
    }
    return time_in_turns(calls, rounds)


def step_times(rows: int, rounds: int) -> Times:
    """Return the seconds of a call of ``partial_fit`` with so many rows."""
    inputs, hidden, classes = LAYERS
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(rows, inputs)), rng.integers(classes, size=rows)
    models = {name: kind(hidden, random_state=0) for name, kind in KINDS.items()}
    for model in models.values():
        model.partial_fit(X, y, classes=np.arange(classes))
    return time_in_turns({name: partial(model.partial_fit, X, y) for name, model in models.items()}, rounds)


def tables(rounds: int, epochs: int, jobs: Sequence[int]) -> str:
    """Measure all, and return a Markdown table of medians."""
    lines = ["| | fastnn | scikit-learn | times as fast | best score |", "| --- | ---: | ---: | ---: | --- |"]
    for n_jobs in jobs:
        times, scores = search_times(rounds, epochs, n_jobs)
        shown = f"{scores['fastnn']:.4f}, {scores['scikit-learn']:.4f}"
        lines.append(_line(f"GridSearchCV, 12 configurations, {epochs} epochs, n_jobs={n_jobs}", times, 1, "s", shown))
    for count in (12, 100):
        times, what = many_times(count, rounds, epochs), f"{count} configurations, {epochs} epochs: fit_many, and"
        lines.append(_line(f"{what} joblib over scikit-learn", times, 1, "s", ""))
        alone = {"fastnn": times["fastnn"], "scikit-learn": times["one after the other"]}
        lines.append(_line(f"{what} one fit after the other", alone, 1, "s", ""))
    for rows in ROWS:
        calls = max(5, 2000 // rows)
        lines.append(_line(f"partial_fit, {rows:,} rows", step_times(rows, calls), 1e6, "us", ""))
    return "\n".join(lines)


def _line(what: str, times: Times, factor: float, unit: str, score: str) -> str:
    ours, theirs = (statistics.median(times[name]) for name in KINDS)
    return f"| {what} | {ours * factor:.3g} {unit} | {theirs * factor:.3g} {unit} | {theirs / ours:.1f} | {score} |"
