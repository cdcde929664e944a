"""What `fastnn train` does: a file in, a model out, with what can fail at the end tried at the start."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnn import saving
from fastnn.cli import reports, scoring
from fastnn.cli.answers import Answers, answers_of, split
from fastnn.cli.encoding import Encoding
from fastnn.cli.models import Model, choose_columns, load_model, read_for
from fastnn.cli.settings import Settings
from fastnn.cli.tables import Column, Reading, Source, Values, open_source, rows_of
from fastnn.cli.tables.array_files import read_array
from fastnn.cli.tables.opening import check_apart
from fastnn.data import is_sparse
from fastnn.history import DivergenceError, History
from fastnn.losses import LOSSES, Loss

_HINT = "; --target NAME or NUMBER takes another column"


@dataclass(frozen=True)
class Job:
    """What is read, and where the model goes.

    Attributes
    ----------
    data : str
        A file or a data set.
    targets : str or None
        A file with the targets.
    reading : Reading
        How the file is read.
    out : Path
        The model's file.
    target : str or None
        The column with the targets.
    drop, inputs, categorical : sequence of str
        Columns to leave out, to take alone, and to take as categories.
    report : Path or None
        A folder for the history and figures.
    resume : bool
        Whether the model in ``out`` trains on.
    """

    data: str
    targets: str | None
    reading: Reading
    out: Path
    target: str | None = None
    drop: Sequence[str] = ()
    inputs: Sequence[str] = ()
    categorical: Sequence[str] = ()
    report: Path | None = None
    resume: bool = False


class _Task(NamedTuple):
    """A model and what it is trained on: all rows of a file's columns, and which of them are held out."""

    model: Model
    source: Source
    columns: dict[str, Column]
    answers: Answers
    train_rows: Values
    held_rows: Values


def train(job: Job, settings: Settings) -> None:
    """Train a network on a file, print how it goes, and write the model, which takes the file's columns."""
    _try_the_end(job)
    settings = settings.completed()
    began = time.perf_counter()
    model, source, columns, answers, train_rows, held_rows = (_resumed if job.resume else _begun)(job, settings)
    read = time.perf_counter()
    network, encoding = model.network, model.encoding
    some = None if len(train_rows) == len(answers) else train_rows
    X, notes = encoding.transform(columns, source, network.dtype, some)
    held = _held_out(encoding, columns, source, network.dtype, held_rows, answers)
    options = settings.fit_options(network, held is not None)
    if settings.standardise and settings.preset is None and not job.resume and not is_sparse(X):
        options["scale"] = encoding.scaler(X)
    del columns
    _describe(model, source, answers, len(train_rows), len(held_rows), notes)
    print(f"time      {read - began:.2f} s to read, {time.perf_counter() - read:.2f} s to prepare", flush=True)
    history = _fit(model, X, answers.take(train_rows), held, options, job)
    _finish(model, history, held, job)


def _try_the_end(job: Job) -> None:
    """Try what is needed in the end: the library, the folders."""
    import safetensors  # noqa: F401

    job.out.parent.mkdir(parents=True, exist_ok=True)
    check_apart(job.out, job.data, job.targets)
    saving.check_writable(job.out)
    if job.report is not None:
        reports.check(job.report)


def _begun(job: Job, settings: Settings) -> _Task:
    """Return a new model, and what it is trained on."""
    assert settings.validation is not None
    loss = LOSSES[settings.loss]
    source = open_source(job.data, job.reading)
    apart = source.y is not None or job.targets is not None
    names, target = choose_columns(source, job.target, job.drop, job.inputs, apart)
    categorical = [source.find(name, "--categorical") for name in job.categorical]
    texts = [*categorical, *([target] if target is not None and loss.classifies else [])]
    columns = source.read([*names, *([] if target is None else [target])], texts)
    answers = _answers(job, loss, source, columns, target)
    columns = {name: columns[name] for name in names}
    _check_rows(source, columns, answers)
    rows = split(answers, settings.validation, np.random.default_rng([settings.seed, 1]))
    encoding = Encoding.of(columns, source, categorical, settings.preset is not None)
    dtype = np.dtype(np.float64 if encoding.is_far(columns) else settings.dtype)
    network = settings.network(encoding.width, _outputs(answers, loss), dtype)
    ignored = [name for name in source.names if name not in names and name != target]
    held = {"share": settings.validation, "seed": settings.seed}
    model = Model(network, encoding, source.named, len(source.names), target, ignored, [], held, source.first)
    return _Task(model, source, columns, answers, *rows)


def _resumed(job: Job, settings: Settings) -> _Task:
    """Return the model whose training goes on, and what it was trained on."""
    model = load_model(job.out)
    if not model.split:
        raise ValueError(f"{job.out} was not written by `fastnn train`: it cannot be resumed")
    loss = model.network.architecture.loss
    if loss.name != settings.loss:
        raise ValueError(f"{job.out} was trained with --loss {loss.name}; got {settings.loss}")
    source = open_source(job.data, job.reading)
    columns, y, name = read_for(model, source, job.target, job.drop, by_position=True)
    if y is None or job.targets is not None:
        answers = _answers(job, loss, source, {}, None)
    else:
        answers = answers_of(y, loss, source, name)
    _check_rows(source, columns, answers)
    rows = split(answers, model.split["share"], np.random.default_rng([model.split["seed"], 1]))
    return _Task(model, source, columns, answers, *rows)


def _answers(job: Job, loss: Loss, source: Source, columns: dict[str, Column], target: str | None) -> Answers:
    """Return the targets, checked, of which not all are the same."""
    name = f"column {target!r}" if target is not None else "y"
    if job.targets is not None:
        y: Column = read_array(job.targets)
        name = f"y of {job.targets}"
    elif target is not None:
        y = columns[target]
    elif source.y is not None:
        y = source.y
    else:
        raise ValueError(f"{job.data} holds no y; --target names its column")
    answers = answers_of(y, loss, source, name)
    if answers.codes is not None and len(answers.classes) < 2:
        raise ValueError(f"{job.data}: {name} must hold at least two classes; found only {answers.classes[0]}{_HINT}")
    if answers.codes is None and (answers.y == answers.y[0]).all():
        found = np.array2string(answers.y[0])
        raise ValueError(f"{job.data}: {name} is {found} in every row: there is nothing to learn{_HINT}")
    return answers


def _check_rows(source: Source, columns: dict[str, Column], answers: Answers) -> None:
    m = rows_of(next(iter(columns.values())))
    if m != len(answers):
        raise ValueError(f"{source.path}: X and y must have as many rows; got {m} and {len(answers)}")


def _outputs(answers: Answers, loss: Loss) -> int:
    if answers.codes is not None:
        return 1 if not loss.chooses and len(answers.classes) == 2 else len(answers.classes)
    return 1 if answers.y.ndim == 1 else int(answers.y.shape[1])


def _held_out(
    encoding: Encoding, columns: dict[str, Column], source: Source, dtype: np.dtype[Any], rows: Values, answers: Answers
) -> tuple[Values, Answers] | None:
    if not len(rows):
        return None
    return encoding.transform(columns, source, dtype, rows)[0], answers.take(rows)


def _describe(model: Model, source: Source, answers: Answers, train: int, held: int, notes: list[str]) -> None:
    """Print what is trained on what."""
    encoding, network = model.encoding, model.network
    print(f"file      {source.path}: {source.how}")
    print(f"data      {train:,} training and {held:,} validation samples")
    texts, marked = encoding.texts, [each.name for each in encoding.inputs if each.marked]
    print(f"inputs    {encoding.numbers} of numbers, {len(texts)} of categories: {network.sizes[0]} inputs")
    for each in encoding.inputs:
        if each.categories is not None:
            shown = ", ".join(" ".join(text.split()) for text in each.categories[:5]) + ", ..." * (
                len(each.categories) > 5
            )
            print(f"          {each.name}: {len(each.categories)} categories, one-hot: {shown}")
    if marked:
        print(f"missing   in {', '.join(marked)}: the median in their place, or no category; marked by an input each")
    for note in notes:
        print(f"note      {note}")
    target = "" if model.target is None else f"{model.target}: "
    classes = ", ".join(answers.classes[:10]) + ", ..." * (len(answers.classes) > 10)
    print(f"targets   {target}{classes or 'real or 0/1 values'}")
    if answers.codes is not None:
        counts = np.bincount(answers.codes)
        if counts.min() == 1:
            single = [name for name, count in zip(answers.classes, counts, strict=True) if count == 1]
            print(f"note      only one sample has the class {', '.join(single[:5])}: it is trained on, not validated")
    print(
        f"network   {'-'.join(map(str, network.sizes))}, {network.parameters.size:,} parameters, {network.dtype}",
        flush=True,
    )


def _fit(
    model: Model, X: Values, answers: Answers, held: tuple[Values, Answers] | None, options: dict[str, Any], job: Job
) -> History:
    """Train; of a training that diverges the last finite network is kept."""
    validation = None if held is None else (held[0], held[1].y)
    try:
        return model.network.fit(X, answers.y, **options, validation_data=validation, resume=job.resume, verbose=True)
    except DivergenceError as error:
        if not error.history.epochs:
            raise
        model.save(job.out)
        raise ValueError(
            f"{error} It was written to {job.out}, as it was after epoch {error.history.epochs}."
        ) from error


def _finish(model: Model, history: History, held: tuple[Values, Answers] | None, job: Job) -> None:
    """Write the model, and say how good it is."""
    if history.interrupted:
        print(f"interrupted after {history.epochs} whole epochs; the network stays as trained so far")
    print(f"trained in {sum(history.seconds):.2f} s")
    model.save(job.out)
    if held is not None:
        X, answers = held
        name, score = scoring.score(model, X, answers)
        print(f"{name} on the {len(answers):,} validation samples: {score}")
    print(f"wrote {job.out}")
    if job.report is not None:
        reports.write_training(job.report, model, history, held)
