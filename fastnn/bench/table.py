"""The Markdown table, generated from results: what was lost stands in it like what was won."""

from __future__ import annotations

from typing import Any

from fastnn.bench.noise import warnings
from fastnn.bench.peers import OURS, PEERS, RELEASES, TITLES
from fastnn.bench.results import Record, fastest, highest_peaks, peak, probes, ratio, seconds
from fastnn.bench.runner import best, best_peer, words

PREFIXES = ((1, "s"), (1e3, "ms"), (1e6, "us"), (1e9, "ns"))


def markdown(results: Record) -> str:
    """Return the table, a heading line on the machine, notes on what was lost or disturbed, and the peers' variants."""
    records = results["cells"]
    names = [name for name in (*OURS, *PEERS) if any(_entry(one, name) for one in records)]
    header = ["network, samples", "mode", *(TITLES[name] for name in names)]
    header += ["times the best peer", "target", "GFLOP/s", "of peak"]
    top = peak(results)
    lines = rows(header, 2, [_row(record, names, top) for record in records])
    return "\n".join([_heading(results, top), "", *lines, "", *_notes(results), *_variants(records)]) + "\n"


def short(results: Record) -> str:
    """Return the table for a newcomer: fastnn's time, and how many times as long each library takes."""
    peers = [name for name in PEERS if any(_entry(one, name) for one in results["cells"])]
    header = ["network", "mode", "fastnn", *(TITLES[name] for name in peers)]
    lines = []
    for one in results["cells"]:
        ratios = [ratio(one, peer=name) for name in peers]
        ours = _time(one["trainers"].get(best(one["trainers"], OURS), {}), *_unit(one["cell"])).rstrip("*")
        lines.append([one["cell"]["network"], _mode(one["cell"]), ours, *map(times, ratios)])
    return "\n".join([*rows(header, 2, lines), "", *neighbours(results)]) + "\n"


def rows(header: list[str], words: int, lines: list[list[str]]) -> list[str]:
    """Return a table's lines; the first columns are words, the others numbers."""
    rule = ["---"] * words + ["---:"] * (len(header) - words)
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *lines)]


def _entry(record: Record, library: str) -> dict[str, Any]:
    """Return a library's fastest entry, or that of one that failed; an empty one where none was timed."""
    trainers = [name for name in PEERS.get(library, (library,)) if name in record["trainers"]]
    name = fastest(record, library) or (trainers[0] if trainers else None)
    entry: dict[str, Any] = record["trainers"].get(name, {})
    return entry


def machine_and_versions(results: Record) -> tuple[str, str]:
    """Return in words the machine with its threads, and what was timed."""
    machine = results["machine"]
    own = [f"{name} with {_list(found)}" for name, found in results.get("environments", {}).items()]
    where = f"{machine['cpu']}, {results['settings']['threads']} threads ({machine['simd']})"
    return where, _list(results["versions"]) + (f"; in environments of their own: {'; '.join(own)}" if own else "")


def _list(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _heading(results: Record, top: float) -> str:
    where, libraries = machine_and_versions(results)
    return (
        f"{where}, measured peak {top * 1e-9:.0f} GFLOP/s{_round_trips(results)}; float32; "
        f"medians of {results['settings']['rounds']} interleaved runs; ratio, GFLOP/s and fraction of the peak are "
        f"those of fastnn's faster backend; {libraries}."
    )


def _round_trips(results: Record) -> str:
    """Return how long a cache line took between two cores and back, while the cells were timed."""
    found = [one["round_trip"] for _, cell in probes(results) for one in cell if one["round_trip"]]
    trips = [round(trip * 1e9) for trip in found]
    return f", a cache line between two cores and back in {min(trips)} to {max(trips)} ns" if trips else ""


def _row(record: Record, names: list[str], top: float) -> list[str]:
    cell, trainers = record["cell"], record["trainers"]
    scale, unit = _unit(cell)
    mine = seconds(record, best(trainers, OURS))
    rate = cell["flops"] / mine if mine else None
    return [
        f"{cell['network']}, {cell['samples']:,}",
        _mode(cell),
        *(_time(_entry(record, name), scale, unit) for name in names),
        times(ratio(record)),
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
    star = "*" if entry.get("scaled") else ""
    return f"{duration(entry['seconds_per_sample'] * scale)} {unit}{star}"


def duration(seconds: float) -> str:
    """Return a time with three digits and its unit."""
    factor, name = next((pair for pair in PREFIXES if seconds * pair[0] >= 1), PREFIXES[-1])
    return f"{seconds * factor:.3g} {name}"


def times(found: float | None) -> str:
    """Return a ratio, marked where fastnn is slower."""
    if found is None:
        return ""
    if found < 1:
        return f"**{found:.3g} (slower)**"
    digits = 2 if found < 10 else 1 if found < 100 else 0
    return f"{found:,.{digits}f}"


def _notes(results: Record) -> list[str]:
    records, notes = results["cells"], []
    if any(entry.get("scaled") for one in records for entry in one["trainers"].values()):
        notes.append("\\* timed on the first samples only, as many as fit the time set for an epoch.")
    lost = [one for one in records if (ratio(one) or 1) < 1]
    missed = [one for one in records if one["cell"]["target"] and 1 <= (ratio(one) or 1e9) < one["cell"]["target"]]
    if lost:
        notes.append("Slower than the best peer: " + "; ".join(f"{_name(one)} ({_versus(one)})" for one in lost) + ".")
    if missed:
        notes.append("Below the target: " + "; ".join(f"{_name(one)} ({_versus(one)})" for one in missed) + ".")
    return notes + neighbours(results)


def neighbours(results: Record) -> list[str]:
    """Return a warning that names the timings which a busy neighbour makes worthless, if there are any."""
    found = warnings(probes(results), highest_peaks(results), results["machine"].get("physical_cores"))
    return [f"**Warning: a busy neighbour?** Of little worth are {'; '.join(found)}."] if found else []


def _variants(records: list[Record]) -> list[str]:
    """Return which variant of each peer was the fastest and stands in the table."""
    lines = []
    for one in records:
        ran = [name for library in PEERS if (name := fastest(one, library))]
        chosen = [titled(name, words(one["trainers"][name].get("variant", {}))) for name in ran]
        if chosen:
            lines.append(f"- {_name(one)}: {'; '.join(chosen)}")
    return ["", "The fastest variant of each peer:", "", *lines] if lines else []


def titled(name: str, variant: str) -> str:
    """Return a trainer's title and, in brackets, its release, where that is not today's, and its variant."""
    text = ", ".join(part for part in (RELEASES.get(name, ""), variant) if part)
    return f"{TITLES[name]} ({text})" if text else TITLES[name]


def _name(record: Record) -> str:
    return f"{record['cell']['network']} {_mode(record['cell'])}"


def _versus(record: Record) -> str:
    peer = best_peer(record["trainers"])
    return f"{ratio(record):.2f} times {TITLES[peer] if peer else ''}"
