"""The NumPy reference: the equations of the textbook, line by line.

It is the oracle that the compiled backends are tested against and the last resort where neither can be loaded.
Notation: A and Z hold a layer's outputs and inputs for all samples (rows), dZ is the derivative of the cost with
respect to Z times m, the number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._kernels import dropout
from fastnn._kernels.contract import Activation, Array, Data, Formula, Integers, Loss, Model, Numbers, Optimizer, Rule
from fastnn._kernels.formulas import evaluate
from fastnn._kernels.rows import Samples, SparseRows, numbers_of

NO_MASKS: Mapping[int, Array] = {}

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
        case Activation.ELU:
            A = np.where(Z > 0, Z, np.expm1(np.minimum(Z, 0)))
        case Activation.SELU:
            A = SELU_SCALE * np.where(Z > 0, Z, SELU_ALPHA * np.expm1(np.minimum(Z, 0)))
        case Activation.SILU:
            A = Z * sigmoid(Z)
        case Activation.MISH:
            A = Z * np.tanh(softplus(Z))
        case Activation.SOFTPLUS:
            A = softplus(Z)
        case Formula():
            A, _ = evaluate(activation, Z)
        case _:
            A = softmax(Z)
    return A


# Klambauer, Unterthiner, Mayr, Hochreiter: Self-normalizing neural networks. 2017.
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def softplus(Z: Array) -> Array:
    """log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|))."""
    P: Array = np.maximum(Z, 0) + np.log1p(np.exp(-np.abs(Z)))
    return P


def normal_probability(Z: Array) -> Array:
    """P(N < z) of a normal number N, erfc(-z / sqrt(2)) / 2: small ones keep their digits."""
    return np.array([math.erfc(-z / math.sqrt(2)) / 2 for z in Z.ravel().tolist()], Z.dtype).reshape(Z.shape)


def derivative(activation: int | Formula, slope: float, A: Array, Z: Array | None = None) -> Array:
    """g'(Z), taken from the output A = g(Z), for gelu, silu, mish, softplus and functions of one's own from Z."""
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
        case Activation.ELU:
            return np.where(A > 0, A.dtype.type(1), 1 + A)
        case Activation.SELU:
            return np.where(A > 0, A.dtype.type(SELU_SCALE), SELU_SCALE * SELU_ALPHA + A)
        case Activation.SILU:
            assert Z is not None
            S = sigmoid(Z)
            return S * (1 + Z * (1 - S))
        case Activation.MISH:
            assert Z is not None
            T = np.tanh(softplus(Z))
            product: Array = Z * (1 - T * T) * sigmoid(Z)
            return T + product
        case Activation.SOFTPLUS:
            assert Z is not None
            return sigmoid(Z)
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


def propagate(
    model: Model, parameters: Array, samples: Samples, masks: Mapping[int, Array] = NO_MASKS
) -> tuple[list[Array], list[Array]]:
    """Return the layers' outputs A_1 = X, ..., A_L, times their masks, and their inputs Z_2, ..., Z_L, X in front."""
    X: Any = samples if isinstance(samples, SparseRows) else numbers_of(samples, parameters.dtype)
    A, Z = [X], [X]
    for layer, (W, b) in enumerate(layers(model, parameters)):
        Z.append(times(A[-1], W) + b)
        A.append(activate(model.activations[layer], model.slopes[layer], Z[-1]))
        if layer in masks:
            A[-1] = A[-1] * masks[layer]
    return A, Z


def times(X: Array | SparseRows, W: Array) -> Array:
    """X W."""
    return X.times(W) if isinstance(X, SparseRows) else X @ W


def transposed_times(X: Array | SparseRows, D: Array) -> Array:
    """X^T D."""
    return X.transposed_times(D) if isinstance(X, SparseRows) else X.T @ D


def masks_of(model: Model, seed: int, step: int, rows: int, dtype: npt.DTypeLike) -> dict[int, Array]:
    """Return the masks of a step, of the layers that have dropout."""
    return {
        layer: dropout.mask(seed, step, layer, rows, model.sizes[layer + 1], p, dtype)
        for layer, p in enumerate(model.dropout)
        if p > 0
    }


def forward(model: Model, parameters: Array, X: Samples, out: Array) -> None:
    """Write the output unit's values A_L of every row of X."""
    out[:] = propagate(model, parameters, X)[0][-1]


def target_matrix(model: Model, data: Data) -> Array:
    """Return Y, (m, K): the targets, or 1 at each sample's label; a single output's target is the label itself.

    Where all outputs share one target it is repeated. Smoothed labels are (1 - e) y + e / K for softmax, which has one
    class of K, and (1 - e) y + e / 2 for sigmoid outputs.
    """
    K, e = model.sizes[-1], model.smoothing
    if data.labels.size == 0:
        Y = np.broadcast_to(data.targets, (len(data.X), K))
    else:
        Y = (data.labels[:, None] == (np.arange(K) if K > 1 else 1)).astype(data.targets.dtype)
    if e == 0:
        return Y
    smoothed: Array = (1 - e) * Y + e / (K if model.loss == Loss.SOFTMAX_CROSS_ENTROPY else 2)
    return smoothed.astype(data.targets.dtype)


def losses_of(model: Model, Z: Array, Y: Array) -> Array:
    """Return the loss of each output, (m, K), of softmax of each sample, (m, 1), from Z_L.

    From there a saturated output gives a finite, right value. A masked target that is missing, a NaN, has none.
    """
    numbers = np.array(model.loss_numbers)
    match model.loss:
        case Loss.SOFTMAX_CROSS_ENTROPY:
            top = Z.max(axis=1, keepdims=True)
            log_sum = top + np.log(np.exp(Z - top).sum(axis=1, keepdims=True))
            terms = log_sum - (Z * Y).sum(axis=1, keepdims=True)
        case Loss.SIGMOID_CROSS_ENTROPY:  # -y log h - (1 - y) log(1 - h) = max(z, 0) - z y + log(1 + exp(-|z|))
            terms = np.maximum(Z, 0) - Z * Y + np.log1p(np.exp(-np.abs(Z)))
        case Loss.ABSOLUTE_ERROR:
            terms = np.abs(Z - Y)
        case Loss.HUBER:
            size, limit = np.abs(Z - Y), numbers
            terms = np.where(size <= limit, size**2 / 2, limit * (size - limit / 2))
        case Loss.QUANTILE:
            terms = np.where(Y > Z, numbers * (Y - Z), (1 - numbers) * (Z - Y))
        case Loss.POISSON:
            terms = np.exp(Z) - Y * Z
        case Loss.POISSON_SOFTPLUS:
            terms = softplus(Z) - Y * log_softplus(Z)
        case Loss.HINGE:  # of the targets -1 and 1
            terms = np.maximum(0, 1 - (2 * Y - 1) * Z)
        case Formula():
            terms = evaluate(model.loss, Z, Y)[0]
        case _:
            terms = (Z - Y) ** 2 / 2
    return np.where(np.isnan(Y), 0, terms) if model.masked else terms


def output_delta(model: Model, A: Array, Z: Array, Y: Array) -> Array:
    """Return the derivative of each sample's loss at Z_L."""
    numbers = np.array(model.loss_numbers, A.dtype)
    match model.loss:
        case Loss.ABSOLUTE_ERROR:
            dZ = np.sign(Z - Y)
        case Loss.HUBER:
            dZ = np.clip(Z - Y, -numbers, numbers)
        case Loss.QUANTILE:
            dZ = np.where(Y > Z, -numbers, np.where(Y < Z, 1 - numbers, Z - Y))
        case Loss.POISSON_SOFTPLUS:
            dZ = sigmoid(Z) - Y * np.exp(log_sigmoid(Z) - log_softplus(Z))
        case Loss.HINGE:
            S = 2 * Y - 1
            dZ = np.where(S * Z < 1, -S, A.dtype.type(0))
        case Formula():
            dZ = evaluate(model.loss, Z, Y)[1]
        case _:
            dZ = A - Y  # for each of these losses with the output unit that it fixes
    return np.where(np.isnan(Y), A.dtype.type(0), dZ) if model.masked else dZ


def log_sigmoid(Z: Array) -> Array:
    """log(1 / (1 + exp(-z))) = min(z, 0) - log(1 + exp(-|z|))."""
    L: Array = np.minimum(Z, 0) - np.log1p(np.exp(-np.abs(Z)))
    return L


def log_softplus(Z: Array) -> Array:
    """log(log(1 + exp(z))), for z < 0 as z + log(log(1 + t) / t) of t = exp(z), a quotient near 1."""
    T = np.exp(np.clip(Z, -40, 0))
    return np.where(Z < 0, Z + np.log(np.log1p(T) / T), np.log(softplus(np.maximum(Z, 0))))


def mean_loss(model: Model, Z: Array, Y: Array, weights: Numbers) -> float:
    """Return the cost without its penalty, from Z_L."""
    losses = losses_of(model, Z.astype(np.float64), Y.astype(np.float64))
    return float((weights[:, None] * losses if weights.size else losses).sum() / len(Z))


def penalty(model: Model, parameters: Array, l2: float, l1: float = 0.0) -> float:
    """Return l2 / 2 times the sum of the squared weights plus l1 times that of their sizes; biases have no penalty."""
    total = 0.0
    if l2 > 0:
        total += l2 / 2 * sum(float((W.astype(np.float64) ** 2).sum()) for W, _ in layers(model, parameters))
    if l1 > 0:
        total += l1 * sum(float(np.abs(W).sum(dtype=np.float64)) for W, _ in layers(model, parameters))
    return total


def loss(model: Model, parameters: Array, data: Data, l2: float) -> float:
    """Return J."""
    _, Z = propagate(model, parameters, data.X)
    mean = mean_loss(model, Z[-1], target_matrix(model, data), data.weights)
    return mean + penalty(model, parameters, l2 / len(data.X))


def backpropagate(
    model: Model, parameters: Array, data: Data, l2: float, gradient: Array, masks: Mapping[int, Array] = NO_MASKS
) -> float:
    """Write the gradient of the mean loss plus l2 / 2 sum W^2; return the mean loss without that penalty."""
    m = len(data.X)
    A, Z = propagate(model, parameters, data.X, masks)
    Y = target_matrix(model, data)
    theta, grad = list(layers(model, parameters)), list(layers(model, gradient))
    dZ = output_delta(model, A[-1], Z[-1], Y)
    if data.weights.size:
        dZ = dZ * data.weights[:, None]
    for layer in reversed(range(len(theta))):
        W, (dW, db) = theta[layer][0], grad[layer]
        dW[:] = transposed_times(A[layer], dZ) / m + l2 * W
        db[:] = dZ.sum(axis=0) / m
        if layer > 0:
            activation, slope = model.activations[layer - 1], model.slopes[layer - 1]
            output = activate(activation, slope, Z[layer]) if layer - 1 in masks else A[layer]
            dZ = dZ @ W.T * derivative(activation, slope, output, Z[layer])
            if layer - 1 in masks:
                dZ *= masks[layer - 1]
    return mean_loss(model, Z[-1], Y, data.weights)


def loss_and_gradient(model: Model, parameters: Array, data: Data, l2: float, gradient: Array) -> float:
    """Return J and write dJ/dtheta."""
    decay = l2 / len(data.X)
    return backpropagate(model, parameters, data, decay, gradient) + penalty(model, parameters, decay)


def sample_gradients(
    model: Model, parameters: Array, data: Data, losses: npt.NDArray[np.float64], gradients: Array
) -> None:
    """Write each sample's loss and its gradient."""
    for i in range(len(data.X)):
        sample = take(data, slice(i, i + 1))
        losses[i] = loss_and_gradient(model, parameters, sample, 0.0, gradients[i])


# --- training -------------------------------------------------------------------------------------------------------


def update(model: Model, parameters: Array, gradient: Array, optimizer: Optimizer, step: int) -> None:
    """Take one step of the optimizer, the call's ``step``-th, and count it.

    Sources: momentum and Nesterov's form of it, Sutskever et al. 2013; RMSprop, Tieleman and Hinton 2012; Adam, Kingma
    and Ba 2015; AdamW, Loshchilov and Hutter 2019; the norm's limit, Pascanu et al. 2013; l1's proximal step, Duchi and
    Singer 2009.
    """
    optimizer.step[0] += 1
    if math.isfinite(optimizer.clip_norm):
        norm = math.sqrt(float((gradient.astype(np.float64) ** 2).sum()))
        gradient *= min(1.0, optimizer.clip_norm / norm) if norm > 0 else 1.0
    if optimizer.input_scale.size:
        step_scaled(model, parameters, gradient, optimizer, step)
    else:
        step_parameters(model, parameters, gradient, optimizer, step)
    for layer, (W, _) in enumerate(layers(model, parameters)):
        change = float(optimizer.rates[step]) * factors(optimizer, layer)[0] * optimizer.l1
        W -= np.clip(W, -change, change)
    if optimizer.average.size:
        optimizer.average[:] += float(optimizer.average_rates[step]) * (parameters - optimizer.average)


def step_parameters(model: Model, parameters: Array, gradient: Array, optimizer: Optimizer, step: int) -> None:
    """Take the rule's step of the parameters; AdamW's weights decay before."""
    weight_decay = float(optimizer.hyper[3])
    if optimizer.rule == Rule.ADAMW:
        for layer, (W, _) in enumerate(layers(model, parameters)):
            W *= 1 - float(optimizer.rates[step]) * weight_decay * np.prod(factors(optimizer, layer)[[0, 2]])
    take_step(optimizer, parameters, gradient, optimizer.state, rates_of_parameters(model, optimizer, step))


def step_scaled(model: Model, parameters: Array, gradient: Array, optimizer: Optimizer, step: int) -> None:
    """Take the rule's step where inputs have scales s: of W and of s, with V = diag(s) W the first layer's weights.

    The derivative of the cost at W is diag(s) times that at V; at s_j it is the product of row j of W and that of V's.
    """
    s, *state = optimizer.input_scale
    (V, _), (dV, _) = next(layers(model, parameters)), next(layers(model, gradient))
    W = V / s[:, None]
    ds = (W * dV).sum(axis=1)
    V[:], dV[:] = W, s[:, None] * dV
    step_parameters(model, parameters, gradient, optimizer, step)
    take_step(optimizer, s, ds, state, s.dtype.type(optimizer.rates[step] * optimizer.input_factor))
    s[:] = np.where(np.abs(s) < SMALLEST_SCALE, np.where(s < 0, -SMALLEST_SCALE, SMALLEST_SCALE), s)
    V *= s[:, None]


SMALLEST_SCALE = 2.0**-20  # of an input, so that W = V / s is finite


def take_step(
    optimizer: Optimizer, theta: Array, gradient: Array, state: Array | list[Array], rate: Array | np.floating
) -> None:
    """Take the rule's step of some parameters, which have this state."""
    first, second, epsilon, _, variant = (float(h) for h in optimizer.hyper)
    t = int(optimizer.step[0])
    match optimizer.rule:
        case Rule.SGD if first == 0:
            theta -= rate * gradient
        case Rule.SGD:
            (v,) = state
            v[:] = first * v + gradient
            theta -= rate * (gradient + first * v if variant else v)
        case Rule.RMSPROP:
            (s,) = state
            s[:] = second * s + (1 - second) * gradient**2
            theta -= rate * gradient / (np.sqrt(s) + epsilon)
        case _:
            v, s = state
            v[:] = first * v + (1 - first) * gradient
            s[:] = second * s + (1 - second) * gradient**2
            v_hat, s_hat = v / (1 - first**t), s / (1 - second**t)
            epsilon /= math.sqrt(1 - second**t) if variant else 1.0
            theta -= rate * v_hat / (np.sqrt(s_hat) + epsilon)


def factors(optimizer: Optimizer, layer: int) -> Numbers:
    """Return a layer's factors of the rate, for weights and biases, and of the decay."""
    row: Numbers = optimizer.factors[layer] if optimizer.factors.size else np.ones(3)
    return row


def rates_of_parameters(model: Model, optimizer: Optimizer, step: int) -> Array:
    """Return the learning rate of each parameter in a step."""
    rates = np.full(model.biases[-1] + model.sizes[-1], optimizer.rates[step], optimizer.state.dtype)
    for layer, (W, b) in enumerate(layers(model, rates)):
        W *= factors(optimizer, layer)[0]
        b *= factors(optimizer, layer)[1]
    return rates


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
        masks = masks_of(model, optimizer.seed, int(optimizer.step[0]) + 1, len(batch.X), parameters.dtype)
        losses[step] = backpropagate(model, parameters, batch, optimizer.l2, gradient, masks)
        update(model, parameters, gradient, optimizer, step)


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
    weights = data.weights[rows] if data.weights.size else data.weights
    return Data(data.X[rows], labels, targets, weights)


# --- for show_config ------------------------------------------------------------------------------------------------


def simd_level() -> str:
    """Return the vector instructions in use: NumPy's own."""
    return "NumPy's"


def cache_folder() -> None:
    """Return None: nothing is compiled, so nothing is cached."""
