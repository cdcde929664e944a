"""The batches of CIFAR-10's Python version: pickles, read without running what a pickle could ask for.

They hold a dict of bytes to lists, a string and one array of bytes. A pickle builds an array by calling functions that
it names; here these names stand for classes that only note down what they are given, and other names are refused.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray


class _NotedDtype:
    """Stands for numpy.dtype: keeps the type's name, and passes over its byte order."""

    def __init__(self, name: object = None, *_flags: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        pass


class _NotedArray:
    """Stands for an array: keeps the state that NumPy would restore."""

    state: Any = None

    def __init__(self, *_arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state

    def to_bytes_array(self) -> NDArray[np.uint8]:
        """Return the array, if the state is that of an array of bytes and fits its size."""
        _version, shape, dtype, in_columns, content = self.state
        if dtype.name not in (b"u1", "u1") or in_columns or math.prod(shape) != len(content):
            raise ValueError(f"its array of type {dtype.name!r} and shape {shape} is not one of bytes")
        return np.frombuffer(content, np.uint8).reshape(shape).copy()


ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _NotedArray,
    ("numpy", "ndarray"): _NotedArray,
    ("numpy", "dtype"): _NotedDtype,
}


class _BatchUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return ADMITTED[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}") from None


def unpickle_batch(content: bytes, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return pixels and labels of a pickled batch; ValueError, naming it, if that is not what it holds."""
    try:
        batch = _BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
        labels = batch[b"labels"]
        if not (isinstance(labels, list) and all(type(label) is int for label in labels)):
            raise ValueError("its labels are not a list of integers")
        return batch[b"data"].to_bytes_array(), np.array(labels, np.int64)
    except Exception as error:  # damaged pickles fail in every way
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{name} is damaged, truncated or not a batch of CIFAR-10 ({reason})") from error
