"""A training that is resumed: the same, bit for bit, as one that never stopped."""

from __future__ import annotations

import copy
import pickle
import signal

import numpy as np
import pytest

import fastnn
from fastnn import schedules
from fastnn.training import _Training

RNG = np.random.default_rng(3)
X = RNG.normal(size=(61, 3)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=61) > 0).astype(int)
VALIDATION = (X[:20] + 1, Y[:20])
MANY = RNG.normal(size=(2100, 3)).astype(np.float32)  # of which several calls make an epoch
OPTIMIZERS = {
    "sgd": fastnn.SGD(schedules.cosine(0.3, warmup=0.1)),
    "momentum": fastnn.SGD(schedules.step(0.1), momentum=0.9),
    "nesterov": fastnn.SGD(schedules.exponential(0.1), momentum=0.9, nesterov=True),
    "rmsprop": fastnn.RMSprop(schedules.inverse_scaling(0.02)),
    "adam": fastnn.Adam(schedules.coslog4(0.05)),
    "adamw": fastnn.AdamW(schedules.one_cycle(0.05)),
    "plateau": fastnn.Adam(schedules.reduce_on_plateau(0.5, factor=0.5, patience=1)),
    "callable": fastnn.SGD(lambda t: 0.1 * (1 - t)),
    "constant": fastnn.Adam(0.01),
}


def network():
    return fastnn.Network((3, 4, 2), "tanh", rng=1)


def through_a_file(net, tmp_path):
    pytest.importorskip("safetensors")
    net.save(tmp_path / "net")
    return fastnn.load(tmp_path / "net")


def assert_same(one, other, histories):
    np.testing.assert_array_equal(one.parameters, other.parameters)
    np.testing.assert_array_equal(one.state.optimizer_state, other.state.optimizer_state)
    assert one.rng.bit_generator.state == other.rng.bit_generator.state
    for name in ("loss", "validation_loss", "validation_score", "ended", "best_epoch"):
        assert getattr(histories[0], name) == getattr(histories[1], name), name
    assert len(histories[0].seconds) == len(histories[1].seconds)


def interrupt_call(patch, number):
    """Have the keyboard interrupt the kernel call of that number."""
    run, calls = _Training._run, []

    def run_and_interrupt(*arguments):
        losses = run(*arguments)
        calls.append(1)
        if len(calls) == number:
            signal.raise_signal(signal.SIGINT)
        return losses

    patch.setattr(_Training, "_run", run_and_interrupt)


@pytest.mark.parametrize("batch_size", [1, 20, None])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_after_a_callback_that_ended_it(backend, name, batch_size, tmp_path):
    options = {"optimizer": OPTIMIZERS[name], "batch_size": batch_size, "epochs": 6, "validation_data": VALIDATION}
    net, parts = network(), network()
    history = net.fit(X, Y, **options)
    assert parts.fit(X, Y, **options, callback=lambda _, history: history.epochs == 2).ended == "callback"
    loaded = through_a_file(parts, tmp_path)
    for one in (parts, loaded):
        assert_same(one, net, (one.fit(X, Y, **options, resume=True), history))


@pytest.mark.parametrize("name", ["plateau", "callable", "adamw"])
def test_what_a_callback_saved_or_copied_in_between(name, tmp_path):
    options = {"optimizer": OPTIMIZERS[name], "batch_size": 20, "epochs": 6, "validation_data": VALIDATION}
    net, copies = network(), []

    def keep(net, history):
        if history.epochs == 3:
            copies.extend([through_a_file(net, tmp_path), copy.deepcopy(net)])

    history = net.fit(X, Y, **options, callback=keep)
    for one in copies:
        one.rng = copy.deepcopy(one.rng)
        assert_same(one, net, (one.fit(X, Y, **options, resume=True), history))


@pytest.mark.parametrize("batch_size", [1, 20])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("call", [1, 5])
def test_after_an_interrupt_in_the_middle_of_an_epoch(backend, call, shuffle, batch_size, tmp_path, monkeypatch):
    monkeypatch.setattr(fastnn.training, "_OPERATIONS_PER_CALL", 1e6)
    monkeypatch.setattr(fastnn.training, "_OPERATIONS_OF_NUMPY", 1e6)
    y = (MANY[:, 0] > 0).astype(int)
    options = {"optimizer": fastnn.SGD(schedules.cosine(0.1)), "batch_size": batch_size, "shuffle": shuffle}
    options |= {"epochs": 2, "l2": 0.5, "batch_loss": True}
    net, parts = network(), network()
    history = net.fit(MANY, y, **options)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_call(patch, call)
        interrupted = parts.fit(MANY, y, **options)
    assert interrupted.interrupted
    assert interrupted.ended == "interrupted"
    assert 0 < parts.state.progress.partial.samples < 2100, "within an epoch"
    done = interrupted.epochs
    for one in (pickle.loads(pickle.dumps(parts)), through_a_file(parts, tmp_path), parts):
        resumed = one.fit(MANY, y, **options, resume=True)
        assert_same(one, net, (resumed, history))
        assert not resumed.interrupted
        assert one.state.progress.partial is None
        for losses, expected in zip(resumed.batch_loss, history.batch_loss[done:], strict=True):
            np.testing.assert_array_equal(losses, expected)


def test_many_small_epochs_of_one_call(monkeypatch):
    monkeypatch.setattr(fastnn.training, "_EPOCHS_PER_CALL", 4)
    options = {"optimizer": "adam", "batch_size": 20, "epochs": 10}
    net, parts = network(), network()
    history = net.fit(X, Y, **options)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_call(patch, 1)
        assert parts.fit(X, Y, **options).epochs == 4
    assert_same(parts, net, (parts.fit(X, Y, **options, resume=True), history))


def test_epochs_counts_those_already_taken():
    net, seen = network(), []
    assert net.fit(X, Y, epochs=2, resume=True).epochs == 2, "a new network begins"
    history = net.fit(X, Y, epochs=5, resume=True, callback=lambda _, history: seen.append(history.epochs))
    assert history.epochs == 5
    assert seen == [3, 4, 5]
    assert net.fit(X, Y, epochs=5, resume=True).loss == history.loss, "nothing is left to do"
    assert net.fit(X, Y, epochs=2).epochs == 2, "without resume a training begins"
    net.reset()
    assert net.fit(X, Y, epochs=1, resume=True).epochs == 1


def test_a_history_that_was_returned_stays_as_it_was():
    net = network()
    first = net.fit(X, Y, epochs=2)
    net.fit(X, Y, epochs=4, resume=True)
    assert first.epochs == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"batch_size": 10},
            r"resume needs the data and batch_size as before, 61 samples in batches of 20; got 61 in 10",
        ),
        ({"X": X[:50], "y": Y[:50]}, r"resume needs the data .* as before, .*; got 50 in 20"),
        ({"optimizer": "sgd"}, r"resume needs the optimizer as before, Adam; got SGD"),
        ({"reset": True}, r"reset begins anew, and resume goes on: only one of them can be True"),
    ],
)
def test_what_cannot_be_resumed_changes_nothing(options, message):
    net = network()
    net.fit(X, Y, batch_size=20, epochs=2)
    before, progress = net.state.snapshot(), net.state.progress
    with pytest.raises(ValueError, match=message):
        net.fit(**({"X": X, "y": Y, "batch_size": 20, "epochs": 4, "resume": True} | options))
    np.testing.assert_array_equal(net.parameters, before.parameters)
    assert net.state.progress is progress
