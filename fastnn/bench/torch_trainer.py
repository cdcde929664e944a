"""PyTorch without a DataLoader: the data are tensors, the loop over batches is plain Python, the optimizer fused."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from fastnn.bench.cells import Array, Cell, Layers
from fastnn.bench.trainers import Trainer

ACTIVATIONS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}


class TorchTrainer(Trainer):
    """PyTorch in eager mode."""

    @staticmethod
    def variants(cell: Cell, threads: int) -> list[dict[str, Any]]:
        """One thread or all; rows gathered for each batch, or an epoch's at once and then sliced."""
        gathers = ("none",) if cell.batch_size is None else ("batch", "epoch")
        counts = sorted({1, threads})
        return [{"threads": count, "gather": gather} for count in counts for gather in gathers]

    def prepare(self, X: Array, y: Any, layers: Layers) -> None:
        """Share the arrays with tensors; weights are (n_out, n_in), as ``linear`` wants them."""
        torch.set_num_threads(self.variant["threads"])
        cell = self.cell
        self.X, self.y = torch.from_numpy(X), torch.from_numpy(y)
        if cell.loss == "sigmoid_cross_entropy":
            self.y = self.y.reshape(len(X), -1).to(torch.float32)
        self.weights = [torch.tensor(W.T, requires_grad=True) for W, _ in layers]
        self.biases = [torch.tensor(b, requires_grad=True) for _, b in layers]
        rule = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[cell.optimizer]
        self.optimizer = rule([*self.weights, *self.biases], lr=cell.learning_rate, fused=True)
        self.activation = ACTIVATIONS[cell.activation]

    def step(self, X: Any, y: Any) -> Any:
        """Take one step on one batch and return its loss."""
        a = X
        for W, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            a = self.activation(functional.linear(a, W, b))
        z = functional.linear(a, self.weights[-1], self.biases[-1])
        if self.cell.loss == "squared_error":
            loss = 0.5 * self.cell.sizes[-1] * functional.mse_loss(z, y)
        elif self.cell.loss == "sigmoid_cross_entropy":
            loss = functional.binary_cross_entropy_with_logits(z, y)
        else:
            loss = functional.cross_entropy(z, y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

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
        pairs = zip(self.weights, self.biases, strict=True)
        return [(W.detach().numpy().T, b.detach().numpy()) for W, b in pairs]
