"""Times the trainers of a cell in turns (A B C A B C ...) and takes medians."""

from __future__ import annotations

import itertools
import math
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fastnn.bench.cells import Cell
from fastnn.bench.noise import SETTLE_SECONDS, Probe, disturbed, probe
from fastnn.bench.peak import peak_flops
from fastnn.bench.peers import PEERS, interpreter, variables
from fastnn.bench.session import CHECK_TOLERANCE, Session
from fastnn.bench.trainers import STEP_BY_STEP
from fastnn.bench.worker import Worker, WorkerError


@dataclass(frozen=True)
class Settings:
    """How a run is made.

    Attributes
    ----------
    trainers : names from ``trainers.REGISTRY``
    rounds : timed runs of each trainer
    shortest : seconds that a timed run should last; more epochs are run until it does
    longest : seconds that an epoch may last; peers that need longer are timed on fewer samples
    threads : threads that every library may use
    check : compare the loss with plain NumPy's before timing
    peers : folder of environments; one that has a trainer's name runs it
    without : variants whose description, such as loss=one_hot, unroll=4, has one of these texts are not tried
    """

    trainers: tuple[str, ...]
    rounds: int = 5
    shortest: float = 0.3
    longest: float = 3.0
    threads: int = os.cpu_count() or 1
    check: bool = True
    peers: str | None = None
    without: tuple[str, ...] = ()


SHUFFLED_TOLERANCE = 0.2  # of the fall in two epochs, whose order of the samples differs from trainer to trainer


def run_cell(cell: Cell, settings: Settings, earlier: Sequence[Probe] = ()) -> dict[str, Any]:
    """Time one cell; a trainer that fails is reported with its error and left out.

    ``earlier`` are the probes of the run so far, which say how fast the machine can be.
    """
    log(f"{cell.key}")
    peaks, probes = [measure_peaks(settings.threads)], []
    workers: dict[str, Worker] = {}
    entries: dict[str, dict[str, Any]] = {}
    try:
        for name in settings.trainers:
            workers[name], entries[name] = start(name, settings, Session, name, cell, settings.threads), {"seconds": []}
            _attempt(workers, name, entries[name], _prepare, cell, settings)
        for _ in range(settings.rounds):
            probes.append(probe(settings.threads))
            for name in list(workers):
                _attempt(workers, name, entries[name], _time)
        probes.append(probe(settings.threads))
        peaks.append(measure_peaks(settings.threads))
        _agree(cell, entries)
    finally:
        for worker in workers.values():
            worker.close()
    for name, entry in entries.items():
        _finish(name, cell, entry)
    if found := disturbed(probes, [*earlier, *probes]):
        log(f"  WARNING, a busy neighbour: {found}")
    return {
        "cell": {**asdict(cell), "key": cell.key, "mode": cell.mode, "network": cell.network, "flops": cell.flops},
        "peak_flops": {count: max(one[count] for one in peaks) for count in peaks[0]},
        "probes": probes,
        "trainers": entries,
    }


def start(name: str, settings: Settings, make: Any, *arguments: Any) -> Worker:
    """Start a trainer's process, with the interpreter and the variables that are its own."""
    for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # they make OpenBLAS slower than it is
        os.environ.pop(variable, None)
    return Worker(make, arguments, settings.threads, interpreter(name, settings.peers), variables(name))


def measure_peaks(threads: int) -> dict[str, float]:
    """Return the measured peak of one thread and of all, in FLOP/s."""
    return {str(count): peak_flops(count) for count in sorted({1, threads})}


def _attempt(workers: dict[str, Worker], name: str, entry: dict[str, Any], action: Any, *arguments: Any) -> None:
    """Do one thing in a worker; a worker that fails takes no further part."""
    try:
        action(workers[name], entry, *arguments)
    except WorkerError as error:
        log(f"  {name} failed: {str(error).strip().splitlines()[-1]}")
        workers.pop(name).close()
        entry.update(error=str(error), seconds=[])


def _prepare(worker: Worker, entry: dict[str, Any], cell: Cell, settings: Settings) -> None:
    """Choose the fastest variant whose answer is right, train the first epoch and fix the length of a timed run."""
    entry["tried"] = try_variants(worker, settings)
    ran = [one for one in entry["tried"] if "seconds" in one]
    if not ran:
        raise WorkerError("\n".join(one["error"] for one in entry["tried"]))
    fastest = min(ran, key=lambda one: float(one["seconds"]))
    entry["variant"] = fastest["variant"]
    entry["samples"] = worker.call("choose", fastest["variant"], fastest["seconds"], settings.longest)
    entry.update(worker.call("warm", entry["samples"]))
    if not entry["loss"] < entry["initial_loss"]:
        raise WorkerError(f"the loss does not fall: {entry['initial_loss']} to {entry['loss']}")
    turns = math.ceil(settings.shortest / max(entry["epoch_seconds"], 1e-9))
    entry["epochs"] = cell.epochs or min(turns, 1000)


def try_variants(worker: Worker, settings: Settings) -> list[dict[str, Any]]:
    """Try every variant of a trainer; one that fails, is wrong or ends the process has an error in place of a time."""
    tried: list[dict[str, Any]] = []
    for variant in worker.call("variants"):
        if any(text in words(variant, "=") for text in settings.without):
            continue
        try:
            tried.append(worker.call("attempt", variant, settings.check))
        except WorkerError as error:
            worker.restart()
            tried.append({"variant": variant, "error": str(error)})
    return tried


def _agree(cell: Cell, entries: dict[str, dict[str, Any]]) -> None:
    """Mark as wrong whoever, trained on all samples, reached another loss than the median of those trainers."""
    whole = {name: one for name, one in entries.items() if one["seconds"] and one["samples"] == cell.samples}
    if not whole:
        return
    middle = statistics.median_low(one["loss"] for one in whole.values())
    tolerance = SHUFFLED_TOLERANCE if cell.batch_size else CHECK_TOLERANCE
    for name, one in whole.items():
        error = abs(one["loss"] - middle) / (one["initial_loss"] - middle)
        if error > tolerance:
            one.update(error=f"loss {one['loss']}, where others reach {middle}", seconds=[])
            log(f"  {name} failed: {one['error']}")


def _time(worker: Worker, entry: dict[str, Any]) -> None:
    time.sleep(SETTLE_SECONDS)
    seconds = worker.call("time", entry["epochs"], entry["samples"])
    entry["seconds"].append(seconds / entry["epochs"])


def _finish(name: str, cell: Cell, entry: dict[str, Any]) -> None:
    """Add the median time of an epoch, a step and a sample; tell it, and which variants took no part."""
    for one in entry.get("tried", ()):
        if "error" in one:
            log(f"  {name:14} without {words(one['variant'])}: {one['error'].strip().splitlines()[-1]}")
    if not entry.get("seconds"):
        return
    samples = entry["samples"]
    sample = statistics.median(entry["seconds"]) / samples
    entry["scaled"] = samples < cell.samples  # timed on fewer samples, scaled to all of them
    entry["seconds_per_sample"] = sample
    entry["seconds_per_step"] = sample * (cell.batch_size or cell.samples)
    entry["seconds_per_epoch"] = sample * cell.samples
    part = f", timed on {samples} samples" if entry["scaled"] else ""
    log(f"  {name:14} {sample * 1e6:10.4f} us a sample, {cell.flops / sample * 1e-9:7.1f} GFLOP/s{part}")


def best(entries: dict[str, dict[str, Any]], names: Sequence[str]) -> str | None:
    """Return the fastest of the named trainers that ran."""
    ran = [name for name in names if "seconds_per_sample" in entries.get(name, {})]
    return min(ran, key=lambda name: float(entries[name]["seconds_per_sample"]), default=None)


def run_memory(cells: Sequence[Cell], settings: Settings) -> list[dict[str, Any]]:
    """Return each trainer's peak memory above the data, for each cell in new processes."""
    rows = []
    for cell, name in itertools.product(cells, settings.trainers):
        if cell.batch_size == 1 and name in STEP_BY_STEP:
            continue
        # the smaller of two: the first process may have had to compile kernels for the cache on disk
        peaks = [peak for _ in range(2) if (peak := _peak_memory(name, cell, settings)) is not None]
        if peaks:
            log(f"  {name:14} {cell.key}: {min(peaks) / 2**20:.1f} MiB above the data")
            rows.append({"samples": cell.samples, "mode": cell.mode, "trainer": name, "bytes": min(peaks)})
    return rows


def _peak_memory(name: str, cell: Cell, settings: Settings) -> float | None:
    worker = start(name, settings, Session, name, cell, settings.threads)
    try:
        peak: float | None = worker.call("memory", cell.samples)
    except WorkerError as error:
        log(f"  {name} failed: {str(error).strip().splitlines()[-1]}")
        return None
    finally:
        worker.close()
    return peak


def best_peer(entries: dict[str, dict[str, Any]]) -> str | None:
    """Return the fastest peer that ran."""
    return best(entries, [name for trainers in PEERS.values() for name in trainers])


def words(variant: dict[str, Any], equals: str = " ") -> str:
    """Return what a variant chose, such as "loss one_hot, unroll 4"."""
    return ", ".join(f"{key}{equals}{value}" for key, value in variant.items() if value)


def log(text: str) -> None:
    """Say on standard error what is being done."""
    print(text, file=sys.stderr, flush=True)
