"""The page of the API: it has every public name, and the example of each one runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
from conftest import absence

import fastnn

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
NAMES = re.findall(r"^   ([\w.]+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE) if PAGE.exists() else []
PACKAGES = ("fastnn", "fastnn.backend", "fastnn.datasets", "fastnn.plotting", "fastnn.interchange", "fastnn.sklearn")

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the suite runs outside the source tree")


def find(name):
    """Return a public object by its name on the page; skip the test where an optional library is missing."""
    module, _, attribute = f"fastnn.{name}".rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", NAMES)
def test_example(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fastnn.set_backend("auto" if absence("cython") else "cython")  # the one that compiles nothing
    if fastnn.get_backend() == "numpy":
        pytest.skip("slow")
    found = find(name)
    for needed in ("torch", "sklearn", "matplotlib", "pyarrow"):
        if f"import {needed}" in found.__doc__ or f"from {needed}" in found.__doc__:
            pytest.importorskip(needed)
    example = doctest.DocTestParser().get_doctest(found.__doc__, {}, name, None, None)
    assert example.examples, f"{name} has no example"
    outcome = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert outcome.failed == 0


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_has_every_public_name(package):
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        pytest.skip(str(error))
    public = [name for name in module.__all__ if not name.isupper() or name in ("EMA", "SWA", "SGD", "LBFGS")]
    public = [name for name in public if not inspect.ismodule(module.__dict__.get(name))]
    prefix = package.removeprefix("fastnn").lstrip(".")
    assert {f"{prefix}.{name}".lstrip(".") for name in public} - set(NAMES) == set()


def test_the_page_has_every_loss_and_schedule():
    made = [cls.__name__ for cls in fastnn.losses.Loss.__subclasses__() if cls.__module__ == "fastnn.losses"]
    assert {f"losses.{name}" for name in made if not name.startswith("_")} <= set(NAMES)
    assert {f"schedules.{name}" for name in fastnn.schedules._EQUATIONS} <= set(NAMES)
