"""Packages that only some loaders need."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def require(module: str, package: str, extra: str, user: str) -> Any:
    """Import `module` for `user`, or raise an ImportError that names the extra which brings it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(f"{user} needs {package}: pip install fastnn-cpu[{extra}]", name=error.name) from error
