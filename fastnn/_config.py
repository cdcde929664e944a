"""What is in use: backend, threads, vector instructions, versions, cache folder."""

from __future__ import annotations

import os
import platform
from importlib.machinery import PathFinder
from pathlib import Path

from fastnn import _kernels


def configuration() -> dict[str, str]:
    """Return what runs the kernels, by name."""
    backend = _kernels.get_backend()
    kernels = _kernels.kernels()
    rows = {
        "fastnn": _version("fastnn-cpu"),
        "backend": backend,
        "threads": f"{_kernels.get_num_threads()} of {os.cpu_count()}",
        "SIMD level": kernels.simd_level(),
        "extension": "built" if _has_extension() else "missing: install a wheel, or from source with a C compiler",
        "kernel cache": str(kernels.cache_folder() or "none"),
        "Python": f"{platform.python_version()} ({platform.system()} {platform.machine()})",
    }
    return rows | {name: _version(name) for name in ("numpy", "numba", "llvmlite")}


def show_config() -> None:
    """Print the backend, threads, SIMD level, kernel cache and versions in use, and if there are compiled kernels.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.show_config()  # doctest: +ELLIPSIS
    fastnn ...
    backend ...
    """
    rows = configuration()
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}  {value}")


def _has_extension() -> bool:
    """Return whether the Cython backend was compiled: a build without a C compiler warns, but pip hides it."""
    return PathFinder.find_spec("kernels", [str(Path(__file__).parent / "_kernels" / "cython")]) is not None


def _version(distribution: str) -> str:
    import importlib.metadata  # here: `import fastnn` would spend a third of its time on it

    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
