"""Network: its layout, initial weights, outputs, predictions and scores."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from conftest import ACTIVATIONS, LOSSES, make_case, random_targets

import fastnn


def test_parameters_are_one_flat_aligned_vector_of_views():
    net = fastnn.Network((3, 5, 2), rng=0)
    assert net.parameters.shape == (3 * 5 + 5 + 5 * 2 + 2,)
    assert net.parameters.dtype == np.float32
    assert net.parameters.ctypes.data % 64 == 0
    assert [W.shape for W in net.weights] == [(3, 5), (5, 2)]
    assert [b.shape for b in net.biases] == [(5,), (2,)]
    net.parameters[:] = np.arange(32)
    np.testing.assert_array_equal(net.weights[0], np.arange(15).reshape(3, 5))
    np.testing.assert_array_equal(net.biases[0], np.arange(15, 20))
    np.testing.assert_array_equal(net.weights[1], np.arange(20, 30).reshape(5, 2))
    np.testing.assert_array_equal(net.biases[1], [30, 31])
    net.weights[1][2, 1] = -1
    assert net.parameters[25] == -1


def test_a_network_is_printed_as_it_was_given():
    net = fastnn.Network((3, 5, 4, 2), ["tanh", "relu"], dtype="float64")
    assert repr(net) == (
        "Network((3, 5, 4, 2), activation=['tanh', 'relu'], loss='softmax_cross_entropy', dtype='float64')"
    )


# ---- initial weights


@pytest.mark.parametrize(("activation", "he"), [("sigmoid", 0), ("tanh", 0), ("relu", 1), ("leaky_relu", 1)])
def test_automatic_initial_weights_suit_the_activation(activation, he):
    net = fastnn.Network((300, 200, 100), activation, rng=0, dtype="float64")
    W, W_last = net.weights
    glorot = (6 / (300 + 200)) ** 0.5
    if he:
        assert W.std() == pytest.approx((2 / 300) ** 0.5, rel=0.02)
        assert np.abs(W).max() > 3 * W.std(), "normal, not uniform"
    else:
        assert np.abs(W).max() == pytest.approx(glorot, rel=1e-3)
        assert W.std() == pytest.approx(glorot / 3**0.5, rel=0.02)
    assert np.abs(W_last).max() == pytest.approx((6 / 300) ** 0.5, rel=1e-3), "the output layer is Glorot's"
    assert abs(W.mean()) < 0.01 * np.abs(W).max()
    assert not any(b.any() for b in net.biases)


def test_named_and_own_initial_weights():
    assert not fastnn.Network((3, 2), init="zeros").parameters.any()
    forced = fastnn.Network((300, 200, 2), "sigmoid", init="he", rng=0).weights[0]
    assert forced.std() == pytest.approx((2 / 300) ** 0.5, rel=0.02)
    W, b = np.arange(6.0).reshape(3, 2), [7, 8]
    net = fastnn.Network((3, 2), init=[(W, b)])
    np.testing.assert_array_equal(net.parameters, [0, 1, 2, 3, 4, 5, 7, 8])
    W[0, 0] = 100
    assert net.parameters[0] == 0, "the arrays given were copied"


def test_the_seed_fixes_the_weights():
    one, same, other = (fastnn.Network((4, 3, 2), rng=seed).parameters for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    generator = fastnn.Network((4, 3, 2), rng=np.random.default_rng(1)).parameters
    np.testing.assert_array_equal(one, generator)
    assert (fastnn.Network((4, 3, 2)).parameters != fastnn.Network((4, 3, 2)).parameters).any()


# ---- outputs


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_loss_and_gradient(backend, activation, loss):
    case = make_case((4, 3, 5, 2), activation, loss, m=6, seed=2)
    slopes = [fastnn.leaky_relu(0.2) if activation == "leaky_relu" else activation] * 2
    net = fastnn.Network(case.sizes, slopes, loss, "float64")
    net.parameters[:] = case.parameters
    *_, X, Y = arguments = case.naive()
    y = case.data.labels if case.data.labels.size else Y
    np.testing.assert_allclose(net.forward(X), naive.forward(*arguments[:-1]), rtol=1e-10)
    assert net.loss(X, y, l2=0.3) == pytest.approx(naive.cost(*arguments, 0.3), rel=1e-10)
    assert net.loss(X, y) == pytest.approx(naive.cost(*arguments, 0.0), rel=1e-10)
    J, gradient = net.loss_and_gradient(X, y, l2=0.3)
    assert pytest.approx(naive.cost(*arguments, 0.3), rel=1e-10) == J
    np.testing.assert_allclose(gradient, naive.gradient(*arguments, 0.3 / 6)[1], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(net.parameters, case.parameters)


def test_leaky_relu_slopes():
    for activation, slope in (("leaky_relu", 0.01), (fastnn.leaky_relu(0.2), 0.2), (fastnn.leaky_relu(), 0.01)):
        net = fastnn.Network((1, 1, 1), activation, "squared_error", "float64", init=[([[1]], [0])] * 2)
        np.testing.assert_allclose(net.forward([[-3.0], [3.0]])[:, 0], [-3 * slope, 3])


def test_each_hidden_layer_has_its_own_activation():
    net = fastnn.Network((1, 1, 1, 1), ["relu", "tanh"], "squared_error", "float64", init=[([[-1]], [0])] * 3)
    np.testing.assert_allclose(net.forward([[2.0], [-2.0]])[:, 0], [0, np.tanh(2)])


def test_results_are_the_callers_own(backend):
    net, X = fastnn.Network((3, 2), rng=0), np.ones((2, 3))
    first = net.forward(X)
    kept = first.copy()
    net.forward(2 * X)
    gradient = net.loss_and_gradient(X, [0, 1])[1]
    kept_gradient = gradient.copy()
    net.loss_and_gradient(2 * X, [0, 1])
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(gradient, kept_gradient)


# ---- predictions and scores


def linear(loss, outputs, b=None):
    """Return a network whose outputs' inputs z are X itself."""
    return fastnn.Network((outputs, outputs), loss=loss, init=[(np.eye(outputs), np.zeros(outputs))])


def test_softmax_predicts_labels():
    net, X = linear("softmax_cross_entropy", 3), [[1.0, 2, 0], [5, 2, 0], [0, 0, 1]]
    np.testing.assert_array_equal(net.predict(X), [1, 0, 2])
    probabilities = net.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(probabilities[0], np.exp([1, 2, 0]) / np.exp([1, 2, 0]).sum(), rtol=1e-6)
    assert net.score(X, [1, 0, 1]) == pytest.approx(2 / 3)
    assert net.score(X, [[0, 1, 0], [1, 0, 0], [0, 0, 1]]) == 1


def test_one_sigmoid_output_answers_0_or_1():
    net, X = linear("sigmoid_cross_entropy", 1), [[-1.0], [0.0], [3.0]]
    np.testing.assert_array_equal(net.predict(X), [0, 1, 1])
    assert net.predict_proba(X).shape == (3, 1)
    assert net.score(X, [0, 0, 1]) == pytest.approx(2 / 3)
    assert net.score(X, [[0], [1], [1]]) == 1


def test_several_sigmoid_outputs_answer_as_they_were_trained():
    X = [[-1.0, 2.0], [3.0, 1.0], [-1.0, -2.0]]
    net = linear("sigmoid_cross_entropy", 2)
    net.fit(X, [[0, 1], [1, 1], [0, 0]], epochs=0)
    np.testing.assert_array_equal(net.predict(X), [[0, 1], [1, 1], [0, 0]])
    assert net.score(X, [[0, 1], [1, 0], [0, 0]]) == pytest.approx(2 / 3), "a sample counts if all answers are right"
    net.fit(X, [1, 0, 0], epochs=0)
    np.testing.assert_array_equal(net.predict(X), [1, 0, 0])
    assert net.score(X, [1, 0, 1]) == pytest.approx(2 / 3)


def test_squared_error_predicts_values_and_scores_r_squared():
    net = linear("squared_error", 2)
    X = np.array([[1.0, 2], [2, 5], [4, 5]])
    np.testing.assert_array_equal(net.predict(X), X)
    assert net.score(X, X) == 1
    y = X + [[0.5, 0], [0, 0], [0, 1]]
    r2 = np.mean(1 - ((y - X) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0))
    assert net.score(X, y) == pytest.approx(r2)
    assert linear("squared_error", 1).predict([[3.0], [4.0]]).shape == (2,)
    with pytest.raises(ValueError, match="predict_proba needs a cross-entropy loss"):
        net.predict_proba(X)


def test_r_squared_matches_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    case = make_case((3, 4, 2), loss="squared_error", m=20)
    net = fastnn.Network((3, 4, 2), "tanh", "squared_error", "float64", rng=1)
    X, y = case.data.X, case.data.targets
    assert net.score(X, y) == pytest.approx(metrics.r2_score(y, net.predict(X)))


# ---- targets and inputs in their several forms


def trained(X, y, loss, sizes, dtype="float32"):
    net = fastnn.Network(sizes, "tanh", loss, dtype, rng=0)
    net.fit(X, y, epochs=2, batch_size=4)
    return net.parameters


@pytest.mark.parametrize("outputs", [2, 5])
def test_labels_and_one_hot_rows_are_the_same(backend, outputs):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(13, 3)), rng.integers(0, outputs, 13)
    for loss in LOSSES[:2]:
        expected = trained(X, y, loss, (3, 4, outputs))
        for form in (np.eye(outputs)[y], np.eye(outputs, dtype=bool)[y], y.astype(float), y.astype(np.uint8), list(y)):
            np.testing.assert_allclose(trained(X, form, loss, (3, 4, outputs)), expected, rtol=1e-6)


INPUTS = {
    "list": lambda X: X.tolist(),
    "Fortran-ordered": np.asfortranarray,
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "every second column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": lambda X: X[::-1].copy()[::-1],
    "big-endian": lambda X: X.astype(">f4"),
    "float16": lambda X: X.astype(np.float16),
    "float64": lambda X: X.astype(np.float64),
    "int8": lambda X: X.astype(np.int8),
    "big-endian int": lambda X: X.astype(">i8"),
    "unaligned": lambda X: np.frombuffer(b"." + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(X.shape),
}


@pytest.mark.parametrize("form", INPUTS)
def test_inputs_that_must_be_converted(backend, form):
    rng = np.random.default_rng(0)
    X = rng.integers(-4, 5, (13, 3)).astype(np.float32)
    for loss in LOSSES:
        y = np.round(random_targets(rng, loss, 13, 3))
        expected = trained(X, y, loss, (3, 4, 3))
        convert_y = (lambda y: y) if y.ndim == 1 and form == "every second column" else INPUTS[form]
        if y.ndim == 1 or form == "unaligned":
            convert_y = list
        np.testing.assert_array_equal(trained(INPUTS[form](X), convert_y(y), loss, (3, 4, 3)), expected)


def test_read_only_inputs_work_and_stay_as_they_were(backend):
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        X, y = rng.normal(size=(13, 3)).astype(dtype), rng.integers(0, 2, 13)
        expected, kept = trained(X, y, LOSSES[0], (3, 4, 2), dtype), X.copy()
        X.flags.writeable = y.flags.writeable = False
        np.testing.assert_array_equal(trained(X, y, LOSSES[0], (3, 4, 2), dtype), expected)
        np.testing.assert_array_equal(X, kept)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_binary_answers_of_any_type_are_the_same(shape):
    rng = np.random.default_rng(3)
    X, y, nets = rng.normal(size=(30, 4)), rng.integers(0, 2, 30), []
    for answers in (y.astype(np.int64), y.astype(np.int32), y.astype(bool), y.astype(float)):
        net = fastnn.Network((4, 5, 1), loss="sigmoid_cross_entropy", dtype="float64", rng=0)
        history = net.fit(X, answers.reshape(shape), learning_rate=0.5, batch_size=7, epochs=2, progress=False)
        nets.append((net.parameters, history.loss, net.score(X, answers.reshape(shape)), net.predict(X)))
    for net in nets[1:]:
        for one, other in zip(net, nets[0], strict=True):
            np.testing.assert_array_equal(one, other)
