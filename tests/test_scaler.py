"""The scale of a network's inputs: measured once, applied while rows are read, kept with the network."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import fastnn
from fastnn.data import Scaler


def data(m=60, n=9):
    rng = np.random.default_rng(2)
    X = rng.integers(0, 255, (m, n)).astype(np.uint8)
    X[:, 3] = 7
    return X, rng.integers(0, 3, m)


def network(n=9, dtype="float32", loss="softmax_cross_entropy"):
    return fastnn.Network((n, 20, 3), loss=loss, dtype=dtype, rng=1)


def test_means_and_deviations_of_columns_and_of_all():
    X, _ = data()
    scaler, one = Scaler.of(X), Scaler.of(X, columns=False)
    np.testing.assert_allclose(scaler.mean, X.mean(axis=0))
    np.testing.assert_allclose(scaler.deviation, np.where(np.arange(9) == 3, 1, X.std(axis=0)))
    np.testing.assert_allclose([one.mean, one.deviation], [X.mean(), X.std()])
    for dtype in ("float32", "float64"):
        x = X.astype(dtype)
        expected = (x - scaler.mean.astype(dtype)) * (1 / scaler.deviation).astype(dtype)
        np.testing.assert_array_equal(scaler.transform(X, dtype), expected)
    assert not Scaler.of(np.full((50, 2), 0.1, "float32")).transform([[0.1, 0.1]]).any()


@pytest.mark.parametrize("batch_size", [1, 7, None])
@pytest.mark.parametrize("format", ["uint8", "float32", "float64"])
def test_scaled_rows_have_the_bits_of_the_scaled_copy(backend, batch_size, format):
    X, y = data()
    scaler = Scaler.of(X)
    for dtype in ("float32", "float64"):
        nets, said = (network(dtype=dtype), network(dtype=dtype)), []
        for net, Z, scale in zip(nets, (X.astype(format), scaler.transform(X, dtype)), (scaler, None), strict=True):
            options = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": batch_size, "progress": False}
            history = net.fit(Z, y, scale=scale, validation_data=(Z[:9], y[:9]), epochs=2, **options)
            J, gradient = net.loss_and_gradient(Z, y)
            numbers = [J, net.loss(Z, y), net.score(Z, y), *history.loss, *history.validation_loss]
            said.append([net.parameters, gradient, net.forward(Z), numbers])
        for found, expected in zip(*said, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_standard_is_the_scale_of_the_rows_trained_on():
    X, y = data()
    nets = network(), network()
    for net, scale in zip(nets, ("standard", Scaler.of(X[:40])), strict=True):
        net.fit(X[:40], y[:40], scale=scale, validation_data=(X[40:], y[40:]), epochs=2, progress=False)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
    np.testing.assert_array_equal(nets[0].forward(X), nets[1].forward(X))


def test_the_network_keeps_it(tmp_path):
    X, y = data()
    net = network()
    net.fit(X, y, scale="standard", epochs=2, progress=False)
    net.save(tmp_path / "net")
    others = fastnn.load(tmp_path / "net"), pickle.loads(pickle.dumps(net))
    net.fit(X[:30], y[:30], epochs=1, progress=False)
    for other in others:
        other.fit(X[:30], y[:30], scale="standard", epochs=1, progress=False)
        np.testing.assert_array_equal(other.parameters, net.parameters)
        np.testing.assert_array_equal(other.predict(X), net.predict(X))
    net.reset()
    assert net.state.scaler is None


def test_lbfgs_takes_it():
    pytest.importorskip("scipy")
    X, y = data()
    net = network()
    net.fit(X, y, scale="standard", optimizer="lbfgs", epochs=20, progress=False)
    assert net.score(X, y) > 0.8


def test_what_does_not_fit_is_refused():
    X, y = data()
    net = network()
    with pytest.raises(ValueError, match="scale must be of the 9 columns of X; it is of 4"):
        net.fit(X, y, scale=Scaler(np.zeros(4), np.ones(4)))
    with pytest.raises(TypeError, match=r"scale must be a fastnn\.data\.Scaler, 'standard' or None; got 'minmax'"):
        net.fit(X, y, scale="minmax")
    with pytest.raises(ValueError, match="finite in float32"):
        net.fit(X, y, scale=Scaler(0, 1e-300))
    assert net.optimizer is None
    net.fit(X, y, epochs=1, progress=False)
    with pytest.raises(ValueError, match="scale must be given at the first training already"):
        net.fit(X, y, scale="standard")
    net.fit(X, y, scale="standard", epochs=1, progress=False, reset=True)
    with pytest.raises(ValueError, match="scale must be that of the first training"):
        net.fit(X, y, scale=Scaler(0, 1))
    for mean, deviation, message in (
        ([0, np.nan], [1, 1], "mean must be one finite number"),
        ([0, 0], [1, 0], "deviation must be > 0"),
        ([0, 0], 1, "one shape"),
    ):
        with pytest.raises(ValueError, match=message):
            Scaler(mean, deviation)
    with pytest.raises(ValueError, match="X must be finite"):
        Scaler.of([[1.0, np.inf]])
