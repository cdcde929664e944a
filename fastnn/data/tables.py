"""Tables in Parquet and Arrow files, read in blocks through pyarrow."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Integers
from fastnn.data.feeds import Buffer, ReadError


class Table:
    """Columns of a table in Parquet or Arrow files, read in blocks: groups of rows, or record batches, as written.

    ``fit`` and the others take it as X. A group of rows is in memory as a whole while it is read: write them of some
    MB, ``pyarrow.parquet.write_table(table, path, row_group_size=20_000)``.

    Parameters
    ----------
    source : path, list of paths, or pyarrow.dataset.Dataset
        A file or a folder of them; a name that ends in .arrow, .feather or .ipc is an Arrow file, others are Parquet.
    columns : sequence of str, optional
        Names of the columns, of numbers or booleans, that are X, in this order; by default all.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    dtype : dtype
        The smallest type that holds the numbers of all columns.
    columns : list of str
        Their names.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    TypeError, ValueError
        If a column is not there, or holds no numbers.

    Examples
    --------
    >>> import pyarrow, pyarrow.parquet
    >>> from fastnn.data import Table
    >>> cells = pyarrow.table({"depth": [210.0, 480.0], "rate": [3.5, 1.0], "kind": [0, 1]})
    >>> pyarrow.parquet.write_table(cells, "cells.parquet")
    >>> table = Table("cells.parquet", columns=["depth", "rate"])
    >>> table.shape, table.column("kind")
    ((2, 2), array([0, 1]))
    """

    def __init__(self, source: Any, columns: Sequence[str] | None = None) -> None:
        self._dataset = _dataset(source)
        schema = self._dataset.schema
        self.columns = list(schema.names if columns is None else columns)
        if not self.columns:
            raise ValueError("columns must name at least one column; got none")
        if missing := [name for name in self.columns if name not in schema.names]:
            raise ValueError(f"columns must be among {schema.names}; got {missing[0]!r}")
        self._groups = [group for part in self._dataset.get_fragments() for group in _groups_of(part)]
        self._edges = np.cumsum([0, *(rows for rows, _ in self._groups)])
        self.shape = (int(self._edges[-1]), len(self.columns))
        self.dtype = np.result_type(*(_type_of(schema.field(name)) for name in self.columns))

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a whole column, such as the targets."""
        if name not in self._dataset.schema.names:
            raise ValueError(f"name must be among {self._dataset.schema.names}; got {name!r}")
        found: npt.NDArray[Any] = self._dataset.to_table(columns=[name]).column(name).to_numpy()
        return found

    def edges(self, block_rows: int | None) -> Integers:
        """Return where groups of rows begin, and the number of rows."""
        if block_rows is not None:
            raise ValueError(
                f"block_rows must be None for a Table, whose blocks are as it was written; got {block_rows}"
            )
        return np.unique(self._edges)

    def read(self, first: int, out: Buffer) -> None:
        """Write rows from ``first`` on into all of ``out``."""
        group = int(np.searchsorted(self._edges, first, side="right")) - 1
        table = self._groups[group][1](self.columns)
        begin = first - int(self._edges[group])
        if table.num_rows < begin + len(out):
            raise ReadError(f"rows from {first} on must be {len(out)}; got {table.num_rows - begin}")
        for j, name in enumerate(self.columns):
            column = table.column(name).slice(begin, len(out))
            if column.null_count and out.dtype.kind != "f":
                raise ReadError(f"column {name!r} must hold a number in each row; {column.null_count} are missing")
            out[:, j] = column.to_numpy()


def _dataset(source: Any) -> Any:
    """Return the source as a data set of pyarrow."""
    try:
        from pyarrow import dataset
    except ImportError as error:
        raise ImportError("fastnn.data.Table needs pyarrow: pip install pyarrow") from error
    if isinstance(source, dataset.Dataset):
        return source
    paths = [os.fspath(path) for path in (source if isinstance(source, list | tuple) else [source])]
    arrow = paths[0].endswith((".arrow", ".feather", ".ipc"))
    return dataset.dataset(paths[0] if len(paths) == 1 else paths, format="ipc" if arrow else "parquet")


def _groups_of(fragment: Any) -> list[tuple[int, Callable[[list[str]], Any]]]:
    """Return the rows of each group of a file, and what reads it."""
    if hasattr(fragment, "split_by_row_group"):
        return [(part.row_groups[0].num_rows, _read_part(part)) for part in fragment.split_by_row_group()]
    import pyarrow as pa

    file = pa.ipc.open_file(pa.memory_map(fragment.path))
    return [(file.get_batch(i).num_rows, _read_batch(file, i)) for i in range(file.num_record_batches)]


def _read_part(part: Any) -> Callable[[list[str]], Any]:
    return lambda columns: part.to_table(columns=columns)


def _read_batch(file: Any, number: int) -> Callable[[list[str]], Any]:
    from pyarrow import Table

    return lambda columns: Table.from_batches([file.get_batch(number)]).select(columns)


def _type_of(field: Any) -> np.dtype[Any]:
    """Return NumPy's type of a column's numbers."""
    dtype: np.dtype[Any]
    try:
        dtype = np.dtype(field.type.to_pandas_dtype())
    except NotImplementedError:
        dtype = np.dtype(object)
    if dtype.kind not in "buif":
        raise TypeError(f"columns must hold numbers or booleans; {field.name!r} is {field.type}")
    return dtype
