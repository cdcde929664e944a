"""The speed of sparse samples, beside scikit-learn's MLP and PyTorch: bags of words, in interleaved rounds.

    python bench/sparse.py [ARCHIVE] [--torch PYTHON] [--backend cython] [--rounds 5]

ARCHIVE is IMDB's (aclImdb_v1.tar.gz), of which the 30,000 most frequent words are taken; without it there are 25,000
made rows of about 120 stored numbers, of 30,000 columns with Zipf's frequencies. PYTHON is an interpreter that has
PyTorch; without it this one is asked. Each round takes an epoch with fastnn, and some steps with each other library, on
as many threads, of batches of 100 and without a penalty; a number is the median over the rounds of a library's time a
step divided by fastnn's in the same round. The line of a cell also has the bytes that a step must move, how many fastnn
moves a second by that count, and a copy in memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import fastnn

BATCH, CLASSES, COLUMNS = 100, 2, 30_000
SIZES, RULES = (64, 256), ("sgd", "adam")
WAYS = ("mm", "bag")  # of PyTorch: torch.sparse.mm, and nn.EmbeddingBag with sparse gradients


def made(rows=25_000, columns=COLUMNS, seed=0):
    """Return made rows: columns by Zipf's law, as words have it."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, columns + 1)
    drawn = rng.choice(columns, rows * 160, p=share / share.sum())
    X = sp.csr_matrix((np.ones(len(drawn), np.float32), drawn, np.arange(0, len(drawn) + 1, 160)), (rows, columns))
    X.sum_duplicates()
    return X, np.arange(rows) % CLASSES


class OwnTrainer:
    """fastnn."""

    def __init__(self, X, y, hidden, rule):
        self.net = fastnn.Network((X.shape[1], hidden, CLASSES), "relu", rng=0)
        self.X, self.y, self.rule = X, y, rule

    def seconds(self, rows):
        """Return how long a step takes, of an epoch of all rows."""
        options = {"optimizer": self.rule, "learning_rate": 1e-3, "batch_size": BATCH}
        history = self.net.fit(self.X, self.y, **options, epochs=1, progress=False)
        return history.seconds[-1] / -(-len(self.y) // BATCH)


class ScikitTrainer:
    """scikit-learn's MLP, of which an epoch is a call of partial_fit."""

    def __init__(self, X, y, hidden, rule):
        from sklearn.neural_network import MLPClassifier

        options = {"batch_size": BATCH, "alpha": 0.0, "learning_rate_init": 1e-3, "momentum": 0.0}
        self.net = MLPClassifier((hidden,), solver=rule, nesterovs_momentum=False, random_state=0, **options)
        self.X, self.y = X, y

    def seconds(self, rows):
        """Return how long a step takes, of those of so many rows."""
        began = time.perf_counter()
        with warnings.catch_warnings(action="ignore"):
            self.net.partial_fit(self.X[:rows], self.y[:rows], classes=np.arange(CLASSES))
        return (time.perf_counter() - began) / (rows // BATCH)


WORKER = """
import sys, time
import numpy as np, torch
folder, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
data, indices, indptr, y = (np.load(f"{folder}/{name}.npy") for name in ("data", "indices", "indptr", "y"))
columns = int(sys.argv[3])
data, indices, y = torch.from_numpy(data), torch.from_numpy(indices.astype(np.int64)), torch.from_numpy(y)
indptr, nets = torch.from_numpy(indptr.astype(np.int64)), {}

class Net(torch.nn.Module):
    def __init__(self, hidden, way):
        super().__init__()
        self.way = way
        self.bag = torch.nn.EmbeddingBag(columns, hidden, mode="sum", sparse=way == "bag")
        torch.nn.init.uniform_(self.bag.weight, -0.01, 0.01)
        self.bias, self.out = torch.nn.Parameter(torch.zeros(hidden)), torch.nn.Linear(hidden, 2)
    def forward(self, starts, columns_, values):
        if self.way == "bag":
            z = self.bag(columns_, starts[:-1], per_sample_weights=values)
        else:
            X = torch.sparse_csr_tensor(starts, columns_, values, (len(starts) - 1, columns))
            z = torch.sparse.mm(X, self.bag.weight)
        return self.out(torch.relu(z + self.bias))

def build(hidden, way, rule):
    net = Net(hidden, way)
    rest = [net.bias, *net.out.parameters()]
    if rule == "sgd":
        return net, [torch.optim.SGD(net.parameters(), 1e-3)]
    if way == "bag":
        return net, [torch.optim.SparseAdam([net.bag.weight], 1e-3), torch.optim.Adam(rest, 1e-3)]
    return net, [torch.optim.Adam(net.parameters(), 1e-3)]

for line in sys.stdin:
    hidden, way, rule, rows = line.split()
    key = int(hidden), way, rule
    if key not in nets:
        nets[key] = build(*key)
    net, optimizers = nets[key]
    began = time.perf_counter()
    for first in range(0, int(rows), 100):
        last = min(first + 100, int(rows))
        part = slice(int(indptr[first]), int(indptr[last]))
        z = net(indptr[first:last + 1] - indptr[first], indices[part], data[part])
        loss = torch.nn.functional.cross_entropy(z, y[first:last])
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    print(time.perf_counter() - began, flush=True)
"""


class Torch:
    """A process that has PyTorch, and the data."""

    def __init__(self, python, X, y, threads, folder):
        for name, array in (("data", X.data), ("indices", X.indices), ("indptr", X.indptr), ("y", y)):
            np.save(Path(folder) / f"{name}.npy", array)
        command = [python, "-W", "ignore", "-c", WORKER, folder, str(threads), str(X.shape[1])]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, hidden, way, rule, rows):
        """Return how long a step takes, of those of so many rows."""
        self.process.stdin.write(f"{hidden} {way} {rule} {rows}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline()) / (rows // BATCH)

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def bandwidth(threads):
    """Return the bytes a second that a copy of 256 MB reads and writes, the best of some."""
    from concurrent.futures import ThreadPoolExecutor

    source = np.ones(1 << 25)
    target, size, found = np.empty_like(source), len(source) // threads, []
    parts = [slice(i * size, (i + 1) * size) for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            began = time.perf_counter()
            list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))
            found.append(2 * source.nbytes / (time.perf_counter() - began))
    return max(found)


def bytes_of_step(X, hidden, rule, rows):
    """Return the bytes that a step must move: X once, and the rows of weights and moments that it has numbers for.

    These are read forward, then read and written by the update; what the caches hold in between does not count.
    """
    starts = range(0, rows, BATCH)
    touched = np.mean([len(np.unique(X[start : start + BATCH].indices)) for start in starts])
    arrays = 1 if rule == "sgd" else 3
    stored = X[:rows].nnz / len(starts) * (X.data.itemsize + X.indices.itemsize)
    return stored + touched * hidden * 4 * 2 * arrays


def measure(X, y, hidden, rule, torch, rounds, rows):
    """Return each library's times, a round each; the first round is left out."""
    trainers = {"fastnn": OwnTrainer(X, y, hidden, rule), "scikit-learn": ScikitTrainer(X, y, hidden, rule)}
    ways = {name: trainer.seconds for name, trainer in trainers.items()}
    if torch is not None:
        for way in WAYS:
            ways[f"torch {way}"] = lambda rows, way=way: torch.seconds(hidden, way, rule, rows)
    times = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, seconds in ways.items():
            times[name].append(seconds(rows))
    return {name: np.array(found[1:]) for name, found in times.items()}


def main():
    """Print a line for each number of threads, width and rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, nargs="?")
    parser.add_argument("--torch", default=sys.executable)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2500)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    given = parser.parse_args()
    fastnn.set_backend(given.backend)
    X, y = made() if given.archive is None else fastnn.datasets.load_imdb(given.archive, max_features=COLUMNS)[0]
    X.sum_duplicates()
    print(f"{X.shape[0]} x {X.shape[1]}, {X.nnz / X.shape[0]:.0f} a row, {fastnn.get_backend()}", flush=True)
    has_torch = subprocess.run([given.torch, "-c", "import torch"], capture_output=True).returncode == 0
    for threads in given.threads:
        fastnn.set_num_threads(threads)
        copied = bandwidth(threads)
        with tempfile.TemporaryDirectory() as folder:
            torch = Torch(given.torch, X, y, threads, folder) if has_torch else None
            for hidden in SIZES:
                for rule in RULES:
                    times = measure(X, y, hidden, rule, torch, given.rounds, given.rows)
                    own = times["fastnn"]
                    ratios = "  ".join(f"{n} {np.median(t / own):.1f}" for n, t in times.items() if n != "fastnn")
                    moved = bytes_of_step(X, hidden, rule, given.rows)
                    what = f"{threads} threads  {X.shape[1]}-{hidden}-{CLASSES}  {rule}"
                    speed = f"{moved / np.median(own) / 1e9:.1f} of {copied / 1e9:.1f} GB/s"
                    print(f"{what}: {1e3 * np.median(own):.2f} ms a step  {ratios}  {moved / 1e6:.1f} MB, {speed}")
                    sys.stdout.flush()
            if torch is not None:
                torch.close()


if __name__ == "__main__":
    main()
