"""How good a model is on samples with targets."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.cli.answers import Answers
from fastnn.cli.models import Model
from fastnn.cli.tables import Values
from fastnn.datasets.extras import require


def score_name(model: Model) -> str:
    """Return what the network's score is called."""
    network = model.network
    if network.architecture.loss.classifies:
        return "accuracy"
    return "R^2" if network.loss_name in ("squared_error", "huber") else "D^2"


def score(model: Model, X: Values, answers: Answers) -> tuple[str, str]:
    """Return the name of a score and its value in words: there is none of a constant target."""
    network = model.network
    if answers.codes is not None:
        return "accuracy", f"{float(np.mean(model.predicted(network.forward(X)) == answers.texts)):.4f}"
    value = _value(model, X, answers)
    columns = answers.y.reshape(len(answers), -1)
    same = np.flatnonzero((columns == columns[0]).all(axis=0))
    if network.architecture.loss.classifies or not len(same):
        return score_name(model), f"{value:.4f}"
    if len(same) == columns.shape[1]:
        return score_name(model), f"none, as all targets are {columns[0, 0]:g}"
    left = f"(without target {', '.join(str(k + 1) for k in same)}, which is the same in all rows)"
    return score_name(model), f"{value:.4f} {left}"


def _value(model: Model, X: Values, answers: Answers) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of constant targets: what the user is told is in ``score``
        return model.network.score(X, answers.y)


@dataclass(frozen=True)
class Evaluation:
    """Scores by name, and what they are of.

    Attributes
    ----------
    scores : dict of str to float
        Of all samples.
    classes : list of dict
        Of each class: ``class``, ``samples`` and ``recall``.
    true, predicted : ndarray
        Of each sample.
    """

    scores: dict[str, float]
    classes: list[dict[str, Any]]
    true: Values
    predicted: Values


def evaluate(model: Model, X: Values, answers: Answers) -> Evaluation:
    """Return all scores, by scikit-learn's metrics."""
    metrics = require("sklearn.metrics", "scikit-learn", "sklearn", "evaluate")
    outputs = model.network.forward(X)
    if answers.codes is not None:
        return _of_classes(model, outputs, answers, metrics)
    name, value = score_name(model), _value(model, X, answers)
    predicted = model.network.predict(X)
    if model.network.architecture.loss.classifies:
        return Evaluation({name: value}, [], answers.y, predicted)
    y = answers.y
    error = np.abs(predicted.reshape(len(y), -1) - y.reshape(len(y), -1))
    scores = {name: value, "mean absolute error": float(error.mean())}
    if name != "R^2" and predicted.shape == y.shape and len(y) > 1:
        scores["R^2"] = float(metrics.r2_score(y, predicted))
    return Evaluation(scores, [], y, predicted)


def _of_classes(model: Model, outputs: Values, answers: Answers, metrics: Any) -> Evaluation:
    labels, true = model.labels, answers.texts
    predicted = model.predicted(outputs)
    scores = {"accuracy": float(np.mean(predicted == true))}
    recalls = [
        {"class": name, "samples": int((true == name).sum()), "recall": float((predicted[true == name] == name).mean())}
        for name in answers.classes
    ]
    scores["balanced accuracy"] = float(np.mean([each["recall"] for each in recalls]))
    known = np.isin(answers.classes, labels)[answers.codes]
    if model.network.architecture.loss.has_probabilities and known.all():
        places = {name: place for place, name in enumerate(labels)}
        codes = np.array([places[name] for name in answers.classes])[answers.codes]
        scores |= _of_probabilities(_probabilities(outputs), codes, metrics)
    return Evaluation(scores, recalls, true, predicted)


def _probabilities(outputs: Values) -> Values:
    """Return the probability of each class, in float64; of several yes/no outputs, with the sum 1."""
    values = outputs.astype(np.float64)
    if values.shape[1] == 1:
        return np.hstack([1 - values, values])
    found: Values = values / np.maximum(values.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return found


def _of_probabilities(probabilities: Values, codes: Values, metrics: Any) -> dict[str, float]:
    """Return the log loss, and the area under the ROC curve, of several classes the mean of one against the rest."""
    classes = np.arange(probabilities.shape[1])
    scores = {"log loss": float(metrics.log_loss(codes, probabilities, labels=classes))}
    areas = [
        metrics.roc_auc_score(codes == k, probabilities[:, k])
        for k in (classes[1:] if len(classes) == 2 else classes)
        if 0 < np.count_nonzero(codes == k) < len(codes)
    ]
    return scores | ({"AUC": float(np.mean(areas))} if areas else {})
