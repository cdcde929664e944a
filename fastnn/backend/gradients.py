"""Derivatives of each sample's loss: by the parameters, and by the inputs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastnn import _kernels
from fastnn._checks import check_integer
from fastnn._kernels import reference
from fastnn._kernels.contract import Activation, Array, Data, Loss, Model, Rows, SparseRows
from fastnn.backend.arrays import as_given, check_array, check_network
from fastnn.data import as_samples
from fastnn.network import Network

_NUMBERS = 1 << 19  # of gradients at a time, of which input_gradient needs a part: they stay in the core's own cache


def per_sample_gradients(network: Network, X: npt.ArrayLike, y: npt.ArrayLike, out: Array | None = None) -> Array:
    """Return the gradient of each sample's loss by the parameters, without a penalty; their mean is that of J.

    Parameters
    ----------
    network : Network
        P parameters.
    X, y
        m samples, as in ``Network.loss_and_gradient``.
    out : ndarray, (m, P), optional
        Where the gradients go: of the network's dtype, in C order.

    Returns
    -------
    ndarray, (m, P)
        Each row laid out like ``Network.parameters``; ``out`` if it is given. It is m * P numbers in size, of 4 or 8
        bytes (10,000 samples of a float32 network of 784-128-10 take 4 GB): give few samples at a time.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> net = fastnn.Network((4, 8, 3), rng=0)
    >>> X, y = np.ones((2, 4), np.float32), np.array([0, 2])
    >>> fastnn.backend.per_sample_gradients(net, X, y).shape == (2, len(net.parameters))
    True
    """
    data, parameters = _data(network, X, y), network.state.parameters
    shape = len(data.X), len(parameters)
    if out is None:
        out = np.empty(shape, parameters.dtype)
    gradients = check_array("out", out, parameters.dtype, shape, written=True)
    _kernels.kernels().sample_gradients(network.architecture.model, parameters, data, np.empty(len(data.X)), gradients)
    return out


def input_gradient(
    network: Network, X: npt.ArrayLike, y: npt.ArrayLike | None = None, *, output: int | None = None
) -> Array:
    """Return the derivative of each sample's loss, or of one output, by the sample's inputs: its saliency.

    Parameters
    ----------
    network : Network
        n_in inputs, K outputs.
    X, y
        m samples and their targets, as in ``Network.loss_and_gradient``; without a penalty.
    output : int, optional
        In the place of y: one of the outputs, 0 .. K - 1. The derivative is that of its z, before the output unit: of a
        class's logit, or of a regression's own output (of Poisson's logarithm, with that link; of quantiles before they
        are brought in order).

    Returns
    -------
    ndarray, (m, n_in)
        In the network's dtype. Where the network was trained with ``scale_targets``, of standardised targets; with a
        ``scale``, still by X as it is given.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.

    References
    ----------
    Simonyan, Vedaldi, Zisserman: Deep inside convolutional networks: visualising image classification models and
    saliency maps. ICLR workshop 2014.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> net = fastnn.Network((4, 8, 3), rng=0)
    >>> X, y = np.ones((2, 4), np.float32), np.array([0, 2])
    >>> fastnn.backend.input_gradient(net, X, output=1).shape
    (2, 4)
    """
    if (y is None) == (output is None):
        raise TypeError(f"input_gradient takes either y or output; got {'neither' if y is None else 'both'}")
    model = check_network(network).architecture.model
    if y is None:
        model, data = _of_output(network, X, check_integer("output", output, low=0))
    else:
        data = _data(network, X, y)
    W, samples, deltas = network.weights[0], data.X, _first_deltas(model, network.state.parameters, data)
    out = np.empty(samples.shape, W.dtype)
    _kernels.kernels().dense_forward(deltas, W.T, np.zeros(len(W), W.dtype), int(Activation.IDENTITY), 0.0, out)
    if isinstance(samples, Rows | SparseRows) and samples.inverse is not None:
        out *= samples.inverse  # by the numbers that were given, which kernels scale
    return out


def _data(network: Network, X: npt.ArrayLike, y: npt.ArrayLike) -> Data:
    return check_network(network)._given(as_given("X", X), as_given("y", y), None).data


def _of_output(network: Network, X: npt.ArrayLike, k: int) -> tuple[Model, Data]:
    """Return a model and samples whose loss has the derivative 1 at z_k and 0 at the others.

    It is the absolute error |z_k - y_k| of a target that is below all numbers, and of others that are missing.
    """
    architecture, K = network.architecture, network.sizes[-1]
    if k >= K:
        raise ValueError(f"output must be one of the {K} outputs, 0 .. {K - 1}; got {k}")
    samples, scaler = as_samples(as_given("X", X), network.sizes[0], architecture.dtype), network.state.scaler
    if scaler is not None:
        samples = scaler.scaled(samples, architecture.dtype)
    targets = np.full((len(samples), K), np.nan, architecture.dtype)
    targets[:, k] = -np.inf
    own = architecture.model
    model = own._replace(
        activations=(*own.activations[:-1], int(Activation.IDENTITY)),
        loss=int(Loss.ABSOLUTE_ERROR),
        loss_numbers=(),
        smoothing=0.0,
        masked=True,
        n_targets=K,
    )
    return model, Data(samples, np.empty(0, np.int64), targets)


def _first_deltas(model: Model, parameters: Array, data: Data) -> Array:
    """Return the derivative of each sample's loss by Z of the first layer: the gradient of its biases."""
    m, P, kernels = len(data.X), len(parameters), _kernels.kernels()
    rows = min(m, max(1, _NUMBERS // P))
    gradients, losses = np.empty((rows, P), parameters.dtype), np.empty(rows)
    begin, units = model.biases[0], model.sizes[1]
    deltas = np.empty((m, units), parameters.dtype)
    for start in range(0, m, rows):
        part = reference.take(data, slice(start, start + rows))
        n = len(part.X)
        kernels.sample_gradients(model, parameters, part, losses[:n], gradients[:n])
        deltas[start : start + n] = gradients[:n, begin : begin + units]
    return deltas
