"""Tabular data: how well and how fast fastnn's preset, scikit-learn's estimators and RealMLP-TD-S do on whole sets.

The sets are a folder's NPZ files, which ``bench/tabular_data.py`` writes. The JSON holds one record a set, split and
contestant, so that contestants can be added to it later.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from fastnn.bench.machine import describe_machine, describe_versions
from fastnn.bench.peers import environments, interpreter
from fastnn.bench.runner import log
from fastnn.bench.tabular_contestants import CONTESTANTS, Session
from fastnn.bench.worker import Worker, WorkerError

SCHEMA = 1
Record = dict[str, Any]
TITLES = {
    "fastnn-tabular": 'fastnn, preset="tabular"',
    "realmlp": "RealMLP-TD-S (PyTabKit)",
    "trees": "HistGradientBoosting",
    "fastnn": "fastnn, defaults",
    "sklearn": "scikit-learn MLP",
    "sklearn-stopping": "scikit-learn MLP, early stopping",
}
KINDS = {"classification": "accuracy, %", "regression": "R², %"}


def run(
    files: Sequence[Path],
    contestants: Sequence[str],
    splits: Sequence[int],
    output: Path,
    threads: int,
    peers: str | None = None,
    provisional: bool = False,
) -> Record:
    """Fit every contestant on every split that the output has no record of; it is written after each fit.

    Contestants take turns, so that what else the machine does hits all alike. ``provisional`` marks times that were
    taken while it did much else; a later run without it takes them anew.
    """
    results: Record = load(output) if output.exists() else {"schema": SCHEMA, "fits": []}
    results |= {"machine": describe_machine(), "versions": describe_versions()}
    results["environments"] = {**results.get("environments", {}), **environments(contestants, peers)}
    fits = {_key(one): one for one in results["fits"]}
    known = {key for key, one in fits.items() if provisional or not one.get("provisional")}
    workers: dict[str, Worker] = {}
    try:
        for file, split, name in ((file, split, name) for file in files for split in splits for name in contestants):
            key = file.stem, split, name
            if key in known:
                continue
            if name not in workers:
                workers[name] = Worker(Session, (name, threads), threads, interpreter(name, peers))
            try:
                record = workers[name].call("fit", file, split)
            except WorkerError as error:
                log(f"  {name} failed on {file.stem}: {str(error).strip().splitlines()[-1]}")
                workers.pop(name).close()
                continue
            about = {"set": file.stem, "split": split, "contestant": name, "threads": threads}
            fits[key] = {**about, **record, **({"provisional": True} if provisional else {})}
            results["fits"] = list(fits.values())
            log(f"{file.stem} {split} {name}: {record['score']:.4f} in {record['fit_seconds']:.2f} s")
            save(results, output)
    finally:
        for worker in workers.values():
            worker.close()
    return results


def _key(record: Record) -> tuple[Any, ...]:
    return record["set"], record["split"], record["contestant"]


def load(path: Path) -> Record:
    """Read results, refusing those of another schema."""
    results: Record = json.loads(path.read_text())
    if results.get("schema") != SCHEMA or "fits" not in results:
        raise ValueError(f"{path}: these are not results of `fastnn bench tabular`, schema {SCHEMA}")
    return results


def save(results: Record, path: Path) -> None:
    """Write results as JSON, a line a fit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fits = ",\n".join(json.dumps(one) for one in results["fits"])
    head = json.dumps({key: value for key, value in results.items() if key != "fits"}, indent=1)[:-2]
    path.write_text(f'{head},\n "fits": [\n{fits}\n]}}\n')


def markdown(results: Record) -> str:
    """Return the tables: scores and times of each set, means over the splits, and over the sets."""
    parts = []
    for kind, unit in KINDS.items():
        fits = [one for one in results["fits"] if one["kind"] == kind]
        names = [name for name in CONTESTANTS if any(one["contestant"] == name for one in fits)]
        if not fits:
            continue
        parts += [
            f"### {kind.capitalize()}: {unit}",
            _table(fits, names, "score", statistics.fmean, lambda value: f"{100 * value:.2f}", max),
            f"### {kind.capitalize()}: seconds of a fit{_provisional(fits)}",
            _table(fits, names, "fit_seconds", statistics.geometric_mean, lambda value: f"{value:.2f}", min),
            f"### {kind.capitalize()}: milliseconds to predict the test rows{_provisional(fits)}",
            _table(fits, names, "predict_seconds", statistics.geometric_mean, lambda value: f"{1e3 * value:.2f}", min),
        ]
    return "\n\n".join(parts)


def _provisional(fits: Iterable[Record]) -> str:
    found = sorted({one["contestant"] for one in fits if one.get("provisional")})
    return f" (provisional, on a busy machine: {', '.join(found)})" if found else ""


def _table(
    fits: Sequence[Record],
    names: Sequence[str],
    field: str,
    overall: Callable[[Iterable[float]], float],
    show: Callable[[float], str],
    best: Callable[[Iterable[float]], float],
) -> str:
    """Return a row a set and a last one over all sets that every contestant has, the best in bold."""
    sets = list(dict.fromkeys(one["set"] for one in fits))
    means: dict[str, dict[str, float]] = {}
    for row in sets:
        for name in names:
            values = [one[field] for one in fits if (one["set"], one["contestant"]) == (row, name)]
            if values:
                means.setdefault(row, {})[name] = statistics.fmean(values)
    shared = [row for row in sets if len(means[row]) == len(names)]
    if shared:
        means[f"**{len(shared)} sets**"] = {name: overall([means[row][name] for row in shared]) for name in names}
    lines = [f"| set | {' | '.join(TITLES[name] for name in names)} |", "| --- |" + " ---: |" * len(names)]
    for row, found in means.items():
        winner = show(best(found.values()))
        cells = [show(found[name]) if name in found else "-" for name in names]
        lines.append(f"| {row} | {' | '.join(f'**{cell}**' if cell == winner else cell for cell in cells)} |")
    return "\n".join(lines)
