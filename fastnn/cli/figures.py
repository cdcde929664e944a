"""The lecture's figures, all of real trainings: on the digits in the package, and on small data made here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnn._kernels.contract import Array, Integers
from fastnn.data import Standardizer
from fastnn.datasets import load_digits
from fastnn.history import DivergenceError, History
from fastnn.network import Network

# A file's name, what it shows, and the figure of matplotlib.
Drawn = Iterator[tuple[str, str, Any]]
Split = tuple[Array, Integers]

# The three modes of the comparison: batch size b and learning rate.
MODES = {
    "gradient descent, b = m": (None, 0.3),
    "mini-batches, b = 100": (100, 0.3),
    "SGD, b = 1": (1, 0.02),
}


def draw_all(out: Path) -> None:
    """Draw every figure into a folder, and say what each one shows."""
    from fastnn import plotting  # noqa: F401  a missing extra is told before the work, not after it

    out.mkdir(parents=True, exist_ok=True)
    for draw in DRAWINGS:
        for name, shown, figure in draw():
            path = out / f"{name}.png"
            figure.savefig(path)
            print(f"wrote {path}: {shown}", flush=True)


def draw_activations() -> Drawn:
    """Draw what needs no data."""
    from fastnn import plotting

    yield "activations", "sigmoid, tanh, ReLU and leaky ReLU with their derivatives", plotting.plot_activations()


def draw_descent() -> Drawn:
    """Draw the cost of gradient descent beside that of SGD, and the three modes against examples seen."""
    from fastnn import plotting

    costs = compare_descents()
    yield "descent", "the cost after each step of gradient descent and of SGD", plotting.plot_descent(costs)
    histories, samples = compare_modes()
    shown = "training loss of gradient descent, mini-batches and SGD against examples seen"
    yield "modes", shown, plotting.plot_comparison(histories, samples)


def compare_descents(samples: int = 300, steps: int = 300) -> dict[str, Array]:
    """Return J over all samples after each step of gradient descent and of SGD, on one initial network."""
    (X, y), _ = load_digits()
    X, y = Standardizer.of(X, columns=False).transform(X[:samples]), y[:samples]
    costs = {}
    for name, (batch_size, rate) in {
        f"gradient descent: {samples} examples a step": (samples, 0.5),
        "SGD: 1 example a step": (1, 0.05),
    }.items():
        net = Network((784, 25, 10), rng=1)
        costs[name] = np.array([net.loss(X, y) for _ in _descend(net, X, y, batch_size, rate, steps)])
    return costs


def compare_modes(epochs: int = 10, seed: int = 1) -> tuple[dict[str, History], int]:
    """Train the same initial network by gradient descent, by mini-batches and by SGD; also return m."""
    (X, y), _ = load_digits()
    X = Standardizer.of(X, columns=False).transform(X)
    histories = {}
    for name, (batch_size, learning_rate) in MODES.items():
        net = Network((784, 128, 10), rng=seed)
        histories[name] = net.fit(
            X, y, optimizer="sgd", learning_rate=learning_rate, batch_size=batch_size, epochs=epochs, batch_loss=True
        )
    return histories, len(X)


def draw_paths() -> Drawn:
    """Draw the ways of a line's slope and intercept to the least squares."""
    from fastnn import plotting

    rng = np.random.default_rng(1)
    x = rng.uniform(0, 2, (50, 1))
    y = 1.5 * x[:, 0] - 1 + rng.normal(scale=0.5, size=50)
    line = Network((1, 1), loss="squared_error", dtype="float64", init=[([[-1.0]], [1.5])])

    def cost(parameters: Array) -> float:
        line.parameters = parameters
        return line.loss(x, y)

    paths = {}
    for name, batch_size in {"gradient descent, b = 50": 50, "mini-batches, b = 5": 5, "SGD, b = 1": 1}.items():
        line.reset()
        paths[name] = np.array([line.parameters.copy() for _ in _descend(line, x, y, batch_size, 0.2, 60)])
    shown = "60 steps of three descents at one learning rate, over the cost of a linear regression"
    yield "paths", shown, plotting.plot_paths(paths, cost, names=("slope w", "intercept b"))


def draw_digits() -> Drawn:
    """Draw the digits, and what a network that is trained on them does."""
    from fastnn import plotting

    train, validation, test = split_digits()
    labels = {"training": train[1], "validation": validation[1], "test": test[1]}
    yield "split", "examples of each digit for training, validation and test", plotting.plot_split(labels)
    yield "mosaic", "the first twenty digits of each class", plotting.plot_mosaic(*train)

    net = Network((784, 32, 10), rng=1)
    initial_loss = net.loss(*test)
    history = net.fit(*train, learning_rate=3e-3, epochs=10, validation_data=test, batch_loss=True)
    figure = plotting.plot_history(history, len(train[0]), initial_loss=initial_loss, validation_name="test")
    yield "loss", "training and test loss against examples seen", figure
    X, y = test
    answers = net.predict(X)
    rows = np.concatenate((np.flatnonzero(answers == y)[:9], np.flatnonzero(answers != y)[:3]))
    shown = "test digits with labels and predictions, the last three wrong"
    yield "digits", shown, plotting.plot_digits(X[rows], y[rows], answers[rows])
    yield "confusion", "which test digits are taken for which", plotting.plot_confusion(y, answers)
    yield "network", "the layers of the network for digits", plotting.plot_network(net)
    yield "weights", "the first layer's weights as images", plotting.plot_weights(net.weights[0])


def split_digits() -> tuple[Split, Split, Split]:
    """Return 4,000 digits to train on, 1,000 to choose by and 1,000 to test on."""
    (X, y), test = load_digits()
    order = np.random.default_rng(0).permutation(len(X))
    train, validation = order[1000:], order[:1000]
    return (X[train], y[train]), (X[validation], y[validation]), test


def draw_learning_rates() -> Drawn:
    """Draw the cost that trainings of different learning rates come to."""
    from fastnn import plotting

    rates = np.geomspace(1e-4, 10, 16)
    figure = plotting.plot_learning_rates(rates, compare_rates(rates))
    figure.axes[0].set_ylabel("validation loss J after 5 epochs")
    yield "learning-rates", "validation loss after 5 epochs against the learning rate, for SGD and Adam", figure


def compare_rates(rates: Array, epochs: int = 5) -> Mapping[str, list[float]]:
    """Return the validation loss of each learning rate, NaN where the training diverges."""
    train, validation, _ = split_digits()
    costs: dict[str, list[float]] = {"SGD": [], "Adam": []}
    for name, losses in costs.items():
        for rate in rates:
            net = Network((784, 32, 10), rng=1)
            try:
                net.fit(*train, optimizer=name.lower(), learning_rate=float(rate), epochs=epochs)
                losses.append(net.loss(*validation))
            except DivergenceError:
                losses.append(np.nan)
    return costs


def draw_plane() -> Drawn:
    """Draw where a small network divides the plane, and its weights."""
    from fastnn import plotting

    X, y = _spirals(np.random.default_rng(0))
    net = Network((2, 8, 3), "tanh", rng=1)
    net.fit(X, y, learning_rate=0.05, batch_size=30, epochs=150)
    yield "boundary", "the regions that a 2-8-3 network takes for three classes", plotting.plot_boundary(net, X, y)
    yield "small-network", "the weights of that network by sign and size", plotting.plot_network(net)


def _spirals(rng: np.random.Generator, samples: int = 300) -> Split:
    """Return three arms of a spiral."""
    y = np.arange(samples) % 3
    radius = np.sqrt(rng.uniform(0.02, 1, samples))
    angle = 2 * np.pi * y / 3 + 3 * radius + rng.normal(scale=0.25, size=samples)
    return np.column_stack((radius * np.cos(angle), radius * np.sin(angle))), y


def draw_numbers() -> Drawn:
    """Draw a regression's predictions; the function is Friedman's first (Annals of Statistics 19, 1991)."""
    from fastnn import plotting

    rng = np.random.default_rng(0)
    X = rng.uniform(size=(2000, 10))
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
    y += rng.normal(size=len(X))
    net = Network((10, 32, 1), "tanh", loss="squared_error", rng=1)
    net.fit(X[:1500], y[:1500], scale="standard", scale_targets=True, learning_rate=0.01, batch_size=50, epochs=30)
    figure = plotting.plot_predictions(y[1500:], net.predict(X[1500:]))
    yield "predictions", "predicted against true numbers of a regression, on 500 test samples", figure


DRAWINGS = (draw_activations, draw_descent, draw_paths, draw_digits, draw_learning_rates, draw_plane, draw_numbers)


def _descend(
    net: Network, X: Array, y: Array | Integers, batch_size: int, rate: float, steps: int
) -> Iterator[Network]:
    """Yield the network before the first step of gradient descent on batches, and after each one."""
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(len(X)) for _ in range(-(-steps * batch_size // len(X)))])
    yield net
    for step in range(steps):
        rows = order[step * batch_size : (step + 1) * batch_size]
        net.fit(X[rows], y[rows], optimizer="sgd", learning_rate=rate, batch_size=None, epochs=1, progress=False)
        yield net
