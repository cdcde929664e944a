"""Tables in text: the delimiter, whether there is a header, and pyarrow's reader, which is as fast as the disk."""

from __future__ import annotations

import csv
import gzip
import mmap
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from fastnn.cli.tables.arrow_files import check_names, column_of, is_number, pyarrow
from fastnn.cli.tables.sources import Column, Source, numbered, told_of

_SAMPLE = 1 << 16  # characters that are looked at
_ROWS = 200  # of them
_DELIMITERS = "\t;|, "
_NAMES = {"\t": "tabs", " ": "spaces"}
_MISSING = [
    "", "#N/A", "#N/A N/A", "#NA", "-NaN", "-nan", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "?",
]  # fmt: skip
_VALUE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d.*)?|\d?\d:\d\d(:\d\d.*)?|true|false", re.IGNORECASE)


@dataclass(frozen=True)
class _Look:
    """What the first rows of a file say."""

    delimiter: str
    decimal: str
    quoted: bool
    rows: list[list[str]]
    first_line: int  # where the first row ends


class CsvSource(Source):
    """A text file with a delimiter between the columns, gzipped or not.

    Parameters
    ----------
    path : str
        The file.
    delimiter : str, optional
        One character; by default the one that the first rows have in the same number.
    header : bool, optional
        Whether the first row has the names; by default what the rows say, and an error where they may say either.
    known : collection of str
        Names that the first row has if it is a header: one that is no number, or all.
    """

    def __init__(self, path: str, delimiter: str | None, header: bool | None, known: Collection[str] = ()) -> None:
        pyarrow()  # a missing extra is told before anything that may be wrong with the file
        self.path = path
        self._look = look = _look_at(path, delimiter)
        if header is None:
            header = _has(look.rows[0], known) or has_header(look.rows, path)
        self.named, self._header = header, header
        self.names = numbered(len(look.rows[0]))
        if header:
            self.names = [cell.strip() or number for cell, number in zip(look.rows[0], self.names, strict=True)]
        check_names(self.names, path)
        between = _NAMES.get(look.delimiter, f"{look.delimiter!r}")
        self.how = f"text with {between} between the columns, {'a' if header else 'no'} header"
        self.how += ", decimal commas" if look.decimal == "," else ""  # said, as 1,000 may be meant as a thousand

    def read(self, names: Sequence[str], texts: Collection[str] = ()) -> dict[str, Column]:
        """Return columns."""
        with told_of(self.path):
            table = self._read(list(names), texts)
        if table.num_rows == 0:
            raise ValueError(f"{self.path} has a header but no data")
        return {name: column_of(table[name], name, self.path, name in texts) for name in names}

    def _read(self, names: list[str], texts: Collection[str]) -> Any:
        arrow, reader, look = pyarrow(), pyarrow("pyarrow.csv"), self._look
        text = arrow.dictionary(arrow.int32(), arrow.string())
        try:
            return reader.read_csv(
                arrow.input_stream(self.path, compression="gzip" if _is_gzipped(self.path) else None),
                read_options=reader.ReadOptions(
                    skip_rows=look.first_line if self._header else 0, column_names=self.names
                ),
                parse_options=reader.ParseOptions(delimiter=look.delimiter, newlines_in_values=look.quoted),
                convert_options=reader.ConvertOptions(
                    include_columns=names,
                    column_types={name: text for name in names if name in texts},
                    null_values=_MISSING,
                    decimal_point=look.decimal,
                ),
            )
        except arrow.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                raise ValueError(f"{self.path} has a header but no data") from None
            self._check_widths()
            raise

    def _check_widths(self) -> None:
        """Say which line has another number of columns."""
        for line, cells in _rows(self.path, self._look.delimiter):
            if len(cells) != len(self.names):
                here = f"{len(cells)} column{'s' * (len(cells) != 1)}"
                raise ValueError(f"{self.path}, line {line}: {here}; the first line has {len(self.names)}")

    def place(self, row: int) -> str:
        """Return the line of a row."""
        for number, (line, _) in enumerate(_rows(self.path, self._look.delimiter)):
            if number == row + self._header:
                return f"{self.path}, line {line}"
        return super().place(row)


def _has(first: list[str], known: Collection[str]) -> bool:
    found = {cell.strip() for cell in first}
    return bool(known) and (found.issuperset(known) or any(name in found for name in known if not is_number(name)))


def has_header(rows: list[list[str]], path: str) -> bool:
    """Return whether the first row has names.

    Raises
    ------
    ValueError
        If it may have names or data: numbers in a row, 0, 1, 2, ...; or texts, none of which occurs again.
    """
    first, rest = rows[0], rows[1:]
    numbers = [cell.strip() for cell in first if is_number(cell)]
    counted = _is_counted(numbers)
    names = [j for j, cell in enumerate(first) if _is_name(cell) and _are_values([row[j] for row in rest])]
    if names and (not numbers or counted):
        return True
    if len({cell.strip() for cell in first}) < len(first):
        return False
    if not names and numbers and not counted:
        return False
    if not numbers:
        if not rest:
            return True
        if any(first[j].strip() in {row[j].strip() for row in rest} for j in range(len(first))):
            return False
    shown = ", ".join(first[:4]) + ", ..." * (len(first) > 4)
    raise ValueError(f"{path}: the first row ({shown}) may be a header or data; say --header or --no-header")


def _is_counted(numbers: list[str]) -> bool:
    """Return whether numbers are those of columns: whole, each one more than the one before."""
    if not all(re.fullmatch(r"0|[1-9]\d{0,8}", number) for number in numbers):
        return False
    steps = {int(b) - int(a) for a, b in zip(numbers, numbers[1:], strict=False)}
    return steps == {1} or numbers == ["0"]


def _is_name(cell: str) -> bool:
    return cell.strip() not in _MISSING and not _is_value(cell)


def _are_values(cells: list[str]) -> bool:
    there = [cell for cell in cells if cell.strip() not in _MISSING]
    return bool(there) and all(map(_is_value, there))


def _is_value(cell: str) -> bool:
    """Return whether a cell is a number, a date, a time, true or false, which no column is called."""
    return is_number(cell.replace(",", ".")) or _VALUE.fullmatch(cell.strip()) is not None


def _look_at(path: str, delimiter: str | None) -> _Look:
    """Return what the first rows say."""
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n"'):
        raise ValueError(f"--delimiter must be one character; got {delimiter!r}")
    with told_of(path), _open(path) as file:
        text = file.read(_SAMPLE)
    if "\0" in text:
        raise ValueError(f"{path} is no table that can be read: no text, NPZ, NPY, IDX, Parquet or Arrow file")
    lines = text.splitlines(keepends=True)
    if len(text) == _SAMPLE and len(lines) > 1:
        lines.pop()  # of which only a part is here
    lines = lines[:_ROWS]
    delimiter = delimiter or _delimiter(lines)
    reader = csv.reader(lines, delimiter=delimiter)
    rows, first_line = [], 0
    try:
        for cells in reader:
            if cells:
                first_line = first_line or reader.line_num
                rows.append(cells)
    except csv.Error as error:
        raise ValueError(f"{path} is no table in text: {error}") from error
    if not rows:
        raise ValueError(f"{path} is empty")
    rows = [cells for cells in rows if len(cells) == len(rows[0])]  # others are refused when all is read
    cells = [cell.strip() for row in rows for cell in row]
    decimal = "," if delimiter != "," and _have_decimal_commas(cells) else "."
    return _Look(delimiter, decimal, _has_quotes(path, first_line), rows, first_line)


def _has_quotes(path: str, lines: int) -> bool:
    """Return whether cells below the first lines may have ends of lines in them, which costs pyarrow a third more."""
    if _is_gzipped(path):
        return True
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:  # noqa: PTH123
        start = 0
        for _ in range(lines):
            start = content.find(b"\n", start) + 1
        return content.find(b'"', start) >= 0


def _have_decimal_commas(cells: list[str]) -> bool:
    found = any(re.fullmatch(r"[+-]?\d+,\d+", cell) for cell in cells)
    return found and not any(re.fullmatch(r"[+-]?\d*\.\d+", cell) for cell in cells)


def _delimiter(lines: list[str]) -> str:
    """Return the delimiter of which all rows have as many, the first such one; or that of the first row."""
    for delimiter in _DELIMITERS:
        try:
            widths = {len(cells) for cells in csv.reader(lines, delimiter=delimiter) if cells}
        except csv.Error:
            continue
        if len(widths) == 1 and widths.pop() > 1:
            return delimiter
    first = next((line for line in lines if line.strip()), "")
    return max(",;\t|", key=first.count)


def _rows(path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the cells of every row; slow, for errors."""
    with _open(path) as file:
        reader = csv.reader(file, delimiter=delimiter)
        for cells in reader:
            if cells:
                yield reader.line_num, cells


def _open(path: str) -> IO[str]:
    opened = gzip.open if _is_gzipped(path) else open
    return opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="")


def _is_gzipped(path: str) -> bool:
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read(2) == b"\x1f\x8b"
