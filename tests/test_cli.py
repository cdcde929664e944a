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

import fastnn
from fastnn.cli import demo, figures, main
from fastnn.cli.folding import fold_into_inputs
from fastnn.data import Standardizer

pytest.importorskip("safetensors")

README = Path(__file__).parent.parent / "README.md"
GUIDE, DATA = (README.parent / "docs" / name for name in ("guide.md", "data.md"))
SKLEARN = [README.parent / "docs" / name for name in ("scikit-learn.md", "recipes.md")]
OTHERS = [README.parent / name for name in ("docs/interchange.md", "docs/backend.md", "bench/README.md")]
PAGES = {str(page.relative_to(README.parent)): page for page in (README, GUIDE, DATA, *SKLEARN, *OTHERS)}
needs_readme = pytest.mark.skipif(not README.exists(), reason="the suite runs outside the source tree")
ON_NUMPY = ["--backend", "numpy"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test runs in an empty folder, and new processes find the package that this one has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(fastnn.__file__).parent.parent))
    return tmp_path


def run(capsys, *arguments, code=0):
    """Run a command in this process; return (stdout, stderr)."""
    try:
        found = main([str(a) for a in arguments])
    except SystemExit as exit_:
        found = exit_.code
    out, err = capsys.readouterr()
    assert found == code, err
    return out, err


def flowers(m=150, seed=0):
    """Three classes of points far from the origin, with unlike scales."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, m)
    X = np.array([[0, 0, 5], [4, 0, 5], [0, 4, 5]])[labels] + rng.normal(size=(m, 3)) * [0.5, 0.5, 0]
    return X * [1, 1000, 1] + [100, -5000, 0], labels


def write_csv(path, header, rows):
    path.write_text("\n".join(",".join(map(str, row)) for row in ([header] if header else []) + rows) + "\n")


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


# --- train and predict ------------------------------------------------------------------------------------------------

TRAIN = ["--epochs", "60", "--hidden", "8", "--learning-rate", "0.05", "--batch-size", "20", *ON_NUMPY]


def test_csv_with_named_classes(capsys, folder):
    X, labels = flowers()
    names = np.array(["lily", "rose", "tulip"])[labels]
    rows = [[name, *x] for name, x in zip(names, X.tolist(), strict=True)]
    write_csv(folder / "flowers.csv", ["kind", "a", "b", "constant"], rows)
    out, _ = run(capsys, "train", "flowers.csv", "--label", "kind", *TRAIN, "--out", "models/m.safetensors")
    assert "135 training and 15 validation samples" in out
    assert "lily, rose, tulip" in out

    out, err = run(capsys, "predict", "models/m.safetensors", "flowers.csv", "--label", "kind", *ON_NUMPY)
    assert out.splitlines()[0] == "prediction"
    right = np.mean(np.array(out.splitlines()[1:]) == names)
    assert right > 0.95
    assert f"accuracy on 150 samples: {right:.4f}" in err

    write_csv(folder / "unlabelled.csv", None, X.tolist())
    run(capsys, "predict", "models/m.safetensors", "unlabelled.csv", "--proba", "--out", "p.csv", *ON_NUMPY)
    header, *lines = (folder / "p.csv").read_text().splitlines()
    assert header == "p(lily),p(rose),p(tulip)"
    np.testing.assert_allclose(np.array([line.split(",") for line in lines], dtype=float).sum(axis=1), 1, rtol=1e-5)


def test_npz_regression_predicts_raw_values(capsys):
    X, _ = flowers()
    y = 3e5 + 2e4 * X[:, 0] - 30 * X[:, 1]
    np.savez("data.npz", X=X, y=y)
    out, _ = run(capsys, "train", "data.npz", "--loss", "squared_error", "--activation", "tanh", *TRAIN)
    assert float(re.search(r"R\^2 on the 15 validation samples: (\S+)", out)[1]) > 0.98
    out, err = run(capsys, "predict", "model.safetensors", "data.npz", *ON_NUMPY)
    assert float(re.search(r"R\^2 on 150 samples: (\S+)", err)[1]) > 0.98
    np.testing.assert_allclose(np.array(out.split()[1:], dtype=float), y, rtol=0.2)


@pytest.mark.parametrize(
    ("loss", "score"), [("huber", "R^2"), ("absolute_error", "D^2"), ("quantile", "D^2"), ("poisson", "D^2")]
)
def test_other_regressions(capsys, loss, score):
    X, _ = flowers()
    y = np.round(np.exp(X[:, 0] - X[:, 0].mean()))
    np.savez("data.npz", X=X, y=y)
    out, _ = run(capsys, "train", "data.npz", "--loss", loss, "--activation", "silu", *TRAIN)
    assert float(re.search(re.escape(score) + r" on the 15 validation samples: (\S+)", out)[1]) > 0.3
    assert fastnn.load("model.safetensors").sizes == (3, 8, 1)


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c"]])
def test_hinge_on_labels(capsys, names):
    X, labels = flowers()
    np.savez("data.npz", X=X, y=np.array(names)[labels % len(names)])
    out, _ = run(capsys, "train", "data.npz", "--loss", "hinge", *TRAIN)
    assert "accuracy on the 15 validation samples" in out
    assert fastnn.load("model.safetensors").sizes == (3, 8, 1 if len(names) == 2 else 3)
    out, _ = run(capsys, "predict", "model.safetensors", "data.npz", *ON_NUMPY)
    assert set(out.split()[1:]) <= set(names)


def test_two_npy_files_numbered_classes_and_one_output(capsys):
    X, labels = flowers()
    np.save("X.npy", X)
    np.save("y.npy", np.where(labels == 0, -1, 7))
    run(capsys, "train", "X.npy", "y.npy", "--loss", "sigmoid_cross_entropy", *TRAIN, "--validation", 0)
    assert fastnn.load("model.safetensors").sizes == (3, 8, 1)
    out, _ = run(capsys, "predict", "model.safetensors", "X.npy", *ON_NUMPY)
    predicted = np.array(out.split()[1:], dtype=int)
    assert np.mean(predicted == np.where(labels == 0, -1, 7)) > 0.95
    out, _ = run(capsys, "predict", "model.safetensors", "X.npy", "--proba", *ON_NUMPY)
    assert out.splitlines()[0] == "p(7)"


def test_multilabel_matrix_without_hidden_layer_in_float64(capsys):
    X, labels = flowers()
    np.savez("data.npz", X=X, y=np.stack([labels == 1, labels == 2], axis=1))
    options = ["--loss", "sigmoid_cross_entropy", "--dtype", "float64", "--optimizer", "sgd", "--l2", 0.01]
    run(capsys, "train", "data.npz", *TRAIN, *options, "--hidden", "none")
    net = fastnn.load("model.safetensors")
    assert (net.sizes, net.dtype.name) == ((3, 2), "float64")
    out, _ = run(capsys, "predict", "model.safetensors", "data.npz", *ON_NUMPY)
    assert out.splitlines()[0] == "prediction 0,prediction 1"


def test_no_standardise_trains_on_the_values_as_they_are(capsys):
    X, labels = flowers()
    np.savez("data.npz", X=X, y=labels)
    for flag in ("--standardise", "--no-standardise"):
        run(capsys, "train", "data.npz", *ON_NUMPY, "--epochs", 0, flag, "--out", f"m{flag}")
    folded, plain = (fastnn.load(f"m{flag}").weights[0] for flag in ("--standardise", "--no-standardise"))
    deviation = X[np.random.default_rng(0).permutation(150)].std(axis=0)  # about that of the 135 samples trained on
    np.testing.assert_allclose((plain / folded)[:2], np.repeat(deviation[:2, None], 128, axis=1), rtol=0.1)
    np.testing.assert_allclose(folded[2], plain[2])  # the constant column is only shifted


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("columns", [True, False])
def test_folded_standardisation_is_the_same_function(dtype, columns):
    X = flowers()[0].astype(dtype)
    scale = Standardizer.of(X, columns)
    net = fastnn.Network((3, 6, 2), "tanh", "squared_error", dtype, rng=0)
    for b in net.biases:
        b[:] = np.arange(len(b)) + 1
    net.state.target_scale = Standardizer(np.array([5.0, -1.0]), np.array([2.0, 0.5]))
    expected = net.forward(scale.transform(X))
    folded = fold_into_inputs(scale, net)
    np.testing.assert_allclose(folded.forward(X), expected, atol=1e-4 if dtype == "float32" else 1e-12)
    if columns:
        np.testing.assert_allclose(scale.transform(X)[:, :2].std(axis=0), 1, rtol=1e-4)
        np.testing.assert_array_equal(scale.transform(X)[:, 2], 0)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float16", ">f4"])
def test_inputs_of_any_type_train_as_the_same_numbers(capsys, folder, dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2 if dtype == "bool" else 200, (60, 4))
    y = X[:, 0] > X[:, 1]
    np.savez("as_float.npz", X=X.astype(float), y=y)
    np.savez("as_given.npz", X=X.astype(dtype), y=y)
    probabilities = []
    for name in ("as_float", "as_given"):
        run(capsys, "train", f"{name}.npz", "--epochs", "3", "--hidden", "5", "--out", f"{name}.safetensors")
        out, _ = run(capsys, "predict", f"{name}.safetensors", f"{name}.npz", "--proba")
        probabilities.append(np.loadtxt(out.splitlines()[1:], delimiter=","))
    np.testing.assert_allclose(*probabilities, rtol=1e-4)


def test_a_clock_can_be_the_target(capsys, folder):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = 1.7e12 + 1e4 * (X[:, 0] + 0.3 * rng.normal(size=400))
    np.savez("clock.npz", X=X, y=y)
    training = ("--loss", "squared_error", "--epochs", "40", "--learning-rate", "0.01", "--out", "m.safetensors")
    run(capsys, "train", "clock.npz", *ON_NUMPY, *training)
    out, err = run(capsys, "predict", "m.safetensors", "clock.npz", *ON_NUMPY)
    predicted = np.array(out.split()[1:], float)
    expected = 1 - ((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert 0.8 < expected < 0.96
    assert f"R^2 on 400 samples: {expected:.4f}" in err


def test_a_clocks_seconds_are_predicted_as_they_were_trained(capsys, folder):
    rng = np.random.default_rng(0)
    offset = rng.normal(size=(400, 3))
    np.savez("clock.npz", X=1.7e9 + 100 * offset, y=offset[:, 0] > 0)
    out, _ = run(capsys, "train", "clock.npz", "--epochs", "40", "--learning-rate", "0.02", "--out", "m.safetensors")
    validated = float(out.split("score ")[-1].split()[0].rstrip(","))
    assert validated > 0.9
    assert f"validation samples: {validated:.4f}" in out
    assert fastnn.load("m.safetensors").dtype == np.float64


# --- errors: one line on stderr, exit code 2 --------------------------------------------------------------------------


@pytest.fixture
def files(folder):
    """Files that users might give by mistake, each wrong in one way."""
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("a,b\n")
    (folder / "ragged.csv").write_text("1,2,0\n3,4\n")
    (folder / "text.csv").write_text("a,b,c\n1,red,0\n2,blue,1\n")
    (folder / "good.csv").write_text("a,b,c\n1,2,0\n2,1,1\n3,5,0\n")
    (folder / "one.csv").write_text("1,2,0\n2,1,0\n")
    (folder / "nan.csv").write_text("1,2,0\n2,nan,1\n")
    (folder / "single.csv").write_text("1\n2\n")
    (folder / "real.csv").write_text("1,2,0.5\n2,1,1.5\n")
    write_csv(folder / "many.csv", None, [[i % 7, i] for i in range(1200)])
    np.savez("noX.npz", data=np.zeros(3))
    np.savez("noy.npz", X=np.zeros((3, 2)))
    np.savez("flat.npz", X=np.zeros(3), y=np.array([0, 1, 0]))
    np.savez("nothing.npz", X=np.zeros((0, 2)), y=np.zeros(0))
    np.savez("cube.npz", X=np.zeros((3, 2)), y=np.zeros((3, 1, 1)))
    np.savez("short.npz", X=np.zeros((3, 2)), y=np.array([0, 1]))
    np.save("object.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    (folder / "broken.safetensors").write_bytes(b"nothing")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "required: COMMAND"),
        ("fly", "invalid choice: 'fly'"),
        ("demo --backend abacus", "invalid choice: 'abacus'"),
        ("demo --epochs -1", "must be an integer >= 0; got -1"),
        ("demo --hidden 12,0", "must be an integer >= 1; got 0"),
        ("demo --batch-size none", "--batch-size"),
        ("demo --learning-rate 0", "learning_rate must be a finite number > 0"),
        ("demo --threads 0", "must be an integer >= 1; got 0"),
        ("demo --data nowhere", "nowhere is not a folder"),
        ("demo --data .", "lacks these files"),
        ("train good.csv --validation 1", "must be a share"),
        ("train absent.csv", "absent.csv: No such file"),
        ("train empty.csv", "empty.csv is empty"),
        ("train header.csv", "a header but no data"),
        ("train ragged.csv", "ragged.csv, line 2: 2 columns; the first line has 3"),
        ("train text.csv", "text.csv, line 2: inputs must be numbers"),
        ("train good.csv --label d", "has no column 'd'; its columns are a, b, c"),
        ("train one.csv", "at least two classes; found only 0"),
        ("train nan.csv --no-standardise", "finite"),
        ("train nan.csv", "finite"),
        ("train single.csv", "one column"),
        ("train real.csv", "real values such as 0.5"),
        ("train many.csv", "1,200 different numbers; for regression take --loss squared_error"),
        ("train noX.npz", "must hold an array X; it holds data"),
        ("train noy.npz", "holds no y"),
        ("train short.npz", "as many rows; got 3 and 2"),
        ("train flat.npz", "flat.npz: X must be 2-D, samples in rows, and not empty; got shape (3,)"),
        ("train nothing.npz", "nothing.npz: X must be 2-D, samples in rows, and not empty; got shape (0, 2)"),
        ("train cube.npz", "y must hold a target for each sample, (m,) or (m, K); got shape (3, 1, 1)"),
        ("train object.npy", "no NumPy file of plain numbers"),
        ("train README.md", "must be a .npz, .npy or .csv file; got .md"),
        ("train good.csv --learning-rate 1e38 --loss squared_error --optimizer sgd", "diverged in epoch"),
        ("predict broken.safetensors good.csv", "not a whole fastnn network"),
        ("predict absent.safetensors good.csv", "no file 'absent.safetensors'"),
    ],
)
def test_user_errors(capsys, files, arguments, message):
    _, err = run(capsys, *arguments.split(), code=2)
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_prediction_needs_the_models_columns(capsys, folder, files):
    run(capsys, "train", "good.csv", *TRAIN)
    (folder / "wide.csv").write_text("1,2,3,4,5\n")
    _, err = run(capsys, "predict", "model.safetensors", "wide.csv", *ON_NUMPY, code=2)
    assert "X must have 2 columns" in err


@pytest.mark.parametrize(("package", "command"), [("matplotlib", "demo"), ("safetensors", "demo"), ("numba", "info")])
def test_missing_extras_are_named(package, command):
    backend = "numba" if package == "numba" else "numpy"
    code = f"import sys; sys.modules['{package}'] = None; from fastnn.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, command, "--backend", backend], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, f"fastnn: error: {package} is not installed: pip install {package}\n")


# --- the rest ---------------------------------------------------------------------------------------------------------


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
    for page in (README, GUIDE):
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
    found = set(re.findall(r"\bfastnn (demo|train|predict|bench|figures|info)\b", README.read_text(encoding="utf-8")))
    assert {"demo", "info"} <= found
    for command in sorted(found - {"bench"}):
        assert "usage: fastnn " + command in run(capsys, command, "--help")[0]
