"""What `--report` writes into a folder: numbers as JSON, and figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import saving
from fastnn.cli.answers import Answers
from fastnn.cli.models import Model
from fastnn.cli.scoring import Evaluation, evaluate
from fastnn.cli.tables import Values
from fastnn.history import History

_MOST_CLASSES = 30  # of a confusion matrix that can be read


def check(folder: Path) -> None:
    """Make the folder, and find out whether a report can be written at all."""
    folder.mkdir(parents=True, exist_ok=True)
    saving.check_writable(folder / "history.json")
    import matplotlib as mpl  # noqa: F401
    import sklearn.metrics  # noqa: F401


def write_training(folder: Path, model: Model, history: History, held: tuple[Values, Answers] | None) -> None:
    """Write history.json and history.png, and of validation samples what ``write_evaluation`` writes."""
    from fastnn import plotting

    about = {
        "loss": history.loss,
        "validation_loss": history.validation_loss,
        "validation_score": history.validation_score,
        "seconds": history.seconds,
        "ended": history.ended,
        "best_epoch": history.best_epoch,
        "sizes": model.network.sizes,
    }
    _write(folder / "history.json", json.dumps(_finite(about), indent=1).encode())
    if history.epochs:
        _save(plotting.plot_history(history), folder / "history.png")
    if held is not None:
        write_evaluation(folder, evaluate(model, *held))


def write_evaluation(folder: Path, found: Evaluation) -> None:
    """Write scores.json, and confusion.png of classes or predictions.png of real targets."""
    from fastnn import plotting

    about = {**found.scores, "classes": found.classes}
    _write(folder / "scores.json", json.dumps(_finite(about), indent=1).encode())
    if found.classes and len(found.classes) <= _MOST_CLASSES:
        names = [each["class"] for each in found.classes]
        names += sorted(set(found.predicted).difference(names))
        true, predicted = (values.astype(str) for values in (found.true, found.predicted))
        _save(plotting.plot_confusion(true, predicted, names), folder / "confusion.png")
    elif "mean absolute error" in found.scores and found.true.shape == found.predicted.shape:
        _save(plotting.plot_predictions(found.true, found.predicted), folder / "predictions.png")


def _finite(value: Any) -> Any:
    """Return the value with None for what JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _write(path: Path, content: bytes) -> None:
    saving.write_atomically(path, content)
    print(f"wrote {path}")


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path)
    print(f"wrote {path}")
