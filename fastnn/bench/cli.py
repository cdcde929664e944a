"""The command line of the benchmarks: measuring, tables, plots, baselines."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fastnn.bench.peers import MODULES, installed

if TYPE_CHECKING:
    from fastnn.bench.runner import Settings

# The modules that time or load libraries are imported by the commands: `fastnn --help` must stay quick.

DEFAULT = "fastnn-numba,fastnn-cython,jax,jax-old,torch,sklearn"
SWEEPS = ("samples", "width", "batch")


def build_parser(prog: str = "fastnn bench") -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog=prog, description="Time fastnn and its peers in turns, on one machine.")
    commands = parser.add_subparsers(dest="command", metavar="command")
    run = commands.add_parser("run", help="time the table's cells and print the table (the default)")
    _add_timing(run)
    run.add_argument("--cells", default="", help="only cells whose name contains this, such as 784-128-10 or SGD")
    run.add_argument("--scale", type=float, default=1.0, help="fraction of the samples, for a quick run")
    latency = commands.add_parser("latency", help="time calls with one row and print the table of their latencies")
    _add_timing(latency)
    latency.set_defaults(rounds=15)
    sweep = commands.add_parser("sweep", help="time a sample against the samples m, the width or the batch size")
    sweep.add_argument("sweep", choices=SWEEPS)
    _add_timing(sweep)
    memory = commands.add_parser("memory", help="measure the peak memory above the data against m (Linux)")
    _add_timing(memory)
    for command in (sweep, memory):
        command.add_argument("--largest", type=float, default=1e7, help="most samples m")
    tabular = commands.add_parser("tabular", help="fit estimators on tabular data and print the tables of their scores")
    tabular.add_argument("--data", type=Path, help="folder of NPZ files, as bench/tabular_data.py writes it")
    tabular.add_argument("--peers", help="folder of environments: FOLDER/realmlp/bin/python has PyTabKit")
    tabular.add_argument("--only", default="", help="sets and contestants, joined by commas; by default all")
    tabular.add_argument("--splits", default="0,1,2", help="of 0,1,2")
    tabular.add_argument("--threads", type=int, default=_cores())
    tabular.add_argument("--provisional", action="store_true", help="mark the times: the machine does much else")
    tabular.add_argument("-o", "--output", type=Path, required=True, help="JSON file; what it lacks is measured")
    estimators = commands.add_parser("estimators", help="time fastnn.sklearn beside scikit-learn and print a table")
    estimators.add_argument("--rounds", type=int, default=3)
    estimators.add_argument("--epochs", type=int, default=20, help="of each fit of the search")
    estimators.add_argument("--jobs", default="1,2", help="processes of the search, joined by commas")
    table = commands.add_parser("table", help="print the Markdown table of stored results")
    plot = commands.add_parser("plot", help="draw the plots of stored results")
    peers = commands.add_parser("peers", help="make an environment with JAX 0.6.2 for --peers, by pip")
    peers.add_argument("folder", type=Path)
    baseline = commands.add_parser("baseline", help="store the ratios of results as the baseline of their kind of CPU")
    for command in (table, plot, baseline):
        command.add_argument("results", nargs="+", type=Path)
    table.add_argument("--short", action="store_true", help="a column a library: how many times as long it takes")
    plot.add_argument("-o", "--output", type=Path, default=Path("bench/plots"))
    baseline.add_argument("-o", "--output", type=Path, default=Path("bench/baseline.json"))
    compare = commands.add_parser("compare", help="fail where the ratios fell below the baseline's")
    compare.add_argument("results", nargs="+", type=Path, help="runs; the best ratio of several counts")
    compare.add_argument("baseline", type=Path)
    compare.add_argument("--tolerance", type=float, default=0.15)
    return parser


def _add_timing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trainers", default=DEFAULT, help=f"of {', '.join(MODULES)}; joined by commas")
    parser.add_argument(
        "--peers", help="folder of environments: FOLDER/NAME/bin/python runs the trainer NAME, such as jax-old or torch"
    )
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each trainer")
    parser.add_argument("--longest", type=float, default=3.0, help="seconds for an epoch before it is cut short")
    parser.add_argument("--threads", type=int, default=_cores())
    parser.add_argument("--without", default="", help="variants not to try, such as take_along_axis,unroll=2")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the results")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(arguments: Sequence[str] | None = None, prog: str = "fastnn bench") -> int:
    """Run one command; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in {"-h", "--help"}):
        given.insert(0, "run")
    options = build_parser(prog).parse_args(given)
    commands = {
        "run": _run,
        "latency": _latency,
        "sweep": _sweep,
        "memory": _memory,
        "tabular": _tabular,
        "estimators": _estimators,
        "table": _table,
        "plot": _plot,
        "peers": _peers,
        "baseline": _baseline,
        "compare": _compare,
    }
    return commands[options.command](options)


def _settings(options: argparse.Namespace) -> Settings:
    from fastnn.bench.runner import Settings, log

    names = options.trainers.split(",")
    if unknown := set(names) - set(MODULES):
        raise SystemExit(f"unknown trainers: {', '.join(sorted(unknown))}; known: {', '.join(MODULES)}")
    found = [name for name in names if installed(name, options.peers)]
    if missing := [name for name in names if name not in found]:
        log(
            f"not installed, left out: {', '.join(missing)} (pip install fastnn-cpu[bench] has all but jax-old, which "
            "`fastnn bench peers FOLDER` installs for --peers FOLDER)"
        )
    return Settings(
        tuple(found),
        rounds=options.rounds,
        longest=options.longest,
        threads=options.threads,
        peers=options.peers,
        without=tuple(filter(None, options.without.split(","))),
    )


def _run(options: argparse.Namespace) -> int:
    from fastnn.bench import cells, results, runner, table

    settings = _settings(options)
    found = results.new_results(settings)
    found["scale"] = options.scale
    wanted = [cell for cell in cells.CELLS if options.cells in cell.key]
    for cell in wanted:
        cell = cell if options.scale == 1 else cell.scaled(options.scale)
        found["cells"].append(runner.run_cell(cell, settings, results.all_probes(found)))
        if options.output:  # after each cell: a long run that is ended keeps what it has
            results.save(found, options.output)
    print(table.markdown(found))
    return int(bool(results.failures([found])))


def _latency(options: argparse.Namespace) -> int:
    from fastnn.bench import calls, latency, latency_table, results

    settings = _settings(options)
    found = results.new_results(settings)
    for cell in calls.NETWORKS:
        found["latency"].append(latency.run(cell, settings, results.all_probes(found)))
    if options.output:
        results.save(found, options.output)
    print(latency_table.markdown(found))
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from fastnn.bench import cells, results, runner

    settings = replace(_settings(options), check=False)
    found = results.new_results(settings)
    chosen = {
        "samples": lambda: cells.samples_sweep(options.largest),
        "width": cells.width_sweep,
        "batch": cells.batch_sweep,
    }[options.sweep]()
    records = found["sweeps"][options.sweep] = []
    for cell in chosen:
        records.append(runner.run_cell(cell, settings))
        if options.output:
            results.save(found, options.output)
    return 0


def _memory(options: argparse.Namespace) -> int:
    from fastnn.bench import cells, results, runner

    settings = _settings(options)
    found = results.new_results(settings)
    found["memory"] = runner.run_memory(cells.samples_sweep(options.largest), settings)
    if options.output:
        results.save(found, options.output)
    return 0


def _tabular(options: argparse.Namespace) -> int:
    from fastnn.bench import tabular

    files = sorted(options.data.rglob("*.npz")) if options.data else []
    only = set(filter(None, options.only.split(",")))
    if unknown := only - {file.stem for file in files} - set(tabular.CONTESTANTS):
        raise SystemExit(f"--only: no set and no contestant: {', '.join(sorted(unknown))}")
    contestants = [name for name in tabular.CONTESTANTS if name in only] or list(tabular.CONTESTANTS)
    files = [file for file in files if file.stem in only] or files
    splits = [int(split) for split in options.splits.split(",")]
    found = tabular.run(files, contestants, splits, options.output, options.threads, options.peers, options.provisional)
    print(tabular.markdown(found))
    return 0


def _estimators(options: argparse.Namespace) -> int:
    from fastnn.bench.estimators import tables

    print(tables(options.rounds, options.epochs, [int(jobs) for jobs in options.jobs.split(",")]))
    return 0


def _table(options: argparse.Namespace) -> int:
    from fastnn.bench import latency_table, results, table

    found = results.merge([results.load(path) for path in options.results])
    if found["cells"]:
        print((table.short if options.short else table.markdown)(found))
    if found["latency"]:
        print(latency_table.markdown(found))
    return 0


def _peers(options: argparse.Namespace) -> int:
    from fastnn.bench.peers import make_old_jax

    print(make_old_jax(options.folder))
    return 0


def _plot(options: argparse.Namespace) -> int:
    from fastnn.bench import plots, results

    for path in plots.draw_all(results.merge([results.load(path) for path in options.results]), options.output):
        print(path)
    return 0


def _baseline(options: argparse.Namespace) -> int:
    from fastnn.bench import results

    runs = [results.load(path) for path in options.results]
    if failed := results.failures(runs):
        raise SystemExit("no baseline is made of runs with failures:\n  " + "\n  ".join(failed))
    stored = json.loads(options.output.read_text()) if options.output.exists() else {}
    stored[results.kind_of(runs[0]["machine"])] = results.baseline_of(runs)
    options.output.write_text(json.dumps(stored, indent=1) + "\n")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from fastnn.bench import results

    runs = [results.load(path) for path in options.results]
    report, failures = results.compare(runs, json.loads(options.baseline.read_text()), options.tolerance)
    print("\n".join(report))
    if failures:
        print(f"\nslower than the baseline by more than {options.tolerance:.0%}:", *failures, sep="\n  ")
    return int(bool(failures))
