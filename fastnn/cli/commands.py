"""What each command does with its options."""

from __future__ import annotations

import argparse
import importlib
import time

import fastnn
from fastnn import _kernels
from fastnn.cli import demo, figures, predicting, training
from fastnn.cli.settings import Settings
from fastnn.cli.tables import Reading


def run_demo(options: argparse.Namespace) -> None:
    """Train the lecture's network on digits."""
    o = options
    demo.run(o.out, o.data, o.epochs, o.learning_rate, o.hidden, o.batch_size, o.seed)


def run_train(options: argparse.Namespace) -> None:
    """Train on the user's own data."""
    given = vars(options)
    settings = Settings(**{name: given[name] for name in Settings.__dataclass_fields__})
    known = () if options.target is None or options.target.lstrip("-").isdecimal() else (options.target,)
    job = training.Job(
        options.data,
        options.targets,
        Reading(options.delimiter, options.header, known),
        options.out,
        options.target,
        options.drop,
        options.inputs,
        options.categorical,
        options.report,
        options.resume,
    )
    training.train(job, settings)


def run_predict(options: argparse.Namespace) -> None:
    """Predict with a trained model."""
    predicting.predict(_asked(options), options.proba, options.out)


def run_evaluate(options: argparse.Namespace) -> None:
    """Compare a model's predictions with targets."""
    predicting.evaluate(_asked(options), options.report)


def _asked(options: argparse.Namespace) -> predicting.Asked:
    names = predicting.Asked.__dataclass_fields__
    return predicting.Asked(**{name: value for name, value in vars(options).items() if name in names})


def run_figures(options: argparse.Namespace) -> None:
    """Draw the lecture's figures."""
    figures.draw_all(options.out)


def run_info(options: argparse.Namespace) -> None:
    """Print what is in use, or what a model is."""
    if options.model is None:
        fastnn.show_config()
    else:
        predicting.describe(options.model)


def run_warmup(options: argparse.Namespace) -> None:
    """Compile the kernels now."""
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


def run_bench(arguments: list[str]) -> int:
    """Run the benchmarks, which have options of their own; return the exit code."""
    try:
        run = importlib.import_module("fastnn.bench").main
    except ModuleNotFoundError as error:
        if error.name != "fastnn.bench":
            raise
        raise ImportError("this installation has no benchmarks (the module fastnn.bench)") from error
    return int(run(arguments) or 0)
