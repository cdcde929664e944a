"""The peers: every variant of every library trains like plain NumPy, a wrong one is left out, processes are apart.

FASTNN_BENCH_PEERS names a folder of environments, as ``--peers`` does.
"""

import os
import sys
from dataclasses import replace

import pytest

from fastnn.bench import results, runner, session, table
from fastnn.bench.cells import CELLS, Cell
from fastnn.bench.peers import PEERS, environments, installed, interpreter, variables
from fastnn.bench.session import Session
from fastnn.bench.trainers import NumpyTrainer
from fastnn.bench.worker import Worker, WorkerError

FOLDER = os.environ.get("FASTNN_BENCH_PEERS")
TRAINERS = [
    pytest.param(name, marks=pytest.mark.skipif(not installed(name, FOLDER), reason=f"{name} is not installed"))
    for names in PEERS.values()
    for name in names
]


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("small", [replace(cell, samples=700) for cell in CELLS], ids=lambda cell: cell.key)
def test_every_variant_trains_like_plain_numpy(name, small):
    settings = runner.Settings((name,), threads=1, peers=FOLDER)
    worker = runner.start(name, settings, Session, name, small, 1)
    try:
        tried = runner.try_variants(worker, settings)
    finally:
        worker.close()
    if name == "jax-old":  # its compiler aborts at loops over batches that scatter or are unrolled
        tried = [one for one in tried if "the process ended" not in one.get("error", "")]
    assert tried
    assert [one for one in tried if "error" in one] == []
    assert all(one["check"]["error"] < session.CHECK_TOLERANCE for one in tried)


HERE = {"PYTHONPATH": os.pathsep.join(sys.path)}  # for what is defined in this file


class Wrong(NumpyTrainer):
    """A trainer with a variant that takes longer steps than it should, two that fail, and a right one."""

    @staticmethod
    def variants(cell, threads):
        return [{"threads": 1, "rate": rate} for rate in (1.05, "two", "abort", 1.0)]

    def fit(self, epochs, samples, shuffle=True):
        if self.variant["rate"] == "abort":
            os.abort()
        self.cell = replace(self.cell, learning_rate=self.cell.learning_rate * self.variant["rate"])
        super().fit(epochs, samples, shuffle)


class WrongSession(Session):
    """The commands of that trainer's process."""

    def __init__(self):
        session.trainer_class = lambda name: Wrong
        super().__init__("wrong", Cell((8, 5, 3), 300, 10, learning_rate=0.1), threads=1)


def test_a_wrong_or_broken_variant_is_left_out(capsys):
    worker = Worker(WrongSession, (), 1, variables=HERE)
    entry = {"seconds": []}
    runner._prepare(worker, entry, Cell((8, 5, 3), 300, 10), runner.Settings(("wrong",), threads=1))
    worker.close()
    wrong, broken, dead, right = entry["tried"]
    assert "is not plain NumPy's" in wrong["error"]
    assert "TypeError" in broken["error"]
    assert "process ended" in dead["error"]
    assert entry["variant"] == right["variant"] == {"threads": 1, "rate": 1.0}
    runner._finish("wrong", Cell((8, 5, 3), 300, 10), {**entry, "seconds": []})
    assert "wrong          without threads 1, rate abort: the process ended" in capsys.readouterr()[1]


def test_variants_can_be_left_out_and_one_must_be_right():
    worker = Worker(WrongSession, (), 1, variables=HERE)
    settings = runner.Settings(("wrong",), threads=1, without=("abort", "rate=two"))
    assert [one["variant"]["rate"] for one in runner.try_variants(worker, settings)] == [1.05, 1.0]
    settings = replace(settings, without=("rate=abort", "rate=1"))
    with pytest.raises(WorkerError, match="TypeError"):
        runner._prepare(worker, {}, Cell((8, 5, 3), 300, 10), settings)
    worker.close()


class Commands:
    """What a worker is asked for in these tests."""

    def __init__(self, number):
        self.number = number

    def double(self):
        print("this is no answer")
        return 2 * self.number

    def variable(self, name):
        return os.environ[name]

    def die(self):
        os._exit(3)


def test_a_worker_answers_fails_and_dies():
    worker = Worker(Commands, (21,), 1, variables={"FASTNN_BENCH_TEST": "here", **HERE})
    assert worker.call("double") == 42
    assert worker.call("variable", "FASTNN_BENCH_TEST") == "here"
    with pytest.raises(WorkerError, match="KeyError"):
        worker.call("variable", "FASTNN_BENCH_ABSENT")
    worker.close()
    worker = Worker(Commands, (21,), 1, variables=HERE)
    with pytest.raises(WorkerError, match="ended with code 3"):
        worker.call("die")
    worker.close()


def test_a_trainer_runs_in_the_environment_of_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=AVX2")
    assert variables("jax-old")["XLA_FLAGS"] == "--xla_cpu_max_isa=AVX2 --xla_cpu_use_thunk_runtime=false"
    assert variables("jax") == {}
    assert not installed("jax-old", None)
    assert not installed("jax-old", str(tmp_path))
    python = tmp_path / "jax-old" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert installed("jax-old", str(tmp_path))
    assert interpreter("jax-old", str(tmp_path)) == str(python)
    assert interpreter("jax", str(tmp_path)) == sys.executable
    assert "jax-old" in environments(["jax-old", "jax"], str(tmp_path))


def _results(**seconds):
    cell = CELLS[4]
    trainers = {
        name.replace("_", "-"): {
            "seconds_per_sample": value,
            "samples": cell.samples,
            "variant": {"loss": "one_hot", "gather": ""},
        }
        for name, value in seconds.items()
    }
    described = {"key": cell.key, "mode": cell.mode, "network": cell.network, "flops": cell.flops}
    record = {"cell": {**vars(cell), **described}, "peak_flops": {"1": 1e11}, "trainers": trainers}
    return {**results.new_results(runner.Settings(())), "cells": [record]}


def test_the_table_has_the_best_of_each_library_and_names_the_variant():
    found = _results(fastnn_cython=1e-6, jax=4e-6, jax_old=3e-6, torch=9e-6)
    text = table.markdown(found)
    assert text.count("| JAX |") == 1
    assert "| 100 us a step | 300 us a step | 900 us a step | 3.00 |" in text
    assert "mini-batch 100: JAX (0.6.2, old runtime, loss one_hot); PyTorch (loss one_hot)" in text
    assert "JAX (loss one_hot); PyTorch" in table.markdown(
        _results(fastnn_cython=1e-6, jax=2e-6, jax_old=3e-6, torch=9e-6)
    )


def test_the_short_table_has_a_column_a_library():
    found = _results(fastnn_numba=2e-6, fastnn_cython=1e-6, jax=4e-6, jax_old=3e-6, torch=1.5e-3, sklearn=9e-7)
    header, _, row, _ = table.short(found).splitlines()
    assert header == "| network | mode | fastnn | JAX | PyTorch | scikit-learn |"
    assert row == "| 784-128-10 | mini-batch 100 | 100 us a step | 3.00 | 1,500 | **0.9 (slower)** |"
