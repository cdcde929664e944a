"""The Markdown table of latencies: a row a network and call, each peer's fastest variant, and which one that was."""

from __future__ import annotations

from fastnn.bench.calls import FORWARD, GRADIENT, STEP
from fastnn.bench.peers import OURS, PEERS, TITLES
from fastnn.bench.results import Record
from fastnn.bench.table import duration, machine_and_versions, neighbours, rows, times, titled

KINDS = {FORWARD: "forward", GRADIENT: "loss and gradient", STEP: "a step: `fit`, `step`"}
WAYS = ("Network", "prepared")


def markdown(results: Record) -> str:
    """Return the table and below it the peers' variants."""
    records = results["latency"]
    ours = [(way, name) for way in WAYS for name in OURS if _any(records, (name,), way)]
    ways = [way for way in WAYS if any(way == one for one, _ in ours)]
    peers = [library for library, names in PEERS.items() if _any(records, names)]
    header = ["network", "one row", *(f"`{way}`{TITLES[name].removeprefix('fastnn')}" for way, name in ours)]
    header += [*(TITLES[library] for library in peers), *(f"`{way}`, times the best peer" for way in ways)]
    lines, variants = [], []
    for one in records:
        for kind, title in KINDS.items():
            mine = [fastest(one, kind, (name,), way) for way, name in ours]
            theirs = [fastest(one, kind, PEERS[library]) for library in peers]
            ratios = [_ratio(fastest(one, kind, OURS, way), theirs) for way in ways]
            lines.append([one["network"], title, *map(_time, [*mine, *theirs]), *map(times, ratios)])
            chosen = [titled(entry["trainer"], entry["variant"]) for entry in theirs if entry]
            variants.append(f"- {one['network']}, {kind}: {'; '.join(chosen)}")
    notes = ["", "The fastest variant of each peer:", "", *variants] if peers else []
    return "\n".join([_heading(results), "", *rows(header, 2, lines), "", *neighbours(results), *notes]) + "\n"


def fastest(record: Record, kind: str, names: tuple[str, ...], way: str = "") -> Record | None:
    """Return the fastest entry of some trainers for a kind of call; None where none ran."""
    found = [
        entry
        for entry in record["calls"]
        if entry["kind"] == kind and entry["trainer"] in names and entry["ours"] == way and "median" in entry
    ]
    return min(found, key=lambda entry: float(entry["median"]), default=None)


def _any(records: list[Record], names: tuple[str, ...], way: str = "") -> bool:
    return any(fastest(one, kind, names, way) for one in records for kind in KINDS)


def _ratio(mine: Record | None, theirs: list[Record | None]) -> float | None:
    """Return how many times as fast as the fastest peer fastnn is."""
    peers = [entry["median"] for entry in theirs if entry]
    return min(peers) / mine["median"] if mine and peers else None


def _time(entry: Record | None) -> str:
    return duration(entry["median"]) if entry else ""


def _heading(results: Record) -> str:
    where, libraries = machine_and_versions(results)
    return (
        f"{where}; float32, sigmoid units, softmax; medians of {results['settings']['rounds']} interleaved rounds; "
        f"PyTorch on one thread; {libraries}."
    )
