"""Bad input: one clear error that names the argument, what was found and what was expected, before any work."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import fastnn
from fastnn import losses
from fastnn._kernels.contract import Activation as Code
from fastnn.activations import Activation
from fastnn.data import all_finite

X = np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 2.0], [2.0, 1.0, 0.0]])
Y = np.array([0, 1, 1])
NAN, INF, WIDE, HUGE = X.copy(), X.copy(), np.ones((3, 4)), X.copy()
NAN[1, 2], INF[2, 0], HUGE[1, 1] = np.nan, -np.inf, 1e300


def trained(loss="softmax_cross_entropy", outputs=2):
    net = fastnn.Network((3, 4, outputs), loss=loss, rng=0)
    y = Y if net.architecture.loss.chooses else X[:, : net.architecture.loss.targets(outputs)] > 0
    net.fit(X, y, epochs=1)
    return net


def everything(net):
    return (
        net.parameters.tobytes(),
        net.state.optimizer_state.tobytes(),
        net.state.step.tobytes(),
        net.optimizer,
        net.state.trained_on_labels,
        net.rng.bit_generator.state,
    )


def refuse(net, error, message, X=X, y=Y, **options):
    before = copy.deepcopy(everything(net))
    with pytest.raises(error, match=message):
        net.fit(X, y, **({"epochs": 1, "optimizer": "rmsprop", "reset": True} | options))
    assert everything(net) == before, "something changed"


# ---- X


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (WIDE, ValueError, r"X must have 3 columns, one for each input unit; got shape \(3, 4\)"),
        (X[0], ValueError, r"X must be 2-D, samples in rows; got shape \(3,\)"),
        (X[None], ValueError, r"X must be 2-D, samples in rows; got shape \(1, 3, 3\)"),
        (1.5, ValueError, r"X must be 2-D, samples in rows; got shape \(\)"),
        (X[:0], ValueError, r"X is empty: expected at least one row; got shape \(0, 3\)"),
        ([], ValueError, r"X must be 2-D, samples in rows; got shape \(0,\)"),
        (NAN, ValueError, r"X must be finite in float32; found nan in row 1, column 2"),
        (INF, ValueError, r"X must be finite in float32; found -inf in row 2, column 0"),
        (HUGE, ValueError, r"X must be finite in float32; found 1e\+300 in row 1, column 1"),
        (X.astype(object), TypeError, r"X must hold real numbers; got an array of dtype object"),
        (X.astype(str), TypeError, r"X must hold real numbers; got an array of dtype <U"),
        (X + 1j, TypeError, r"X must hold real numbers; got an array of dtype complex128"),
        (X.astype("M8[s]"), TypeError, r"X must hold real numbers; got an array of dtype datetime64"),
        (np.ma.masked_equal(X, 2), ValueError, r"X must hold a number in every place; got a masked array with masked"),
        (None, TypeError, r"X must hold real numbers; got an array of dtype object"),
        ([[1.0, 2.0, 3.0], [1.0, 2.0]], ValueError, r"X must be an array of numbers: .*inhomogeneous"),
    ],
)
def test_bad_samples(bad, error, message):
    net = trained()
    refuse(net, error, message, X=bad)
    calls = [net.forward, net.predict, net.predict_proba]
    for call in (*calls, *(lambda X, f=f: f(X, Y) for f in (net.score, net.loss, net.loss_and_gradient))):
        with pytest.raises(error, match=message):
            call(bad)


# ---- y


@pytest.mark.parametrize(
    ("loss", "outputs", "bad", "error", "message"),
    [
        ("softmax_cross_entropy", 2, [0, 1], ValueError, r"X and y must have as many rows; got 3 and 2"),
        ("softmax_cross_entropy", 2, [], ValueError, r"y must hold at least one target, .*; got shape \(0,\)"),
        ("softmax_cross_entropy", 2, 1, ValueError, r"y must hold at least one target, .*; got shape \(\)"),
        ("softmax_cross_entropy", 2, [0, 1, 2], ValueError, r"y must hold labels from 0 to 1, .*; found (3: 0, 1, )?2"),
        ("softmax_cross_entropy", 2, [0, -1, 1], ValueError, r"y must hold labels from 0 to 1, .*; found (3: )?-1"),
        ("softmax_cross_entropy", 2, [0, 0.5, 1], ValueError, r"y must hold integer labels; found 0.5"),
        ("softmax_cross_entropy", 2, [0, np.nan, 1], ValueError, r"y must hold integer labels; found nan"),
        ("softmax_cross_entropy", 2, [0, np.inf, 1], ValueError, r"y must hold integer labels; found inf"),
        ("softmax_cross_entropy", 2, [0, 1e300, 1], ValueError, r"y must hold integer labels; found 1e\+300"),
        (
            "softmax_cross_entropy",
            2,
            [0, None, 1],
            ValueError,
            r"y must hold a label in every row; found None in row 1",
        ),
        ("softmax_cross_entropy", 2, np.array([b"a"] * 3), TypeError, r"y must hold real numbers; got .* dtype \|S1"),
        ("softmax_cross_entropy", 2, np.eye(3), ValueError, r"y must have 2 columns, .*; got shape \(3, 3\)"),
        ("softmax_cross_entropy", 2, [[1, 1], [0, 1], [1, 0]], ValueError, r"exactly one 1 .*; row 0 has 2"),
        ("softmax_cross_entropy", 2, [[1, 0], [0, 0], [1, 0]], ValueError, r"exactly one 1 .*; row 1 has 0"),
        ("softmax_cross_entropy", 2, X[:, :2] / 2, ValueError, r"y must hold 0 and 1 only; found 0.5"),
        ("sigmoid_cross_entropy", 2, X[:, :2], ValueError, r"y must hold 0 and 1 only; found 2"),
        ("sigmoid_cross_entropy", 2, NAN[:, 1:], ValueError, r"y must hold 0 and 1 only; found (2|nan)"),
        (
            "sigmoid_cross_entropy",
            1,
            [0, 1, 2],
            ValueError,
            r"y must hold (labels.*; found 3: 0, 1, 2|known .*label 2 in)",
        ),
        ("sigmoid_cross_entropy", 3, [0, 3, 3], ValueError, r"y must hold labels from 0 to 2, .*; found (2: 0, )?3"),
        ("squared_error", 2, Y, ValueError, r"y must be a matrix \(m, 2\), one column an output; got shape \(3,\)"),
        ("squared_error", 2, NAN[:, 1:], ValueError, r"y must be finite in float32; found nan in row 1, column 1"),
        ("squared_error", 1, [0, 1, -np.inf], ValueError, r"y must be finite in float32; found -inf in row 2"),
        ("poisson", 2, -X[:, 1:], ValueError, r"y must not be negative for .*; found -1 in row 0, column 0"),
        ("absolute_error", 2, NAN[:, 1:], ValueError, r"y must be finite in float32; found nan in row 1, column 1"),
        ("poisson", 2, NAN[:, 1:], ValueError, r"y must be finite in float32; found nan in row 1, column 1"),
        ("hinge", 1, [0, 1, 2], ValueError, r"y must hold (labels.*; found 3: 0, 1, 2|known .*label 2 in)"),
        ("hinge", 1, [0, 1, -1], ValueError, r"y must hold (labels.*; found 3: -1, 0, 1|known .*label -1 in)"),
        ("hinge", 2, [0, 1, 2], ValueError, r"y must hold labels from 0 to 1, .*; found (3: 0, 1, )?2"),
        (losses.Huber(masked=True), 2, INF[:, :2], ValueError, r"y must be finite in float32; found -inf in row 2"),
        (losses.Poisson(masked=True), 2, -NAN[:, 1:], ValueError, r"must not be negative .*; found -1 in row 0, col"),
        (losses.Quantile([0.2, 0.8]), 2, X[:, :2], ValueError, r"y must have one column, of which all"),
        ("squared_error", 2, X[None], ValueError, r"y must hold at least one target, .*; got shape \(1, 3, 3\)"),
    ],
)
def test_bad_targets(loss, outputs, bad, error, message):
    net = trained(loss, outputs)
    refuse(net, error, message, y=bad)
    for call in (net.score, net.loss, net.loss_and_gradient):
        with pytest.raises(error, match=message):
            call(X, bad)


@pytest.mark.parametrize("shape", [(18_000_000, 1), (100, 5)])  # one is checked in parts by several threads
def test_finite_however_large(shape):
    values = np.full(shape, 3e38, np.float32)  # their squares are not
    assert all_finite(values)
    for wrong in (np.nan, np.inf, -np.inf):
        values[-1, -1] = wrong
        assert not all_finite(values)
    values[-1, -1], values[0, 0] = 0, np.nan
    assert not all_finite(values)


# ---- the other arguments of fit


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, r"batch_size must be an integer >= 1; got 0"),
        ({"batch_size": -5}, ValueError, r"batch_size must be an integer >= 1; got -5"),
        ({"batch_size": 2.0}, TypeError, r"batch_size must be an integer >= 1; got 2.0"),
        ({"batch_size": "all"}, TypeError, r"batch_size must be an integer >= 1; got 'all'"),
        ({"epochs": -1}, ValueError, r"epochs must be an integer >= 0; got -1"),
        ({"epochs": 1.5}, TypeError, r"epochs must be an integer >= 0; got 1.5"),
        ({"epochs": True}, TypeError, r"epochs must be an integer >= 0; got True"),
        ({"learning_rate": 0}, ValueError, r"learning_rate must be a finite number > 0; got 0"),
        ({"learning_rate": -0.1}, ValueError, r"learning_rate must be a finite number > 0; got -0.1"),
        ({"learning_rate": np.nan}, ValueError, r"learning_rate must be a finite number > 0; got nan"),
        ({"learning_rate": "fast"}, TypeError, r"learning_rate must be a finite number > 0; got 'fast'"),
        ({"l2": -1}, ValueError, r"l2 must be a finite number >= 0; got -1"),
        ({"l2": np.inf}, ValueError, r"l2 must be a finite number >= 0; got inf"),
        ({"optimizer": "adamm"}, ValueError, r"optimizer='adamm' is unknown; known are sgd, rmsprop, adam, adamw"),
        ({"learning_rate": 10**400}, ValueError, r"learning_rate must be a finite number > 0; got 10"),
        ({"optimizer": fastnn.optimizers.Optimizer(0.1)}, TypeError, r"optimizer must be a name, one of sgd, rmsprop"),
        ({"optimizer": 3}, TypeError, r"optimizer must be a name, one of sgd, rmsprop, adam, adamw, lbfgs; got 3"),
        ({"validation_data": (WIDE, Y)}, ValueError, r"validation_data X must have 3 columns, .* shape \(3, 4\)"),
        ({"validation_data": (X, Y[:2])}, ValueError, r"validation_data X and validation_data y must have as many"),
        ({"validation_data": (X, [0, 1, 7])}, ValueError, r"validation_data y must hold labels from 0 to 1.*found 7"),
        ({"validation_data": (NAN, Y)}, ValueError, r"validation_data X must be finite"),
        ({"validation_data": X}, TypeError, r"validation_data must be \(X, y\) or \(X, y, weights\); got ndarray"),
        ({"validation_data": (X, Y, Y, Y)}, TypeError, r"validation_data must be .*; got tuple"),
        ({"callback": 3}, TypeError, r"callback must be callable, .*; got int"),
    ],
    ids=str,
)
def test_bad_arguments_of_fit(options, error, message):
    refuse(trained(), error, message, **options)


@pytest.mark.parametrize(("name", "value"), [("FASTNN_BACKEND", "none"), ("FASTNN_NUM_THREADS", "0")])
def test_bad_settings_change_nothing(name, value, monkeypatch):
    net = trained()
    monkeypatch.setattr(fastnn._kernels, "_forced", None)
    monkeypatch.setenv(name, value)
    refuse(net, ValueError, rf"{name}.*'{value}'", reset=True)


@pytest.mark.parametrize(("l2", "error"), [(-1, ValueError), ("0", TypeError), (np.nan, ValueError)])
def test_bad_penalty(l2, error):
    net = trained()
    for call in (net.loss, net.loss_and_gradient):
        with pytest.raises(error, match="l2 must be a finite number >= 0; got "):
            call(X, Y, l2=l2)


# ---- the arguments of Network

KNOWN = "identity, sigmoid, tanh, relu, leaky_relu, elu, selu, gelu, silu, mish, softplus"
SOFTMAX = Activation("softmax", "", "", "glorot", Code.SOFTMAX)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sizes": (3,)}, ValueError, r"sizes must name at least the inputs and the outputs; got \(3,\)"),
        ({"sizes": (3, 0, 2)}, ValueError, r"sizes\[1\] must be an integer >= 1; got 0"),
        ({"sizes": (-3, 2)}, ValueError, r"sizes\[0\] must be an integer >= 1; got -3"),
        ({"sizes": (3, 2.5)}, TypeError, r"sizes\[1\] must be an integer >= 1; got 2.5"),
        ({"sizes": 3}, TypeError, r"sizes must be a sequence of integers, .*; got 3"),
        ({"sizes": "32"}, TypeError, r"sizes must be a sequence of integers, .*; got '32'"),
        ({"sizes": (3, 1)}, ValueError, r"softmax needs at least two output units; got sizes=\(3, 1\)"),
        ({"activation": "swish"}, ValueError, rf"activation='swish' is unknown; known are {KNOWN}"),
        ({"activation": "softmax"}, ValueError, rf"activation='softmax' is unknown; known are {KNOWN}"),
        ({"activation": ["tanh", "relu"]}, ValueError, r"one for each of 1 hidden layers; got 2"),
        ({"activation": []}, ValueError, r"one for each of 1 hidden layers; got 0"),
        ({"activation": [3]}, TypeError, rf"activation must be a name, one of {KNOWN}; got 3"),
        ({"activation": 3}, TypeError, r"activation must be .*; got 3"),
        ({"loss": "logistic"}, ValueError, r"loss='logistic' is unknown; known are softmax_cross_entropy, sigmoid"),
        ({"loss": losses.Quantile([0.1, 0.5, 0.9])}, ValueError, r"quantiles must have one output each, 3; got 2 out"),
        ({"loss": None}, TypeError, r"loss must be a name, one of .*; got None"),
        ({"dtype": "float16"}, ValueError, r"dtype must be one of float32, float64; got float16"),
        ({"dtype": int}, ValueError, r"dtype must be one of float32, float64; got int"),
        ({"dtype": None}, TypeError, r"dtype must be one of float32, float64; got None"),
        ({"rng": "x"}, TypeError, r"rng must be an integer >= 0, a numpy.random.Generator or None; got 'x'"),
        ({"rng": -1}, ValueError, r"rng must be an integer >= 0, a numpy.random.Generator or None; got -1"),
        ({"activation": SOFTMAX}, ValueError, rf"activation must be one of {KNOWN}; got 'softmax', an output unit"),
        ({"init": None}, TypeError, r"init must be a name or a sequence of pairs \(W, b\); got NoneType"),
        ({"init": [("a", "b"), ("a", "b")]}, ValueError, r"init\[0\] must hold real numbers: could not convert"),
        (
            {"init": [(np.full((3, 4), 1e300), np.ones(4)), (np.ones((4, 2)), np.ones(2))]},
            ValueError,
            r"init\[0\]: W must be finite in float32; found NaN or infinity",
        ),
        ({"dtype": "real"}, TypeError, r"dtype must be one of float32, float64; got 'real'"),
        ({"init": "xavier"}, ValueError, r"init='xavier' is unknown; known are auto, glorot, he, zeros"),
        ({"init": []}, ValueError, r"init must hold a pair \(W, b\) for each of the 2 layers; got 0"),
        (
            {"init": [(np.ones((3, 4)), np.ones(4)), (np.ones((2, 4)), np.ones(2))]},
            ValueError,
            r"init\[1\]: W must have shape \(4, 2\); got \(2, 4\)",
        ),
        (
            {"init": [(np.full((3, 4), np.nan), np.ones(4)), (np.ones((4, 2)), np.ones(2))]},
            ValueError,
            r"init\[0\]: W must be finite in float32; found NaN or infinity",
        ),
    ],
    ids=str,
)
def test_bad_arguments_of_network(options, error, message):
    with pytest.raises(error, match=message):
        fastnn.Network(**({"sizes": (3, 4, 2)} | options))


@pytest.mark.parametrize(
    ("slope", "error"), [(1, ValueError), (-0.1, ValueError), (np.nan, ValueError), ("0", TypeError)]
)
def test_bad_slope(slope, error):
    with pytest.raises(error, match="slope must be a finite number >= 0 and < 1; got "):
        fastnn.leaky_relu(slope)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: losses.SoftmaxCrossEntropy(1.0), ValueError, r"label_smoothing must be a finite number >= 0 and < 1;"),
        (lambda: losses.SigmoidCrossEntropy(-0.1), ValueError, r"label_smoothing must be .* >= 0 and < 1; got -0.1"),
        (lambda: losses.SigmoidCrossEntropy("0"), TypeError, r"label_smoothing must be .* >= 0 and < 1; got '0'"),
        (lambda: losses.Huber(0), ValueError, r"delta must be a finite number > 0; got 0"),
        (lambda: losses.Huber(np.nan), ValueError, r"delta must be a finite number > 0; got nan"),
        (lambda: losses.Huber(1.0, masked=1), TypeError, r"masked must be True or False; got 1"),
        (lambda: losses.SquaredError("yes"), TypeError, r"masked must be True or False; got 'yes'"),
        (lambda: losses.AbsoluteError(None), TypeError, r"masked must be True or False; got None"),
        (lambda: losses.Quantile(1.0), ValueError, r"quantiles must be a finite number > 0 and < 1; got 1.0"),
        (lambda: losses.Quantile([0.5, 0]), ValueError, r"quantiles\[1\] must be a finite number > 0 and < 1; got 0"),
        (lambda: losses.Quantile("0.5"), TypeError, r"quantiles must be a finite number > 0 and < 1; got '0.5'"),
        (lambda: losses.Quantile([]), ValueError, r"quantiles must be a number, or name at least one; got none"),
        (lambda: losses.Quantile(0.5, crossing="no"), TypeError, r"crossing must be True or False; got 'no'"),
        (lambda: losses.Poisson("log"), ValueError, r"link='log' is unknown; known are exp, softplus"),
        (lambda: losses.Poisson(masked=0), TypeError, r"masked must be True or False; got 0"),
    ],
)
def test_bad_arguments_of_losses(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ---- without the check of finite values


@pytest.mark.parametrize("activation", ["identity", "sigmoid", "tanh", "relu", "leaky_relu"])
def test_unchecked_nan_ends_the_training_before_it_harms(backend, activation):
    for batch_size in (1, 2, None):
        net = fastnn.Network((3, 4, 2), activation, rng=0)
        before = net.parameters.copy()
        with pytest.raises(fastnn.DivergenceError, match="diverged in epoch 1: the loss became nan"):
            net.fit(NAN, Y, epochs=2, batch_size=batch_size, check_finite=False)
        np.testing.assert_array_equal(net.parameters, before)


def test_unchecked_nan_in_validation_data_is_recorded():
    history = trained().fit(X, Y, epochs=2, validation_data=(NAN, Y), check_finite=False)
    assert history.epochs == 2
    assert np.isnan(history.validation_loss).all()
