"""EMNIST: handwritten letters and digits in MNIST's format."""

from __future__ import annotations

from functools import partial
from os import PathLike
from pathlib import Path

from numpy.typing import DTypeLike

from fastnn.datasets import homes
from fastnn.datasets.archives import unzip_files
from fastnn.datasets.fetching import obtain
from fastnn.datasets.images import Split, input_dtype
from fastnn.datasets.mnist import find_files, read_splits

SPLITS = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")
ARCHIVE = "gzip.zip"


def load_emnist(
    data_dir: str | PathLike[str] | None = None,
    split: str = "balanced",
    dtype: DTypeLike = "float32",
    *,
    download: bool = False,
) -> tuple[Split, Split]:
    """Load one of the sets of EMNIST: handwritten digits, capital and small letters.

    Parameters
    ----------
    data_dir : path-like, optional
        Folder with the files of the split, such as emnist-letters-train-images-idx3-ubyte, packed or not, or with
        gzip.zip, from which they are then taken; by default as in `load_mnist`, ``emnist``.
    split : {"balanced", "byclass", "bymerge", "digits", "letters", "mnist"}
        Which of the sets.
    dtype : {"float32", "float64", "uint8"}
        As in `load_mnist`.
    download : bool
        As in `load_mnist`; one archive of 560 MB holds all splits.

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        X (m, 784): images upright, as those of MNIST are (the files have them transposed).
        y: the classes from 0 on, 47 for "balanced" and "bymerge", 62 for "byclass", 26 for "letters", 10 for the
        others; the letters' files count from 1.

    References
    ----------
    G. Cohen, S. Afshar, J. Tapson, A. van Schaik: EMNIST: an extension of MNIST to handwritten letters.
    arXiv:1702.05373 (2017), https://www.nist.gov/itl/products-and-services/emnist-dataset

    Examples
    --------
    >>> from fastnn.datasets import load_emnist
    >>> (X, y), (X_test, y_test) = load_emnist(dtype="uint8", download=True)  # doctest: +SKIP
    """
    dtype = input_dtype(dtype)
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
    paths = obtain(homes.EMNIST, data_dir, download, partial(_find_or_unzip, split=split))
    parts = read_splits(paths, dtype, transposed=True)
    if split == "letters":
        for (_, y), path in zip(parts, paths[1::2], strict=True):
            if y.min() < 1:
                raise ValueError(f"{path} does not hold EMNIST's letters: its labels begin at {y.min()}, not 1")
            y -= 1
    return parts


def _find_or_unzip(folder: Path, split: str) -> list[Path]:
    names = [
        f"emnist-{split}-{part}-{content}"
        for part in ("train", "test")
        for content in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    try:
        return find_files(folder, names)
    except FileNotFoundError:
        if not (folder / ARCHIVE).is_file():
            raise
    unzip_files(folder / ARCHIVE, folder, [f"{name}.gz" for name in names])
    return find_files(folder, names)
