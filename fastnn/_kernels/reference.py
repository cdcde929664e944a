"""The NumPy reference: the equations of the textbook, line by line.

It is the oracle that the compiled backends are tested against and the last resort where neither can be loaded.
Notation: A and Z hold a layer's outputs and inputs for all samples (rows), dZ is the derivative of the cost with
respect to Z times m, the number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Activation, Array, Data, Formula, Integers, Loss, Model, Optimizer, Rule
from fastnn._kernels.formulas import evaluate

# --- the functions of one layer -------------------------------------------------------------------------------------


def sigmoid(Z: Array) -> Array:
    """1 / (1 + exp(-z)), from exp(-|z|) so that nothing overflows."""
    E = np.exp(-np.abs(Z))
    return np.where(Z >= 0, 1 / (1 + E), E / (1 + E))


def softmax(Z: Array) -> Array:
    """exp(z_k) / sum_j exp(z_j) in each row."""
    E: Array = np.exp(Z - Z.max(axis=1, keepdims=True))
    E /= E.sum(axis=1, keepdims=True)
    return E


def activate(activation: int | Formula, slope: float, Z: Array) -> Array:
    """g(Z)."""
    match activation:
        case Activation.IDENTITY:
            A = Z
        case Activation.SIGMOID:
            A = sigmoid(Z)
        case Activation.TANH:
            A = np.tanh(Z)
        case Activation.RELU:
            A = np.maximum(Z, 0)
        case Activation.LEAKY_RELU:
            A = np.where(Z > 0, Z, Z.dtype.type(slope) * Z)
        case Activation.EXP:
            A = np.exp(Z)
        case Activation.GELU:
            A = Z * normal_probability(Z)
        case Formula():
            A, _ = evaluate(activation, Z)
        case _:
            A = softmax(Z)
    return A


def normal_probability(Z: Array) -> Array:
    """P(N < z) of a normal number N, erfc(-z / sqrt(2)) / 2: small ones keep their digits."""
    return np.array([math.erfc(-z / math.sqrt(2)) / 2 for z in Z.ravel().tolist()], Z.dtype).reshape(Z.shape)


def derivative(activation: int | Formula, slope: float, A: Array, Z: Array | None = None) -> Array:
    """g'(Z), taken from the output A = g(Z), for gelu and functions of one's own from Z."""
    match activation:
        case Activation.IDENTITY:
            return np.ones_like(A)
        case Activation.SIGMOID:
            return A - A * A
        case Activation.TANH:
            return 1 - A * A
        case Activation.RELU:
            return (A > 0).astype(A.dtype)
        case Activation.GELU:
            assert Z is not None
            density: Array = np.exp(-Z * Z / 2) / A.dtype.type(math.sqrt(2 * math.pi))
            return normal_probability(Z) + Z * density
        case Formula():
            assert Z is not None
            return evaluate(activation, Z)[1]
        case _:
            return np.where(A > 0, A.dtype.type(1), A.dtype.type(slope))


def dense_forward(A: Array, W: Array, b: Array, activation: int | Formula, slope: float, out: Array) -> None:
    """Write out = g(A W + b)."""
    out[:] = activate(activation, slope, A @ W + b)


# --- the network ----------------------------------------------------------------------------------------------------


def layers(model: Model, parameters: Array) -> Iterator[tuple[Array, Array]]:
    """Yield views (W, b) of each layer in a vector laid out like the parameters."""
    for layer, (n_in, n_out) in enumerate(zip(model.sizes[:-1], model.sizes[1:], strict=True)):
        W = parameters[model.weights[layer] :][: n_in * n_out].reshape(n_in, n_out)
        b = parameters[model.biases[layer] :][:n_out]
        yield W, b


def propagate(model: Model, parameters: Array, X: Array) -> tuple[list[Array], list[Array]]:
    """Return the layers' outputs A_1 = X, ..., A_L and their inputs Z_2, ..., Z_L, with X in front."""
    A, Z = [X], [X]
    for layer, (W, b) in enumerate(layers(model, parameters)):
        Z.append(A[-1] @ W + b)
        A.append(activate(model.activations[layer], model.slopes[layer], Z[-1]))
    return A, Z


def forward(model: Model, parameters: Array, X: Array, out: Array) -> None:
    """Write the output unit's values A_L of every row of X."""
    out[:] = propagate(model, parameters, X)[0][-1]


def target_matrix(model: Model, data: Data) -> Array:
    """Return Y, (m, K): the targets, or 1 at each sample's label; a single output's target is the label itself."""
    if data.labels.size == 0:
        return data.targets
    K = model.sizes[-1]
    Y: Array = (data.labels[:, None] == (np.arange(K) if K > 1 else 1)).astype(data.X.dtype)
    return Y


def mean_loss(model: Model, Z: Array, Y: Array) -> float:
    """Return the cost without its penalty, from Z_L: a saturated output still gives a finite, right value."""
    Z, Y = Z.astype(np.float64), Y.astype(np.float64)
    match model.loss:
        case Loss.SOFTMAX_CROSS_ENTROPY:
            top = Z.max(axis=1)
            log_sum = top + np.log(np.exp(Z - top[:, None]).sum(axis=1))
            total = (log_sum - (Z * Y).sum(axis=1)).sum()
        case Loss.SIGMOID_CROSS_ENTROPY:  # -y log h - (1 - y) log(1 - h) = max(z, 0) - z y + log(1 + exp(-|z|))
            total = (np.maximum(Z, 0) - Z * Y + np.log1p(np.exp(-np.abs(Z)))).sum()
        case Loss.POISSON:
            total = (np.exp(Z) - Y * Z).sum()
        case Formula():
            total = evaluate(model.loss, Z, Y)[0].sum()
        case _:
            total = ((Z - Y) ** 2).sum() / 2
    return float(total / len(Z))


def output_delta(model: Model, A: Array, Z: Array, Y: Array) -> Array:
    """Return the derivative of the loss at Z_L: A_L - Y for each loss with the output unit that it fixes."""
    if isinstance(model.loss, Formula):
        return evaluate(model.loss, Z, Y)[1]
    return A - Y


def penalty(model: Model, parameters: Array, l2: float) -> float:
    """Return l2 / 2 times the sum of the squared weights; biases are never penalised."""
    if l2 == 0:
        return 0.0
    return l2 / 2 * sum(float((W.astype(np.float64) ** 2).sum()) for W, _ in layers(model, parameters))


def loss(model: Model, parameters: Array, data: Data, l2: float) -> float:
    """Return J."""
    _, Z = propagate(model, parameters, data.X)
    return mean_loss(model, Z[-1], target_matrix(model, data)) + penalty(model, parameters, l2 / len(data.X))


def backpropagate(model: Model, parameters: Array, data: Data, l2: float, gradient: Array) -> float:
    """Write the gradient of the mean loss plus l2 / 2 sum W^2; return the mean loss without that penalty."""
    m = len(data.X)
    A, Z = propagate(model, parameters, data.X)
    Y = target_matrix(model, data)
    theta, grad = list(layers(model, parameters)), list(layers(model, gradient))
    dZ = output_delta(model, A[-1], Z[-1], Y)
    for layer in reversed(range(len(theta))):
        W, (dW, db) = theta[layer][0], grad[layer]
        dW[:] = A[layer].T @ dZ / m + l2 * W
        db[:] = dZ.sum(axis=0) / m
        if layer > 0:
            dZ = dZ @ W.T * derivative(model.activations[layer - 1], model.slopes[layer - 1], A[layer], Z[layer])
    return mean_loss(model, Z[-1], Y)


def loss_and_gradient(model: Model, parameters: Array, data: Data, l2: float, gradient: Array) -> float:
    """Return J and write dJ/dtheta."""
    decay = l2 / len(data.X)
    return backpropagate(model, parameters, data, decay, gradient) + penalty(model, parameters, decay)


# --- training -------------------------------------------------------------------------------------------------------


def update(model: Model, parameters: Array, gradient: Array, optimizer: Optimizer, rate: float) -> None:
    """Take one step of the optimizer and count it.

    Sources: momentum and Nesterov's form of it, Sutskever et al. 2013; RMSprop, Tieleman and Hinton 2012; Adam, Kingma
    and Ba 2015; AdamW, Loshchilov and Hutter 2019.
    """
    first, second, epsilon, weight_decay, nesterov = (float(h) for h in optimizer.hyper)
    optimizer.step[0] += 1
    t = int(optimizer.step[0])
    match optimizer.rule:
        case Rule.SGD if first == 0:
            parameters -= rate * gradient
        case Rule.SGD:
            (v,) = optimizer.state
            v[:] = first * v + gradient
            parameters -= rate * (gradient + first * v if nesterov else v)
        case Rule.RMSPROP:
            (s,) = optimizer.state
            s[:] = second * s + (1 - second) * gradient**2
            parameters -= rate * gradient / (np.sqrt(s) + epsilon)
        case _:
            if optimizer.rule == Rule.ADAMW:
                for W, _ in layers(model, parameters):
                    W *= 1 - rate * weight_decay
            v, s = optimizer.state
            v[:] = first * v + (1 - first) * gradient
            s[:] = second * s + (1 - second) * gradient**2
            v_hat, s_hat = v / (1 - first**t), s / (1 - second**t)
            parameters -= rate * v_hat / (np.sqrt(s_hat) + epsilon)


def minibatch_epoch(
    model: Model,
    parameters: Array,
    data: Data,
    order: Integers,
    batch_size: int,
    optimizer: Optimizer,
    losses: npt.NDArray[np.float64],
    epochs: int = 1,
) -> None:
    """Take one step for each batch_size rows of the order."""
    gradient = np.empty_like(parameters)
    m = len(order) // epochs if order.size else len(data.X)
    batches = [slice(start, min(start + batch_size, m)) for start in range(0, m, batch_size)]
    for step, (epoch, rows) in enumerate(product(range(epochs), batches)):
        batch = take(data, order[epoch * m :][rows] if order.size else rows)
        losses[step] = backpropagate(model, parameters, batch, optimizer.l2, gradient)
        update(model, parameters, gradient, optimizer, float(optimizer.rates[step]))


def shuffle_grid(down: Integers, across: Integers, samples: int, first: int, order: Integers) -> None:
    """Write a piece of the order of the samples in a grid whose columns and rows have turned."""
    rows, columns = np.uint32(across.shape[1]), np.uint32(down.shape[1])

    def turned(cells: Integers) -> Integers:
        row, column = (part.astype(np.uint32) for part in np.divmod(cells, np.int64(columns)))
        for steps_down, steps_across in zip(down, across, strict=True):
            row += steps_down[column]
            np.minimum(row, row - rows, out=row)  # the difference wraps around where there is none
            column += steps_across[row]
            np.minimum(column, column - columns, out=column)
        return row.astype(np.int64) * columns + column

    order[:] = turned(np.arange(first, first + len(order)))
    while (after := np.flatnonzero(order >= samples)).size:
        order[after] = turned(order[after])


def sgd_epoch(
    model: Model,
    parameters: Array,
    data: Data,
    order: Integers,
    optimizer: Optimizer,
    losses: npt.NDArray[np.float64],
    epochs: int = 1,
) -> None:
    """Take one step for each sample of the order."""
    minibatch_epoch(model, parameters, data, order, 1, optimizer, losses, epochs)


def take(data: Data, rows: Integers | slice) -> Data:
    """Return the rows of the samples, with whichever form of the targets is there."""
    labels = data.labels[rows] if data.labels.size else data.labels
    targets = data.targets[rows] if data.targets.size else data.targets
    return Data(data.X[rows], labels, targets)


# --- for show_config ------------------------------------------------------------------------------------------------


def simd_level() -> str:
    """Return the vector instructions in use: NumPy's own."""
    return "NumPy's"


def cache_folder() -> None:
    """Return None: nothing is compiled, so nothing is cached."""
