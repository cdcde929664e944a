"""The equations in plain NumPy and float64, to check every answer that is timed; imports nothing from the package."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

# g(z), and g'(z) from the output a = g(z)
ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "sigmoid": (lambda z: 0.5 + 0.5 * np.tanh(0.5 * z), lambda a: a - a * a),
    "tanh": (np.tanh, lambda a: 1 - a * a),
    "relu": (lambda z: np.maximum(z, 0), lambda a: a > 0),
}


class Plain:
    """A network trained by backpropagation written out, one step a call."""

    def __init__(self, layers: Any, activation: str, loss: str, optimizer: str, learning_rate: float) -> None:
        self.layers: list[list[Matrix]] = [[W.astype(np.float64), b.astype(np.float64)] for W, b in layers]
        self.g, self.derivative = ACTIVATIONS[activation]
        self.loss_name, self.optimizer, self.learning_rate = loss, optimizer, learning_rate
        self.moments = [[(np.zeros_like(p), np.zeros_like(p)) for p in layer] for layer in self.layers]
        self.steps = 0

    def forward(self, X: Any) -> list[Matrix]:
        """Return A_1 .. A_{L-1} and Z_L."""
        A = [np.asarray(X, np.float64)]
        for W, b in self.layers[:-1]:
            A.append(self.g(A[-1] @ W + b))
        W, b = self.layers[-1]
        return [*A, A[-1] @ W + b]

    def output_and_loss(self, Z: Matrix, y: Any) -> tuple[Matrix, Matrix, float]:
        """Return h, the targets as a matrix, and the mean loss."""
        if self.loss_name == "squared_error":
            Y = np.asarray(y, np.float64)
            return Z, Y, float(((Z - Y) ** 2).sum() / (2 * len(Z)))
        if self.loss_name == "sigmoid_cross_entropy":
            Y = np.asarray(y, np.float64).reshape(Z.shape)
            return 0.5 + 0.5 * np.tanh(0.5 * Z), Y, float((np.logaddexp(0, Z) - Y * Z).sum() / len(Z))
        Y = np.eye(Z.shape[1])[y]
        log_h = Z - np.logaddexp.reduce(Z, axis=1, keepdims=True)
        return np.exp(log_h), Y, float(-(Y * log_h).sum() / len(Z))

    def loss(self, X: Any, y: Any) -> float:
        """Return the mean loss on (X, y)."""
        return self.output_and_loss(self.forward(X)[-1], y)[2]

    def step(self, X: Any, y: Any) -> None:
        """Take one step on one batch."""
        A = self.forward(X)
        h, Y, _ = self.output_and_loss(A[-1], y)
        delta = (h - Y) / len(h)
        self.steps += 1
        for level in reversed(range(len(self.layers))):
            W, b = self.layers[level]
            gradients = (A[level].T @ delta, delta.sum(axis=0))
            if level:
                delta = (delta @ W.T) * self.derivative(A[level])
            for p, g, moments in zip((W, b), gradients, self.moments[level], strict=True):
                p -= self.learning_rate * self.direction(g, *moments)

    def direction(self, g: Matrix, mean: Matrix, square: Matrix) -> Matrix:
        """Return what the optimizer subtracts for the gradient g, before the learning rate."""
        if self.optimizer == "sgd":
            return g
        mean += 0.1 * (g - mean)
        square += 0.001 * (g * g - square)
        corrected: Matrix = mean / (1 - 0.9**self.steps)
        return corrected / (np.sqrt(square / (1 - 0.999**self.steps)) + 1e-8)

    def fit(self, X: Any, y: Any, batch_size: int | None, epochs: int) -> None:
        """Train on the rows in order."""
        size = batch_size or len(X)
        for _ in range(epochs):
            for start in range(0, len(X), size):
                self.step(X[start : start + size], y[start : start + size])
