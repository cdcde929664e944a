"""`fastnn bench tabular`: what is measured, what is kept, and the tables."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("threadpoolctl")

from fastnn.bench import tabular


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    X, codes = rng.normal(size=(300, 3)), rng.integers(0, 3, (300, 1), dtype=np.uint8)
    splits = {"test0": np.arange(60), "test1": np.arange(60, 120)}
    np.savez(tmp_path / "classes.npz", X=X, X_cat=codes, y=(X[:, 0] > 0) + (codes[:, 0] == 2), **splits)
    np.savez(tmp_path / "numbers.npz", X=X, y=(3 * X[:, 0] + 50).astype(np.float32), **splits)
    return sorted(tmp_path.glob("*.npz"))


def test_a_run_adds_what_is_missing(data, tmp_path):
    output = tmp_path / "found.json"
    first = tabular.run(data, ["trees"], [0], output, threads=1, provisional=True)
    assert [(one["set"], one["kind"], one["score"] > 0.9) for one in first["fits"]] == [
        ("classes", "classification", True),
        ("numbers", "regression", True),
    ]
    tabular.run(data, ["trees"], [0, 1], output, threads=1, provisional=True)
    found = tabular.load(output)["fits"]
    assert found[:2] == first["fits"]  # not fitted again
    assert [(one["set"], one["split"]) for one in found[2:]] == [("classes", 1), ("numbers", 1)]
    found = tabular.run(data[:1], ["trees"], [0], output, threads=1)["fits"]  # times that are not provisional
    assert [bool(one.get("provisional")) for one in found] == [False, True, True, True]


def test_tables():
    common = {"kind": "classification", "fit_seconds": 2.0, "predict_seconds": 0.001}
    scores = [("a", 0, "trees", 0.5), ("a", 1, "trees", 0.7), ("a", 0, "sklearn", 0.55), ("b", 0, "trees", 0.9)]
    fits = [dict(zip(("set", "split", "contestant", "score"), one, strict=True), **common) for one in scores]
    lines = tabular.markdown({"fits": fits}).splitlines()
    assert lines[0] == "### Classification: accuracy, %"
    assert lines[2] == "| set | HistGradientBoosting | scikit-learn MLP |"
    assert lines[4:7] == ["| a | **60.00** | 55.00 |", "| b | **90.00** | - |", "| **1 sets** | **60.00** | 55.00 |"]
