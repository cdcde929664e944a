"""fastnn beside other numerical packages in one process: no OpenMP runtime of its own, the same bits, no lost speed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import COMPILED, absence, need

OTHERS = [name for name in ("numba", "sklearn", "torch") if importlib.util.find_spec(name)]

# Trains on each backend, has the others use their threads, and trains again; the best of 12 short fits counts.
PROGRAM = """
import json, sys, time
import numpy as np
backends, others, others_first = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
X = rng.normal(size=(4000, 100)).astype("float32")
y = rng.integers(0, 10, 4000)

def use_numba():
    import numba
    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    @numba.njit(parallel=True)
    def total(x):
        s = 0.0
        for i in numba.prange(x.size):
            s += x[i]
        return s
    total(X.ravel())

def use_sklearn():
    from sklearn.cluster import KMeans
    from sklearn.ensemble import HistGradientBoostingClassifier
    KMeans(10, n_init=1, random_state=0).fit(X)
    HistGradientBoostingClassifier(max_iter=3).fit(X[:, :10], y)

def use_torch():
    import torch
    torch.set_num_threads(2)
    net = torch.nn.Sequential(torch.nn.Linear(100, 64), torch.nn.Tanh(), torch.nn.Linear(64, 10))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(torch.from_numpy(X)), torch.from_numpy(y)).backward()
        optimizer.step()

def use_others():
    for name in others:
        globals()["use_" + name]()

def fit(backend):
    import fastnn
    fastnn.set_backend(backend)
    fastnn.set_num_threads(2)
    net = fastnn.Network((100, 64, 10), "tanh", rng=0)
    start = time.perf_counter()
    net.fit(X, y, batch_size=100, epochs=2, learning_rate=0.1)
    return time.perf_counter() - start, np.float64(net.parameters.sum()).hex()

def measure():
    runs = {backend: [] for backend in backends}
    for _ in range(12):
        for backend in backends:
            runs[backend].append(fit(backend))
    return [[backend, min(fits)[0], sorted({bits for _, bits in fits})] for backend, fits in runs.items()]

if others_first:
    use_others()
first = measure()
use_others()
print(json.dumps([first, measure()]))
"""


def run_python(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    environment = os.environ | {"FASTNN_QUIET": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.skipif(not OTHERS, reason="none of the other packages is installed")
@pytest.mark.parametrize("others_first", [False, True])
def test_training_beside_other_packages(others_first):
    backends = [name for name in COMPILED if absence(name) is None]
    if not backends:
        pytest.skip("no compiled backend is installed")
    output = run_python(PROGRAM, json.dumps([backends, OTHERS, others_first]))
    before, after = json.loads(output.splitlines()[-1])
    for (backend, alone, bits), (_, beside, bits_beside) in zip(before, after, strict=True):
        assert bits == bits_beside
        assert len(bits) == 1
        assert beside <= 3 * alone + 0.005, f"{backend}: {alone:.4f} s alone, {beside:.4f} s beside {OTHERS}"


def test_the_extension_links_no_openmp():
    need("cython")
    from fastnn._kernels.cython import kernels

    assert re.findall(rb"(?:lib[gi]?omp|vcomp)[\w.@-]*", Path(kernels.__file__).read_bytes()) == []


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no list of what is loaded")
def test_training_on_cython_loads_no_openmp():
    """Nor does the Numba backend need one: where it is there, Numba's own threads take it."""
    need("cython")
    code = """
import numpy as np, fastnn
fastnn.set_backend("cython")
fastnn.set_num_threads(2)
X = np.random.default_rng(0).normal(size=(4000, 100))
fastnn.Network((100, 64, 10), rng=0).fit(X, np.arange(4000) % 10, batch_size=100, epochs=1)
print(open("/proc/self/maps").read())
"""
    assert re.findall(r"/lib[gi]?omp\S*|/libtbb\S*", run_python(code)) == []
