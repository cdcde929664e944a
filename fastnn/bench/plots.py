"""The plots, drawn from results: ratios to each peer, and time or memory against samples, width and batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastnn.bench.peers import OURS, PEERS, TITLES
from fastnn.bench.results import Record, ratio, seconds

# One colour and one marker a trainer in every plot; the colours are told apart by colour-blind readers too.
STYLES: dict[str, dict[str, Any]] = {
    "fastnn-numba": {"color": "#0072B2", "marker": "o"},
    "fastnn-cython": {"color": "#56B4E9", "marker": "s"},
    "jax": {"color": "#D55E00", "marker": "^"},
    "torch": {"color": "#CC79A7", "marker": "v"},
    "sklearn": {"color": "#009E73", "marker": "D"},
}
MODES = ("SGD", "mini-batch 100", "full batch")


def draw_all(results: Record, folder: Path) -> list[Path]:
    """Draw every plot that the results have data for; return the files written."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    sweeps = results["sweeps"]
    wanted: list[tuple[str, Any, Callable[[], Any]]] = [
        ("ratio", results["cells"], lambda: ratios(results["cells"])),
        ("samples", sweeps.get("samples"), lambda: by_mode(sweeps["samples"], "samples", "samples m")),
        ("width", sweeps.get("width"), lambda: by_mode(sweeps["width"], "width", "units in each hidden layer")),
        ("batch", sweeps.get("batch"), lambda: batches(sweeps["batch"])),
        ("memory", results["memory"], lambda: memory(results["memory"])),
    ]
    written = []
    for name, data, draw in wanted:
        if data:
            written.append(folder / f"{name}.png")
            draw().savefig(written[-1], dpi=150)
    return written


def _figure(columns: int, width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def ratios(records: list[Record]) -> Any:
    """Draw how many times faster fastnn is than each peer, a row a cell; left of 1 the peer is faster."""
    figure, (axes,) = _figure(1, 9, 1.6 + 0.45 * len(records))
    for peer, shift in zip(PEERS, (-0.2, 0, 0.2), strict=True):  # so that no marker hides another
        points = [(value, row + shift) for row, one in enumerate(records) if (value := ratio(one, peer=peer))]
        if points:
            axes.plot(*zip(*points, strict=True), linestyle="none", markersize=8, label=TITLES[peer], **STYLES[peer])
    axes.axvline(1, color="black", linewidth=1)
    for row, one in enumerate(records):
        if one["cell"]["target"]:
            label = "target (best peer)" if row == 0 else None
            axes.plot(one["cell"]["target"], row, "k|", markersize=14, label=label)
    axes.set_yticks(range(len(records)), [_label(one["cell"]) for one in records])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xticks(ticks := [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000], [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("times faster than the peer (time of the peer / time of fastnn)")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=4)
    return figure


def _label(cell: Record) -> str:
    rule = "" if cell["optimizer"] == "sgd" else ", Adam"
    return f"{cell['network']}  {cell['mode']}{rule}"


def _width(cell: Record) -> int:
    return int(cell["sizes"][1])


def _lines(axes: Any, records: list[Record], place: Callable[[Record], float]) -> None:
    """Draw each trainer's time a sample over the records."""
    for name in (*OURS, *PEERS):
        points = sorted((place(one["cell"]), value * 1e6) for one in records if (value := seconds(one, name)))
        if points:
            axes.plot(*zip(*points, strict=True), label=TITLES[name], **STYLES[name])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(alpha=0.3, which="both")


def by_mode(records: list[Record], kind: str, label: str) -> Any:
    """Draw the time a sample, a panel for each mode."""
    figure, panels = _figure(3, 13, 4.6)
    place = _width if kind == "width" else (lambda cell: float(cell["samples"]))
    network = "64-width-width-10" if kind == "width" else records[0]["cell"]["network"]
    for axes, mode in zip(panels, MODES, strict=True):
        _lines(axes, [one for one in records if one["cell"]["mode"] == mode], place)
        axes.set_title(f"{network}, {mode}")
        axes.set_xlabel(label)
    panels[0].set_ylabel("time a sample (us)")
    _legend(figure, panels)
    return figure


def batches(records: list[Record]) -> Any:
    """Draw the time a sample and the fraction of the peak against the batch size."""
    figure, (left, right) = _figure(2, 11, 4.6)

    def place(cell: Record) -> float:
        return float(cell["batch_size"] or cell["samples"])

    _lines(left, records, place)
    left.set_ylabel("time a sample (us)")
    top = max(max(one["peak_flops"].values()) for one in records)
    for name in (*OURS, *PEERS):
        points = sorted(
            (place(one["cell"]), 100 * one["cell"]["flops"] / value / top)
            for one in records
            if (value := seconds(one, name))
        )
        if points:
            right.plot(*zip(*points, strict=True), label=TITLES[name], **STYLES[name])
    right.set_xscale("log")
    right.set_ylim(0, 100)
    right.set_ylabel("fraction of the measured FMA peak (%)")
    right.grid(alpha=0.3, which="both")
    for axes in (left, right):
        axes.set_xlabel("batch size (samples)")
        axes.set_title(f"{records[0]['cell']['network']}, {records[0]['cell']['samples']:,} samples")
    _legend(figure, (left, right))
    return figure


def memory(rows: list[Record]) -> Any:
    """Draw the peak memory above the data against the number of samples, a panel for each mode."""
    modes = [mode for mode in MODES if any(row["mode"] == mode for row in rows)]
    figure, panels = _figure(len(modes), 5 * len(modes) + 1, 4.6)
    for axes, mode in zip(panels, modes, strict=True):
        for name in (*OURS, *PEERS):
            points = [
                (row["samples"], max(row["bytes"] / 2**20, 0.1))
                for row in rows
                if row["trainer"] == name and row["mode"] == mode
            ]
            if points:
                axes.plot(*zip(*sorted(points), strict=True), label=TITLES[name], **STYLES[name])
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(alpha=0.3, which="both")
        axes.set_xlabel("samples m")
        axes.set_title(f"20-16-1, {mode}")
    panels[0].set_ylabel("peak memory above the data (MiB; at least 0.1)")
    _legend(figure, panels)
    return figure


def _legend(figure: Any, panels: Sequence[Any]) -> None:
    """Put one legend over all panels."""
    handles = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=max(1, len(handles)))
