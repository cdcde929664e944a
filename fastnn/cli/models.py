"""A model: a network and what it has to know of tables, in one file; and how a file's columns are matched with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import saving
from fastnn.cli.encoding import Encoding, Input
from fastnn.cli.tables import Column, Source, Values
from fastnn.cli.tables.sources import numbered
from fastnn.evaluation import decide
from fastnn.network import Network, load

_TARGETS = ("label", "labels", "target", "targets", "class", "y")  # usual names of their column


@dataclass
class Model:
    """A network that knows its columns.

    Attributes
    ----------
    network : Network
        What is trained; it has the scale of its inputs and targets, and the labels of its classes.
    encoding : Encoding
        From columns to its inputs.
    named : bool
        Whether the columns have names, by which they are found.
    width : int
        Columns of the file that it was trained on.
    target : str or None
        The column with the targets.
    ignored : list of str
        Columns of that file that were left out.
    classes : list of str
        Texts of the classes, of a file that does not have them with the network.
    split : dict
        What was held out: ``share`` and ``seed``.
    first : int or None
        The index of the first column in svmlight's rows that it was trained on, 0 or 1.
    """

    network: Network
    encoding: Encoding
    named: bool
    width: int
    target: str | None = None
    ignored: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    split: dict[str, Any] = field(default_factory=dict)
    first: int | None = None

    def save(self, path: Path) -> None:
        """Write the model, whole or not at all."""
        about = {
            "inputs": self.encoding.describe(),
            "named": self.named,
            "width": self.width,
            "target": self.target,
            "ignored": self.ignored,
            "classes": self.classes,
            "split": self.split,
            "first": self.first,
        }
        saving.save(path, self.network.architecture, self.network.state, {"table": json.dumps(about)})

    @property
    def labels(self) -> list[str]:
        """The classes' texts in the network's order; empty for numbers."""
        if self.classes or not self.network.state.trained_on_labels:
            return self.classes
        labels = self.network.classes
        return [str(k) for k in range(max(2, self.network.sizes[-1]))] if labels is None else list(map(str, labels))

    def predicted(self, outputs: Values) -> Values:
        """Return the text of the class that each sample's outputs predict."""
        classes = decide(self.network.architecture, outputs, as_labels=True)
        texts: Values = np.array(self.labels, dtype=object)[classes]
        return texts

    def transform(self, columns: dict[str, Column], source: Source) -> tuple[Values, list[str]]:
        """Return a file's columns as the network's inputs, and what is to be said of them."""
        return self.encoding.transform(columns, source, self.network.dtype)


def load_model(path: Path) -> Model:
    """Read what `fastnn train` or ``Network.save`` wrote."""
    network = load(path)
    texts = saving.read_metadata(path)
    n = network.sizes[0]
    try:
        if "table" not in texts:  # by position
            classes = json.loads(texts.get("classes", "[]"))
            encoding = Encoding([Input(name, median=float("nan")) for name in numbered(n)])  # none may be missing
            return Model(network, encoding, False, n, classes=classes)
        about = json.loads(texts["table"])
        model = Model(network, Encoding.from_description(about.pop("inputs")), **about)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ValueError(f"{str(path)!r} is not a whole fastnn model: {error}") from error
    if model.encoding.width != n:
        raise ValueError(f"{str(path)!r} is not a whole fastnn model: its columns make {model.encoding.width} inputs")
    return model


def choose_columns(
    source: Source, target: str | None, drop: Sequence[str], inputs: Sequence[str], apart: bool
) -> tuple[list[str], str | None]:
    """Return the columns to train on, and that with the targets.

    Parameters
    ----------
    target : str, optional
        The user's name or number of it; by default the last one, unless the targets are ``apart``.
    drop, inputs : sequence of str
        What the user leaves out or takes alone, by name or number.
    """
    if target is not None and apart:
        raise ValueError("--target names a column, but y is given apart")
    found = None
    if not apart:
        found = _last(source) if target is None else source.find(target, "--target")
    dropped = {source.find(name, "--drop") for name in drop}
    names = [source.find(name, "--inputs") for name in inputs] or [n for n in source.names if n not in dropped]
    if not inputs:
        names = [name for name in names if name != found]
    if found in dropped or found in names:
        raise ValueError(f"column {found!r} has the targets: it can be neither an input nor dropped")
    if not names:
        raise ValueError(f"{source.path} has one column; expected inputs and, in the last column, the label")
    if both := dropped.intersection(names):
        raise ValueError(f"column {both.pop()!r} is in both --drop and --inputs")
    if not source.named:  # columns go by position later: in a file with these alone, and in this one
        names.sort(key=source.names.index)
    return list(dict.fromkeys(names)), found


def _last(source: Source) -> str:
    """Return the last column, unless that is hardly the one with the targets."""
    if source.X is not None:
        raise ValueError(f"{source.path} holds no y; expected an array y, a second file with it, or --target NUMBER")
    usual = [name for name in source.names[:-1] if name.lower() in _TARGETS]
    if source.named and usual and source.names[-1].lower() not in _TARGETS:
        found = f"{source.path} has a column {usual[0]!r}, and {source.names[-1]!r} is the last one"
        raise ValueError(f"{found}; --target says which holds the targets")
    return source.names[-1]


def match_columns(
    model: Model, source: Source, target: str | None, drop: Sequence[str], by_position: bool
) -> tuple[list[str], str | None]:
    """Return the columns of a file that are the model's inputs, in its order, and that with the targets, if any.

    Columns of a file without names, or for a model without, go by position: those of a file as the model was trained
    on, or inputs alone.
    """
    found = None if target is None else source.find(target, "--target")
    dropped = {source.find(name, "--drop") for name in drop}
    if not (model.named and source.named):
        if model.named and not by_position and source.X is None:
            shown = ", ".join(model.encoding.names[:10])
            raise ValueError(
                f"{source.path} has no header with the names of the model's columns ({shown}); --no-header takes them "
                "by position"
            )
        return _by_position(model, source, found, dropped)
    names = model.encoding.names
    found = found or (model.target if model.target in source.names else None)
    if missing := [name for name in names if name not in source.names]:
        raise ValueError(f"{source.path} lacks the model's column {_listed(missing)}; it has {_listed(source.names)}")
    known = {*names, *model.ignored, *dropped, found}
    if unknown := [name for name in source.names if name not in known]:
        raise ValueError(
            f"{source.path} has the column {_listed(unknown)}, which the model does not know; --drop leaves it out"
        )
    return names, found


def _by_position(model: Model, source: Source, found: str | None, dropped: set[str]) -> tuple[list[str], str | None]:
    names = [name for name in source.names if name not in dropped and name != found]
    inputs = model.encoding.names
    if len(names) == len(inputs):
        return names, found
    as_trained = found is None and not dropped and not model.named and len(source.names) == model.width
    if as_trained:
        places = [int(name.removeprefix("column ")) - 1 for name in inputs]
        target = None if model.target is None else source.names[int(model.target.removeprefix("column ")) - 1]
        return [source.names[place] for place in places], target
    hint = "; --target NUMBER says which holds the targets" if len(names) == len(inputs) + 1 else ""
    raise ValueError(f"{source.path}: X must have {len(inputs)} columns; found {len(names)}{hint}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:10])) + ", ..." * (len(names) > 10)


def read_for(
    model: Model, source: Source, target: str | None, drop: Sequence[str], by_position: bool
) -> tuple[dict[str, Column], Column | None, str]:
    """Return a file's columns under the model's names, its targets if it has them, and what they are called."""
    names, found = match_columns(model, source, target, drop, by_position)
    texts = [name for name, each in zip(names, model.encoding.inputs, strict=True) if each.categories is not None]
    if found is not None and model.network.architecture.loss.classifies:
        texts.append(found)
    columns = source.read([*names, *([] if found is None else [found])], texts)
    y = source.y if found is None else columns[found]
    renamed = dict(zip(model.encoding.names, (columns[name] for name in names), strict=True))
    return renamed, y, "y" if found is None else f"column {found!r}"
