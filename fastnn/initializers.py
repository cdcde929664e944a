"""Initial parameters: random weights whose signals keep their variance from layer to layer, zero biases."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
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


def draw_arrays(
    init: str, sizes: Sequence[int], gains: Sequence[str], rng: np.random.Generator
) -> list[tuple[Matrix, Matrix]]:
    """Return random (W, b) of each layer.

    Parameters
    ----------
    init : {"auto", "glorot", "he", "zeros"}
        "auto" takes for each layer what suits its activation, named in ``gains``.
    """
    check_choice("init", init, ["auto", *INITIALIZERS])
    shapes = list(pairwise(sizes))
    kinds = gains if init == "auto" else [init] * len(shapes)
    draws = [INITIALIZERS[kind] for kind in kinds]
    return [(draw(rng, *shape), np.zeros(shape[1])) for draw, shape in zip(draws, shapes, strict=True)]


def own_arrays(
    init: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]], sizes: Sequence[int], dtype: np.dtype
) -> list[tuple[Matrix, Matrix]]:
    """Return copies of the user's (W, b) of each layer, W (n_in, n_out) and b (n_out,), in the dtype.

    Raises
    ------
    TypeError, ValueError
        If the arrays' number, shapes or values do not fit.
    """
    shapes = list(pairwise(sizes))
    if not isinstance(init, Sized):
        raise TypeError(f"init must be a name or a sequence of pairs (W, b); got {type(init).__name__}")
    if len(init) != len(shapes):
        raise ValueError(f"init must hold a pair (W, b) for each of the {len(shapes)} layers; got {len(init)}")
    return [_own_pair(layer, pair, shape, dtype) for layer, (pair, shape) in enumerate(zip(init, shapes, strict=True))]


def _own_pair(
    layer: int, pair: tuple[npt.ArrayLike, npt.ArrayLike], shape: tuple[int, int], dtype: np.dtype
) -> tuple[Matrix, Matrix]:
    if len(pair) != 2:
        raise ValueError(f"init[{layer}] must be a pair (W, b); got {len(pair)} items")
    try:
        with np.errstate(over="ignore"):  # infinity is named below
            W, b = (np.array(array, dtype) for array in pair)
    except (TypeError, ValueError) as error:
        raise type(error)(f"init[{layer}] must hold real numbers: {error}") from error
    for name, array, expected in (("W", W, shape), ("b", b, shape[1:])):
        if array.shape != expected:
            raise ValueError(f"init[{layer}]: {name} must have shape {expected}; got {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"init[{layer}]: {name} must be finite in {dtype}; found NaN or infinity")
    return W, b
