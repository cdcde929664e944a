"""PyTorch without a DataLoader: the data are tensors, the loop over batches is Python, each step eager or compiled.

A compiled step is one graph of forward pass, gradient and update, called through C++: with one row it takes a third to
three fifths of the time of an eager step, where compiling the loss alone makes that longer.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch._inductor import config
from torch.nn import functional

from fastnn.bench.cells import Array, Cell, Layers
from fastnn.bench.trainers import Trainer

ACTIVATIONS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}


def logits(cell: Cell, parameters: Any, X: Any) -> Any:
    """Return Z_L; the parameters are pairs of weights (n_out, n_in), as ``linear`` wants them, and biases."""
    a = X
    for W, b in parameters[:-1]:
        a = ACTIVATIONS[cell.activation](functional.linear(a, W, b))
    W, b = parameters[-1]
    return functional.linear(a, W, b)


def loss(cell: Cell, parameters: Any, X: Any, y: Any) -> Any:
    """Return the mean loss of one batch."""
    z = logits(cell, parameters, X)
    if cell.loss == "squared_error":
        return 0.5 * cell.sizes[-1] * functional.mse_loss(z, y)
    if cell.loss == "sigmoid_cross_entropy":
        return functional.binary_cross_entropy_with_logits(z, y)
    return functional.cross_entropy(z, y)


def flat(parameters: Any) -> list[Any]:
    """Return the tensors of the pairs, in order."""
    return [tensor for pair in parameters for tensor in pair]


def update(cell: Cell, parameters: Any, gradients: Any, moments: Any) -> None:
    """Take one step along the gradients, in place; moments are (means, squares, steps)."""
    rate = cell.learning_rate
    if cell.optimizer == "sgd":
        for p, g in zip(parameters, gradients, strict=True):
            p.sub_(g, alpha=rate)
        return
    means, squares, steps = moments
    steps += 1
    scale, root = rate / (1 - 0.9**steps), 1 / (1 - 0.999**steps)
    for p, g, mean, square in zip(parameters, gradients, means, squares, strict=True):
        mean.mul_(0.9).add_(g, alpha=0.1)
        square.mul_(0.999).addcmul_(g, g, value=0.001)
        p.sub_(scale * mean / ((square * root).sqrt() + 1e-8))


def can_compile() -> bool:
    """Return whether ``torch.compile`` has a C++ compiler."""
    return shutil.which(os.environ.get("CXX", config.cpp.cxx[-1])) is not None


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of tensors whose shapes stay, without gradients of its own."""
    return torch.no_grad()(torch.compile(function, fullgraph=True, dynamic=False, options={"cpp_wrapper": True}))


class TorchTrainer(Trainer):
    """PyTorch on the CPU."""

    @staticmethod
    def variants(cell: Cell, threads: int) -> list[dict[str, Any]]:
        """How a step is taken; one thread or all; rows gathered for each batch, or an epoch's at once."""
        gathers = ("",) if cell.batch_size is None else ("batch", "epoch")
        steps = ["fused optimizer", "plain update"] if cell.optimizer == "sgd" else ["fused optimizer"]
        steps += ["torch.compile"] * can_compile()
        return [
            {"step": step, "threads": count, "gather": gather}
            for step, count, gather in product(steps, sorted({1, threads}), gathers)
        ]

    def prepare(self, X: Array, y: Any, layers: Layers) -> None:
        """Share the arrays with tensors; build the step."""
        torch._dynamo.reset()  # forgets what earlier trainers of this process compiled: a function may have 8 shapes
        torch.set_num_threads(self.variant["threads"])
        cell = self.cell
        self.X, self.y = torch.from_numpy(X), torch.from_numpy(y)
        if cell.loss == "sigmoid_cross_entropy":
            self.y = self.y.reshape(len(X), -1).to(torch.float32)
        self.parameters = [(torch.tensor(W.T), torch.tensor(b)) for W, b in layers]
        make = {"fused optimizer": self._optimizer_step, "plain update": self._plain_step}
        self.step = make.get(self.variant["step"], self._compiled_step)()

    def _optimizer_step(self) -> Callable[[Any, Any], Any]:
        cell, tensors = self.cell, [tensor.requires_grad_() for tensor in flat(self.parameters)]
        rule = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[cell.optimizer]
        optimizer = rule(tensors, lr=cell.learning_rate, fused=True)

        def step(X: Any, y: Any) -> Any:
            value = loss(cell, self.parameters, X, y)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            return value.detach()

        return step

    def _plain_step(self) -> Callable[[Any, Any], Any]:
        cell, tensors = self.cell, [tensor.requires_grad_() for tensor in flat(self.parameters)]

        def step(X: Any, y: Any) -> Any:
            value = loss(cell, self.parameters, X, y)
            gradients = torch.autograd.grad(value, tensors)
            with torch.no_grad():
                update(cell, tensors, gradients, None)
            return value.detach()

        return step

    def _compiled_step(self) -> Callable[[Any, Any], Any]:
        cell, parameters = self.cell, self.parameters
        moments: Any = [[torch.zeros_like(tensor) for tensor in flat(parameters)] for _ in range(2)]
        moments.append(torch.zeros(()))

        def whole(parameters: Any, moments: Any, X: Any, y: Any) -> Any:
            gradients, value = torch.func.grad_and_value(lambda them: loss(cell, them, X, y))(parameters)
            update(cell, flat(parameters), flat(gradients), moments)
            return value

        step = compiled(whole)
        return lambda X, y: step(parameters, moments, X, y)

    def fit(self, epochs: int, samples: int, shuffle: bool = True) -> None:
        """Loop over the batches."""
        X, y, size = self.X[:samples], self.y[:samples], self.cell.batch_size
        for _ in range(epochs):
            if size is None:
                self.step(X, y)
                continue
            order = torch.from_numpy(self.order(samples, shuffle))
            total = torch.zeros(())
            if self.variant["gather"] == "epoch":
                for batch in zip(X[order].split(size), y[order].split(size), strict=True):
                    total += self.step(*batch)
            else:
                for rows in order.split(size):
                    total += self.step(X[rows], y[rows])

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the parameters, weights transposed."""
        return [(W.detach().numpy().T, b.detach().numpy()) for W, b in self.parameters]
