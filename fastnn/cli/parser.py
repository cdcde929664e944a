"""The options of each command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import fastnn
from fastnn.activations import ACTIVATIONS
from fastnn.cli import commands
from fastnn.losses import LOSSES
from fastnn.optimizers import OPTIMIZERS

USER_ERROR = 2


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USER_ERROR, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser("fastnn", description="Train dense feed-forward networks on the CPU.")
    parser.add_argument("--version", action="version", version=f"fastnn {fastnn.__version__}")
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = kinds.add_parser("demo", help="train the lecture's network on handwritten digits and draw figures")
    demo.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with MNIST's four files (default: built-in digits)"
    )
    demo.add_argument("--out", type=Path, default=Path("fastnn-demo"), metavar="DIR", help="default: fastnn-demo")
    _add_training(demo, learning_rate=1e-3)
    demo.set_defaults(run=commands.run_demo)

    train = kinds.add_parser("train", help="train on your own data")
    _add_train(train)
    train.set_defaults(run=commands.run_train)

    predict = kinds.add_parser("predict", help="predict with a trained model")
    predict.add_argument("model", type=Path, metavar="MODEL", help="what `fastnn train` or `Network.save` wrote")
    predict.add_argument("data", type=Path, metavar="DATA", help=".npz with X, .npy, or .csv; with y the score is told")
    predict.add_argument("--label", metavar="NAME", help="column of the .csv file with y, where it is there")
    predict.add_argument("--proba", action="store_true", help="the probability of each class instead of the prediction")
    predict.add_argument("--out", type=Path, metavar="FILE", help="a .csv file (default: print)")
    _add_machine(predict)
    predict.set_defaults(run=commands.run_predict)

    figures = kinds.add_parser("figures", help="draw the lecture's figures, of real trainings")
    figures.add_argument(
        "--out", type=Path, default=Path("fastnn-figures"), metavar="DIR", help="default: fastnn-figures"
    )
    _add_machine(figures)
    figures.set_defaults(run=commands.run_figures)

    kinds.add_parser("bench", help="measure the speed; see `fastnn bench --help`")
    info = kinds.add_parser("info", help="show the backend, threads, SIMD level and versions in use")
    _add_machine(info)
    info.set_defaults(run=commands.run_info)

    warmup = kinds.add_parser("warmup", help="compile the kernels now instead of at the first training")
    warmup.add_argument("--dtype", choices=("float32", "float64"), action="append", help="default: both")
    _add_machine(warmup)
    warmup.set_defaults(run=commands.run_warmup)
    return parser


def _add_train(train: argparse.ArgumentParser) -> None:
    train.add_argument(
        "data", type=Path, metavar="DATA", help=".npz with X and y; .csv with the label in the last column; .npy with X"
    )
    train.add_argument("targets", type=Path, nargs="?", metavar="TARGETS", help=".npy with y, where DATA holds X alone")
    train.add_argument("--label", metavar="NAME", help="column of the .csv file that holds the label")
    train.add_argument(
        "--out", type=Path, default=Path("model.safetensors"), metavar="FILE", help="default: %(default)s"
    )
    _add_training(train, learning_rate=None)
    train.add_argument("--activation", choices=ACTIVATIONS, default="sigmoid", help="default: %(default)s")
    train.add_argument("--loss", choices=LOSSES, default="softmax_cross_entropy", help="default: %(default)s")
    train.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="default: %(default)s")
    train.add_argument("--l2", type=float, default=0.0, metavar="L2", help="penalty on the weights (default: 0)")
    train.add_argument(
        "--validation", type=_share, default=0.1, metavar="SHARE", help="held out to validate on (default: %(default)s)"
    )
    train.add_argument(
        "--standardise",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="give inputs, and targets of a regression but poisson, mean 0 and deviation 1; the model takes raw inputs",
    )
    train.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: %(default)s")


def _add_training(parser: argparse.ArgumentParser, learning_rate: float | None) -> None:
    rate = "default: %(default)s" if learning_rate else "default: the optimizer's own"
    parser.add_argument("--epochs", type=_integer(0), default=10, metavar="N", help="default: %(default)s")
    parser.add_argument("--learning-rate", type=float, default=learning_rate, metavar="RATE", help=rate)
    parser.add_argument(
        "--hidden",
        type=_sizes,
        default=(128,),
        metavar="SIZES",
        help="units of the hidden layers, such as 128 or 64,32; none for no hidden layer (default: 128)",
    )
    parser.add_argument(
        "--batch-size",
        type=_batch_size,
        default=100,
        metavar="B",
        help="examples a step; 1: stochastic gradient descent, all: gradient descent (default: %(default)s)",
    )
    parser.add_argument("--seed", type=_integer(0), default=1, metavar="N", help="of all randomness (default: 1)")
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


def _batch_size(text: str) -> int | None:
    return None if text == "all" else _integer(1)(text)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be a share from 0 to below 1; got {text}")
    return value
