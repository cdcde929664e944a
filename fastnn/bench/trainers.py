"""What every trainer that is timed has in common, and fastnn as one of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from fastnn.bench.cells import Array, Cell, Layers

# The module and class of each trainer; importing one imports the library that it times.
REGISTRY = {
    "fastnn-numba": ("fastnn.bench.trainers", "NumbaTrainer"),
    "fastnn-cython": ("fastnn.bench.trainers", "CythonTrainer"),
    "fastnn-numpy": ("fastnn.bench.trainers", "NumpyTrainer"),
    "jax": ("fastnn.bench.jax_trainer", "JaxTrainer"),
    "jax-old": ("fastnn.bench.jax_trainer", "JaxTrainer"),
    "torch": ("fastnn.bench.torch_trainer", "TorchTrainer"),
    "sklearn": ("fastnn.bench.sklearn_trainer", "SklearnTrainer"),
}
STEP_BY_STEP = ("torch", "sklearn")  # from Python: an epoch of 1e7 single samples would take them half an hour


class Trainer:
    """A network in one library, ready to be trained on one cell's data.

    ``fit`` is what is timed. It trains on the first ``samples`` rows and includes drawing the shuffled order of each
    epoch; converting the data to the library's own form happens once, before.
    """

    def __init__(self, cell: Cell, X: Array, y: Any, layers: Layers, variant: dict[str, Any]) -> None:
        self.cell, self.variant = cell, variant
        self.lean = False  # whether memory is measured, not time
        self.rng = np.random.default_rng(3)
        self.prepare(X, y, layers)

    @staticmethod
    def variants(cell: Cell, threads: int) -> list[dict[str, Any]]:
        """Return the ways to run the cell that are tried; the fastest one is timed."""
        return [{"threads": threads}]

    def prepare(self, X: Array, y: Any, layers: Layers) -> None:
        """Convert the data and the initial weights."""
        raise NotImplementedError

    def fit(self, epochs: int, samples: int, shuffle: bool = True) -> None:
        """Train further, for some epochs."""
        raise NotImplementedError

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the weights and biases as NumPy arrays, W of shape (n_in, n_out)."""
        raise NotImplementedError

    def order(self, samples: int, shuffle: bool) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        """Return the rows of one epoch in the order in which they are visited."""
        rows = np.arange(samples, dtype=np.int32)
        if shuffle and self.lean:
            self.rng.shuffle(rows)
        elif shuffle:  # shuffling int32 numbers takes 1.4 times as long as permuting int64 ones
            rows = self.rng.permutation(samples).astype(np.int32)
        return rows


class FastnnTrainer(Trainer):
    """fastnn through its public interface: what a user runs."""

    backend: ClassVar[str]

    def prepare(self, X: Array, y: Any, layers: Layers) -> None:
        """Build the network and copy the initial weights into it."""
        import fastnn

        fastnn.set_backend(self.backend)
        fastnn.set_num_threads(self.variant["threads"])
        cell = self.cell
        self.X, self.y = X, y
        self.network = fastnn.Network(cell.sizes, activation=cell.activation, loss=cell.loss, dtype=X.dtype.name, rng=1)
        pairs = zip(self.network.weights, self.network.biases, strict=True)
        for (W, b), (initial_W, initial_b) in zip(pairs, layers, strict=True):
            W[:], b[:] = initial_W, initial_b

    def fit(self, epochs: int, samples: int, shuffle: bool = True) -> None:
        """Call ``Network.fit``."""
        cell = self.cell
        self.network.fit(
            self.X[:samples],
            self.y[:samples],
            optimizer=cell.optimizer,
            learning_rate=cell.learning_rate,
            batch_size=cell.batch_size,
            epochs=epochs,
            shuffle=shuffle,
            verbose=False,
        )

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the network's views."""
        return list(zip(self.network.weights, self.network.biases, strict=True))


class NumbaTrainer(FastnnTrainer):
    """fastnn's Numba kernels."""

    backend = "numba"


class CythonTrainer(FastnnTrainer):
    """fastnn's compiled kernels."""

    backend = "cython"


class NumpyTrainer(FastnnTrainer):
    """fastnn's reference, to see what the kernels gain."""

    backend = "numpy"


def trainer_class(name: str) -> type[Trainer]:
    """Import and return the trainer of a given name."""
    module, attribute = REGISTRY[name]
    found: type[Trainer] = getattr(import_module(module), attribute)
    return found
