"""Copies of a network, and what may be done with one from outside: pickle, copy, assignment, callbacks, threads."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import threading

import numpy as np
import pytest
from conftest import LOSSES

import fastnn

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.integers(0, 2, 40)
COPIES = {"pickle": lambda net: pickle.loads(pickle.dumps(net)), "deepcopy": copy.deepcopy, "copy": copy.copy}
TARGETS = {
    "softmax_cross_entropy": [(2, Y), (2, np.eye(2)[Y])],
    "sigmoid_cross_entropy": [(1, Y), (1, Y[:, None].astype(bool)), (2, Y), (2, np.eye(2)[Y])],
    "squared_error": [(1, X[:, 0]), (2, X[:, 1:])],
    "absolute_error": [(2, X[:, 1:])],
    "huber": [(2, X[:, 1:])],
    "quantile": [(2, X[:, 1:])],
    "poisson": [(1, X[:, 0] ** 2), (2, X[:, 1:] ** 2)],
    "hinge": [(1, 2 * Y - 1), (2, Y)],
}
CASES = [(loss, *case) for loss in LOSSES for case in TARGETS[loss]]


@pytest.mark.parametrize("make", COPIES)
@pytest.mark.parametrize(("loss", "outputs", "y"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_copy_is_the_same_network(backend, make, loss, outputs, y):
    net = fastnn.Network((3, 5, outputs), loss=loss, rng=1)
    net.fit(X, y, batch_size=10, epochs=2)
    other = COPIES[make](net)
    other.rng = copy.deepcopy(net.rng)  # which copy.copy shares
    assert other.parameters.ctypes.data % 64 == 0
    for _ in range(2):
        np.testing.assert_array_equal(other.predict(X), net.predict(X))
        assert other.score(X, y) == net.score(X, y)
        assert other.loss(X, y) == net.loss(X, y)
        assert other.fit(X, y, batch_size=10, epochs=2).loss == net.fit(X, y, batch_size=10, epochs=2).loss


@pytest.mark.parametrize("make", COPIES)
def test_a_copy_has_arrays_of_its_own(make):
    net = fastnn.Network((3, 5, 2), rng=1)
    net.fit(X, Y, epochs=1)
    before = net.state.snapshot()
    COPIES[make](net).fit(X, Y, epochs=3)
    for name, array in before._asdict().items():
        np.testing.assert_array_equal(array, getattr(net.state, name))


def test_a_copy_can_be_made_while_the_network_is_trained():
    net, best = fastnn.Network((3, 5, 2), rng=1), []
    net.fit(X, Y, epochs=2, callback=lambda net, _: best.append(copy.deepcopy(net)))
    np.testing.assert_array_equal(best[1].parameters, net.parameters)
    assert best[0].fit(X, Y, epochs=1).epochs == 1


def test_read_only_files_make_a_network_that_can_be_trained(backend, tmp_path):
    """As joblib gives them to its workers: arrays of a pickle that are maps of a file."""
    net = fastnn.Network((3, 5, 2), rng=1)
    net.fit(X, Y, epochs=1)
    maps = {}
    for name in ("parameters", "optimizer_state", "step"):
        np.save(tmp_path / f"{name}.npy", getattr(net.state, name))
        maps[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    other = object.__new__(fastnn.Network)
    other.__setstate__(net.__getstate__() | {"state": dataclasses.replace(net.state, **maps)})
    other.fit(X, Y, epochs=1)
    np.testing.assert_array_equal(np.load(tmp_path / "parameters.npy"), net.parameters)


# ---- assignment


def test_what_is_assigned_to_parameters_is_copied_into_them(backend):
    net = fastnn.Network((3, 5, 2), rng=1)
    place, values = net.parameters, np.arange(64.0)[::2]
    net.parameters = values
    assert net.parameters is place
    np.testing.assert_array_equal(place, values)
    net.parameters *= 2
    np.testing.assert_array_equal(place, 2 * values)
    values[:] = 0
    assert place[1] == 4
    net.fit(X, Y, epochs=1)
    assert net.parameters is place


@pytest.mark.parametrize("bad", [np.zeros(31), np.zeros((32, 1)), 0.0, np.zeros(32, complex), ["a"] * 32])
def test_bad_parameters(bad):
    net = fastnn.Network((3, 5, 2), rng=1)
    before = net.parameters.copy()
    with pytest.raises(ValueError, match=r"parameters must be 32 real numbers, \(32,\); got "):
        net.parameters = bad
    np.testing.assert_array_equal(net.parameters, before)


def test_parameters_made_read_only_are_not_trained():
    net = fastnn.Network((3, 5, 2), rng=1)
    net.parameters.flags.writeable = False
    with pytest.raises(ValueError, match="parameters are read-only"):
        net.fit(X, Y, epochs=1)


# ---- one training at a time


@pytest.mark.parametrize(
    "action",
    [lambda net: net.reset(), lambda net: net.fit(X, Y, optimizer="sgd"), lambda net: net.fit(X, Y, reset=True)],
)
def test_a_callback_cannot_take_the_networks_memory_away(backend, action):
    net = fastnn.Network((3, 5, 2), rng=1)
    with pytest.raises(RuntimeError, match="this network is being trained"):
        net.fit(X, Y, epochs=3, callback=lambda net, _: action(net))
    assert net.optimizer == fastnn.Adam()
    assert net.fit(X, Y, epochs=1).epochs == 1


def test_a_second_thread_cannot_train_the_same_network():
    net, errors = fastnn.Network((3, 5, 2), rng=1), []

    def train():
        try:
            net.fit(X, Y, optimizer="sgd", epochs=1)
        except RuntimeError as error:
            errors.append(str(error))

    def wait_for_another(net, history):
        thread = threading.Thread(target=train)
        thread.start()
        thread.join()

    net.fit(X, Y, epochs=1, callback=wait_for_another)
    assert len(errors) == 1
    assert "this network is being trained" in errors[0]
