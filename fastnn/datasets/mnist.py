"""MNIST, and the sets published in its format, from the official files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnn.datasets import homes
from fastnn.datasets.fetching import obtain
from fastnn.datasets.idx import read_idx
from fastnn.datasets.images import Split, as_inputs, input_dtype

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def load_mnist(
    data_dir: str | PathLike[str] | None = None, dtype: DTypeLike = "float32", *, download: bool = False
) -> tuple[Split, Split]:
    """Load MNIST, or a set in the same format such as Kuzushiji-MNIST, from its four files.

    Parameters
    ----------
    data_dir : path-like, optional
        Folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
        t10k-labels-idx1-ubyte, each as published (.gz) or unpacked; unpackers that write
        train-images.idx3-ubyte are understood. By default ``mnist`` in the folder that the variable
        FASTNN_DATA_DIR names, or else in the user's cache folder.
    dtype : {"float32", "float64", "uint8"}
        Type of the pixels; "uint8" gives the bytes as they are stored, 0 to 255.
    download : bool
        Whether files that are missing there are downloaded (11.6 MB), with pooch (the extra ``data``).

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        X: pixels from 0 (background) to 1 (ink), row by row; (60000, 784) and (10000, 784) for MNIST.
        y: the labels, int64. The same form as from `load_digits`.

    Raises
    ------
    FileNotFoundError
        A file is missing; the message lists the names that were looked for.
    ValueError
        A file is damaged, or the files do not belong together.
    ConnectionError
        The download failed.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition.
    Proceedings of the IEEE 86 (1998), http://yann.lecun.com/exdb/mnist/

    Examples
    --------
    >>> from fastnn.datasets import load_mnist
    >>> (X, y), (X_test, y_test) = load_mnist(dtype="uint8", download=True)  # doctest: +SKIP
    """
    dtype = input_dtype(dtype)
    return read_splits(obtain(homes.MNIST, data_dir, download, partial(find_files, names=FILES)), dtype)


def load_fashion_mnist(
    data_dir: str | PathLike[str] | None = None, dtype: DTypeLike = "float32", *, download: bool = False
) -> tuple[Split, Split]:
    """Load Fashion-MNIST: pictures of ten kinds of clothes, in MNIST's format and numbers.

    Parameters
    ----------
    data_dir : path-like, optional
        Folder with the four files, which have the names of MNIST's; by default as in `load_mnist`, ``fashion-mnist``.
    dtype : {"float32", "float64", "uint8"}
        As in `load_mnist`.
    download : bool
        As in `load_mnist` (31 MB).

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        X (60000, 784) and (10000, 784). y: 0 T-shirt, 1 trousers, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt,
        7 sneaker, 8 bag, 9 ankle boot.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms. arXiv:1708.07747 (2017), https://github.com/zalandoresearch/fashion-mnist

    Examples
    --------
    >>> from fastnn.datasets import load_fashion_mnist
    >>> (X, y), (X_test, y_test) = load_fashion_mnist(dtype="uint8", download=True)  # doctest: +SKIP
    """
    dtype = input_dtype(dtype)
    return read_splits(obtain(homes.FASHION_MNIST, data_dir, download, partial(find_files, names=FILES)), dtype)


def find_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the paths of IDX files, each packed or not, or raise a FileNotFoundError that lists those missing."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    found: list[Path] = []
    missing: list[str] = []
    for name in names:
        dotted = name.replace("-idx", ".idx")
        candidates = [name, name + ".gz", dotted, dotted + ".gz"]
        # Some unpackers make a folder of the same name, so only files count.
        present = [folder / candidate for candidate in candidates if (folder / candidate).is_file()]
        if present:
            found.append(present[0])
        else:
            missing.append(" or ".join(candidates))
    if missing:
        raise FileNotFoundError(f"{folder} lacks these files:\n  " + "\n  ".join(missing))
    return found


def read_splits(paths: Sequence[Path], dtype: np.dtype[Any], *, transposed: bool = False) -> tuple[Split, Split]:
    """Read the four files; images that are stored column by column are turned."""
    train_images, train_labels, test_images, test_labels = paths
    train = _read_split(train_images, train_labels, dtype, transposed)
    test = _read_split(test_images, test_labels, dtype, transposed)
    if train[0].shape[1] != test[0].shape[1]:
        raise ValueError(
            f"the images in {train_images} have {train[0].shape[1]} pixels, those in {test_images} {test[0].shape[1]}"
        )
    return train, test


def _read_split(images_path: Path, labels_path: Path, dtype: np.dtype[Any], transposed: bool) -> Split:
    images = _read(images_path, 3, "uint8", "images")
    # QMNIST's have a row of eight numbers each, of which the first is the digit.
    rows = labels_path.name.removesuffix(".gz").endswith("idx2-int")
    labels = _read(labels_path, 2, "int32", "labels")[:, 0] if rows else _read(labels_path, 1, "uint8", "labels")
    if len(images) != len(labels):
        raise ValueError(f"{images_path} holds {len(images)} images but {labels_path} {len(labels)} labels")
    return as_inputs(images.swapaxes(1, 2) if transposed else images, dtype), labels.astype(np.int64)


def _read(path: Path, dimensions: int, dtype: str, content: str) -> NDArray[Any]:
    values = read_idx(path)
    if values.dtype != dtype or values.ndim != dimensions:
        raise ValueError(
            f"{path} does not hold {content}: expected {dimensions}-dimensional {dtype}, "
            f"found {values.ndim}-dimensional {values.dtype}"
        )
    return values
