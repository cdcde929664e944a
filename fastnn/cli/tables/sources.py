"""What can be read: a source has columns by name, and says where a row is in the file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn.data import is_sparse

Values = npt.NDArray[Any]


class Texts(NamedTuple):
    """A column of texts, by their places among those that occur.

    Attributes
    ----------
    codes : ndarray of integers, (m,)
        -1 where there is none.
    values : list of str
        Each once.
    """

    codes: Values
    values: list[str]


Column = Values | Texts  # real numbers, NaN where one is missing, or texts


def is_missing(column: Column) -> npt.NDArray[np.bool_]:
    """Return in which rows there is nothing."""
    if isinstance(column, Texts):
        return np.asarray(column.codes < 0)
    return np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)


def rows_of(column: Column) -> int:
    """Return how many rows a column has."""
    return int((column.codes if isinstance(column, Texts) else column).shape[0])


def occurring(column: Texts) -> Texts:
    """Return the same column without texts that are in no row."""
    counts = np.bincount(column.codes + 1, minlength=len(column.values) + 1)[1:]
    if counts.all():
        return column
    places = np.append(np.where(counts > 0, np.cumsum(counts > 0) - 1, -1), -1)
    return Texts(places[column.codes], [text for text, count in zip(column.values, counts, strict=True) if count])


class Source:
    """A file that has been opened and is read later, when it is known what is wanted of it.

    Attributes
    ----------
    path : str
        As the user names it.
    names : list of str
        Of the columns, "column 1", "column 2", ... where the file has none.
    named : bool
        Whether the file has names.
    X : ndarray or sparse matrix, (m, n), or None
        The columns as one array, where that is how they are stored.
    y : ndarray or None
        Targets that are stored apart.
    how : str
        What the file is, in words.
    first : int or None
        The index of the first column in svmlight's rows, 0 or 1.
    """

    path: str
    names: list[str]
    named: bool
    how: str
    X: Any = None
    y: Values | None = None
    first: int | None = None

    def read(self, names: Sequence[str], texts: Collection[str] = ()) -> dict[str, Column]:
        """Return columns; those in ``texts`` as they are written, even if they are numbers."""
        raise NotImplementedError

    def place(self, row: int) -> str:
        """Return where a row, from 0, is in the file."""
        return f"{self.path}, row {row + 1}"

    def find(self, name: str, option: str) -> str:
        """Return the column that a user means by its name, or by its number: from 1, or -1 for the last."""
        if name in self.names:
            return name
        number = int(name) if name.lstrip("-").isdecimal() else 0
        if 1 <= abs(number) <= len(self.names):
            return self.names[number - 1 if number > 0 else number]
        known = ", ".join(self.names[:20]) + ", ..." * (len(self.names) > 20)
        raise ValueError(f"{self.path} has no column {name!r} for {option}; its columns are {known}")


class ArraySource(Source):
    """An array of numbers, or a sparse matrix, whose columns have no names."""

    def __init__(self, path: str, X: Any, y: Values | None, how: str, first: int | None = None) -> None:
        if not (isinstance(X, np.ndarray) or is_sparse(X)) or X.dtype.kind not in "buif":
            raise ValueError(f"{path}: X must be an array of real numbers")
        if X.ndim != 2 or 0 in X.shape:
            raise ValueError(f"{path}: X must be 2-D, samples in rows, and not empty; got shape {X.shape}")
        self.path, self.how, self.named, self.X, self.y = path, how, False, X, y
        self.first = first
        self.names = numbered(X.shape[1])

    def read(self, names: Sequence[str], texts: Collection[str] = ()) -> dict[str, Column]:
        """Return columns as views; of a sparse matrix all, each as that matrix itself."""
        if is_sparse(self.X):
            if list(names) != self.names:
                raise ValueError(
                    f"{self.path}: sparse rows are taken whole; --target, --drop and --inputs are for others"
                )
            return dict.fromkeys(names, self.X)
        places = {name: j for j, name in enumerate(self.names)}
        return {name: self.X[:, places[name]] for name in names}


def numbered(count: int) -> list[str]:
    """Return names for columns without any."""
    return [f"column {j + 1}" for j in range(count)]


@contextmanager
def told_of(path: str) -> Iterator[None]:
    """Turn what libraries raise about a bad file into one ValueError that names it."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError, ImportError):
        raise
    except MemoryError as error:
        raise ValueError(f"{path} does not fit into memory, or is damaged: {error}") from error
    except Exception as error:  # libraries raise of all kinds
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(text if path in text else f"{path} cannot be read: {text}") from error
