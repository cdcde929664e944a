"""The libraries that fastnn is timed against, and the interpreters and variables that their processes are run with."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from fastnn.bench.machine import DISTRIBUTIONS, describe_versions

MODULES = {  # what a trainer imports
    "fastnn-numba": "numba",
    "fastnn-cython": "fastnn._kernels.cython.kernels",
    "fastnn-numpy": "numpy",
    "jax": "jax",
    "jax-old": "jax",
    "torch": "torch",
    "sklearn": "sklearn",
}
OURS = ("fastnn-numba", "fastnn-cython")
PEERS = {"jax": ("jax", "jax-old"), "torch": ("torch",), "sklearn": ("sklearn",)}  # each library's trainers
TITLES = {
    "fastnn-numba": "fastnn (Numba)",
    "fastnn-cython": "fastnn (Cython)",
    "fastnn-numpy": "fastnn (NumPy)",
    "jax": "JAX",
    "jax-old": "JAX",
    "torch": "PyTorch",
    "sklearn": "scikit-learn",
}

# Its old runtime, which 0.10.2 no longer supports, spends less on each turn of a loop: 20-16-1, SGD, in half the time.
OLD_JAX = ("jax==0.6.2", "jaxlib==0.6.2")
RELEASES = {"jax-old": "0.6.2, old runtime"}
VARIABLES = {"jax-old": {"XLA_FLAGS": "--xla_cpu_use_thunk_runtime=false"}}


def interpreter(name: str, folder: str | None) -> str:
    """Return the Python that runs a trainer: that of the environment of its name in the folder, or this one."""
    if folder is not None:
        for path in ("bin/python", "Scripts/python.exe"):
            if (found := Path(folder, name, path)).exists():
                return str(found.absolute())  # not resolved: an environment's Python is a link to the system's
    return sys.executable


def variables(name: str) -> dict[str, str]:
    """Return the variables of a trainer's process, added to those that are set."""
    return {key: f"{os.environ.get(key, '')} {value}".strip() for key, value in VARIABLES.get(name, {}).items()}


def installed(name: str, folder: str | None) -> bool:
    """Return whether a trainer can run; the old JAX only in an environment of its own."""
    python = interpreter(name, folder)
    if python != sys.executable:
        return True
    return name != "jax-old" and importlib.util.find_spec(MODULES[name]) is not None


def environments(names: Sequence[str], folder: str | None) -> dict[str, dict[str, str]]:
    """Return for each trainer that has an environment of its own the versions that differ from this one's."""
    here = describe_versions()
    code = "from importlib.metadata import distributions; print({d.name: d.version for d in distributions()})"
    found = {}
    for name in names:
        if (python := interpreter(name, folder)) != sys.executable:
            there = ast.literal_eval(subprocess.check_output([python, "-c", code], text=True))
            found[name] = {k: there[k] for k in DISTRIBUTIONS if k in there and there[k] != here.get(k)}
    return found


def make_old_jax(folder: Path) -> str:
    """Make the environment of the old JAX in the folder, where there is none; return its Python."""
    if interpreter("jax-old", str(folder)) == sys.executable:
        venv.create(folder / "jax-old", with_pip=True)
    python = interpreter("jax-old", str(folder))
    subprocess.check_call([python, "-m", "pip", "install", "--quiet", *OLD_JAX])
    return python
