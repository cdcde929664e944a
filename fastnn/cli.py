"""The command line: ``fastnn demo | train | predict | bench | figures | info | warmup``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import fastnn
from fastnn import _kernels
from fastnn.activations import ACTIVATIONS
from fastnn.losses import LOSSES
from fastnn.optimizers import OPTIMIZERS

_USER_ERROR = 2


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_USER_ERROR, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0, or 2 after a user's error, told in one line on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["bench"]:
            return _bench(arguments[1:])
        options = _parser().parse_args(arguments)
        _configure(options)
        options.run(options)
        sys.stdout.flush()  # so that a closed pipe is met here, not at the interpreter's exit
    except BrokenPipeError:  # `fastnn predict ... | head`: the reader has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ModuleNotFoundError as error:
        return _fail(_advice(error))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (ImportError, ValueError, fastnn.DivergenceError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    return 0


def _fail(message: str) -> int:
    print("fastnn: error:", " ".join(message.split()), file=sys.stderr)
    return _USER_ERROR


def _advice(error: ModuleNotFoundError) -> str:
    name = error.name or ""
    if name.startswith("fastnn._kernels.cython"):
        return "this installation has no compiled kernels: install a wheel, or from source with a C compiler"
    return f"{name} is not installed: pip install {name}" if name and not name.startswith("fastnn") else str(error)


def _configure(options: argparse.Namespace) -> None:
    if getattr(options, "backend", None):
        fastnn.set_backend(options.backend)
    if getattr(options, "threads", None):
        fastnn.set_num_threads(options.threads)


# --- the commands ---------------------------------------------------------------------------------------------------


def _demo(options: argparse.Namespace) -> None:
    from fastnn import demo

    demo.run(
        options.out,
        options.data,
        options.epochs,
        options.learning_rate,
        options.hidden,
        options.batch_size,
        options.seed,
    )


def _train(options: argparse.Namespace) -> None:
    from fastnn import commands

    names = commands.Settings.__dataclass_fields__
    settings = commands.Settings(**{name: value for name, value in vars(options).items() if name in names})
    commands.train(options.data, options.targets, options.label, options.out, settings)


def _predict(options: argparse.Namespace) -> None:
    from fastnn import commands

    commands.predict(options.model, options.data, options.label, options.proba, options.out)


def _figures(options: argparse.Namespace) -> None:
    from fastnn import demo

    demo.figures(options.out)


def _info(options: argparse.Namespace) -> None:
    fastnn.show_config()


def _warmup(options: argparse.Namespace) -> None:
    kernels = _kernels.kernels()
    folder = kernels.cache_folder()
    if folder is None:
        print(f"the {fastnn.get_backend()} backend compiles nothing: there is nothing to warm up")
        return
    for dtype in options.dtype or ("float32", "float64"):
        start = time.perf_counter()
        kernels.warm_up(dtype)
        print(f"{dtype}: {time.perf_counter() - start:.1f} s", flush=True)
    if not any(folder.glob("*.kernel")):
        raise OSError(f"{folder}: the kernels cannot be kept there; FASTNN_CACHE_DIR names another folder")
    print(f"kernels: {folder}")


def _bench(arguments: list[str]) -> int:
    try:
        run = importlib.import_module("fastnn.bench").main
    except ModuleNotFoundError as error:
        if error.name != "fastnn.bench":
            raise
        return _fail("this installation has no benchmarks (the module fastnn.bench)")
    return int(run(arguments) or 0)


# --- their options --------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("fastnn", description="Train dense feed-forward networks on the CPU.")
    parser.add_argument("--version", action="version", version=f"fastnn {fastnn.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser("demo", help="train the lecture's network on handwritten digits and draw figures")
    demo.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with MNIST's four files (default: built-in digits)"
    )
    demo.add_argument("--out", type=Path, default=Path("fastnn-demo"), metavar="DIR", help="default: fastnn-demo")
    _add_training(demo, learning_rate=1e-3)
    demo.set_defaults(run=_demo)

    train = commands.add_parser("train", help="train on your own data")
    _add_train(train)
    train.set_defaults(run=_train)

    predict = commands.add_parser("predict", help="predict with a trained model")
    predict.add_argument("model", type=Path, metavar="MODEL", help="what `fastnn train` or `Network.save` wrote")
    predict.add_argument("data", type=Path, metavar="DATA", help=".npz with X, .npy, or .csv; with y the score is told")
    predict.add_argument("--label", metavar="NAME", help="column of the .csv file with y, where it is there")
    predict.add_argument("--proba", action="store_true", help="the probability of each class instead of the prediction")
    predict.add_argument("--out", type=Path, metavar="FILE", help="a .csv file (default: print)")
    _add_machine(predict)
    predict.set_defaults(run=_predict)

    figures = commands.add_parser("figures", help="draw the activations, and the three modes of training")
    figures.add_argument(
        "--out", type=Path, default=Path("fastnn-figures"), metavar="DIR", help="default: fastnn-figures"
    )
    _add_machine(figures)
    figures.set_defaults(run=_figures)

    commands.add_parser("bench", help="measure the speed; see `fastnn bench --help`")
    info = commands.add_parser("info", help="show the backend, threads, SIMD level and versions in use")
    _add_machine(info)
    info.set_defaults(run=_info)

    warmup = commands.add_parser("warmup", help="compile the kernels now instead of at the first training")
    warmup.add_argument("--dtype", choices=("float32", "float64"), action="append", help="default: both")
    _add_machine(warmup)
    warmup.set_defaults(run=_warmup)
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
        help="give each input, and for squared_error each target, mean 0 and deviation 1; the model takes raw inputs",
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
