"""What a new process waits for: the import, and the first fit with kernels that are built or cached."""

import subprocess
import sys

FIRST_FIT = """
import numpy as np, fastnn
fastnn.set_backend({backend!r})
X = np.random.default_rng(1).standard_normal((1000, 20), dtype=np.float32)
net = fastnn.Network((20, 16, 1), loss="sigmoid_cross_entropy", rng=1)
history = net.fit(X, X[:, 0] > 0, optimizer="sgd", learning_rate=0.1, batch_size=10, epochs=5, verbose=False)
assert history.loss[-1] < history.loss[0], history.loss
"""


def run(code):
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_numpy(benchmark):
    benchmark.group = "start-up"
    benchmark.pedantic(run, args=("import numpy",), rounds=5, warmup_rounds=1)


def test_import_fastnn(benchmark):
    benchmark.group = "start-up"
    code = "import fastnn, sys; assert 'numba' not in sys.modules"
    benchmark.pedantic(run, args=(code,), rounds=5, warmup_rounds=1)


def test_first_fit(benchmark, backend):
    benchmark.group = "start-up"
    benchmark.pedantic(run, args=(FIRST_FIT.format(backend=backend),), rounds=3, warmup_rounds=1)
