"""The optimizers: their updates against formulas written out here and against PyTorch, and their hyperparameters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import make_case

import fastnn

STEPS = 12
RATE = 0.1


def formula(name, gradients_of, theta):
    """Yield theta after each step; one-dimensional, from the papers."""
    v = s = 0.0
    for t in range(1, STEPS + 1):
        g = gradients_of(theta)
        if name == "sgd":
            theta = theta - RATE * g
        elif name == "momentum":  # Sutskever et al. 2013 with the rate outside the velocity
            v = 0.9 * v + g
            theta = theta - RATE * v
        elif name == "nesterov":
            v = 0.9 * v + g
            theta = theta - RATE * (g + 0.9 * v)
        elif name == "rmsprop":  # Tieleman and Hinton 2012
            s = 0.8 * s + 0.2 * g * g
            theta = theta - RATE * g / (math.sqrt(s) + 1e-6)
        else:  # Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2
            v, s = 0.8 * v + 0.2 * g, 0.95 * s + 0.05 * g * g
            decay = RATE * 0.3 * theta if name == "adamw" else 0.0
            theta = theta - decay - RATE * (v / (1 - 0.8**t)) / (math.sqrt(s / (1 - 0.95**t)) + 1e-6)
        yield theta


OPTIMIZERS = {
    "sgd": fastnn.SGD(RATE),
    "momentum": fastnn.SGD(RATE, momentum=0.9),
    "nesterov": fastnn.SGD(RATE, momentum=0.9, nesterov=True),
    "rmsprop": fastnn.RMSprop(RATE, rho=0.8, epsilon=1e-6),
    "adam": fastnn.Adam(RATE, beta1=0.8, beta2=0.95, epsilon=1e-6),
    "adamw": fastnn.AdamW(RATE, beta1=0.8, beta2=0.95, epsilon=1e-6, weight_decay=0.3),
}


@pytest.mark.parametrize("batch_size", [None, 1])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_against_the_formula(backend, name, batch_size):
    """One weight w, a sample x = 2, y = 3: J = (2 w - 3)^2 / 2, g = 2 (2 w - 3). The bias is put back at each step."""
    net = fastnn.Network((1, 1), loss="squared_error", dtype="float64", init=[([[0.5]], [0.0])])
    for expected in formula(name, lambda w: 2 * (2 * w - 3), 0.5):
        net.biases[0][:] = 0
        net.fit([[2.0]], [3.0], optimizer=OPTIMIZERS[name], batch_size=batch_size, epochs=1)
        assert net.weights[0][0, 0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_against_pytorch(backend, name):
    torch = pytest.importorskip("torch")
    case = make_case((3, 5, 2), "tanh", m=8)
    net = fastnn.Network((3, 5, 2), "tanh", dtype="float64")
    net.parameters[:] = case.parameters
    layers = [torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)]
    model = torch.nn.Sequential(*layers).double()
    with torch.no_grad():
        for linear, W, b in zip((layers[0], layers[2]), net.weights, net.biases, strict=True):
            linear.weight.copy_(torch.tensor(W.T.copy()))
            linear.bias.copy_(torch.tensor(b.copy()))
    weights, biases = [layers[0].weight, layers[2].weight], [layers[0].bias, layers[2].bias]
    groups = [{"params": weights}, {"params": biases, "weight_decay": 0.0}]
    kind, options = {
        "sgd": (torch.optim.SGD, {}),
        "momentum": (torch.optim.SGD, {"momentum": 0.9}),
        "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        "rmsprop": (torch.optim.RMSprop, {"alpha": 0.8, "eps": 1e-6}),
        "adam": (torch.optim.Adam, {"betas": (0.8, 0.95), "eps": 1e-6}),
        "adamw": (torch.optim.AdamW, {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.3}),
    }[name]
    theirs = kind(groups, lr=RATE, **options)
    X, y = torch.tensor(case.data.X), torch.tensor(case.data.labels)
    for _ in range(STEPS):
        theirs.zero_grad()
        torch.nn.functional.cross_entropy(model(X), y).backward()
        theirs.step()
    net.fit(case.data.X, case.data.labels, optimizer=OPTIMIZERS[name], batch_size=None, epochs=STEPS)
    expected = [p.detach().numpy().T.ravel() for pair in zip(weights, biases, strict=True) for p in pair]
    np.testing.assert_allclose(net.parameters, np.concatenate(expected), rtol=1e-9, atol=1e-12)


def test_weight_decay_spares_biases(backend):
    net = fastnn.Network((1, 1), loss="squared_error", dtype="float64", init=[([[2.0]], [3.0])])
    net.fit([[0.0]], [3.0], optimizer=fastnn.AdamW(0.1, weight_decay=0.5), epochs=1)
    np.testing.assert_allclose(net.parameters, [2 * (1 - 0.1 * 0.5), 3], rtol=1e-15)  # the gradient is zero


# ---- hyperparameters


def test_names_and_defaults():
    assert fastnn.optimizers.find_optimizer("sgd") == fastnn.SGD(0.01, momentum=0.0, nesterov=False)
    assert fastnn.optimizers.find_optimizer("rmsprop") == fastnn.RMSprop(1e-3, rho=0.9, epsilon=1e-8)
    assert fastnn.optimizers.find_optimizer("adam") == fastnn.Adam(1e-3, 0.9, 0.999, 1e-8)
    assert fastnn.optimizers.find_optimizer("adamw", 0.5) == fastnn.AdamW(0.5, 0.9, 0.999, 1e-8, weight_decay=0.01)


def test_a_learning_rate_given_to_fit_wins():
    net = fastnn.Network((2, 2), rng=0)
    net.fit([[0.0, 1.0]], [0], optimizer=fastnn.Adam(0.5, beta1=0.7), learning_rate=0.25, epochs=1)
    assert net.optimizer == fastnn.Adam(0.25, beta1=0.7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fastnn.SGD(0), r"learning_rate must be a finite number > 0; got 0"),
        (lambda: fastnn.Adam(-1e-3), r"learning_rate must be a finite number > 0; got -0.001"),
        (lambda: fastnn.SGD(math.nan), r"learning_rate must be a finite number > 0; got nan"),
        (lambda: fastnn.SGD(math.inf), r"learning_rate must be a finite number > 0; got inf"),
        (lambda: fastnn.SGD(0.1, momentum=1), r"momentum must be a finite number >= 0 and < 1; got 1"),
        (lambda: fastnn.SGD(0.1, nesterov=True), r"nesterov=True needs a momentum > 0; got momentum=0"),
        (lambda: fastnn.RMSprop(rho=-0.1), r"rho must be a finite number >= 0 and < 1; got -0.1"),
        (lambda: fastnn.Adam(beta1=1), r"beta1 must be .*>= 0 and < 1; got 1"),
        (lambda: fastnn.Adam(beta2=1.5), r"beta2 must be .*>= 0 and < 1; got 1.5"),
        (lambda: fastnn.Adam(epsilon=0), r"epsilon must be a finite number > 0; got 0"),
        (lambda: fastnn.AdamW(weight_decay=-1), r"weight_decay must be a finite number >= 0; got -1"),
    ],
)
def test_bad_hyperparameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_types_of_hyperparameters():
    with pytest.raises(TypeError, match=r"learning_rate must be a finite number > 0; got '0.1'"):
        fastnn.SGD("0.1")
    with pytest.raises(TypeError, match=r"momentum must be .*; got True"):
        fastnn.SGD(0.1, momentum=True)
    with pytest.raises(TypeError, match=r"nesterov must be True or False; got 'yes'"):
        fastnn.SGD(0.1, momentum=0.9, nesterov="yes")
