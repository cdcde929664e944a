"""What a search is to train: its configurations, checked, and what became of each."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from fastnn._checks import check_integer
from fastnn.losses import find_loss
from fastnn.network import Network
from fastnn.requests import EPOCHS

Configuration: TypeAlias = Mapping[str, Any]

_OF_NETWORK = {"activation", "loss", "dtype", "rng", "init", "dropout"}
_NOT_OF_A_FIT = {"self", "X", "y", "validation_data", "reset", "resume", "callback", "verbose", "progress"}
_OF_FIT = set(inspect.signature(Network.fit).parameters) - _NOT_OF_A_FIT


@dataclass
class Outcome:
    """What became of one network."""

    score: float = math.nan
    loss: float = math.nan
    epochs: int = 0
    seconds: float = 0.0
    error: str = ""
    network: Network | None = None


@dataclass
class Candidate:
    """A configuration, checked, and its outcomes by fold."""

    given: Configuration
    network: dict[str, Any]
    fit: dict[str, Any]
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def build(self) -> Network:
        """Return a network as it begins: a generator that was given as ``rng`` stays where it is."""
        return Network(**self.network | {"rng": deepcopy(self.network.get("rng"))})


def as_list(configurations: object) -> list[Configuration]:
    """Return configurations one by one."""
    if isinstance(configurations, Mapping):
        for key, values in configurations.items():
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise TypeError(f"configurations[{key!r}] must be a list of values; got {values!r}")
        names, values = configurations.keys(), configurations.values()
        return [dict(zip(names, each, strict=True)) for each in product(*values)]
    if not isinstance(configurations, Sequence) or isinstance(configurations, str):
        found = type(configurations).__name__
        raise TypeError(f"configurations must be a list of dicts or a dict of lists; got {found}")
    for i, each in enumerate(configurations):
        if not isinstance(each, Mapping):
            raise TypeError(f"configurations[{i}] must be a dict; got {type(each).__name__}")
    return list(configurations)


def checked(number: int, given: Configuration, X: Any, y: Any, validation: Any) -> Candidate:
    """Return a configuration divided by what it is for, after a trial that trains nothing."""
    known = {"hidden", *_OF_NETWORK, *_OF_FIT}
    if unknown := [key for key in given if key not in known]:
        raise ValueError(f"configurations[{number}] has the unknown key {unknown[0]!r}; known are {sorted(known)}")
    network = {key: value for key, value in given.items() if key in _OF_NETWORK}
    fit = {key: value for key, value in given.items() if key in _OF_FIT}
    hidden = given.get("hidden", ())
    try:
        network["sizes"] = (X.shape[1], *([hidden] if isinstance(hidden, int) else hidden), _outputs(network, y))
        check_integer("epochs", fit.get("epochs", EPOCHS), low=0)
        finite = number == 0 and fit.get("check_finite", True)  # X is the same for all
        candidate = Candidate(given, network, fit)
        candidate.build().fit(X, y, **fit | {"epochs": 0, "validation_data": validation, "check_finite": finite})
    except (TypeError, ValueError) as error:
        raise type(error)(f"configurations[{number}]: {error}") from error
    return candidate


def _outputs(network: dict[str, Any], y: Any) -> int:
    """Return the number of outputs for targets."""
    loss = find_loss(network.get("loss", "softmax_cross_entropy"))
    quantiles = getattr(loss, "quantiles", None)
    if isinstance(quantiles, tuple):
        return len(quantiles)
    if loss.chooses:
        return len(np.unique(np.asarray(y)))
    return 1 if y.ndim == 1 else int(y.shape[1])
