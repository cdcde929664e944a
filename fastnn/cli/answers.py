"""The targets of a file: labels, each its own text, or numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from fastnn.cli.tables import Column, Source, Texts, Values
from fastnn.cli.tables.arrow_files import is_number
from fastnn.losses import Loss

_MOST_NUMBERED_CLASSES = 1000  # more different numbers in y are a quantity; classes can be named by text
_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}")  # a number that prints back the same, of at most 64 bits


@dataclass(frozen=True)
class Answers:
    """Targets, as ``fit`` takes them.

    Attributes
    ----------
    y : ndarray, (m,) or (m, K)
        Labels, whole numbers or texts; or numbers, float64.
    codes : ndarray of integers, (m,), or None
        The places of the labels among the classes; None of numbers.
    classes : list of str
        The classes' texts in the network's order; empty of numbers.
    """

    y: Values
    codes: Values | None
    classes: list[str]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Values) -> Answers:
        """Return those of some rows."""
        return Answers(self.y[rows], None if self.codes is None else self.codes[rows], self.classes)

    @property
    def texts(self) -> Values:
        """Each label's text."""
        return np.array(self.classes, dtype=object)[self.codes]


def answers_of(y: Column, loss: Loss, source: Source, name: str) -> Answers:
    """Return a column or an array of targets, checked.

    Raises
    ------
    ValueError
        If there is none in a row, or they are not what the loss takes; the error names the place.
    """
    if not isinstance(y, Texts):
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim not in (1, 2) or y.size == 0:
            raise ValueError(f"{name} must hold a target for each sample, (m,) or (m, K); got shape {y.shape}")
        y = _as_column(y, name)
    if not loss.classifies or (not isinstance(y, Texts) and y.ndim == 2):
        return Answers(_numbers(y, loss, source, name), None, [])
    texts = y if isinstance(y, Texts) else _texts_of(y, source, name)
    if (texts.codes < 0).any():
        row = int((texts.codes < 0).argmax())
        raise ValueError(f"{source.place(row)}: {name} has no label")
    values = texts.values
    _check_labels(texts, source, name)
    whole = all(map(_WHOLE.fullmatch, values))
    labels = np.array([int(value) for value in values]) if whole else np.array(values, dtype=object)
    order = np.argsort(labels, kind="stable") if whole else sorted(range(len(values)), key=values.__getitem__)
    places = np.empty(len(values), np.int64)
    places[order] = np.arange(len(values))
    return Answers(labels[texts.codes], places[texts.codes], [values[place] for place in order])


def _as_column(y: Values, name: str) -> Column:
    """Return an array of bytes, texts or booleans as texts, of numbers as it is."""
    if y.dtype.kind in "bUSOT" and y.ndim == 1:
        values, codes = np.unique(y.astype(str), return_inverse=True)
        texts = [text.strip() for text in values.tolist()]
        known = [text for text in dict.fromkeys(texts) if text]
        places = np.array([known.index(text) if text else -1 for text in texts])
        return Texts(places[codes], known)
    if y.dtype.kind not in "buif":
        raise ValueError(f"{name} must hold numbers or labels; found {y.flat[0]!r}")
    return y


def _numbers(y: Column, loss: Loss, source: Source, name: str) -> Values:
    if isinstance(y, Texts):
        wrong = [place for place, text in enumerate(y.values) if not is_number(text)]
        if wrong:
            row = int(np.isin(y.codes, wrong).argmax())
            found = f"{source.place(row)}: {name} has {y.values[y.codes[row]]!r}"
            raise ValueError(f"{found}; {loss.name} needs numbers")
        y = np.array([*map(float, y.values), np.nan])[y.codes]
    numbers: Values = y.astype(np.float64)
    wrong_rows = ~np.isfinite(numbers if numbers.ndim == 1 else numbers.sum(axis=1))
    if wrong_rows.any():
        row = int(wrong_rows.argmax())
        there = "no number" if np.isnan(numbers[row]).any() else f"{numbers[row]}, which is not finite"
        raise ValueError(f"{source.place(row)}: {name} has {there}")
    return numbers


def _texts_of(y: Values, source: Source, name: str) -> Texts:
    """Return numbers as labels' texts: whole ones without a decimal point, the same from any file."""
    if y.dtype.kind == "f":
        missing = np.isnan(y)
        fractions = ~missing & (y != np.floor(y))
        if fractions.any():
            _refuse_real(f"{y[fractions][0]:g}", source, name)
        if missing.any():
            raise ValueError(f"{source.place(int(missing.argmax()))}: {name} has no label")
        if (np.abs(y) >= 2 / np.finfo(y.dtype).eps).any():
            raise ValueError(f"{name} holds whole numbers that {y.dtype} rounds, such as {np.abs(y).max():g}")
        y = y.astype(np.int64)
    values, codes = np.unique(y, return_inverse=True)
    return Texts(codes, [str(value) for value in values.tolist()])


def _check_labels(texts: Texts, source: Source, name: str) -> None:
    values = texts.values
    if all(map(is_number, values)):
        fractions = [value for value in values if float(value) % 1]  # NaN, too
        if fractions:
            _refuse_real(fractions[0], source, name)
        if len(values) > _MOST_NUMBERED_CLASSES:
            found = f"{source.path}: {name} holds {len(values):,} different numbers"
            raise ValueError(f"{found}; for regression take --loss squared_error")


def _refuse_real(found: str, source: Source, name: str) -> None:
    text = f"{source.path}: {name} holds real values such as {found}, not labels"
    raise ValueError(f"{text}; for regression take --loss squared_error")


def split(answers: Answers, share: float, rng: np.random.Generator) -> tuple[Values, Values]:
    """Return the rows to train on and those to hold out, each class with the same share, in ascending order.

    Every class has a sample to train on.
    """
    order = rng.permutation(len(answers))
    codes = np.zeros(len(order), np.int64) if answers.codes is None else answers.codes
    order = order[np.argsort(codes[order], kind="stable")]
    firsts = np.flatnonzero(np.diff(codes[order], prepend=-1))  # of each class one, which stays
    candidates = np.delete(order, firsts)
    count = min(len(candidates), round(share * len(order)))
    held = np.sort(candidates[((np.arange(count) + 0.5) * len(candidates) / max(count, 1)).astype(np.int64)])
    return np.delete(np.arange(len(order)), held), held
