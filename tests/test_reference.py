"""The NumPy reference against hand-worked numbers, finite differences and the naive implementation."""

from __future__ import annotations

import math

import naive
import numpy as np
import pytest
from conftest import ACTIVATIONS, ALL_LOSSES, assert_close, kernel_optimizer, make_case

import fastnn
from fastnn._kernels import reference
from fastnn._kernels.contract import Activation, Loss

OPTIMIZERS = {
    "sgd": fastnn.SGD(0.5),
    "momentum": fastnn.SGD(0.3, momentum=0.9),
    "nesterov": fastnn.SGD(0.3, momentum=0.9, nesterov=True),
    "rmsprop": fastnn.RMSprop(0.05, rho=0.8, epsilon=1e-3),
    "adam": fastnn.Adam(0.05, beta1=0.8, beta2=0.95, epsilon=1e-3),
    "adamw": fastnn.AdamW(0.05, weight_decay=0.5),
}

# ---- by hand


def test_one_sgd_step_of_logistic_regression_by_hand():
    net = fastnn.Network((2, 1), loss="sigmoid_cross_entropy", dtype="float64", init="zeros")
    history = net.fit([[1.0, 2.0]], [1], optimizer="sgd", learning_rate=0.1, batch_size=1, epochs=1)
    # h = sigmoid(0) = 1/2, delta = h - y = -1/2, dJ/dW = x delta = (-1/2, -1), dJ/db = -1/2
    assert history.loss == [pytest.approx(math.log(2), rel=1e-15)]
    np.testing.assert_allclose(net.parameters, [0.05, 0.1, 0.05], rtol=1e-15)


def hand_worked_network(**options):
    return fastnn.Network(
        (2, 2, 1),
        "relu",
        "squared_error",
        "float64",
        init=[([[1.0, -1.0], [0.5, 1.0]], [0.5, -0.5]), ([[1.0], [2.0]], [-1.0])],
        **options,
    )


def test_one_sgd_step_through_a_hidden_layer_by_hand():
    net = hand_worked_network()
    # z = (1 + 1 + 0.5, -1 + 2 - 0.5) = (2.5, 0.5) = a, h = 2.5 + 1 - 1 = 2.5, J = (2.5 - 1.5)^2 / 2, delta = 1,
    # dW_2 = a, db_2 = 1, delta_1 = (1, 2), dW_1 = x^T delta_1 = ((1, 2), (2, 4)), db_1 = (1, 2)
    assert net.forward([[1.0, 2.0]])[0, 0] == 2.5
    J, gradient = net.loss_and_gradient([[1.0, 2.0]], [1.5])
    assert J == 0.5
    np.testing.assert_array_equal(gradient, [1, 2, 2, 4, 1, 2, 2.5, 0.5, 1])
    net.fit([[1.0, 2.0]], [1.5], optimizer="sgd", learning_rate=0.1, batch_size=1, epochs=1)
    np.testing.assert_allclose(net.parameters, [0.9, -1.2, 0.3, 0.6, 0.4, -0.7, 0.75, 1.95, -1.1], rtol=1e-15)


def test_the_penalty_by_hand():
    net = hand_worked_network()
    X, y = [[1.0, 2.0], [1.0, 2.0]], [1.5, 1.5]
    # sum W^2 = 1 + 1 + 1/4 + 1 + 1 + 4 = 8.25; l2 / (2 m) = 0.4 / 4; the gradient gains l2 / m W = 0.2 W
    J, gradient = net.loss_and_gradient(X, y, l2=0.4)
    assert pytest.approx(0.5 + 0.825, rel=1e-15) == J
    np.testing.assert_allclose(gradient, [1.2, 1.8, 2.1, 4.2, 1, 2, 2.7, 0.9, 1], rtol=1e-15)
    # per sample the penalty's gradient is l2 / m W as well: 0.2 W in the first of the two steps
    net.fit(X, y, optimizer="sgd", learning_rate=1e-9, batch_size=1, epochs=1, l2=0.4, shuffle=False)
    moved = (hand_worked_network().parameters - net.parameters) / 2e-9
    np.testing.assert_allclose(moved, [1.2, 1.8, 2.1, 4.2, 1, 2, 2.7, 0.9, 1], rtol=1e-6)


def test_softmax_by_hand():
    net = fastnn.Network((1, 2), dtype="float64", init=[([[0.0, 0.0]], [0.0, math.log(3)])])
    np.testing.assert_allclose(net.forward([[7.0]]), [[0.25, 0.75]], rtol=1e-15)
    J, gradient = net.loss_and_gradient([[2.0]], [0])
    assert pytest.approx(math.log(4), rel=1e-15) == J
    np.testing.assert_allclose(gradient, [-1.5, 1.5, -0.75, 0.75], rtol=1e-15)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (Activation.IDENTITY, [-2, 0, 2]),
        (Activation.SIGMOID, [0.11920292202211755, 0.5, 0.8807970779778823]),
        (Activation.TANH, [-0.9640275800758169, 0, 0.9640275800758169]),
        (Activation.RELU, [0, 0, 2]),
        (Activation.LEAKY_RELU, [-0.4, 0, 2]),
        (Activation.ELU, [-0.8646647167633873, 0, 2]),
        (Activation.SELU, [-1.5201664685956948, 0, 2.101401974710961]),
        (Activation.GELU, [-0.0455002638963584, 0, 1.9544997361036416]),
        (Activation.SILU, [-0.2384058440442351, 0, 1.7615941559557649]),
        (Activation.MISH, [-0.2525014826957088, 0, 1.9439589595339946]),
        (Activation.SOFTPLUS, [0.1269280110429725, 0.6931471805599453, 2.1269280110429727]),
        (Activation.SOFTMAX, [0.015876239976466765, 0.11731042782619838, 0.8668133321973349]),
    ],
)
def test_activations_at_known_points(code, expected):
    out = np.empty((1, 3))
    reference.dense_forward(np.array([[1.0]]), np.array([[-3.0, -1.0, 1.0]]), np.ones(3), code, 0.2, out)
    np.testing.assert_allclose(out, [expected], rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("z", [-1e4, -800.0, 800.0, 1e4])
def test_a_saturated_output_has_a_finite_right_loss(dtype, z):
    kinds = {"sigmoid_cross_entropy": ((1, 1), [[z]], [0.0]), "softmax_cross_entropy": ((1, 2), [[0, z]], [0.0, 0.0])}
    for loss, (sizes, W, b) in kinds.items():
        net = fastnn.Network(sizes, loss=loss, dtype=dtype, init=[(W, b)])
        assert net.loss([[1.0]], [0]) == pytest.approx(max(z, 0), rel=1e-6)
        assert net.loss([[1.0]], [1]) == pytest.approx(max(-z, 0), rel=1e-6)
        assert np.isfinite(net.loss_and_gradient([[1.0]], [1])[1]).all()


# ---- finite differences


def distances_from_kinks(case):
    """Return how far each output is from where its loss has no derivative, or no second one."""
    model, Y = case.model, reference.target_matrix(case.model, case.data)
    Z = reference.propagate(model, case.parameters, case.data.X)[1][-1]
    match model.loss:
        case Loss.ABSOLUTE_ERROR | Loss.QUANTILE:
            return np.abs(Z - Y)
        case Loss.HUBER:
            return np.abs(np.abs(Z - Y) - model.loss_numbers)
        case Loss.HINGE:
            return np.abs(np.abs(Z) - 1)
    return np.ones_like(Z)


def smooth_case(activations, loss):
    """Return a case none of whose rectifiers or outputs is near its kink, where J has no derivative."""
    sizes = [3, 4, 2, 3][: len(activations) + 1] + [2]
    for seed in range(1000):
        case = make_case(sizes, activations, loss, m=5, seed=seed)
        Z = naive.hidden_inputs(*case.naive()[:-1])
        if np.abs(np.append(Z, 1)).min() > 0.02 and np.nanmin(np.append(distances_from_kinks(case), 1)) > 0.02:
            return case
    raise AssertionError("no such case")


def fourth_order_differences(f, theta, h=1e-3):
    """Return (8 (f(+h) - f(-h)) - (f(+2h) - f(-2h))) / 12 h along each axis."""
    slopes = []
    for axis in np.eye(len(theta)) * h:
        near, far = f(theta + axis) - f(theta - axis), f(theta + 2 * axis) - f(theta - 2 * axis)
        slopes.append((8 * near - far) / (12 * h))
    return np.array(slopes)


@pytest.mark.parametrize("l2", [0.0, 0.7])
@pytest.mark.parametrize(
    "activations",
    [[], *([name] * depth for name in ACTIVATIONS for depth in (1, 2, 3)), ["relu", "tanh", "leaky_relu"]],
    ids=lambda names: "-".join(names) or "none",
)
def test_gradient_of_activations_against_finite_differences(activations, l2):
    for loss in ("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"):
        check_gradient(activations, loss, l2)


@pytest.mark.parametrize("loss", ALL_LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_of_losses_against_finite_differences(activation, loss):
    check_gradient([activation], loss, 0.7)


def check_gradient(activations, loss, l2):
    case = smooth_case(activations, loss)
    gradient = np.empty_like(case.parameters)
    J = reference.loss_and_gradient(case.model, case.parameters, case.data, l2, gradient)
    expected = fourth_order_differences(
        lambda theta: reference.loss(case.model, theta, case.data, l2), case.parameters.copy()
    )
    np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=1e-10)
    assert pytest.approx(reference.loss(case.model, case.parameters, case.data, l2), rel=1e-14) == J


# ---- the naive implementation


@pytest.mark.parametrize("loss", ALL_LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_against_the_naive_implementation(activation, loss):
    case = make_case((4, 3, 5, 2), activation, loss, m=6, seed=3)
    l2, arguments = 0.3, case.naive()
    out, gradient = np.empty((6, 2)), np.empty_like(case.parameters)
    reference.forward(case.model, case.parameters, case.data.X, out)
    assert_close(out, naive.forward(*arguments[:-1]), "float64", "forward")
    J = reference.loss_and_gradient(case.model, case.parameters, case.data, l2, gradient)
    assert_close(J, naive.cost(*arguments, l2), "float64", "J")
    assert_close(gradient, naive.gradient(*arguments, l2 / 6)[1], "float64", "gradient")


@pytest.mark.parametrize("batch_size", [1, 3, 7, 20])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_epochs_against_the_naive_implementation(name, batch_size):
    case = make_case((3, 4, 2), "sigmoid", m=7, seed=5)
    order = np.random.default_rng(1).permutation(7)
    steps, optimizer = -(-7 // batch_size), OPTIMIZERS[name]
    rates = np.linspace(1, 0.5, steps) * optimizer.learning_rate
    taken, losses = kernel_optimizer(optimizer, case.parameters, rates, 0.1), np.empty(steps)
    theta, v, s, expected = naive.epoch(*case.naive(), order, batch_size, 0.1, optimizer.name, optimizer.hyper(), rates)
    arguments = (case.model, case.parameters, case.data, order)
    if batch_size == 1:
        reference.sgd_epoch(*arguments, taken, losses)
    else:
        reference.minibatch_epoch(*arguments, batch_size, taken, losses)
    assert_close(losses, expected, "float64", "losses")
    assert_close(case.parameters, theta, "float64", "parameters")
    moments = {"sgd": [], "rmsprop": [s]}.get(name, [v] if optimizer.name == "sgd" else [v, s])
    assert_close(taken.state, np.array(moments).reshape(-1, len(theta)), "float64", "state")
    assert taken.step[0] == steps


def test_an_empty_order_means_all_rows_first_to_last():
    results = []
    for order in (np.empty(0, dtype=np.int64), np.arange(7)):
        case, losses = make_case((3, 4, 2), m=7), np.empty(3)
        taken = kernel_optimizer(OPTIMIZERS["adam"], case.parameters, [0.1] * 3)
        reference.minibatch_epoch(case.model, case.parameters, case.data, order, 3, taken, losses)
        results.append((case.parameters, losses))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
