"""What a new process waits for: the import, compilation said aloud and done once, and the loading of what it left.

One test compiles into an empty cache, which takes a while; the others use that of the suite.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

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


# Notes what is compiled in this process, and that a second one was started.
NOTE_COMPILATION = """
    from fastnn._kernels.numba import functions
    compile, second_process = functions._Function._compile_uncached, functions.second_process
    functions._Function._compile_uncached = lambda self: compiled.append(self.__name__) or compile(self)
    functions.second_process = lambda code: compiled.append("second_process") or second_process(code)
    compiled = []
"""


@needs_numba
def test_the_first_fit_compiles_in_two_processes_and_says_so_and_the_next_loads(tmp_path):
    code = NOTE_COMPILATION + FIT + "    print(*compiled)"

    def run():
        result = run_python(code, "float32", FASTNN_CACHE_DIR=str(tmp_path), FASTNN_NUM_THREADS="2")
        numbers, compiled = result.stdout.splitlines()
        seconds, bits = numbers.split()
        return float(seconds), bits, result.stderr, set(compiled.split())

    cold, expected, said, compiled = run()
    assert said.startswith("fastnn: compiling kernels for this CPU (float32)")
    assert str(tmp_path) in said
    assert said.count("\n") == 1
    assert {"second_process", "multiply", "work_at", "lead_batch_job"} <= compiled
    assert "run_batch_task" not in compiled  # the largest, which the second process has compiled meanwhile
    assert cold <= 60  # about 6 on a desktop
    warm, bits, said, compiled = run()
    assert (bits, said, compiled) == (expected, "", set())
    assert warm <= 2  # about 0.3
    assert warm < cold / 3


@needs_numba
def test_kernels_are_compiled_without_a_cache(tmp_path):
    """Nor is a second process started, which could not hand over what it compiles."""
    code = """
    import numpy as np
    float32 = functions.from_dtype(np.dtype("float32"))
    with functions._compiling_largest(np.dtype("float32"), False):
        address = functions.address_of(*functions._primitives(float32)["transpose"])
    print(address > 0, *compiled)
    """
    (tmp_path / "file").write_text("not a folder")
    environment = {"FASTNN_CACHE_DIR": str(tmp_path / "file"), "FASTNN_QUIET": "1", "FASTNN_NUM_THREADS": "2"}
    result = run_python(NOTE_COMPILATION + code, **environment)
    assert (result.stdout.split(), result.stderr) == (["True", "transpose"], "")


@needs_numba
def test_loading_a_kernel_imports_nothing_that_only_compilation_needs():
    code = FIT + "    print(*[name for name in ('scipy.linalg', 'numba.np.arraymath') if name in sys.modules])"
    for _ in range(2):  # the first may have to compile
        result = run_python(code, "float32", FASTNN_QUIET="1")
    assert result.stdout.splitlines()[1] == ""


# Prints the files that kernels are looked for in.
NOTE_LOADING = """
    from fastnn._kernels.numba.cache import _KernelFiles
    path = _KernelFiles._path
    _KernelFiles._path = lambda self, key: used.add(path(self, key)) or path(self, key)
    used = set()
"""


@needs_numba
def test_warmup_fills_the_cache():
    """With all that fits of both modes and on several threads need."""
    warmup = """
    import sys
    from fastnn.cli import main
    assert main(sys.argv[1:]) == 0
    """
    environment = {"FASTNN_QUIET": "1", "FASTNN_NUM_THREADS": "2"}
    options = ("warmup", "--backend", "numba", "--dtype", "float64")
    result = run_python(NOTE_LOADING + warmup + "print(*used, sep='\\n')", *options, **environment)
    seconds, where, *filled = result.stdout.splitlines()
    assert seconds.startswith("float64: ")
    assert where.startswith("kernels: ")
    assert {str(Path(path).parent) for path in filled} == {where.removeprefix("kernels: ")}
    assert all(Path(path).exists() for path in filled)
    fits = """
    from dataclasses import replace
    import numpy as np, fastnn
    from fastnn import shuffling
    from fastnn._kernels import division
    division.COSTS = replace(division.COSTS, operations_per_step=1.0, operations_per_call=1.0)
    shuffling.GRID_SAMPLES = 0
    fastnn.set_backend("numba")
    for batch_size in (1, 100):
        net = fastnn.Network((6, 50, 2), "relu", dtype="float64", rng=1)
        net.fit(np.ones((500, 6)), np.arange(500) % 2, batch_size=batch_size, epochs=1, optimizer="sgd")
        net.score(np.ones((500, 6)), np.arange(500) % 2)
    print(*used, sep="\\n")
    """
    used = set(run_python(NOTE_LOADING + fits, **environment).stdout.splitlines())
    names = {Path(path).name.split(".")[1].partition("-")[0] for path in used}
    assert {"run", "shuffle_grid", "multiply", "lead_batch_job", "lead_sample_job"} <= names
    assert used - set(filled) == set()


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
