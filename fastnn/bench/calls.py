"""Calls with one row: what each library is asked to compute, its variants, and what fastnn's calls are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn.bench.cells import Array, Cell, Layers, make_data, make_layers
from fastnn.bench.plain import Plain

NETWORKS = (
    Cell((20, 16, 2), 1, 1, learning_rate=0.01),
    Cell((784, 128, 10), 1, 1, learning_rate=0.01),
)
FORWARD, GRADIENT, STEP = "forward", "loss and gradient", "step"
STEPS = 3  # of the check of a step
TOLERANCE = 1e-5  # of the largest number, for float32
CHUNK_SECONDS = 0.02  # calls that are timed at once


@dataclass
class Call:
    """One way to make a call.

    Attributes
    ----------
    kind : FORWARD, GRADIENT or STEP
    variant : str
        The way, in words.
    run : callable
        What is timed; it waits for the result and returns it in the library's own form.
    read : callable
        Returns that result's numbers as one vector: the outputs; the loss and the gradient, laid out like fastnn's
        parameters; or the parameters after the step.
    ours : str
        The column of the table that one of fastnn's calls stands in.
    """

    kind: str
    variant: str
    run: Callable[[], Any]
    read: Callable[[Any], npt.NDArray[Any]]
    ours: str = ""
    count: int = field(default=1, init=False)


# The module and function that makes each trainer's calls, (cell, X, y, layers, threads) -> list of Call.
MAKERS = {
    "fastnn-numba": ("fastnn.bench.calls", "numba_calls"),
    "fastnn-cython": ("fastnn.bench.calls", "cython_calls"),
    "jax": ("fastnn.bench.jax_calls", "make"),
    "jax-old": ("fastnn.bench.jax_calls", "make"),
    "torch": ("fastnn.bench.torch_calls", "make"),
}


class CallSession:
    """A trainer's calls in this process: its methods are the commands that the runner sends."""

    def __init__(self, name: str, cell: Cell, threads: int) -> None:
        X, y = make_data(cell)
        module, attribute = MAKERS[name]
        make = getattr(import_module(module), attribute)
        self.expected = expected(cell, X, y)
        self.calls: list[Call] = make(cell, X, y, make_layers(cell), threads)

    def check(self) -> list[dict[str, Any]]:
        """Compare what each call returns with plain NumPy; fix how many are timed at once."""
        entries = []
        for call in self.calls:
            for _ in range(STEPS if call.kind == STEP else 1):
                found = call.read(call.run())
            right = self.expected[call.kind]
            error = float(np.abs(found - right).max() / np.abs(right).max())
            entries.append({"kind": call.kind, "variant": call.variant, "ours": call.ours, "error": error})
            self._calibrate(call)
        return entries

    def _calibrate(self, call: Call) -> None:
        while (seconds := self._time(call) * call.count) < CHUNK_SECONDS / 2:
            call.count *= 2
        call.count = max(1, round(call.count * CHUNK_SECONDS / seconds))

    def time(self) -> list[float]:
        """Return the seconds of each call, the mean of a chunk of calls."""
        return [self._time(call) for call in self.calls]

    @staticmethod
    def _time(call: Call) -> float:
        run = call.run
        start = time.perf_counter()
        for _ in range(call.count):
            run()
        return (time.perf_counter() - start) / call.count


def expected(cell: Cell, X: Array, y: Any) -> dict[str, npt.NDArray[Any]]:
    """Return what each call must return, by plain NumPy: the gradient is a step's of learning rate 1."""

    def parameters(steps: int, rate: float) -> npt.NDArray[Any]:
        plain = Plain(make_layers(cell), cell.activation, cell.loss, "sgd", rate)
        for _ in range(steps):
            plain.step(X, y)
        return flat(plain.layers)

    plain = Plain(make_layers(cell), cell.activation, cell.loss, "sgd", 1.0)
    outputs, _, loss = plain.output_and_loss(plain.forward(X)[-1], y)
    return {
        FORWARD: outputs.ravel(),
        GRADIENT: np.concatenate(([loss], parameters(0, 1.0) - parameters(1, 1.0))),
        STEP: parameters(STEPS, cell.learning_rate),
    }


def flat(layers: Any) -> npt.NDArray[Any]:
    """Return pairs of weights (n_in, n_out) and biases as one vector, laid out like fastnn's parameters."""
    return np.concatenate([np.asarray(part).ravel() for layer in layers for part in layer])


def loss_and_vector(result: tuple[Any, Any]) -> npt.NDArray[Any]:
    """Return a loss and a flat gradient as one vector."""
    return np.append(result[0], result[1])


def network(cell: Cell, layers: Layers) -> Any:
    """Return a fastnn network with the given initial weights, its optimizer plain gradient descent."""
    import fastnn

    net = fastnn.Network(cell.sizes, activation=cell.activation, loss=cell.loss, init=layers)
    X, y = make_data(cell)
    net.fit(X, y, optimizer="sgd", learning_rate=cell.learning_rate, epochs=0)
    return net


def network_calls(cell: Cell, X: Array, y: Any, layers: Layers) -> list[Call]:
    """Return the calls of Network's methods; a step is a ``fit`` of one epoch."""
    net = network(cell, layers)
    trained = network(cell, layers)

    def fit() -> Any:
        trained.fit(X, y, optimizer="sgd", learning_rate=cell.learning_rate, batch_size=1, epochs=1)
        return trained.parameters

    return [
        Call(FORWARD, "", lambda: net.forward(X), np.ravel, ours="Network"),
        Call(GRADIENT, "", lambda: net.loss_and_gradient(X, y), loss_and_vector, ours="Network"),
        Call(STEP, "", fit, np.array, ours="Network"),
    ]


def prepared_calls(cell: Cell, X: Array, y: Any, layers: Layers) -> list[Call]:
    """Return the calls of what ``fastnn.backend.prepare`` returns, results in arrays of the caller's."""
    import fastnn

    net, trained = network(cell, layers), network(cell, layers)
    prepared, training = fastnn.backend.prepare(net, rows=1), fastnn.backend.prepare(trained, rows=1)
    outputs, gradient = np.empty((1, cell.sizes[-1]), np.float32), np.empty_like(net.parameters)

    def step() -> Any:
        training.step(X, y)
        return trained.parameters

    return [
        Call(FORWARD, "", lambda: prepared.forward(X, out=outputs), np.ravel, ours="prepared"),
        Call(GRADIENT, "", lambda: prepared.loss_and_gradient(X, y, out=gradient), loss_and_vector, ours="prepared"),
        Call(STEP, "", step, np.array, ours="prepared"),
    ]


def fastnn_calls(backend: str, threads: int, *given: Any) -> list[Call]:
    """Return all of fastnn's calls on one backend."""
    import fastnn

    fastnn.set_backend(backend)
    fastnn.set_num_threads(threads)
    return [*network_calls(*given), *prepared_calls(*given)]


def numba_calls(cell: Cell, X: Array, y: Any, layers: Layers, threads: int) -> list[Call]:
    """Return the calls on the Numba backend."""
    return fastnn_calls("numba", threads, cell, X, y, layers)


def cython_calls(cell: Cell, X: Array, y: Any, layers: Layers, threads: int) -> list[Call]:
    """Return the calls on the compiled kernels."""
    return fastnn_calls("cython", threads, cell, X, y, layers)
