"""JAX's calls with one row: jitted functions of the layers, or of all parameters in one flat vector."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from fastnn.bench.calls import FORWARD, GRADIENT, STEP, Call, flat
from fastnn.bench.cells import Array, Cell, Layers
from fastnn.bench.jax_trainer import logits, loss, losses


def make(cell: Cell, X: Array, y: Any, layers: Layers, threads: int) -> list[Call]:
    """Return the calls; the row and the parameters are JAX's own arrays."""
    tree = [(jnp.array(W), jnp.array(b)) for W, b in layers]
    vector, unravel = ravel_pytree(tree)
    row, label = jnp.asarray(X), jnp.asarray(y.astype(np.int32))
    calls = []
    for form, (parameters, layers_of) in {"layers": (tree, _same), "one vector": (vector, unravel)}.items():
        forward = jax.jit(lambda p, x, layers_of=layers_of: jax.nn.softmax(logits(cell, layers_of(p), x)))
        run = partial(_wait, forward, parameters, row)
        calls.append(Call(FORWARD, f"parameters as {form}", run, np.ravel))
    for (form, (parameters, layers_of)), way in product(
        {"layers": (tree, _same), "one vector": (vector, unravel)}.items(), losses(cell)
    ):
        objective = partial(_loss, cell, way, layers_of)
        variant = f"parameters as {form}, {way}"
        run = partial(_wait, jax.jit(jax.value_and_grad(objective)), parameters, row, label)
        calls.append(Call(GRADIENT, variant, run, lambda found: np.append(found[0], _vector(found[1]))))
        calls.append(Call(STEP, variant, _stepper(cell, objective, parameters, row, label), _vector))
    return calls


def _same(layers: Any) -> Any:
    return layers


def _vector(parameters: Any) -> Any:
    return flat(parameters) if isinstance(parameters, list) else np.asarray(parameters)


def _loss(cell: Cell, way: str, layers_of: Any, parameters: Any, x: Any, y: Any) -> Any:
    return loss(cell, way, layers_of(parameters), x, y)


def _wait(function: Any, *arguments: Any) -> Any:
    return jax.block_until_ready(function(*arguments))


def _stepper(cell: Cell, objective: Any, parameters: Any, x: Any, y: Any) -> Callable[[], Any]:
    """Return a call that takes one step on, the parameters' memory given to the next ones."""

    @partial(jax.jit, donate_argnums=0)
    def step(parameters: Any, x: Any, y: Any) -> Any:
        gradient = jax.grad(objective)(parameters, x, y)
        return jax.tree.map(lambda p, g: p - cell.learning_rate * g, parameters, gradient)

    state = jax.tree.map(jnp.copy, parameters)

    def run() -> Any:
        nonlocal state
        state = jax.block_until_ready(step(state, x, y))
        return state

    return run
