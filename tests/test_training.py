"""The epoch loop: order, modes, continuing, ending early, divergence."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import naive
import numpy as np
import pytest

import fastnn
from fastnn.training import _Training

M = 37


@pytest.fixture
def classes():
    """Two overlapping classes; every sample has another loss."""
    rng = np.random.default_rng(12)
    y = rng.integers(0, 2, M)
    return rng.normal(size=(M, 3)) + y[:, None], y


def network(dtype="float64", rng=1, **options):
    return fastnn.Network((3, 4, 2), "tanh", dtype=dtype, rng=rng, **options)


def losses_of_samples(net, X, y):
    return np.array([net.loss(X[i : i + 1], y[i : i + 1]) for i in range(len(X))])


# ---- order and modes


def test_sgd_visits_each_sample_once_an_epoch_in_the_shuffled_order(backend, classes):
    net = network()
    each, generator = losses_of_samples(net, *classes), copy.deepcopy(net.rng)
    history = net.fit(
        *classes, optimizer="sgd", learning_rate=1e-13, batch_size=1, epochs=3, batch_loss=True, shuffle=True
    )
    assert len(np.unique(np.round(each, 9))) == M
    orders = [generator.permutation(M) for _ in range(3)]
    for losses, order in zip(history.batch_loss, orders, strict=True):
        np.testing.assert_allclose(losses, each[order], rtol=1e-9)
    assert (orders[0] != orders[1]).any()


def test_without_shuffle_samples_come_first_to_last(backend, classes):
    net = network()
    each = losses_of_samples(net, *classes)
    history = net.fit(
        *classes, optimizer="sgd", learning_rate=1e-13, batch_size=1, epochs=2, batch_loss=True, shuffle=False
    )
    for losses in history.batch_loss:
        np.testing.assert_allclose(losses, each, rtol=1e-9)


@pytest.mark.parametrize(("batch_size", "size"), [(1, 1), (10, 10), (M, M), (None, M), (1000, M)])
def test_epochs_are_the_textbooks(backend, classes, batch_size, size):
    """Each mode against the naive loops, over two shuffled epochs with l2 / m W in every step's gradient."""
    X, y = classes
    net = network()
    theta, generator, l2 = net.parameters.copy(), copy.deepcopy(net.rng), 0.5
    history = net.fit(X, y, optimizer="sgd", learning_rate=0.3, batch_size=batch_size, epochs=2, l2=l2)
    for epoch in range(2):
        order = generator.permutation(M) if size < M else np.arange(M)
        weights = theta[naive.is_weight(net.sizes)]
        arguments = (net.sizes, ["tanh"], [0.0], (net.loss_name, ()))
        theta, *_, losses = naive.epoch(
            *arguments, theta, X, np.eye(2)[y], order, size, l2 / M, "sgd", np.zeros(5), [0.3] * M
        )
        shares = np.diff([*range(0, M, size), M]) / M
        expected = (losses * shares).sum() + l2 / (2 * M) * (weights**2).sum()
        assert history.loss[epoch] == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(net.parameters, theta, rtol=1e-9, atol=1e-12)


def test_the_cost_of_gradient_descent_falls_at_each_step_and_that_of_sgd_does_not(backend, classes):
    X, y = classes
    start, costs = network().parameters.copy(), {}
    for name, batch_size, rate in (("full", None, 0.1), ("sgd", 1, 0.1)):
        net, costs[name] = network(), []
        net.parameters[:] = start
        epochs = 60
        net.fit(
            X,
            y,
            optimizer="sgd",
            learning_rate=rate,
            batch_size=batch_size,
            epochs=epochs,
            callback=lambda net, _, name=name: costs[name].append(net.loss(X, y)),
        )
    assert (np.diff(costs["full"]) < 0).all()
    assert (np.diff(costs["sgd"]) > 0).any()
    assert costs["sgd"][-1] < costs["full"][-1], "SGD took more steps"


def test_a_training_of_no_epochs_changes_nothing(classes):
    net = network()
    before = net.parameters.copy()
    assert net.fit(*classes, epochs=0).loss == []
    np.testing.assert_array_equal(net.parameters, before)


def test_a_long_epoch_is_the_same_in_several_kernel_calls(backend, classes, monkeypatch):
    results = []
    for operations in (1e10, 1.0):
        monkeypatch.setattr(fastnn.training, "_OPERATIONS_PER_CALL", operations)
        net = network("float32")
        history = net.fit(*classes, batch_size=5, epochs=2, batch_loss=True, l2=0.1)
        results.append((net.parameters, history.loss, history.batch_loss))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("batch_size", [1, 64])
def test_a_shuffled_epoch_is_the_same_in_pieces_of_its_order(backend, batch_size, monkeypatch):
    """No piece is longer than it may be: at 1e7 samples the whole order would take 80 MB."""
    X = np.random.default_rng(0).normal(size=(17_001, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    lengths, results = [], []
    run = _Training._run
    monkeypatch.setattr(_Training, "_run", lambda *call: lengths.append(len(call[2])) or run(*call))
    for most in (10**6, 5000):
        monkeypatch.setattr(fastnn.training, "_SAMPLES_OF_LISTS", most)
        net = fastnn.Network([3, 4, 2], rng=2)
        history = net.fit(X, y, batch_size=batch_size, epochs=1, optimizer="sgd", l2=0.1, batch_loss=True)
        results.append((net.parameters, history.loss, history.batch_loss))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    assert lengths[0] == 17_001
    assert max(lengths[1:]) <= 5000
    assert sum(lengths[1:]) == 17_001


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_of_single_samples_keeps_few_of_their_losses(backend, shuffle, monkeypatch):
    """Of one piece, unless they are asked for: at 1e7 samples all of them would take 80 MB."""
    pieces, alive = [], []
    run = _Training._run

    def remember(*call):
        alive.append(sum(piece() is not None for piece in pieces))
        losses = run(*call)
        pieces.append(weakref.ref(losses))
        assert len(losses) <= 1024
        return losses

    monkeypatch.setattr(_Training, "_run", remember)
    monkeypatch.setattr(fastnn.training, "_SAMPLES_OF_LISTS", 1024)
    X = np.random.default_rng(0).normal(size=(5_001, 3)).astype(np.float32)
    fastnn.Network([3, 4, 2], rng=2).fit(X, (X[:, 0] > 0).astype(int), batch_size=1, epochs=1, shuffle=shuffle)
    assert len(pieces) == 5
    assert max(alive) <= 1


# ---- continuing and beginning anew


@pytest.mark.parametrize("batch_size", [1, 10])
@pytest.mark.parametrize("optimizer", ["sgd", fastnn.SGD(0.1, momentum=0.9), "rmsprop", "adam", "adamw"], ids=str)
def test_continuing_is_one_longer_training(backend, classes, optimizer, batch_size):
    long, parts = network("float32"), network("float32")
    expected = long.fit(*classes, optimizer=optimizer, batch_size=batch_size, epochs=5).loss
    found = parts.fit(*classes, optimizer=optimizer, batch_size=batch_size, epochs=2).loss
    found += parts.fit(*classes, optimizer=optimizer, batch_size=batch_size, epochs=3).loss
    assert found == expected
    np.testing.assert_array_equal(parts.parameters, long.parameters)


def test_another_rule_begins_its_own_state(classes):
    net, fresh = network(), network()
    net.fit(*classes, optimizer="adam", epochs=1, shuffle=False)
    fresh.parameters[:] = net.parameters
    for one in (net, fresh):
        one.fit(*classes, optimizer="rmsprop", epochs=1, shuffle=False)
    np.testing.assert_array_equal(net.parameters, fresh.parameters)


def test_the_learning_rate_may_change_while_the_state_is_kept(classes):
    net = network()
    net.fit(*classes, optimizer="adam", epochs=1)
    moments = net.state.optimizer_state.copy()
    net.fit(*classes, optimizer="adam", learning_rate=1e-5, epochs=0)
    np.testing.assert_array_equal(net.state.optimizer_state, moments)


def test_reset_begins_anew(classes):
    net, same = network(), network()
    first = net.fit(*classes, epochs=2)
    net.rng = np.random.default_rng(1)
    again = net.fit(*classes, epochs=2, reset=True)
    assert again.loss == first.loss
    net.reset()
    assert net.optimizer is None
    assert (net.parameters != same.parameters).any(), "drawn again from the generator as it is now"


# ---- ending early


def test_a_callback_ends_the_training_with_true_only(classes):
    seen = []

    def callback(net, history):
        seen.append((history.epochs, history.loss[-1]))
        return True if history.epochs == 3 else 1

    history = network().fit(*classes, epochs=10, callback=callback)
    assert history.epochs == 3
    assert [epochs for epochs, _ in seen] == [1, 2, 3]
    assert [loss for _, loss in seen] == history.loss
    assert not history.interrupted


def test_numpys_true_ends_the_training_too(classes):
    history = network().fit(*classes, epochs=10, callback=lambda _, history: np.float64(history.epochs) >= 3)
    assert history.epochs == 3


def test_an_error_in_a_callback_is_raised(classes):
    with pytest.raises(ZeroDivisionError):
        network().fit(*classes, epochs=10, callback=lambda *_: 1 / 0)


def test_keyboard_interrupt_from_a_callback_ends_the_training(backend, classes):
    def interrupt(net, history):
        if history.epochs == 2:
            raise KeyboardInterrupt

    net, same = network(), network()
    history = net.fit(*classes, epochs=10, callback=interrupt)
    assert history.interrupted
    assert "interrupted" in str(history)
    assert history.epochs == len(history.seconds) == 2
    same.fit(*classes, epochs=2)
    np.testing.assert_array_equal(net.parameters, same.parameters)
    assert not net.fit(*classes, epochs=1).interrupted, "the training can continue"


def test_how_much_goes_into_one_call(backend, monkeypatch):
    """An interrupt is heard between calls: tiny networks and NumPy get fewer samples; orders of several epochs 8 MB."""
    calls, run = [], _Training._run
    monkeypatch.setattr(_Training, "_run", lambda *args: calls.append((len(args[2]), args[3])) or run(*args))
    X, y = np.zeros((200_000, 2), "float32"), np.zeros(200_000, dtype=np.int64)
    tiny = fastnn.Network((2, 4, 2), rng=0)
    tiny.fit(X[:1000], y[:1000], batch_size=500, epochs=1500)
    assert calls[0] == ((194_000, 194) if backend == "numpy" else (1_000_000, 1000))
    calls.clear()
    tiny.fit(X, y, batch_size=100_000, epochs=2)
    assert calls[-1] == ((100_000, 1) if backend == "numpy" else (400_000, 2))


INTERRUPTED = """
import sys
import numpy as np
import fastnn
fastnn.set_backend(sys.argv[1])
rng = np.random.default_rng(0)
net = fastnn.Network((20, 30, 2), rng=0)
X, y = rng.normal(size=(2000, 20)), rng.integers(0, 2, 2000)
def callback(net, history):
    if history.epochs == 1:
        print("running", flush=True)
history = net.fit(X, y, epochs=10**7, batch_size=10, callback=callback, progress=False)
assert history.interrupted
assert np.isfinite(net.parameters).all()
assert net.fit(X, y, epochs=1).epochs == 1
print("ended after", len(history.loss))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send SIGINT to one process")
def test_a_real_interrupt_ends_the_training(backend):
    package = str(Path(fastnn.__file__).parents[1])
    env = os.environ | {"PYTHONPATH": os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", INTERRUPTED, backend]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "running\n", process.communicate()[1]
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert out.startswith("ended after")


@pytest.mark.parametrize("batch_size", [None, 1, 10])
def test_divergence_names_the_epoch_and_keeps_the_last_finite_parameters(backend, batch_size):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(M, 3)), rng.normal(size=M)
    options = {"optimizer": fastnn.SGD(20.0, momentum=0.5), "batch_size": batch_size}
    net = fastnn.Network((3, 4, 1), "identity", "squared_error", rng=1)
    twin = fastnn.Network((3, 4, 1), "identity", "squared_error", rng=1)
    with pytest.raises(fastnn.DivergenceError) as caught:
        net.fit(X, y, epochs=50, **options)
    history = caught.value.history
    assert isinstance(caught.value, FloatingPointError)
    assert f"diverged in epoch {history.epochs + 1}:" in str(caught.value)
    assert "learning rate 20" in str(caught.value)
    assert np.isfinite(history.loss).all()
    assert np.isfinite(net.parameters).all()
    twin.fit(X, y, epochs=history.epochs, **options)
    np.testing.assert_array_equal(net.parameters, twin.parameters)
    np.testing.assert_array_equal(net.state.optimizer_state, twin.state.optimizer_state)
    np.testing.assert_array_equal(net.state.step, twin.state.step)
    assert net.rng.bit_generator.state == twin.rng.bit_generator.state


@pytest.mark.parametrize("when", ["first", "later"])
def test_an_epoch_that_diverges_among_many_is_found_by_halves(backend, when, monkeypatch):
    X, y = np.array([[1.0], [-1.0]]), np.zeros(2)
    net = fastnn.Network((1, 1), loss="squared_error", rng=0)
    calls, run = [], _Training._run
    monkeypatch.setattr(_Training, "_run", lambda *args: calls.append(args[3]) or run(*args))
    rate = 2.1 if when == "later" else 1e39
    with pytest.raises(fastnn.DivergenceError) as caught:
        net.fit(X, y, batch_size=None, epochs=5000, optimizer="sgd", learning_rate=rate)
    epochs = caught.value.history.epochs
    assert (epochs == 0) if when == "first" else (400 < epochs < 1000)
    assert f"diverged in epoch {epochs + 1}:" in str(caught.value)
    assert len(calls) < 40
    twin = fastnn.Network((1, 1), loss="squared_error", rng=0)
    monkeypatch.undo()
    fastnn.set_backend(backend)
    twin.fit(X, y, batch_size=None, epochs=epochs, optimizer="sgd", learning_rate=rate)
    np.testing.assert_array_equal(net.parameters, twin.parameters)


def test_divergence_reaches_another_process():
    error = fastnn.DivergenceError("it diverged", fastnn.History(loss=[1.0], seconds=[0.1]))
    for found in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(found) is fastnn.DivergenceError
        assert str(found) == "it diverged"
        assert found.history == error.history


def test_many_epochs_of_a_handful_of_samples_go_into_several_calls(monkeypatch):
    calls = []
    monkeypatch.setattr(_Training, "_run", lambda *args: calls.append(args[3]) or np.zeros(args[3]))
    fastnn.set_backend("numpy")
    monkeypatch.setattr(fastnn.training, "_OPERATIONS_OF_NUMPY", 1e12)
    history = fastnn.Network((2, 2), rng=0).fit(np.eye(2), [0, 1], batch_size=None, epochs=25_000)
    assert calls == [10_000, 10_000, 5_000]
    assert history.epochs == 25_000


@pytest.mark.parametrize("when", ["_run", "loss", "forward"])
def test_every_whole_epoch_is_validated_also_the_one_that_is_interrupted(monkeypatch, classes, when):
    kernels = fastnn._kernels.kernels()
    place = _Training if when == "_run" else kernels
    call, calls = getattr(place, when), []

    def call_and_interrupt(*args):
        result = call(*args)
        calls.append(when)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(place, when, call_and_interrupt)
    history = network().fit(*classes, batch_size=None, epochs=5, validation_data=classes)
    assert history.interrupted
    of_each_epoch = (history.loss, history.seconds, history.validation_loss, history.validation_score)
    assert [len(numbers) for numbers in of_each_epoch] == [2, 2, 2, 2]


def test_epochs_that_were_whole_when_an_interrupt_was_heard_are_recorded(monkeypatch, classes):
    """Many small epochs go into one kernel call: an interrupt during it is heard after the last of them."""
    run = _Training._run

    def run_and_interrupt(*args):
        losses = run(*args)
        signal.raise_signal(signal.SIGINT)
        return losses

    expected, net = network(), network()
    history = expected.fit(*classes, batch_size=10, epochs=5)
    monkeypatch.setattr(_Training, "_run", run_and_interrupt)
    interrupted = net.fit(*classes, batch_size=10, epochs=5)
    assert interrupted.interrupted
    assert interrupted.loss == history.loss
    assert len(interrupted.seconds) == 5
    np.testing.assert_array_equal(net.parameters, expected.parameters)
