"""What `fit` does to parameters besides the optimizer's rule, through the network: averages, l1, factors, clipping."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn


def data(m=60, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(m, 5))
    return X, (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)


def network(**changes):
    return fastnn.Network((5, 8, 3), dtype="float64", rng=1, **changes)


AVERAGES = {"ema": fastnn.EMA(0.8), "swa": fastnn.SWA(0.5), "ema kept": fastnn.EMA(0.8, restore=False)}


@pytest.mark.parametrize("name", AVERAGES)
def test_averages_by_hand(backend, name):
    """A step an epoch: a callback sees the parameters after each."""
    net, seen, (X, y) = network(), [], data()
    net.fit(
        X,
        y,
        batch_size=None,
        epochs=7,
        average=AVERAGES[name],
        callback=lambda net, _: seen.append(net.parameters.copy()),
    )
    if name == "swa":
        expected = np.mean(seen[3:], axis=0)  # epochs 4 to 7
    else:
        expected = seen[0]
        for theta in seen[1:]:
            expected = 0.8 * expected + 0.2 * theta
    np.testing.assert_allclose(net.average, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(net.parameters, seen[-1] if name == "ema kept" else expected, rtol=1e-12, atol=1e-14)


def test_the_steps_of_batches_count(backend):
    """One call takes several epochs, each of several batches."""
    together, apart, (X, y) = network(), network(), data()
    together.fit(X, y, batch_size=16, epochs=4, average=fastnn.EMA(0.9))
    apart.fit(X, y, batch_size=16, epochs=4, average=fastnn.EMA(0.9), callback=lambda *_: None)
    np.testing.assert_array_equal(together.parameters, apart.parameters)
    plain = network()
    plain.fit(X, y, batch_size=16, epochs=4)
    assert np.abs(plain.parameters - together.parameters).max() > 1e-4
    np.testing.assert_array_equal(plain.parameters, together.state.average)  # the last ones


@pytest.mark.parametrize("name", AVERAGES)
@pytest.mark.parametrize("through_file", [False, True])
def test_resumed_is_uninterrupted(tmp_path, backend, name, through_file):
    X, y = data()
    arguments = {"batch_size": 16, "epochs": 8, "average": AVERAGES[name], "l1": 0.1, "rate_factors": {"biases": 2.0}}
    arguments["optimizer"] = fastnn.Adam(clip_norm=0.5)
    whole, net = network(dropout=0.3), network(dropout=0.3)
    whole.fit(X, y, **arguments)
    net.fit(X, y, **arguments, callback=lambda _, history: history.epochs == 3)
    if through_file:
        pytest.importorskip("safetensors")
        net.save(tmp_path / "net.safetensors")
        net = fastnn.load(tmp_path / "net.safetensors")
    net.fit(X, y, **arguments, resume=True)
    np.testing.assert_array_equal(net.parameters, whole.parameters)
    np.testing.assert_array_equal(net.average, whole.average)


def test_validation_is_of_the_average(backend):
    X, y = data()
    net = network()
    history = net.fit(X, y, epochs=3, batch_size=8, validation_data=(X, y), average=fastnn.EMA(0.95))
    assert history.validation_loss[-1] == pytest.approx(net.loss(X, y), rel=1e-9)
    kept = network()
    history = kept.fit(X, y, epochs=3, batch_size=8, validation_data=(X, y), average=fastnn.EMA(0.95, restore=False))
    assert history.validation_loss[-1] == pytest.approx(kept.loss(X, y), rel=1e-9)


def test_early_stopping_returns_to_the_best_average(backend):
    X, y = data()
    net = network()
    stop = fastnn.EarlyStopping(patience=3)
    arguments = {"epochs": 60, "batch_size": 8, "learning_rate": 0.1, "early_stopping": stop}
    rng = np.random.default_rng(5)
    noisy = rng.permutation(y)
    history = net.fit(X, noisy, validation_data=(X, y), average=fastnn.EMA(0.9), **arguments)
    assert history.ended == "early stopping"
    assert net.loss(X, y) == pytest.approx(min(history.validation_loss), rel=1e-9)


def test_another_training_begins_another_average(backend):
    X, y = data()
    net = network()
    net.fit(X, y, epochs=2, average=fastnn.EMA(0.9))
    begun = net.parameters.copy()
    net.fit(X, y, epochs=1, batch_size=None, average=fastnn.EMA(0.9), learning_rate=1e-12)
    np.testing.assert_allclose(net.parameters, begun, atol=1e-9)
    net.fit(X, y, epochs=1)
    assert net.average is None
    net.fit(X, y, epochs=1, average=fastnn.SWA())
    net.reset()
    assert net.average is None


def test_divergence_leaves_average_and_parameters(backend):
    X, y = data()
    net = fastnn.Network((5, 8, 3), "identity", "squared_error", "float64", rng=1)
    with pytest.raises(fastnn.DivergenceError):
        net.fit(X, np.eye(3)[y], optimizer="sgd", learning_rate=1e10, epochs=30, average=fastnn.EMA(0.9))
    assert np.isfinite(net.parameters).all()
    assert np.isfinite(net.state.average).all()


def test_factor_0_keeps_a_layer(backend):
    X, y = data()
    for optimizer in ("sgd", "adam", fastnn.AdamW(weight_decay=[0.1, 0.0])):
        for batch_size in (1, 16, None):
            net = network()
            before = [W.copy() for W in (*net.weights, *net.biases)]
            factors = {"weights": [0, 1.5], "biases": [1, 0]}
            net.fit(X, y, optimizer=optimizer, batch_size=batch_size, epochs=2, rate_factors=factors)
            kept = [np.array_equal(a, b) for a, b in zip(before, (*net.weights, *net.biases), strict=True)]
            assert kept == [True, False, False, True]


def test_decay_of_each_layer(backend):
    """Equal numbers are one number; a layer without decay is Adam's."""
    X, y = data()
    nets = [network() for _ in range(3)]
    for net, decay in zip(nets, (0.3, [0.3, 0.3], [0.0, 0.3]), strict=True):
        net.fit(X, y, optimizer=fastnn.AdamW(0.1, weight_decay=decay), epochs=3, batch_size=16)
    np.testing.assert_allclose(nets[0].parameters, nets[1].parameters, rtol=1e-12, atol=1e-14)
    assert np.abs(nets[2].weights[0]).sum() > 1.2 * np.abs(nets[0].weights[0]).sum()


def test_l1_counts_in_the_cost_and_makes_weights_0(backend):
    X, y = data()
    net = network()
    size = sum(np.abs(W).sum() for W in net.weights)
    history = net.fit(X, y, epochs=1, batch_size=None, l1=2.0, optimizer="sgd", learning_rate=1e-9)
    assert history.loss[0] == pytest.approx(network().loss(X, y) + 2.0 / len(X) * size, rel=1e-9)
    net.fit(X, y, epochs=300, batch_size=None, l1=0.6, optimizer="sgd", learning_rate=0.5)
    assert 5 < sum((W == 0).sum() for W in net.weights) < 64


@pytest.mark.parametrize("batch_size", [1, 16, None])
def test_clipping_bounds_each_step(backend, batch_size):
    """Plain descent at rate 1 moves by no more than the limit in each step."""
    X, y = data()
    net = network()
    before = net.parameters.copy()
    net.fit(100 * X, y, optimizer=fastnn.SGD(1.0, clip_norm=1e-3), batch_size=batch_size, epochs=1)
    steps = -(-60 // (batch_size or 60))
    moved = np.linalg.norm(net.parameters - before)
    assert 0 < moved <= steps * 1e-3 * (1 + 1e-9)
    if steps == 1:
        assert moved == pytest.approx(1e-3, rel=1e-6)


def test_prepared_steps_are_those_of_fit(backend):
    X, y = data()
    for optimizer in (fastnn.SGD(0.5, clip_norm=0.1), fastnn.AdamW(0.1, weight_decay=[0.1, 0.4], clip_norm=0.2)):
        fitted, stepped = network(dropout=0.2), network(dropout=0.2)
        fitted.fit(X, y, optimizer=optimizer, batch_size=None, epochs=3, shuffle=False)
        prepared = fastnn.backend.prepare(stepped, rows=60, optimizer=optimizer)
        for _ in range(3):
            prepared.step(X, y.astype(np.int64))
        np.testing.assert_array_equal(fitted.parameters, stepped.parameters)


BAD = {
    "clip_norm": (lambda: fastnn.SGD(clip_norm=0), ValueError, "clip_norm must be a finite number > 0; got 0"),
    "clip_norm text": (lambda: fastnn.Adam(clip_norm="1"), TypeError, "clip_norm must be a finite number > 0"),
    "decay": (lambda: fastnn.AdamW(weight_decay=[0.1, -1]), ValueError, r"weight_decay\[1\] must be .* >= 0; got -1"),
    "EMA": (lambda: fastnn.EMA(1.0), ValueError, "decay must be a finite number >= 0 and < 1; got 1.0"),
    "SWA": (lambda: fastnn.SWA(-0.1), ValueError, "start must be a finite number >= 0 and < 1; got -0.1"),
    "restore": (lambda: fastnn.SWA(restore=1), TypeError, "restore must be True or False; got 1"),
}
BAD_OF_FIT = {
    "l1": ({"l1": -1.0}, ValueError, "l1 must be a finite number >= 0; got -1.0"),
    "average": ({"average": "ema"}, TypeError, r"average must be fastnn.EMA\(...\), .*; got 'ema'"),
    "unknown": (
        {"rate_factors": {"bias": 1}},
        ValueError,
        "rate_factors has 'bias'; known are 'weights', 'biases' and 'inputs'",
    ),
    "list": ({"rate_factors": [1, 2]}, TypeError, "rate_factors must be a mapping"),
    "few": (
        {"rate_factors": {"weights": [1]}},
        ValueError,
        r"rate_factors\['weights'\] must be .* 2 layers of weights; got 1",
    ),
    "negative": (
        {"rate_factors": {"biases": [1, -1]}},
        ValueError,
        r"rate_factors\['biases'\]\[1\] must be .*; got -1",
    ),
    "decays": ({"optimizer": fastnn.AdamW(weight_decay=[1, 2, 3])}, ValueError, "weight_decay must be .*; got 3"),
    "lbfgs": ({"optimizer": "lbfgs", "l1": 1.0}, ValueError, "l1, rate_factors, average and dropout are for .* lbfgs"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    make, error, message = BAD[name]
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("name", BAD_OF_FIT)
def test_bad_arguments_of_fit_change_nothing(name):
    arguments, error, message = BAD_OF_FIT[name]
    net = network()
    before, (X, y) = net.parameters.copy(), data()
    with pytest.raises(error, match=message):
        net.fit(X, y, **arguments)
    np.testing.assert_array_equal(net.parameters, before)
    assert net.optimizer is None


def test_lbfgs_has_no_dropout():
    net, (X, y) = network(dropout=0.5), data()
    before = net.parameters.copy()
    with pytest.raises(ValueError, match="dropout are for optimizers with steps, not for lbfgs"):
        net.fit(X, y, optimizer="lbfgs")
    np.testing.assert_array_equal(net.parameters, before)


def test_a_monitor_sees_what_is_restored(backend):
    X, y = data()
    net, seen = network(), []

    def monitor(net, _):
        seen.append(net.loss(X, y))
        return seen[-1]

    stopping = fastnn.EarlyStopping(patience=3, monitor=monitor)
    net.fit(X, y, optimizer=fastnn.SGD(0.5), batch_size=4, epochs=8, average=fastnn.EMA(0.95), early_stopping=stopping)
    assert net.loss(X, y) == pytest.approx(min(seen), rel=1e-12)


def test_the_average_is_a_copy(backend):
    net, (X, y) = network(), data()
    net.fit(X, y, epochs=1, average=fastnn.EMA(0.9))
    average = net.average
    net.fit(X, y, epochs=1)
    assert np.abs(average - net.parameters).max() > 0


OTHERWISE = {
    "validation_data": ({}, {"validation_data": data()}),
    "average": ({}, {"average": fastnn.SWA()}),
    "a callable monitor": ({}, {"early_stopping": fastnn.EarlyStopping(monitor=lambda *_: 0.0)}),
}


@pytest.mark.parametrize("name", OTHERWISE)
@pytest.mark.parametrize("dropped", [False, True])
def test_resuming_otherwise_is_refused(name, dropped):
    net, (X, y) = network(), data()
    first, second = OTHERWISE[name][:: -1 if dropped else 1]
    net.fit(X, y, epochs=4, callback=lambda _, history: history.epochs == 2, **first)
    before, epochs = net.parameters.copy(), net.state.progress.history.epochs
    with pytest.raises(ValueError, match=f"resume needs {name}.* as before: the epochs so far had"):
        net.fit(X, y, epochs=4, resume=True, **second)
    np.testing.assert_array_equal(net.parameters, before)
    assert net.state.progress.history.epochs == epochs
    assert net.fit(X, y, epochs=4, resume=True, **first).epochs == 4
