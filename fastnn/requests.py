"""What ``Network.fit`` was given, checked: a training's request, the scale of its targets, and where it begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fastnn._checks import check_integer
from fastnn._kernels.contract import Activation, Numbers, Samples
from fastnn.architecture import Architecture
from fastnn.averaging import Average
from fastnn.data import Given, Scaler, Standardizer, feed_of, scale_of, scaler_of
from fastnn.history import History
from fastnn.optimizers import LBFGS, AnyOptimizer, Optimizer, find_minimizer
from fastnn.progress import Progress
from fastnn.schedules import TrainingRates
from fastnn.state import State
from fastnn.stopping import EarlyStopping
from fastnn.watching import Callback

BATCH_SIZE, EPOCHS = 100, 10  # the defaults

Shuffle: TypeAlias = bool | Callable[[int], npt.ArrayLike]


class Request(NamedTuple):
    """What a training is asked to do; ``Network.fit`` explains each part."""

    optimizer: AnyOptimizer
    batch_size: int
    epochs: int
    l2: float
    l1: float
    factors: Numbers  # see ``optimizers.layer_factors``
    input_factor: float  # see ``optimizers.input_factor``
    average: Average | None
    shuffle: Shuffle
    validation: Given | None
    early_stopping: EarlyStopping | None
    monitor: Callable[[History], Any] | None  # of the early stopping, where it is a callable
    keep_batch_loss: bool
    callbacks: tuple[Callback, ...]
    verbose: bool
    progress: bool

    def rates(self, samples: int) -> TrainingRates:
        """Return the learning rates of all steps, which are checked here."""
        assert isinstance(self.optimizer, Optimizer)
        steps = -(-samples // self.batch_size)
        return TrainingRates(self.optimizer.learning_rate, self.epochs * steps, steps)


def check_batch_size(batch_size: int | None, samples: int, optimizer: AnyOptimizer) -> int:
    """Return the samples of a step."""
    size = samples if batch_size is None else min(samples, check_integer("batch_size", batch_size, low=1))
    if not isinstance(optimizer, LBFGS):
        return size
    find_minimizer()
    if size < samples and batch_size != BATCH_SIZE:
        raise ValueError(f"batch_size must be None for lbfgs, which takes all {samples} samples; got {batch_size}")
    return samples


def check_feed(X: Samples, request: Request) -> None:
    """Refuse what samples that are read in blocks cannot do."""
    if (feed := feed_of(X)) is None:
        return
    m = len(feed)
    if isinstance(request.optimizer, LBFGS):
        raise ValueError("optimizer must not be lbfgs where X is read in blocks: its steps need all samples in memory")
    if request.batch_size >= m > feed.window_rows:
        found = f"{m} samples, which are read {feed.window_rows} at a time"
        raise ValueError(
            f"batch_size must be less than the samples of X: steps on all would need them in memory; X has {found}"
        )
    if callable(request.shuffle):
        raise TypeError("shuffle must be True or False where X is read in blocks; got a callable")
    validation = None if request.validation is None else feed_of(request.validation.data.X)
    for name, once in (("X", feed.once), ("validation_data", validation is not None and validation.once)):
        if once and request.epochs > 1:
            found = f"of an iterator, which can be read once; got {request.epochs}"
            way = "a callable that returns an iterator, or a list of chunks, can be read in each epoch"
            raise ValueError(f"epochs must be 1 where {name} is a stream {found}: {way}")


def check_callbacks(callback: object) -> Sequence[Callable[..., object]]:
    """Return the callbacks of a training."""
    callbacks = () if callback is None else callback if isinstance(callback, list | tuple) else (callback,)
    for each in callbacks:
        if not callable(each):
            expected = "callback must be callable, callback(network, history), or a list of callables"
            raise TypeError(f"{expected}; got {type(each).__name__}")
    return callbacks


def find_scale(
    architecture: Architecture,
    state: State,
    y: npt.ArrayLike | None,
    sample_weight: npt.ArrayLike | None,
    scale_targets: bool,
    reset: bool,
) -> Standardizer | None:
    """Return the scale of the targets: that of the first training, or a new one where this is the first."""
    loss = architecture.loss
    if not scale_targets or (state.target_scale is not None and not reset):
        return None if reset else state.target_scale
    if loss.classifies or loss.output != Activation.IDENTITY:
        raise ValueError(f"scale_targets needs a regression with an identity output; got loss={loss.name!r}")
    if y is None:
        raise ValueError("scale_targets needs y in memory; got None")
    if state.optimizer is not None and not reset:
        raise ValueError("scale_targets must be True at the first training already; reset=True begins anew")
    return scale_of(y, sample_weight)


def find_scaler(state: State, X: Samples, scale: object, reset: bool) -> Scaler | None:
    """Return the scale of the inputs: that of the first training, or a new one where this is the first."""
    kept = None if reset else state.scaler
    if scale is None:
        return kept
    if scale != "standard" and not isinstance(scale, Scaler):
        raise TypeError(f"scale must be a fastnn.data.Scaler, 'standard' or None; got {scale!r}")
    if kept is None and state.optimizer is not None and not reset:
        raise ValueError("scale must be given at the first training already; reset=True begins anew")
    if isinstance(scale, Scaler):
        if kept is not None and not (
            np.array_equal(kept.mean, scale.mean) and np.array_equal(kept.deviation, scale.deviation)
        ):
            raise ValueError("scale must be that of the first training, which the network has; reset=True begins anew")
        return scale
    if kept is None and (feed := feed_of(X)) is not None and feed.once:
        raise ValueError("scale must be a Scaler for a stream of an iterator, which can be read once; got 'standard'")
    return kept or scaler_of(X)


def find_beginning(state: State, request: Request, samples: int, resume: bool, reset: bool) -> Progress:
    """Return where a training begins: at its beginning, or where the last one ended."""
    last = state.progress
    if resume and isinstance(request.optimizer, LBFGS):
        raise ValueError("resume must be False for lbfgs, whose memory begins anew with each call of fit")
    if not resume or last is None:
        return Progress(samples, request.batch_size)
    if reset:
        raise ValueError("reset begins anew, and resume goes on: only one of them can be True")
    if type(state.optimizer) is not type(request.optimizer):
        was = type(state.optimizer).__name__
        raise ValueError(f"resume needs the optimizer as before, {was}; got {type(request.optimizer).__name__}")
    _check_resumed(state, request, last)
    return last.resumed(samples, request.batch_size)


def _check_resumed(state: State, request: Request, last: Progress) -> None:
    """Refuse to resume a training with something that its epochs so far had not, or without what they had."""
    if last.history.epochs == 0:
        return
    for name, had, has in (
        ("validation_data", bool(last.history.validation_loss), request.validation is not None),
        ("a callable monitor of early_stopping", bool(last.monitored), request.monitor is not None),
        ("average", state.average is not None, request.average is not None),
        ("rate_factors['inputs']", state.input_scale is not None, request.input_factor > 0),
    ):
        if had != has:
            raise ValueError(f"resume needs {name} as before: the epochs so far had {'one' if had else 'none'}")
