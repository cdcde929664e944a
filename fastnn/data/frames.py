"""Columns of pandas and polars that NumPy makes objects of: nullable ones, and booleans beside numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn.data.labels import kind_of


def is_frame(values: object) -> bool:
    """Return whether the values are a table or a column of pandas or polars, or like one."""
    return hasattr(values, "to_numpy") and (hasattr(values, "columns") or hasattr(values, "name"))


def numbers_of_frame(frame: Any, objects: npt.NDArray[Any], name: str) -> npt.NDArray[np.float64]:
    """Return a table's numbers in float64, NaN where one is missing.

    Parameters
    ----------
    frame : DataFrame or Series
        It has the names of the columns.
    objects : ndarray of object
        Its values.

    Raises
    ------
    TypeError
        If a column holds anything but numbers.
    """
    columns = objects[:, None] if objects.ndim == 1 else objects
    names = list(getattr(frame, "columns", [getattr(frame, "name", None)]))
    numbers = np.empty(columns.shape)
    for j, column_name in enumerate(names):
        items = columns[:, j].tolist()
        for kind in set(map(type, items)):
            if kind_of(kind) not in ("bool", "int", "float", "missing"):
                row = next(i for i, item in enumerate(items) if type(item) is kind)
                found = f"{items[row]!r} in row {row} of column {column_name!r}"
                raise TypeError(f"{name} must hold real numbers; got {found}")
        numbers[:, j] = [np.nan if kind_of(type(item)) == "missing" else item for item in items]
    return numbers.reshape(objects.shape)
