"""Checks of arguments: the message names the argument, what was found and what was expected."""

from __future__ import annotations

import math
from collections.abc import Collection
from numbers import Integral, Real

import numpy as np


def check_choice(name: str, value: object, known: Collection[str]) -> str:
    """Return value if it is one of the known names."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a name, one of {', '.join(known)}; got {value!r}")
    if value not in known:
        raise ValueError(f"{name}={value!r} is unknown; known are {', '.join(known)}")
    return value


def check_flag(name: str, value: object) -> bool:
    """Return value if it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False; got {value!r}")
    return bool(value)


def check_integer(name: str, value: object, low: int) -> int:
    """Return value as an int if it is a whole number of at least low."""
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, Integral)):
        raise TypeError(f"{name} must be an integer >= {low}; got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be an integer >= {low}; got {value}")
    return int(value)


def check_real(
    name: str,
    value: object,
    *,
    low: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return value as a float if it is finite, >= low, > above and < below (each where given)."""
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, Real)):
        raise TypeError(f"{_expectation(name, low, above, below)}; got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # of an integer or a fraction
        number = math.inf
    inside = (low is None or number >= low) and (above is None or number > above) and (below is None or number < below)
    if not math.isfinite(number) or not inside:
        raise ValueError(f"{_expectation(name, low, above, below)}; got {value}")
    return number


def _expectation(name: str, low: float | None, above: float | None, below: float | None) -> str:
    bounds = [f"{sign} {bound:g}" for sign, bound in ((">=", low), (">", above), ("<", below)) if bound is not None]
    return f"{name} must be a finite number {' and '.join(bounds)}".rstrip()
