"""fastnn.sklearn beside scikit-learn's estimators of the same parameters: a grid search, and single calls."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from fastnn import datasets
from fastnn import sklearn as ours

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
    for rows in ROWS:
        calls = max(5, 2000 // rows)
        lines.append(_line(f"partial_fit, {rows:,} rows", step_times(rows, calls), 1e6, "us", ""))
    return "\n".join(lines)


def _line(what: str, times: Times, factor: float, unit: str, score: str) -> str:
    ours, theirs = (statistics.median(times[name]) for name in KINDS)
    return f"| {what} | {ours * factor:.3g} {unit} | {theirs * factor:.3g} {unit} | {theirs / ours:.1f} | {score} |"
