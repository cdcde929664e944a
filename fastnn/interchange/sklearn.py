"""scikit-learn: networks as its multilayer perceptrons, and those, or fastnn's estimators, as networks."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

try:
    from sklearn.base import is_classifier
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.utils.validation import check_is_fitted
except ModuleNotFoundError as error:
    package = "pip install fastnn-cpu[sklearn]"
    raise ImportError(f"to_sklearn and from_sklearn need scikit-learn: {package}", name="sklearn") from error

from fastnn._kernels.contract import Array
from fastnn.interchange.common import check_activations, labelled, model_of, own_network
from fastnn.network import Network
from fastnn.sklearn.estimator import BaseMLP

_ACTIVATIONS = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}
_NAMES = {theirs: ours for ours, theirs in _ACTIVATIONS.items()}
# Their output units, and the losses that these go with.
_LOSSES = {
    "softmax": "softmax_cross_entropy", "logistic": "sigmoid_cross_entropy", "identity": "squared_error",
    "exp": "poisson",
}  # fmt: skip


def to_sklearn(net: Network | BaseMLP) -> MLPClassifier | MLPRegressor | Pipeline:
    """Return a network as scikit-learn's estimator, as if it had been fitted.

    Parameters
    ----------
    net : Network or estimator of fastnn.sklearn
        Its parameters are copied. It must have one activation in all hidden layers, identity, sigmoid, tanh or relu,
        no dropout, and a loss that scikit-learn has, without options: softmax or sigmoid cross entropy, squared error,
        Poisson's (scikit-learn 1.7). Labels are kept. Softmax of two classes becomes one sigmoid output, as
        scikit-learn has it; scales of inputs and of targets are folded into the first and the last layer, in float64.

    Returns
    -------
    sklearn.neural_network.MLPClassifier or MLPRegressor, or Pipeline
        Of the network's dtype, or float64 where it has a scale; with scikit-learn's defaults for all that belongs to
        training, which a warm start or ``partial_fit`` begins anew from these coefficients. Of an estimator with a
        preset it is a Pipeline of the preset's preprocessing and that.

    Raises
    ------
    TypeError
        If net is neither.
    ValueError
        If scikit-learn has not what the network has; the message names it.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn.interchange import to_sklearn
    >>> to_sklearn(fastnn.Network((4, 8, 8, 3), "tanh"))
    MLPClassifier(activation='tanh', hidden_layer_sizes=(8, 8))
    """
    model = model_of(net)
    estimator = _estimator(model.network("scikit-learn"))
    return estimator if model.table is None else Pipeline([("table", copy.deepcopy(model.table)), ("mlp", estimator)])


def _estimator(net: Network) -> MLPClassifier | MLPRegressor:
    """Return a network as an estimator."""
    settings = {"hidden_layer_sizes": net.sizes[1:-1], "activation": _one_activation(net)}
    _check_loss(net)
    if any(net.dropout):
        raise ValueError(f"scikit-learn has no dropout; net has dropout={list(net.dropout)}")
    layers = _layers(net)
    estimator = (_classifier if net.architecture.loss.classifies else _regressor)(net, settings)
    estimator.coefs_, estimator.intercepts_ = [W for W, _ in layers], [b for _, b in layers]
    return estimator


def _one_activation(net: Network) -> str:
    check_activations(net, _ACTIVATIONS, "scikit-learn")
    names = [activation.name for activation in net.activations]
    if len(set(names)) > 1:
        raise ValueError(f"scikit-learn has one activation for all hidden layers; net has {', '.join(names)}")
    return _ACTIVATIONS[names[0]] if names else "relu"


def _check_loss(net: Network) -> None:
    """Refuse what cannot be trained or predicted as the network does it."""
    loss = net.architecture.loss
    if loss.describe() not in _LOSSES.values():
        shown = loss if isinstance(loss.describe(), dict) and loss.name in _LOSSES.values() else repr(loss.name)
        raise ValueError(
            f"net has the loss {shown}; those that travel to scikit-learn are {', '.join(_LOSSES.values())}"
        )
    if loss.name == "poisson" and "loss" not in MLPRegressor._get_param_names():
        raise ValueError("Poisson's loss needs scikit-learn 1.7 or newer")
    if loss.name == "sigmoid_cross_entropy" and net.sizes[-1] > 1 and net.state.trained_on_labels:
        raise ValueError("several sigmoid outputs are answers to scikit-learn; net was trained on one label a sample")


def _layers(net: Network) -> list[tuple[Array, Array]]:
    """Return copies of the weights and biases as scikit-learn has them."""
    scaler, scale = net.state.scaler, net.state.target_scale
    dtype = net.dtype if scaler is None and scale is None else np.dtype(np.float64)
    layers = [(W.astype(dtype), b.astype(dtype)) for W, b in zip(net.weights, net.biases, strict=True)]
    if scaler is not None:  # (x - u) / s W + b = x W' + b' with W' = W / s, b' = b - u W'
        W, b = layers[0]
        W = W / np.broadcast_to(scaler.deviation, len(W))[:, None]
        layers[0] = W, b - np.broadcast_to(scaler.mean, len(W)) @ W
    W, b = layers[-1]
    if net.architecture.loss.chooses and net.sizes[-1] == 2:
        layers[-1] = W[:, 1:] - W[:, :1], b[1:] - b[:1]
    elif scale is not None:
        layers[-1] = W * scale.deviation, b * scale.deviation + scale.mean
    return layers


def _classifier(net: Network, settings: dict[str, Any]) -> MLPClassifier:
    """Return a classifier of the network's labels."""
    outputs = net.sizes[-1]
    several = not net.architecture.loss.chooses and outputs > 1
    labels = np.arange(max(2, outputs)) if net.classes is None else net.classes
    y = np.repeat([[0], [1]], outputs, axis=1) if several else labels[:1]
    return _begun(MLPClassifier(**settings), net, y, classes=np.arange(outputs) if several else labels)


def _regressor(net: Network, settings: dict[str, Any]) -> MLPRegressor:
    """Return a regressor with the network's outputs."""
    if net.loss_name == "poisson":
        settings["loss"] = "poisson"
    outputs = net.sizes[-1]
    return _begun(MLPRegressor(**settings), net, np.zeros(1 if outputs == 1 else (1, outputs)))


def _begun(estimator: Any, net: Network, y: Any, **labels: Any) -> Any:
    """Return the estimator with all that a fit sets: after a step, which is then forgotten."""
    X = np.zeros((len(y), net.sizes[0]), net.dtype)
    estimator.set_params(random_state=0).partial_fit(X, y, **labels).set_params(random_state=None)
    del estimator._optimizer, estimator.loss_
    estimator.n_iter_, estimator.t_, estimator.loss_curve_, estimator.best_loss_ = 0, 0, [], np.inf
    return estimator


def from_sklearn(estimator: Any) -> Network:
    """Return a fitted multilayer perceptron as a network.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Of ``sklearn.neural_network`` or ``fastnn.sklearn``, fitted, without a preset and n_ensemble. Its coefficients
        are copied, in their dtype; labels are kept.

    Returns
    -------
    Network
        Of scikit-learn's estimators with the loss that belongs to the output unit: softmax or sigmoid cross entropy,
        squared error, Poisson's. ``predict`` returns what the estimator's does.

    Raises
    ------
    TypeError
        If it is no such estimator.
    ValueError
        If it has not been fitted, if fastnn takes no such labels, or if more than one network predicts.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from fastnn.interchange import from_sklearn
    >>> X, y = load_iris(return_X_y=True)
    >>> from_sklearn(MLPClassifier((8,), solver="lbfgs", max_iter=1000, random_state=0).fit(X, y))
    Network((4, 8, 3), activation=['relu'], loss='softmax_cross_entropy', dtype='float64')
    """
    if not isinstance(estimator, MLPClassifier | MLPRegressor | BaseMLP):
        kinds = "an MLPClassifier or MLPRegressor of sklearn.neural_network or fastnn.sklearn"
        raise TypeError(f"estimator must be {kinds}; got {type(estimator).__name__}")
    check_is_fitted(estimator, "coefs_")
    if is_classifier(estimator) and len(estimator.classes_) < 2:
        raise ValueError(f"estimator must know two labels or more; got classes_={estimator.classes_.tolist()}")
    return own_network(_alone(estimator)) if isinstance(estimator, BaseMLP) else labelled(_theirs(estimator), estimator)


def _alone(estimator: BaseMLP) -> BaseMLP:
    """Return an estimator that is no more than one network."""
    if estimator.preset is not None:
        raise ValueError(
            f"estimator prepares its inputs, preset={estimator.preset!r}, which a network does not; "
            "to_onnx, to_torch and to_sklearn take the estimator itself, with its preprocessing"
        )
    if estimator.n_ensemble > 1:
        raise ValueError(f"estimator must have one network; got n_ensemble={estimator.n_ensemble}; to_onnx takes it")
    return estimator


def _theirs(estimator: MLPClassifier | MLPRegressor) -> Network:
    """Return a network of the coefficients."""
    return Network(
        (len(estimator.coefs_[0]), *map(len, estimator.intercepts_)),
        _NAMES[estimator.activation],
        _LOSSES[estimator.out_activation_],
        estimator.coefs_[0].dtype,
        init=list(zip(estimator.coefs_, estimator.intercepts_, strict=True)),
    )
