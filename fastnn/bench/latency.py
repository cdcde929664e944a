"""Times calls with one row, every library's in turns, and takes medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

from fastnn.bench.calls import MAKERS, TOLERANCE, CallSession
from fastnn.bench.cells import Cell
from fastnn.bench.noise import SETTLE_SECONDS, Probe, disturbed, probe
from fastnn.bench.runner import Settings, log, start
from fastnn.bench.worker import Worker, WorkerError

Record = dict[str, Any]


def run(cell: Cell, settings: Settings, earlier: Sequence[Probe] = ()) -> Record:
    """Time one network's calls; those of a trainer that fails are left out.

    Returns the network's name, the ``probes`` of the machine, and under ``calls`` an entry for each trainer, kind and
    variant, with the median of the rounds.
    """
    log(f"{cell.network}, one row")
    names = [name for name in settings.trainers if name in MAKERS]
    workers = {name: start(name, settings, CallSession, name, cell, settings.threads) for name in names}
    entries: dict[str, list[Record]] = {}
    probes = []
    try:
        for name, worker in workers.items():
            entries[name] = _check(name, worker)
        for _ in range(settings.rounds):
            probes.append(probe(settings.threads))
            for name in names:
                _time(workers[name], entries[name])
    finally:
        for worker in workers.values():
            worker.close()
    for entry in (one for name in names for one in entries[name]):
        _finish(entry)
    if found := disturbed(probes, [*earlier, *probes]):
        log(f"  WARNING, a busy neighbour: {found}")
    return {"network": cell.network, "probes": probes, "calls": [one for name in names for one in entries[name]]}


def _check(name: str, worker: Worker) -> list[Record]:
    """Return the entries of a trainer's calls; a wrong answer has an error in place of times."""
    try:
        found: list[Record] = worker.call("check")
    except WorkerError as error:
        log(f"  {name} failed: {str(error).strip().splitlines()[-1]}")
        return []
    for entry in found:
        entry.update(trainer=name, seconds=[])
        if not entry["error"] < TOLERANCE:
            log(f"  {name} {entry['kind']} {entry['variant']} is not plain NumPy's: off by {entry['error']:.1e}")
    return found


def _time(worker: Worker, entries: list[Record]) -> None:
    if entries:
        time.sleep(SETTLE_SECONDS)
        for entry, seconds in zip(entries, worker.call("time"), strict=True):
            entry["seconds"].append(seconds)


def _finish(entry: Record) -> None:
    """Add the median of a right call."""
    if entry["seconds"] and entry["error"] < TOLERANCE:
        entry["median"] = statistics.median(entry["seconds"])
        name = f"{entry['trainer']} {entry['ours']}".strip()
        log(f"  {name:24} {entry['kind']:18} {1e6 * entry['median']:9.2f} us  {entry['variant']}")
