"""How every benchmark here is made: the data, the warm-up apart, the timed epochs, and the checks of the answer.

    python -m pytest bench --benchmark-only [--bench-scale 0.1] [--bench-backends numba,cython]

The variables FASTNN_BENCH_SCALE and FASTNN_BENCH_BACKENDS do the same.
"""

from __future__ import annotations

import importlib.util
import math
import os
import time
from functools import lru_cache

import numpy as np
import pytest

from fastnn.bench.cells import CELLS, Cell, make_data
from fastnn.bench.session import CHECK_TOLERANCE, Session

REQUIRES = {"numba": "numba", "cython": "fastnn._kernels.cython.kernels", "numpy": "numpy"}


def pytest_addoption(parser):
    group = parser.getgroup("fastnn benchmarks")
    scale = float(os.environ.get("FASTNN_BENCH_SCALE", "1"))
    group.addoption("--bench-scale", type=float, default=scale, help="fraction of the samples")
    backends = os.environ.get("FASTNN_BENCH_BACKENDS", "numba,cython")
    group.addoption("--bench-backends", default=backends, help="backends, joined by commas")


def pytest_generate_tests(metafunc):
    """Give each test the cells of its mode, which it names as ``mode``, on each backend that is installed."""
    if "cell" in metafunc.fixturenames:
        scale = metafunc.config.getoption("--bench-scale")
        cells = [cell.scaled(scale) for cell in CELLS if metafunc.module.is_mode(cell)]
        metafunc.parametrize("cell", cells, ids=lambda cell: f"{cell.network}-{cell.optimizer}")
    if "backend" in metafunc.fixturenames:
        names = metafunc.config.getoption("--bench-backends").split(",")
        metafunc.parametrize("backend", [_backend(name) for name in names])


def _backend(name):
    absent = importlib.util.find_spec(REQUIRES[name]) is None
    return pytest.param(name, marks=pytest.mark.skipif(absent, reason=f"{name} kernels are not installed"))


@lru_cache(maxsize=1)
def _data(sizes, samples, loss):
    return make_data(Cell(sizes, samples, None, loss=loss))


@pytest.fixture
def measure(benchmark):
    """Return a function that times epochs of a cell on a backend and asserts that they train right."""

    def run(cell, backend, rounds=5):
        benchmark.group = f"{cell.network}, m={cell.samples}, {cell.mode}, {cell.optimizer}"
        session = Session(f"fastnn-{backend}", cell, data=_data(cell.sizes, cell.samples, cell.loss))
        checked = session.check()
        assert checked["error"] < CHECK_TOLERANCE, checked

        start = time.perf_counter()
        warm = session.warm(cell.samples)  # compiles or loads the kernels
        benchmark.extra_info["warm_up_seconds"] = time.perf_counter() - start
        epochs = cell.epochs or math.ceil(min(50, 1e10 / (cell.flops * cell.samples)))  # the same on each backend
        benchmark.pedantic(session.trainer.fit, args=(epochs, cell.samples), rounds=rounds, iterations=1)

        layers = session.trainer.layers()
        assert all(np.isfinite(W).all() and np.isfinite(b).all() for W, b in layers)
        assert session.loss(layers, cell.samples) < warm["initial_loss"]
        _report(benchmark, cell, epochs)

    return run


def _report(benchmark, cell, epochs):
    if benchmark.stats is not None:  # None under --benchmark-disable
        seconds = benchmark.stats.stats.median / (epochs * cell.samples)
        benchmark.extra_info.update(
            epochs=epochs, microseconds_per_sample=1e6 * seconds, gflops=1e-9 * cell.flops / seconds
        )
