"""What is timed: networks, modes and optimizers, and the data they are trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Layers = list[tuple[Array, Array]]


@dataclass(frozen=True)
class Cell:
    """One cell of the table: a network, how many samples it sees, and how it is trained.

    Attributes
    ----------
    batch_size : int or None
        Samples a step: None is gradient descent on all samples, 1 is stochastic gradient descent.
    epochs : int
        Epochs of one timed run; 0 lets the runner take as many as make the time measurable.
    target : float
        How many times faster than the best peer fastnn is meant to be; 0 where nothing was set.
    """

    sizes: tuple[int, ...]
    samples: int
    batch_size: int | None
    loss: str = "softmax_cross_entropy"
    activation: str = "sigmoid"
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    epochs: int = 0
    target: float = 0.0

    @property
    def network(self) -> str:
        """The layers' sizes, such as 784-128-10."""
        return "-".join(map(str, self.sizes))

    @property
    def mode(self) -> str:
        """How many samples a step takes, in words."""
        return {None: "full batch", 1: "SGD"}.get(self.batch_size, f"mini-batch {self.batch_size}")

    @property
    def key(self) -> str:
        """The cell's name in results, baselines and ``--cells``."""
        return f"{self.network}, m={self.samples}, {self.mode}, {self.optimizer}"

    @property
    def flops(self) -> int:
        """Floating-point operations that one sample needs: forward, weight gradients, and errors below the top."""
        products = [n_in * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False)]
        return 2 * (3 * sum(products) - products[0])

    def scaled(self, scale: float) -> Cell:
        """Return the same cell on fewer samples, for a quick run."""
        return replace(self, samples=max(2 * (self.batch_size or 500), round(self.samples * scale)))


def _cells(base: Cell, sgd: float, minibatch: float, full: float, rates: tuple[float, float, float]) -> list[Cell]:
    modes = zip((1, 100, None), rates, (sgd, minibatch, full), strict=True)
    return [replace(base, batch_size=b, learning_rate=rate, target=target) for b, rate, target in modes]


_TINY = Cell((20, 16, 1), 1_000_000, None, loss="sigmoid_cross_entropy")
_DIGITS = Cell((784, 128, 10), 60_000, None)
_WIDE = Cell((784, 512, 512, 10), 60_000, None)

CELLS = [
    *_cells(_TINY, 6.0, 4.0, 4.0, (0.01, 0.1, 1.0)),
    *_cells(_DIGITS, 8.0, 1.8, 1.4, (0.002, 0.05, 0.2)),
    replace(_DIGITS, batch_size=100, optimizer="adam", learning_rate=1e-3, target=1.8),
    *_cells(_WIDE, 6.0, 1.4, 1.4, (0.002, 0.05, 0.05)),
    Cell((54, 100, 100, 7), 581_012, 256, activation="relu", optimizer="adam", learning_rate=1e-3, target=3.0),
    Cell(
        (4, 32, 16, 4),
        10_000,
        None,
        loss="squared_error",
        activation="tanh",
        optimizer="adam",
        learning_rate=1e-3,
        epochs=1000,
        target=4.0,
    ),
]


def samples_sweep(largest: float = 1e7) -> list[Cell]:
    """Return the tiny network in each mode, on 1e3 to ``largest`` samples."""
    counts = [10**power for power in range(3, 8) if 10**power <= largest]
    modes = [(1, 0.01), (100, 0.1), (None, 1.0)]
    return [replace(_TINY, samples=m, batch_size=b, learning_rate=rate) for b, rate in modes for m in counts]


def width_sweep() -> list[Cell]:
    """Return networks with two hidden layers of 8 to 1024 units, odd widths among them."""
    widths = (8, 16, 24, 32, 48, 64, 100, 128, 192, 256, 384, 512, 768, 1024)
    return [
        Cell((64, width, width, 10), max(2_000, 20_000 * 64 // width), b, learning_rate=0.05)
        for b in (1, 100, None)
        for width in widths
    ]


def batch_sweep() -> list[Cell]:
    """Return 784-128-10 with 1 to all samples a step."""
    sizes = (1, 2, 3, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 500, 1000, 2000, 5000, 10_000, None)
    return [replace(_DIGITS, samples=20_000, batch_size=b, learning_rate=0.01) for b in sizes]


def make_data(cell: Cell) -> tuple[Array, npt.NDArray[np.int64] | Array]:
    """Draw the cell's inputs and targets: a noisy linear teacher, so that there is something to learn.

    784 inputs are drawn like the pixels of digits, about 19 % of them lit; others are normal. All are standardised.
    """
    rng = np.random.default_rng(1)
    n_in, n_out = cell.sizes[0], cell.sizes[-1]
    if n_in == 784:
        X = rng.random((cell.samples, n_in), dtype=np.float32)
        X -= np.float32(0.81)
        np.maximum(X, 0, out=X)
        X -= X[:1000].mean()
        X /= X[:1000].std()
    else:
        X = rng.standard_normal((cell.samples, n_in), dtype=np.float32)
    teacher = (rng.standard_normal((n_in, n_out)) / np.sqrt(n_in)).astype(np.float32)
    score = X @ teacher
    if cell.loss == "squared_error":
        return X, np.tanh(score)
    score += rng.standard_normal(score.shape, dtype=np.float32) / 2
    labels = score.argmax(axis=1) if n_out > 1 else score[:, 0] > 0
    return X, labels.astype(np.int64)


def make_layers(cell: Cell) -> Layers:
    """Draw the weights that every trainer starts from (Glorot's uniform initialisation) and zero biases."""
    rng = np.random.default_rng(2)
    pairs = zip(cell.sizes, cell.sizes[1:], strict=False)
    return [
        ((rng.random((a, b), dtype=np.float32) * 2 - 1) * np.float32(np.sqrt(6 / (a + b))), np.zeros(b, np.float32))
        for a, b in pairs
    ]
