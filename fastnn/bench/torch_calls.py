"""PyTorch's calls with one row, on one thread: eager, and compiled where there is a C++ compiler."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from fastnn.bench import calls
from fastnn.bench.calls import FORWARD, GRADIENT, STEP, Call
from fastnn.bench.cells import Array, Cell, Layers
from fastnn.bench.torch_trainer import TorchTrainer, can_compile, compiled, flat, logits, loss


def make(cell: Cell, X: Array, y: Any, layers: Layers, threads: int) -> list[Call]:
    """Return the calls; the row and the parameters are tensors. One thread: a row has no work for more."""
    steps = [one for one in TorchTrainer.variants(cell, 1) if one["gather"] == "batch"]
    trainers = [TorchTrainer(cell, X, y, layers, variant) for variant in steps]
    found = [_step(one) for one in trainers]
    parameters = [(torch.tensor(W.T), torch.tensor(b)) for W, b in layers]
    row, label = torch.from_numpy(X), torch.from_numpy(y)
    functions = {FORWARD: _forward(cell), GRADIENT: _gradient(cell)}
    if can_compile():
        for kind, function in functions.items():
            run = partial(compiled(function), parameters, row, label)
            found.append(Call(kind, "torch.compile", run, READ[kind]))
    eager = torch.inference_mode()(functions[FORWARD])
    found.append(Call(FORWARD, "eager", partial(eager, parameters, row, label), READ[FORWARD]))
    found.append(Call(GRADIENT, "eager", _backward(cell, layers, row, label), READ[GRADIENT]))
    return found


def _step(trainer: TorchTrainer) -> Call:
    run = partial(trainer.step, trainer.X, trainer.y)
    return Call(STEP, trainer.variant["step"], run, lambda _: calls.flat(trainer.layers()))


def _forward(cell: Cell) -> Callable[..., Any]:
    return lambda parameters, x, y: torch.softmax(logits(cell, parameters, x), dim=1)


def _gradient(cell: Cell) -> Callable[..., Any]:
    def gradient(parameters: Any, x: Any, y: Any) -> Any:
        gradients, value = torch.func.grad_and_value(lambda them: loss(cell, them, x, y))(parameters)
        return value, flat(gradients)

    return gradient


def _backward(cell: Cell, layers: Layers, x: Any, y: Any) -> Callable[[], Any]:
    """Return the eager loss and gradient: ``torch.func`` takes longer where it is not compiled."""
    parameters = [(torch.tensor(W.T).requires_grad_(), torch.tensor(b).requires_grad_()) for W, b in layers]
    tensors = flat(parameters)

    def run() -> Any:
        value = loss(cell, parameters, x, y)
        return value, torch.autograd.grad(value, tensors)

    return run


def _loss_and_gradient(result: Any) -> Any:
    value, gradients = result
    return np.concatenate([[value.item()], *(g.numpy().T.ravel() for g in gradients)])


READ: dict[str, Callable[[Any], Any]] = {FORWARD: np.ravel, GRADIENT: _loss_and_gradient}
