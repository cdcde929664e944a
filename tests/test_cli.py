"""The command line as users type it, its errors, and the README's Python."""

from __future__ import annotations

import importlib.util
import re
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from command_line import ON_NUMPY, flowers, run

import fastnn
from fastnn.cli import demo, figures

pytest.importorskip("safetensors")
pytestmark = pytest.mark.usefixtures("folder")

README = Path(__file__).parent.parent / "README.md"
GUIDE, DATA = (README.parent / "docs" / name for name in ("guide.md", "data.md"))
SKLEARN = [README.parent / "docs" / name for name in ("scikit-learn.md", "recipes.md")]
OTHERS = [README.parent / name for name in ("docs/interchange.md", "docs/backend.md", "bench/README.md")]
TASKS = sorted((README.parent / "docs" / "guide").glob("*.md"))
PAGES = {str(page.relative_to(README.parent)): page for page in (README, GUIDE, *TASKS, DATA, *SKLEARN, *OTHERS)}
needs_readme = pytest.mark.skipif(not README.exists(), reason="the suite runs outside the source tree")


# --- demo -------------------------------------------------------------------------------------------------------------


def test_demo_trains_and_writes_what_it_says(capsys, folder):
    pytest.importorskip("matplotlib")
    out, _ = run(capsys, "demo", "--epochs", 3, *ON_NUMPY, "--threads", 1, "--out", "here/demo")
    assert re.search(r"backend +numpy .*1 thread\n", out)
    epochs = re.findall(r"^ +(\d+) +(\S+)? +(\S+) +(\S+)%(?: +\S+ s)?$", out, re.MULTILINE)
    assert [int(epoch) for epoch, *_ in epochs] == [0, 1, 2, 3]
    losses = [float(test) for _, _, test, _ in epochs]
    assert all(later < earlier for earlier, later in pairwise(losses))
    for name in ("model.safetensors", "digits.png", "loss.png"):
        path = folder / "here" / "demo" / name
        assert path.stat().st_size > 1000
        assert f"wrote {Path('here/demo') / name}" in out
    _, (X_test, y_test) = fastnn.datasets.load_digits()
    accuracy = fastnn.load("here/demo/model.safetensors").score(X_test, y_test)  # raw pixels
    assert accuracy > 0.87
    assert f"accuracy on the 1,000 test digits: {accuracy:.2%}" in out
    assert float(epochs[-1][3]) == pytest.approx(100 * accuracy, abs=0.2)


def test_demo_is_repeatable_and_takes_its_options(capsys):
    pytest.importorskip("matplotlib")
    options = ["demo", *ON_NUMPY, "--epochs", 1, "--hidden", "12,7", "--batch-size", 500, "--learning-rate", 0.01]
    for out, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert "784-12-7-10" in run(capsys, *options, "--seed", seed, "--out", out)[0]
    a, b, c = (fastnn.load(Path(out) / "model.safetensors").parameters for out in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_demo_reads_official_files(capsys, folder):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    for part, m in (("train", 40), ("t10k", 20)):
        images, labels = rng.integers(0, 256, (m, 28, 28), dtype=np.uint8), np.arange(m, dtype=np.uint8) % 10
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, m, 28, 28) + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, m) + labels.tobytes())
    out, _ = run(capsys, "demo", *ON_NUMPY, "--data", folder, "--epochs", 1, "--batch-size", "all")
    assert "40 training and 20 test digits" in out
    assert "40 examples a step" in out


def test_demo_interrupted_keeps_what_was_trained(capsys, folder, monkeypatch):
    pytest.importorskip("matplotlib")

    def interrupt(net, history):
        if history.epochs == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_print_epoch", interrupt)
    out, _ = run(capsys, "demo", *ON_NUMPY, "--hidden", 8)
    assert "interrupted after 2 whole epochs" in out
    assert (folder / "fastnn-demo" / "loss.png").exists()


def small_digits():
    (X, y), test = fastnn.datasets.load_digits()
    return (X[:500], y[:500]), (X[500:600], y[500:600]), test


def test_figures(capsys, folder, monkeypatch):
    pytest.importorskip("matplotlib")
    from fastnn.plotting import style

    monkeypatch.setattr(style, "DPI", 20)
    monkeypatch.setattr(figures, "split_digits", small_digits)
    monkeypatch.setattr(figures, "compare_descents", lambda: {"SGD": [3.0, 1.0, 2.0]})
    monkeypatch.setattr(figures, "compare_modes", lambda: ({"SGD": fastnn.History(loss=[2.0, 1.0])}, 10))
    monkeypatch.setattr(figures, "compare_rates", lambda rates: {"SGD": np.ones(len(rates))})
    out, _ = run(capsys, "figures", *ON_NUMPY)
    lines = re.findall(r"^wrote (\S+): \w.*$", out, re.MULTILINE)
    assert len(lines) == out.count("\n") == 15
    assert {Path(line) for line in lines} == set(Path("fastnn-figures").glob("*.png"))


def test_figures_show_real_descents(monkeypatch):
    descent, sgd = figures.compare_descents(samples=40, steps=30).values()
    assert len(descent) == len(sgd) == 31
    assert descent[0] == sgd[0]
    assert (np.diff(descent) < 0).all()
    assert sgd[-1] < sgd[0]
    assert (np.diff(sgd) > 0).any()
    monkeypatch.setattr(figures, "split_digits", small_digits)
    costs = figures.compare_rates([1e-3, 1e-2], epochs=1)
    assert costs["SGD"][0] > costs["SGD"][1] > costs["Adam"][1]


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("package", "command"), [("matplotlib", "demo"), ("safetensors", "demo"), ("numba", "info")])
def test_missing_extras_are_named(package, command):
    backend = "numba" if package == "numba" else "numpy"
    code = f"import sys; sys.modules['{package}'] = None; from fastnn.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, command, "--backend", backend], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, f"fastnn: error: {package} is not installed: pip install {package}\n")


def test_version_and_info(capsys):
    assert run(capsys, "--version")[0] == f"fastnn {fastnn.__version__}\n"
    out, _ = run(capsys, "info", *ON_NUMPY, "--threads", 3)
    assert re.search(r"^backend +numpy$", out, re.MULTILINE)
    assert re.search(r"^threads +3 of \d+$", out, re.MULTILINE)
    done = subprocess.run([sys.executable, "-m", "fastnn", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"fastnn {fastnn.__version__}\n"


def test_bench_forwards_its_arguments(capsys, monkeypatch):
    class Bench:
        @staticmethod
        def main(arguments):
            print(arguments)

    monkeypatch.setitem(sys.modules, "fastnn.bench", Bench)
    assert run(capsys, "bench", "--help", "-x")[0] == "['--help', '-x']\n"
    monkeypatch.setitem(sys.modules, "fastnn.bench", None)
    assert "no benchmarks" in run(capsys, "bench", code=2)[1]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_closed_pipe_is_no_error(folder):
    X, labels = flowers(20_000)
    np.savez("data.npz", X=X, y=labels)
    fastnn.Network((3, 3), rng=0).save("m.safetensors")
    command = [sys.executable, "-m", "fastnn", "predict", "m.safetensors", "data.npz", "--proba", *ON_NUMPY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def run_page(page, names):
    """Run the Python of a page."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)


@needs_readme
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_the_python_of_the_pages_runs():
    fastnn.set_backend("auto")
    names: dict[str, object] = {}
    for page in (README, *TASKS):
        run_page(page, names)
    assert names["net"].score(names["X_test"], names["y_test"]) > 0.9
    run_page(DATA, {})
    if importlib.util.find_spec("sklearn"):
        for page in SKLEARN:
            run_page(page, names)


@needs_readme
@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_files_that_a_page_names_exist(page):
    places = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert places
    assert [place for place in places if not (page.parent / place).exists()] == []


@needs_readme
def test_readme_commands_exist(capsys):
    found = set(
        re.findall(
            r"\bfastnn (demo|train|predict|evaluate|bench|figures|info|warmup)\b", README.read_text(encoding="utf-8")
        )
    )
    assert {"demo", "evaluate", "info"} <= found
    for command in sorted(found - {"bench"}):
        text = run(capsys, command, "--help")[0]
        assert "usage: fastnn " + command in text
        assert f"example: fastnn {command}" in text
