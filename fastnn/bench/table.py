"""The Markdown table, generated from results: what was lost stands in it like what was won."""

from __future__ import annotations

from typing import Any

from fastnn.bench.results import OURS, Record, peak, ratio, seconds
from fastnn.bench.runner import best, best_peer
from fastnn.bench.trainers import PEERS

TITLES = {
    "fastnn-numba": "fastnn (Numba)",
    "fastnn-cython": "fastnn (Cython)",
    "jax": "JAX",
    "torch": "PyTorch",
    "sklearn": "scikit-learn",
}
PREFIXES = ((1, "s"), (1e3, "ms"), (1e6, "us"), (1e9, "ns"))


def markdown(results: Record) -> str:
    """Return the table with a heading line on the machine and a list of what was lost or not comparable."""
    records = results["cells"]
    names = [name for name in (*OURS, *PEERS) if any(name in one["trainers"] for one in records)]
    header = ["network, samples", "mode", *(TITLES[name] for name in names)]
    header += ["times the best peer", "target", "GFLOP/s", "of peak"]
    top = peak(results)
    rows = [_row(record, names, top) for record in records]
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * 2 + ["---:"] * (len(header) - 2), *rows)]
    return "\n".join([_heading(results, top), "", *lines, "", *_notes(records)]) + "\n"


def _heading(results: Record, top: float) -> str:
    machine, versions = results["machine"], results["versions"]
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{machine['cpu']}, {results['settings']['threads']} threads ({machine['simd']}), measured peak "
        f"{top * 1e-9:.0f} GFLOP/s{_round_trips(results)}; float32; "
        f"medians of {results['settings']['rounds']} interleaved runs; ratio, GFLOP/s and fraction of the peak are "
        f"those of fastnn's faster backend; {libraries}."
    )


def _round_trips(results: Record) -> str:
    """Return how long a cache line took between two cores and back, before and after the cells."""
    trips = [round(trip * 1e9) for record in results["cells"] for trip in record.get("round_trips", [])]
    return f", a cache line between two cores and back in {min(trips)} to {max(trips)} ns" if trips else ""


def _row(record: Record, names: list[str], top: float) -> list[str]:
    cell, trainers = record["cell"], record["trainers"]
    scale, unit = _unit(cell)
    times = [_time(trainers.get(name, {}), scale, unit) for name in names]
    found = ratio(record)
    mine = seconds(record, best(trainers, OURS))
    rate = cell["flops"] / mine if mine else None
    return [
        f"{cell['network']}, {cell['samples']:,}",
        _mode(cell),
        *times,
        _bold(found),
        f"{cell['target']:g}" if cell["target"] else "",
        f"{rate * 1e-9:.0f}" if rate else "",
        f"{rate / top:.0%}" if rate else "",
    ]


def _mode(cell: Record) -> str:
    rule = "" if cell["optimizer"] == "sgd" else f", {cell['optimizer'].capitalize()}"
    return f"{cell['mode']}{rule}"


def _unit(cell: Record) -> tuple[int, str]:
    """Return how many samples one number of the row stands for: a sample, a step or an epoch."""
    if cell["batch_size"] is None:
        return cell["samples"], "an epoch"
    return cell["batch_size"], "a sample" if cell["batch_size"] == 1 else "a step"


def _time(entry: dict[str, Any], scale: int, unit: str) -> str:
    if "seconds_per_sample" not in entry:
        return "failed" if "error" in entry else ""
    value = entry["seconds_per_sample"] * scale
    factor, name = next((pair for pair in PREFIXES if value * pair[0] >= 1), PREFIXES[-1])
    star = "*" if entry.get("scaled") else ""
    return f"{value * factor:.3g} {name} {unit}{star}"


def _bold(found: float | None) -> str:
    if found is None:
        return ""
    return f"{found:.2f}" if found >= 1 else f"**{found:.3g} (slower)**"


def _notes(records: list[Record]) -> list[str]:
    notes = []
    if any(entry.get("scaled") for one in records for entry in one["trainers"].values()):
        notes.append("\\* timed on the first samples only, as many as fit the time set for an epoch.")
    lost = [one for one in records if (ratio(one) or 1) < 1]
    missed = [one for one in records if one["cell"]["target"] and 1 <= (ratio(one) or 1e9) < one["cell"]["target"]]
    if lost:
        notes.append("Slower than the best peer: " + "; ".join(f"{_name(one)} ({_versus(one)})" for one in lost) + ".")
    if missed:
        notes.append("Below the target: " + "; ".join(f"{_name(one)} ({_versus(one)})" for one in missed) + ".")
    return notes


def _name(record: Record) -> str:
    return f"{record['cell']['network']} {_mode(record['cell'])}"


def _versus(record: Record) -> str:
    peer = best_peer(record["trainers"])
    return f"{ratio(record):.2f} times {TITLES[peer] if peer else ''}"
