"""Which backend is taken: forced, by variable, and in the absence of Numba or of the compiled module.

Absence is played in subprocesses: a ``sitecustomize`` hides modules from every finder, as if they were not installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from conftest import COMPILED, absence, need

import fastnn
from fastnn import _config, _kernels

HIDE = """
import sys

class Hide:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name in {hidden!r} else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Hide(finder) for finder in sys.meta_path]
"""
CACHE = "FASTNN_CACHE_DIR"  # of the suite, where kernels are compiled
EXTENSION = "fastnn._kernels.cython.kernels"
TRAIN = """
import fastnn
net = fastnn.Network((2, 3, 2), rng=0)
net.fit([[0.0, 1.0], [1.0, 0.0]], [0, 1], epochs=1)
print(fastnn.get_backend())
"""


def run(tmp_path, code, *, hidden=(), modules=None, backend=None, threads=None):
    """Run code in a new Python in which modules are hidden or replaced."""
    (tmp_path / "sitecustomize.py").write_text(HIDE.format(hidden=set(hidden)))
    for name, text in (modules or {}).items():
        (tmp_path / f"{name}.py").write_text(text)
    package = Path(fastnn.__file__).parents[1]
    env = {key: value for key, value in os.environ.items() if not key.startswith("FASTNN_") or key == CACHE}
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(package)])
    for key, value in (("FASTNN_BACKEND", backend), ("FASTNN_NUM_THREADS", threads)):
        if value is not None:
            env[key] = value
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)


def succeed(result):
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# ---- auto


def test_auto_takes_numba(tmp_path):
    need("numba")
    assert succeed(run(tmp_path, TRAIN)) == "numba"


def test_auto_takes_cython_without_numba(tmp_path):
    need("cython")
    result = run(tmp_path, TRAIN, hidden=["numba"])
    assert succeed(result) == "cython"
    assert "Warning" not in result.stderr


def test_auto_takes_numba_without_the_extension(tmp_path):
    need("numba")
    assert succeed(run(tmp_path, TRAIN, hidden=[EXTENSION])) == "numba"


def test_auto_takes_the_reference_last_and_warns(tmp_path):
    result = run(tmp_path, TRAIN, hidden=["numba", EXTENSION])
    assert succeed(result) == "numpy"
    assert "RuntimeWarning: neither Numba nor fastnn's compiled kernels are here" in result.stderr
    assert "pip install numba" in result.stderr


@pytest.mark.parametrize("how", ["fastnn.set_backend('numpy')", ""])
def test_the_reference_asked_for_does_not_warn(tmp_path, how):
    code = TRAIN.replace("import fastnn", f"import fastnn\n{how}", 1)
    result = run(tmp_path, code, hidden=["numba", EXTENSION], backend=None if how else "numpy")
    assert succeed(result) == "numpy"
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("error", "backend"),
    [
        ("RuntimeError('LLVM is broken')", None),
        ("ImportError('no libllvm.so')", "auto"),
        ("ModuleNotFoundError('No llvmlite')", None),
        ("ModuleNotFoundError('No llvmlite')", "numba"),
    ],
)
def test_a_broken_numba_raises_its_own_error(tmp_path, error, backend):
    result = run(tmp_path, TRAIN, modules={"numba": f"raise {error}"}, backend=backend)
    assert result.returncode == 1
    kind, message = error[:-2].split("('")
    assert result.stderr.strip().splitlines()[-1] == f"{kind}: {message}"


def test_a_broken_extension_raises_its_own_error(tmp_path):
    code = """
    import importlib.util, sys
    class Broken:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "fastnn._kernels.cython.kernels":
                return importlib.util.spec_from_loader(name, Broken)
        @staticmethod
        def create_module(spec):
            raise ImportError("undefined symbol: fma")
        @staticmethod
        def exec_module(module):
            pass
    sys.meta_path.insert(0, Broken)
    """
    result = run(tmp_path, textwrap.dedent(code) + TRAIN, hidden=["numba"])
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1] == "ImportError: undefined symbol: fma"


# ---- forced


@pytest.mark.parametrize(("backend", "module"), [("numba", "numba"), ("cython", EXTENSION)])
def test_a_forced_backend_that_is_absent_raises(tmp_path, backend, module):
    by_call = run(tmp_path, f"import fastnn; fastnn.set_backend({backend!r})", hidden=[module])
    by_variable = run(tmp_path, TRAIN, hidden=[module], backend=backend)
    for result in (by_call, by_variable):
        assert result.returncode == 1
        last = result.stderr.strip().splitlines()[-1]
        assert last.startswith(("ImportError", "ModuleNotFoundError"))
        assert module.split(".")[-1] in last


def test_a_backend_that_failed_to_load_is_not_taken(tmp_path):
    code = """
    import fastnn
    before = fastnn.get_backend()
    try:
        fastnn.set_backend("numba")
    except ImportError as error:
        assert error.name == "numba", error
        assert fastnn.get_backend() == before
        print("refused")
    """
    assert succeed(run(tmp_path, code, hidden=["numba"])) == "refused"


@pytest.mark.parametrize("backend", ["numpy", *COMPILED])
def test_the_variable_and_the_call(tmp_path, backend):
    need(backend)
    assert succeed(run(tmp_path, TRAIN, backend=backend)) == backend
    code = TRAIN.replace("import fastnn", "import fastnn\nfastnn.set_backend('numpy')", 1)
    assert succeed(run(tmp_path, code, backend=backend)) == "numpy", "the call wins over the variable"


def test_a_forced_backend_runs_its_own_kernels(backend):
    module = {"numpy": "reference"}.get(backend, backend)
    assert _kernels.kernels().__name__ == f"fastnn._kernels.{module}"
    assert fastnn.get_backend() == backend


def test_unknown_names_list_the_known_ones(monkeypatch):
    with pytest.raises(ValueError, match="'cuda' is unknown; known are auto, numba, cython, numpy"):
        fastnn.set_backend("cuda")
    assert fastnn.get_backend() == "numpy"
    monkeypatch.setattr(_kernels, "_forced", None)
    monkeypatch.setenv("FASTNN_BACKEND", "cuda")
    with pytest.raises(ValueError, match="FASTNN_BACKEND='cuda' is unknown; known are auto, numba, cython, numpy"):
        fastnn.get_backend()
    with pytest.raises(TypeError, match="backend must be a name"):
        fastnn.set_backend(1)


# ---- imports, threads, configuration


def test_import_is_light(tmp_path):
    code = """
    import sys, fastnn
    fastnn.Network((2, 3, 2))
    fastnn.get_backend()
    heavy = {"numba", "llvmlite", "scipy", "sklearn", "matplotlib", "tqdm", "safetensors", "pandas"}
    print(sorted(heavy & set(sys.modules)))
    """
    assert succeed(run(tmp_path, code)) == "[]"


def test_number_of_threads(tmp_path, monkeypatch):
    assert fastnn.get_num_threads() >= 1
    monkeypatch.setenv("FASTNN_NUM_THREADS", "3")
    assert fastnn.get_num_threads() == 3
    fastnn.set_num_threads(2)
    assert fastnn.get_num_threads() == 2, "the call wins over the variable"
    assert succeed(run(tmp_path, "import fastnn; print(fastnn.get_num_threads())", threads="5")) == "5"


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", " "])
def test_bad_number_of_threads_in_the_variable(monkeypatch, value):
    monkeypatch.setenv("FASTNN_NUM_THREADS", value)
    with pytest.raises(ValueError, match=f"FASTNN_NUM_THREADS must be an integer >= 1; got '{value}'"):
        fastnn.get_num_threads()


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError), ("2", TypeError)])
def test_bad_number_of_threads(value, error):
    before = fastnn.get_num_threads()
    with pytest.raises(error, match="n must be an integer >= 1; got "):
        fastnn.set_num_threads(value)
    assert fastnn.get_num_threads() == before


def test_a_threading_layer_that_cannot_be_loaded_is_told_each_time(monkeypatch):
    """The threads are free again after the error: once, later fits went on in silence with one."""
    need("numba")
    import numba

    def fail():
        raise ValueError("no threading layer")

    fastnn.set_backend("numba")
    fastnn.set_num_threads(2)
    monkeypatch.setattr(numba, "get_num_threads", fail)
    X, y = np.ones((3000, 200)), np.arange(3000) % 2
    for _ in range(2):
        with pytest.raises(ValueError, match="no threading layer"):
            fastnn.Network((200, 100, 2)).fit(X, y, batch_size=None, epochs=5)


def test_show_config(backend, capsys):
    fastnn.set_num_threads(2)
    fastnn.show_config()
    text = capsys.readouterr().out
    for row in (f"backend       {backend}", "threads       2 of", "SIMD level", "kernel cache", np.__version__):
        assert row in text


def test_show_config_tells_that_the_compiled_kernels_are_missing(monkeypatch, capsys, tmp_path):
    fastnn.show_config()
    row = "extension     built" if absence("cython") is None else "extension     missing: install a wheel"
    assert row in capsys.readouterr().out
    monkeypatch.setattr(_config, "__file__", str(tmp_path / "_config.py"))
    fastnn.show_config()
    assert "extension     missing: install a wheel" in capsys.readouterr().out
