"""The harness itself: plain NumPy is right, a wrong answer and a slower result are noticed."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from fastnn.bench import results, runner, table
from fastnn.bench.cells import CELLS, Cell, make_data, make_layers
from fastnn.bench.plain import Plain
from fastnn.bench.round_trip import round_trip
from fastnn.bench.session import CHECK_TOLERANCE


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_plain_gradient_is_the_slope_of_its_loss(loss, activation):
    cell = Cell((5, 4, 1 if loss == "sigmoid_cross_entropy" else 3), 20, None, loss=loss, activation=activation)
    X, y = make_data(cell)

    def loss_at(shift):
        plain = Plain(make_layers(cell), activation, loss, "sgd", 1.0)
        plain.layers[0][0][1, 2] += shift
        return plain.loss(X, y)

    plain = Plain(make_layers(cell), activation, loss, "sgd", 1.0)
    before = plain.layers[0][0][1, 2]
    plain.step(X, y)
    slope = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
    assert before - plain.layers[0][0][1, 2] == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_a_wrong_learning_rate_is_noticed():
    cell = Cell((8, 5, 3), 300, 10, learning_rate=0.1)
    X, y = make_data(cell)
    losses = []
    for rate in (0.1, 0.105):
        plain = Plain(make_layers(cell), cell.activation, cell.loss, cell.optimizer, rate)
        initial = plain.loss(X, y)
        plain.fit(X, y, 10, 1)
        losses.append(plain.loss(X, y))
    assert abs(losses[1] - losses[0]) / abs(initial - losses[0]) > CHECK_TOLERANCE


def _run(milliseconds, peer=10.0):
    cell = CELLS[4]
    trainers = {
        name: {"seconds_per_sample": value * 1e-3, "samples": cell.samples}
        for name, value in {"fastnn-numba": milliseconds, "jax": peer, "torch": 4 * peer}.items()
    }
    described = {"key": cell.key, "mode": cell.mode, "network": cell.network, "flops": cell.flops}
    record = {"cell": {**vars(cell), **described}, "peak_flops": {"1": 1e11}, "trainers": trainers}
    settings = runner.Settings(("fastnn-numba", "jax", "torch"))
    return {**results.new_results(settings), "cells": [record]}


def test_compare_fails_beyond_the_tolerance_only():
    before = _run(5.0)
    baseline = {results.kind_of(before["machine"]): results.baseline_of([before])}
    assert results.compare([_run(5.7)], baseline, 0.15)[1] == []
    assert len(results.compare([_run(6.0)], baseline, 0.15)[1]) == 1
    assert results.compare([_run(6.0), _run(5.1)], baseline, 0.15)[1] == []  # the better one of two runs counts


def test_the_kinds_of_cpus():
    cpus = {"12th Gen Intel(R) Core(TM) i7": "Intel", "AMD EPYC 7763 64-Core Processor": "AMD", "aarch64": "unknown"}
    for cpu, maker in cpus.items():
        assert results.kind_of({"cpu": cpu, "simd": "avx2"}) == f"{maker} avx2"


def test_compare_fails_where_a_benchmark_is_missing():
    before = _run(5.0)
    baseline = {results.kind_of(before["machine"]): results.baseline_of([before])}
    broken = copy.deepcopy(before)
    broken["cells"][0]["trainers"]["fastnn-numba"] = {"error": "..."}
    assert len(results.compare([broken], baseline, 0.15)[1]) == 1
    assert len(results.compare([before], {}, 0.15)[1]) == 1


def test_table_shows_losses():
    text = table.markdown(_run(20.0))
    assert "**0.5 (slower)**" in text
    assert "Slower than the best peer: 784-128-10 mini-batch 100 (0.50 times JAX)." in text
    assert "2.00" in table.markdown(_run(5.0))


def test_a_round_trip_between_cores():
    pytest.importorskip("numba")
    assert round_trip(1) is None
    assert (round_trip(2) or 1e-7) > 1e-9  # none on one core
    run = _run(5.0)
    run["cells"][0]["probes"] = [{"flops": 1e11, "round_trip": trip} for trip in (1.04e-7, None, 4.06e-7)]
    assert "a cache line between two cores and back in 104 to 406 ns" in table.markdown(run)


def test_data_can_be_learnt_and_are_standardised():
    X, y = make_data(replace(CELLS[3], samples=2000))
    assert abs(X.mean()) < 0.01
    assert abs(X.std() - 1) < 0.01
    assert np.bincount(y, minlength=10).min() > 50


def test_another_loss_than_the_others_is_marked():
    entries = {
        name: {"seconds": [1.0], "samples": CELLS[5].samples, "initial_loss": 2.0, "loss": loss}
        for name, loss in {"fastnn-numba": 1.01, "jax": 1.0, "torch": 1.0}.items()
    }
    runner._agree(CELLS[5], entries)
    assert "error" in entries["fastnn-numba"]
    assert "error" not in entries["jax"]
