"""L-BFGS: iterations of SciPy's minimiser as epochs, with all that belongs to a training."""

from __future__ import annotations

import builtins
import contextlib
import signal

import numpy as np
import pytest

import fastnn
from fastnn import EarlyStopping, watching

RNG = np.random.default_rng(2)
X = RNG.normal(size=(150, 3))
Y = (X[:, 0] * X[:, 1] + 0.3 * RNG.normal(size=150) > 0).astype(int)
VALIDATION = (X[:40] + 0.1, Y[:40])


def network(dtype="float64", loss="softmax_cross_entropy"):
    return fastnn.Network((3, 6, 2), "tanh", loss, dtype, rng=1)


@pytest.fixture(autouse=True)
def _scipy():
    pytest.importorskip("scipy")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_epoch_is_an_iteration_and_the_cost_falls(backend, dtype):
    net, costs = network(dtype), []
    first = net.loss(X, Y, l2=0.5)
    history = net.fit(
        X, Y, optimizer="lbfgs", epochs=12, l2=0.5, callback=lambda net, _: costs.append(net.loss(X, Y, 0.5))
    )
    assert (history.epochs, history.ended) == (12, "epochs")
    assert len(history.seconds) == 12
    np.testing.assert_allclose(history.loss, [first, *costs[:-1]], rtol=1e-10 if dtype == "float64" else 1e-5)
    assert (np.diff([*history.loss, costs[-1]]) < 0).all()
    adam = network(dtype)
    adam.fit(X, Y, optimizer="adam", batch_size=None, epochs=12, l2=0.5)
    assert costs[-1] < adam.loss(X, Y, 0.5)


def test_against_scipy_on_the_same_cost():
    from scipy.optimize import minimize

    net, other = network(), network()

    def cost(theta):
        other.parameters[:] = theta
        return other.loss_and_gradient(X, Y, 0.1)

    options = {"maxiter": 15, "maxcor": 4, "ftol": 0, "gtol": 0}
    expected = minimize(cost, other.parameters.copy(), jac=True, method="L-BFGS-B", options=options).x
    net.fit(X, Y, optimizer=fastnn.LBFGS(history=4, tolerance=0), epochs=15, l2=0.1)
    np.testing.assert_allclose(net.parameters, expected, rtol=1e-9, atol=1e-12)


def test_it_ends_where_nothing_is_to_be_gained(backend):
    net = fastnn.Network((3, 1), loss="squared_error", dtype="float64", rng=1)
    y = X @ [1, 2, 3] + 4
    history = net.fit(X, y, optimizer=fastnn.LBFGS(tolerance=1e-9), epochs=500)
    assert history.ended == "converged"
    assert history.epochs < 50
    np.testing.assert_allclose(net.parameters, [1, 2, 3, 4], rtol=1e-7)
    assert not net.fit(X, y, optimizer="lbfgs", epochs=0).loss
    single = fastnn.Network((3, 1), loss="squared_error", rng=1)
    assert single.fit(X, y, optimizer="lbfgs", epochs=500).ended == "converged"
    np.testing.assert_allclose(single.parameters, [1, 2, 3, 4], rtol=1e-3)


def test_validation_and_early_stopping():
    net, parameters, values = network(), [], iter([3, 1, 2, 2, 2, 2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "evaluate", lambda *_: (next(values), 0.5))
        history = net.fit(
            X,
            Y,
            optimizer="lbfgs",
            epochs=20,
            validation_data=VALIDATION,
            early_stopping=EarlyStopping(3),
            callback=lambda net, _: parameters.append(net.parameters.copy()),
            batch_loss=True,
        )
    assert (history.ended, history.epochs, history.best_epoch) == ("early stopping", 5, 2)
    assert history.validation_loss == [3, 1, 2, 2, 2]
    assert [losses[0] for losses in history.batch_loss] == history.loss
    np.testing.assert_array_equal(net.parameters, parameters[1])


def test_a_callback_or_an_interrupt_ends_it(monkeypatch):
    def interrupt(net, history):
        if history.epochs == 3:
            raise KeyboardInterrupt

    expected = network()
    expected.fit(X, Y, optimizer="lbfgs", epochs=3)
    for callback, ended in ((lambda _, history: history.epochs == 3, "callback"), (interrupt, "interrupted")):
        net = network()
        history = net.fit(X, Y, optimizer="lbfgs", epochs=20, callback=callback, validation_data=VALIDATION)
        assert (history.ended, history.epochs, len(history.validation_loss)) == (ended, 3, 3)
        assert history.interrupted == (ended == "interrupted")
        np.testing.assert_array_equal(net.parameters, expected.parameters)


def test_an_interrupt_in_a_kernel_leaves_the_last_iteration(backend, monkeypatch):
    kernels, calls = fastnn._kernels.kernels(), []
    call = kernels.loss_and_gradient

    def call_and_interrupt(*arguments):
        calls.append(1)
        if len(calls) == 6:
            signal.raise_signal(signal.SIGINT)
        return call(*arguments)

    monkeypatch.setattr(kernels, "loss_and_gradient", call_and_interrupt)
    net, seen = network(), []
    history = net.fit(X, Y, optimizer="lbfgs", epochs=20, callback=lambda net, _: seen.append(net.parameters.copy()))
    assert history.interrupted
    assert 0 < history.epochs == len(seen) < 6
    np.testing.assert_array_equal(net.parameters, seen[-1])


def test_weights_labels_and_scales_go_with_it():
    net = network()
    names = np.array(["no", "yes"])[Y]
    net.fit(X, names, class_weight={"no": 1, "yes": 3}, optimizer="lbfgs", epochs=5)
    assert set(net.predict(X)) <= {"no", "yes"}
    far = fastnn.Network((3, 1), loss="squared_error", rng=1)
    far.fit(X, 1e9 + X[:, 0], optimizer="lbfgs", epochs=20, scale_targets=True)
    assert far.score(X, 1e9 + X[:, 0]) > 0.999


def test_it_is_saved(tmp_path):
    pytest.importorskip("safetensors")
    net = network()
    net.fit(X, Y, optimizer=fastnn.LBFGS(5, 1e-3), epochs=2)
    net.save(tmp_path / "net")
    assert fastnn.load(tmp_path / "net").optimizer == fastnn.LBFGS(5, 1e-3)
    assert fastnn.backend.prepare(net, rows=150).step(X, Y) > 0, "by Adam"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 10}, ValueError, r"batch_size must be None for lbfgs, which takes all 150 samples; got 10"),
        ({"learning_rate": 0.1}, ValueError, r"learning_rate must be None for lbfgs, .*; got 0.1"),
        ({"resume": True}, ValueError, r"resume must be False for lbfgs"),
    ],
)
def test_bad_arguments_change_nothing(options, error, message):
    net = network()
    before = net.parameters.copy()
    with pytest.raises(error, match=message):
        net.fit(X, Y, optimizer="lbfgs", **options)
    np.testing.assert_array_equal(net.parameters, before)
    assert net.optimizer is None


def test_which_batch_sizes_are_taken():
    for batch_size in (None, 100, 150, 1000):
        network().fit(X, Y, optimizer="lbfgs", batch_size=batch_size, epochs=1)
    with pytest.raises(TypeError, match=r"optimizer must take steps of its own .*; got lbfgs"):
        fastnn.backend.prepare(network(), optimizer="lbfgs")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fastnn.LBFGS(0), ValueError, r"history must be an integer >= 1; got 0"),
        (lambda: fastnn.LBFGS(tolerance=-1), ValueError, r"tolerance must be a finite number >= 0; got -1"),
    ],
)
def test_bad_hyperparameters(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_without_scipy(monkeypatch):
    load = builtins.__import__

    def refuse(name, *arguments):
        if name.startswith("scipy"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return load(name, *arguments)

    net = network()
    before = net.parameters.copy()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"optimizer='lbfgs' needs SciPy: pip install fastnn-cpu\[lbfgs\]"):
        net.fit(X, Y, optimizer="lbfgs", reset=True)
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize("when", ["first", "later"])
def test_divergence_keeps_the_last_iteration(monkeypatch, when):
    kernels, calls = fastnn._kernels.kernels(), []
    call = kernels.loss_and_gradient

    def broken(*arguments):
        calls.append(1)
        cost = call(*arguments)
        return np.inf if when == "first" or len(calls) > 4 else cost

    net, seen = network(), [network().parameters]
    monkeypatch.setattr(kernels, "loss_and_gradient", broken)
    options = {"epochs": 20, "callback": lambda net, _: seen.append(net.parameters.copy())}
    if when == "first":
        with pytest.raises(fastnn.DivergenceError, match="diverged in epoch 1: the loss became inf"):
            net.fit(X, Y, optimizer="lbfgs", **options)
    else:
        with contextlib.suppress(fastnn.DivergenceError):  # unless SciPy sees that no step is good
            assert net.fit(X, Y, optimizer="lbfgs", **options).ended == "converged"
    np.testing.assert_array_equal(net.parameters, seen[-1])
