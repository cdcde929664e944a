"""Arrays of other tools: as NumPy's on the same memory, checked, never converted."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn.data import check_in_memory
from fastnn.network import Network


def check_network(network: object) -> Network:
    """Return the network if it is one."""
    if not isinstance(network, Network):
        raise TypeError(f"network must be a fastnn.Network; got {type(network).__name__}")
    return network


def as_array(name: str, values: Any) -> Any:
    """Return what has DLPack or the array interface as an array on the same memory, and anything else as it is."""
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "__dlpack__"):
        try:
            return np.from_dlpack(values)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:  # a gradient is kept, or it is on a GPU
            raise TypeError(f"{name} cannot be read as a NumPy array by DLPack: {error}") from error
    return np.asarray(values) if hasattr(values, "__array_interface__") else values


def as_given(name: str, values: Any) -> Any:
    """Return what NumPy cannot read by itself as an array, if it has DLPack, and anything else as it is."""
    return values if hasattr(values, "__array__") else as_array(name, check_in_memory(values))


def check_array(
    name: str, values: Any, dtype: npt.DTypeLike, shape: tuple[int, ...], written: bool = False
) -> npt.NDArray[Any]:
    """Return an array of this dtype and shape in C order, on the same memory.

    Raises
    ------
    TypeError
        If it has another type or dtype.
    ValueError
        If it has another shape or order, or is to be written and read-only.
    """
    array = values if type(values) is np.ndarray else as_array(name, values)
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise TypeError(f"{name} must be an array of {dtype}; got {described(array)}")
    flags = array.flags
    if array.shape != shape or not (flags.c_contiguous and flags.aligned):
        order = "" if flags.c_contiguous else ", not in C order"
        raise ValueError(f"{name} must have shape {shape}, in C order; got shape {array.shape}{order}")
    if written and not flags.writeable:
        raise ValueError(f"{name} must be writable; got a read-only array")
    return array


def described(array: object) -> str:
    """Return what something is, for an error."""
    return f"an array of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
