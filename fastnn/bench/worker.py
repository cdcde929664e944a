"""One process for each trainer, so that no library's threads, settings or crashes touch another's timing."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fastnn.bench.cells import Cell, make_data, make_layers
from fastnn.bench.plain import Plain
from fastnn.bench.trainers import Trainer, trainer_class

LOSS_ROWS = 5000  # the loss of a training is computed on the first of its rows


class WorkerError(RuntimeError):
    """What went wrong in a worker, with its traceback."""


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

    def choose(self, budget: float) -> dict[str, Any]:
        """Try the variants on a part of the data; return the fastest one and how many samples fit the budget."""
        cell, m = self.cell, self.cell.samples
        probe = m if cell.batch_size is None else min(m, max(500 * (cell.batch_size == 1), 20 * cell.batch_size))
        tried = []
        for variant in self.kind.variants(cell, self.threads):
            self.variant = variant
            trainer = self.new_trainer()
            trainer.fit(1, probe)
            seconds = min(self.stopwatch(trainer, 1, probe) for _ in range(3))
            tried.append((seconds, variant))
        seconds, self.variant = min(tried, key=lambda one: one[0])
        samples = m
        if cell.batch_size and seconds * m / probe > budget:
            samples = max(probe, int(budget / seconds * probe) // cell.batch_size * cell.batch_size)
        return {"variant": self.variant, "tried": tried, "samples": samples}

    @staticmethod
    def stopwatch(trainer: Trainer, epochs: int, samples: int) -> float:
        """Return the seconds that some epochs take."""
        start = time.perf_counter()
        trainer.fit(epochs, samples)
        return time.perf_counter() - start

    def check(self) -> dict[str, float]:
        """Train a little without shuffling and compare with plain NumPy; the error is relative to the loss's fall."""
        cell, epochs = self.cell, 1 if self.cell.batch_size else 3
        steps = min(2000, max(100, 10**8 // cell.flops)) if cell.batch_size == 1 else 20
        samples = steps * cell.batch_size + cell.batch_size // 2 if cell.batch_size else 10_000
        X, y = self.X[:samples], self.y[:samples]
        trainer = self.new_trainer()
        trainer.fit(epochs, len(X), shuffle=False)
        layers = make_layers(cell)
        plain = Plain(layers, cell.activation, cell.loss, cell.optimizer, cell.learning_rate)
        plain.fit(X, y, cell.batch_size, epochs)
        initial, expected, found = (self.loss(one, len(X)) for one in (layers, plain.layers, trainer.layers()))
        error = abs(found - expected) / abs(initial - expected)
        return {"initial": initial, "expected": expected, "found": found, "error": error}

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


def _serve(connection: Connection, name: str, cell: Cell, threads: int) -> None:
    try:
        if hasattr(os, "sched_setaffinity"):  # holds XLA, whose number of threads cannot be set, to its share
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        session = Session(name, cell, threads)
        while message := connection.recv():
            command, values = message
            connection.send((True, getattr(session, command)(*values)))
    except EOFError:
        pass
    except Exception:
        connection.send((False, traceback.format_exc()))


class Worker:
    """The runner's end: ``call`` sends a command and waits for the answer."""

    def __init__(self, name: str, cell: Cell, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, name, cell, threads), daemon=True)
        self.process.start()
        other.close()

    def call(self, command: str, *values: Any) -> Any:
        """Run one command in the worker."""
        try:
            self.connection.send((command, values))
            done, answer = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            self.process.join()
            raise WorkerError(f"the process ended with code {self.process.exitcode}") from error
        if not done:
            raise WorkerError(answer)
        return answer

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.join(5)
        self.process.terminate()
