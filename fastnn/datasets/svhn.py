"""SVHN, house numbers from Street View, cropped to single digits."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn.datasets import homes
from fastnn.datasets.fetching import obtain
from fastnn.datasets.images import Split, as_inputs, input_dtype
from fastnn.datasets.matlab import read_matlab

FILES = ("train_32x32.mat", "test_32x32.mat")
SIDE, COLOURS = 32, 3
MAX_ARRAY = 1 << 30  # bytes; the training part's pixels have 225 MB
ZERO = 10  # MATLAB counts from 1: the digit 0 has the last label


def load_svhn(
    data_dir: str | PathLike[str] | None = None, dtype: DTypeLike = "float32", *, download: bool = False
) -> tuple[Split, Split]:
    """Load SVHN's cropped digits: colour pictures of house numbers, 32x32 pixels.

    Parameters
    ----------
    data_dir : path-like, optional
        Folder with train_32x32.mat and test_32x32.mat; by default as in `load_mnist`, ``svhn``.
    dtype : {"float32", "float64", "uint8"}
        Type of the pixels; "uint8" gives the bytes as they are stored, 0 to 255.
    download : bool
        Whether files that are missing there are downloaded (246 MB), with pooch (the extra ``data``).

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        X (73257, 3072) and (26032, 3072): the red, then the green, then the blue pixels, row by row
        (``X.reshape(-1, 3, 32, 32)``), as from `load_cifar10`. y: the digits 0 to 9, int64; the files have 10 for 0.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        A file is damaged or holds something else.
    ConnectionError
        The download failed.

    References
    ----------
    Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Y. Ng: Reading digits in natural images with unsupervised
    feature learning. NIPS workshop (2011), http://ufldl.stanford.edu/housenumbers/

    Examples
    --------
    >>> from fastnn.datasets import load_svhn
    >>> (X, y), (X_test, y_test) = load_svhn(dtype="uint8", download=True)  # doctest: +SKIP
    """
    dtype = input_dtype(dtype)
    train, test = (_read(path, dtype) for path in obtain(homes.SVHN, data_dir, download, _find))
    return train, test


def _find(folder: Path) -> list[Path]:
    paths = [folder / name for name in FILES]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise FileNotFoundError(f"{folder} lacks {' and '.join(missing)}")
    return paths


def _read(path: Path, dtype: np.dtype[Any]) -> Split:
    found = read_matlab(path, ("X", "y"), MAX_ARRAY)
    images, labels = found["X"], found["y"]
    m = images.shape[-1]
    if images.dtype != np.uint8 or images.shape != (SIDE, SIDE, COLOURS, m) or labels.shape != (m, 1) or m == 0:
        raise ValueError(
            f"{path} is not a file of SVHN: X is {images.dtype} {images.shape}, y {labels.shape}, "
            f"not uint8 ({SIDE}, {SIDE}, {COLOURS}, m) and (m, 1)"
        )
    y = labels.ravel().astype(np.int64)
    if y.min() < 1 or y.max() > ZERO:
        raise ValueError(
            f"{path} is not a file of SVHN: its labels go from {y.min()} to {y.max()}, not from 1 to {ZERO}"
        )
    y[y == ZERO] = 0
    return as_inputs(np.ascontiguousarray(images.transpose(3, 2, 0, 1)), dtype), y
