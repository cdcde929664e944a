"""The speed of X as it is stored, beside float32: MNIST in several formats, in interleaved rounds.

    python bench/formats.py FOLDER [--backend cython] [--rounds 9]

FOLDER holds train-images-idx3-ubyte.gz. Each round trains an epoch, and computes outputs, in every format; a number is
the median over the rounds of a format's time divided by that of float32 in the same round.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import fastnn
from fastnn.datasets import read_idx

FORMATS = ("float32", "uint8", "float16", "int32", "float64")
WAYS = [((784, 128, 10), 100), ((784, 128, 10), None), ((784, 128, 10), 1), ((784, 512, 512, 10), 100)]
SAMPLES = {1: 20_000}  # by batch size; all otherwise


def seconds(work):
    """Return how long a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(forms, sizes, batch_size, rounds):
    """Return the times of training and of outputs, by format, a round each; the first round is left out."""
    m = SAMPLES.get(batch_size, len(forms["float32"]))
    y, nets = np.arange(m) % 10, {}
    for name in forms:
        nets[name] = fastnn.Network(sizes, activation="relu", rng=1)
        nets[name].weights[0][:] /= 255
    training, outputs = {name: [] for name in forms}, {name: [] for name in forms}
    options = {"optimizer": "sgd", "learning_rate": 1e-6, "batch_size": batch_size, "check_finite": False}
    for _ in range(rounds + 1):
        for name, X in forms.items():
            training[name].append(nets[name].fit(X[:m], y, **options, epochs=1, progress=False).seconds[-1])
        for name, X in forms.items():
            outputs[name].append(seconds(lambda net=nets[name], X=X: net.forward(X[:m])))
    same = all(np.array_equal(net.parameters, nets["float32"].parameters) for net in nets.values())
    return training, outputs, same


def ratios(times):
    """Return the median ratios to float32, and its own time."""
    own = np.array(times["float32"][1:])
    found = "  ".join(f"{name} {np.median(np.array(each[1:]) / own):.2f}" for name, each in times.items())
    return f"{1000 * np.median(own):7.1f} ms  {found}"


def main():
    """Print a line for each network, mode and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    fastnn.set_backend(given.backend)
    images = np.asarray(read_idx(given.folder / "train-images-idx3-ubyte.gz"))
    images = images.reshape(len(images), -1)
    forms = {name: images.astype(name) for name in FORMATS}
    print({name: f"{X.nbytes / 1e6:.0f} MB" for name, X in forms.items()}, fastnn.get_backend())
    for threads in (1, 2):
        fastnn.set_num_threads(threads)
        for sizes, batch_size in WAYS:
            training, outputs, same = measure(forms, sizes, batch_size, given.rounds)
            what = f"{threads} threads  {'-'.join(map(str, sizes))}  batch {batch_size or 'full'}"
            print(
                f"{what}: same bits {same}\n    training {ratios(training)}\n    outputs  {ratios(outputs)}", flush=True
            )


if __name__ == "__main__":
    main()
