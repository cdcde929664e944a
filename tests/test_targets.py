"""Real targets: compared as they are given, in float64, and standardised where the user asks for that."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import fastnn

RNG = np.random.default_rng(0)
x = RNG.normal(size=(300, 1))
X = np.hstack([x, RNG.normal(size=(300, 1))])
LINEAR = x[:, 0] + 0.3 * RNG.normal(size=300)


def network(outputs=1, dtype="float32", loss="squared_error", sizes=(2, 8)):
    return fastnn.Network((*sizes, outputs), "tanh", loss, dtype, rng=1)


def r_squared(y, h):
    y, h = np.asarray(y, np.float64), np.asarray(h, np.float64)
    return 1 - ((y - h) ** 2).sum() / ((y - y.mean()) ** 2).sum()


def fit(net, y, X=X, **options):
    return net.fit(X, y, **({"epochs": 60, "learning_rate": 0.02, "batch_size": 20} | options))


# ---- scores and losses of targets that float32 rounds


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_score_of_targets_far_from_zero_is_true(backend, dtype):
    y = 1.7e9 + 1e4 * LINEAR
    net = fastnn.Network((2, 1), loss="squared_error", dtype=dtype, init=[([[1e4], [0]], [1.7e9])])
    expected = r_squared(y, 1.7e9 + 1e4 * x[:, 0])
    assert 0.8 < expected < 0.95
    assert net.score(X, y) == pytest.approx(expected, abs=2e-3 if dtype == "float32" else 1e-12)
    h = net.forward(X)[:, 0].astype(np.float64)
    assert net.score(X, y) == pytest.approx(r_squared(y, h), rel=1e-12)
    assert net.loss(X, y) == pytest.approx(((h - y) ** 2).mean() / 2, rel=1e-9)
    weights = RNG.uniform(0.5, 2, 300)
    assert net.loss(X, y, sample_weight=weights) == pytest.approx(np.average((h - y) ** 2, weights=weights) / 2)
    history = net.fit(X, y, optimizer="sgd", learning_rate=1e-30, epochs=1, validation_data=(X, y))
    assert history.validation_score == [net.score(X, y)]
    assert history.validation_loss == [net.loss(X, y)]


def test_integers_beyond_float32_are_told_apart(backend):
    y = 2**24 + np.arange(300) % 2
    net = fastnn.Network((2, 1), loss="squared_error", init=[([[0], [0]], [2.0**24])])
    assert net.loss(X, y) == 0.25
    assert net.score(X, y) == -1


def test_poisson_losses_come_from_the_targets_as_given(backend):
    y = RNG.poisson(3, (300, 2)) + 1e-9 * RNG.uniform(size=(300, 2))
    net = network(2, loss="poisson")
    h = net.forward(X).astype(np.float64)
    assert net.loss(X, y, l2=0.5) == pytest.approx(
        (h - y * np.log(h)).sum() / 300 + sum((W.astype(float) ** 2).sum() for W in net.weights) / 1200, rel=1e-6
    )


def test_targets_of_the_networks_dtype_are_not_copied(monkeypatch):
    y = LINEAR[:, None].astype(np.float32)
    for dtype, given in (("float32", y), ("float64", LINEAR[:, None])):
        found = network(dtype=dtype)._given(X, given, None)
        assert found.targets is None
        assert found.data.targets is given or found.data.targets.base is given
    wide = network()._given(X, LINEAR, None).targets
    assert np.shares_memory(wide, LINEAR)


# ---- standardised targets


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["squared_error"])
def test_predictions_keep_the_digits_of_targets_far_from_zero(backend, loss, dtype, tmp_path):
    y = 1.7e12 + 1e4 * LINEAR
    net, plain = network(dtype=dtype, loss=loss), network(dtype=dtype, loss=loss)
    history = fit(net, y, scale_targets=True, validation_data=(X[:50], y[:50]))
    standard = (y - y.mean()) / y.std()
    other = fit(plain, standard, validation_data=(X[:50], standard[:50]))
    np.testing.assert_allclose(history.loss, other.loss, rtol=1e-4)
    np.testing.assert_allclose(history.validation_loss, other.validation_loss, rtol=1e-4)
    h = net.predict(X)
    assert h.dtype == np.float64
    np.testing.assert_allclose((h - y.mean()) / y.std(), plain.predict(X), atol=1e-3)
    expected = r_squared(y, h)
    assert 0.8 < expected < 0.95
    assert net.score(X, y) == pytest.approx(expected, rel=1e-12)
    assert net.score(X, y) == pytest.approx(plain.score(X, standard), abs=1e-4)
    assert history.validation_score[-1] == net.score(X[:50], y[:50])
    assert net.loss(X, y) == pytest.approx(plain.loss(X, standard), rel=1e-3)
    assert net.loss_and_gradient(X, y)[0] == net.loss(X, y)
    pytest.importorskip("safetensors")
    net.save(tmp_path / "net")
    for one in (fastnn.load(tmp_path / "net"), pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        np.testing.assert_array_equal(one.predict(X), h)
        assert one.score(X, y) == net.score(X, y)


def test_each_column_has_its_own_scale_which_the_first_training_fixes():
    Y = np.column_stack([1e6 + LINEAR, 5 - 1e-3 * LINEAR, np.full(300, 7.0)])
    net = network(3)
    fit(net, Y, scale_targets=True)
    np.testing.assert_allclose(net.state.target_scale.mean, Y.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(net.state.target_scale.deviation, [*Y.std(axis=0)[:2], 1], rtol=1e-6)
    np.testing.assert_allclose(net.predict(X).std(axis=0)[:2], Y.std(axis=0)[:2], rtol=0.2)
    scale = net.state.target_scale
    for options in ({}, {"scale_targets": True}):
        fit(net, Y + 100, epochs=1, **options)
        assert net.state.target_scale is scale
    fit(net, Y / 2, epochs=1, scale_targets=True, reset=True)
    np.testing.assert_allclose(net.state.target_scale.mean, Y.mean(axis=0) / 2)
    net.reset()
    assert net.state.target_scale is None
    assert net.forward(X).dtype == np.float32


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (LINEAR[:200], r"X and y must have as many rows; got 300 and 200"),
        (np.column_stack([LINEAR] * 2), r"y must have 1 columns, .*; got shape \(300, 2\)"),
        (np.where(np.arange(300) == 7, np.nan, LINEAR), r"y must be finite in float32; found nan in row 7, column 0"),
        (np.where(np.arange(300) == 7, -np.inf, LINEAR), r"y must be finite in float32; found -inf in row 7, column 0"),
        (np.full(300, np.nan), r"y must be finite in float32; found nan in row 0, column 0"),
        ([], r"y must hold at least one target, .*; got shape \(0,\)"),
        (LINEAR[None, None], r"y must hold at least one target, .*; got shape \(1, 1, 300\)"),
    ],
)
def test_bad_targets_change_nothing(y, message):
    net = network()
    before = net.parameters.copy()
    with pytest.raises(ValueError, match=message):
        fit(net, y, scale_targets=True)
    np.testing.assert_array_equal(net.parameters, before)
    assert net.state.target_scale is net.optimizer is None
    fit(net, LINEAR, epochs=1, scale_targets=True)
    with pytest.raises(ValueError, match=message):
        net.score(X, y)


@pytest.mark.parametrize("loss", ["poisson", "softmax_cross_entropy"])
def test_only_an_identity_output_can_be_scaled(loss):
    y = np.zeros((300, 2)) if loss == "poisson" else np.arange(300) % 2
    with pytest.raises(
        ValueError, match=rf"scale_targets needs a regression with an identity output; got loss='{loss}'"
    ):
        fit(network(2, loss=loss), y, scale_targets=True)


def test_a_network_that_was_trained_without_a_scale_cannot_get_one():
    net = network()
    fit(net, LINEAR, epochs=1)
    with pytest.raises(ValueError, match="scale_targets must be True at the first training already"):
        fit(net, LINEAR, epochs=1, scale_targets=True)


def test_the_scale_is_of_weighted_targets():
    """A weight of 0 leaves an outlier out; whole weights are repeated rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2))
    y, weights = 1e6 + X[:, 0], rng.integers(0, 3, 30)
    y[weights == 0] = 1e15
    nets = [fastnn.Network((2, 1), loss="squared_error", dtype="float64", rng=1) for _ in range(2)]
    fit = {"scale_targets": True, "optimizer": "sgd", "learning_rate": 0.1, "batch_size": None, "epochs": 50}
    nets[0].fit(X, y, weights, shuffle=False, **fit)
    nets[1].fit(np.repeat(X, weights, axis=0), np.repeat(y, weights), shuffle=False, **fit)
    np.testing.assert_allclose(nets[0].predict(X), nets[1].predict(X), rtol=1e-12)
    assert nets[0].score(X, y, weights) > 0.9


def test_a_column_without_targets_keeps_its_unit():
    X = np.random.default_rng(0).normal(size=(20, 2))
    y = np.column_stack([1e6 + X[:, 0], np.full(20, np.nan)])
    net = fastnn.Network((2, 2), loss=fastnn.losses.SquaredError(masked=True), rng=1)
    net.fit(X, y, scale_targets=True, epochs=100, learning_rate=0.05)
    assert np.abs(net.predict(X)[:, 0] - y[:, 0]).max() < 3
    assert np.isfinite(net.predict(X)).all()


def test_a_deviation_beyond_float64_is_refused():
    net, X = fastnn.Network((2, 1), loss="squared_error", rng=1), np.eye(2)
    before = net.parameters.copy()
    with pytest.raises(ValueError, match="y is too large to be scaled"):
        net.fit(X, [1e300, -1e300], scale_targets=True)
    np.testing.assert_array_equal(net.parameters, before)
    assert net.optimizer is None
