"""Training on a file that is larger than memory: peak memory, and speed beside memory, the disk and PyTorch.

    python bench/streams.py FOLDER [--gigabytes 8] [--torch PYTHON] [--batch-sizes 100 256] [--parts memmap hdf5 ...]

Makes FOLDER/X.npy, 784 columns of uint8, and FOLDER/X.h5 where h5py is installed, trains 784-128-10 for one epoch in a
process each, and deletes the files. Before each run the system is asked to forget the file, so that it comes from the
disk; "memory" is an epoch on as much of it as fits in 1 GB, read before. PyTorch, whose interpreter is given by
``--torch``, takes a part of the file: a memmap Dataset by random access, and an IterableDataset of whole batches from
shuffled blocks, both with a DataLoader of two workers, on one thread and on all: the faster one counts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

COLUMNS, CLASSES, HIDDEN, RATE = 784, 10, 128, 0.01
BLOCK = 2 << 20  # bytes, as fastnn reads
PARTS = ("disk", "memory", "memmap", "hdf5", "torch-rows", "torch-blocks")
TORCH_SAMPLES = {"torch-rows": 50_000, "torch-blocks": 400_000}


def make(folder, gigabytes):
    """Write the files; return what was written."""
    rows = int(gigabytes * 1e9) // COLUMNS
    rng, window = np.random.default_rng(0), BLOCK // COLUMNS * 32
    y = rng.integers(0, CLASSES, rows)
    np.save(folder / "y.npy", y)
    mapped = np.lib.format.open_memmap(folder / "X.npy", "w+", np.uint8, (rows, COLUMNS))
    del mapped  # the header alone: pages of a map would count as memory
    h5 = hdf5(folder / "X.h5", "w")
    if h5:
        h5.create_dataset("X", (rows, COLUMNS), np.uint8, chunks=(BLOCK // COLUMNS, COLUMNS))
    with (folder / "X.npy").open("r+b") as file:
        file.seek(-rows * COLUMNS, os.SEEK_END)
        for first in range(0, rows, window):
            part = rng.integers(0, 256, (min(window, rows - first), COLUMNS), dtype=np.uint8)
            part[:, :CLASSES] |= (np.arange(CLASSES) == y[first : first + len(part), None]).astype(np.uint8) << 7
            file.write(part.data)
            if h5:
                h5["X"][first : first + len(part)] = part
    if h5:
        h5.close()
    for path in folder.glob("X.*"):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def hdf5(path, mode):
    """Return an HDF5 file; None where h5py is not installed."""
    try:
        import h5py
    except ModuleNotFoundError:
        return None
    return h5py.File(path, mode)


def forget(path):
    """Have the system forget what it keeps of a file."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_disk(folder, batch_size):
    """Return the samples of up to 4 GB and the seconds it takes to read them one after the other."""
    path, buffer, read = folder / "X.npy", bytearray(BLOCK), 0
    forget(path)
    began = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while read < 4e9 and (count := file.readinto(buffer)):
            read += count
    return read // COLUMNS, time.perf_counter() - began


def train(folder, batch_size, part):
    """Return the samples and the seconds of an epoch with fastnn."""
    import fastnn

    net = fastnn.Network((COLUMNS, HIDDEN, CLASSES), rng=0)
    options = {"optimizer": "sgd", "learning_rate": RATE, "batch_size": batch_size, "epochs": 1, "progress": False}
    scale = fastnn.data.Scaler(127.5, 73.9)
    rng = np.random.default_rng(1)  # compiles
    few = rng.integers(0, 256, (5 * batch_size, COLUMNS), dtype=np.uint8)
    net.fit(few, np.arange(len(few)) % CLASSES, scale=scale, **options)
    y = np.load(folder / "y.npy")
    path = folder / ("X.h5" if part == "hdf5" else "X.npy")
    X = hdf5(path, "r")["X"] if part == "hdf5" else np.load(path, mmap_mode="r")
    if part == "memory":
        rows = min(len(X), int(1e9) // COLUMNS)
        X, y = np.array(X[:rows]), y[:rows]
    forget(path)
    history = net.fit(X, y, scale=scale, reset=True, **options)
    return len(y), history.seconds[0]


def train_torch(folder, batch_size, part):
    """Return the samples and the seconds of an epoch with PyTorch."""
    import torch
    from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

    path, y = folder / "X.npy", np.load(folder / "y.npy")
    rows = min(len(y), TORCH_SAMPLES[part])

    class Rows(Dataset):
        def __init__(self):
            self.X = np.load(path, mmap_mode="r")

        def __len__(self):
            return rows

        def __getitem__(self, i):
            return torch.from_numpy(np.array(self.X[i])), y[i]

    class Batches(IterableDataset):
        def __iter__(self):
            worker, X, length = get_worker_info(), np.load(path, mmap_mode="r"), BLOCK // COLUMNS
            starts = np.random.default_rng(0).permutation(np.arange(0, rows, length))[worker.id :: worker.num_workers]
            for window in np.array_split(starts, max(1, len(starts) // 16)):
                places = [slice(first, min(first + length, rows)) for first in window]
                found, labels = (np.concatenate([each[place] for place in places]) for each in (X, y))
                order = np.random.default_rng(window[0]).permutation(len(found))
                for first in range(0, len(order), batch_size):
                    chosen = order[first : first + batch_size]
                    yield torch.from_numpy(found[chosen]), torch.from_numpy(labels[chosen])

    layers = torch.nn.Linear(COLUMNS, HIDDEN), torch.nn.Sigmoid(), torch.nn.Linear(HIDDEN, CLASSES)
    model, loss = torch.nn.Sequential(*layers), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, fused=True)
    data = Rows() if part == "torch-rows" else Batches()
    how = {"batch_size": batch_size, "shuffle": True} if part == "torch-rows" else {"batch_size": None}
    forget(path)
    began = time.perf_counter()
    for X, labels in DataLoader(data, num_workers=2, **how):
        optimizer.zero_grad(set_to_none=True)
        loss(model((X.float() - 127.5) / 73.9), labels).backward()
        optimizer.step()
    return rows, time.perf_counter() - began


def run(part, folder, batch_size):
    """Do one part in this process, and print what it took."""
    do = {"disk": read_disk, "torch-rows": train_torch, "torch-blocks": train_torch}.get(part, train)
    samples, seconds = do(folder, batch_size) if part == "disk" else do(folder, batch_size, part)
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({"samples": samples, "seconds": seconds, "peak": peaks[0] / 1e3, "workers": peaks[1] / 1e3}))


def main():
    """Make the files, run each part in a process of its own, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=8.0)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[100, 256])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--keep", action="store_true", help="leave the files, and take those that are there")
    parser.add_argument("--run", choices=PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        run(given.run, given.folder, given.batch_sizes[0])
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    if not (given.keep and (given.folder / "X.npy").exists()):
        make(given.folder, given.gigabytes)
    for part in given.parts:
        if part == "hdf5" and not (given.folder / "X.h5").exists():
            continue
        for batch_size in given.batch_sizes[: 1 if part == "disk" else None]:
            interpreter = given.torch if part.startswith("torch") else sys.executable
            arguments = [__file__, str(given.folder), "--run", part, "--batch-sizes", str(batch_size)]
            # PyTorch on one thread and on all: the faster one counts.
            tried = [{"OMP_NUM_THREADS": "1"}, {}] if part.startswith("torch") else [{}]
            runs = [
                subprocess.run(
                    [interpreter, *arguments], env=os.environ | extra, capture_output=True, text=True, check=False
                )
                for extra in tried
            ]
            if runs[-1].returncode:
                print(f"{part:13} {runs[-1].stderr.strip().splitlines()[-1]}", flush=True)
                continue
            found = min((json.loads(each.stdout) for each in runs), key=lambda each: each["seconds"])
            speed = found["samples"] / found["seconds"]
            what = f"{found['samples']:9} samples  {speed:9.0f} a second  {speed * COLUMNS / 1e6:6.0f} MB/s"
            peak = f"peak {found['peak']:5.0f} MB" + f", a worker {found['workers']:5.0f} MB" * (found["workers"] > 0)
            print(f"{part:13} batch {batch_size:4}  {what}  {peak}", flush=True)
    if not given.keep:
        for name in ("X.npy", "X.h5", "y.npy"):
            (given.folder / name).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
