"""Every SIMD level that this CPU has, on both compiled backends: the parity tests once more, each level in a process.

The level in use is left to the other files, which run at it.

The level is chosen when a backend is loaded. Numba compiles for each anew, which takes nearly all of the time: so it
does for one type a level, of which no two have vectors of as many numbers.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import COMPILED, absence, need

import fastnn

TESTS = Path(__file__).parent
LEVELS = ("avx512", "avx2", "neon", "baseline")
NUMBA_COMPILES = {"avx512": "float32", "avx2": "float32", "neon": "float32", "baseline": "float64"}
# Forward, loss, gradient and an epoch of each mode, float32 and float64, on layers that do not fill vectors; layers
# that threads divide; blocks of per-sample descent; sparse samples; each equation.
PARITY = (
    "test_simd_levels.py::test_the_level_in_use",
    "test_backends.py::test_dense_forward",
    "test_backends.py::test_forward_loss_and_gradient",
    "test_backends.py::test_each_net_in_each_mode",
    "test_backends.py::test_layers_divided_by_their_units",
    "test_equations.py::test_numba",
    "test_equations.py::test_other_equations_in_numba",
    "test_exact_sgd.py::test_numbers_of_samples_around_whole_blocks",
    "test_exact_sgd.py::test_threads_change_no_bit",
    "test_sparse.py::test_threads_change_no_bit",
    "test_own_functions.py::test_values_of_every_size",
    "test_own_functions.py::test_each_net_in_each_mode",
)


def python(*arguments, level):
    """Run Python at a level."""
    path = os.pathsep.join(filter(None, [str(Path(fastnn.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"FASTNN_SIMD": level, "PYTHONPATH": path}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, cwd=TESTS, capture_output=True, text=True, timeout=300, check=False)


def levels(backend):
    """Return the names of the levels that the CPU has, as the backend finds them."""
    module = {"numba": "fastnn._kernels.numba.simd", "cython": "fastnn._kernels.cython.kernels"}[backend]
    return importlib.import_module(module).available_levels()


def other_levels(backend):
    """Return those at which the tests do not run anyway."""
    in_use = importlib.import_module(f"fastnn._kernels.{backend}").simd_level()
    return [level for level in levels(backend) if level != in_use]


def test_the_level_in_use(compiled):
    """The one that is asked for, or else the widest."""
    backend = compiled.__name__.rpartition(".")[2]
    assert compiled.simd_level() == (os.environ.get("FASTNN_SIMD") or levels(backend)[0])
    bytes_of_a_vector = {"avx512": 64, "avx2": 32}.get(compiled.simd_level(), 16)
    if compiled.simd_level() != "baseline":  # which has no vectors without the compiler's extensions
        lanes = compiled.compiled_kernels.lanes
        assert [lanes(size) for size in (4, 8)] == [bytes_of_a_vector // size for size in (4, 8)]


def test_both_backends_take_the_same_level():
    for backend in COMPILED:
        need(backend)
    if levels("cython") == ["baseline"]:
        pytest.skip("the compiler of the extension had no vectors")
    assert levels("numba")[0] == levels("cython")[0]


@pytest.fixture(scope="module")
def parity_of(request):
    """Return the result of the parity tests of a backend and a level: two at a time run, as most of it is compiling."""
    items = [item for item in request.session.items if getattr(item, "originalname", None) == "test_parity"]
    options = ("-q", "-x", "-p", "no:cacheprovider", "--rootdir", TESTS.parent)

    def run(backend, level):
        chosen = f"numba and ({NUMBA_COMPILES[level]} or level_in_use)" if backend == "numba" else backend
        return python("-m", "pytest", *options, "-k", chosen, *PARITY, level=level)

    with ThreadPoolExecutor(2) as pool:
        results = {
            (backend, level): pool.submit(run, backend, level)
            for backend, level in ((item.callspec.params["backend"], item.callspec.params["level"]) for item in items)
            if not absence(backend) and level in other_levels(backend)
        }
        yield lambda backend, level: results[backend, level].result()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("backend", COMPILED)
def test_parity(backend, level, parity_of):
    need(backend)
    if level not in other_levels(backend):
        pytest.skip(f"this CPU has no {level}, or it is in use here")
    result = parity_of(backend, level)
    assert result.returncode == 0, result.stdout + result.stderr
    summary = result.stdout.splitlines()[-1]
    assert "passed" in summary
    assert "skipped" not in summary


@pytest.mark.parametrize("backend", COMPILED)
def test_a_level_that_cannot_be_used_names_those_that_can(backend):
    need(backend)
    absent = next(level for level in LEVELS if level not in levels(backend))
    for level, problem in (("mmx", "is unknown"), (absent, "is not available on this CPU")):
        result = python("-c", f"import fastnn; fastnn.set_backend({backend!r})", level=level)
        assert result.returncode != 0
        expected = f"ValueError: FASTNN_SIMD={level} {problem}; choose from: {', '.join(levels(backend))}"
        assert result.stderr.splitlines()[-1] == expected
