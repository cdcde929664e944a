"""The random order of samples: a permutation, as random as NumPy's, and the same on every backend."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

import fastnn
from fastnn import _kernels, shuffling
from fastnn.shuffling import GRID_SAMPLES, random_order


@pytest.fixture
def from_grids(monkeypatch):
    """However few the samples, they are laid out in a grid."""
    monkeypatch.setattr(shuffling, "GRID_SAMPLES", 0)


@pytest.mark.parametrize("samples", [1, 2, 3, 5, 16, 17, 30, 31, 1023, 1024, 1025, 2047, 100_001])
def test_each_sample_comes_once(backend, from_grids, samples):
    order = random_order(np.random.default_rng(samples), samples)[:]
    np.testing.assert_array_equal(np.sort(order), np.arange(samples))


def test_the_grid_turns_as_described(backend):
    """Eight samples in three rows of three: the cell after the last makes the moves of the sample that lands there."""
    down, across = np.array([[1, 0, 2], [0, 0, 1]], np.uint32), np.array([[0, 2, 1], [0, 0, 1]], np.uint32)
    order = np.empty(8, np.int64)
    _kernels.kernels().shuffle_grid(down, across, 8, 0, order)

    def turned(cell):
        row, column = divmod(cell, 3)
        for steps_down, steps_across in zip(down.tolist(), across.tolist(), strict=True):
            row = (row + steps_down[column]) % 3
            column = (column + steps_across[row]) % 3
        return 3 * row + column

    expected = [turned(cell) for cell in range(8)]
    assert 8 in expected
    assert order.tolist() == [turned(8) if cell == 8 else cell for cell in expected]


def test_pieces_make_up_the_order(backend, from_grids):
    """Pieces shorter and longer than a block of the kernels, which begin within rows of the grid."""
    order = random_order(np.random.default_rng(1), 10_001)
    places = [0, 1, 77, 1101, 5000, 10_001]
    pieces = [order[start:stop] for start, stop in pairwise(places)]
    assert [len(piece) for piece in pieces] == np.diff(places).tolist()
    np.testing.assert_array_equal(np.concatenate(pieces), order[:])
    assert len(order) == 10_001
    assert order[5000:5000].size == 0


def test_backends_draw_the_same_orders(backend):
    here = random_order(np.random.default_rng(0), 50_000)[:]
    fastnn.set_backend("numpy")
    np.testing.assert_array_equal(here, random_order(np.random.default_rng(0), 50_000)[:])


def test_orders_differ_and_follow_from_the_generator():
    rng, same = np.random.default_rng(3), np.random.default_rng(3)
    first, second = random_order(rng, GRID_SAMPLES)[:], random_order(rng, GRID_SAMPLES)[:]
    assert (first == second).sum() < 20
    np.testing.assert_array_equal(first, random_order(same, GRID_SAMPLES)[:])
    few = random_order(np.random.default_rng(3), GRID_SAMPLES - 1)
    np.testing.assert_array_equal(few, np.random.default_rng(3).permutation(GRID_SAMPLES - 1))


@pytest.mark.parametrize("samples", [16, 20, 25])
def test_pairs_of_positions_are_uniform_even_in_a_small_grid(from_grids, samples):
    """chi^2 over which samples come first and second, first and last: all ordered pairs are as likely."""
    rng, draws = np.random.default_rng(samples), 10_000
    orders = np.array([random_order(rng, samples)[:] for _ in range(draws)])
    for i, j in ((0, 1), (0, samples - 1), (1, samples // 2)):
        counts = np.bincount(samples * orders[:, i] + orders[:, j], minlength=samples**2).reshape(samples, samples)
        assert (np.diag(counts) == 0).all()
        assert stats.chisquare(counts[~np.eye(samples, dtype=bool)]).pvalue > 1e-4


def test_neighbours_in_the_grid_part():
    """How often samples one cell, or one row, apart stay so: Poisson counts of mean 2; half the rounds would fail."""
    samples, draws, rng = GRID_SAMPLES + 1000, 100, np.random.default_rng(1)
    columns = math.isqrt(samples - 1) + 1
    counts = np.zeros((2, 2))
    for _ in range(draws):
        order = random_order(rng, samples)[:]
        for i, before in enumerate((1, columns)):
            apart = np.abs(order[before:] - order[:-before])
            counts[i] += (apart == 1).sum(), (apart == columns).sum()
    assert (np.abs(counts - 2 * draws) < 4 * np.sqrt(2 * draws)).all(), counts
    order_correlation = np.corrcoef(order, np.arange(samples))[0, 1]
    assert abs(order_correlation) < 4 / np.sqrt(samples)


@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_an_own_order_is_the_rows_in_that_order(batch_size):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    orders = [rng.integers(40, size=40), rng.permutation(40)]  # a row may come twice
    given = iter(orders)
    own = fastnn.Network((3, 4, 1), "tanh", "squared_error", "float64", rng=1)
    own.fit(X, y, batch_size=batch_size, epochs=2, shuffle=lambda m: next(given)[:m])
    expected = fastnn.Network((3, 4, 1), "tanh", "squared_error", "float64", rng=1)
    for order in orders:
        expected.fit(X[order], y[order], batch_size=batch_size, epochs=1, shuffle=False)
    np.testing.assert_allclose(own.parameters, expected.parameters, rtol=1e-12)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (np.arange(9), "shuffle must return 10 whole numbers; got int64 in shape"),
        (np.arange(10.0), "shuffle must return 10 whole numbers; got float64"),
        (np.arange(1, 11), "shuffle must return rows from 0 to 9; found 1 to 10"),
    ],
)
def test_an_own_order_that_does_not_fit_is_refused(order, message):
    net = fastnn.Network((2, 3, 1), loss="squared_error", rng=1)
    before = net.parameters.copy()
    with pytest.raises((TypeError, ValueError), match=message):
        net.fit(np.ones((10, 2)), np.ones(10), batch_size=5, shuffle=lambda m: order)
    np.testing.assert_array_equal(net.parameters, before)
