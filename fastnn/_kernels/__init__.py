"""The only place that chooses a backend.

``auto`` is Numba if it is installed, else the compiled Cython kernels, else the NumPy reference, with a warning. Only
absence makes ``auto`` move on: an error inside an installed backend is raised, not hidden.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType

from fastnn._checks import check_choice, check_integer

_MODULES = {
    "numba": "fastnn._kernels.numba",
    "cython": "fastnn._kernels.cython",
    "numpy": "fastnn._kernels.reference",
}
_NEEDS = {"numba": "numba", "cython": "fastnn._kernels.cython.kernels", "numpy": "numpy"}

_forced: str | None = None
_threads: int | None = None


def set_backend(name: str) -> None:
    """Choose what runs the kernels.

    Parameters
    ----------
    name : {"auto", "numba", "cython", "numpy"}
        "auto" takes Numba if it is installed, else the compiled Cython kernels, else the NumPy reference, which is
        slow. The variable FASTNN_BACKEND sets the same for a whole process.

    Raises
    ------
    ValueError
        If the name is unknown.
    ImportError
        If the backend cannot be loaded; the error is the import's own.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.set_backend("numpy")
    >>> fastnn.get_backend()
    'numpy'
    >>> fastnn.set_backend("auto")
    """
    global _forced
    check_choice("backend", name, ["auto", *_MODULES])
    if name != "auto":
        importlib.import_module(_MODULES[name])
    _forced = name


def get_backend() -> str:
    """Return the name of the backend in use: "numba", "cython" or "numpy".

    Examples
    --------
    >>> import fastnn
    >>> fastnn.get_backend() in ("numba", "cython", "numpy")
    True
    """
    name = _asked_for()
    return _first_installed() if name == "auto" else name


def _asked_for() -> str:
    name = _forced or os.environ.get("FASTNN_BACKEND") or "auto"
    if name != "auto" and name not in _MODULES:
        check_choice("FASTNN_BACKEND", name, ["auto", *_MODULES])
    return name


@lru_cache
def _first_installed() -> str:
    return next(name for name in _MODULES if _is_installed(_NEEDS[name]))


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:  # the package around the compiled module imports it
        if error.name != module:
            raise
        return False


def kernels() -> ModuleType:
    """Return the backend's module; its functions are listed in ``contract``."""
    asked_for = _asked_for()
    name = _first_installed() if asked_for == "auto" else asked_for
    if name == "numpy" and asked_for == "auto":
        warnings.warn(
            "neither Numba nor fastnn's compiled kernels are here: training runs on the NumPy reference, which is "
            "slow. `pip install numba` mends that; fastnn.set_backend('numpy') silences this warning.",
            RuntimeWarning,
            stacklevel=3,
        )
    return _module(name)


_module = lru_cache(lambda name: importlib.import_module(_MODULES[name]))


def set_num_threads(n: int) -> None:
    """Set how many threads the kernels may use. Results do not depend on it.

    Parameters
    ----------
    n : int
        At least 1. Small work takes fewer where a barrier would cost more than it saves.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.set_num_threads(1)
    >>> fastnn.get_num_threads()
    1
    """
    global _threads
    _threads = check_integer("n", n, low=1)


class _OwnThreads(threading.local):
    limit: Callable[[], int] | None = None


_own_threads = _OwnThreads()


@contextmanager
def thread_limit(n: int | Callable[[], int] | None) -> Iterator[None]:
    """Let kernel calls of this Python thread use n threads, or as many as n() says each time; None changes nothing."""
    before = _own_threads.limit
    if callable(n):
        _own_threads.limit = n
    elif n is not None:
        count = check_integer("n_threads", n, low=1)
        _own_threads.limit = lambda: count
    try:
        yield
    finally:
        _own_threads.limit = before


def get_num_threads() -> int:
    """Return how many threads the kernels may use.

    By default as many as the process may run on, and no more than the variable OMP_NUM_THREADS says when fastnn is
    imported: joblib's processes have their share in it. FASTNN_NUM_THREADS and ``set_num_threads`` change it.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.get_num_threads() >= 1
    True
    """
    if _own_threads.limit is not None:
        return _own_threads.limit()
    if _threads is not None:
        return _threads
    variable = os.environ.get("FASTNN_NUM_THREADS")
    if not variable:
        return _available_cpus()
    if not variable.isdecimal() or int(variable) < 1:
        raise ValueError(f"FASTNN_NUM_THREADS must be an integer >= 1; got {variable!r}")
    return int(variable)


def _limit_of_openmp() -> int:
    """Return the first number in OMP_NUM_THREADS, which may have one for each level of nesting; 2^31 without one."""
    number = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return max(1, int(number)) if number.isdecimal() else 1 << 31


_openmp_limit = _limit_of_openmp()


def _available_cpus() -> int:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus, _openmp_limit)
