"""What other tools call: derivatives of each sample's loss, the cost, a layer, and arrays that are not NumPy's."""

from __future__ import annotations

import copy
import importlib.util
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ACTIVATIONS, ALL_LOSSES, COMPILED, assert_close, find_loss, need
from test_reference import smooth_case

import fastnn
from fastnn._kernels import reference
from fastnn.activations import find_activation
from fastnn.backend.arrays import as_array

PAGE = Path(__file__).parent.parent / "docs" / "backend.md"
CASES = [*((name, "squared_error") for name in ACTIVATIONS), *(("tanh", name) for name in ALL_LOSSES)]


def smooth_network(activation, loss, dtype="float64"):
    """Return a network and samples that no kink is near, with the case that they are from."""
    case = smooth_case(["tanh", activation], loss)
    units = ["tanh", fastnn.leaky_relu(0.2) if activation == "leaky_relu" else activation]
    net = fastnn.Network(case.sizes, units, find_loss(loss, case.sizes[-1]), dtype)
    net.parameters = case.parameters
    return net, case.data.X, case.data.labels if case.data.labels.size else case.data.targets, case


def small(rows=4, dtype="float32"):
    """Return a network of three classes, with samples and labels as `Prepared` takes them."""
    rng = np.random.default_rng(0)
    net = fastnn.Network((7, 12, 3), "tanh", dtype=dtype, rng=1)
    return net, rng.normal(size=(rows, 7)).astype(dtype), rng.integers(0, 3, rows)


def slopes(f, X, step=1e-5):
    """Return the derivative of f, (m,), of each row by each of its elements, by central differences."""
    columns = []
    for j in range(X.shape[1]):
        change = np.zeros_like(X)
        change[:, j] = step
        columns.append((f(X + change) - f(X - change)) / (2 * step))
    return np.stack(columns, axis=1)


# ---- derivatives of each sample's loss


@pytest.mark.parametrize(("activation", "loss"), CASES)
def test_input_gradients_by_finite_differences(backend, activation, loss):
    net, X, y, case = smooth_network(activation, loss)
    model, Y = case.model, reference.target_matrix(case.model, case.data)

    def losses(X):
        Z = reference.propagate(model, case.parameters, X)[1][-1]
        return reference.losses_of(model, Z, Y).sum(axis=1)

    assert_close(fastnn.backend.input_gradient(net, X, y), slopes(losses, X), "float64", loss, slack=1e4)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "poisson", "quantiles, masked"])
def test_input_gradients_of_an_output(backend, loss):
    net, X, _, case = smooth_network("gelu", loss)
    for k in range(2):
        expected = slopes(lambda X: reference.propagate(case.model, case.parameters, X)[1][-1][:, k], X)  # noqa: B023
        assert_close(fastnn.backend.input_gradient(net, X, output=k), expected, "float64", loss, slack=1e4)


def test_input_gradients_in_parts(backend, monkeypatch):
    """A part has three samples, the last one a single one."""
    net, X, y = small(rows=7)
    whole = fastnn.backend.input_gradient(net, X, y)
    assert whole.dtype == np.float32
    monkeypatch.setattr("fastnn.backend.gradients._NUMBERS", 3 * len(net.parameters))
    assert fastnn.backend.input_gradient(net, X, y).tobytes() == whole.tobytes()


def test_samples_as_they_are_stored_with_a_scale(backend):
    """Derivatives are by the numbers that are given, not by the scaled ones."""
    rng = np.random.default_rng(0)
    net = fastnn.Network((3, 4, 2), "tanh", dtype="float64", rng=1)
    X, y = rng.integers(0, 200, (6, 3)).astype(np.uint8), rng.integers(0, 2, 6)
    net.fit(X, y, epochs=1, scale="standard")

    def losses(X):
        return np.array([net.loss(X[i : i + 1], y[i : i + 1]) for i in range(6)])

    wide = X.astype(float)
    expected = slopes(losses, wide, step=1e-3)
    for given in (X, wide):
        assert_close(fastnn.backend.input_gradient(net, given, y), expected, "float64", "by y", slack=1e4)
        mean = fastnn.backend.per_sample_gradients(net, given, y).mean(axis=0)
        assert_close(mean, net.loss_and_gradient(X, y)[1], "float64", "the mean")
    of_class = [fastnn.backend.input_gradient(net, X, output=k) for k in (0, 1)]
    probability = net.forward(X)[:, 1:]
    softmax = np.where(y[:, None] == 1, probability - 1, probability) * (of_class[1] - of_class[0])
    assert_close(softmax, expected, "float64", "by the logits", slack=1e4)


@pytest.mark.parametrize(("activation", "loss"), [("relu", "softmax_cross_entropy"), ("mish", "squared, masked")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_per_sample_gradients_are_those_of_one_row(backend, activation, loss, dtype):
    net, X, y, _ = smooth_network(activation, loss, dtype)
    X, y = X.astype(dtype), y if y.dtype == np.int64 else y.astype(dtype)
    before, out = net.parameters.copy(), np.empty((len(X), len(net.parameters)), dtype)
    assert fastnn.backend.per_sample_gradients(net, X, y, out=out) is out
    prepared = fastnn.backend.prepare(net, rows=1)
    rows = [prepared.loss_and_gradient(X[i : i + 1], y[i : i + 1])[1] for i in range(len(X))]
    assert out.tobytes() == np.array(rows).tobytes() == fastnn.backend.per_sample_gradients(net, X, y).tobytes()
    assert_close(out.mean(axis=0), net.loss_and_gradient(X, y)[1], dtype, "the mean", slack=10)
    assert (net.parameters == before).all()


@pytest.mark.parametrize("name", COMPILED)
def test_per_sample_gradients_of_divided_layers(name, costs):
    """On two threads, each of which has a half of a layer's units."""
    need(name)
    fastnn.set_backend(name)
    costs(operations_per_call=1.0, operations_per_step=1.0, divided_weights=64, inputs_to_a_row=1)
    rng = np.random.default_rng(0)
    net, X, y = fastnn.Network((64, 80, 40, 3), "tanh", rng=1), rng.normal(size=(9, 64)), rng.integers(0, 3, 9)
    fastnn.set_num_threads(2)
    gradients = fastnn.backend.per_sample_gradients(net, X, y)
    fastnn.set_num_threads(1)
    assert gradients.tobytes() == fastnn.backend.per_sample_gradients(net, X, y).tobytes()
    fastnn.set_backend("numpy")
    assert_close(gradients, fastnn.backend.per_sample_gradients(net, X, y), "float32", "the reference's")


def test_bad_input_of_derivatives():
    net, X, y = small()
    both = r"input_gradient takes either y or output; got "
    for arguments, options, error, message in (
        ((net, X), {}, TypeError, both + "neither"),
        ((net, X, y), {"output": 1}, TypeError, both + "both"),
        ((net, X), {"output": 3}, ValueError, r"output must be one of the 3 outputs, 0 \.\. 2; got 3"),
        ((net, X), {"output": 1.0}, TypeError, r"output must be an integer >= 0; got 1\.0"),
        ((net, X[:, :5]), {"output": 1}, ValueError, "X must have 7 columns"),
        ((net, X, y[:3]), {}, ValueError, "X and y must have as many rows; got 4 and 3"),
        (("net", X, y), {}, TypeError, r"network must be a fastnn\.Network; got str"),
    ):
        with pytest.raises(error, match=message):
            fastnn.backend.input_gradient(*arguments, **options)
    with pytest.raises(TypeError, match=r"network must be a fastnn\.Network; got str"):
        fastnn.backend.per_sample_gradients("net", X, y)
    with pytest.raises(ValueError, match=r"out must have shape \(4, 135\), in C order; got shape \(4, 3\)"):
        fastnn.backend.per_sample_gradients(net, X, y, out=np.empty((4, 3), "float32"))


# ---- the cost as a function


def test_the_objective_is_the_networks_cost(backend):
    net, X, y = small(dtype="float64")
    weights = np.array([1.0, 2.0, 0.0, 1.0])
    cost = fastnn.backend.objective(net, X, y, l2=0.3, sample_weight=weights)
    theta = np.linspace(-1, 1, len(net.parameters))
    J, gradient = cost(theta)
    assert (net.parameters == theta).all()
    J_expected, expected = net.loss_and_gradient(X, y, l2=0.3, sample_weight=weights)
    assert (J, gradient.tobytes()) == (J_expected, expected.tobytes())
    kept = gradient.copy()
    cost(2 * theta)
    assert (gradient == kept).all(), "the caller's own"
    net32, *_ = small()
    J, gradient = fastnn.backend.objective(net32, X, y)(theta)
    assert (type(J), gradient.dtype) == (float, np.float64)


def test_bad_input_of_the_objective():
    net, X, y = small()
    with pytest.raises(TypeError, match=r"network must be a fastnn\.Network; got str"):
        fastnn.backend.objective("net", X, y)
    with pytest.raises(ValueError, match="l2 must be a finite number >= 0; got -1"):
        fastnn.backend.objective(net, X, y, l2=-1)
    with pytest.raises(ValueError, match="y must hold labels from 0 to 2"):
        fastnn.backend.objective(net, X, y + 1)
    cost, before = fastnn.backend.objective(net, X, y), net.parameters.copy()
    for theta in (np.zeros(5), np.zeros((135, 1)), 0.0):
        with pytest.raises(ValueError, match=r"parameters must be 135 real numbers, \(135,\); got float64 in shape"):
            cost(theta)
    assert (net.parameters == before).all()

    def call(*_):
        with pytest.raises(RuntimeError, match="this network is being trained"):
            cost(before)
        return True

    assert net.fit(X, y, epochs=1, callback=call).ended == "callback"


# ---- one layer


@pytest.mark.parametrize("activation", ["identity", "gelu", fastnn.leaky_relu(0.3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layer(backend, activation, dtype):
    rng = np.random.default_rng(0)
    A, W, b = (rng.normal(size=shape).astype(dtype) for shape in ((9, 5), (5, 3), 3))
    expected, out = np.empty((9, 3)), np.empty((9, 3), dtype)
    unit = find_activation(activation)
    reference.dense_forward(A.astype(float), W.astype(float), b.astype(float), unit.code, unit.slope, expected)
    assert fastnn.backend.dense_forward(A, W, b, activation, out=out) is out
    assert_close(out, expected, dtype, "g(A W + b)")
    assert out.tobytes() == fastnn.backend.dense_forward(A, W, b, activation).tobytes()


def test_bad_input_of_a_layer():
    A, W, b = np.ones((4, 3)), np.ones((3, 3)), np.ones(3)
    for arguments, options, error, message in (
        (([[1.0]], W, b), {}, TypeError, "A must be an array of float32 or float64; got list"),
        ((A.astype(int), W, b), {}, TypeError, "A must be an array of float32 or float64; got an array of int64"),
        ((A[0], W, b), {}, ValueError, r"A must be a matrix that is not empty; got shape \(3,\)"),
        ((A[:0], W, b), {}, ValueError, r"A must be a matrix that is not empty; got shape \(0, 3\)"),
        ((A.T, W, b), {}, ValueError, r"A must have shape \(3, 4\), in C order; got shape \(3, 4\), not in C order"),
        ((A, b, b), {}, ValueError, r"W must be a matrix that is not empty; got shape \(3,\)"),
        ((A, [[1.0]] * 3, b), {}, TypeError, "W must be an array of float64; got list"),
        ((A, W[:2], b), {}, ValueError, r"W must have shape \(3, 3\), in C order; got shape \(2, 3\)"),
        ((A, W.astype("float32"), b), {}, TypeError, "W must be an array of float64; got an array of float32"),
        ((A, W, b[:2]), {}, ValueError, r"b must have shape \(3,\)"),
        ((A, W, b, "softmax"), {}, ValueError, "activation='softmax' is unknown"),
        ((A, W, b), {"out": np.ones((4, 2))}, ValueError, r"out must have shape \(4, 3\)"),
        ((A, W, b), {"out": A}, ValueError, "out must not share memory with A"),
    ):
        with pytest.raises(error, match=message):
            fastnn.backend.dense_forward(*arguments, **options)


# ---- arrays of other tools


class WithDLPack:
    """An array of another tool, which gives its memory away by DLPack alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class WithInterface:
    """One that has NumPy's array interface alone."""

    def __init__(self, array):
        self.array = array
        self.__array_interface__ = array.__array_interface__


class OnGpu(WithDLPack):
    def __dlpack__(self, **options):
        raise BufferError("not on this device")


@pytest.mark.parametrize("foreign", [WithDLPack, WithInterface])
def test_arrays_of_other_tools_are_read_where_they_lie(backend, foreign):
    net, X, y = small()
    X_foreign, y_foreign = foreign(X), foreign(y)
    assert np.shares_memory(as_array("X", X_foreign), X)
    prepared = fastnn.backend.prepare(net, rows=4)
    assert (prepared.forward(X_foreign) == prepared.forward(X)).all()
    J, gradient = prepared.loss_and_gradient(X_foreign, y_foreign)
    J_expected, expected = prepared.loss_and_gradient(X, y)
    assert (J, gradient.tobytes()) == (J_expected, expected.tobytes())
    assert prepared.step(X_foreign, y_foreign) == J
    for call in (fastnn.backend.per_sample_gradients, fastnn.backend.input_gradient):
        assert call(net, X_foreign, y_foreign).tobytes() == call(net, X, y).tobytes()
    theta = net.parameters.copy()
    J, _ = fastnn.backend.objective(net, X_foreign, y_foreign)(theta)
    assert fastnn.backend.objective(net, X, y)(theta)[0] == J
    W, b = net.weights[0], net.biases[0]
    layer = fastnn.backend.dense_forward(X_foreign, foreign(W), foreign(b))
    assert (layer == fastnn.backend.dense_forward(X, W, b)).all()


@pytest.mark.parametrize("foreign", [WithDLPack, WithInterface])
def test_arrays_of_other_tools_are_written_where_they_lie(backend, foreign):
    net, X, y = small()
    prepared, out, gradient = fastnn.backend.prepare(net, rows=4), np.zeros((4, 3), "float32"), np.zeros(135, "float32")
    if not as_array("out", foreign(out)).flags.writeable:
        pytest.skip("this NumPy takes what comes by DLPack as read-only")
    given = foreign(out)
    assert prepared.forward(X, out=given) is given
    assert (out == prepared.forward(X)).all()
    prepared.loss_and_gradient(X, y, out=foreign(gradient))
    assert (gradient == prepared.loss_and_gradient(X, y)[1]).all()
    gradients = np.zeros((4, 135), "float32")
    fastnn.backend.per_sample_gradients(net, X, y, out=foreign(gradients))
    assert (gradients == fastnn.backend.per_sample_gradients(net, X, y)).all()


def test_tensors_of_pytorch(backend):
    torch = pytest.importorskip("torch")
    net, X, y = small()
    prepared, expected = fastnn.backend.prepare(net, rows=4), fastnn.backend.prepare(net, rows=4).forward(X)
    X_torch, y_torch, out = torch.from_numpy(X), torch.from_numpy(y), torch.zeros(4, 3)
    assert as_array("X", X_torch).ctypes.data == X_torch.data_ptr()
    assert prepared.forward(X_torch, out=out) is out
    assert (out.numpy() == expected).all()
    assert prepared.loss_and_gradient(X_torch, y_torch)[0] == prepared.loss_and_gradient(X, y)[0]
    assert (fastnn.backend.input_gradient(net, X_torch, y_torch) == fastnn.backend.input_gradient(net, X, y)).all()
    with pytest.raises(TypeError, match=r"X cannot be read as a NumPy array by DLPack: .*detach"):
        prepared.forward(X_torch.clone().requires_grad_())
    with pytest.raises(TypeError, match="X must be an array of float32; got an array of float64"):
        prepared.forward(X_torch.double())


def test_arrays_that_cannot_be_read():
    net, X, y = small()
    prepared, X_foreign = fastnn.backend.prepare(net, rows=4), OnGpu(X)
    for call in (
        lambda: prepared.forward(X_foreign),
        lambda: prepared.step(X_foreign, y),
        lambda: fastnn.backend.per_sample_gradients(net, X_foreign, y),
        lambda: fastnn.backend.objective(net, X_foreign, y),
    ):
        with pytest.raises(TypeError, match="X cannot be read as a NumPy array by DLPack: not on this device"):
            call()


# ---- copies, and the page


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda kept: pickle.loads(pickle.dumps(kept))])
def test_a_copy_of_a_prepared_network(backend, copied):
    net, X, y = small()
    prepared = fastnn.backend.prepare(net, rows=4, optimizer=fastnn.SGD(0.1, momentum=0.9))
    other = copied(prepared)
    assert other.step(X, y) == prepared.step(X, y)
    assert other.forward(X).tobytes() == prepared.forward(X).tobytes()
    other.step(X, y)
    assert other.forward(X).tobytes() != prepared.forward(X).tobytes(), "its network is its own"


def blocks():
    """Yield the page's pieces of Python, each by the title above it."""
    for part in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE) if PAGE.exists() else ():
        title = part.partition("\n")[0]
        for block in re.findall(r"^```python\n(.*?)^```", part, re.MULTILINE | re.DOTALL):
            yield pytest.param(block, id=title)


@pytest.mark.parametrize("block", list(blocks()))
def test_the_python_of_the_page_runs(block):
    for module in re.findall(r"^(?:from|import) (\w+)", block, re.MULTILINE):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    fastnn.set_backend("auto")
    exec(compile(block, str(PAGE), "exec"), {})
