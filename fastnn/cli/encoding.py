"""From named columns to the inputs of a network: numbers, marks of missing ones, categories one-hot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn.cli.tables import Column, Source, Texts, Values, is_missing
from fastnn.cli.tables.arrow_files import NOTHING, is_number
from fastnn.cli.tables.sources import occurring
from fastnn.data import Scaler, all_finite, is_sparse, smooth_clip

_BLOCK = 1 << 12  # rows that are filled at a time: they stay in the cache
_MEDIAN_OF = 20_000  # rows, evenly from all
_MOST_CATEGORIES = 1000
_FEW_NUMBERS = 5  # so many different numbers, and more than other texts, are a column of numbers with mistakes
# From an offset of so many deviations on, raw values in float32 are a ten-thousandth of a deviation off, or more.
_FAR = 1000


@dataclass(frozen=True)
class Input:
    """How one column becomes inputs.

    Attributes
    ----------
    name : str
        Of the column.
    categories : list of str or None
        Of a column of texts: an input each, 1 for the value's; one input, 1 and -1, for two. None for numbers.
    median : float
        What stands for a missing number.
    marked : bool
        Whether a further input is 1 where there is no number, or no text.
    center, factor : float
        A number becomes z / sqrt(1 + (z / 3)^2) of z = (x - center) factor, where factor is not 0.
    """

    name: str
    categories: list[str] | None = None
    median: float = 0.0
    marked: bool = False
    center: float = 0.0
    factor: float = 0.0

    @property
    def width(self) -> int:
        """How many inputs it makes besides its number and its mark."""
        count = len(self.categories or ())
        return 1 if count == 2 else count


@dataclass(frozen=True)
class Encoding:
    """How a table's columns become the inputs: the numbers first, then marks of missing values, then categories."""

    inputs: list[Input]

    @classmethod
    def of(cls, columns: Mapping[str, Column], source: Source, categorical: Sequence[str], smooth: bool) -> Encoding:
        """Measure the columns to train on.

        Parameters
        ----------
        columns : mapping of str to Column
            By name.
        source : Source
            Where they are from, for errors.
        categorical : sequence of str
            Those whose texts are categories, however many of them are numbers.
        smooth : bool
            Whether numbers are scaled by their quartiles and smoothly clipped, as RealMLP has them.
        """
        if is_sparse(source.X):
            if smooth:
                raise ValueError(f"{source.path} has sparse rows, for which there is no --preset")
            return cls([Input(name) for name in columns])
        finite = source.X is not None and all_finite(source.X)
        return cls([_measure(name, columns[name], source, name in categorical, smooth, finite) for name in columns])

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [each.name for each in self.inputs]

    @property
    def texts(self) -> list[str]:
        """The names of the columns of texts."""
        return [each.name for each in self.inputs if each.categories is not None]

    @property
    def numbers(self) -> int:
        """How many columns are numbers."""
        return sum(each.categories is None for each in self.inputs)

    @property
    def width(self) -> int:
        """How many inputs there are."""
        return self.numbers + sum(each.marked + each.width for each in self.inputs)

    def transform(
        self, columns: Mapping[str, Column], source: Source, dtype: np.dtype[Any], rows: Values | None = None
    ) -> tuple[Values, list[str]]:
        """Return the inputs of all rows or of some, and what is to be said of them.

        A file's own array is returned as it is where nothing is to be changed in it.
        """
        if self._is_plain(columns, source):
            return source.X if rows is None else source.X[rows], []
        columns = {each.name: _known(each, columns[each.name]) for each in self.inputs}
        notes: list[str] = []
        parts = [self._numbers(each, columns[each.name], source, dtype, notes) for each in self._of(texts=False)]
        parts += [is_missing(columns[each.name]) for each in self.inputs if each.marked]
        coded = [_codes(each, columns[each.name], notes) for each in self._of(texts=True)]
        return _fill(parts, coded, [each.width for each in self._of(texts=True)], dtype, rows), notes

    def scaler(self, X: Values) -> Scaler:
        """Return the scale that gives numbers, not marks and categories, mean 0 and deviation 1."""
        mean, deviation = np.zeros(X.shape[1]), np.ones(X.shape[1])
        if self.numbers:
            found = Scaler.of(X[:, : self.numbers])
            mean[: self.numbers], deviation[: self.numbers] = found.mean, found.deviation
        return Scaler(mean, deviation)

    def is_far(self, columns: Mapping[str, Column]) -> bool:
        """Return whether float32 would lose digits of a number, such as those of a clock's seconds."""
        return any(_is_far(columns[each.name]) for each in self._of(texts=False) if not each.factor)

    def describe(self) -> list[dict[str, Any]]:
        """Return what is saved."""
        default = asdict(Input(""))
        return [{k: v for k, v in asdict(each).items() if v != default[k] or k == "name"} for each in self.inputs]

    @classmethod
    def from_description(cls, about: Sequence[Mapping[str, Any]]) -> Encoding:
        """Return what was saved."""
        return cls([Input(**each) for each in about])

    def _of(self, texts: bool) -> list[Input]:
        return [each for each in self.inputs if (each.categories is not None) == texts]

    def _is_plain(self, columns: Mapping[str, Column], source: Source) -> bool:
        """Return whether the file's array is what the network takes."""
        changes = any(each.factor or each.marked or each.categories is not None for each in self.inputs)
        whole = source.X is not None and list(columns) == source.names == self.names
        return whole and not changes and (is_sparse(source.X) or all_finite(source.X))

    def _numbers(self, each: Input, column: Column, source: Source, dtype: np.dtype[Any], notes: list[str]) -> Values:
        """Return a column of numbers without missing ones."""
        if isinstance(column, Texts):
            column = _as_numbers(column, each.name, source)
        missing = is_missing(column)
        if missing.any():
            if not each.marked:
                count = f"{missing.sum():,} missing value{'s' if missing.sum() > 1 else ''}, none in training"
                found = "no numbers" if missing.all() else count
                notes.append(f"{each.name}: {found}; {each.median:g} stands for them, the median in training")
            column = np.where(missing, each.median, column)
        if not all_finite(column, None if each.factor else dtype):
            _refuse_infinite(column, each.name, source, dtype)
        if each.factor:
            return smooth_clip((column - each.center) * each.factor)
        return column


def _measure(name: str, column: Column, source: Source, categorical: bool, smooth: bool, finite: bool) -> Input:
    """Return how a column becomes inputs."""
    if categorical and not isinstance(column, Texts):
        codes, values = _as_texts(column)
        column = Texts(codes, values)
    if isinstance(column, Texts):
        if not categorical:
            _check_categories(column, name, source)
        categories = sorted(column.values)
        return Input(name, categories, marked=bool((column.codes < 0).any()))
    there = column if finite else column[np.isfinite(column)]  # infinite ones are refused later
    if not len(there):
        return Input(name)
    marked = not finite and bool(is_missing(column).any())
    low, median, high = np.quantile(there[:: -(-len(there) // _MEDIAN_OF)].astype(np.float64), [0.25, 0.5, 0.75])
    if not smooth:
        return Input(name, None, float(median), marked)
    spread = float(high - low) or (float(there.max()) - float(there.min())) / 2
    return Input(name, None, float(median), marked, float(median), 1 / spread if spread > 0 else 1.0)


def _as_texts(numbers: Values) -> Texts:
    """Return numbers as categories."""
    missing = is_missing(numbers)
    values, codes = np.unique(numbers[~missing], return_inverse=True)
    texts = [str(int(value)) if float(value).is_integer() else str(value) for value in values.tolist()]
    all_codes = np.full(len(numbers), -1, np.int32)
    all_codes[~missing] = codes
    return Texts(all_codes, texts)


def _check_categories(column: Texts, name: str, source: Source) -> None:
    """Refuse numbers with mistakes among them, and texts that are hardly categories."""
    wrong = [place for place, text in enumerate(column.values) if not is_number(text)]
    right = len(column.values) - len(wrong)
    if right >= _FEW_NUMBERS and right > len(wrong):
        row = int(np.isin(column.codes, wrong).argmax())
        found = f"{source.place(row)}: column {name!r} has {column.values[column.codes[row]]!r} among numbers"
        raise ValueError(f"{found}; --categorical {name} takes all of its values as categories, --drop leaves it out")
    if len(column.values) > _MOST_CATEGORIES:
        found = f"{source.path}: column {name!r} has {len(column.values):,} different texts"
        raise ValueError(f"{found}, too many for categories; --drop leaves it out, --categorical takes it")


def _as_numbers(column: Texts, name: str, source: Source) -> Values:
    """Return the numbers that texts are, where a file to predict has them as texts."""
    wrong = [place for place, text in enumerate(column.values) if not is_number(text)]
    if wrong:
        row = int(np.isin(column.codes, wrong).argmax())
        found = f"{source.place(row)}: column {name!r} has {column.values[column.codes[row]]!r}"
        raise ValueError(f"{found}; the model takes numbers there")
    return np.array([*map(float, column.values), np.nan])[column.codes]


def _refuse_infinite(column: Values, name: str, source: Source, dtype: np.dtype[Any]) -> None:
    with np.errstate(over="ignore"):
        row = int((~np.isfinite(column.astype(dtype))).argmax())
    raise ValueError(f"{source.place(row)}: column {name!r} must be finite in {dtype}; found {column[row]}")


def _is_far(column: Column) -> bool:
    if isinstance(column, Texts) or is_sparse(column) or column.dtype.kind == "b":
        return False
    with np.errstate(all="ignore"):
        sample = column[:: -(-len(column) // _MEDIAN_OF)].astype(np.float64)
        there = sample[np.isfinite(sample)]
        if not there.size:
            return False
        mean, deviation = abs(there.mean()), there.std()  # of equal numbers, some rounding
        return bool(mean > _FAR * deviation and deviation > 4 * np.finfo(np.float64).eps * mean)


def _known(each: Input, column: Column) -> Column:
    """Return a column whose "?" are missing, as they are in training, unless they were a category there."""
    if each.categories is None or not isinstance(column, Texts):
        return column
    nothing = [place for place, text in enumerate(column.values) if text in NOTHING and text not in each.categories]
    return (
        occurring(Texts(np.where(np.isin(column.codes, nothing), -1, column.codes), column.values))
        if nothing
        else column
    )


def _codes(each: Input, column: Column, notes: list[str]) -> Values:
    """Return the place of each row's category, -1 where it has none."""
    assert each.categories is not None
    if not isinstance(column, Texts):
        column = _as_texts(column)
    places = {text: place for place, text in enumerate(each.categories)}
    table = np.array([places.get(text, -1) for text in column.values] + [-1], np.int32)
    unknown = [text for text in column.values if text not in places]
    if unknown:
        count = int(((table[column.codes] < 0) & (column.codes >= 0)).sum())
        shown = ", ".join(map(repr, unknown[:5])) + ", ..." * (len(unknown) > 5)
        notes.append(f"{each.name}: {count:,} of values that were not in training ({shown}) are of no category")
    missing = int((column.codes < 0).sum())
    if missing and not each.marked:
        notes.append(f"{each.name}: {missing:,} missing, none in training; they are of no category")
    found: Values = table[column.codes]
    return found


def _fill(
    parts: list[Values], coded: list[Values], widths: list[int], dtype: np.dtype[Any], rows: Values | None
) -> Any:
    """Return numbers and one-hot categories as one array, some thousand rows at a time."""
    first = parts[0] if parts else coded[0]
    m = len(first) if rows is None else len(rows)
    X = np.zeros((m, len(parts) + sum(widths)), dtype)
    for start in range(0, m, _BLOCK):
        block = X[start : start + _BLOCK]
        at: Any = slice(start, start + len(block)) if rows is None else rows[start : start + len(block)]
        for j, part in enumerate(parts):
            block[:, j] = part[at]
        column = len(parts)
        for codes, width in zip(coded, widths, strict=True):
            _set_ones(block[:, column : column + width], codes[at], width)
            column += width
    return X


def _set_ones(block: Values, codes: npt.NDArray[np.int32], width: int) -> None:
    there = np.flatnonzero(codes >= 0)
    if width == 1:  # one category, or two as 1 and -1
        block[there, 0] = 1.0 - 2.0 * codes[there]
    else:
        block[there, codes[there]] = 1.0
