"""Labels as people have them: strings, whole numbers, booleans. Kernels know them by their place among the classes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Integers

Labels = npt.NDArray[Any]

_FIRST = 1 << 16  # labels, among which most often all classes are
_TABLE = 1 << 16  # entries of a table of places, and labels looked up at a time: they stay in the cache
_SHOWN = 5  # labels in an error


@dataclass(frozen=True, eq=False)
class Classes:
    """The labels of a network's classes; class k is ``labels[k]``.

    Attributes
    ----------
    labels : ndarray, (K,)
        In ascending order, int64 (uint64 beyond its range), bool or text.
    numbered : bool
        Whether they are the numbers 0 .. K - 1 themselves.
    """

    labels: Labels
    numbered: bool

    @classmethod
    def of_list(cls, labels: Iterable[Any]) -> Classes:
        """Return the classes that have these labels, all of one kind, in ascending order."""
        items = list(labels)
        array = _integers(items, "labels") if type(items[0]) is int else np.array(items)
        if array.dtype.kind == "U" and array.tolist() != items:  # NumPy's texts have no zeros at their end
            array = np.array(items, dtype=object)
        array.flags.writeable = False
        return cls(array, array.dtype.kind == "i" and items == list(range(len(items))))

    @classmethod
    def of(cls, values: Labels, count: int, name: str) -> tuple[Classes, Integers]:
        """Return the classes of labels, which must be ``count`` different ones, and the class of each label."""
        found = cls.of_list(_distinct(values[:_FIRST]))
        if len(found.labels) == count:
            places = found.places(values)
            if places.min() >= 0:
                return found, places
        found = cls.of_list(_distinct(values))
        if len(found.labels) != count:
            shown = f"{len(found.labels)}: {_listed(found.labels)}"
            own = f"labels from 0 to {count - 1}, or {count} different ones of any kind, one class an output"
            raise ValueError(f"{name} must hold {own}; found {shown}")
        return found, found.places(values)

    def encode(self, values: Labels, name: str) -> Integers:
        """Return the class of each label.

        Raises
        ------
        ValueError
            If a label is of no class.
        """
        places = self.places(values)
        if places.min() < 0:
            row = int((places < 0).argmax())
            known = f"{len(self.labels)} classes: {_listed(self.labels)}"
            found = f"the label {values[row : row + 1].tolist()[0]!r} in row {row}"
            raise ValueError(f"{name} must hold known labels; found {found}, which is none of the {known}")
        return places

    def places(self, values: Labels) -> Integers:
        """Return the class of each label, -1 for one of no class."""
        labels = self.labels.astype(np.int64) if self.labels.dtype.kind == "b" else self.labels
        if labels.dtype == np.int64 and (
            values.dtype.kind in "bi" or (values.dtype.itemsize < 8 and values.dtype.kind == "u")
        ):
            return _places_of_integers(labels, values)
        places = dict(zip(labels.tolist(), range(len(labels)), strict=True))
        return np.fromiter(map(places.get, values.tolist(), repeat(-1)), np.int64, len(values))


def as_classes(
    y: npt.ArrayLike, outputs: int, known: Classes | None, name: str = "y", learns: bool = False
) -> tuple[npt.ArrayLike, Classes | None]:
    """Return targets of a classification with numbers in the place of labels, and the classes.

    Parameters
    ----------
    y : array_like
        Labels, (m,) or (m, 1); what else there is, such as a matrix of answers, is returned as it is.
    outputs : int
        Output units of the network: as many classes, or two for one output.
    known : Classes or None
        Of the network so far; None means 0 .. K - 1, or, if it ``learns``, those that are found.

    Raises
    ------
    TypeError
        If labels are of several kinds.
    ValueError
        If a label is missing, is no whole number, or is rounded; if there are too many or too few classes, or one that
        is not known.
    """
    numbered = not learns if known is None else known.numbered
    if numbered and isinstance(y, np.ndarray) and y.dtype == np.int64 and y.ndim == 1:  # as kernels take them
        return y, known
    values = _as_labels(y, name)
    if values is None:
        return y, known
    count = max(2, outputs)
    if values.dtype.kind in "iuf" and (known is None or known.numbered) and _are_numbers(values, known, learns, count):
        return values, known or Classes.of_list(range(count))
    if values.dtype.kind == "f":
        values = _as_whole(values, name)
    elif values.dtype.kind == "b" and count > 2:
        values = values.astype(np.int64)
    if known is None and learns and values.dtype.kind != "b":
        known, places = Classes.of(values, count, name)
        return places, known
    known = known or Classes.of_list([False, True] if learns else range(count))
    return known.encode(values, name), known


def _are_numbers(values: Labels, known: Classes | None, learns: bool, count: int) -> bool:
    """Return whether numbers are the classes themselves; where that is settled, a wrong one is found later."""
    if known is not None or not learns:
        return True
    with np.errstate(invalid="ignore"):
        inside = values.size > 0 and values.min() >= 0 and values.max() < count
    return bool(inside) and (values.dtype.kind != "f" or bool((values == np.floor(values)).all()))


def _as_labels(y: npt.ArrayLike, name: str) -> Labels | None:
    """Return labels as one array of numbers, booleans, or texts; None for what can be no labels."""
    try:
        array = np.asarray(y)
    except ValueError:
        return None
    if isinstance(y, list | tuple) and _is_merged(y, array):
        array = np.array(y, dtype=object)
    if "numpy.ma" in sys.modules and np.ma.is_masked(y):
        return None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.shape[0] == 0:
        return None
    if array.dtype.kind in "OT":
        return _of_objects(array.tolist(), name)
    return array if array.dtype.kind in "buifU" else None


def _is_merged(y: Sequence[Any], array: Labels) -> bool:
    """Return whether NumPy has made one kind of several: text, numbers of booleans, rounded large integers."""
    kind = array.dtype.kind
    if kind == "f":
        return any(isinstance(item, int) and abs(item) >= 1 << 53 for item in y)
    return kind == "U" or (kind in "iu" and bool in map(type, y))


def _of_objects(items: list[Any], name: str) -> Labels:
    """Return Python's objects as an array, if they are all of one kind."""
    kinds: dict[str, type] = {}
    for kind in set(map(type, items)):
        kinds[kind_of(kind)] = kind
    if "missing" in kinds or "float" in kinds:
        for row, item in enumerate(items):
            if kind_of(type(item)) == "missing" or item != item:
                raise ValueError(f"{name} must hold a label in every row; found {item} in row {row}")
    if kinds.keys() == {"int", "float"}:
        kinds.pop("float")
        _as_whole(np.array([0.0 if isinstance(item, Integral) else item for item in items]), name)
        items = [int(item) for item in items]
    if len(kinds) != 1 or "other" in kinds:
        found = " and ".join(sorted(kind.__name__ for kind in kinds.values()))
        raise TypeError(f"{name} must hold labels of one kind, strings, whole numbers or booleans; found {found}")
    (name_of_kind,) = kinds
    if name_of_kind == "str":
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array
    if name_of_kind == "int":
        return _integers(items, name)
    return np.array(items, dtype=bool if name_of_kind == "bool" else np.float64)


def kind_of(kind: type) -> str:
    """Return which kind of label a type is: "str", "bool", "int", "float", "missing" or "other"."""
    if kind is type(None) or kind.__name__ in ("NAType", "NaTType"):
        return "missing"
    for name, kinds in (("str", str), ("bool", (bool, np.bool_)), ("int", Integral), ("float", (float, np.floating))):
        if issubclass(kind, kinds):
            return name
    return "other"


def _integers(items: list[Any], name: str) -> Labels:
    low, high = min(items), max(items)
    if low < -(1 << 63) or high >= 1 << 64 or (low < 0 and high >= 1 << 63):
        raise ValueError(f"{name} must hold labels of at most 64 bits; found {high if high >= 1 << 63 else low}")
    return np.array(items, dtype=np.int64 if high < 1 << 63 else np.uint64)


def _as_whole(values: Labels, name: str) -> Integers:
    """Return floating-point labels as integers, if none is rounded."""
    largest = 2 / np.finfo(values.dtype).eps  # from here on not every whole number can be told from the next
    with np.errstate(invalid="ignore"):
        wrong = ~((values == np.floor(values)) & (np.abs(values) < largest))
    if wrong.any():
        row = int(wrong.argmax())
        rounded = f"; {values.dtype} rounds whole numbers from {largest:.0f} on" if abs(values[row]) >= largest else ""
        raise ValueError(f"{name} must hold integer labels; found {values[row]} in row {row}{rounded}")
    return values.astype(np.int64)


def _distinct(values: Labels) -> list[Any]:
    if values.dtype.kind in "OU":
        return sorted(set(values.tolist()))
    distinct: list[Any] = np.unique(values).tolist()
    return distinct


def _places_of_integers(labels: Integers, values: Labels) -> Integers:
    """Return the place of each value among the labels, -1 for one that is not there."""
    low, high = int(labels[0]), int(labels[-1])
    table = None
    if high - low < _TABLE:
        table = np.full(high - low + 1, -1)
        table[labels - low] = np.arange(len(labels))
    places = np.empty(len(values), dtype=np.int64)
    for start in range(0, len(values), _TABLE):
        part = values[start : start + _TABLE].astype(np.int64, copy=False)
        found = places[start : start + _TABLE]
        if table is not None and low <= part.min() and part.max() <= high:
            table.take(part - low, out=found, mode="clip")
        else:
            found[:] = np.searchsorted(labels[1:], part, side="right")
            found[labels.take(found) != part] = -1
    return places


def _listed(labels: Labels) -> str:
    return ", ".join(map(repr, labels[:_SHOWN].tolist())) + ", ..." * (len(labels) > _SHOWN)
