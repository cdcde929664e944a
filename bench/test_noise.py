"""A busy neighbour is noticed by what it does to the peak and to the round trip, and told in the tables."""

from fastnn.bench import latency_table, noise, runner, table
from fastnn.bench.cells import CELLS
from fastnn.bench.results import new_results

QUIET = [{"flops": 1e11 * share, "round_trip": 3e-7} for share in (1.0, 0.83, 0.97, 0.95, 0.99, 0.92)]


def probes(flops=(), trips=()):
    """Return the quiet probes, the first ones with another peak or round trip."""
    found = [dict(one) for one in QUIET]
    for one, share in zip(found, flops, strict=False):
        one["flops"] = share * 1e11
    for one, trip in zip(found, trips, strict=False):
        one["round_trip"] = trip
    return found


def test_a_quiet_machine_is_no_neighbour():
    assert noise.disturbed(QUIET, QUIET) is None
    assert noise.disturbed([], QUIET) is None
    assert noise.disturbed(probes(flops=[0.5]), QUIET) is None  # one probe of six: medians bear it
    assert noise.disturbed(probes(trips=[None] * 6), QUIET) is None  # one core


def test_a_low_peak_and_a_long_round_trip_are_told():
    assert (
        noise.disturbed(probes(flops=[0.5, 0.6]), QUIET) == "the peak fell to 50% of the run's highest in 2 of 6 probes"
    )
    assert "4.0 times the run's shortest in 3 of 6" in noise.disturbed(probes(trips=[7e-7, 1.2e-6, 9e-7]), QUIET)


def test_the_whole_run_is_the_measure():
    slow = [{"flops": 5e10, "round_trip": 3e-7}] * 4
    assert noise.disturbed(slow, slow) is None
    (line,) = noise.warnings([("first", QUIET), ("second", slow)], {"1": 5e10, "2": 1e11}, 2)
    assert line.startswith("second: the peak fell to 50%")


def test_threads_without_a_core_each_are_told():
    one_core = {"1": 9e10, "2": 9.9e10}
    told = ["all cells: 2 threads reached 1.10 times the peak of one"]
    assert noise.warnings([("first", QUIET)], {"1": 5e10, "2": 9e10}, 2) == []
    assert noise.warnings([("first", QUIET)], {"1": 5e10}, 2) == []
    assert noise.warnings([("first", QUIET)], one_core, 1) == []  # two threads of one core
    assert noise.warnings([("first", QUIET)], one_core, None) == []
    assert noise.warnings([("first", QUIET)], one_core, 2) == told


def test_the_tables_warn():
    found = new_results(runner.Settings((), rounds=3))
    described = {"key": CELLS[4].key, "mode": CELLS[4].mode, "network": CELLS[4].network, "flops": CELLS[4].flops}
    cell = {"cell": {**vars(CELLS[4]), **described}, "peak_flops": {"1": 5e10, "2": 1e11}, "trainers": {}}
    calls = {"network": "20-16-2", "calls": []}
    found |= {"cells": [{**cell, "probes": QUIET}], "latency": [{**calls, "probes": QUIET}]}
    for markdown in (table.markdown, latency_table.markdown):
        assert "Warning" not in markdown(found)
    found["latency"][0]["probes"] = probes(flops=[0.4] * 5)
    for markdown in (table.markdown, latency_table.markdown):
        assert "**Warning: a busy neighbour?** Of little worth are 20-16-2, latency: the peak fell to 40%" in markdown(
            found
        )


def test_a_probe_measures():
    found = noise.probe(1)
    assert found["flops"] > 1e6
    assert found["round_trip"] is None
