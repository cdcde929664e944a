"""SVHN, house numbers from Street View, cropped to single digits."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn.datasets import homes
from fastnn.datasets.archives import MAX_DEFLATION
from fastnn.datasets.extras import require
from fastnn.datasets.fetching import obtain
from fastnn.datasets.images import Split, as_inputs, input_dtype

FILES = ("train_32x32.mat", "test_32x32.mat")
SIDE, COLOURS = 32, 3
ZERO = 10  # MATLAB counts from 1: the digit 0 has the last label


def load_svhn(
    data_dir: str | PathLike[str] | None = None, dtype: DTypeLike = "float32", *, download: bool = False
) -> tuple[Split, Split]:
    """Load SVHN's cropped digits: colour pictures of house numbers, 32x32 pixels.

    The files are read by SciPy (the extra ``data``).

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
    ImportError
        SciPy is not installed.

    References
    ----------
    Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Y. Ng: Reading digits in natural images with unsupervised
    feature learning. NIPS workshop (2011), http://ufldl.stanford.edu/housenumbers/
    """
    dtype = input_dtype(dtype)
    matlab = require("scipy.io", "SciPy", "data", "load_svhn")
    train, test = (_read(path, matlab, dtype) for path in obtain(homes.SVHN, data_dir, download, _find))
    return train, test


def _find(folder: Path) -> list[Path]:
    paths = [folder / name for name in FILES]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise FileNotFoundError(f"{folder} lacks {' and '.join(missing)}")
    return paths


def _read(path: Path, matlab: Any, dtype: np.dtype[Any]) -> Split:
    try:
        images, labels = _variables(path, matlab)
    except Exception as error:  # SciPy's reader fails in every way on damaged files
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is damaged, truncated or not a file of SVHN ({reason})") from error
    y = labels.ravel().astype(np.int64)
    if y.min() < 1 or y.max() > ZERO:
        raise ValueError(
            f"{path} is not a file of SVHN: its labels go from {y.min()} to {y.max()}, not from 1 to {ZERO}"
        )
    y[y == ZERO] = 0
    return as_inputs(np.ascontiguousarray(images.transpose(3, 2, 0, 1)), dtype), y


def _variables(path: Path, matlab: Any) -> tuple[Any, Any]:
    """X (32, 32, 3, m) and y (m, 1), read after a look at their headers."""
    headers = {name: (shape, kind) for name, shape, kind in matlab.whosmat(path)}
    (shape, kind), (label_shape, label_kind) = headers["X"], headers["y"]
    m = shape[-1]
    if shape != (SIDE, SIDE, COLOURS, m) or label_shape != (m, 1) or m == 0:
        raise ValueError(f"X has the shape {shape}, y {label_shape}")
    if kind != "uint8" or label_kind not in ("uint8", "double"):
        raise ValueError(f"X is of type {kind}, y of type {label_kind}")
    if m * SIDE * SIDE * COLOURS > path.stat().st_size * MAX_DEFLATION:
        raise ValueError(f"X of the shape {shape} is more than {path.stat().st_size} bytes can hold")
    found = matlab.loadmat(path, variable_names=["X", "y"])
    return found["X"], found["y"]
