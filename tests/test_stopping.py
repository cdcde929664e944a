"""Early stopping, callbacks, and why a training ended."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastnn
from fastnn import EarlyStopping, watching

RNG = np.random.default_rng(3)
X = RNG.normal(size=(61, 3)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=61) > 0).astype(int)
VALIDATION = (X[:20] + 1, Y[:20])


def network():
    return fastnn.Network((3, 4, 2), "tanh", rng=1)


def fit(values, stopping, epochs=None, resume=None, **options):
    """Train with these (loss, score) on the validation data; return the network, its history and each parameters."""
    net, parameters = resume or network(), []
    left = iter(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "evaluate", lambda *_: next(left))
        history = net.fit(
            X,
            Y,
            epochs=epochs or len(values),
            validation_data=VALIDATION,
            early_stopping=stopping,
            callback=lambda net, _: parameters.append(net.parameters.copy()),
            resume=resume is not None,
            **options,
        )
    return net, history, parameters


def of_losses(*losses):
    return [(loss, 0.0) for loss in losses]


@pytest.mark.parametrize(
    ("losses", "options", "epochs", "best"),
    [
        ((3, 2, 4, 4, 1), {"patience": 2}, 4, 2),
        ((3, 2, 4, 1, 4, 4), {"patience": 2}, 6, 4),
        ((3, 2.9, 2.8, 2.7), {"patience": 2, "min_delta": 0.5}, 3, 1),
        ((3, 3, 3), {"patience": 1}, 2, 1),
        ((math.nan, 3, math.nan, math.nan), {"patience": 2}, 4, 2),
        ((5, 4, 3, 2), {}, 4, 4),
    ],
)
def test_it_ends_after_epochs_without_improvement(losses, options, epochs, best):
    net, history, parameters = fit(of_losses(*losses), EarlyStopping(**options))
    assert history.epochs == epochs
    assert history.best_epoch == best
    np.testing.assert_array_equal(net.parameters, parameters[best - 1])


def test_the_score_is_to_rise():
    values = [(1, 0.5), (0.9, 0.7), (0.8, 0.7), (0.7, 0.6), (0.6, 0.9)]
    net, history, parameters = fit(values, EarlyStopping(2, monitor="score"))
    assert (history.epochs, history.best_epoch, history.ended) == (4, 2, "early stopping")
    np.testing.assert_array_equal(net.parameters, parameters[1])


def test_true_is_the_default():
    values = of_losses(1, *[2] * 20)
    assert fit(values, True)[1].epochs == 11 == EarlyStopping().patience + 1
    assert fit(values, False)[1].epochs == 21


def test_the_last_parameters_can_be_kept():
    net, history, parameters = fit(of_losses(1, 2, 3, 4), EarlyStopping(2, restore_best=False))
    assert history.best_epoch == 1
    np.testing.assert_array_equal(net.parameters, parameters[-1])


def test_a_monitor_of_your_own_needs_no_validation_data():
    net, seen, values = network(), [], [3, 1, np.float32(2), 5, 0]

    def monitor(network, history):
        assert network is net
        seen.append(network.parameters.copy())
        return values[history.epochs - 1]

    history = net.fit(X, Y, epochs=5, early_stopping=EarlyStopping(2, monitor=monitor))
    assert (history.epochs, history.best_epoch, history.ended) == (4, 2, "early stopping")
    np.testing.assert_array_equal(net.parameters, seen[1])
    assert history.validation_loss == []


@pytest.mark.parametrize("monitor", ["loss", "score", "own"])
def test_its_counters_are_resumed(monitor, tmp_path):
    pytest.importorskip("safetensors")
    values = [(2.0, 0.5), (1.0, 0.6), (1.5, 0.55), (1.2, 0.4), (0.9, 0.7), (1.0, 0.6)]
    own = {"own": lambda net, history: history.validation_loss[-1]}.get(monitor, monitor)
    stopping = EarlyStopping(2, monitor=own)
    net, history, _ = fit(values, stopping)
    assert (history.ended, history.best_epoch, history.epochs) == ("early stopping", 2, 4)
    for stop in (1, 2, 3):
        parts = network()
        with pytest.MonkeyPatch.context() as patch:
            left = iter(values)
            patch.setattr(watching, "evaluate", lambda *_, left=left: next(left))
            ends = {"callback": lambda _, history, stop=stop: history.epochs == stop}
            parts.fit(X, Y, epochs=6, validation_data=VALIDATION, early_stopping=stopping, **ends)
        parts.save(tmp_path / "net")
        for one in (parts, fastnn.load(tmp_path / "net")):
            _, resumed, _ = fit(values[stop:], stopping, epochs=6, resume=one)
            assert (resumed.ended, resumed.best_epoch, resumed.epochs) == ("early stopping", 2, 4)
            np.testing.assert_array_equal(one.parameters, net.parameters)


def test_a_training_that_stopped_is_over():
    net, history, _ = fit(of_losses(1, 2, 3, 4), EarlyStopping(2))
    before = net.parameters.copy()
    _, resumed, _ = fit([], EarlyStopping(2), epochs=4, resume=net)
    assert (resumed.loss, resumed.ended) == (history.loss, "early stopping")
    np.testing.assert_array_equal(net.parameters, before)


def test_why_it_ended():
    def interrupt(*_):
        raise KeyboardInterrupt

    for options, ended in (
        ({}, "epochs"),
        ({"callback": lambda *_: True}, "callback"),
        ({"callback": [lambda *_: None, lambda *_: np.True_, lambda *_: None]}, "callback"),
        ({"callback": interrupt}, "interrupted"),
        ({"early_stopping": EarlyStopping(1, monitor=lambda *_: 0)}, "early stopping"),
    ):
        history = network().fit(X, Y, epochs=3, **options)
        assert history.ended == ended
        assert history.interrupted == (ended == "interrupted")


def test_the_best_epoch_without_early_stopping():
    assert fit(of_losses(3, 1, 2), None)[1].best_epoch == 2
    assert network().fit(X, Y, epochs=2).best_epoch is None


def test_every_callback_is_called():
    calls = []
    callbacks = [lambda _, history, i=i: calls.append((i, history.epochs)) for i in range(3)]
    network().fit(X, Y, epochs=2, callback=callbacks)
    assert calls == [(i, epoch) for epoch in (1, 2) for i in range(3)]
    calls.clear()
    network().fit(X, Y, epochs=5, callback=(lambda *_: True, callbacks[1]))
    assert calls == [(1, 1)], "also those after one that ends the training"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"early_stopping": True},
            ValueError,
            r"early_stopping by the validation loss needs validation_data; got None",
        ),
        ({"early_stopping": EarlyStopping(monitor="score")}, ValueError, r"validation score needs validation_data"),
        ({"early_stopping": 5}, TypeError, r"early_stopping must be True, False or a fastnn.EarlyStopping; got 5"),
        ({"callback": [print, 3]}, TypeError, r"callback must be callable, .*; got int"),
    ],
)
def test_bad_arguments_change_nothing(options, error, message):
    net = network()
    before = net.parameters.copy()
    with pytest.raises(error, match=message):
        net.fit(X, Y, epochs=1, reset=True, **options)
    np.testing.assert_array_equal(net.parameters, before)
    assert net.optimizer is None


def test_a_monitor_must_return_a_number():
    with pytest.raises(TypeError, match="the monitor of early_stopping must return a number; got None"):
        network().fit(X, Y, epochs=1, early_stopping=EarlyStopping(monitor=lambda *_: None))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"patience": 0}, ValueError, r"patience must be an integer >= 1; got 0"),
        ({"patience": 1.5}, TypeError, r"patience must be an integer >= 1; got 1.5"),
        ({"min_delta": -1}, ValueError, r"min_delta must be a finite number >= 0; got -1"),
        ({"monitor": "accuracy"}, ValueError, r"monitor must be one of loss, score, .*; got 'accuracy'"),
        ({"restore_best": 1}, TypeError, r"restore_best must be True or False; got 1"),
    ],
)
def test_bad_arguments_of_early_stopping(options, error, message):
    with pytest.raises(error, match=message):
        EarlyStopping(**options)
