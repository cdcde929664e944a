"""The textbook's equations once more, one number at a time in float64; imports nothing from the package.

Where it can, it goes another way than the package: the loss is taken from log h, the derivative of the cost at the last
layer is the chain rule through the output unit's whole Jacobian, and g' is taken from z.
"""

from __future__ import annotations

import math

import numpy as np


def unflatten(sizes, theta):
    """Return [(W, b), ...] copied out of the flat vector: W_1 row by row, b_1, W_2, ..."""
    numbers, layers = iter(float(t) for t in theta), []
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        W = [[next(numbers) for _ in range(n_out)] for _ in range(n_in)]
        layers.append((W, [next(numbers) for _ in range(n_out)]))
    assert next(numbers, None) is None
    return layers


def flatten(layers):
    return np.array([t for W, b in layers for t in [w for row in W for w in row] + b])


def is_weight(sizes):
    """Return for each entry of the flat vector whether it is a weight, not a bias."""
    return np.array(
        [
            kind
            for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True)
            for kind in [True] * (n_in * n_out) + [False] * n_out
        ]
    )


SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772  # of selu


def g(activation, slope, z):
    match activation:
        case "identity":
            return z
        case "sigmoid":
            return 1 / (1 + math.exp(-z))
        case "tanh":
            return (math.exp(z) - math.exp(-z)) / (math.exp(z) + math.exp(-z))
        case "relu":
            return z if z > 0 else 0.0
        case "leaky_relu":
            return z if z > 0 else slope * z
        case "elu":
            return z if z > 0 else math.exp(z) - 1
        case "selu":
            return SCALE * (z if z > 0 else ALPHA * (math.exp(z) - 1))
        case "gelu":
            return z * (1 + math.erf(z / math.sqrt(2))) / 2
        case "silu":
            return z / (1 + math.exp(-z))
        case "mish":
            return z * math.tanh(math.log(1 + math.exp(z)))
        case "softplus":
            return math.log(1 + math.exp(z))
    raise AssertionError(activation)


def g_prime(activation, slope, z):
    match activation:
        case "identity":
            return 1.0
        case "sigmoid":
            return math.exp(-z) / (1 + math.exp(-z)) ** 2
        case "tanh":
            return 4 / (math.exp(z) + math.exp(-z)) ** 2
        case "relu":
            return 1.0 if z > 0 else 0.0
        case "leaky_relu":
            return 1.0 if z > 0 else slope
        case "gelu":
            return (1 + math.erf(z / math.sqrt(2))) / 2 + z * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        case "elu":
            return 1.0 if z > 0 else math.exp(z)
        case "selu":
            return SCALE * (1.0 if z > 0 else ALPHA * math.exp(z))
        case "silu":
            return 1 / (1 + math.exp(-z)) + z * math.exp(-z) / (1 + math.exp(-z)) ** 2
        case "mish":
            w = math.log(1 + math.exp(z))
            return math.tanh(w) + z / math.cosh(w) ** 2 / (1 + math.exp(-z))
        case "softplus":
            return 1 / (1 + math.exp(-z))
    raise AssertionError(activation)


def output(loss, z):
    """Return h of one sample; a loss is a pair of its name and the numbers of its outputs, if it has any."""
    match loss[0]:
        case "softmax_cross_entropy":
            total = sum(math.exp(v) for v in z)
            return [math.exp(v) / total for v in z]
        case "sigmoid_cross_entropy":
            return [1 / (1 + math.exp(-v)) for v in z]
        case "poisson":
            return [math.exp(v) for v in z]
        case "poisson_softplus":
            return [math.log(1 + math.exp(v)) for v in z]
    return list(z)


def sample_loss(loss, h, y):
    """Return the loss of one sample: what its outputs add, of which those with a NaN for a target add nothing."""
    known = [k for k in range(len(h)) if not math.isnan(y[k])]
    return sum(term(loss[0], loss[1][k] if loss[1] else None, h[k], y[k]) for k in known)


def term(name, number, h, y):
    match name:
        case "softmax_cross_entropy":
            return -y * math.log(h)
        case "sigmoid_cross_entropy":
            return -(y * math.log(h) + (1 - y) * math.log(1 - h))
        case "poisson" | "poisson_softplus":
            return h - y * math.log(h)
        case "absolute_error":
            return abs(h - y)
        case "huber":
            return (h - y) ** 2 / 2 if abs(h - y) <= number else number * (abs(h - y) - number / 2)
        case "quantile":
            return max(number * (y - h), (number - 1) * (y - h))
        case "hinge":
            return max(0.0, 1 - h if y == 1 else 1 + h)
        case "squared_error":
            return (h - y) ** 2 / 2
    raise AssertionError(name)


def output_delta(loss, h, y):
    """Return dJ/dz of one sample: sum_j dJ/dh_j dh_j/dz_k."""
    K, (name, numbers) = range(len(h)), loss
    if name == "softmax_cross_entropy":
        dh = [-y[j] / h[j] for j in K]
        return [sum(dh[j] * h[j] * ((j == k) - h[k]) for j in K) for k in K]
    return [0.0 if math.isnan(y[k]) else delta(name, numbers[k] if numbers else None, h[k], y[k]) for k in K]


def delta(name, number, h, y):
    match name:
        case "sigmoid_cross_entropy":
            return (-y / h + (1 - y) / (1 - h)) * h * (1 - h)
        case "poisson":
            return (1 - y / h) * h
        case "poisson_softplus":
            return (1 - y / h) * (1 - math.exp(-h))
        case "absolute_error":
            return 1.0 if h > y else -1.0
        case "huber":
            return h - y if abs(h - y) <= number else math.copysign(number, h - y)
        case "quantile":
            return 1 - number if h > y else -number
        case "hinge":
            return (-1.0 if h < 1 else 0.0) if y == 1 else (1.0 if h > -1 else 0.0)
        case "squared_error":
            return h - y
    raise AssertionError(name)


def propagate(activations, slopes, loss, layers, x):
    """Return every layer's input z and output a of one sample."""
    z_all, a_all = [], [[float(v) for v in x]]
    for layer, (W, b) in enumerate(layers):
        a = a_all[-1]
        z = [b[j] + sum(a[i] * W[i][j] for i in range(len(a))) for j in range(len(b))]
        z_all.append(z)
        if layer == len(layers) - 1:
            a_all.append(output(loss, z))
        else:
            a_all.append([g(activations[layer], slopes[layer], v) for v in z])
    return z_all, a_all


def forward(sizes, activations, slopes, loss, theta, X):
    layers = unflatten(sizes, theta)
    return np.array([propagate(activations, slopes, loss, layers, x)[1][-1] for x in X])


def hidden_inputs(sizes, activations, slopes, loss, theta, X):
    """Return every z of every hidden unit and sample."""
    layers = unflatten(sizes, theta)
    return np.array([v for x in X for z in propagate(activations, slopes, loss, layers, x)[0][:-1] for v in z])


def cost(sizes, activations, slopes, loss, theta, X, Y, l2):
    """Return J = mean loss + l2 / (2 m) sum W^2."""
    H = forward(sizes, activations, slopes, loss, theta, X)
    data_term = sum(sample_loss(loss, list(h), list(y)) for h, y in zip(H, Y, strict=True)) / len(X)
    squares = sum(w * w for W, _ in unflatten(sizes, theta) for row in W for w in row)
    return data_term + l2 / (2 * len(X)) * squares


def gradient(sizes, activations, slopes, loss, theta, X, Y, decay):
    """Return (mean loss, gradient of it plus decay / 2 sum W^2)."""
    layers = unflatten(sizes, theta)
    total, grad = 0.0, unflatten(sizes, np.zeros(len(theta)))
    for x, y in zip(X, Y, strict=True):
        z, a = propagate(activations, slopes, loss, layers, x)
        total += sample_loss(loss, a[-1], list(y))
        delta = output_delta(loss, a[-1], list(y))
        for layer in range(len(layers) - 1, -1, -1):
            dW, db = grad[layer]
            for j, d in enumerate(delta):
                db[j] += d / len(X)
                for i, a_i in enumerate(a[layer]):
                    dW[i][j] += a_i * d / len(X)
            if layer > 0:
                W = layers[layer][0]
                delta = [
                    sum(d * W[i][j] for j, d in enumerate(delta))
                    * g_prime(activations[layer - 1], slopes[layer - 1], z[layer - 1][i])
                    for i in range(len(W))
                ]
    return total / len(X), flatten(grad) + decay * np.where(is_weight(sizes), theta, 0)


def step(rule, hyper, theta, grad, rate, t, v, s, weight):
    """Return (theta, v, s) after step t = 1, 2, ..., an element at a time."""
    theta, v, s = theta.copy(), v.copy(), s.copy()
    first, second, epsilon, weight_decay, nesterov = hyper
    for i, g_i in enumerate(grad):
        if rule == "sgd":
            v[i] = first * v[i] + g_i
            theta[i] -= rate * (g_i + first * v[i] if nesterov else v[i])
        elif rule == "rmsprop":
            s[i] = second * s[i] + (1 - second) * g_i**2
            theta[i] -= rate * g_i / (math.sqrt(s[i]) + epsilon)
        else:
            if rule == "adamw" and weight[i]:
                theta[i] -= rate * weight_decay * theta[i]
            v[i] = first * v[i] + (1 - first) * g_i
            s[i] = second * s[i] + (1 - second) * g_i**2
            theta[i] -= rate * (v[i] / (1 - first**t)) / (math.sqrt(s[i] / (1 - second**t)) + epsilon)
    return theta, v, s


def epoch(sizes, activations, slopes, loss, theta, X, Y, rows, batch_size, decay, rule, hyper, rates):
    """Return (theta, v, s, losses) after one step for each batch_size of the rows, from a fresh optimizer."""
    theta = np.array(theta, dtype=np.float64)
    v, s, losses, weight = np.zeros_like(theta), np.zeros_like(theta), [], is_weight(sizes)
    while len(rows):
        batch, rows = rows[:batch_size], rows[batch_size:]
        mean, grad = gradient(sizes, activations, slopes, loss, theta, X[batch], Y[batch], decay)
        losses.append(mean)
        theta, v, s = step(rule, hyper, theta, grad, rates[len(losses) - 1], len(losses), v, s, weight)
    return theta, v, s, np.array(losses)
