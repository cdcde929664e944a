"""From stored pixels to the inputs of a network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Split = tuple[NDArray[Any], NDArray[np.int64]]

MAX_PIXEL = 255
FLOATS = ("float32", "float64")


def input_dtype(dtype: DTypeLike, allowed: tuple[str, ...] = (*FLOATS, "uint8")) -> np.dtype[Any]:
    """The numpy dtype that `dtype` names; ValueError unless it is one of those allowed."""
    try:
        resolved = np.dtype(dtype)
    except TypeError:
        resolved = np.dtype(object)
    # numpy reads None as float64; here it is more likely a mistake.
    if dtype is None or resolved not in [np.dtype(name) for name in allowed]:
        raise ValueError(f"dtype must be {', '.join(allowed[:-1])} or {allowed[-1]}, got {dtype!r}")
    return resolved


def as_inputs(images: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    """uint8 images (m, ...) as rows of pixels, from 0 to 1; for uint8 the bytes as they are."""
    X = images.reshape(len(images), -1).astype(dtype, copy=False)
    if dtype != np.uint8:
        X /= MAX_PIXEL
    return X
