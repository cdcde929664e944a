"""Prepared calls: the same bits as the network's own, checks of what they are given, threads, and memory."""

from __future__ import annotations

import gc
import threading
import tracemalloc

import numpy as np
import pytest

import fastnn
from fastnn import _kernels

NETS = {
    "softmax": ((7, 12, 3), "sigmoid", "softmax_cross_entropy"),
    "one-output": ((7, 12, 1), "tanh", "sigmoid_cross_entropy"),
    "several-answers": ((7, 12, 3), "relu", "sigmoid_cross_entropy"),
    "squared-error": ((7, 12, 2), "tanh", "squared_error"),
    "regression": ((7, 1), (), "squared_error"),
}
OPTIMIZERS = {"sgd": fastnn.SGD(0.1), "momentum": fastnn.SGD(0.1, momentum=0.9), "adam": fastnn.Adam(0.01)}


def make(name, rows, dtype="float32"):
    """Return a network, samples, and targets as its loss takes them."""
    sizes, activation, loss = NETS[name]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, sizes[0])).astype(dtype)
    y = rng.normal(size=(rows, sizes[-1])).astype(dtype)
    if name == "several-answers":
        y = (y > 0).astype(dtype)
    elif loss != "squared_error":
        y = rng.integers(0, max(2, sizes[-1]), rows)
    return fastnn.Network(sizes, activation, loss, dtype, rng=1), X, y


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 5, 200])
@pytest.mark.parametrize("name", NETS)
def test_the_same_as_the_networks_own_calls(backend, name, rows, dtype):
    net, X, y = make(name, rows, dtype)
    prepared = fastnn.backend.prepare(net, rows)
    out, gradient = np.empty((rows, net.sizes[-1]), dtype), np.empty_like(net.parameters)
    assert prepared.forward(X, out=out) is out
    assert out.tobytes() == prepared.forward(X).tobytes() == net.forward(X).tobytes()
    J, returned = prepared.loss_and_gradient(X, y, out=gradient)
    assert returned is gradient
    J_expected, expected = net.loss_and_gradient(X, y)
    assert (J, gradient.tobytes()) == (J_expected, expected.tobytes())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("name", NETS)
def test_steps_are_those_of_fit(backend, name, rows, optimizer):
    """And both go on from each other's."""
    (net, X, y), (other, *_) = make(name, rows), make(name, rows)
    prepared = fastnn.backend.prepare(net, rows, OPTIMIZERS[optimizer])
    for _ in range(3):
        history = other.fit(X, y, optimizer=OPTIMIZERS[optimizer], batch_size=rows, epochs=1, shuffle=False)
        assert prepared.step(X, y) == pytest.approx(history.loss[0], rel=1e-12)
        assert net.parameters.tobytes() == other.parameters.tobytes()
    for trained in (net, other):
        trained.fit(X, y, optimizer=OPTIMIZERS[optimizer], batch_size=rows, epochs=1, shuffle=False)
    assert net.parameters.tobytes() == other.parameters.tobytes()


def test_the_optimizer_is_the_networks_own(backend):
    net, X, y = make("softmax", 4)
    fastnn.backend.prepare(net, 4).step(X, y)
    assert net.optimizer == fastnn.Adam()
    net.fit(X, y, optimizer="rmsprop", epochs=1)
    prepared, state = fastnn.backend.prepare(net, 4), net.state.optimizer_state
    prepared.step(X, y)
    assert net.optimizer == fastnn.RMSprop()
    assert net.state.optimizer_state is state
    net.fit(X, y, optimizer="adam", epochs=1)  # another rule's state in between
    prepared.step(X, y)
    assert net.state.optimizer_state.shape == (1, len(net.parameters))


def test_calls_see_what_has_changed(backend):
    net, X, _ = make("softmax", 4)
    prepared = fastnn.backend.prepare(net, 4)
    before = prepared.forward(X)
    net.parameters *= 2
    assert prepared.forward(X).tobytes() == net.forward(X).tobytes() != before.tobytes()
    net.reset()
    assert prepared.forward(X).tobytes() == net.forward(X).tobytes()


# ---- what is refused


BAD = {
    "list": (lambda X, y: X.tolist(), TypeError, "X must be an array of float32; got list"),
    "dtype": (lambda X, y: X.astype(float), TypeError, "X must be an array of float32; got an array of float64"),
    "rows": (lambda X, y: X[:3], ValueError, r"X must have shape \(4, 7\), in C order; got shape \(3, 7\)"),
    "order": (lambda X, y: np.asfortranarray(X), ValueError, r"got shape \(4, 7\), not in C order"),
}


@pytest.mark.parametrize("call", ["forward", "loss_and_gradient", "step"])
@pytest.mark.parametrize("kind", BAD)
def test_bad_samples(backend, kind, call):
    net, X, y = make("softmax", 4)
    prepared, before = fastnn.backend.prepare(net, 4), net.parameters.copy()
    spoil, error, message = BAD[kind]
    with pytest.raises(error, match=message):
        getattr(prepared, call)(spoil(X, y), *([y] if call != "forward" else []))
    assert (net.parameters == before).all()


@pytest.mark.parametrize(
    ("name", "y", "error", "message"),
    [
        ("softmax", np.array([0, 1, 2, 3]), ValueError, "labels from 0 to 2; found 3"),
        ("softmax", np.array([0, -1, 2, 1]), ValueError, "labels from 0 to 2; found -1"),
        ("softmax", np.array([0, 1]), ValueError, r"shape \(4,\); got shape \(2,\)"),
        (
            "softmax",
            np.zeros((4, 3), "float32"),
            TypeError,
            "y must be labels, an array of int64; got an array of float32",
        ),
        ("one-output", np.array([0, 1, 2, 1]), ValueError, "labels from 0 to 1; found 2"),
        ("squared-error", np.zeros(4, "float32"), ValueError, r"y must have shape \(4, 2\)"),
        ("squared-error", np.zeros((4, 2), "int64"), TypeError, "y must be an array of float32; got an array of int64"),
    ],
)
def test_bad_targets(backend, name, y, error, message):
    net, X, _ = make(name, 4)
    prepared = fastnn.backend.prepare(net, 4)
    for call in (prepared.loss_and_gradient, prepared.step):
        with pytest.raises(error, match=message):
            call(X, y)


def test_bad_outputs_and_arguments(backend):
    net, X, y = make("softmax", 4)
    prepared, out = fastnn.backend.prepare(net, 4), np.empty((4, 3), "float32")
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out must be writable"):
        prepared.forward(X, out=out)
    with pytest.raises(ValueError, match="out must have shape"):
        prepared.loss_and_gradient(X, y, out=np.empty(3, "float32"))
    with pytest.raises(TypeError, match=r"network must be a fastnn\.Network; got str"):
        fastnn.backend.prepare("net")
    with pytest.raises(ValueError, match="rows must be an integer >= 1; got 0"):
        fastnn.backend.prepare(net, 0)
    with pytest.raises(ValueError, match="optimizer='sdg' is unknown"):
        fastnn.backend.prepare(net, 4, "sdg")


# ---- threads, and memory


@pytest.mark.parametrize("prepares", [False, True], ids=["network", "prepared"])
def test_several_threads_call_at_once(backend, prepares):
    net, X, y = make("softmax", 64)
    calls = fastnn.backend.prepare(net, 64) if prepares else net
    expected, failures = net.loss_and_gradient(X, y), []
    outputs = net.forward(X)

    def call():
        for _ in range(200):
            J, gradient = calls.loss_and_gradient(X, y)
            same = expected[0] == J and gradient.tobytes() == expected[1].tobytes()
            if not same or calls.forward(X).tobytes() != outputs.tobytes():
                failures.append(J)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_step_while_the_network_is_trained(backend):
    net, X, y = make("softmax", 4)
    prepared, refused = fastnn.backend.prepare(net, 4), []

    def step(*_):
        with pytest.raises(RuntimeError, match="this network is being trained"):
            prepared.step(X, y)
        refused.append(True)

    net.fit(X, y, epochs=2, callback=step)
    assert refused == [True, True]


def test_a_call_after_a_divergence(backend):
    """What it has left in the memory of a job does not come into the next one."""
    net, X, y = make("squared-error", 4)
    prepared = fastnn.backend.prepare(net, 4, fastnn.SGD(0.1))
    kept = net.parameters.copy()
    expected = prepared.loss_and_gradient(X, y)
    bad = np.full_like(X, np.nan)
    prepared.step(bad, y)
    prepared.loss_and_gradient(bad, y)
    net.parameters = kept
    J, gradient = prepared.loss_and_gradient(X, y)
    assert (J, gradient.tobytes()) == (expected[0], expected[1].tobytes())


def test_many_calls_leave_memory_as_it_was(compiled):
    """Of Python's and NumPy's, as tracemalloc sees it."""
    fastnn.set_backend(compiled.__name__.rpartition(".")[2])
    net, X, y = make("softmax", 1)
    prepared, out = fastnn.backend.prepare(net, 1), np.empty((1, 3), "float32")
    calls = (
        lambda: prepared.forward(X, out=out),
        lambda: prepared.step(X, y),
        lambda: net.forward(X),
        lambda: net.loss_and_gradient(X, y),
    )

    def memory(times):
        for _ in range(times):
            for call in calls:
                call()
        gc.collect()  # with Python's lists of tuples that it keeps for reuse
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = memory(100)
        assert memory(2500) - before < 2000
    finally:
        tracemalloc.stop()


def test_a_job_is_kept_for_the_next_call(compiled, jobs):
    fastnn.set_backend(compiled.__name__.rpartition(".")[2])
    net, X, y = make("softmax", 5)
    for _ in range(2):
        net.forward(X)
        net.loss_and_gradient(X, y)
    assert jobs[0] is jobs[2]
    assert jobs[1] is jobs[3]
    assert _kernels.kernels().compiled_kernels.new_job(jobs[0].plan.model, 4, jobs[0].plan.request) is not jobs[0]
