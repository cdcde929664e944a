"""What the parameters of an estimator ask for, with a preset's in the place of those left at their default.

"tabular" is RealMLP-TD-S (Holzmüller, Grinsztajn, Steinwart: Better by default: Strong pre-tuned MLPs and boosted trees
on tabular data. NeurIPS 2024, arXiv 2407.04491). Its layers are x W / sqrt(n_in) + b with W and b from N(0, 1), the
neural tangent parametrisation. In a plain network that is W' = W / sqrt(n_in), whose rate in Adam is 1 / sqrt(n_in) of
W's.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from fastnn.initializers import Matrix

_WIDTH = 256
_TABULAR: dict[str, Any] = {
    "hidden_layer_sizes": (_WIDTH, _WIDTH, _WIDTH),
    "solver": "adam",
    "alpha": 0.0,
    "batch_size": 256,
    "learning_rate": "coslog4",
    "max_iter": 256,
    "beta_1": 0.9,
    "beta_2": 0.95,
    "epsilon": 1e-8 * _WIDTH**0.5,  # of sqrt(n_in) times, in the hidden layers
    "early_stopping": True,
    "validation_fraction": 0.2,
    "n_iter_no_change": np.inf,
}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "tabular": {
        "classifier": _TABULAR | {"activation": "selu", "learning_rate_init": 0.04, "label_smoothing": 0.1},
        "regressor": _TABULAR | {"activation": "mish", "learning_rate_init": 0.07},
    }
}
RATE_OF_BIASES, RATE_OF_SCALES = 0.1, 6.0


def asked(estimator: Any) -> SimpleNamespace:
    """Return all parameters of an estimator as attributes, a preset's where it was left to that."""
    own_class: Any = type(estimator)
    values = {name: getattr(estimator, name) for name in _names(own_class)}
    if estimator.preset is not None:
        defaults = own_class().get_params(deep=False)
        kind = "classifier" if is_classifier(estimator) else "regressor"
        for name, value in PRESETS[estimator.preset][kind].items():
            if values[name] is defaults[name] or _equal(values[name], defaults[name]):
                values[name] = value
    return SimpleNamespace(**values)


@lru_cache
def _names(estimator: type) -> list[str]:
    """Return a class's parameters; inspecting its signature takes 100 us."""
    names: list[str] = estimator._get_param_names()  # type: ignore[attr-defined]
    return names


def _equal(a: Any, b: Any) -> bool:
    return type(a) is type(b) and isinstance(a, int | float | str | tuple) and a == b


def tangent_arrays(sizes: tuple[int, ...], rng: np.random.RandomState) -> list[tuple[Matrix, Matrix]]:
    """Return the initial (W, b) of each layer: W from N(0, 1 / n_in), b from N(0, 1), those of the last one zeros."""
    shapes = list(pairwise(sizes))
    drawn = [(rng.standard_normal(shape) / np.sqrt(shape[0]), rng.standard_normal(shape[1])) for shape in shapes[:-1]]
    return [*drawn, (np.zeros(shapes[-1]), np.zeros(shapes[-1][1]))]


def glorot_arrays(sizes: tuple[int, ...], activation: Any, rng: np.random.RandomState) -> list[tuple[Matrix, Matrix]]:
    """Return the initial (W, b) of each layer with the numbers that scikit-learn draws (Glorot and Bengio 2010)."""
    names = activation if isinstance(activation, list | tuple) else [activation] * (len(sizes) - 1)
    arrays: list[tuple[Matrix, Matrix]] = []
    for (n_in, n_out), name in zip(pairwise(sizes), [*names, "relu"], strict=False):
        bound = np.sqrt((2.0 if name in ("logistic", "sigmoid") else 6.0) / (n_in + n_out))
        arrays.append((rng.uniform(-bound, bound, (n_in, n_out)), rng.uniform(-bound, bound, n_out)))
    return arrays


def rate_factors(sizes: tuple[int, ...]) -> dict[str, Any]:
    """Return what the rates of weights and biases, and of the scale of each input, are multiplied by."""
    weights = [n_in**-0.5 for n_in in sizes[:-1]]
    return {"weights": weights, "biases": RATE_OF_BIASES, "inputs": RATE_OF_SCALES}
