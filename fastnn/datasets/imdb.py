"""IMDB: film reviews that praise or that condemn, as counts of words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnn.datasets import homes
from fastnn.datasets.archives import tar_members
from fastnn.datasets.extras import require
from fastnn.datasets.fetching import obtain
from fastnn.datasets.images import FLOATS, Split, input_dtype

WEIGHTINGS = ("tfidf", "counts")
PARTS = ("train", "test")
CLASSES = {"neg": 0, "pos": 1}
REVIEW = re.compile(r"(?:^|/)(train|test)/(neg|pos)/(\d+)_\d+\.txt$")  # ID_RATING.txt
MAX_REVIEW = 1 << 20  # bytes; the longest has 14 kB
MAX_TOTAL = 1 << 28  # all reviews have 66 MB

Texts = tuple[list[str], NDArray[np.int64]]


def load_imdb(
    data_dir: str | PathLike[str] | None = None,
    weighting: str = "tfidf",
    *,
    max_features: int | None = 10_000,
    dtype: DTypeLike = "float32",
    download: bool = False,
) -> tuple[Split, Split]:
    """Load the labelled reviews of IMDB as sparse rows of words, by scikit-learn (the extra ``sklearn``).

    Parameters
    ----------
    data_dir : path-like, optional
        The folder ``aclImdb`` with train/pos, train/neg, test/pos and test/neg, or the archive (.tar.gz) of it, or
        a folder that holds either; by default as in `load_mnist`, ``imdb``.
    weighting : {"tfidf", "counts"}
        "tfidf": scikit-learn's `TfidfTransformer` with its defaults, fitted on the training part; each row has the
        length 1. "counts": how often each word occurs.
    max_features : int or None
        Size of the vocabulary: the words that are most frequent in the training part; None: all that occur there.
    dtype : {"float32", "float64"}
        Type of the numbers.
    download : bool
        Whether the archive is downloaded (84 MB) if it is missing, with pooch (the extra ``data``).

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        X: `scipy.sparse` CSR matrices with a row for each of 25,000 reviews; ``X[:, :5000].toarray()`` is an array.
        y: 1 for praise, 0 for the contrary, int64, in turns.

    Raises
    ------
    FileNotFoundError
        The reviews are missing.
    ValueError
        The archive is damaged, or a review cannot be read.
    ConnectionError
        The download failed.
    ImportError
        scikit-learn is not installed.

    See Also
    --------
    read_imdb : The texts themselves, for features of another kind.

    References
    ----------
    A. L. Maas, R. E. Daly, P. T. Pham, D. Huang, A. Y. Ng, C. Potts: Learning word vectors for sentiment analysis.
    ACL 2011, https://ai.stanford.edu/~amaas/data/sentiment/

    Examples
    --------
    >>> from fastnn.datasets import load_imdb
    >>> (X, y), (X_test, y_test) = load_imdb(max_features=5000, download=True)  # doctest: +SKIP
    """
    resolved = input_dtype(dtype, FLOATS)
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting must be one of {', '.join(WEIGHTINGS)}; got {weighting!r}")
    if max_features is not None and (not isinstance(max_features, int | np.integer) or max_features < 1):
        raise ValueError(f"max_features must be a positive integer or None, got {max_features!r}")
    text = require("sklearn.feature_extraction.text", "scikit-learn", "sklearn", "load_imdb")
    (train_texts, y_train), (test_texts, y_test) = read_imdb(data_dir, download=download)
    counter = text.CountVectorizer(max_features=max_features, dtype=resolved.type)
    train, test = counter.fit_transform(train_texts), counter.transform(test_texts)
    if weighting == "tfidf":
        weigh = text.TfidfTransformer().fit(train)
        train, test = weigh.transform(train), weigh.transform(test)
    return (train, y_train), (test, y_test)


def read_imdb(data_dir: str | PathLike[str] | None = None, *, download: bool = False) -> tuple[Texts, Texts]:
    """Read the labelled reviews of IMDB as texts.

    Parameters
    ----------
    data_dir : path-like, optional
        As in `load_imdb`.
    download : bool
        As in `load_imdb`.

    Returns
    -------
    (texts_train, y_train), (texts_test, y_test)
        Lists of str, and the labels as from `load_imdb`. The reviews are in the order of their numbers.

    Examples
    --------
    >>> from fastnn.datasets import read_imdb
    >>> (texts, y), test = read_imdb("aclImdb_v1.tar.gz")  # doctest: +SKIP
    """
    place = obtain(homes.IMDB, data_dir, download, _find)
    train, test = _sorted_reviews(_from_folder(place) if place.is_dir() else _from_archive(place), place)
    return train, test


def _find(place: Path) -> Path:
    """Return the folder that has train and test, or the archive."""
    if place.is_file():
        return place
    for folder in (place, place / "aclImdb"):
        if all((folder / part / kind).is_dir() for part in PARTS for kind in CLASSES):
            return folder
    for archive in sorted(place.glob("aclImdb*.tar.gz")):
        return archive
    raise FileNotFoundError(f"{place} has neither a folder aclImdb with train and test nor aclImdb_v1.tar.gz")


def _from_folder(folder: Path) -> Iterable[tuple[str, bytes]]:
    for part in PARTS:
        for kind in CLASSES:
            for path in (folder / part / kind).iterdir():
                if REVIEW.search(path.as_posix()):
                    if path.stat().st_size > MAX_REVIEW:
                        raise ValueError(f"{path} is no review: it has {path.stat().st_size} bytes")
                    yield path.as_posix(), path.read_bytes()


def _from_archive(archive: Path) -> Iterable[tuple[str, bytes]]:
    return tar_members(archive, lambda name: REVIEW.search(name) is not None, limit=MAX_REVIEW, total=MAX_TOTAL)


def _sorted_reviews(reviews: Iterable[tuple[str, bytes]], place: Path) -> list[Texts]:
    """Texts and labels of both parts; by number, so that the classes take turns and the order is always the same."""
    found: dict[str, list[tuple[int, int, str]]] = {part: [] for part in PARTS}
    for name, content in reviews:
        part, kind, number = _parts_of(name)
        try:
            found[part].append((number, CLASSES[kind], content.decode("utf-8")))
        except UnicodeDecodeError as error:
            raise ValueError(f"{place} is damaged: {name} is not a text in UTF-8 ({error})") from error
    parts = []
    for part, rows in found.items():
        rows.sort()
        labels = np.array([label for _, label, _ in rows], np.int64)
        if len(np.unique(labels)) < len(CLASSES):
            raise ValueError(f"{place} is not IMDB's: it lacks reviews in {part}/neg or {part}/pos")
        parts.append(([text for _, _, text in rows], labels))
    return parts


def _parts_of(name: str) -> tuple[str, str, int]:
    match = REVIEW.search(name)
    assert match is not None  # others are passed over
    part, kind, number = match.groups()
    return part, kind, int(number)
