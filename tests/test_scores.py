"""Scores: scikit-learn's, with and without weights; missing targets; constant ones."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import evaluation, losses

X = np.random.default_rng(0).normal(size=(41, 3))


def network(loss, outputs):
    return fastnn.Network((3, 5, outputs), "tanh", loss, rng=2)


@pytest.fixture
def targets():
    rng = np.random.default_rng(1)
    return np.round(np.exp(rng.normal(size=(41, 2))), 1)  # with ties; none is negative


@pytest.fixture(params=[False, True], ids=["plain", "weighted"])
def weights(request):
    return np.random.default_rng(2).integers(0, 4, 41).astype(float) if request.param else None


def sklearn_scores(metrics):
    """Return scikit-learn's score of one column for each loss, as a function of (y, h, weights)."""

    def pinball(level):
        return lambda y, h, w: metrics.d2_pinball_score(y, h, alpha=level, sample_weight=w)

    return {
        losses.SquaredError(): lambda y, h, w: metrics.r2_score(y, h, sample_weight=w),
        losses.Huber(0.5): lambda y, h, w: metrics.r2_score(y, h, sample_weight=w),
        losses.AbsoluteError(): lambda y, h, w: metrics.d2_absolute_error_score(y, h, sample_weight=w),
        losses.Quantile(0.7): pinball(0.7),
        losses.Poisson(): lambda y, h, w: metrics.d2_tweedie_score(y, h, power=1, sample_weight=w),
        losses.Poisson("softplus"): lambda y, h, w: metrics.d2_tweedie_score(y, h, power=1, sample_weight=w),
    }


def test_scores_are_scikit_learns(targets, weights):
    metrics = pytest.importorskip("sklearn.metrics")
    w = np.ones(41) if weights is None else weights  # of which its quantiles are those that it defines
    for loss, score in sklearn_scores(metrics).items():
        net = network(loss, 2)
        H = net.forward(X).astype(float)
        expected = np.mean([score(targets[:, k], H[:, k], w) for k in range(2)])
        found = evaluation.score_of(net.architecture, net.forward(X), targets, weights)
        assert found == pytest.approx(expected, rel=1e-9), loss
        if weights is None:
            assert net.score(X, targets) == pytest.approx(expected, rel=1e-5)


def test_quantiles_are_scored_one_by_one(targets, weights):
    metrics = pytest.importorskip("sklearn.metrics")
    levels, w, y = [0.1, 0.5, 0.9], np.ones(41) if weights is None else weights, targets[:, 0]
    net = network(losses.Quantile(levels), 3)
    H = net.forward(X).astype(float)
    expected = [metrics.d2_pinball_score(y, h, alpha=q, sample_weight=w) for q, h in zip(levels, H.T, strict=True)]
    found = evaluation.score_of(net.architecture, net.forward(X), y[:, None], weights)
    assert found == pytest.approx(np.mean(expected), rel=1e-9)


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        ("softmax_cross_entropy", np.arange(41) % 3),
        ("hinge", np.arange(41) % 3),
        ("sigmoid_cross_entropy", np.eye(3)[np.arange(41) % 3]),
    ],
)
def test_weights_are_repeated_rows(loss, y):
    net, repeats = network(loss, 3), np.arange(41) % 4
    H = net.forward(X)
    found = evaluation.score_of(net.architecture, H, y, repeats.astype(float))
    rows = np.repeat(np.arange(41), repeats)
    assert found == pytest.approx(evaluation.score_of(net.architecture, H[rows], y[rows]), rel=1e-12)


@pytest.mark.parametrize(
    "loss", [losses.SquaredError(), losses.AbsoluteError(), losses.Quantile(0.2), losses.Poisson()]
)
def test_weights_of_values_are_repeated_rows(loss, targets):
    net, repeats = network(loss, 2), np.arange(41) % 4
    H = net.forward(X)
    found = evaluation.score_of(net.architecture, H, targets, repeats.astype(float))
    rows = np.repeat(np.arange(41), repeats)
    expected = evaluation.score_of(net.architecture, H[rows], targets[rows])
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    "make", [losses.SquaredError, losses.AbsoluteError, losses.Huber, losses.Quantile, losses.Poisson]
)
def test_missing_targets_are_left_out(make, targets, weights):
    net = network(make(masked=True), 2)
    H, some = net.forward(X), targets.copy()
    some[::3, 0], some[5, 1] = np.nan, np.nan
    columns = []
    for k in range(2):
        there = ~np.isnan(some[:, k])
        own = network(make(), 1).architecture
        w = None if weights is None else weights[there]
        columns.append(evaluation.score_of(own, H[there, k : k + 1], some[there, k : k + 1], w))
    assert evaluation.score_of(net.architecture, H, some, weights) == pytest.approx(np.mean(columns), rel=1e-12)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "quantile", "poisson"])
def test_a_constant_target_has_no_score(loss, targets):
    constant = np.column_stack([targets[:, 0], np.full(41, 2.0), targets[:, 1]])
    net = network(loss, 3)
    with pytest.warns(UserWarning, match="score: all targets of column 1 are the same"):
        found = net.score(X, constant)
    H = net.forward(X)[:, [0, 2]]
    assert found == evaluation.score_of(network(loss, 2).architecture, H, targets)
    for X_same, same in ((X, np.full((41, 3), 2.0)), (X[:1], targets[:1, [0, 0, 1]])):
        with pytest.warns(UserWarning, match="score: all targets of column 0, 1, 2 are the same"):
            assert np.isnan(net.score(X_same, same))


def test_scores_are_computed_from_all_digits():
    """Targets far from zero, and their deviation, are compared in float64, whatever the outputs are."""
    net = fastnn.Network((1, 1), loss="squared_error", dtype="float64", init=[([[1e4]], [1.7e9])])
    x = np.linspace(-1, 1, 100)[:, None]
    y = 1.7e9 + 1e4 * x + 5e3 * np.sin(40 * x)
    residual, total = ((y - net.forward(x)) ** 2).sum(), ((y - y.mean()) ** 2).sum()
    assert net.score(x, y) == pytest.approx(1 - residual / total, rel=1e-12)


def test_an_output_that_has_become_zero_scores_minus_infinity():
    net = fastnn.Network((1, 1), loss="poisson", init=[([[1.0]], [0.0])])
    assert net.score([[-200.0], [0.0]], [2.0, 1.0]) == -np.inf
    assert np.isfinite(net.score([[-200.0], [0.0]], [0.0, 1.0]))
