"""Initial parameters: random weights whose signals keep their variance from layer to layer, zero biases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fastnn._checks import check_choice

Matrix = npt.NDArray[np.floating]


def glorot(rng: np.random.Generator, n_in: int, n_out: int) -> Matrix:
    """Draw from U(-r, r), r = sqrt(6 / (n_in + n_out)) (Glorot and Bengio, AISTATS 2010)."""
    r = np.sqrt(6 / (n_in + n_out))
    return rng.uniform(-r, r, (n_in, n_out))


def he(rng: np.random.Generator, n_in: int, n_out: int) -> Matrix:
    """Draw from N(0, 2 / n_in), for rectifiers (He et al., ICCV 2015)."""
    return rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out))


def zeros(rng: np.random.Generator, n_in: int, n_out: int) -> Matrix:
    """Return zeros: right without hidden layers, where the cost is convex; hidden units would stay alike."""
    return np.zeros((n_in, n_out))


INITIALIZERS: dict[str, Callable[[np.random.Generator, int, int], Matrix]] = {
    "glorot": glorot,
    "he": he,
    "zeros": zeros,
}


def initial_arrays(
    init: str | Sequence[tuple[npt.ArrayLike, npt.ArrayLike]],
    sizes: Sequence[int],
    gains: Sequence[str],
    rng: np.random.Generator,
) -> list[tuple[Matrix, Matrix]]:
    """Return (W, b) of each layer.

    Parameters
    ----------
    init : {"auto", "glorot", "he", "zeros"} or sequence of (W, b)
        "auto" takes for each layer what suits its activation, named in ``gains``. Your own arrays: one pair a layer,
        W (n_in, n_out) and b (n_out,).

    Raises
    ------
    ValueError
        If the name is unknown, or the arrays' number, shapes or values do not fit.
    """
    shapes = list(pairwise(sizes))
    if isinstance(init, str):
        check_choice("init", init, ["auto", *INITIALIZERS])
        kinds = gains if init == "auto" else [init] * len(shapes)
        draws = [INITIALIZERS[kind] for kind in kinds]
        return [(draw(rng, *shape), np.zeros(shape[1])) for draw, shape in zip(draws, shapes, strict=True)]
    if len(init) != len(shapes):
        raise ValueError(f"init must hold a pair (W, b) for each of the {len(shapes)} layers; got {len(init)}")
    return [_own_pair(layer, pair, shape) for layer, (pair, shape) in enumerate(zip(init, shapes, strict=True))]


def _own_pair(layer: int, pair: tuple[npt.ArrayLike, npt.ArrayLike], shape: tuple[int, int]) -> tuple[Matrix, Matrix]:
    if len(pair) != 2:
        raise ValueError(f"init[{layer}] must be a pair (W, b); got {len(pair)} items")
    W, b = (np.asarray(array, dtype=np.float64) for array in pair)
    for name, array, expected in (("W", W, shape), ("b", b, shape[1:])):
        if array.shape != expected:
            raise ValueError(f"init[{layer}]: {name} must have shape {expected}; got {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"init[{layer}]: {name} must be finite; found NaN or infinity")
    return W, b
