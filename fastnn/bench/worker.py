"""One process for each trainer, so that no library's threads, settings or crashes touch another's timing.

A process may be run by another interpreter, with another release of a library: it needs NumPy and that library alone.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# fastnn comes from the parent's file, and nothing else of the parent's packages.
START = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("fastnn", sys.argv[1])
sys.modules["fastnn"] = fastnn = module_from_spec(spec)
spec.loader.exec_module(fastnn)
from fastnn.bench.worker import serve
serve()
"""


class WorkerError(RuntimeError):
    """What went wrong in a worker, with its traceback."""


def serve() -> None:
    """Make the object that the first message asks for, then call its methods as the messages say."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a library prints is no answer
        try:
            threads, make, arguments = pickle.load(sys.stdin.buffer)
            if hasattr(os, "sched_setaffinity"):  # holds XLA, whose number of threads cannot be set, to its share
                os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
            session = make(*arguments)
            while True:
                command, values = pickle.load(sys.stdin.buffer)
                _send(answers, (True, getattr(session, command)(*values)))
        except EOFError:
            pass
        except Exception:
            _send(answers, (False, traceback.format_exc()))


def _send(stream: Any, message: Any) -> None:
    pickle.dump(message, stream)
    stream.flush()


class Worker:
    """The runner's end: ``call`` sends a command and waits for the answer.

    Parameters
    ----------
    make : callable of a module, called with ``arguments`` in the process
        Makes the object whose methods are the commands.
    threads : cores that the process may use
    python : the interpreter, by default this one
    variables : additions to the environment
    """

    def __init__(
        self,
        make: Any,
        arguments: tuple[Any, ...],
        threads: int,
        python: str = sys.executable,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.command = [python, "-c", START, str(Path(__file__).parents[1] / "__init__.py")]
        self.environment = {**os.environ, **(variables or {})}
        self.first = (threads, make, arguments)
        self._start()

    def _start(self) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, env=self.environment)
        self.asked = False

    def restart(self) -> None:
        """Begin anew in another process."""
        self.close()
        self._start()

    def call(self, command: str, *values: Any) -> Any:
        """Run one command in the worker."""
        try:
            if not self.asked:
                _send(self.process.stdin, self.first)
                self.asked = True
            _send(self.process.stdin, (command, values))
            assert self.process.stdout is not None
            done, answer = pickle.load(self.process.stdout)
        except (EOFError, OSError) as error:
            raise WorkerError(f"the process ended with code {self.process.wait()}") from error
        if not done:
            raise WorkerError(answer)
        return answer

    def close(self) -> None:
        """End the process."""
        try:
            self.process.communicate(timeout=5)
        except (subprocess.TimeoutExpired, OSError):
            self.process.terminate()
            self.process.wait()
