"""The user's own data for the command line: .npz, .npy and .csv files in, predictions out."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Table:
    """Samples X (m, n), and y where the file holds it: numbers, or text labels."""

    X: Values
    y: Values | None


def read_table(path: Path, targets: Path | None = None, label: str | None = None, inputs: int | None = None) -> Table:
    """Read X and y from a file, or X from one and y from another.

    Parameters
    ----------
    path : Path
        ``.npz`` with the arrays X and, unless they are elsewhere, y; ``.npy`` with X;
        ``.csv`` with or without a header.
    targets : Path, optional
        ``.npy`` with y.
    label : str, optional
        The column of a ``.csv`` file that holds y, by its name in the header; by default the last one.
    inputs : int, optional
        How many inputs a trained network takes: a ``.csv`` file of just as many columns has no y.
    """
    if label is not None and path.suffix != ".csv":
        raise ValueError(f"--label names a column of a .csv file; {path} is none")
    match path.suffix:
        case ".npz":
            table = _read_npz(path)
        case ".npy":
            table = Table(_numbers(_load(path), path), None)
        case ".csv":
            table = _read_csv(path, label, inputs, all_inputs=targets is not None)
        case suffix:
            raise ValueError(f"{path}: data must be a .npz, .npy or .csv file; got {suffix or 'no suffix'}")
    return table if targets is None else Table(table.X, np.asarray(_load(targets)))


def write_predictions(file: TextIO, predictions: Values, header: list[str]) -> None:
    """Write one line a sample below the header, as CSV."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(np.reshape(predictions, (len(predictions), -1)).astype(str))  # the shortest digits of the dtype


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no NumPy file of plain numbers or text: {error}") from error


def _read_npz(path: Path) -> Table:
    content = _load(path)
    if not isinstance(content, np.lib.npyio.NpzFile):
        raise ValueError(f"{path} is no .npz file")
    with content:
        if "X" not in content.files:
            raise ValueError(f"{path} must hold an array X; it holds {', '.join(content.files) or 'nothing'}")
        try:
            return Table(_numbers(content["X"], path), content["y"] if "y" in content.files else None)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _numbers(values: Any, path: Path) -> Values:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif":
        raise ValueError(f"{path}: X must be an array of real numbers")
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"{path}: X must be 2-D, samples in rows, and not empty; got shape {values.shape}")
    return values


def _read_csv(path: Path, label: str | None, inputs: int | None, all_inputs: bool) -> Table:
    rows = _rows(path)
    first_line, first = next(rows, (0, []))
    if not first:
        raise ValueError(f"{path} is empty")
    header = [name.strip() for name in first] if label is not None or not _is_number(first[0]) else None
    if label is not None and label not in (header or []):
        raise ValueError(f"{path} has no column {label!r}; its columns are {', '.join(header or [])}")
    column = header.index(label) if header and label is not None else len(first) - 1
    if all_inputs or (label is None and len(first) == inputs):
        column = len(first)  # past the end: no column is left out
    elif len(first) == 1:
        raise ValueError(f"{path} has one column; expected inputs and, in the last column, the label")
    X = array("d")
    y: list[str] = []
    for line, cells in rows if header else chain([(first_line, first)], rows):
        try:
            X.extend(map(float, cells[:column] + cells[column + 1 :]))
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: inputs must be numbers: {error}") from None
        y.extend(cell.strip() for cell in cells[column : column + 1])
    if not X:
        raise ValueError(f"{path} has a header but no data")
    width = len(first) - (column < len(first))
    return Table(np.frombuffer(X).reshape(-1, width), _labels(y) if y else None)


def _labels(cells: list[str]) -> Values:
    return np.array(cells, dtype=np.float64 if all(map(_is_number, cells)) else str)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of every line that is not blank."""
    width = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for cells in filter(None, reader):
                width = width or len(cells)
                if len(cells) != width:
                    raise ValueError(
                        f"{path}, line {reader.line_num}: {len(cells)} columns; the first line has {width}"
                    )
                yield reader.line_num, cells
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no CSV file: {error}") from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
