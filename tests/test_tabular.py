"""The preprocessing of tables: what becomes of numbers, of categories and of what is missing, in arrays and frames."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from fastnn.sklearn.preprocessing import TabularPreprocessor

NAN = np.nan
COLUMNS = {"size": [1.0, 2.0, None, 9.0, 4.0], "colour": ["red", None, "blue", "red", "green"]}
COLUMNS["open"] = [True, False, True, None, True]
NAMES = ["size", "missingindicator_size", "colour_blue", "colour_green", "colour_red", "open_False"]


def clip(x):
    return x / np.sqrt(1 + (np.asarray(x) / 3) ** 2)


# The median of 1, 2, 4, 9 is 3, its quartiles are 1.75 and 5.25.
EXPECTED = np.column_stack([
    np.r_[clip((np.array([1, 2, 3, 9, 4]) - 3) / 3.5)],
    [0, 0, 1, 0, 0],
    [0, 0, 1, 0, 0],
    [0, 0, 0, 0, 1],
    [1, 0, 0, 1, 0],
    [-1, 1, -1, 0, -1],
])  # fmt: skip


def table(kind):
    """The same table: an array of objects, or a frame."""
    if kind == "array":
        return np.array(list(COLUMNS.values()), dtype=object).T
    if kind == "lists":
        return [list(row) for row in zip(*COLUMNS.values(), strict=True)]
    return pytest.importorskip(kind).DataFrame(COLUMNS)


@pytest.mark.parametrize("kind", ["array", "lists", "pandas", "polars"])
def test_the_same_from_every_kind_of_table(kind):
    X = table(kind)
    prepared = TabularPreprocessor().fit(X)
    found = prepared.transform(X)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, EXPECTED, rtol=1e-6)
    np.testing.assert_array_equal(prepared.is_categorical_, [False, True, True])
    np.testing.assert_array_equal(prepared.transform(X[1:2]), found[1:2])
    if kind == "pandas" or hasattr(prepared, "feature_names_in_"):  # scikit-learn 1.6 finds none in polars 2
        assert list(prepared.get_feature_names_out()) == NAMES
        assert list(prepared.feature_names_in_) == list(COLUMNS)
        with pytest.raises(ValueError, match="feature names should match"):
            prepared.transform(X[["colour", "size", "open"]])


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_dtypes_of_categories(kind):
    frames = pytest.importorskip(kind)
    labels = ["a", None, "b"]
    if kind == "pandas":
        columns = [frames.array(labels, dtype=dtype) for dtype in ("category", "string", "object")]
        columns += [frames.array([True, None, False], dtype="boolean")]
        numbers = frames.array([1, None, 3], dtype="Int64")
    else:
        columns = [frames.Series(labels, dtype=dtype) for dtype in (frames.Categorical, frames.Enum(["a", "b"]))]
        columns += [frames.Series(labels), frames.Series([True, None, False])]
        numbers = frames.Series([1, None, 3])
    X = frames.DataFrame({**{f"c{i}": column for i, column in enumerate(columns)}, "n": numbers})
    found = TabularPreprocessor(dtype="float64").fit_transform(X)
    assert found.dtype == np.float64
    expected = [[clip(-1), 0, 1, 1, 1, -1], [0, 1, 0, 0, 0, 0], [clip(1), 0, -1, -1, -1, 1]]
    np.testing.assert_allclose(found, expected)


def test_numbers_without_a_range():
    few = [0.0, 0, 0, 0, 0, 0, 0, 10]  # its quartiles are equal: over half the range
    X = np.column_stack([few, np.full(8, 7.0), np.full(8, NAN), [NAN] * 7 + [5.0]])
    prepared = TabularPreprocessor().fit(X)
    expected = np.zeros((8, 6))
    expected[-1, 0] = clip(2.0)
    expected[:, 4], expected[:-1, 5] = 1, 1
    np.testing.assert_allclose(prepared.transform(X), expected, rtol=1e-6)
    row = prepared.transform([[1e200, 8.0, 3.0, 6.0]])  # as clipped as can be; constant; never seen; seen once
    np.testing.assert_allclose(row, [[3, 0, 0, 0, 0, 0]], rtol=1e-6)


def test_unknown_categories_are_zeros():
    X = np.array([["a", "x"], ["b", "y"], ["c", "x"]])
    prepared = TabularPreprocessor().fit(X)
    np.testing.assert_array_equal(prepared.transform(X)[:, 3], [1, -1, 1])
    np.testing.assert_array_equal(prepared.transform(np.array([["d", "z"]])), [[0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "000"),
        ([], "000"),
        ([0, 2], "101"),
        ([False, True, False], "010"),
        (["b", "a"], "110"),
        ("from_dtype", "000"),
    ],
)
def test_categorical_features(given, expected):
    X = np.arange(6.0).reshape(2, 3)
    if given and isinstance(given[0], str) and given != "from_dtype":
        X = pytest.importorskip("pandas").DataFrame(X, columns=["a", "b", "c"])
    mask = TabularPreprocessor(categorical_features=given).fit(X).is_categorical_
    np.testing.assert_array_equal(mask, [bit == "1" for bit in expected])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"categorical_features": "all"}, "categorical_features must be 'from_dtype', None.*got 'all'"),
        ({"categorical_features": [3]}, "categorical_features has 3; X has columns 0 to 2"),
        ({"categorical_features": [True]}, r"categorical_features is a mask of shape \(1,\); X has 3 columns"),
        ({"categorical_features": ["a"]}, "categorical_features has 'a'; X has .*without names"),
        ({"dtype": "int64"}, "dtype must be float32 or float64; got 'int64'"),
    ],
)
def test_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TabularPreprocessor(**options).fit(np.zeros((4, 3)))


def test_infinite_numbers_are_refused():
    with pytest.raises(ValueError, match="X contains infinity"):
        TabularPreprocessor().fit([[1.0], [np.inf]])
    prepared = TabularPreprocessor().fit([[1.0], [2.0]])
    with pytest.raises(ValueError, match="X contains infinity"):
        prepared.transform([[-np.inf]])


def test_is_a_transformer_of_scikit_learn():
    X = table("array")
    prepared = clone(TabularPreprocessor(categorical_features=[1, 2])).fit(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(prepared)).transform(X), prepared.transform(X))
    checks = check_estimator(TabularPreprocessor(), on_skip=None, on_fail=None)
    assert [one["check_name"] for one in checks if one["status"] == "failed"] == []
