"""State: what training changes. Its arrays are written to in place by the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Array, Integers
from fastnn.architecture import Architecture
from fastnn.data import Classes, Scaler, Standardizer
from fastnn.initializers import Matrix, draw_arrays, own_arrays
from fastnn.optimizers import AnyOptimizer
from fastnn.progress import Progress


class Snapshot(NamedTuple):
    """Copies of what a step changes."""

    parameters: Array
    optimizer_state: Array
    step: Integers
    average: Array | None
    input_scale: Array | None


@dataclass(eq=False)
class State:
    """The parameters of a network, and what continues their training; ``State.of`` draws the first ones.

    Attributes
    ----------
    parameters : ndarray, (P,)
        All weights and biases in one flat vector that begins at a cache line: W_1 in C order, b_1, W_2, b_2, ...
    rng : numpy.random.Generator
        Source of the initial weights and of every shuffle.
    init : str or list of (W, b)
        The initial weights: how they are drawn, or these.
    trained_on_labels : bool
        Whether the last targets were labels, which are then what is predicted.
    optimizer : Optimizer, LBFGS or None
        The last one trained with.
    optimizer_state : ndarray, (k, P)
        The vectors that it keeps from step to step.
    step : ndarray, (1,)
        How many steps it has taken.
    seed : int
        Of dropout's masks, with the step.
    progress : Progress or None
        Where the last training stands; None before the first one.
    classes : Classes or None
        The labels that the classes have; None before the first training on labels.
    target_scale : Standardizer or None
        The mean and deviation of the real targets, if the network is trained on standardised ones.
    scaler : Scaler or None
        The scale of the inputs, if the network is trained on scaled ones.
    average : ndarray, (P,), or None
        The average of the last training's parameters, where there is one.
    averaged : bool
        Whether the two have changed places: ``parameters`` is the average.
    input_scale : ndarray, (1 + k, n_in), or None
        The inputs' scales, where they are trained, and the vectors that the optimizer keeps for them.
    """

    parameters: Array
    rng: np.random.Generator
    init: str | list[tuple[Matrix, Matrix]]
    trained_on_labels: bool
    optimizer: AnyOptimizer | None
    optimizer_state: Array
    step: Integers
    seed: int = 0
    progress: Progress | None = None
    classes: Classes | None = None
    target_scale: Standardizer | None = None
    scaler: Scaler | None = None
    average: Array | None = None
    averaged: bool = False
    input_scale: Array | None = None

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        rng: int | np.random.Generator | None,
        init: str | Sequence[tuple[npt.ArrayLike, npt.ArrayLike]],
    ) -> State:
        """Check what ``Network`` was given, and draw the initial parameters."""
        state = cls(
            parameters=aligned_zeros(architecture.n_parameters, architecture.dtype),
            rng=_check_rng(rng),
            init=init if isinstance(init, str) else own_arrays(init, architecture.sizes, architecture.dtype),
            trained_on_labels=architecture.loss.chooses,
            optimizer=None,
            optimizer_state=np.zeros((0, architecture.n_parameters), architecture.dtype),
            step=np.zeros(1, dtype=np.int64),
        )
        state.draw(architecture)
        return state

    def draw(self, architecture: Architecture) -> None:
        """Draw the initial parameters, and forget the optimizer, the classes and the scales."""
        arrays = self.init
        if isinstance(arrays, str):
            gains = [*(a.gain for a in architecture.activations), "glorot"]
            arrays = draw_arrays(arrays, architecture.sizes, gains, self.rng)
        for (W, b), (W_0, b_0) in zip(architecture.layers(self.parameters), arrays, strict=True):
            W[:], b[:] = W_0, b_0
        if any(architecture.dropout):
            self.seed = int(self.rng.integers(1 << 63))
        self.optimizer = self.progress = self.classes = self.target_scale = self.average = None
        self.scaler = None
        self.averaged = False
        self._begin(vectors=0)

    def take_up(self, optimizer: AnyOptimizer, scaled_inputs: int = 0) -> None:
        """Keep the optimizer's state if the rule and what it steps are as before; begin a new one otherwise."""
        before = 0 if self.input_scale is None else self.input_scale.shape[1]
        had, has = (len(self.optimizer_state), before), (optimizer.state_vectors, scaled_inputs)
        if type(self.optimizer) is not type(optimizer) or had != has:
            self._begin(*has)
        self.optimizer = optimizer

    def begin_average(self, wanted: bool, goes_on: bool) -> None:
        """Make an average ready where it is wanted, the old one where a training goes on."""
        if goes_on and self.averaged:
            self.swap_average()
        self.averaged = False
        if not wanted:
            self.average = None
        elif self.average is None or not goes_on:
            self.average = self.parameters.copy()

    def swap_average(self) -> None:
        """Let the parameters and their average change places."""
        assert self.average is not None
        last = self.parameters.copy()
        self.parameters[:], self.average[:] = self.average, last
        self.averaged = not self.averaged

    def _begin(self, vectors: int, scaled_inputs: int = 0) -> None:
        self.input_scale = None
        if scaled_inputs:
            self.input_scale = np.zeros((1 + vectors, scaled_inputs), self.parameters.dtype)
            self.input_scale[0] = 1
        self.optimizer_state = np.zeros((vectors, len(self.parameters)), self.parameters.dtype)
        self.step = np.zeros(1, dtype=np.int64)

    def snapshot(self) -> Snapshot:
        """Return copies of what a step changes."""
        average, scale = _copy(self.average), _copy(self.input_scale)
        return Snapshot(self.parameters.copy(), self.optimizer_state.copy(), self.step.copy(), average, scale)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to where the snapshot was taken, with the same optimizer."""
        self.parameters[:], self.optimizer_state[:], self.step[:] = snapshot[:3]
        if self.average is not None and snapshot.average is not None:
            self.average[:] = snapshot.average
        if self.input_scale is not None and snapshot.input_scale is not None:
            self.input_scale[:] = snapshot.input_scale

    def copy(self) -> State:
        """Return a state with arrays of its own, aligned and writable even where these are not; they share ``rng``."""
        parameters = aligned_zeros(len(self.parameters), self.parameters.dtype)
        parameters[:] = self.parameters
        return replace(
            self,
            parameters=parameters,
            optimizer_state=np.array(self.optimizer_state),
            step=np.array(self.step),
            progress=None if self.progress is None else self.progress.copy(),
            average=_copy(self.average),
            input_scale=_copy(self.input_scale),
        )


def _copy(array: Array | None) -> Array | None:
    return None if array is None else np.array(array)


def aligned_zeros(n: int, dtype: np.dtype[Any]) -> Array:
    """Return n zeros that begin at a multiple of 64 bytes, a cache line and the widest vector."""
    raw = np.zeros(n * dtype.itemsize + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + n * dtype.itemsize].view(dtype)


def _check_rng(rng: int | np.random.Generator | None) -> np.random.Generator:
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(f"rng must be an integer >= 0, a numpy.random.Generator or None; got {rng!r}") from error
