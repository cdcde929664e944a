"""Schedules: the rates of each step, their checks, and what trainings do with them."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import schedules
from fastnn.schedules import TrainingRates, from_description
from fastnn.training import _Training

M = 37
RNG = np.random.default_rng(3)
X = RNG.normal(size=(M, 3))
Y = (X[:, 0] + RNG.normal(size=M) > 0).astype(int)
FUNCTIONS = {
    "constant": (schedules.constant(0.2), lambda t, e: 0.2),
    "step": (schedules.step(0.2, 0.5, (0.25, 0.5)), lambda t, e: 0.2 * 0.5 ** ((t >= 0.25) + (t >= 0.5))),
    "exponential": (schedules.exponential(0.2, 0.01), lambda t, e: 0.2 * 0.01**t),
    "inverse_scaling": (schedules.inverse_scaling(0.2, 0.7), lambda t, e: 0.2 / (1 + e) ** 0.7),
    "cosine": (schedules.cosine(0.2, 0.1), lambda t, e: 0.2 * (0.1 + 0.9 * (1 + math.cos(math.pi * t)) / 2)),
    "one_cycle": (
        schedules.one_cycle(0.2, 0.25, 0.1, 0.01),
        lambda t, e: (
            0.2 * (0.1 + 0.9 * (1 - math.cos(math.pi * t / 0.25)) / 2)
            if t < 0.25
            else 0.2 * (0.01 + 0.99 * (1 + math.cos(math.pi * (t - 0.25) / 0.75)) / 2)
        ),
    ),
    "coslog4": (schedules.coslog4(0.2), lambda t, e: 0.2 / 2 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t)))),
    "reduce_on_plateau": (schedules.reduce_on_plateau(0.2), lambda t, e: 0.2),
}


def network(rng=1):
    return fastnn.Network((3, 4, 2), "tanh", dtype="float64", rng=rng)


def rates_taken(monkeypatch, **options):
    """Return every step's rate that the kernels are given in a training, in one array."""
    kernels, taken = fastnn._kernels.kernels(), []
    epoch = kernels.minibatch_epoch

    def record(*arguments):
        taken.append(np.array(arguments[5].rates))
        epoch(*arguments)

    monkeypatch.setattr(kernels, "minibatch_epoch", record)
    network().fit(X, Y, **({"optimizer": "sgd", "batch_size": 10} | options))
    return np.concatenate(taken)


# ---- rates


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_step_has_the_rate_of_its_equation(name, monkeypatch):
    schedule, equation = FUNCTIONS[name]
    taken = rates_taken(monkeypatch, learning_rate=schedule, epochs=5)
    np.testing.assert_allclose(taken, [equation(k / 20, k / 4) for k in range(20)], rtol=1e-12, atol=1e-17)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_warm_up_rises_to_the_first_rate_and_the_schedule_has_the_rest(name, monkeypatch):
    schedule, equation = FUNCTIONS[name]
    options = dict(schedule.options)
    warmed = getattr(schedules, name)(schedule.learning_rate, **options, warmup=0.2)
    taken = rates_taken(monkeypatch, learning_rate=warmed, epochs=5)
    first = equation(0, 0)
    np.testing.assert_allclose(taken[:4], [first * k / 4 for k in (1, 2, 3, 4)], rtol=1e-12, atol=1e-17)
    np.testing.assert_allclose(taken[4:], [equation(k / 16, k / 4) for k in range(16)], rtol=1e-12, atol=1e-15)


def test_the_rates_do_not_depend_on_the_length_of_calls():
    for schedule, _ in FUNCTIONS.values():
        rates = TrainingRates(schedule, 1000, 10)
        pieces = [rates.of(first, 125) for first in range(0, 1000, 125)]
        np.testing.assert_array_equal(np.concatenate(pieces), rates.of(0, 1000))


def test_a_callable_is_called_with_the_progress(monkeypatch):
    seen = []

    def falling(t):
        seen.append(np.shape(t))
        return 0.1 * (1 - t)

    taken = rates_taken(monkeypatch, learning_rate=falling, epochs=5)
    np.testing.assert_allclose(taken, [0.1 * (1 - k / 20) for k in range(20)], rtol=1e-12)
    assert len(seen) <= 2, "once to see whether it takes arrays, once for all steps"


@pytest.mark.parametrize("function", [lambda t: 0.1 if t < 0.5 else 0.01, lambda t: math.exp(-t), lambda t: 0.25])
def test_a_callable_may_be_for_single_numbers(function, monkeypatch):
    taken = rates_taken(monkeypatch, learning_rate=function, epochs=5)
    np.testing.assert_allclose(taken, [function(k / 20) for k in range(20)], rtol=1e-15)


def test_of_a_long_training_a_callable_is_asked_piece_by_piece(monkeypatch):
    monkeypatch.setattr(schedules, "_KEPT_STEPS", 8)
    monkeypatch.setattr(schedules, "_TRIED_STEPS", 3)
    taken = rates_taken(monkeypatch, learning_rate=lambda t: 1 - t, epochs=5)
    np.testing.assert_allclose(taken, [1 - k / 20 for k in range(20)], rtol=1e-12)
    net = network()
    before = net.state.snapshot()
    with pytest.raises(ValueError, match=r"rates >= 0; got -1 at step 2, t = 0.1"):
        net.fit(X, Y, learning_rate=lambda t: np.where(np.isclose(t, 0.1), -1.0, 1.0), batch_size=10, epochs=5)
    np.testing.assert_array_equal(net.parameters, before.parameters)


@pytest.mark.parametrize("batch_size", [1, 10, None])
def test_a_constant_schedule_is_a_constant_rate(backend, batch_size):
    nets = [network(), network()]
    for net, rate in zip(nets, (0.1, schedules.constant(0.1)), strict=True):
        net.fit(X, Y, optimizer=fastnn.SGD(rate), batch_size=batch_size, epochs=3)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)


@pytest.mark.parametrize("batch_size", [1, 10, None])
def test_every_backend_takes_the_steps_of_a_schedule(compiled, batch_size):
    nets = {}
    for name in ("numpy", compiled.__name__.rpartition(".")[2]):
        fastnn.set_backend(name)
        nets[name] = network()
        nets[name].fit(X, Y, optimizer=fastnn.SGD(schedules.coslog4(0.5)), batch_size=batch_size, epochs=4)
    one, other = (net.parameters for net in nets.values())
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


# ---- plateaus


def plateau_rates(losses, **options):
    """Return the rate of each epoch, of a training whose validation losses are these."""
    rates, run = [], _Training._run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Training, "_run", lambda *call: rates.append(float(call[0].rates.of(0, 1)[0])) or run(*call))
        values = iter(losses)
        patch.setattr(fastnn.watching, "evaluate", lambda *_: (next(values), 0.0))
        rate = schedules.reduce_on_plateau(0.8, factor=0.5, **options)
        network().fit(X, Y, learning_rate=rate, batch_size=None, epochs=len(losses), validation_data=(X, Y))
    return rates


def test_the_rate_falls_where_the_loss_does_not():
    assert plateau_rates([3, 2, 2, 2, 1, 1, 1, 1], patience=2) == [0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2]
    assert plateau_rates([3, 2.9, 2.8, 2.7, 1], patience=2, min_delta=0.5) == [0.8, 0.8, 0.8, 0.4, 0.4]
    assert plateau_rates([1, 1, 1, 1, 1], patience=1, min_rate=0.3) == [0.8, 0.8, 0.4, 0.3, 0.3]
    assert plateau_rates([1, math.nan, math.nan, 0.5], patience=1) == [0.8, 0.8, 0.4, 0.2]


def test_without_validation_the_training_loss_counts():
    net, rates, run = network(), [], _Training._run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Training, "_run", lambda *call: rates.append(float(call[0].rates.of(0, 1)[0])) or run(*call))
        rate = schedules.reduce_on_plateau(50.0, patience=1)
        history = net.fit(X, Y, optimizer="sgd", learning_rate=rate, batch_size=None, epochs=12)
    expected, drops, lowest = [], 0, math.inf
    for loss in history.loss:
        expected.append(50.0 * 0.1**drops)
        drops += loss >= lowest
        lowest = min(lowest, loss)
    assert drops > 0
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


# ---- names and arguments


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_schedule_is_data(name, tmp_path):
    pytest.importorskip("safetensors")
    schedule = getattr(schedules, name)(0.25, warmup=0.1)
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert hash(schedule) == hash(from_description(schedule.describe()))
    assert eval(repr(schedule), vars(schedules)) == schedule
    net = network()
    net.fit(X, Y, optimizer=fastnn.Adam(schedule), epochs=1)
    net.save(tmp_path / "net")
    assert fastnn.load(tmp_path / "net").optimizer == fastnn.Adam(schedule)


def test_of_a_callable_the_largest_rate_is_saved(tmp_path):
    pytest.importorskip("safetensors")
    net = network()
    net.fit(X, Y, optimizer=fastnn.SGD(lambda t: 0.5 * (1 - t), momentum=0.5), batch_size=10, epochs=3)
    net.save(tmp_path / "net")
    assert fastnn.load(tmp_path / "net").optimizer == fastnn.SGD(0.5, momentum=0.5)


def test_divergence_names_the_rate():
    net = fastnn.Network((3, 4, 1), "identity", "squared_error", rng=1)
    with pytest.raises(fastnn.DivergenceError, match=r"with learning rate (1e\+38|2e\+37)"):
        net.fit(X, X[:, 0], optimizer=fastnn.SGD(schedules.step(1e38, 0.2, (0.5,))), batch_size=None, epochs=4)


def test_prepared_steps_take_a_schedules_rate():
    nets = [network(), network()]
    for net, rate in zip(nets, (schedules.cosine(0.25), 0.25), strict=True):
        fastnn.backend.prepare(net, rows=M, optimizer=fastnn.SGD(rate)).step(X, Y)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
    with pytest.raises(TypeError, match="step needs a learning rate that is a number or a schedule"):
        fastnn.backend.prepare(nets[0], rows=M, optimizer=fastnn.SGD(lambda t: 0.1)).step(X, Y)


# ---- bad input


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: schedules.cosine(0), ValueError, r"learning_rate must be a finite number > 0; got 0"),
        (lambda: schedules.cosine("fast"), TypeError, r"learning_rate must be a finite number > 0; got 'fast'"),
        (lambda: schedules.constant(1, warmup=1), ValueError, r"warmup must be a finite number >= 0 and < 1; got 1"),
        (lambda: schedules.cosine(1, final=1), ValueError, r"final must be a finite number >= 0 and < 1; got 1"),
        (lambda: schedules.exponential(1, 1.5), ValueError, r"factor must be in \(0, 1\]; got 1.5"),
        (lambda: schedules.exponential(1, 0), ValueError, r"factor must be a finite number > 0; got 0"),
        (lambda: schedules.step(1, drops=(0.5, 1)), ValueError, r"drops\[1\] must be a finite .* < 1; got 1"),
        (
            lambda: schedules.step(1, drops=(0.5, 0.2)),
            ValueError,
            r"drops must be in ascending order; got \(0.5, 0.2\)",
        ),
        (lambda: schedules.step(1, drops=0.5), TypeError, r"drops must be a sequence of numbers .*; got 0.5"),
        (lambda: schedules.inverse_scaling(1, -1), ValueError, r"power must be a finite number > 0; got -1"),
        (lambda: schedules.one_cycle(1, rise=0), ValueError, r"rise must be a finite number > 0 and < 1; got 0"),
        (lambda: schedules.one_cycle(1, last=1), ValueError, r"last must be .* < 1; got 1"),
        (lambda: schedules.reduce_on_plateau(1, patience=0), ValueError, r"patience must be an integer >= 1; got 0"),
        (lambda: schedules.reduce_on_plateau(1, min_delta=-1), ValueError, r"min_delta must be .* >= 0; got -1"),
        (lambda: schedules.reduce_on_plateau(1, min_rate=2), ValueError, r"min_rate must be at most .* 1; got 2"),
        (lambda: fastnn.Adam(fastnn.Adam), TypeError, r"learning_rate must be a finite number > 0; got <class"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("rate", "error", "message"),
    [
        (lambda t: 0.1 - t, ValueError, r"finite rates >= 0; got -0.05 at step 3, t = 0.15"),
        (lambda t: t / (t != 0.75), ValueError, r"finite rates >= 0; got inf at step 15, t = 0.75"),
        (lambda t: t * np.nan, ValueError, r"finite rates >= 0; got nan at step 0, t = 0"),
        (lambda t: "fast", TypeError, r"learning_rate must return a number for each of 20 values of t; got <U4"),
        (lambda t: np.ones(3), TypeError, r"learning_rate must return a number for each of 20 .* in shape \(3,\)"),
        (lambda t: {}["a"], KeyError, "a"),
        (lambda: 1, TypeError, "takes 0 positional arguments"),
    ],
)
def test_bad_rates_change_nothing(rate, error, message):
    net = network()
    before, generator = net.state.snapshot(), net.rng.bit_generator.state
    with np.errstate(all="ignore"), pytest.raises(error, match=message):
        net.fit(X, Y, optimizer="sgd", learning_rate=rate, batch_size=10, epochs=5, reset=True)
    np.testing.assert_array_equal(net.parameters, before.parameters)
    assert net.rng.bit_generator.state == generator
    assert net.optimizer is None
