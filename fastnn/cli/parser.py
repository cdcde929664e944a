"""The options of each command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import fastnn
from fastnn.activations import ACTIVATIONS
from fastnn.cli import commands
from fastnn.losses import LOSSES
from fastnn.optimizers import OPTIMIZERS

USER_ERROR = 2
_DATA = (
    "a table (CSV with any delimiter, .gz, Parquet, Arrow), arrays (.npz with X and y, .npy, IDX), svmlight, or a data "
    "set: digits, mnist:DIR, fashion-mnist:DIR, emnist:DIR, qmnist:DIR, cifar10:DIR, svhn:DIR, imdb:DIR"
)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USER_ERROR, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser("fastnn", description="Train dense feed-forward networks on the CPU.")
    parser.add_argument("--version", action="version", version=f"fastnn {fastnn.__version__}")
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, text: str, example: str, run: Callable[[argparse.Namespace], None]) -> _Parser:
        made: _Parser = kinds.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: {example}"
        )
        made.set_defaults(run=run)
        return made

    demo = command(
        "demo", "train the lecture's network on handwritten digits and draw figures", "fastnn demo --epochs 20",
        commands.run_demo,
    )  # fmt: skip
    demo.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with MNIST's four files (default: built-in digits)"
    )
    demo.add_argument("--out", type=Path, default=Path("fastnn-demo"), metavar="DIR", help="default: fastnn-demo")
    _add_training(
        demo, {"epochs": 10, "learning_rate": 1e-3, "hidden": (128,), "batch_size": 100, "seed": 1}, every=None
    )
    example = "fastnn train flowers.csv --target species --hidden 64,64 --activation relu --early-stopping"
    _add_train(command("train", "train on your own data", example, commands.run_train))
    example = "fastnn predict model.safetensors new.csv --proba --out probabilities.csv"
    _add_predict(command("predict", "predict with a trained model", example, commands.run_predict))
    example = "fastnn evaluate model.safetensors test.csv --report report"
    _add_evaluate(
        command("evaluate", "compare a trained model's predictions with the targets", example, commands.run_evaluate)
    )
    figures = command(
        "figures", "draw the lecture's figures, of real trainings", "fastnn figures --out figures",
        commands.run_figures,
    )  # fmt: skip
    figures.add_argument(
        "--out", type=Path, default=Path("fastnn-figures"), metavar="DIR", help="default: fastnn-figures"
    )
    _add_machine(figures)
    kinds.add_parser("bench", help="measure the speed; see `fastnn bench --help`")
    info = command(
        "info", "show the backend, threads, SIMD level and versions in use, or what a model is",
        "fastnn info model.safetensors", commands.run_info,
    )  # fmt: skip
    info.add_argument("model", type=Path, nargs="?", metavar="MODEL", help="a model's file")
    _add_machine(info)
    warmup = command(
        "warmup", "compile the kernels now instead of at the first training", "fastnn warmup --dtype float32",
        commands.run_warmup,
    )  # fmt: skip
    warmup.add_argument("--dtype", choices=("float32", "float64"), action="append", help="default: both")
    _add_machine(warmup)
    return parser


def _add_train(train: argparse.ArgumentParser) -> None:
    _add_data(train, targets="a .npy or IDX file with y, where DATA holds X alone")
    train.add_argument("--inputs", type=_names, default=[], metavar="NAMES", help="take these columns alone")
    train.add_argument(
        "--categorical", type=_names, default=[], metavar="NAMES", help="columns that are categories, even of numbers"
    )
    train.add_argument(
        "--out", type=Path, default=Path("model.safetensors"), metavar="FILE", help="default: %(default)s"
    )
    train.add_argument("--report", type=Path, metavar="DIR", help="write the history, scores and figures there")
    train.add_argument(
        "--resume", action="store_true", help="train the model in --out on, as if it had not stopped, up to --epochs"
    )
    train.add_argument(
        "--preset", choices=("tabular",), help="a recipe for tables, RealMLP: what is not given is as it says"
    )
    _add_training(train, dict.fromkeys(("epochs", "learning_rate", "hidden", "batch_size")) | {"seed": 1}, every=0)
    train.add_argument(
        "--activation", type=_activations, metavar="NAMES",
        help=f"of all hidden layers, or one each: {', '.join(ACTIVATIONS)} (default: sigmoid)",
    )  # fmt: skip
    train.add_argument("--loss", choices=LOSSES, default="softmax_cross_entropy", help="default: %(default)s")
    train.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="default: %(default)s")
    train.add_argument("--l2", type=float, default=0.0, metavar="L2", help="penalty on the weights (default: 0)")
    train.add_argument("--l1", type=float, default=0.0, metavar="L1", help="penalty on the weights' sizes (default: 0)")
    train.add_argument("--dropout", type=_share, default=0.0, metavar="SHARE", help="of hidden units (default: 0)")
    train.add_argument("--class-weight", choices=("balanced",), help="give all classes the same total weight")
    train.add_argument(
        "--validation", type=_share, metavar="SHARE", help="held out to validate on, of each class (default: 0.1)"
    )
    train.add_argument(
        "--early-stopping", type=_integer(1), nargs="?", const=10, metavar="EPOCHS",
        help="end after so many epochs (10) without a lower validation loss, with the best network",
    )  # fmt: skip
    train.add_argument(
        "--standardise",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="give inputs, and targets of a regression but poisson, mean 0 and deviation 1; the model takes raw inputs",
    )
    train.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: %(default)s")


def _add_predict(predict: argparse.ArgumentParser) -> None:
    _add_model(predict)
    predict.add_argument("--proba", action="store_true", help="the probability of each class instead of the prediction")
    predict.add_argument("--out", type=Path, metavar="FILE", help="a .csv file (default: print)")
    _add_machine(predict)


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    _add_model(evaluate)
    evaluate.add_argument("--report", type=Path, metavar="DIR", help="write the scores and a figure there")
    _add_machine(evaluate)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="what `fastnn train` or `Network.save` wrote")
    _add_data(parser, targets="a .npy or IDX file with y, to tell the score")


def _add_data(parser: argparse.ArgumentParser, targets: str) -> None:
    """Add what says how a file is read."""
    parser.add_argument("data", metavar="DATA", help=_DATA)
    parser.add_argument("targets", nargs="?", metavar="TARGETS", help=targets)
    parser.add_argument(
        "--target", "--label", metavar="NAME|NUMBER",
        help="the column with the targets: its name, or its number from 1, -1 for the last (default: the last one, or "
        "that of the training)",
    )  # fmt: skip
    parser.add_argument("--drop", type=_names, default=[], metavar="NAMES", help="leave these columns out")
    parser.add_argument(
        "--delimiter", type=_delimiter, metavar="CHAR", help="of a text file; tab is one (default: found)"
    )
    parser.add_argument(
        "--header", action=argparse.BooleanOptionalAction, help="whether the first row has names (default: found out)"
    )


def _add_training(parser: argparse.ArgumentParser, default: dict[str, Any], every: int | None) -> None:
    """Add what both trainings have; ``every`` stands for all samples in a batch."""
    own = {"epochs": 10, "learning_rate": "the optimizer's own", "batch_size": 100, "hidden": 128}
    shown = {name: own[name] if default[name] is None else default[name] for name in own}
    parser.add_argument(
        "--epochs", type=_integer(0), default=default["epochs"], metavar="N", help=f"default: {shown['epochs']}"
    )
    parser.add_argument(
        "--learning-rate", type=float, default=default["learning_rate"], metavar="RATE",
        help=f"default: {shown['learning_rate']}",
    )  # fmt: skip
    parser.add_argument(
        "--hidden",
        type=_sizes,
        default=default["hidden"],
        metavar="SIZES",
        help="units of the hidden layers, such as 128 or 64,32; none for no hidden layer (default: 128)",
    )
    parser.add_argument(
        "--batch-size",
        type=lambda text: every if text == "all" else _integer(1)(text),
        default=default["batch_size"],
        metavar="B",
        help="examples a step; 1: stochastic gradient descent, all: gradient descent (default: 100)",
    )
    parser.add_argument(
        "--seed", type=_integer(0), default=default["seed"], metavar="N", help="of all randomness (default: 1)"
    )
    _add_machine(parser)


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", choices=("auto", "numba", "cython", "numpy"), help="default: auto")
    parser.add_argument("--threads", type=_integer(1), metavar="N", help="default: all that the process may use")


def _integer(low: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"must be an integer >= {low}; got {text}")
        return value

    return integer


def _sizes(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(_integer(1)(size) for size in text.split(","))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _activations(text: str) -> tuple[str, ...]:
    names = tuple(_names(text))
    for name in names:
        if name not in ACTIVATIONS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(ACTIVATIONS)}")
    return names


def _delimiter(text: str) -> str:
    return {"tab": "\t", "\\t": "\t", "space": " "}.get(text, text)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be a share from 0 to below 1; got {text}")
    return value
