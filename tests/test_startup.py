"""What a new process waits for: the import, compilation said aloud and done once, and the loading of what it left."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest

from fastnn.cli import main

HEAVY = ("jax", "llvmlite", "matplotlib", "numba", "pooch", "safetensors", "scipy", "sklearn", "torch", "tqdm")
# Standard modules that take a few milliseconds each, in as far as NumPy does not import them itself.
SLOW = ("asyncio", "email", "http", "importlib.metadata", "importlib.resources", "multiprocessing", "unittest")

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")

FIT = """
    import sys, time
    import numpy as np
    X = np.random.default_rng(0).normal(size=(500, 6)).astype(sys.argv[1])
    start = time.process_time()
    import fastnn
    fastnn.set_backend("numba")
    net = fastnn.Network((6, 5, 2), loss="softmax_cross_entropy", dtype=sys.argv[1], rng=1)
    net.fit(X, (X[:, 0] > 0).astype(int), batch_size=100, epochs=1, optimizer="adam", learning_rate=0.1)
    print(time.process_time() - start, np.float64(net.parameters.sum()).hex())
"""


def run_python(code, *arguments, **environment):
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments]
    variables = {name: value for name, value in os.environ.items() if name != "FASTNN_QUIET"}
    result = subprocess.run(command, env=variables | environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result


def fit(dtype="float32", **environment):
    """Train in a new process; return its seconds of CPU time, the result's bits and what it wrote to stderr."""
    result = run_python(FIT, dtype, **environment)
    seconds, bits = result.stdout.split()
    return float(seconds), bits, result.stderr


def test_import_leaves_heavy_packages_alone():
    code = "import sys, numpy; before = set(sys.modules); import fastnn; print(*set(sys.modules) - before)"
    imported = set(run_python(code).stdout.split())
    assert "fastnn.network" in imported
    assert imported.isdisjoint(HEAVY)
    assert imported.isdisjoint(SLOW)


def test_import_is_quick(tmp_path):
    """Beside NumPy's import; both from byte code that the first of these runs has left."""
    code = """
        import time
        start = time.process_time()
        import numpy
        middle = time.process_time()
        import fastnn
        print((time.process_time() - middle) / (middle - start))
    """
    byte_code = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    assert min(float(run_python(code, **byte_code).stdout) for _ in range(5)) <= 1.5  # about 0.9


@needs_numba
def test_the_first_fit_says_that_it_compiles_and_the_next_process_loads(tmp_path):
    cold, expected, said = fit(FASTNN_CACHE_DIR=str(tmp_path))
    assert said.startswith("fastnn: compiling kernels for this CPU (float32)")
    assert str(tmp_path) in said
    assert said.count("\n") == 1
    assert cold <= 60  # about 6 on a desktop
    warm, bits, said = fit(FASTNN_CACHE_DIR=str(tmp_path))
    assert (bits, said) == (expected, "")
    assert warm <= 2  # about 0.3
    assert warm < cold / 3


@needs_numba
def test_training_works_without_a_cache(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    assert fit(FASTNN_CACHE_DIR=str(tmp_path / "file"), FASTNN_QUIET="1")[2] == ""


@needs_numba
def test_loading_a_kernel_imports_nothing_that_only_compilation_needs(tmp_path):
    code = FIT + "    print(*[name for name in ('scipy.linalg', 'numba.np.arraymath') if name in sys.modules])"
    for _ in range(2):
        result = run_python(code, "float32", FASTNN_CACHE_DIR=str(tmp_path))
    assert result.stdout.splitlines()[1] == ""


@needs_numba
def test_warmup_fills_the_cache(tmp_path):
    command = "import sys; from fastnn.cli import main; sys.exit(main(sys.argv[1:]))"
    options = ("warmup", "--backend", "numba", "--dtype", "float64")
    result = run_python(command, *options, FASTNN_CACHE_DIR=str(tmp_path))
    (folder,) = tmp_path.iterdir()
    seconds, where = result.stdout.splitlines()
    assert seconds.startswith("float64: ")
    assert where == f"kernels: {folder}"
    before = sorted(path.name for path in folder.iterdir())
    assert fit("float64", FASTNN_CACHE_DIR=str(tmp_path), FASTNN_NUM_THREADS="2")[2] == ""
    assert sorted(path.name for path in folder.iterdir()) == before


@needs_numba
def test_warmup_tells_where_nothing_can_be_kept(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    code = """
        import sys
        from fastnn import _kernels
        from fastnn.cli import main
        kernels = _kernels.kernels()
        kernels.warm_up = lambda dtype: None  # as where no file can be written
        sys.exit(main(["warmup"]) - 2)
    """
    result = run_python(code, FASTNN_CACHE_DIR=str(tmp_path / "file"), FASTNN_BACKEND="numba")
    assert "cannot be kept" in result.stderr


def test_warmup_without_compilation(capsys):
    assert main(["warmup", "--backend", "numpy"]) == 0
    assert capsys.readouterr().out == "the numpy backend compiles nothing: there is nothing to warm up\n"
