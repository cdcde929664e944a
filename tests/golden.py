"""Hashes of what trainings leave behind, to tell whether a change of the inside changed a bit.

    python tests/golden.py write      # add this machine's hashes to golden.json: every SIMD level, both backends
    python tests/golden.py check      # compare with them

Bits depend on the SIMD level and on the compilers, and in AVX-512 on the CPU (the first bits of its reciprocals), so
the hashes are kept by all of these; where there are none, nothing can be compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np

import fastnn

FILE = Path(__file__).with_name("golden.json")
# Sizes, hidden activations, loss, samples, batch sizes. Together they reach narrow and wide descent by samples,
# deferred, turned and divided layers, shared tiles, chunks alone and in pairs, flipped gradients and single outputs.
NETS = {
    "narrow": ((20, 16, 1), "sigmoid", "sigmoid_cross_entropy", 2100, (1, 100, None)),
    "narrow-squared": ((9, 12, 1), "tanh", "squared_error", 700, (1, 64, None)),
    "one-layer": ((30, 4), (), "softmax_cross_entropy", 500, (1, 50, None)),
    "wide-output": ((12, 10, 40), "relu", "sigmoid_cross_entropy", 600, (1, 100, None)),
    "deferred": ((784, 128, 10), "sigmoid", "softmax_cross_entropy", 400, (1, 100, None)),
    "turned": ((100, 260, 270, 10), ("tanh", "leaky_relu"), "softmax_cross_entropy", 200, (1, 100, None)),
    "deep": ((20, 30, 280, 300, 260, 3), "tanh", "squared_error", 130, (1, 60)),
    "small-classes": ((54, 100, 100, 7), "relu", "softmax_cross_entropy", 1500, (256, None)),
    "regression": ((4, 32, 16, 4), "tanh", "squared_error", 3000, (1, 100, None)),
}
OPTIMIZERS = {
    "sgd": fastnn.SGD(),
    "momentum": fastnn.SGD(momentum=0.9),
    "nesterov": fastnn.SGD(momentum=0.9, nesterov=True),
    "rmsprop": fastnn.RMSprop(),
    "adam": fastnn.Adam(),
    "adamw": fastnn.AdamW(weight_decay=0.05),
}
OTHERS = {"narrow": (1, 100), "small-classes": (256,), "deferred": (100,)}  # where optimizers but SGD are tried


def cases():
    """Yield (name, net, batch size, optimizer) of each training."""
    for net, (*_, batch_sizes) in NETS.items():
        for batch_size in batch_sizes:
            for optimizer in OPTIMIZERS if batch_size in OTHERS.get(net, ()) else ("sgd",):
                yield f"{net} {batch_size or 'full'} {optimizer}", net, batch_size, optimizer


def data(net):
    sizes, _, loss, m, _ = NETS[net]
    rng = np.random.default_rng(5)
    X = rng.standard_normal((m, sizes[0]))
    if loss == "softmax_cross_entropy":
        return X, rng.integers(0, sizes[-1], m)
    if loss == "sigmoid_cross_entropy":
        return X, rng.integers(0, 2, (m, sizes[-1]))
    return X, rng.standard_normal((m, sizes[-1]))


def digest(net, batch_size, optimizer, dtype):
    """Return the hash of parameters, state, losses, outputs and gradient after a few epochs with a penalty."""
    sizes, activation, loss, *_ = NETS[net]
    X, y = data(net)
    y = y.astype(dtype) if y.dtype.kind == "f" else y  # the loss is that of the targets as they are given
    network = fastnn.Network(sizes, activation=activation, loss=loss, dtype=dtype, rng=1)
    training = {"optimizer": OPTIMIZERS[optimizer], "learning_rate": 0.02 / sizes[0], "batch_size": batch_size}
    history = network.fit(X, y, **training, epochs=2, l2=0.1, progress=False)
    network.fit(X, y, **training, epochs=2, progress=False)
    J, gradient = network.loss_and_gradient(X, y, l2=0.1)
    numbers = (network.parameters, history.loss, network.forward(X), gradient, network.loss(X, y), J)
    digest = hashlib.sha256()
    for array in numbers:
        digest.update(np.asarray(array).tobytes())
    return digest.hexdigest()[:12]


def key(backend):
    """Return what the bits of a backend depend on."""
    if backend == "numba":
        from llvmlite import __version__, binding

        tools = f"llvmlite {__version__}, {binding.get_host_cpu_name()}"
    else:
        cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
        compiler = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=False).stdout
        tools = f"gcc {compiler.strip()}, {cpu.partition(': ')[2]}"
    fastnn.set_backend(backend)
    return f"{backend}, {fastnn._kernels.kernels().simd_level()}, {platform.machine()}, {tools}"


def hashes(backend, dtypes=("float32", "float64"), threads=(1, 2)):
    """Return the hash of every case, which must be the same for each number of threads."""
    fastnn.set_backend(backend)
    found = {}
    for dtype, (name, *case) in product(dtypes, cases()):
        by_threads = set()
        for n in threads:
            fastnn.set_num_threads(n)
            by_threads.add(digest(*case, dtype))
        assert len(by_threads) == 1, f"{name} {dtype} on {backend} depends on the number of threads"
        found[f"{name} {dtype}"] = by_threads.pop()
    return found


def main(mode):
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    if "FASTNN_SIMD" not in os.environ:
        from fastnn._kernels.numba.simd import available_levels

        for level in available_levels():
            subprocess.run([sys.executable, __file__, mode], env={**os.environ, "FASTNN_SIMD": level}, check=True)
        return
    for backend in ("numba", "cython"):
        found, where = hashes(backend), key(backend)
        if mode == "write":
            known[where] = found
            FILE.write_text(json.dumps(known, indent=1) + "\n")
        changed = [name for name, value in found.items() if known.get(where, {}).get(name) != value]
        print(f"{where}: {len(found)} cases, {len(changed)} changed", *changed, sep="\n  ")


if __name__ == "__main__":
    main(sys.argv[1])
