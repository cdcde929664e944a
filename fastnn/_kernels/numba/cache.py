"""Kernels, and what is called from outside of them: compiled for this CPU and kept on disk, in fastnn's own folder.

Numba's cache looks only at the file that a function is defined in and so misses a change in another file that it
calls. Here the folder's name is a hash of everything that the code depends on: every kernel source, the layout of the
job, the versions, the CPU and the SIMD level. The cache is an optimisation alone: whatever is wrong with it, the kernel
is compiled in memory.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.runtime import rtsys
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from fastnn._kernels.numba.compiler import Piece
from fastnn._kernels.numba.simd import host_features, simd_level

# error_model: a division by zero gives inf or nan, without a test. contract, nsz: no flag that assumes finite numbers
# or reorders sums. no_rewrites: kernels have no array expressions to fuse, and looking for them takes time.
OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}, "no_rewrites": True}
_SOURCES = ("_kernels/schema.py", "_kernels/drivers/*.py", "_kernels/numba/*.py", "_equations/*.py")
_UNUSED_SECONDS = 30 * 24 * 3600
_FOLDER_NAME = re.compile(r"kernels-[0-9a-f]{32}")


def kernel(python_function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Make a function that kernels call, or whoever has its address; use it like `entry_point`."""
    if python_function is None:
        return lambda function: kernel(function, **options)
    return Piece(python_function, {**OPTIONS, **options})


def entry_point(python_function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Make a function that Python calls: compiled with its kernels at its first call, and kept on disk.

    Use it as ``@entry_point`` or ``@entry_point(parallel=True)``: the options are those of `numba.njit`, on top of
    `OPTIONS`.
    """
    if python_function is None:
        return lambda function: entry_point(function, **options)
    dispatcher = numba.njit(**{**OPTIONS, **options})(python_function)
    # Without a source file, as in an interactive session, there is nothing to key a cache on.
    with suppress(OSError, RuntimeError):
        dispatcher._cache = KernelCache(python_function)
    return dispatcher


@lru_cache
def cache_folder() -> Path:
    """Return the folder of the compiled kernels: FASTNN_CACHE_DIR or the user's cache folder, then a key."""
    parent = os.environ.get("FASTNN_CACHE_DIR") or AppDirs("fastnn", appauthor=False).user_cache_dir
    return Path(parent).expanduser().absolute() / f"kernels-{_key()}"


@lru_cache
def _key() -> str:
    """Hash all that the machine code depends on."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[2]
    for path in sorted(path for pattern in _SOURCES for path in package.glob(pattern)):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    versions = (platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__)
    cpu = (binding.get_host_cpu_name(), sorted(host_features()), simd_level().name)
    digest.update(repr((versions, cpu)).encode())
    return digest.hexdigest()[:32]


@lru_cache
def _file_hash(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


class _Locator(_CacheLocator):
    """Tells Numba where a function's cache lies.

    The folder's key stands for the sources of the kernels; the file's hash for those of a kernel defined elsewhere.
    """

    def __init__(self, python_function: Callable[..., Any], source: str) -> None:
        self._py_file = source
        self._line = python_function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _Locator:
        return cls(py_func, py_file)

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        return cache_folder().name

    def get_disambiguator(self) -> str:
        return f"{self._line}-{_file_hash(self._py_file)}"

    def ensure_cache_path(self) -> None:
        _make_folder(cache_folder())


class _CompiledKernels(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012 (as in the base class)


class _KernelFiles:
    """One file for each function and signature, replaced as a whole and checked before use.

    Numba's index of numbered files can pair a signature with another one's code when two processes write it at once.
    """

    def __init__(self, folder: str, name: str) -> None:
        self._folder, self._name = Path(folder), name

    def _path(self, key: Any) -> Path:
        return self._folder / f"{self._name}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.kernel"

    def has(self, key: Any) -> bool:
        return self._path(key).exists()

    def save(self, key: Any, data: Any) -> None:
        content = dumps((key, data))
        handle, temporary = tempfile.mkstemp(dir=self._folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            os.replace(temporary, self._path(key))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def load(self, key: Any) -> Any:
        content = self._path(key).read_bytes()
        digest, content = content[:32], content[32:]
        if hashlib.sha256(content).digest() != digest:
            return None
        stored_key, data = pickle.loads(content)
        return data if stored_key == key else None

    def flush(self) -> None:
        for path in self._folder.glob(f"{self._name}.*.kernel"):
            path.unlink(missing_ok=True)


class KernelCache(FunctionCache):
    """Numba's function cache in fastnn's folder; it fails in silence."""

    _impl_class = _CompiledKernels

    def __init__(self, python_function: Callable[..., Any]) -> None:
        super().__init__(python_function)
        self._cache_file: Any = _KernelFiles(self.cache_path, self._impl.filename_base)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled function of a signature, or None."""
        # Any error, from an unreadable folder to a format that changed, means that there is nothing to load.
        try:
            # Numba would first import all that it may compile, even SciPy: 0.2 s, where loading needs this alone.
            rtsys.initialize(target_context)
            result = self._load_overload(sig, target_context)
        except Exception:
            return None
        _mark_used(cache_folder())
        return result

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compiled function of a signature, if it can be kept."""
        with suppress(Exception):
            super().save_overload(sig, data)

    def lacks(self, sig: Any, target_context: Any) -> bool:
        """Tell whether the function has to be compiled for a signature, and can be kept."""
        with suppress(OSError):
            _make_folder(cache_folder())
            kept = self._cache_file.has(self._index_key(sig, target_context.codegen()))
            return not kept and os.access(cache_folder(), os.W_OK)
        return False

    def flush(self) -> None:
        """Forget the function's compiled code."""
        with suppress(OSError):
            super().flush()


def _make_folder(folder: Path) -> None:
    """Make the cache folder; a new one is the occasion to drop what older versions left behind."""
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for sibling in folder.parent.iterdir():
        if _FOLDER_NAME.fullmatch(sibling.name) and time.time() - sibling.stat().st_mtime > _UNUSED_SECONDS:
            shutil.rmtree(sibling, ignore_errors=True)


@lru_cache
def _mark_used(folder: Path) -> None:
    """Note, once in a process, that the folder is in use."""
    with suppress(OSError):
        os.utime(folder)
