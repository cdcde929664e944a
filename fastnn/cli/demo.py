"""The lecture's network on handwritten digits, from data to saved figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastnn import _kernels, saving
from fastnn._config import configuration
from fastnn._kernels.contract import Array, Integers
from fastnn.data import Scaler
from fastnn.datasets import load_digits, load_mnist
from fastnn.history import History
from fastnn.network import Network
from fastnn.optimizers import Adam

Split = tuple[Array, Integers]


def run(
    out: Path,
    data: Path | None = None,
    epochs: int = 10,
    learning_rate: float = 1e-3,
    hidden: Sequence[int] = (128,),
    batch_size: int | None = 100,
    seed: int = 1,
) -> tuple[Network, History]:
    """Train the lecture's network, print how it goes, and write the model and two figures.

    Parameters
    ----------
    out : Path
        Folder for ``model.safetensors``, ``digits.png`` and ``loss.png``; made if need be.
    data : Path, optional
        Folder with MNIST's four files; by default the digits inside the package.
    epochs, learning_rate, hidden, batch_size, seed
        As in ``Network`` and ``Network.fit``.

    Returns
    -------
    Network, History
        The network takes pixels from 0 to 1: it keeps their scale.
    """
    import safetensors  # noqa: F401  a missing extra is told before the work, not after it

    from fastnn import plotting

    out.mkdir(parents=True, exist_ok=True)
    saving.check_writable(out / "model.safetensors")
    (X, y), (X_test, y_test) = load_digits() if data is None else load_mnist(data)
    scale = Scaler.of(X, columns=False)
    classes = int(max(y.max(), y_test.max())) + 1
    net = Network((X.shape[1], *hidden, classes), activation="sigmoid", loss="softmax_cross_entropy", rng=seed)
    print(f"backend   {_describe_backend()}")
    print(f"data      {len(X):,} training and {len(X_test):,} test digits, {data or 'embedded in the package'}")
    print(f"inputs    {X.shape[1]} pixels, standardised by mean {scale.mean:.4f} and deviation {scale.deviation:.4f}")
    print(
        f"network   {'-'.join(map(str, net.sizes))}, sigmoid, softmax cross entropy: {net.parameters.size:,} parameters"
    )
    print(f"training  Adam, learning rate {learning_rate:g}, {batch_size or len(X):,} examples a step, {epochs} epochs")

    history, initial_loss = _train(net, (X, y), (X_test, y_test), scale, Adam(learning_rate), batch_size, epochs)
    accuracy = net.score(X_test, y_test)
    print(f"\ntrained in {sum(history.seconds):.2f} s; accuracy on the {len(X_test):,} test digits: {accuracy:.2%}")

    model, digits, loss = (out / name for name in ("model.safetensors", "digits.png", "loss.png"))
    net.save(model)
    plotting.plot_digits(X_test[:6], y_test[:6], net.predict(X_test[:6])).savefig(digits)
    figure = plotting.plot_history(history, len(X), initial_loss=initial_loss, validation_name="test")
    figure.axes[0].set_title(f"{'-'.join(map(str, net.sizes))}: {accuracy:.2%} of the test digits right", fontsize=13)
    figure.savefig(loss)
    for path in (model, digits, loss):
        print(f"wrote {path}")
    return net, history


def _train(
    net: Network, train: Split, test: Split, scale: Scaler, optimizer: Adam, batch_size: int | None, epochs: int
) -> tuple[History, float]:
    """Train with a line an epoch; also return the test loss before training."""
    _prepare_kernels(net, train, optimizer, batch_size)
    net.fit(*train, epochs=0, scale=scale, optimizer=optimizer, batch_size=batch_size)  # takes the scale up
    initial_loss, initial_score = net.loss(*test), net.score(*test)
    print("\nepoch  training loss  test loss  test accuracy      time")
    print(f"{0:5}  {'':13}  {initial_loss:9.4f}  {initial_score:13.2%}", flush=True)
    history = net.fit(
        *train,
        optimizer=optimizer,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=test,
        batch_loss=True,
        callback=_print_epoch,
        progress=False,
    )
    if history.interrupted:
        print(f"interrupted after {history.epochs} whole epochs; the network stays as trained so far")
    return history, initial_loss


def _print_epoch(net: Network, history: History) -> None:
    loss, seconds = history.loss[-1], history.seconds[-1]
    test_loss, accuracy = history.validation_loss[-1], history.validation_score[-1]
    print(f"{history.epochs:5}  {loss:13.4f}  {test_loss:9.4f}  {accuracy:13.2%}  {seconds:6.3f} s", flush=True)


def _prepare_kernels(net: Network, train: Split, optimizer: Adam, batch_size: int | None) -> None:
    """Run one step of a throw-away network: kernels that are compiled at their first use are not timed."""
    X, y = train
    began = time.perf_counter()
    Network(net.sizes, net.activations, net.loss_name, net.dtype, np.random.default_rng(0)).fit(
        X[:batch_size], y[:batch_size], optimizer=optimizer, batch_size=batch_size, epochs=1
    )
    print(f"kernels   ready in {time.perf_counter() - began:.2f} s", flush=True)


def _describe_backend() -> str:
    threads = _kernels.get_num_threads()
    return f"{_kernels.get_backend()} ({configuration()['SIMD level']}), {threads} thread{'s' * (threads > 1)}"
