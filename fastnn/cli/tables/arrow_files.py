"""Columns as pyarrow has them, and its files: Parquet and Arrow (Feather)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from fastnn.cli.tables.sources import Column, Source, Texts, Values, occurring, told_of
from fastnn.datasets.extras import require

NOTHING = ("", "?")  # texts that stand for a missing one


def pyarrow(module: str = "pyarrow") -> Any:
    """Return a module of pyarrow."""
    return require(module, "pyarrow", "table", "a table in a text, Parquet or Arrow file")


class ArrowSource(Source):
    """A Parquet or an Arrow file."""

    def __init__(self, path: str, kind: str) -> None:
        self._file: Any
        if kind == "parquet":
            self._file = pyarrow("pyarrow.parquet").ParquetFile(path, page_checksum_verification=True)
            schema = self._file.schema_arrow
        else:
            self._file = pyarrow("pyarrow.ipc").open_file(path)
            schema = self._file.schema
        self.path, self.named, self.how, self._kind = path, True, kind.capitalize(), kind
        self.names = [str(name) for name in schema.names]
        check_names(self.names, path)

    def read(self, names: Sequence[str], texts: Collection[str] = ()) -> dict[str, Column]:
        """Return columns."""
        with told_of(self.path):
            wanted = list(names)
            table = self._file.read(wanted) if self._kind == "parquet" else self._file.read_all().select(wanted)
            table.validate(full=True)
            if table.num_rows == 0:
                raise ValueError(f"{self.path} has columns but no rows")
            return {name: column_of(table[name], name, self.path, name in texts) for name in names}


def check_names(names: Sequence[str], path: str) -> None:
    """Refuse two columns of one name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{path} has two columns of the name {name!r}")
        seen.add(name)


def column_of(column: Any, name: str, path: str, as_text: bool) -> Column:
    """Return a column of pyarrow as NumPy's numbers, or as texts."""
    types, compute = pyarrow().types, pyarrow("pyarrow.compute")
    kind = column.type
    if types.is_dictionary(kind):
        kind = kind.value_type
        if not (types.is_string(kind) or types.is_large_string(kind)):
            column = column.cast(kind)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return _texts(column, as_text)
    if types.is_null(kind):
        return np.full(len(column), np.nan)
    if types.is_boolean(kind):
        return _of_booleans(column, as_text)
    if types.is_temporal(kind):
        column, kind = _seconds(column, kind, name, path), pyarrow().float64()
    elif types.is_decimal(kind):
        column = compute.cast(column, pyarrow().float64())
    elif not (types.is_integer(kind) or types.is_floating(kind)):
        raise ValueError(f"{path}: column {name!r} holds {kind}, neither numbers nor text; --drop leaves it out")
    numbers: Values = column.to_numpy()
    return numbers


def _of_booleans(column: Any, as_text: bool) -> Column:
    if as_text:
        codes = column.cast(pyarrow().int8()).fill_null(-1).to_numpy()
        return occurring(Texts(codes, ["False", "True"]))
    numbers: Values = column.cast(pyarrow().int8()).to_numpy()
    return numbers


def _seconds(column: Any, kind: Any, name: str, path: str) -> Any:
    """Return times as seconds: since 1970, since midnight, or as durations."""
    arrow, compute = pyarrow(), pyarrow("pyarrow.compute")
    if arrow.types.is_date(kind):
        column = column.cast(arrow.timestamp("ms"))
        kind = column.type
    if arrow.types.is_time32(kind):
        column = column.cast(arrow.int32())
    unit = getattr(kind, "unit", None)
    factor = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}.get(unit or "")
    if factor is None:
        raise ValueError(f"{path}: column {name!r} holds {kind}, neither numbers nor text; --drop leaves it out")
    return compute.multiply(column.cast(arrow.int64()).cast(arrow.float64(), safe=False), factor)


def _texts(column: Any, as_text: bool) -> Column:
    """Return texts without the spaces around them; numbers, if they all are and may be."""
    arrow = pyarrow()
    encoded = column.combine_chunks() if arrow.types.is_dictionary(column.type) else column.dictionary_encode()
    encoded = encoded.combine_chunks() if hasattr(encoded, "combine_chunks") else encoded
    if isinstance(encoded, arrow.ChunkedArray):  # of several chunks with dictionaries of their own
        encoded = encoded.unify_dictionaries().combine_chunks()
    found = [text.strip() for text in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(-1).to_numpy().astype(np.int32, copy=False)
    missing = {""} if as_text else set(NOTHING)
    values = list(dict.fromkeys(text for text in found if text not in missing))
    places = {text: place for place, text in enumerate(values)}
    if len(values) < len(found):
        codes = np.array([places.get(text, -1) for text in found] + [-1], np.int32)[codes]
    texts = occurring(Texts(codes, values))
    if not as_text and texts.values and all(map(is_number, texts.values)):
        return np.array([*map(float, texts.values), np.nan])[texts.codes]
    return texts


def is_number(text: str) -> bool:
    """Return whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
