"""Activations and losses of one's own: values and gradients on every backend, and what networks that have them keep."""

from __future__ import annotations

import copy
import functools
import gc
import json
import math
import operator
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import Case, assert_close
from test_backends import DTYPES, NO_ORDER, OPTIMIZERS, WAYS, assert_same_epoch, assert_same_gradient, run_epoch

import fastnn
from fastnn import own_functions
from fastnn._equations import derivative
from fastnn._equations.formula import Formula
from fastnn._equations.operations import Operation
from fastnn._kernels import programs, reference
from fastnn.architecture import Architecture
from fastnn.data import as_data


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# The function that is traced, and g and g' by hand.
FUNCTIONS = {
    "silu": (
        lambda z: z / (1 + np.exp(-z)), lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * (1 - sigmoid(z))),
    ),
    "mish": (
        lambda z: z * np.tanh(np.logaddexp(0, z)),
        lambda z: z * np.tanh(np.log1p(np.exp(z))),
        lambda z: np.tanh(np.log1p(np.exp(z))) + z * sigmoid(z) / np.cosh(np.log1p(np.exp(z))) ** 2,
    ),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(z)), lambda z: np.where(z > 0, z, np.exp(z) - 1),
        lambda z: np.where(z > 0, 1, np.exp(z)),
    ),
    "bell": (lambda z: np.exp(-(z**2)), lambda z: np.exp(-z * z), lambda z: -2 * z * np.exp(-z * z)),
    "bent": (
        lambda z: np.sqrt(np.square(z) + 1) * 0.5 + z, lambda z: np.sqrt(z * z + 1) / 2 + z,
        lambda z: z / (2 * np.sqrt(z * z + 1)) + 1,
    ),
    "hard": (
        lambda z: np.clip(z, -1, 1) * np.minimum(2.0, z) - (np.abs(z) >= 1.5),
        lambda z: np.clip(z, -1, 1) * np.minimum(2, z) - (np.abs(z) >= 1.5),
        lambda z: (np.abs(z) < 1) * np.minimum(2, z) + np.clip(z, -1, 1) * (z < 2),
    ),
    "inverse": (lambda z: (1 + z * z) ** -2, lambda z: 1 / (1 + z * z) ** 2, lambda z: -4 * z / (1 + z * z) ** 3),
    "signed": (
        lambda z: np.sign(z) * np.log1p(np.fabs(z)), lambda z: np.sign(z) * np.log(1 + np.abs(z)),
        lambda z: 1 / (1 + np.abs(z)),
    ),
    "both": (
        lambda z: np.where((z > -1) & ~(z > 1) | (z < -2), z * 3, -z),
        lambda z: np.where(((z > -1) & (z <= 1)) | (z < -2), 3 * z, -z),
        lambda z: np.where(((z > -1) & (z <= 1)) | (z < -2), 3, -1),
    ),
}  # fmt: skip
FUNCTIONS["truth"] = (
    lambda z: np.where(z, z * 2, 1) + np.logical_and(z, z > -1) - np.logical_not(np.logical_or(z < 0, z != z)),
    lambda z: np.where(z != 0, 2 * z, 1) + ((z != 0) & (z > -1)) - (z >= 0),
    lambda z: np.where(z != 0, 2.0, 0),
)
LOSSES = {  # the same, of z and y
    "huber": (
        lambda z, y: np.where(np.abs(z - y) <= 1, 0.5 * (z - y) ** 2, np.abs(z - y) - 0.5),
        lambda z, y: np.where(np.abs(z - y) <= 1, (z - y) ** 2 / 2, np.abs(z - y) - 0.5),
        lambda z, y: np.clip(z - y, -1, 1),
    ),
    "log_cosh": (
        lambda z, y: np.logaddexp(z - y, y - z) - math.log(2), lambda z, y: np.log(np.cosh(z - y)),
        lambda z, y: np.tanh(z - y),
    ),
    "logistic": (
        lambda z, y: np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z))),
        lambda z, y: np.log(1 + np.exp(z)) - z * y, lambda z, y: sigmoid(z) - y,
    ),
}  # fmt: skip
ACTIVATIONS = {name: fastnn.activation_from(value, name=f"own {name}") for name, (value, *_) in FUNCTIONS.items()}
OWN_LOSSES = {name: fastnn.loss_from(value, name=f"own {name}") for name, (value, *_) in LOSSES.items()}
NETS = {  # sizes, hidden activations, loss, samples
    "1-1-1": ((1, 1, 1), ("silu",), "squared_error", 1),
    "3-2": ((3, 2), (), "huber", 3),
    "5-6-1": ((5, 6, 1), ("mish",), "huber", 23),
    "16-17-10": ((16, 17, 10), ("elu",), "softmax_cross_entropy", 100),
    "7-10-15-33-3": ((7, 10, 15, 33, 3), ("bell", "tanh", "bent"), "log_cosh", 33),
    "10-1-16-2-7": ((10, 1, 16, 2, 7), ("hard", "inverse", "signed"), "logistic", 16),
    "33-100-1": ((33, 100, 1), ("relu",), "log_cosh", 17),
}


def own_case(sizes, activations, loss, m, dtype, seed=0):
    """Return a network with random weights and biases, and m random samples."""
    rng = np.random.default_rng(seed)
    given = [ACTIVATIONS.get(name, name) for name in activations]
    net = fastnn.Network(sizes, given, OWN_LOSSES.get(loss, loss), dtype, rng)
    for b in net.biases:
        b[:] = rng.normal(size=b.shape) / 2
    y = rng.integers(0, sizes[-1], m) if loss == "softmax_cross_entropy" else rng.normal(size=(m, sizes[-1]))
    data = as_data(rng.normal(size=(m, sizes[0])).astype(dtype), y, net.architecture)
    return Case(sizes, list(activations), loss, net.architecture.model, net.parameters, data)


# ---- values


@pytest.mark.parametrize("name", FUNCTIONS)
def test_g_and_its_derivative_are_those_by_hand(name):
    _, value, slope = FUNCTIONS[name]
    Z = np.linspace(-5, 5, 401)[:, None] + 0.003
    activation = ACTIVATIONS[name].code
    np.testing.assert_allclose(reference.activate(activation, 0, Z), value(Z), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(reference.derivative(activation, 0, Z, Z), slope(Z), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_derivative_are_those_by_hand(backend, name):
    """Of a network without a hidden layer: dJ/db is the mean of the derivatives."""
    _, value, slope = LOSSES[name]
    net = fastnn.Network((2, 3), loss=OWN_LOSSES[name], dtype="float64", rng=0)
    X, y = np.random.default_rng(0).normal(size=(2, 60, 3))
    X = np.ascontiguousarray(X[:, :2])
    z = net.forward(X)
    J, gradient = net.loss_and_gradient(X, y)
    assert pytest.approx(value(z, y).sum(axis=1).mean(), rel=1e-12) == J
    np.testing.assert_allclose(gradient[-3:], slope(z, y).mean(axis=0), rtol=1e-11)
    assert net.loss(X, y) == pytest.approx(J, rel=1e-14)
    assert net.score(X, y) == pytest.approx(-J, rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_of_every_size(compiled, name, dtype):
    """Near and far, at 0, of a NaN: within 8 roundings of z and g(z); lengths around those of vectors and blocks."""
    real = np.finfo(dtype)
    for m in (1, 3, 511, 512, 513, 2100):
        Z = np.linspace(-30, 30, m).astype(dtype)[:, None]
        Z[: min(m, 6), 0] = [0, np.nan, -1000, 1000, 1e-30, -1e-3][:m]
        out, one = np.full_like(Z, -7), np.ones((1, 1), dtype)
        compiled.dense_forward(Z, one, np.zeros(1, dtype), ACTIVATIONS[name].code, 0.0, out)
        expected = reference.activate(ACTIVATIONS[name].code, 0.0, Z.astype(float))
        with np.errstate(over="ignore"):
            rounded = expected.astype(dtype)
        assert (np.isnan(out) == np.isnan(rounded)).all()
        defined = np.isfinite(rounded)
        np.testing.assert_array_equal(out[~defined], rounded[~defined])
        slope = reference.derivative(ACTIVATIONS[name].code, 0.0, Z.astype(float), Z.astype(float))
        size = (np.abs(expected) + np.abs(Z * slope))[defined]
        assert (np.abs(out[defined] - expected[defined]) <= 8 * (real.eps * size + real.tiny)).all(), m


@pytest.mark.parametrize(
    ("function", "z", "slope"),
    [
        (lambda z: np.maximum(0, z), 0, 0),
        (lambda z: np.maximum(z, 0), 0, 0),
        (lambda z: z - np.minimum(0, z), 0, 1),
        (np.abs, 0, 0),
        (lambda z: z / (1 + np.exp(-z)), -1000, 0),
        (lambda z: 1 / (1 + np.exp(-z)) ** 2, -1000, 0),
        (lambda z: z * np.tanh(np.log1p(np.exp(z))), 1000, 1),
        (lambda z: np.logaddexp(z, 0), 0, 0.5),
        (lambda z: np.maximum(z, 0.0142), 0.01, 0),  # a kink beside a point where differences are taken
        (lambda z: np.where(z > 0.2641, z, 3), 0, 0),
    ],
)
def test_derivatives_at_kinks_and_where_a_part_overflows(function, z, slope):
    code = fastnn.activation_from(function).code
    for dtype in DTYPES:
        Z = np.array([[z]], dtype)
        assert reference.derivative(code, 0.0, Z, Z) == slope


def test_results_of_a_program_are_never_its_inputs():
    """They are stored one after the other, and may be stored where inputs are."""
    words = programs.program(Formula(2, (), (0, 1))).tolist()
    registers, constants, steps, *results = words[:5]
    assert (registers, constants, steps) == (3, 1, 2)
    assert sorted(results) == [programs.FIRST_REGISTER + 1, programs.FIRST_REGISTER + 2]


# ---- networks


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETS)
def test_each_net_in_each_mode(compiled, name, dtype):
    sizes, activations, loss, m = NETS[name]
    case = own_case(sizes, activations, loss, m, dtype)
    out, oracle = np.empty((m, sizes[-1]), dtype), case.doubled()
    expected = np.empty((m, sizes[-1]))
    compiled.forward(case.model, case.parameters, case.data.X, out)
    reference.forward(oracle.model, oracle.parameters, oracle.data.X, expected)
    assert_close(out, expected, dtype, "outputs", slack=3)
    assert_same_gradient(compiled, case, 0.5, slack=10)
    for batch_size in (None, 1, 7, m):
        for optimizer in (fastnn.SGD(0.02), OPTIMIZERS["adamw"]):
            fresh = own_case(sizes, activations, loss, m, dtype)
            assert_same_epoch(compiled, fresh, NO_ORDER, batch_size, optimizer, l2=0.01, slack=20)


@pytest.mark.parametrize("way", WAYS)
def test_layers_and_samples_divided_in_each_way(compiled, costs, way):
    """Rows, units and windows that threads share."""
    costs(**vars(WAYS[way][0]))
    order = np.random.default_rng(0).permutation(41)
    for threads in (1, 2):
        fastnn.set_num_threads(threads)
        case = own_case((33, 37, 20, 3), ("silu", "elu"), "huber", 41, "float64")
        assert_same_gradient(compiled, case, 0.1, slack=10)
        assert_same_epoch(compiled, case, order, 12, fastnn.SGD(0.01), slack=10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_change_no_bit(compiled, costs, dtype):
    costs(operations_per_step=1.0, operations_per_call=1.0)
    found = []
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        case = own_case((20, 100, 37, 5), ("mish", "hard"), "log_cosh", 501, dtype)
        results = []
        for batch_size in (None, 100, 501):
            results += run_epoch(compiled, case, NO_ORDER, batch_size, OPTIMIZERS["momentum"])
        found.append(b"".join(array.tobytes() for array in results))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_as_what_is_built_in(backend, dtype):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 6)), rng.normal(size=(50, 2))
    pairs = {
        "tanh": np.tanh,
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "relu": lambda z: np.maximum(0, z),
        "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    }
    squared = fastnn.loss_from(lambda z, y: (z - y) ** 2 / 2)
    for name, function in pairs.items():
        known = fastnn.Network((6, 19, 4, 2), name, "squared_error", dtype, rng=3)
        own = fastnn.Network((6, 19, 4, 2), fastnn.activation_from(function), squared, dtype, rng=3)
        np.testing.assert_array_equal(own.parameters, known.parameters)  # drawn alike: He's for rectifiers
        histories = [net.fit(X, y, optimizer="sgd", learning_rate=0.02, batch_size=8, epochs=2) for net in (known, own)]
        assert_close(own.parameters, known.parameters, dtype, name)
        assert_close(histories[1].loss, histories[0].loss, dtype, name)


@pytest.mark.parametrize("shared", [False, True])
def test_with_dropout_weights_and_other_layers(backend, costs, shared):
    """The same masks and weights as with what is built in, also where threads share a tile's units."""
    if shared:
        costs(**vars(WAYS["units"][0]))
        fastnn.set_num_threads(2)
    rng = np.random.default_rng(0)
    X, y, weights = rng.normal(size=(60, 8)), rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    silu, huber = ACTIVATIONS["silu"], OWN_LOSSES["huber"]
    known, own = (
        fastnn.Network((8, 37, 20, 3), [activation, "tanh"], loss, "float64", rng=5, dropout=[0.4, 0.2])
        for activation, loss in (("silu", "huber"), (silu, huber))
    )
    for net in (known, own):
        net.fit(X, y, batch_size=16, epochs=3, sample_weight=weights)
    assert_close(own.parameters, known.parameters, "float64", "parameters", slack=10)
    assert own.loss(X, y, sample_weight=weights) == pytest.approx(known.loss(X, y, sample_weight=weights), rel=1e-9)
    assert own.score(X, y, sample_weight=weights) == pytest.approx(-own.loss(X, y, sample_weight=weights), rel=1e-9)


def test_prepared_calls(backend):
    if backend == "numpy":
        pytest.skip("prepared calls are for compiled kernels")
    net = fastnn.Network((4, 5, 2), ACTIVATIONS["silu"], OWN_LOSSES["huber"], rng=0)
    X, y = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    prepared = fastnn.backend.prepare(net, rows=3)
    gc.collect()  # programs and compiled functions stay
    np.testing.assert_array_equal(prepared.forward(X), net.forward(X))
    J, gradient = net.loss_and_gradient(X, y[:, :2])
    J_prepared, gradient_prepared = prepared.loss_and_gradient(X, np.ascontiguousarray(y[:, :2]))
    assert J_prepared == J
    np.testing.assert_array_equal(gradient, gradient_prepared)


def test_threads_that_meet_a_function_at_once(backend):
    """It is made into code once, whichever thread comes first."""
    X, y = np.random.default_rng(0).normal(size=(2, 20, 2))
    networks = [
        fastnn.Network((2, 3, 2), fastnn.activation_from(lambda z: np.tanh(z) + 0.375 * z), "squared_error", rng=0)
        for _ in range(4)
    ]
    with ThreadPoolExecutor(4) as threads:
        losses = list(threads.map(lambda net: net.fit(X, y, epochs=2).loss, networks))
    assert all(loss == losses[0] for loss in losses)


# ---- what is kept


def trained(dtype="float32"):
    net = fastnn.Network((4, 9, 5, 2), [ACTIVATIONS["mish"], "tanh"], OWN_LOSSES["log_cosh"], dtype, rng=1)
    X, y = np.random.default_rng(0).normal(size=(2, 40, 4))
    y = np.ascontiguousarray(y[:, :2])
    net.fit(X, y, batch_size=7, epochs=2)
    return net, X, y


def through_a_file(net, tmp_path):
    pytest.importorskip("safetensors")
    net.save(tmp_path / "net.safetensors")
    return fastnn.load(tmp_path / "net.safetensors")


WAYS_TO_COPY = {
    "file": through_a_file,
    "pickle": lambda net, _: pickle.loads(pickle.dumps(net)),
    "copy": lambda net, _: copy.deepcopy(net),
}


@pytest.mark.parametrize("way", WAYS_TO_COPY)
def test_a_copy_predicts_and_trains_on_to_the_same_bits(backend, way, tmp_path):
    net, X, y = trained()
    other = WAYS_TO_COPY[way](net, tmp_path)
    assert repr(other) == repr(net)
    assert (other.activations, other.architecture.loss) == (net.activations, net.architecture.loss)
    np.testing.assert_array_equal(other.predict(X), net.predict(X))
    histories = [one.fit(X, y, batch_size=7, epochs=2, validation_data=(X, y)) for one in (net, copy.deepcopy(net))]
    if way != "copy":  # copies share their generator, files and pickles have their own
        histories[1] = other.fit(X, y, batch_size=7, epochs=2, validation_data=(X, y))
        assert histories[0].loss == histories[1].loss
        np.testing.assert_array_equal(other.parameters, net.parameters)
    assert_close(histories[0].validation_score, np.negative(histories[0].validation_loss), "float32", "score")


def test_the_description_is_of_names_and_numbers_alone():
    net, *_ = trained()
    about = json.loads(json.dumps(net.architecture.describe()))
    assert about["activations"][0] == {
        "name": "own mish", "slope": 0.0,
        "formula": {
            "inputs": 1, "results": [4],
            "steps": [["constant", "0.0"], ["logaddexp", 1, 0], ["tanh", 2], ["multiply", 0, 3]],
        },
    }  # fmt: skip
    assert Architecture.from_description(about).model == net.architecture.model


@pytest.mark.parametrize(
    "change",
    [
        {"steps": [["sin", 0]], "results": [1]},
        {"steps": [["exp", 1]], "results": [1]},
        {"steps": [["exp", -1]], "results": [1]},
        {"steps": [["exp", 0.0]], "results": [1]},
        {"steps": [["add", 0]], "results": [1]},
        {"steps": [["exp", 0, 0]], "results": [1]},
        {"steps": [["constant", "one"]], "results": [1]},
        {"steps": [["exp", 0]], "results": [2]},
        {"steps": [["exp", 0]], "results": [1, 0]},
        {"steps": [["exp", 0]], "results": []},
        {"inputs": 2, "steps": [["exp", 0]], "results": [2]},
        {"inputs": 3, "steps": [], "results": [0]},
        {"steps": [["exp", 0]] * 2501, "results": [1]},
    ],
    ids=str,
)
def test_a_damaged_formula_is_refused(change):
    about = {"name": "own", "slope": 0.0, "formula": {"inputs": 1, **change}}
    with pytest.raises(ValueError, match=r"formula|value|result|operation|convert"):
        own_functions.described_activation(about)


def test_equal_functions_are_one_formula():
    """So what is compiled for one serves the other; a constant's sign counts."""
    one, other = (fastnn.activation_from(lambda z: z * np.tanh(z) + 0.0 * z).code for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != fastnn.activation_from(lambda z: z * np.tanh(z) + -0.0 * z).code
    assert pickle.loads(pickle.dumps(one)) == one


# ---- bad functions

UNTRACEABLE = {
    "a branch": (lambda z: z if z > 0 else 0 * z, "branch"),
    "max": (lambda z: max(z, 0), "branch"),
    "math": (lambda z: math.exp(z), "math"),
    "sin": (np.sin, "uses sin, which is none of"),
    "np.sum": (lambda z: z / np.sum(z), "uses sum"),
    "reduce": (lambda z: z - np.add.reduce(z), "add.reduce"),
    "a method": (lambda z: z - z.mean(), ".mean"),
    "a shape": (lambda z: z * z.shape[0], ".shape"),
    "an index": (lambda z: z[0], r"index, \[0\]"),
    "an assignment": (lambda z: z.__setitem__(0, 1), "assignment"),
    "a loop": (lambda z: sum(z), "loop"),
    "len": (lambda z: z / len(z), "len"),
    "round": (lambda z: round(z) + z, r"round\(\)"),
    "in place": (lambda z: operator.iadd(z, 1), "np.add with out"),
    "asarray": (lambda z: np.asarray(z), "asarray"),
    "an array": (lambda z: z * np.arange(3), r"shape \(3,\)"),
    "a product of matrices": (lambda z: z @ z, "matmul"),
    "out": (lambda z: np.exp(z, out=z), "np.exp with out"),
    "where alone": (lambda z: np.where(z > 0), "np.where of a condition alone"),
    "a power": (lambda z: np.abs(z) ** 2.5, "power by 2.5"),
    "a power of two": (lambda z: 2**z, "power by what is computed"),
    "a high power": (lambda z: z**65, "power by 65"),
    "not of a number": (lambda z: ~z, "conditions"),
    "and of numbers": (lambda z: z & z, "conditions"),
    "a text": (lambda z: z * "2", "'2'"),
    "a complex number": (lambda z: z * 1j, "1j"),
    "a constant": (lambda z: 1.0, "computed of z"),
    "nothing": (lambda z: None, "computed of z"),
    "no z": (lambda z: z**0 + 1, "computed of z"),
    "no end": (lambda z: functools.reduce(lambda x, k: np.tanh(x), range(300), z), "more than 250 operations"),
}


@pytest.mark.parametrize("what", UNTRACEABLE)
def test_what_cannot_be_traced_is_named(what):
    function, message = UNTRACEABLE[what]
    with pytest.raises(TypeError, match=f"activation_from: the function of z .*{message}"):
        fastnn.activation_from(function)


def test_an_error_of_the_function_itself_is_its_own():
    with pytest.raises(ZeroDivisionError):
        fastnn.activation_from(lambda z: z / (1 // 0))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z: z / np.expm1(z), "finite at z = 0"),
        (lambda z: np.sqrt(np.abs(z)) * z / z, "finite at z = 0"),
        (np.log, "finite at z = 0"),
        (lambda z: np.log(z + 2), "value in float32 is nan at z = -7"),
        (lambda z: np.tanh(np.exp(z) * np.exp(z)), "derivative in float32 is nan at z = 85"),
        (lambda z: np.where(z > 0.3, 1, -1) + 0 * np.sign(z), "derivative is 0 everywhere"),
        (lambda z: sum((np.tanh(z + k / 7) * np.exp(z - k / 3) for k in range(30)), z), "at most 64 values"),
        (lambda z: functools.reduce(lambda x, k: np.logaddexp(x, x - k), range(80), z), "at most 64 values"),
    ],
)
def test_functions_that_no_network_can_use(function, message):
    with pytest.raises(ValueError, match=message):
        fastnn.activation_from(function)


def test_a_safe_version_of_what_is_none_at_zero(backend):
    safe = fastnn.activation_from(lambda z: np.where(z == 0, 1, z / np.expm1(np.where(z == 0, 1, z))))
    net = fastnn.Network((2, 3, 2), safe, "squared_error", rng=0)
    X, y = np.random.default_rng(0).normal(size=(2, 20, 2))
    assert np.isfinite(net.fit(X, y, epochs=2).loss).all()


def test_losses_that_no_network_can_use():
    with pytest.raises(ValueError, match=r"nan at z = -0.25, whatever y"):
        fastnn.loss_from(lambda z, y: z - y * np.log(z))
    with pytest.raises(ValueError, match="derivative is 0 everywhere"):
        fastnn.loss_from(lambda z, y: (z > 0) * y)
    with pytest.raises(TypeError, match="loss_from: the function of z and y must return what it computed of z"):
        fastnn.loss_from(lambda z, y: y * y)
    with pytest.raises(TypeError, match="uses mean"):
        fastnn.loss_from(lambda z, y: np.mean((z - y) ** 2))
    fastnn.loss_from(lambda z, y: np.exp(z) - z * y + np.log(y))  # none of some y: those targets are the user's matter


def test_a_wrong_derivative_is_found(monkeypatch):
    rule = derivative._RULES[Operation.TANH]
    monkeypatch.setitem(derivative._RULES, Operation.TANH, lambda b, r, x, dx: b.times(rule(b, r, x, dx), r))
    derivative.with_derivative.cache_clear()
    with pytest.raises(ValueError, match=r"the derivative at z = -5.98\d* is .*differences of its values give"):
        fastnn.activation_from(lambda z: np.tanh(z) + 1.5 * z)
    derivative.with_derivative.cache_clear()


def test_every_operation_has_a_derivative_that_differences_confirm():
    """Those of kinks where they are smooth; `finite` is of derivatives alone."""
    functions = [
        np.exp, np.expm1, np.tanh, np.abs, lambda z: np.log1p(z * z), lambda z: np.log(z * z + 1),
        lambda z: z / (1 + z * z), lambda z: z - (z == 3) * z,
        lambda z: np.sqrt(z * z + 1), lambda z: np.logaddexp(z, 2 * z - 1), lambda z: np.maximum(z, np.exp(z) - 2),
        lambda z: np.minimum(z * z, 2 - z), lambda z: np.where(z <= np.exp(z) - 2, z * z, z - 1),
    ]  # fmt: skip
    used = set()
    for function in functions:
        used |= {step.operation for step in fastnn.activation_from(function).code.steps}
    assert set(Operation) == used


@pytest.mark.parametrize("maker", [fastnn.activation_from, fastnn.loss_from])
def test_names(maker):
    with pytest.raises(TypeError, match=rf"{maker.__name__} takes a function of z.*; got 'relu'"):
        maker("relu")

    def bump(z, *y):
        return np.exp(-z * z)

    assert maker(bump).name == "bump"
    assert maker(lambda z, *y: np.exp(z)).name == "own"
    taken = "tanh" if maker is fastnn.activation_from else "squared_error"
    with pytest.raises(ValueError, match=f"name='{taken}' is the name of one of fastnn's own"):
        maker(bump, name=taken)
    with pytest.raises(TypeError, match="name must be a text; got 3"):
        maker(bump, name=3)


def test_targets_and_kinds_of_predictions():
    net, X, y = trained()
    with pytest.raises(ValueError, match="y must"):
        net.fit(X, y[:, 0])
    with pytest.raises(ValueError, match="this network's loss is 'own log_cosh'"):
        net.predict_proba(X)
    np.testing.assert_array_equal(net.predict(X), net.forward(X))


def test_a_long_text_is_cut():
    activation = fastnn.activation_from(lambda z: (np.tanh(z) + 1) ** 17 + np.expm1(z))
    assert len(activation.equation) < 500
    assert isinstance(activation.code, Formula)
