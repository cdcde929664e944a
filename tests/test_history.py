"""History: the loss, the validation and the lines that are printed, an epoch each."""

from __future__ import annotations

import math
import sys
import types
from typing import ClassVar

import numpy as np
import pytest
from conftest import random_targets

import fastnn

M = 37


@pytest.fixture
def classes():
    rng = np.random.default_rng(12)
    y = rng.integers(0, 2, M)
    return rng.normal(size=(M, 3)) + y[:, None], y


def network():
    return fastnn.Network((3, 4, 2), "tanh", dtype="float64", rng=1)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"])
def test_validation_after_each_epoch(backend, loss):
    rng = np.random.default_rng(5)
    X, y, Xv, yv = (part for m in (M, 11) for part in (rng.normal(size=(m, 3)), random_targets(rng, loss, m, 2)))
    net, expected = fastnn.Network((3, 4, 2), loss=loss, rng=1), []
    history = net.fit(
        X,
        y,
        epochs=3,
        l2=5.0,
        validation_data=(Xv, yv),
        callback=lambda net, _: expected.append((net.loss(Xv, yv), net.score(Xv, yv))),
    )
    assert list(zip(history.validation_loss, history.validation_score, strict=True)) == expected


def test_validation_leaves_the_training_as_it_is(classes):
    plain, validated = network(), network()
    plain.fit(*classes, epochs=3)
    validated.fit(*classes, epochs=3, validation_data=classes)
    np.testing.assert_array_equal(plain.parameters, validated.parameters)


def test_batch_losses(backend, classes):
    history = network().fit(*classes, batch_size=10, epochs=2, batch_loss=True)
    assert [losses.shape for losses in history.batch_loss] == [(4,), (4,)]
    for loss, losses in zip(history.loss, history.batch_loss, strict=True):
        assert loss == pytest.approx((losses[:3].sum() * 10 + losses[3] * 7) / M, rel=1e-12)
    assert network().fit(*classes, epochs=1).batch_loss == []


def test_the_loss_of_gradient_descent_is_the_cost_before_the_step(backend, classes):
    net, costs = network(), []
    costs.append(net.loss(*classes, l2=3.0))
    history = net.fit(
        *classes, batch_size=None, epochs=4, l2=3.0, callback=lambda net, _: costs.append(net.loss(*classes, l2=3.0))
    )
    np.testing.assert_allclose(history.loss, costs[:-1], rtol=1e-12)


def test_verbose_prints_a_line_an_epoch(classes, capsys):
    history = network().fit(*classes, epochs=3, verbose=True, validation_data=classes)
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch 1", "epoch 2", "epoch 3"]
    assert f"loss {history.loss[-1]:.5g}" in lines[-1]
    assert f"score {history.validation_score[-1]:.4f}" in lines[-1]
    network().fit(*classes, epochs=3)
    assert capsys.readouterr().out == ""


def test_the_history_without_an_epoch(classes):
    history = network().fit(*classes, epochs=0)
    assert str(history) == "no epoch completed"
    assert history.seconds == []
    assert all(math.isfinite(s) and s >= 0 for s in network().fit(*classes, epochs=2).seconds)


# ---- the bar


class Bar:
    """Stands for tqdm's."""

    made: ClassVar[list[Bar]] = []

    def __init__(self, *, total, initial, **options):
        self.total, self.visited, self.lines, self.open = total, initial, [], True
        Bar.made.append(self)

    def update(self, samples):
        self.visited += samples

    def write(self, line):
        self.lines.append(line)

    def close(self):
        self.open = False


def test_a_bar_is_there_for_a_training_that_takes_longer(backend, classes, monkeypatch):
    monkeypatch.setattr(Bar, "made", [])
    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(tqdm=Bar))
    network().fit(*classes, epochs=3, validation_data=classes)
    assert not Bar.made
    monkeypatch.setattr(fastnn.training, "_BAR_AFTER", 0.0)
    network().fit(*classes, epochs=3, progress=False)
    assert not Bar.made
    history = network().fit(*classes, epochs=3, verbose=True)
    (bar,) = Bar.made
    assert bar.total == bar.visited == 3 * M
    assert len(bar.lines) == 3
    assert bar.lines[-1] == str(history)
    assert not bar.open


def test_a_bar_needs_tqdm(classes, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(fastnn.training, "_BAR_AFTER", 0.0)
    assert network().fit(*classes, epochs=3, validation_data=classes).epochs == 3
