"""Windows in time, read from the recording; contiguous folds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from conftest import peak_memory
from test_formats import WAYS, assert_same, mixed, results, small_divisions

import fastnn
from fastnn.data import Windows, split_time


def written_out(counts, before, after, groups):
    """Return the windows and their time steps, one by one."""
    rows = [
        t
        for t in range(before, len(counts) - after)
        if len(set(groups[t - before : t + after + 1].tolist())) == 1
    ]  # fmt: skip
    return np.array([counts[t - before : t + after + 1].ravel() for t in rows]), np.array(rows)


def recording(times, columns, dtype):
    return np.random.default_rng(3).integers(0, 6, (times, columns)).astype(dtype)


@pytest.mark.parametrize("grouped", [False, True])
def test_windows_are_those_written_out_one_by_one(grouped):
    groups = np.repeat(["a", "b", "c"], [9, 5, 11]) if grouped else np.zeros(25)
    for before, after in ((0, 0), (2, 0), (1, 3)):
        counts = recording(25, 3, "uint8")
        windows = Windows(counts, before, after, groups if grouped else None)
        X, rows = written_out(counts, before, after, groups)
        np.testing.assert_array_equal(windows, X)
        np.testing.assert_array_equal(windows.rows, rows)
        assert (windows.shape, windows.dtype, len(windows)) == (X.shape, counts.dtype, len(X))
        for part in (slice(2, 9), slice(None, None, 3), np.array([4, 0, 4]), rows % 2 == 0):
            np.testing.assert_array_equal(windows[part], X[part])
            np.testing.assert_array_equal(windows[part].rows, rows[part])
            np.testing.assert_array_equal(windows[part][1:3], X[part][1:3])
            assert np.shares_memory(windows[part].as_rows().array, counts)


def test_training_on_windows_has_the_bits_of_the_matrix(backend, costs):
    draws = mixed(WAYS, (1, 2))
    small_divisions(costs)
    for (before, after, columns), dtype in itertools.product(((2, 1, 5), (0, 0, 33), (6, 0, 1)), ("uint8", "float32")):
        counts, groups = recording(50, columns, dtype), np.repeat([0, 1, 2], [13, 8, 29])
        for windows in (Windows(counts, before, after), Windows(counts, before, after, groups)[3:]):
            y, X = np.arange(len(windows)) % 3, np.asarray(windows).astype("float32")
            way, threads = next(draws)
            fastnn.set_num_threads(threads)
            found, expected = (
                results((X.shape[1], 6, 3), "float32", Z, y, (Z[:9], y[:9]), *way, scale="standard")
                for Z in (windows, X)
            )  # fmt: skip
            assert_same(found, expected, f"{before} {after} {columns} {dtype} {way}")


def test_nothing_is_written_out():
    pytest.importorskip("fastnn._kernels.cython.kernels")
    fastnn.set_backend("cython")
    windows, y = Windows(np.zeros((20_000, 10), np.uint8), 40), np.zeros(20_000 - 40, np.int64)
    net = fastnn.Network((410, 4, 2), rng=1)
    peak = peak_memory(lambda: (net.fit(windows, y, epochs=1, progress=False), net.score(windows, y)))
    assert peak < np.prod(windows.shape) / 2  # bytes; the matrix has as many of uint8, four times that of float32


def test_what_is_in_no_window_need_not_be_finite():
    counts = np.ones((12, 2))
    counts[0, 1], counts[11, 0] = np.nan, np.inf
    net, windows = fastnn.Network((6, 2)), Windows(counts, 2)
    net.predict(windows[1:-1])
    with pytest.raises(ValueError, match="X must be finite in float32; found inf at time step 11, column 0"):
        net.predict(windows[1:])
    with pytest.raises(ValueError, match="found nan at time step 0, column 1"):
        net.predict(windows[:5])


def test_short_groups_are_told():
    counts, groups = np.zeros((20, 2)), np.repeat([0, 1, 2], [3, 15, 2])
    with pytest.warns(UserWarning, match="2 of 3 groups are shorter than a window of 5 steps: their 5 time steps"):
        windows = Windows(counts, 4, groups=groups)
    np.testing.assert_array_equal(windows.rows, np.arange(7, 18))
    with pytest.raises(ValueError, match="no group is as long as a window of 17 steps: the longest of 3 groups has 15"):
        Windows(counts, 16, groups=groups)


def test_what_does_not_fit_is_refused():
    counts = np.zeros((20, 2))
    for arguments, message in (
        ((np.zeros(20),), "counts must be 2-D"),
        ((counts, 30), "counts has 20 time steps, fewer than the 31 of a window"),
        ((counts, -1), "before must be"),
        ((counts, 2, 0, np.zeros(19)), r"groups must be one label a time step, \(20,\); got shape \(19,\)"),
        ((counts, 2, 0, np.r_[np.nan, np.zeros(19)]), "groups must have a label"),
    ):
        with pytest.raises(ValueError, match=message):
            Windows(*arguments)
    with pytest.raises(TypeError, match="counts must hold real numbers"):
        Windows(np.array([["a"]]))
    with pytest.raises(ValueError, match="X must have 5 columns, one for each input unit; got windows of 3 steps of 2"):
        fastnn.Network((5, 2)).predict(Windows(counts, 2))
    with pytest.raises(ValueError, match="X is empty"):
        fastnn.Network((6, 2)).predict(Windows(counts, 2)[5:5])
    with pytest.raises(TypeError, match="windows are chosen by"):
        Windows(counts, 2)[1.5]


def test_folds_in_time():
    for n, folds, gap in ((10, 3, 0), (50, 5, 4), (7, 7, 1)):
        held = []
        for train, test in split_time(n, folds, gap):
            assert np.abs(train[:, None] - test).min() > gap
            assert len(train) >= n - len(test) - 2 * gap
            assert (np.diff(test) == 1).all()
            held += test.tolist()
        assert held == list(range(n))
    for arguments in ((10, 1), (3, 5), (10, 2, 5), (10, 2, -1)):
        with pytest.raises(ValueError, match=r"folds|n must|gap"):
            split_time(*arguments)
