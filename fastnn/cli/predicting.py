"""What `fastnn predict`, `evaluate` and `info` do with a model."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from fastnn import saving
from fastnn.cli import reports, scoring
from fastnn.cli.answers import Answers, answers_of
from fastnn.cli.models import Model, load_model, read_for
from fastnn.cli.tables import Reading, Values, open_source
from fastnn.cli.tables.array_files import read_array
from fastnn.cli.tables.opening import check_apart


@dataclass(frozen=True)
class Asked:
    """A model and a file with samples for it.

    Attributes
    ----------
    model : Path
        The model's file.
    data : str
        A file or a data set, of which the test part is taken.
    targets : str or None
        A file with the targets.
    delimiter, header : str or None, bool or None
        How a text file is read; None finds out.
    target : str or None
        The column with the targets, if it is not that of the training.
    drop : sequence of str
        Columns to leave out.
    """

    model: Path
    data: str
    targets: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    target: str | None = None
    drop: Sequence[str] = ()

    def read(self) -> tuple[Model, Values, Answers | None]:
        """Return the model, the inputs and the targets, if the file has them; say on stderr what is to be known."""
        model = load_model(self.model)
        known = tuple(model.encoding.names) if model.named else ()
        if self.target is not None and not self.target.lstrip("-").isdecimal():
            known = (*known, self.target)
        reading = Reading(self.delimiter, self.header, known, model.encoding.width, "test", model.first)
        source = open_source(self.data, reading)
        columns, y, name = read_for(model, source, self.target, self.drop, self.header is False)
        if self.targets is not None:
            y, name = read_array(self.targets), f"y of {self.targets}"
        X, notes = model.transform(columns, source)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        answers = None if y is None else answers_of(y, model.network.architecture.loss, source, name)
        if answers is not None and len(answers) != X.shape[0]:
            raise ValueError(f"{self.data}: X and y must have as many rows; got {X.shape[0]} and {len(answers)}")
        return model, X, answers


def predict(asked: Asked, proba: bool, out: Path | None) -> None:
    """Write the predictions as CSV; say the score on stderr where the file holds the targets."""
    if out is not None:
        check_apart(out, asked.model, asked.data, asked.targets)
        saving.check_writable(out)
    model, X, answers = asked.read()
    network, labels = model.network, model.labels
    if proba:
        outputs = network.predict_proba(X)
        names = labels or [str(k) for k in range(network.sizes[-1])]
        header = [f"p({name})" for name in (names[-1:] if network.sizes[-1] == 1 else names)]
    elif labels:
        outputs, header = model.predicted(network.forward(X)), ["prediction"]
    else:
        outputs = network.predict(X)
        header = ["prediction"] if outputs.ndim == 1 else [f"prediction {k}" for k in range(network.sizes[-1])]
    if out is None:
        _write_csv(sys.stdout, outputs, header)
        sys.stdout.flush()  # a closed pipe is met here
    else:
        text = io.StringIO()
        _write_csv(text, outputs, header)
        saving.write_atomically(out, text.getvalue().encode())
    if answers is not None:
        _warn_of_unknown(model, answers)
        name, score = scoring.score(model, X, answers)
        print(f"{name} on {X.shape[0]:,} samples: {score}", file=sys.stderr)


def evaluate(asked: Asked, report: Path | None) -> None:
    """Print all scores, and write them with a figure into a folder."""
    if report is not None:
        reports.check(report)
    model, X, answers = asked.read()
    if answers is None:
        raise ValueError(f"{asked.data} has no targets to compare with; --target names their column")
    _warn_of_unknown(model, answers)
    found = scoring.evaluate(model, X, answers)
    print(f"{X.shape[0]:,} samples")
    for name, value in found.scores.items():
        print(f"{name:20} {value:.6g}")
    for each in found.classes:
        print(f"recall of {each['class']}: {each['recall']:.4f} ({each['samples']:,} samples)")
    if report is not None:
        reports.write_evaluation(report, found)


def describe(path: Path) -> None:
    """Print what a model is."""
    model = load_model(path)
    network, encoding = model.network, model.encoding
    print(f"network   {network!r}")
    print(f"          {network.parameters.size:,} parameters; trained with {network.optimizer!r}")
    progress = network.state.progress
    if progress is not None and progress.history.epochs:
        print(f"training  {progress.history}, ended by {progress.history.ended or 'divergence'}")
    print(f"inputs    {len(encoding.inputs)} columns {'by name' if model.named else 'by position'}")
    for each in encoding.inputs if model.named or encoding.texts else []:
        kind = "number" if each.categories is None else f"{len(each.categories)} categories"
        print(f"          {each.name}: {kind}{', missing ones marked' if each.marked else ''}")
    print(f"target    {model.target or 'not a column'}")
    if model.labels:
        print(f"classes   {', '.join(model.labels[:20])}{', ...' if len(model.labels) > 20 else ''}")


def _warn_of_unknown(model: Model, answers: Answers) -> None:
    if answers.codes is None:
        return
    unknown = [name for name in answers.classes if name not in set(model.labels)]
    if unknown:
        count = int(np.isin(answers.codes, [answers.classes.index(name) for name in unknown]).sum())
        shown = ", ".join(map(repr, unknown[:5])) + ", ..." * (len(unknown) > 5)
        print(
            f"note: {count:,} samples of classes that the model does not have ({shown}) count as wrong", file=sys.stderr
        )


def _write_csv(file: TextIO, predictions: Values, header: list[str]) -> None:
    """Write one line a sample below the header, with the shortest digits of the numbers' type."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(np.reshape(predictions, (len(predictions), -1)).astype(str))
