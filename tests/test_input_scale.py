"""A scale of each input that is trained along: the explicit product, combinations, resuming, bad input."""

from __future__ import annotations

import copy

import naive
import numpy as np
import pytest
from test_averaging import data, network
from test_backends import OPTIMIZERS

import fastnn

SCALED = {"rate_factors": {"inputs": 6.0}}


def train_explicitly(net, X, y, rule, l2, steps):
    """Train a network of the inputs s x, all samples a step, s and W apart; return diag(s) W with the rest, and s."""
    theta, s, Y, m = net.parameters.copy(), np.ones(X.shape[1]), np.eye(3)[y], len(X)
    (W_1, b_1), (W_2, b_2) = net.architecture.layers(theta)  # views
    moments = [[np.zeros_like(each)] * 2 for each in (theta, s)]
    is_weight = [naive.is_weight(net.sizes), np.zeros(len(s), bool)]
    for t in range(1, steps + 1):
        scaled = X * s
        A = np.tanh(scaled @ W_1 + b_1)
        E = np.exp(A @ W_2 + b_2)
        D_2 = (E / E.sum(axis=1, keepdims=True) - Y) / m
        D_1 = D_2 @ W_2.T * (1 - A**2)
        V = s[:, None] * W_1
        dW_1, dW_2 = scaled.T @ D_1 + l2 / m * V * s[:, None], A.T @ D_2 + l2 / m * W_2
        ds = (D_1 @ W_1.T * X).sum(axis=0) + l2 / m * (V * W_1).sum(axis=1)  # each sample's derivative at s x, times x
        gradient = np.concatenate([each.ravel() for each in (dW_1, D_1.sum(axis=0), dW_2, D_2.sum(axis=0))])
        hyper = rule.hyper()
        if getattr(rule, "epsilon_hat", False):
            hyper[2] /= np.sqrt(1 - rule.beta2**t)
        for i, (each, g, factor) in enumerate(((theta, gradient, 1), (s, ds, 6))):
            rate = factor * rule.learning_rate
            each[:], *moments[i] = naive.step(rule.name, hyper, each, g, rate, t, *moments[i], is_weight[i])
    W_1 *= s[:, None]
    return theta, s


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_it_is_the_product_of_two_parameters(backend, rule):
    """Of s and W, each with the optimizer's step, whatever the network holds."""
    net, (X, y) = network(activation="tanh"), data()
    expected, s = train_explicitly(net, X, y, OPTIMIZERS[rule], 0.3, 8)
    net.fit(X, y, optimizer=OPTIMIZERS[rule], batch_size=None, epochs=8, l2=0.3, **SCALED)
    assert np.abs(s - 1).max() > 0.1
    np.testing.assert_allclose(net.state.input_scale[0], s, rtol=1e-10)
    np.testing.assert_allclose(net.parameters, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_with_dropout_and_a_function_of_ones_own(compiled, batch_size):
    """The same on each backend, with all that may be used together."""
    own, (X, y) = fastnn.activation_from(lambda z: z / (1 + np.abs(z))), data()
    options = {"l1": 0.1, "average": fastnn.EMA(0.9), "batch_size": batch_size, "optimizer": fastnn.Adam(clip_norm=0.5)}
    found = []
    for backend in ("numpy", compiled.__name__.rpartition(".")[2]):
        fastnn.set_backend(backend)
        net = network(dropout=0.3, activation=own)
        net.fit(X, y, epochs=2, **options, rate_factors={"inputs": 6.0, "weights": [0.5, 1.0]})
        found.append((net.parameters, net.state.input_scale))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adamw"])
def test_resumed_is_uninterrupted(backend, optimizer, tmp_path):
    X, y = data()
    options = {"optimizer": optimizer, "batch_size": 16, "epochs": 5, "average": fastnn.EMA(0.9), **SCALED}
    whole, net = network(), network()
    whole.fit(X, y, **options)
    net.fit(X, y, **options, callback=lambda _, history: history.epochs == 2)
    parts = [net, copy.copy(net)]
    if pytest.importorskip("safetensors"):
        net.save(tmp_path / "net.safetensors")
        parts.append(fastnn.load(tmp_path / "net.safetensors"))
    for part in parts:
        part.rng = copy.deepcopy(part.rng)
        part.fit(X, y, **options, resume=True)
        np.testing.assert_array_equal(part.parameters, whole.parameters)
        np.testing.assert_array_equal(part.average, whole.average)
        np.testing.assert_array_equal(part.state.input_scale, whole.state.input_scale)


def test_scales_belong_to_the_optimizers_state():
    (X, y), options = data(), {"batch_size": 16, "shuffle": False, **SCALED}
    together, net = network(), network()
    together.fit(X, y, epochs=4, **options)
    net.fit(X, y, epochs=2, **options)
    net.fit(X, y, epochs=2, **options)
    np.testing.assert_array_equal(net.parameters, together.parameters)
    assert net.state.input_scale.shape == (3, 5)
    net.fit(X, y, epochs=0, optimizer="rmsprop", **SCALED)
    np.testing.assert_array_equal(net.state.input_scale, [[1.0] * 5, [0.0] * 5])
    net.fit(X, y, epochs=1, optimizer="rmsprop", **SCALED)
    net.fit(X, y, epochs=0, optimizer="rmsprop")
    assert net.state.input_scale is None
    assert not net.state.optimizer_state.any()
    net.fit(X, y, epochs=1, **options)
    fastnn.backend.prepare(net, rows=60).step(X, y.astype(np.int64))
    assert net.state.input_scale is None
    net.fit(X, y, epochs=1, **options)
    net.reset()
    assert net.state.input_scale is None


def test_a_divergence_leaves_the_scales(backend):
    X, y = data()
    net = fastnn.Network((5, 8, 3), "identity", "squared_error", "float64", rng=1)
    net.fit(X, np.eye(3)[y], optimizer="sgd", learning_rate=0.01, epochs=1, **SCALED)
    before = net.state.input_scale.copy()
    with pytest.raises(fastnn.DivergenceError):
        net.fit(X, np.eye(3)[y], optimizer="sgd", learning_rate=1e9, batch_size=1, epochs=1, **SCALED)
    np.testing.assert_array_equal(net.state.input_scale, before)


BAD = {
    "zero": ({}, 0, ValueError, r"rate_factors\['inputs'\] must be a finite number > 0; got 0"),
    "list": ({}, [6.0] * 5, TypeError, r"rate_factors\['inputs'\] must be a finite number > 0; got \[6.0"),
    "lbfgs": ({"optimizer": "lbfgs"}, 6.0, ValueError, "l1, rate_factors, .* are for optimizers with steps, not for"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_change_nothing(name):
    options, factor, error, message = BAD[name]
    net, (X, y) = network(), data()
    before = net.parameters.copy()
    with pytest.raises(error, match=message):
        net.fit(X, y, rate_factors={"inputs": factor}, **options)
    np.testing.assert_array_equal(net.parameters, before)
    assert net.optimizer is None


@pytest.mark.parametrize("options", [({}, SCALED), (SCALED, {})], ids=["new", "gone"])
def test_resuming_otherwise_is_refused(options):
    net, (X, y) = network(), data()
    net.fit(X, y, epochs=4, callback=lambda _, history: history.epochs == 2, **options[0])
    with pytest.raises(ValueError, match=r"resume needs rate_factors\['inputs'\] as before: the epochs so far had"):
        net.fit(X, y, epochs=4, resume=True, **options[1])
