"""Data sets to train on: digits inside the package, and loaders of published sets.

`load_digits` needs nothing but the package. The others read the published files from a folder, and with
``download=True`` get them from the set's public home first. All return ``(X_train, y_train), (X_test, y_test)`` in the
form that `fastnn.Network` takes; `load_imdb`'s X is sparse.
"""

from __future__ import annotations

from fastnn.datasets.cifar10 import load_cifar10, read_cifar10_batch
from fastnn.datasets.digits import load_digits
from fastnn.datasets.emnist import load_emnist
from fastnn.datasets.idx import read_idx
from fastnn.datasets.imdb import load_imdb, read_imdb
from fastnn.datasets.mnist import load_fashion_mnist, load_mnist
from fastnn.datasets.qmnist import load_qmnist
from fastnn.datasets.svhn import load_svhn

__all__ = [
    "load_cifar10",
    "load_digits",
    "load_emnist",
    "load_fashion_mnist",
    "load_imdb",
    "load_mnist",
    "load_qmnist",
    "load_svhn",
    "read_cifar10_batch",
    "read_idx",
    "read_imdb",
]
