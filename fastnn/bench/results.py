"""The JSON that a run leaves behind, what is read off it, and the comparison with a stored baseline.

Schema 1: ``{"schema", "created", "machine", "versions", "settings", "cells": [...], "sweeps": {name: [...]},
"memory": [...], "latency": [...]}``; a cell or a sweep's entry is what ``runner.run_cell`` returns, a latency what
``latency.run`` returns, times in seconds. ``versions`` are those of this environment, ``environments`` those of the
trainers that have one of their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastnn.bench.machine import describe_machine, describe_versions
from fastnn.bench.noise import Probe
from fastnn.bench.peers import OURS, PEERS, environments
from fastnn.bench.runner import Settings, best, best_peer

SCHEMA = 1
Record = dict[str, Any]


def new_results(settings: Settings) -> Record:
    """Return results without measurements."""
    return {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "environments": environments(settings.trainers, settings.peers),
        "settings": asdict(settings),
        "cells": [],
        "sweeps": {},
        "memory": [],
        "latency": [],
    }


def save(results: Record, path: Path) -> None:
    """Write results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def load(path: Path) -> Record:
    """Read results, refusing those of another schema."""
    results: Record = json.loads(path.read_text())
    if results.get("schema") != SCHEMA:
        raise ValueError(f"{path}: these are not benchmark results of schema {SCHEMA}")
    return results


def merge(runs: Sequence[Record]) -> Record:
    """Join what several runs measured; the machine and the versions are the first run's."""
    merged = {**runs[0], "cells": [], "sweeps": {}, "memory": [], "latency": []}
    for run in runs:
        merged["cells"] += run["cells"]
        merged["sweeps"] |= run["sweeps"]
        merged["memory"] += run["memory"]
        merged["latency"] += run.get("latency", [])
    return merged


def fastest(record: Record, library: str) -> str | None:
    """Return the fastest trainer of a library that ran."""
    return best(record["trainers"], PEERS.get(library, (library,)))


def seconds(record: Record, name: str | None) -> float | None:
    """Return the time a sample of a trainer, or of a library's fastest one; None where none ran."""
    found: float | None = record["trainers"].get(name and fastest(record, name), {}).get("seconds_per_sample")
    return found


def ratio(record: Record, ours: str | None = None, peer: str | None = None) -> float | None:
    """Return how many times faster fastnn is than a peer: by default its faster backend than the best peer."""
    mine = seconds(record, ours or best(record["trainers"], OURS))
    theirs = seconds(record, peer or best_peer(record["trainers"]))
    return theirs / mine if mine and theirs else None


def peak(results: Record) -> float:
    """Return the highest peak measured in the run, on all its threads, in FLOP/s."""
    records = [*results["cells"], *(one for sweep in results["sweeps"].values() for one in sweep)]
    return max((float(flops) for one in records for flops in one["peak_flops"].values()), default=float("nan"))


def probes(results: Record) -> list[tuple[str, list[Probe]]]:
    """Return the cells' and latencies' names with how the machine was while they were timed."""
    cells = [(one["cell"]["key"], one.get("probes", [])) for one in results["cells"]]
    return cells + [(f"{one['network']}, latency", one["probes"]) for one in results.get("latency", [])]


def all_probes(results: Record) -> list[Probe]:
    """Return all probes of a run so far."""
    return [one for _, found in probes(results) for one in found]


def highest_peaks(results: Record) -> dict[str, float]:
    """Return the highest peak measured with each number of threads."""
    peaks: dict[str, float] = {}
    for one in results["cells"]:
        for count, flops in one["peak_flops"].items():
            peaks[count] = max(flops, peaks.get(count, 0.0))
    return peaks


def failures(runs: Sequence[Record]) -> list[str]:
    """Return which trainers failed in which cells."""
    records = [record for run in runs for record in run["cells"]]
    return [
        f"{one['cell']['key']}, {name}"
        for one in records
        for name, entry in one["trainers"].items()
        if "error" in entry
    ]


def baseline_of(runs: Sequence[Record]) -> Record:
    """Return the ratios to keep: for each cell and backend the highest one of several runs of one machine."""
    ratios: dict[str, dict[str, float]] = {}
    for record in (record for run in runs for record in run["cells"]):
        kept = ratios.setdefault(record["cell"]["key"], {})
        for name in OURS:
            if found := ratio(record, name):
                kept[name] = round(max(found, kept.get(name, 0.0)), 3)
    return {"machine": runs[0]["machine"], "versions": runs[0]["versions"], "ratios": ratios}


def kind_of(machine: Record) -> str:
    """Return the kind of CPU that a baseline is kept for: its maker and the SIMD level, such as ``AMD avx512``."""
    maker = next((maker for maker in ("AMD", "Intel", "Apple") if maker in machine["cpu"]), "unknown")
    return f"{maker} {machine['simd']}"


def compare(runs: Sequence[Record], baseline: Record, tolerance: float) -> tuple[list[str], list[str]]:
    """Compare the best ratios of the runs with the baseline of the same kind of CPU; return the report and what fell.

    A cell that the baseline has and the runs lack is a failure: a benchmark that breaks must not pass.
    """
    kind = kind_of(runs[0]["machine"])
    if kind not in baseline:
        return [f"no baseline for {kind}: nothing to compare"], [f"no baseline for {kind}"]
    found = baseline_of(runs)["ratios"]
    report, slower = [], []
    for key, expected in baseline[kind]["ratios"].items():
        for name, before in expected.items():
            now = found.get(key, {}).get(name, 0.0)
            line = f"{key}, {name}: {before:.2f} -> {now:.2f} ({now / before - 1:+.0%})"
            report.append(line)
            if now < before * (1 - tolerance):
                slower.append(line)
    return report, slower
