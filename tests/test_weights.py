"""Weights of samples and classes: what they are equal to, and each compiled backend against the reference."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import make_case
from test_backends import DTYPES, NETS, NO_ORDER, assert_same_epoch, assert_same_gradient

import fastnn

MODES = {"full": None, "mini-batch": 7, "sgd": 1}


def weighted_case(name, dtype):
    """Return a network of NETS, with weights of which some are 0."""
    sizes, activations, loss, m, labelled = NETS[name]
    case = make_case(sizes, activations, loss, m, dtype, seed=len(name), labelled=labelled)
    weights = np.random.default_rng(m).choice([0.0, 0.3, 1.0, 2.5], m)
    weights[0] = 1.7
    case.data = case.data._replace(weights=weights * m / weights.sum())
    return case


@pytest.mark.parametrize("batch_size", [None, 1, 4])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETS)
def test_epochs_are_the_references(compiled, name, dtype, batch_size):
    """None is per-sample descent with drivers of its own."""
    for ordered in (False, True):
        case = weighted_case(name, dtype)
        m = len(case.data.X)
        order = np.random.default_rng(3).permutation(m) if ordered else NO_ORDER
        size = None if batch_size is None else min(batch_size, m)
        assert_same_epoch(compiled, case, order, size, fastnn.SGD(0.02), l2=0.01, slack=3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETS)
def test_gradients_are_the_references(compiled, name, dtype):
    assert_same_gradient(compiled, weighted_case(name, dtype), l2=0.1, slack=3)


@pytest.mark.parametrize("sizes", [(4, 3, 1), (20, 16, 1), (9, 40, 3), (70, 300, 300, 5)], ids=str)
def test_windows_and_blocks_take_weights_along(compiled, costs, sizes):
    """A second thread copies samples together; large layers defer their updates."""
    costs(operations_per_call=1.0, window_samples=16)
    fastnn.set_num_threads(2)
    case = make_case(sizes, "tanh", "squared_error", 70, "float64")
    case.data = case.data._replace(weights=np.random.default_rng(1).uniform(0, 2, 70))
    order = np.random.default_rng(3).permutation(70)
    for batch_size in (None, 4):
        assert_same_epoch(compiled, case, order, batch_size, fastnn.SGD(0.01), l2=0.01, slack=3)


def labelled(m=60, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, 5)), rng.integers(0, classes, m)


def network(loss="softmax_cross_entropy", outputs=3, dtype="float64"):
    return fastnn.Network((5, 8, outputs), loss=loss, dtype=dtype, rng=1)


def test_whole_weights_are_repeated_rows(backend):
    X, y = labelled()
    weights = np.random.default_rng(1).integers(0, 4, len(X))
    weighted, repeated = network(), network()
    fit = {"optimizer": "sgd", "learning_rate": 0.5, "batch_size": None, "epochs": 5, "shuffle": False}
    a = weighted.fit(X, y, sample_weight=weights, **fit)
    b = repeated.fit(np.repeat(X, weights, axis=0), np.repeat(y, weights), **fit)
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-9)
    np.testing.assert_allclose(weighted.parameters, repeated.parameters, rtol=0, atol=1e-9)
    measured = [net.loss(X, y, sample_weight=weights) for net in (weighted, repeated)]
    np.testing.assert_allclose(measured, repeated.loss(np.repeat(X, weights, axis=0), np.repeat(y, weights)), rtol=1e-9)
    score = weighted.score(X, y, sample_weight=weights)
    np.testing.assert_allclose(score, weighted.score(np.repeat(X, weights, axis=0), np.repeat(y, weights)), rtol=1e-9)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "squared_error"])
def test_a_weight_of_0_is_a_removed_row(backend, loss):
    X, y = labelled()
    y = y if loss[1] == "o" else np.random.default_rng(2).normal(size=(60, 3))
    kept = np.arange(60) % 3 > 0
    nets = network(loss), network(loss)
    nets[0].fit(X, y, sample_weight=kept, batch_size=None, epochs=5)
    nets[1].fit(X[kept], y[kept], batch_size=None, epochs=5)
    np.testing.assert_allclose(nets[0].parameters, nets[1].parameters, rtol=0, atol=1e-9)
    np.testing.assert_allclose(nets[0].score(X, y, sample_weight=kept), nets[0].score(X[kept], y[kept]), rtol=1e-9)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_of_classes_are_weights_of_samples(backend, dtype, mode):
    X, y = labelled()
    table = np.array([0.5, 2.0, 3.5])
    balanced = len(y) / (3 * np.bincount(y))
    for given, weights in (({0: 0.5, 1: 2.0, 2: 3.5}, table[y]), ("balanced", balanced[y])):
        by_class, by_sample = network(dtype=dtype), network(dtype=dtype)
        fit = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": MODES[mode], "epochs": 3}
        by_class.fit(X, y, class_weight=given, **fit)
        by_sample.fit(X, y, sample_weight=weights, **fit)
        np.testing.assert_array_equal(by_class.parameters, by_sample.parameters)


def test_both_kinds_of_weights_multiply():
    X, y = labelled()
    weights = np.random.default_rng(3).uniform(0, 2, 60)
    both, product = network(), network()
    both.fit(X, y, weights, {0: 1, 1: 2, 2: 4}, epochs=2)
    product.fit(X, y, weights * np.array([1.0, 2.0, 4.0])[y], epochs=2)
    np.testing.assert_array_equal(both.parameters, product.parameters)


def test_one_output_has_two_classes(backend):
    X, y = labelled(classes=2)
    nets = [network("sigmoid_cross_entropy", 1) for _ in range(3)]
    nets[0].fit(X, y, class_weight={0: 1, 1: 5}, epochs=2)
    nets[1].fit(X, y[:, None].astype(float), class_weight={0: 1, 1: 5}, epochs=2)
    nets[2].fit(X, y, sample_weight=1 + 4 * y, epochs=2)
    np.testing.assert_array_equal(nets[0].parameters, nets[2].parameters)
    np.testing.assert_array_equal(nets[1].parameters, nets[2].parameters)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scale", [0.5, 2.0, 2.0**-900, 2.0**1022])
def test_only_ratios_count(backend, mode, scale):
    X, y = labelled()
    weights = np.random.default_rng(4).uniform(0, 2, 60)
    nets = network(), network()
    for net, factor in zip(nets, (1.0, scale), strict=True):
        net.fit(X, y, sample_weight=factor * weights, batch_size=MODES[mode], epochs=2)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)


def test_validation_takes_weights(backend):
    X, y = labelled()
    kept = np.arange(60) % 2
    net = network()
    history = net.fit(X, y, epochs=1, validation_data=(X, y, kept))
    np.testing.assert_allclose(history.validation_loss[0], net.loss(X[kept == 1], y[kept == 1]), rtol=1e-9)
    np.testing.assert_allclose(history.validation_score[0], net.score(X[kept == 1], y[kept == 1]), rtol=1e-9)


def test_weighted_coefficient_of_determination(backend):
    """R^2 of two outputs, by hand."""
    X = np.arange(8.0).reshape(4, 2)
    y, w = np.array([[1.0, 0], [2, 1], [4, 5], [0, 2]]), np.array([1.0, 2, 0, 1])
    net = fastnn.Network((2, 2), loss="squared_error", dtype="float64", init=[(np.eye(2), np.zeros(2))])
    mean = (w[:, None] * y).sum(0) / w.sum()
    expected = 1 - (w[:, None] * (y - X) ** 2).sum(0) / (w[:, None] * (y - mean) ** 2).sum(0)
    assert net.score(X, y, w) == pytest.approx(expected.mean(), rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_change_no_bit(compiled, costs, dtype):
    costs(operations_per_step=1.0, operations_per_call=1.0)
    fastnn.set_backend(compiled.__name__.split(".")[-1])
    X, y = labelled(400)
    weights = np.random.default_rng(5).uniform(0, 2, 400)
    for batch_size in (None, 1, 50):
        found = []
        for threads in (1, 2, 3):
            fastnn.set_num_threads(threads)
            net = network(dtype=dtype)
            net.fit(X, y, weights, batch_size=batch_size, optimizer="sgd", epochs=2)
            found.append(net.parameters.tobytes())
        assert len(set(found)) == 1


BAD = {
    "length": ({"sample_weight": np.ones(59)}, ValueError, "sample_weight must be one number a sample, (60,); got"),
    "matrix": ({"sample_weight": np.ones((60, 1))}, ValueError, "got shape (60, 1)"),
    "ragged": ({"sample_weight": [[1], [1, 2]]}, ValueError, "sample_weight must be an array of numbers"),
    "masked": (
        {"sample_weight": np.ma.masked_array(np.ones(60), [1] * 60)}, ValueError,
        "sample_weight must hold a number in every place",
    ),
    "text": ({"sample_weight": ["a"] * 60}, TypeError, "sample_weight must hold real numbers"),
    "negative": ({"sample_weight": np.r_[np.ones(7), -2, np.ones(52)]}, ValueError, "found -2 in row 7"),
    "NaN": ({"sample_weight": np.r_[np.ones(7), np.nan, np.ones(52)]}, ValueError, "found nan in row 7"),
    "zeros": ({"sample_weight": np.zeros(60)}, ValueError, "sample_weight must hold a weight above 0"),
    "missing class": ({"class_weight": {0: 1, 2: 1}}, ValueError, "class_weight has no weight for class 1"),
    "unknown class": ({"class_weight": {0: 1, 1: 1, 2: 1, 9: 2}}, ValueError, "a weight for 9, which is no class"),
    "negative class": ({"class_weight": {0: 1, 1: -1, 2: 1}}, ValueError, "class_weight[1] must be"),
    "zero classes": ({"class_weight": {0: 0, 1: 0, 2: 0}}, ValueError, "class_weight must hold a weight above 0"),
    "word": ({"class_weight": "even"}, ValueError, "class_weight must be 'balanced' or a mapping"),
    "list": ({"class_weight": [1, 2, 3]}, TypeError, "class_weight must be 'balanced' or a mapping"),
    "validation": (
        {"validation_data": (np.ones((2, 5)), [0, 1], [1, -1])}, ValueError, "validation_data weights must be finite",
    ),
    "validation's form": ({"validation_data": (1, 2, 3, 4)}, TypeError, "(X, y) or (X, y, weights)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_weights_change_nothing(name):
    arguments, error, message = BAD[name]
    net = network()
    before, (X, y) = net.parameters.copy(), labelled()
    with pytest.raises(error, match=re.escape(message)):
        net.fit(X, y, epochs=1, **arguments)
    np.testing.assert_array_equal(net.parameters, before)
    assert net.optimizer is None


def test_weights_of_classes_need_labels():
    X = labelled()[0]
    net = network("sigmoid_cross_entropy")
    with pytest.raises(ValueError, match="class_weight needs y to be labels"):
        net.fit(X, np.ones((60, 3)), class_weight="balanced")
    net = network("squared_error")
    with pytest.raises(ValueError, match="class_weight needs y to be labels"):
        net.fit(X, np.full((60, 3), 0.5), class_weight="balanced")


def test_labels_of_any_kind_have_weights():
    X, y = labelled()
    names, numbers = network(), network()
    names.fit(X, np.array(["ant", "bee", "cat"])[y], class_weight={"cat": 3, "ant": 1, "bee": 2}, epochs=2)
    numbers.fit(X, y, class_weight={0: 1, 1: 2, 2: 3}, epochs=2)
    np.testing.assert_array_equal(names.parameters, numbers.parameters)
    with pytest.raises(ValueError, match="class_weight has no weight for class 'bee'"):
        names.fit(X, np.array(["ant", "bee", "cat"])[y], class_weight={"cat": 3, "ant": 1})


def test_balanced_totals_count_weights(backend):
    """As for repeated rows."""
    X, y = labelled()
    weights = np.where(y == 0, 3, 1)
    weighted, repeated = network(), network()
    fit = {"class_weight": "balanced", "optimizer": "sgd", "learning_rate": 0.5, "batch_size": None, "epochs": 5}
    weighted.fit(X, y, weights, shuffle=False, **fit)
    repeated.fit(np.repeat(X, weights, axis=0), np.repeat(y, weights), shuffle=False, **fit)
    np.testing.assert_allclose(weighted.parameters, repeated.parameters, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "loss", [name for name in fastnn.losses.LOSSES if name not in ("absolute_error", "quantile", "hinge")]
)
@pytest.mark.parametrize("activation", ["sigmoid", "elu", "gelu", "silu", "mish", "softplus"])
def test_weighted_gradients_by_differences(activation, loss):
    """Of fourth order, on the reference; Huber's kinks are far from these errors."""
    rng = np.random.default_rng(7)
    X, weights = rng.normal(size=(6, 3)), rng.uniform(0, 2, 6)
    y = rng.integers(0, 2, 6 if loss == "softmax_cross_entropy" else (6, 2))
    given = fastnn.losses.Huber(50.0) if loss == "huber" else loss
    net = fastnn.Network((3, 4, 2), activation, given, "float64", rng=1)
    _, gradient = net.loss_and_gradient(X, y, l2=0.3, sample_weight=weights)
    theta, h = net.parameters.copy(), 1e-3
    for i in range(len(theta)):
        J = []
        for step in (-2, -1, 1, 2):
            net.parameters = theta
            net.parameters[i] += step * h
            J.append(net.loss(X, y, l2=0.3, sample_weight=weights))
        assert gradient[i] == pytest.approx((J[0] - 8 * J[1] + 8 * J[2] - J[3]) / (12 * h), rel=1e-7, abs=1e-9)
