"""A second process that compiles along: in one process, Numba and LLVM compile one function at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastnn._kernels import get_num_threads


@contextmanager
def second_process(code: str) -> Iterator[None]:
    """Have another Python run the code beside the block, and wait for it; what it prints or raises does not show.

    Without a second thread to use, or another Python to start (in a program that embeds it), the block runs alone.
    """
    process = _start(code) if get_num_threads() > 1 and Path(sys.executable or "").stem.startswith("python") else None
    try:
        yield
        if process is not None:
            process.wait()
    finally:
        if process is not None:
            process.kill()
            process.wait()


def _start(code):
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", code],  # -P: nothing is imported from the current folder but by this sys.path
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError:
        return None
