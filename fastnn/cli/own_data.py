"""What `fastnn train` and `fastnn predict` do with the user's own data."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastnn import saving
from fastnn.cli.folding import fold_into_inputs
from fastnn.cli.tables import Table, Values, read_table, write_predictions
from fastnn.data import Standardizer
from fastnn.history import History
from fastnn.losses import LOSSES
from fastnn.network import Network, load

_MOST_NUMBERED_CLASSES = 1000  # more different numbers in y are a quantity; classes can be named by text


@dataclass(frozen=True)
class Settings:
    """How `fastnn train` trains; ``Network`` and ``Network.fit`` explain what has the same name there."""

    hidden: Sequence[int] = (128,)
    activation: str = "sigmoid"
    loss: str = "softmax_cross_entropy"
    optimizer: str = "adam"
    learning_rate: float | None = None
    batch_size: int | None = 100
    epochs: int = 10
    l2: float = 0.0
    validation: float = 0.1  # the share of the samples that is held out
    standardise: bool = True
    dtype: str = "float32"
    seed: int | None = 1


def train(path: Path, targets: Path | None, label: str | None, out: Path, settings: Settings) -> None:
    """Train a network on a file, print how it goes, and write the model, which takes raw inputs."""
    import safetensors  # noqa: F401  a missing extra is told before the work, not after it

    table = read_table(path, targets, label)
    if table.y is None:
        raise ValueError(f"{path} holds no y; expected an array y, or a second file with it")
    if table.y.ndim not in (1, 2) or table.y.size == 0:
        raise ValueError(f"y must hold a target for each sample, (m,) or (m, K); got shape {table.y.shape}")
    y, classes = _encode(table.y, settings.loss)
    out.parent.mkdir(parents=True, exist_ok=True)
    net, history, held_out = _fit(table.X, y, classes, settings)
    if history.interrupted:
        print(f"interrupted after {history.epochs} whole epochs; the network stays as trained so far")
    print(f"trained in {sum(history.seconds):.2f} s")
    if held_out is not None:
        print(f"{_score_name(net)} on the {len(held_out[0]):,} validation samples: {net.score(*held_out):.4f}")
    _save(net, out, classes)
    print(f"wrote {out}")


def predict(model: Path, data: Path, label: str | None, proba: bool, out: Path | None) -> None:
    """Write the predictions for a file's samples as CSV; say the score on stderr where the file holds the targets."""
    net, classes = _load(model)
    table = read_table(data, label=label, inputs=net.sizes[0])
    outputs = net.predict_proba(table.X) if proba else net.predict(table.X)
    names = classes or [str(k) for k in range(net.sizes[-1])]
    if proba:
        header = [f"p({name})" for name in (names[-1:] if net.sizes[-1] == 1 else names)]
    else:
        header = ["prediction"] if outputs.ndim == 1 else [f"prediction {k}" for k in range(net.sizes[-1])]
    values = np.array(classes)[outputs] if classes and not proba else outputs
    with out.open("w", encoding="utf-8", newline="") if out else nullcontext(sys.stdout) as file:
        write_predictions(file, values, header)
    if table.y is not None:
        print(f"{_score_name(net)} on {len(table.X):,} samples: {_score(net, classes, table):.4f}", file=sys.stderr)


def _fit(
    X: Values, y: Values, classes: list[str], settings: Settings
) -> tuple[Network, History, tuple[Values, Values] | None]:
    """Return the network for raw inputs, its history and the raw samples held out."""
    rng = np.random.default_rng(settings.seed)
    net = Network(
        (X.shape[1], *settings.hidden, _outputs(y, classes, settings.loss)),
        settings.activation,
        settings.loss,
        settings.dtype,
        rng,
    )
    (X, y), held_out = _split(X, y, settings.validation, rng)
    print(f"data      {len(X):,} training and {len(held_out[0]) if held_out else 0:,} validation samples")
    print(f"targets   {', '.join(classes[:10]) + ' ...' * (len(classes) > 10) if classes else 'real or 0/1 values'}")
    print(f"network   {'-'.join(map(str, net.sizes))}, {net.parameters.size:,} parameters", flush=True)
    inputs = Standardizer.of(X) if settings.standardise else None
    history = net.fit(
        *_standardised((X, y), inputs),
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        l2=settings.l2,
        validation_data=_standardised(held_out, inputs) if held_out else None,
        scale_targets=settings.standardise and LOSSES[settings.loss].has_units,
        verbose=True,
    )
    return fold_into_inputs(inputs, net) if inputs else net, history, held_out


def _encode(y: Values, loss: str) -> tuple[Values, list[str]]:
    """Return y as ``fit`` takes it, and the names of its classes where it holds labels."""
    if not LOSSES[loss].classifies or y.ndim != 1:
        if y.dtype.kind not in "buif":
            raise ValueError(f"{loss} needs numbers in y; found text such as {y.flat[0]!r}")
        return y.astype(np.float64), []
    if y.dtype.kind == "f" and not (y == np.floor(y)).all():
        found = y[y != np.floor(y)][0]
        raise ValueError(f"y holds real values such as {found:g}, not labels; for regression take --loss squared_error")
    classes, labels = np.unique(y, return_inverse=True)
    if y.dtype.kind in "uif" and len(classes) > _MOST_NUMBERED_CLASSES:
        raise ValueError(f"y holds {len(classes):,} different numbers; for regression take --loss squared_error")
    if len(classes) < 2:
        raise ValueError(f"y must hold at least two classes; found only {classes[0]}")
    return labels, _names(classes).tolist()


def _outputs(y: Values, classes: list[str], loss: str) -> int:
    if y.ndim == 2:
        return int(y.shape[1])
    single = not LOSSES[loss].classifies or (not LOSSES[loss].chooses and len(classes) == 2)
    return 1 if single else len(classes)


def _split(
    X: Values, y: Values, share: float, rng: np.random.Generator
) -> tuple[tuple[Values, Values], tuple[Values, Values] | None]:
    """Return the samples to train on, and a random share of them to hold out."""
    if len(X) != len(y):
        raise ValueError(f"X and y must have as many rows; got {len(X)} and {len(y)}")
    held = min(len(X) - 1, round(share * len(X)))
    if held < 1:
        return (X, y), None
    order = rng.permutation(len(X))
    return (X[order[held:]], y[order[held:]]), (X[order[:held]], y[order[:held]])


def _standardised(samples: tuple[Values, Values], inputs: Standardizer | None) -> tuple[Values, Values]:
    X, y = samples
    return inputs.transform(X) if inputs else X, y


def _score_name(net: Network) -> str:
    if net.architecture.loss.classifies:
        return "accuracy"
    return "R^2" if net.loss_name in ("squared_error", "huber") else "D^2"


def _score(net: Network, classes: list[str], table: Table) -> float:
    assert table.y is not None
    if not classes:
        return net.score(table.X, table.y)
    return float(np.mean(np.array(classes)[net.predict(table.X)] == _names(table.y)))


def _names(y: Values) -> Values:
    """Return labels as text, the same from any file: whole numbers without a decimal point, text as it is."""
    whole = y.dtype.kind == "f" and bool((y == np.floor(y)).all())
    names: Values = (y.astype(np.int64) if whole else y).astype(str)
    return names


# --- the names of the classes live in the model's file, next to the network ---------------------------------------


def _save(net: Network, path: Path, classes: list[str]) -> None:
    saving.save(path, net.architecture, net.state, {"classes": json.dumps(classes)})


def _load(path: Path) -> tuple[Network, list[str]]:
    net = load(path)
    classes: list[str] = json.loads(saving.read_metadata(path).get("classes", "[]"))
    return net, classes
