"""From stored pixels to the inputs of a network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Split = tuple[NDArray[Any], NDArray[np.int64]]

MAX_PIXEL = 255


def input_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """The numpy dtype that `dtype` names; ValueError unless it is float32 or float64."""
    try:
        resolved = np.dtype(dtype)
    except TypeError:
        resolved = np.dtype(object)
    # numpy reads None as float64; here it is more likely a mistake.
    if dtype is None or resolved not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be float32 or float64, got {dtype!r}")
    return resolved


def as_inputs(images: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    """uint8 images (m, height, width) as rows of pixels (m, height * width) from 0 to 1."""
    X = images.reshape(len(images), -1).astype(dtype)
    X /= MAX_PIXEL
    return X
