"""The gallery's scripts, on small data: each runs, prints a score that is better than chance, and ends in a figure."""

from __future__ import annotations

import re
import runpy
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import absence

import fastnn

FOLDER = Path(__file__).parent.parent / "examples"
# Of each script what it needs besides matplotlib, and the least number that it has to print after these words.
SCRIPTS = {
    "digits": ("", "test images: ", 0.93),
    "neurons": ("", "test images: ", 0.6),
    "reviews": ("scipy", "test reviews: ", 0.8),
    "hand_velocity": ("sklearn", "fastnn       R^2 of x ", 0.7),
    "pictures": ("", "held out: ", 0.6),
    "table": ("pandas sklearn", "fastnn, preset       accuracy ", 0.8),
    "larger_than_memory": ("", "held out: ", 0.8),
    "layouts": ("", "test images ", 0.85),
}

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the suite runs outside the source tree")


def test_every_script_is_tested():
    assert {path.stem.removeprefix("plot_") for path in FOLDER.glob("plot_*.py")} == set(SCRIPTS)


def one_thread():
    """Keep the other libraries' threads, which wait for each other, from a machine that is busy with other tests."""
    return import_module("threadpoolctl").threadpool_limits(1) if find_spec("threadpoolctl") else nullcontext()


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name, tmp_path, monkeypatch, capsys):
    needs, words, least = SCRIPTS[name]
    for library in ("matplotlib", *needs.split()):
        pytest.importorskip(library)
    if absence("cython") and absence("numba"):
        pytest.skip("slow")
    fastnn.set_backend("auto" if absence("cython") else "cython")  # the one that compiles nothing
    fastnn.set_num_threads(1)
    monkeypatch.setenv("FASTNN_DATA_DIR", str(tmp_path))  # where no data set is
    monkeypatch.setenv("FASTNN_EXAMPLE_ROWS", "2000")
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    monkeypatch.setattr(plt, "show", lambda: None)
    try:
        with one_thread():
            runpy.run_path(str(FOLDER / f"plot_{name}.py"))
        axes = plt.gcf().axes
    finally:
        plt.close("all")
    printed = capsys.readouterr().out
    (score,) = re.findall(re.escape(words) + r"(-?\d\.\d+)", printed)
    assert float(score) > least
    assert all(ax.get_xlabel() or ax.get_ylabel() for ax in axes)
