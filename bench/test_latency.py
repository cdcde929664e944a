"""Calls with one row: each library computes what plain NumPy does, and the table has the fastest right answer."""

import os
import sys
import types

import numpy as np
import pytest

from fastnn.bench import calls, latency, latency_table, results, runner
from fastnn.bench.calls import NETWORKS, TOLERANCE, CallSession
from fastnn.bench.cells import make_data, make_layers
from fastnn.bench.cli import main
from fastnn.bench.peers import installed

FOLDER = os.environ.get("FASTNN_BENCH_PEERS")
TRAINERS = [
    pytest.param(name, marks=pytest.mark.skipif(not installed(name, FOLDER), reason=f"{name} is not installed"))
    for name in calls.MAKERS
]


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda cell: cell.network)
def test_every_call_is_plain_numpys(name, network):
    worker = runner.start(name, runner.Settings((name,), threads=1, peers=FOLDER), CallSession, name, network, 1)
    try:
        found = worker.call("check")
        seconds = worker.call("time")
    finally:
        worker.close()
    assert {one["kind"] for one in found} == set(latency_table.KINDS)
    assert [one for one in found if not one["error"] < TOLERANCE] == []
    assert len(seconds) == len(found)
    assert min(seconds) > 0


def test_the_expected_gradient_is_the_slope_of_the_loss():
    cell = NETWORKS[0]
    X, y = make_data(cell)
    expected = calls.expected(cell, X, y)
    assert expected[calls.FORWARD].sum() == pytest.approx(1)
    step = calls.flat(make_layers(cell)) - cell.learning_rate * expected[calls.GRADIENT][1:]
    first = calls.expected(cell, X, y)[calls.STEP]
    assert np.abs(first - step).max() < calls.STEPS * cell.learning_rate * np.abs(expected[calls.GRADIENT][1:]).max()


class Prepared:
    """A stand-in for what ``fastnn.backend.prepare`` returns, made of the network's own methods."""

    factor = 1.0

    def __init__(self, net, rows):
        self.net, self.rows = net, rows

    def forward(self, X, out=None):
        out[:] = self.net.forward(X)
        return out

    def loss_and_gradient(self, X, y, out=None):
        loss, out[:] = self.net.loss_and_gradient(X, y)
        out *= self.factor
        return loss, out

    def step(self, X, y):
        rate = self.net.optimizer.learning_rate
        self.net.fit(X, y, optimizer="sgd", learning_rate=rate, batch_size=1, epochs=1)


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_prepared_calls_are_checked(monkeypatch, factor):
    stand_in = types.ModuleType("fastnn.backend")
    stand_in.prepare = Prepared
    monkeypatch.setitem(sys.modules, "fastnn.backend", stand_in)
    monkeypatch.setattr(Prepared, "factor", factor)
    cell = NETWORKS[0]
    X, y = make_data(cell)
    prepared = calls.prepared_calls(cell, X, y, make_layers(cell))
    monkeypatch.setattr(calls, "numba_calls", lambda *given: prepared)
    found = CallSession("fastnn-numba", cell, 1).check()
    assert [one["ours"] for one in found] == ["prepared"] * 3
    wrong = [one["kind"] for one in found if not one["error"] < TOLERANCE]
    assert wrong == ([] if factor == 1 else [calls.GRADIENT])


def entry(trainer, seconds, kind=calls.FORWARD, ours="", variant=""):
    """Return an entry as ``latency.run`` does; without seconds that of a wrong answer."""
    found = {"trainer": trainer, "kind": kind, "ours": ours, "variant": variant}
    return {**found, "median": seconds} if seconds else found


def test_the_table_has_the_fastest_right_variant():
    found = results.new_results(runner.Settings(("fastnn-numba",), rounds=3))
    found["latency"] = [
        {
            "network": "20-16-2",
            "probes": [],
            "calls": [
                entry("fastnn-numba", 8e-6, ours="Network"),
                entry("fastnn-cython", 16e-6, ours="Network"),
                entry("fastnn-cython", 2e-6, ours="prepared"),
                entry("jax", 14e-6, variant="parameters as layers"),
                entry("jax-old", 12e-6, variant="parameters as one vector"),
                entry("torch", None, variant="wrong"),
                entry("torch", 24e-6, variant="eager"),
                entry("torch", 3e-3, calls.STEP, variant="torch.compile"),
            ],
        }
    ]
    lines = latency_table.markdown(found).splitlines()
    assert lines[2] == (
        "| network | one row | `Network` (Numba) | `Network` (Cython) | `prepared` (Cython) | JAX | PyTorch "
        "| `Network`, times the best peer | `prepared`, times the best peer |"
    )
    assert lines[4] == "| 20-16-2 | forward | 8 us | 16 us | 2 us | 12 us | 24 us | 1.50 | 6.00 |"
    assert lines[6].startswith("| 20-16-2 | a step: `fit`, `step` |  |  |  |  | 3 ms |")
    assert "- 20-16-2, forward: JAX (0.6.2, old runtime, parameters as one vector); PyTorch (eager)" in lines


def test_one_command_prints_the_table(capsys, tmp_path):
    assert main(["latency", "--trainers", "fastnn-numba", "--rounds", "1", "-o", str(tmp_path / "found.json")]) == 0
    out, told = capsys.readouterr()
    assert out.count("\n| 20-16-2 |") == out.count("\n| 784-128-10 |") == 3
    assert "fastnn-numba Network" in told
    assert main(["table", str(tmp_path / "found.json")]) == 0
    assert capsys.readouterr()[0] == out


def test_a_wrong_answer_has_no_time(capsys):
    found = entry("jax", None)
    found |= {"seconds": [1e-6, 2e-6], "error": 10 * TOLERANCE}
    latency._finish(found)
    assert "median" not in found
    found["error"] = TOLERANCE / 10
    latency._finish(found)
    assert found["median"] == pytest.approx(1.5e-6)
