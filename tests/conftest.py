"""What several test files share: the backends that can be loaded, and small networks with data.

FASTNN_TEST_BACKENDS names the compiled backends that must be here ("numba,cython"): a missing one then fails its tests
instead of skipping them.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _kernels, losses
from fastnn._kernels import compiled as compiled_kernels
from fastnn._kernels import contract, division
from fastnn.data import as_data

os.environ.setdefault("FASTNN_QUIET", "1")  # whichever test compiles first, its stderr is its own
COMPILED = ("numba", "cython")
REQUIRED = [name for name in os.environ.get("FASTNN_TEST_BACKENDS", "").replace(" ", "").split(",") if name]
ACTIVATIONS = (
    "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus",
)  # fmt: skip
# Those whose derivative follows from the output: drivers of single samples take no others.
FROM_OUTPUT = tuple(name for name in ACTIVATIONS if not contract.Activation[name.upper()].saves)
LOSSES = (
    "softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error", "absolute_error", "huber", "quantile", "poisson",
    "hinge",
)  # fmt: skip
# Losses with arguments, of so many outputs.
VARIANTS: dict[str, Callable[[int], losses.Loss]] = {
    "softmax, smoothed": lambda outputs: losses.SoftmaxCrossEntropy(label_smoothing=0.2),
    "sigmoid, smoothed": lambda outputs: losses.SigmoidCrossEntropy(label_smoothing=0.3),
    "squared, masked": lambda outputs: losses.SquaredError(masked=True),
    "absolute, masked": lambda outputs: losses.AbsoluteError(masked=True),
    "huber, masked": lambda outputs: losses.Huber(0.6, masked=True),
    "quantile 0.7": lambda outputs: losses.Quantile(0.7),
    "quantiles, masked": lambda outputs: losses.Quantile(np.arange(1, outputs + 1) / (outputs + 1), masked=True),
    "poisson, masked": lambda outputs: losses.Poisson(masked=True),
    "poisson, softplus": lambda outputs: losses.Poisson(link="softplus"),
}
ALL_LOSSES = (*LOSSES, *VARIANTS)


def absence(backend: str) -> str | None:
    """Return why the backend cannot be loaded; None if it is installed, whether or not it is broken."""
    if backend == "numba":
        return None if importlib.machinery.PathFinder.find_spec("numba") else "numba is not installed"
    if backend == "cython":
        folder = str(Path(_kernels.__file__).parent / "cython")
        spec = importlib.machinery.PathFinder.find_spec("kernels", [folder])
        built = spec is not None and isinstance(spec.loader, importlib.machinery.ExtensionFileLoader)
        return None if built else "the extension fastnn._kernels.cython.kernels is not built"
    return None


def need(backend: str) -> None:
    """Skip the test where the backend is not installed; fail it where it must be."""
    reason = absence(backend)
    if reason and backend in REQUIRED:
        pytest.fail(f"FASTNN_TEST_BACKENDS asks for {backend}, but {reason}")
    if reason:
        pytest.skip(reason)


def pytest_sessionstart(session):
    """Compile Numba's kernels before pytest-xdist starts its workers, which would each compile the same ones."""
    workers = session.config.getoption("numprocesses", None) or 0
    if workers < 2 or hasattr(session.config, "workerinput") or absence("numba"):
        return
    command = [sys.executable, "-m", "fastnn", "warmup", "--backend", "numba", "--dtype"]
    environment = os.environ | {"FASTNN_NUM_THREADS": "1"}  # two types at once: neither needs a second process
    warming = [
        subprocess.Popen([*command, dtype], env=environment, stdout=subprocess.DEVNULL)
        for dtype in ("float32", "float64")
    ]
    assert [process.wait() for process in warming] == [0, 0], "fastnn warmup failed"


@pytest.fixture(autouse=True)
def _settings(monkeypatch):
    """Begin every test on the NumPy reference and leave no setting behind."""
    monkeypatch.delenv("FASTNN_BACKEND", raising=False)
    monkeypatch.setattr(_kernels, "_forced", "numpy")
    monkeypatch.setattr(_kernels, "_threads", None)


@pytest.fixture(params=COMPILED)
def compiled(request):
    """The kernels of each compiled backend."""
    need(request.param)
    return importlib.import_module(f"fastnn._kernels.{request.param}")


@pytest.fixture(params=("numpy", *COMPILED))
def backend(request):
    """The name of each backend, which the test then runs on."""
    need(request.param)
    fastnn.set_backend(request.param)
    return request.param


@pytest.fixture
def jobs(monkeypatch):
    """The jobs that the kernels are given."""
    taken, prepare = [], compiled_kernels.CompiledKernels.prepare

    def recorded(*arguments):
        taken.append(prepare(*arguments))
        return taken[-1]

    monkeypatch.setattr(compiled_kernels.CompiledKernels, "prepare", recorded)
    return taken


@pytest.fixture
def costs(monkeypatch):
    """Return the function that changes some of the costs by which work is divided."""

    def change(**costs):
        monkeypatch.setattr(division, "COSTS", replace(division.COSTS, **costs))

    return change


@dataclass
class Case:
    """A network and data as the kernels take them."""

    sizes: tuple[int, ...]
    activations: list[str]
    loss: str
    model: contract.Model
    parameters: np.ndarray
    data: contract.Data

    def doubled(self) -> Case:
        """Return the same numbers in float64, for an oracle without float32's rounding."""
        data = self.data._replace(X=self.data.X.astype(float), targets=self.data.targets.astype(float))
        return Case(self.sizes, self.activations, self.loss, self.model, self.parameters.astype(float), data)

    def naive(self) -> tuple[Any, ...]:
        """Return (sizes, activations, slopes, loss, theta, X, Y), as tests/naive.py takes them."""
        loss, Y = find_loss(self.loss, self.sizes[-1]), self.data.targets
        if self.data.labels.size:
            Y = np.eye(self.sizes[-1])[self.data.labels]
        if loss.smoothing:
            Y = (1 - loss.smoothing) * Y + loss.smoothing / (self.sizes[-1] if loss.chooses else 2)
        Y = np.repeat(Y, self.sizes[-1] // Y.shape[1], axis=1)
        kind = loss.code.name.lower(), loss.numbers(self.sizes[-1])
        return self.sizes, self.activations, list(self.model.slopes), kind, self.parameters, self.data.X, Y


def find_loss(name, outputs):
    """Return the loss of a name, or of a variant's, for so many outputs."""
    return losses.find_loss(VARIANTS[name](outputs) if name in VARIANTS else name)


def random_targets(rng, name, m, outputs, labelled=False):
    """Return labels, a 0/1 matrix (also for one output) or real values, some of them missing where they may be."""
    loss = find_loss(name, outputs)
    shape = m, loss.targets(outputs)
    if loss.chooses or (labelled and loss.classifies):
        return rng.integers(0, max(2, outputs) if labelled else outputs, m)
    if loss.classifies:
        return rng.integers(0, 2, shape).astype(float)
    targets = rng.poisson(1.5, shape).astype(float) if loss.name == "poisson" else rng.normal(size=shape)
    if loss.masks:
        targets[rng.random(shape) < 0.3] = np.nan
    return targets


def make_case(
    sizes, activation="tanh", loss="softmax_cross_entropy", m=7, dtype="float64", seed=0, labelled=False
) -> Case:
    """Return a network with random weights and biases, and m random samples."""
    rng = np.random.default_rng(seed)
    hidden = len(sizes) - 2
    names = [activation] * hidden if isinstance(activation, str) else list(activation)
    given = [fastnn.leaky_relu(0.2) if name == "leaky_relu" else name for name in names]
    net = fastnn.Network(tuple(sizes), given, find_loss(loss, sizes[-1]), dtype, rng)
    for b in net.biases:
        b[:] = rng.normal(size=b.shape) / 2
    X = rng.normal(size=(m, sizes[0])).astype(dtype)
    y = random_targets(rng, loss, m, sizes[-1], labelled)
    data = as_data(X, y, net.architecture)
    return Case(tuple(sizes), names, loss, net.architecture.model, net.parameters, data)


def kernel_optimizer(optimizer, parameters, rates, l2=0.0) -> contract.Optimizer:
    """Return a fresh optimizer as the kernels take it."""
    state = np.zeros((optimizer.state_vectors, len(parameters)), parameters.dtype)
    step = np.zeros(1, dtype=np.int64)
    return contract.Optimizer(int(optimizer.rule), optimizer.hyper(), np.asarray(rates, float), state, step, l2)


def assert_close(actual, expected, dtype, what, slack=1.0):
    """Compare relative to the largest element: 1e-10 in float64, 1e-5 in float32, times the slack."""
    tolerance = slack * {"float64": 1e-10, "float32": 1e-5}[np.dtype(dtype).name]
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    assert actual.shape == expected.shape, what
    if not expected.size:
        return
    assert np.isfinite(actual).all(), f"{what} is not finite"
    scale = max(np.abs(expected).max(), 1e-6)
    error = np.abs(actual - expected).max() / scale
    assert error <= tolerance, f"{what}: error {error:.2g} of the largest element, allowed {tolerance:.2g}"


def peak_memory(work) -> int:
    """Return the most bytes that Python and NumPy hold at a time for a call, beside what was there."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def check_softmax_columns(lanes, dtype, softmax, softmax_deltas):
    """Hold primitives that take K vectors of columns, and a vector of labels, to softmax in higher precision.

    Among the rows are ties, logits far apart, tiny losses, an infinity and a NaN.
    """
    rng, real = np.random.default_rng(0), np.finfo(dtype)

    def check(actual, expected, bound):
        undefined = np.isnan(expected)
        assert (np.isnan(actual) == undefined).all()
        assert (np.abs(actual - expected) <= bound * np.abs(expected) + real.tiny)[~undefined].all()

    for K in (2, 3, 10, 37):
        Z = rng.normal(scale=rng.choice((0.1, 3.0, 40.0), size=(64, 1)), size=(64, K)).astype(dtype)
        labels = rng.integers(0, K, 64)
        Z[0], Z[1], Z[2, 0], labels[2] = 1.5, np.linspace(-1000, 1000, K), -np.inf, K - 1
        Z[3:9], labels[3:9] = 0, 1
        Z[3:9, 1] = 5 * np.arange(1, 7)  # down to a loss of 1e-13
        Z[9, K - 1] = np.nan
        wide, own = Z.astype(np.longdouble), np.arange(K) == labels[:, None]
        below = wide - wide.max(axis=1, keepdims=True)
        softmaxes = np.exp(below) / np.exp(below).sum(axis=1, keepdims=True)
        others = np.where(own, 0, softmaxes)
        deltas = np.where(own, -others.sum(axis=1, keepdims=True), softmaxes)
        losses = np.log1p(np.where(own, 0, np.exp(wide - wide[own][:, None])).sum(axis=1))
        largest_other = np.sort(np.where(own, -np.inf, below), axis=1)[:, -1:]
        # z - top is rounded before the exponential: an error relative to it
        bounds, delta_bounds = (
            (K + 8 - np.maximum(z, -2000)) * real.eps for z in (below, np.where(own, largest_other, below))
        )

        for first in range(0, 64, lanes):
            rows = slice(first, first + lanes)
            T, L = np.ascontiguousarray(Z[rows].T), labels[rows].astype(dtype)
            softmax(K, T)
            check(T.T, softmaxes[rows], bounds[rows])
            T = np.ascontiguousarray(Z[rows].T)
            softmax_deltas(K, T, L)
            check(T.T, deltas[rows], delta_bounds[rows])
            check(L, losses[rows], delta_bounds[own][rows])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The test runs in an empty folder, and new processes find the package that this one has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(fastnn.__file__).parent.parent))
    return tmp_path
