"""What a trainer's process does: the commands that the runner sends to time and check one cell's training."""

from __future__ import annotations

import gc
import os
import re
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from fastnn.bench.cells import Cell, make_data, make_layers
from fastnn.bench.plain import Plain
from fastnn.bench.trainers import Trainer, trainer_class

LOSS_ROWS = 5000  # the loss of a training is computed on the first of its rows

CHECK_TOLERANCE = 1e-3  # of the loss's fall: room for float32 and the order of sums, not for another algorithm


class Session:
    """A trainer in this process: its methods are the commands that the runner sends."""

    def __init__(self, name: str, cell: Cell, threads: int | None = None, data: Any = None) -> None:
        self.kind, self.cell = trainer_class(name), cell
        self.threads = threads or os.cpu_count() or 1
        self.X: Any
        self.y: Any
        self.X, self.y = make_data(cell) if data is None else data
        self.trainer: Trainer | None = None
        self.variant = self.kind.variants(cell, self.threads)[0]

    def new_trainer(self) -> Trainer:
        """Return a trainer at the initial weights."""
        self.trainer = None
        gc.collect()
        return self.kind(self.cell, self.X, self.y, make_layers(self.cell), self.variant)

    def loss(self, layers: Any, samples: int) -> float:
        """Return the mean loss of the first rows, by plain NumPy."""
        cell, samples = self.cell, min(samples, LOSS_ROWS)
        plain = Plain(layers, cell.activation, cell.loss, cell.optimizer, cell.learning_rate)
        return plain.loss(self.X[:samples], self.y[:samples])

    def variants(self) -> list[dict[str, Any]]:
        """Return the ways to run the cell."""
        return self.kind.variants(self.cell, self.threads)

    def attempt(self, variant: dict[str, Any], check: bool = True) -> dict[str, Any]:
        """Check one variant and time it on a part of the data; return its error if it fails or its answer is wrong."""
        self.variant = variant
        found: dict[str, Any] = {"variant": variant}
        try:
            if check:
                found["check"] = self.check()
                if not found["check"]["error"] < CHECK_TOLERANCE:
                    return {**found, "error": f"the loss is not plain NumPy's: {found['check']}"}
            trainer = self.new_trainer()
            trainer.fit(1, self.probe)
            found["seconds"] = min(self.stopwatch(trainer, 1, self.probe) for _ in range(3))
        except Exception as error:  # such as a compiler's
            found["error"] = f"{type(error).__name__}: {error}"
        return found

    def choose(self, variant: dict[str, Any], seconds: float, budget: float) -> int:
        """Take the variant that needed so many seconds in its attempt; return how many samples fit the budget."""
        self.variant = variant
        size, m = self.cell.batch_size, self.cell.samples
        if size is None or seconds * m / self.probe <= budget:
            return m
        return max(self.probe, int(budget / seconds * self.probe) // size * size)

    @property
    def probe(self) -> int:
        """The samples of an attempt."""
        size, m = self.cell.batch_size, self.cell.samples
        return m if size is None else min(m, max(500 * (size == 1), 20 * size))

    @staticmethod
    def stopwatch(trainer: Trainer, epochs: int, samples: int) -> float:
        """Return the seconds that some epochs take."""
        start = time.perf_counter()
        trainer.fit(epochs, samples)
        return time.perf_counter() - start

    def check(self) -> dict[str, float]:
        """Train a little without shuffling and compare with plain NumPy; the error is relative to the loss's fall."""
        samples, epochs = self._check_length
        trainer = self.new_trainer()
        trainer.fit(epochs, samples, shuffle=False)
        initial, expected = self._expected
        found = self.loss(trainer.layers(), samples)
        error = abs(found - expected) / abs(initial - expected)
        return {"initial": initial, "expected": expected, "found": found, "error": error}

    @property
    def _check_length(self) -> tuple[int, int]:
        """The samples and epochs of the check; the last batch is a half."""
        cell = self.cell
        if cell.batch_size is None:
            return min(10_000, len(self.X)), 3
        steps = min(2000, max(100, 10**8 // cell.flops)) if cell.batch_size == 1 else 20
        return min(steps * cell.batch_size + cell.batch_size // 2, len(self.X)), 1

    @cached_property
    def _expected(self) -> tuple[float, float]:
        """The losses before and after the check's training, by plain NumPy."""
        cell, (samples, epochs) = self.cell, self._check_length
        layers = make_layers(cell)
        plain = Plain(layers, cell.activation, cell.loss, cell.optimizer, cell.learning_rate)
        plain.fit(self.X[:samples], self.y[:samples], cell.batch_size, epochs)
        return self.loss(layers, samples), self.loss(plain.layers, samples)

    def warm(self, samples: int) -> dict[str, float]:
        """Train the first epoch from the initial weights; return its time, with any compilation, and the losses."""
        initial = self.loss(make_layers(self.cell), samples)
        self.trainer = self.new_trainer()
        first = self.stopwatch(self.trainer, 1, samples)
        second = self.stopwatch(self.trainer, 1, samples)
        return {
            "first_epoch_seconds": first,
            "epoch_seconds": second,
            "initial_loss": initial,
            "loss": self.loss(self.trainer.layers(), samples),
        }

    def time(self, epochs: int, samples: int) -> float:
        """Return the seconds that some further epochs take."""
        assert self.trainer is not None
        return self.stopwatch(self.trainer, epochs, samples)

    def memory(self, samples: int) -> float | None:
        """Return the peak memory in bytes above the data and the loaded, warm library; None where it cannot be read."""
        self.trainer = self.new_trainer()
        self.trainer.lean = True
        self.trainer.fit(1, min(samples, 2000))
        gc.collect()
        try:
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak
            before = _status("VmRSS")
            self.trainer.fit(1, samples)
            return _status("VmHWM") - before
        except OSError:
            return None


def _status(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024.0 * int(found[1]) if found else 0.0
