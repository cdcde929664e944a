"""From what a user names, a file or a data set, to a source."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastnn import datasets
from fastnn.cli.tables import array_files
from fastnn.cli.tables.sources import ArraySource, Source, told_of

_SETS: dict[str, Callable[..., Any]] = {
    "digits": datasets.load_digits,
    "mnist": datasets.load_mnist,
    "fashion-mnist": datasets.load_fashion_mnist,
    "emnist": datasets.load_emnist,
    "qmnist": datasets.load_qmnist,
    "cifar10": datasets.load_cifar10,
    "svhn": datasets.load_svhn,
    "imdb": datasets.load_imdb,
}
_SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".npz": "npz", ".npy": "npy", ".parquet": "parquet", ".pq": "parquet",
    ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow", ".svm": "svmlight", ".svmlight": "svmlight",
    ".libsvm": "svmlight",
}  # fmt: skip
_MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", b"PK\3\4": "npz", b"PK\5\6": "npz", b"\x93NUMPY": "npy"}
_HEAD = 1 << 12


@dataclass(frozen=True)
class Reading:
    """How a user wants a file to be read.

    Attributes
    ----------
    delimiter : str or None
        Of a text file; None finds it.
    header : bool or None
        Whether its first row has the names; None finds out.
    known : tuple of str
        Names that a header has, if there is one.
    inputs : int or None
        Columns of a file that has only those that are not 0.
    part : {"train", "test"}
        Of a data set.
    first : int or None
        The index of the first column in svmlight's rows, 0 or 1; None finds out.
    """

    delimiter: str | None = None
    header: bool | None = None
    known: tuple[str, ...] = ()
    inputs: int | None = None
    part: str = "train"
    first: int | None = None


def open_source(path: str, reading: Reading) -> Source:
    """Return the source that a user names.

    Raises
    ------
    ValueError
        If the file is damaged or of no known format.
    OSError
        If it cannot be opened.
    ImportError
        If the library that reads the format is not installed.
    """
    name, _, folder = path.partition(":")
    if name in _SETS and not Path(path).exists():
        return _data_set(path, name, folder, reading.part)
    with Path(path).open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise ValueError(f"{path} is empty")
    with told_of(path):
        kind = _kind(path, head)
        if kind in ("parquet", "arrow"):
            from fastnn.cli.tables.arrow_files import ArrowSource

            return ArrowSource(path, kind)
        if kind == "csv":
            from fastnn.cli.tables.csv_files import CsvSource

            return CsvSource(path, reading.delimiter, reading.header, reading.known)
        return array_files.read(path, kind, reading.inputs, reading.first)


def _kind(path: str, head: bytes) -> str:
    """Return the format: as the name says, or else as the content does."""
    suffix = Path(path.lower().removesuffix(".gz")).suffix
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if array_files.is_idx(path):
        return "idx"
    kind = _SUFFIXES.get(suffix, "csv")
    if kind == "csv" and re.match(rb"(#.*\n)*[^\s,;]+( qid:\d+)? \d+:[^\s,;]+[\s]", head):
        return "svmlight"
    return kind


def _data_set(path: str, name: str, folder: str, part: str) -> Source:
    if name == "digits" and folder:
        raise ValueError(f"{path}: the digits are inside the package; take `digits` alone")
    with told_of(path):
        train, test = _SETS[name](folder) if folder else _SETS[name]()
    X, y = train if part == "train" else test
    return ArraySource(path, X, y, f"the {part} part of {name}")


def check_apart(out: Path, *read: str | Path | None) -> None:
    """Refuse to write over a file that is read."""
    for path in read:
        if path is not None and out.exists() and Path(path).exists() and out.samefile(path):
            raise ValueError(f"{path} is read from: --out must be another file")
