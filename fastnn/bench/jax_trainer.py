"""JAX at its best: the whole epoch is one jitted ``lax.scan``, full batch one jitted loop over the epochs."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fastnn.bench.cells import Array, Cell, Layers
from fastnn.bench.trainers import Trainer

ACTIVATIONS = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu}


def logits(cell: Cell, layers: Any, x: Any) -> Any:
    """Return Z_L of one sample (x is a vector) or one batch (x is a matrix)."""
    a = x
    for W, b in layers[:-1]:
        a = ACTIVATIONS[cell.activation](a @ W + b)
    W, b = layers[-1]
    return a @ W + b


def losses(cell: Cell) -> tuple[str, ...]:
    """Return the ways to write the loss: a label's logit is a product with its one-hot row, or taken by its index."""
    return ("one_hot", "take_along_axis") if cell.loss == "softmax_cross_entropy" else ("",)


def loss(cell: Cell, way: str, layers: Any, x: Any, y: Any) -> Any:
    """Return the mean loss of one sample or one batch."""
    z = logits(cell, layers, x)
    if cell.loss == "squared_error":
        return 0.5 * jnp.mean(jnp.sum((z - y) ** 2, axis=-1))
    if cell.loss == "sigmoid_cross_entropy":
        return jnp.mean(jax.nn.softplus(z[..., 0]) - y * z[..., 0])
    if way == "one_hot":
        chosen = jnp.sum(z * jax.nn.one_hot(y, z.shape[-1]), axis=-1)
    else:
        chosen = jnp.take_along_axis(z, y[..., None], axis=-1)[..., 0]
    return jnp.mean(jax.nn.logsumexp(z, axis=-1) - chosen)


def step(cell: Cell, way: str, state: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Take one optimizer step; state is (layers, first moments, second moments, steps)."""
    layers, mean, square, steps = state
    value, gradient = jax.value_and_grad(partial(loss, cell, way))(layers, x, y)
    rate = cell.learning_rate
    if cell.optimizer == "sgd":
        return (jax.tree.map(lambda p, g: p - rate * g, layers, gradient), mean, square, steps), value
    steps = steps + 1
    mean = jax.tree.map(lambda v, g: 0.9 * v + 0.1 * g, mean, gradient)
    square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, square, gradient)
    scale, root = rate / (1 - 0.9**steps), 1 / (1 - 0.999**steps)
    layers = jax.tree.map(lambda p, v, s: p - scale * v / (jnp.sqrt(s * root) + 1e-8), layers, mean, square)
    return (layers, mean, square, steps), value


@partial(jax.jit, static_argnames=("cell", "loss", "gather", "unroll"), donate_argnums=0)
def epoch(state: Any, X: Any, y: Any, order: Any, cell: Cell, loss: str, gather: str, unroll: int) -> tuple[Any, Any]:
    """Train one epoch in the given order, the rows gathered in each step or all at once beforehand."""

    def rows(i: Any) -> tuple[Any, Any]:
        return X.at[i].get(mode="promise_in_bounds"), y.at[i].get(mode="promise_in_bounds")

    def one(state: Any, i: Any) -> tuple[Any, Any]:
        return step(cell, loss, state, *(rows(i) if gather == "step" else i))

    size = cell.batch_size or len(order)
    whole = len(order) // size * size
    batches = order if size == 1 else order[:whole].reshape(-1, size)
    state, values = lax.scan(one, state, batches if gather == "step" else rows(batches), unroll=unroll)
    total = jnp.sum(values) * size
    if whole < len(order):
        state, value = step(cell, loss, state, *rows(order[whole:]))
        total += value * (len(order) - whole)
    return state, total / len(order)


@partial(jax.jit, static_argnames=("cell", "loss"), donate_argnums=0)
def full_batch(state: Any, X: Any, y: Any, epochs: Any, cell: Cell, loss: str) -> tuple[Any, Any]:
    """Train some epochs of gradient descent."""
    return lax.fori_loop(0, epochs, lambda _, carry: step(cell, loss, carry[0], X, y), (state, jnp.float32(0)))


class JaxTrainer(Trainer):
    """JAX on the CPU, compiled by XLA."""

    @staticmethod
    def variants(cell: Cell, threads: int) -> list[dict[str, Any]]:
        """Write the loss either way; gather the rows in each step or an epoch's at once; unroll the loop or not."""
        ways = [{"loss": way} for way in losses(cell)]
        if cell.batch_size is None:
            return ways
        unrolls = (1, 4) if cell.batch_size == 1 else (1, 2)  # 8 and 16 turns gained nothing
        return [
            {**way, "gather": gather, "unroll": unroll}
            for way, gather, unroll in product(ways, ("step", "epoch"), unrolls)
        ]

    def prepare(self, X: Array, y: Any, layers: Layers) -> None:
        """Put the arrays on the device (the CPU)."""
        self.X = jnp.asarray(X)
        self.y = jnp.asarray(y.astype(np.int32) if self.cell.loss == "softmax_cross_entropy" else y.astype(np.float32))
        parameters = [(jnp.array(W), jnp.array(b)) for W, b in layers]
        moments = [jax.tree.map(jnp.zeros_like, parameters) if self.cell.optimizer == "adam" else () for _ in range(2)]
        self.state = (parameters, *moments, jnp.float32(0))

    def fit(self, epochs: int, samples: int, shuffle: bool = True) -> None:
        """Run the jitted epochs and wait for the result."""
        if self.cell.batch_size is None:
            whole = samples == len(self.X)
            X, y = (self.X, self.y) if whole else (self.X[:samples], self.y[:samples])
            self.state, value = full_batch(self.state, X, y, epochs, self.cell, **self.variant)
        else:
            for _ in range(epochs):
                order = self.order(samples, shuffle)
                self.state, value = epoch(self.state, self.X, self.y, order, self.cell, **self.variant)
        value.block_until_ready()

    def layers(self) -> list[tuple[Any, Any]]:
        """Copy the parameters out."""
        return [(np.asarray(W), np.asarray(b)) for W, b in self.state[0]]
