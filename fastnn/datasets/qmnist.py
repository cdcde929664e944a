"""QMNIST: MNIST's training set made again, with a test set of 60,000."""

from __future__ import annotations

from functools import partial
from os import PathLike

from numpy.typing import DTypeLike

from fastnn.datasets import homes
from fastnn.datasets.fetching import obtain
from fastnn.datasets.images import Split, input_dtype
from fastnn.datasets.mnist import find_files, read_splits

FILES = (
    "qmnist-train-images-idx3-ubyte",
    "qmnist-train-labels-idx2-int",
    "qmnist-test-images-idx3-ubyte",
    "qmnist-test-labels-idx2-int",
)


def load_qmnist(
    data_dir: str | PathLike[str] | None = None, dtype: DTypeLike = "float32", *, download: bool = False
) -> tuple[Split, Split]:
    """Load QMNIST: MNIST with all 60,000 test images, of which the first 10,000 are MNIST's.

    Parameters
    ----------
    data_dir : path-like, optional
        Folder with qmnist-train-images-idx3-ubyte, qmnist-train-labels-idx2-int, qmnist-test-images-idx3-ubyte and
        qmnist-test-labels-idx2-int, packed or not; by default as in `load_mnist`, ``qmnist``.
    dtype : {"float32", "float64", "uint8"}
        As in `load_mnist`.
    download : bool
        As in `load_mnist`.

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        X (60000, 784), twice; y: the digits. Of the labels' eight columns (the digit, the writer and others) only the
        first is returned; `read_idx` reads all.

    References
    ----------
    C. Yadav, L. Bottou: Cold case: the lost MNIST digits. NeurIPS 2019,
    https://github.com/facebookresearch/qmnist

    Examples
    --------
    >>> from fastnn.datasets import load_qmnist
    >>> (X, y), (X_test, y_test) = load_qmnist(dtype="uint8", download=True)  # doctest: +SKIP
    """
    dtype = input_dtype(dtype)
    return read_splits(obtain(homes.QMNIST, data_dir, download, partial(find_files, names=FILES)), dtype)
