"""Numba and Cython against the reference, and one thread against several.

The kernels are called as the contract says. The oracle is the reference in float64 on the same numbers, so that float32
kernels are not compared with another float32 rounding.
"""

from __future__ import annotations

import inspect
import platform

import numpy as np
import pytest
from conftest import ACTIVATIONS, ALL_LOSSES, FROM_OUTPUT, assert_close, kernel_optimizer, make_case
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_division import paths

import fastnn
from fastnn._kernels import contract, division, reference

DTYPES = ("float32", "float64")
NO_ORDER = np.empty(0, dtype=np.int64)
# Large steps, so that a wrong term shows; epsilons that do not blow float32's rounding of tiny gradients up.
OPTIMIZERS = {
    "sgd": fastnn.SGD(0.5),
    "momentum": fastnn.SGD(0.2, momentum=0.9),
    "nesterov": fastnn.SGD(0.2, momentum=0.9, nesterov=True),
    "rmsprop": fastnn.RMSprop(0.02, rho=0.8, epsilon=1e-2),
    "adam": fastnn.Adam(0.02, beta1=0.8, beta2=0.95, epsilon=1e-2),
    "adamw": fastnn.AdamW(0.05, epsilon=1e-2, weight_decay=0.5, epsilon_hat=True),
}
NETS = {  # sizes, hidden activations, loss, samples, labels for a sigmoid output
    "1-1": ((1, 1), (), "squared_error", 1, False),
    "2-3-1": ((2, 3, 1), ("relu",), "sigmoid_cross_entropy", 2, False),
    "5-6-1": ((5, 6, 1), ("sigmoid",), "sigmoid_cross_entropy", 23, True),
    "3-2": ((3, 2), (), "softmax_cross_entropy", 3, False),
    "7-10-15-2": ((7, 10, 15, 2), ("tanh", "leaky_relu"), "softmax_cross_entropy", 33, False),
    "16-17-10": ((16, 17, 10), ("sigmoid",), "softmax_cross_entropy", 100, False),
    "33-100-3": ((33, 100, 3), ("relu",), "sigmoid_cross_entropy", 17, False),
    "100-33-16-7": ((100, 33, 16, 7), ("identity", "tanh"), "squared_error", 15, False),
    "10-1-16-2-7": ((10, 1, 16, 2, 7), ("sigmoid", "leaky_relu", "tanh"), "sigmoid_cross_entropy", 16, True),
    "17-16-1": ((17, 16, 1), ("tanh",), "squared_error", 10, False),
    "15-7-33": ((15, 7, 33), ("leaky_relu",), "softmax_cross_entropy", 7, False),
    "5-9-1 absolute": ((5, 9, 1), ("elu",), "absolute_error", 19, False),
    "6-17-5-4 huber": ((6, 17, 5, 4), ("silu", "selu"), "huber, masked", 21, False),
    "8-5-3 quantiles": ((8, 5, 3), ("mish",), "quantiles, masked", 24, False),
    "4-20-16 quantile": ((4, 20, 16), ("elu",), "quantile 0.7", 12, False),
    "7-8-1 poisson": ((7, 8, 1), ("selu",), "poisson, softplus", 18, False),
    "7-3 poisson": ((7, 3), (), "poisson, masked", 18, False),
    "6-7-5 poisson": ((6, 7, 5), ("tanh",), "poisson, softplus", 11, False),
    "9-8-1 hinge": ((9, 8, 1), ("softplus",), "hinge", 20, True),
    "9-8-4 hinge": ((9, 8, 4), ("sigmoid",), "hinge", 20, True),
    "5-6-1 masked": ((5, 6, 1), ("tanh",), "squared, masked", 25, False),
    "5-6-1 smoothed": ((5, 6, 1), ("elu",), "sigmoid, smoothed", 25, True),
    "5-6-3 smoothed": ((5, 6, 3), ("selu",), "sigmoid, smoothed", 25, False),
    "5-20-37 smoothed": ((5, 20, 37), ("tanh",), "softmax, smoothed", 22, False),
}


def net_case(name, dtype):
    sizes, activations, loss, m, labelled = NETS[name]
    return make_case(sizes, activations, loss, m, dtype, seed=len(name), labelled=labelled)


def run_epoch(kernels, case, order, batch_size, optimizer, l2=0.0):
    """Run one epoch in place, each step at another rate; return (parameters, state, steps, losses)."""
    m = len(order) or len(case.data.X)
    losses = np.full(-(-m // (batch_size or 1)), np.nan)
    rates = np.linspace(1, 0.5, len(losses)) * optimizer.learning_rate
    taken = kernel_optimizer(optimizer, case.parameters, rates, l2)
    arguments = (case.model, case.parameters, case.data, order)
    if batch_size is None:
        kernels.sgd_epoch(*arguments, taken, losses)
    else:
        kernels.minibatch_epoch(*arguments, batch_size, taken, losses)
    return case.parameters, taken.state, taken.step, losses


def assert_same_epoch(kernels, case, order, batch_size, optimizer, l2=0.0, slack=1.0):
    oracle = case.doubled()
    expected = run_epoch(reference, oracle, order, batch_size, optimizer, l2)
    found = run_epoch(kernels, case, order, batch_size, optimizer, l2)
    dtype = case.parameters.dtype
    assert found[2][0] == expected[2][0]
    assert_close(found[3], expected[3], dtype, "losses", slack)
    for layer, views in enumerate(
        zip(*(reference.layers(case.model, p) for p in (found[0], expected[0])), strict=True)
    ):
        for name, actual, wanted in zip("Wb", *views, strict=True):
            assert_close(actual, wanted, dtype, f"{name}_{layer + 1}", slack)
    assert_close(found[1], expected[1], dtype, "state", slack)


def assert_same_gradient(kernels, case, l2, slack=1.0):
    oracle, dtype = case.doubled(), case.parameters.dtype
    found, expected = np.full_like(case.parameters, np.nan), np.empty_like(oracle.parameters)
    before = case.parameters.copy()
    J = kernels.loss_and_gradient(case.model, case.parameters, case.data, l2, found)
    J_expected = reference.loss_and_gradient(oracle.model, oracle.parameters, oracle.data, l2, expected)
    assert_close(J, J_expected, dtype, "J", slack)
    for layer, views in enumerate(zip(*(reference.layers(case.model, g) for g in (found, expected)), strict=True)):
        for name, actual, wanted in zip(("dW", "db"), *views, strict=True):
            assert_close(actual, wanted, dtype, f"{name}_{layer + 1}", slack)
    np.testing.assert_array_equal(case.parameters, before)


@pytest.fixture(params=[1, 2])
def threads(request, costs):
    """Run the test on so many threads, however small the work."""
    fastnn.set_num_threads(request.param)
    costs(operations_per_step=1.0, operations_per_call=1.0)
    return request.param


# ---- the contract


@pytest.mark.parametrize(
    "name", ["dense_forward", "forward", "loss", "loss_and_gradient", "sgd_epoch", "minibatch_epoch"]
)
def test_arguments_have_the_contracts_names_and_order(compiled, name):
    expected = list(inspect.signature(getattr(reference, name)).parameters)
    assert list(inspect.signature(getattr(compiled, name)).parameters) == expected


# ---- one call each


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [*contract.Activation], ids=lambda a: a.name.lower())
def test_dense_forward(compiled, activation, dtype):
    rng = np.random.default_rng(4)
    for m, n_in, n_out in ((1, 1, 1), (2, 3, 7), (33, 10, 15), (3, 100, 16), (17, 16, 33)):
        A, W, b = (rng.normal(size=shape).astype(dtype) for shape in ((m, n_in), (n_in, n_out), (n_out,)))
        out, expected = np.full((m, n_out), np.nan, dtype), np.empty((m, n_out))
        compiled.dense_forward(A, W, b, int(activation), 0.2, out)
        reference.dense_forward(A.astype(float), W.astype(float), b.astype(float), activation, 0.2, expected)
        assert_close(out, expected, dtype, f"{m} x {n_in} x {n_out}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETS)
def test_forward_loss_and_gradient(compiled, name, dtype, threads):
    case = net_case(name, dtype)
    oracle = case.doubled()
    out = np.full((len(case.data.X), case.sizes[-1]), np.nan, dtype)
    expected = np.empty(out.shape)
    compiled.forward(case.model, case.parameters, case.data.X, out)
    reference.forward(oracle.model, oracle.parameters, oracle.data.X, expected)
    assert_close(out, expected, dtype, "forward")
    for l2 in (0.0, 0.7):
        J = compiled.loss(case.model, case.parameters, case.data, l2)
        assert_close(J, reference.loss(oracle.model, oracle.parameters, oracle.data, l2), dtype, "J")
        assert_same_gradient(compiled, case, l2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", [name for name in ALL_LOSSES if "poisson" not in name])  # whose e^z are infinite
def test_saturated_outputs(compiled, loss, dtype):
    case = make_case((7, 10, 3), "sigmoid", loss, m=17, dtype=dtype, seed=2)
    case.parameters *= 2e4
    assert_same_gradient(compiled, case, 0.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_passes_through(compiled, activation, dtype):
    case = make_case((3, 10, 17, 2), activation, m=7, dtype=dtype)
    case.data.X[4, 1] = np.nan
    out = np.zeros((7, 2), dtype)
    compiled.forward(case.model, case.parameters, case.data.X, out)
    np.testing.assert_array_equal(np.isnan(out).any(axis=1), np.arange(7) == 4)
    assert np.isnan(compiled.loss(case.model, case.parameters, case.data, 0.0))


# ---- epochs

MODES = {  # batch_size (None: sgd_epoch), order: none, all rows, a part, rows several times
    "sgd": (None, "all"),
    "sgd-in-order": (None, "none"),
    "batch-10": (10, "all"),
    "batch-7-in-order": (7, "none"),
    "batch-4-part": (4, "part"),
    "batch-100": (100, "none"),
    "batch-100-shuffled": (100, "all"),
    "full": (33, "none"),
}


def an_order(kind, m, seed=8):
    order = np.random.default_rng(seed).permutation(m)
    return {"all": order, "none": NO_ORDER, "part": order[: -(-m // 2)], "repeated": np.repeat(order, 2)[1:]}[kind]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_optimizer_in_each_mode(compiled, optimizer, mode, dtype):
    batch_size, kind = MODES[mode]
    case = make_case((3, 10, 7, 2), ("tanh", "sigmoid"), m=33, dtype=dtype, seed=6)
    assert_same_epoch(compiled, case, an_order(kind, 33), batch_size, OPTIMIZERS[optimizer], l2=0.1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETS)
def test_each_net_in_each_mode(compiled, name, dtype, costs):
    """Each pair of threads, rule and dtype comes up; other pairs from batch size to batch size."""
    costs(operations_per_step=1.0, operations_per_call=1.0)
    for i, batch_size in enumerate((None, 1, 10, 16)):
        for kind, optimizer, l2 in (("all", "sgd", 0.05), ("repeated", "adam", 0.0)):
            fastnn.set_num_threads(1 + (i + (dtype == "float64") + (optimizer == "adam")) % 2)
            case = net_case(name, dtype)
            chosen = fastnn.SGD(0.5 / max(10, case.sizes[0])) if optimizer == "sgd" else OPTIMIZERS[optimizer]
            order = an_order(kind, len(case.data.X))
            assert_same_epoch(compiled, case, order, batch_size, chosen, l2, slack=2)


def test_last_batch_with_fewer_rows_than_others_have_chunks(compiled):
    case = make_case((20, 16, 1), ("sigmoid",), "sigmoid_cross_entropy", 2002, "float64")
    assert_same_epoch(compiled, case, NO_ORDER, 2000, OPTIMIZERS["sgd"])


# Sizes, and how many layers are divided by their units: at half of these, in whole cache lines.
DIVIDED = {
    "first": ((200, 30, 5), 1),
    "first-and-second": ((150, 100, 40, 3), 2),
    "all": ((150, 100, 20), 2),
    "one-output": ((96, 150, 100, 1), 2),
    "below-a-tiny-one": ((9, 150, 100, 3), 2),
    "to-few-outputs": ((9, 600, 3), 2),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", DIVIDED)
def test_layers_divided_by_their_units(compiled, threads, name, dtype, jobs, costs):
    """A batch of one tile, and one of three, of which the last is smaller; ordered rows and rows in random order."""
    sizes, divided = DIVIDED[name]
    line = 64 // np.dtype(dtype).itemsize
    split = [n // 2 // line * line for n in sizes[:divided]] + [0] * (len(sizes) - 1 - divided)
    costs(divided_weights=1700, max_chunk_bytes=1)
    loss = "squared_error" if sizes[-1] == 1 else "softmax_cross_entropy"
    for rows in (division.Costs().shared_tile_rows, 7):
        costs(shared_tile_rows=rows)
        for order in ("none", "all"):
            case = make_case(sizes, ("tanh",) * (len(sizes) - 2), loss, 57, dtype)
            chosen = an_order(order, 57) if order == "all" else NO_ORDER
            assert_same_epoch(compiled, case, chosen, 20, OPTIMIZERS["adam"], l2=0.05)
            assert jobs[-1].plan.division.divided == divided
            assert list(jobs[-1].plan.division.split) == split


@pytest.mark.parametrize(
    "loss", ["softmax, smoothed", "sigmoid_cross_entropy", "squared_error", "quantiles, masked", "sigmoid, smoothed"]
)
@pytest.mark.parametrize("batch_size", [7, 1500])
def test_a_second_thread_copies_windows_of_samples(compiled, loss, batch_size, jobs, costs):
    costs(operations_per_call=1.0, operations_per_step=1e9)
    fastnn.set_num_threads(2)
    case = make_case((5, 4, 3), ("tanh",), loss, 2500, "float64")
    assert_same_epoch(compiled, case, an_order("repeated", 2500), batch_size, fastnn.SGD(0.05))
    assert jobs[-1].plan.division.window == -(-division.Costs().window_samples // batch_size) * batch_size


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the switch is one of x86-64")
@pytest.mark.parametrize("dtype", DTYPES)
def test_denormal_numbers_are_zeros_in_training_alone(compiled, threads, dtype):
    """A velocity that is denormal ends on every thread; what the kernels give out, and what follows, is as it was."""
    tiny = np.dtype(dtype).type(np.finfo(dtype).smallest_subnormal * 1000)
    case = make_case((400, 100, 2), m=64, dtype=dtype)
    case.data.X[:] = 0
    taken = kernel_optimizer(OPTIMIZERS["momentum"], case.parameters, np.full(2, 0.1))
    taken.state[:] = tiny
    compiled.minibatch_epoch(case.model, case.parameters, case.data, np.arange(64), 32, taken, np.empty(2))
    assert not taken.state[0, : 400 * 100].any()  # nine blocks of weights whose inputs, and so gradients, are 0
    assert np.count_nonzero(taken.state) > 100
    assert (tiny * tiny.dtype.type(0.5)).tobytes() != bytes(tiny.itemsize)  # the calling thread's switch is back
    X, W, out = (np.full(shape, value, dtype) for shape, value in (((64, 1), tiny), ((1, 1), 1), ((64, 1), np.nan)))
    compiled.dense_forward(X, W, np.zeros(1, dtype), int(contract.Activation.IDENTITY), 0.0, out)
    assert out.tobytes() == X.tobytes()


@pytest.mark.parametrize("batch_size", [None, 4])
def test_state_and_step_carry_over(compiled, batch_size):
    """Two epochs with the same optimizer are two epochs, not twice a first one; a rate of stride 0 is allowed."""
    results = []
    for kernels in (reference, compiled):
        case = make_case((3, 10, 2), m=9, dtype="float64")
        taken = kernel_optimizer(OPTIMIZERS["adam"], case.parameters, [0.05])
        losses = np.empty(9 if batch_size is None else 3)
        taken = taken._replace(rates=np.broadcast_to(np.float64(0.05), losses.shape))
        size = () if batch_size is None else (batch_size,)
        for _ in range(2):
            run = kernels.sgd_epoch if batch_size is None else kernels.minibatch_epoch
            run(case.model, case.parameters, case.data, NO_ORDER, *size, taken, losses)
        results.append((case.parameters, taken.state, taken.step, losses))
    for expected, found in zip(*results, strict=True):
        assert_close(found, expected, "float64", "after two epochs")


def test_inputs_are_left_alone(compiled):
    case = make_case((3, 10, 2), m=33, dtype="float32")
    order = an_order("all", 33)
    kept = case.data.X.copy(), case.data.labels.copy(), order.copy()
    case.data.X.flags.writeable = False
    for batch_size in (None, 10):
        run_epoch(compiled, case, order, batch_size, OPTIMIZERS["sgd"])
    for now, then in zip((case.data.X, case.data.labels, order), kept, strict=True):
        np.testing.assert_array_equal(now, then)


# ---- threads


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(20, 16, 1), (33, 100, 17, 10), (784, 128, 10)], ids=str)
def test_results_do_not_depend_on_the_threads(compiled, sizes, dtype):
    """Bit by bit, on work large enough for several threads."""
    loss = "sigmoid_cross_entropy" if sizes[-1] == 1 else "softmax_cross_entropy"
    results = []
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        case = make_case(sizes, "sigmoid", loss, m=1501, dtype=dtype, seed=1)
        out, gradient = np.empty((1501, sizes[-1]), dtype), np.empty_like(case.parameters)
        compiled.forward(case.model, case.parameters, case.data.X, out)
        J = compiled.loss_and_gradient(case.model, case.parameters, case.data, 0.5, gradient)
        values = [out, np.float64(J), np.float64(compiled.loss(case.model, case.parameters, case.data, 0.5)), gradient]
        for batch_size in (None, 100, 1501):
            values += run_epoch(compiled, case, an_order("all", 1501), batch_size, OPTIMIZERS["momentum"], 1e-3)
            values[-4] = values[-4].copy()
        results.append(values)
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            assert one.tobytes() == other.tobytes()


# ---- random architectures

# Costs as measured, and others, by which small networks are divided as large ones are; and what must be reached.
WAYS = {
    "measured": (division.Costs(), {"shared", "flipped"}),
    "chunks": (
        division.Costs(tile_rows=3, chunk_rows=5, operations_per_step=1.0, operations_per_call=1.0),
        {"chunks", "pairs", "tiles", "threads"},
    ),
    "units": (
        division.Costs(
            max_chunk_bytes=1, shared_tile_rows=6, divided_weights=100, inputs_to_a_row=1, deferred_weights=100,
            walk_weights=100, turn_weights=50, turn_units=1, operations_per_step=1.0, operations_per_call=1.0,
        ),
        {"tiles", "divided", "below undivided", "deferred", "deferred later", "turn", "several turn tasks", "threads",
         "divided walk"},
    ),
    "windows": (
        division.Costs(operations_per_step=1e9, operations_per_call=1.0, max_chunk_bytes=10**9, window_samples=8),
        {"window"},
    ),
}  # fmt: skip


# Sums of deltas that are 1 or -1 may cancel, and e^z of unbounded units grows out of float32.
GENTLE_LOSSES = [
    name for name in ALL_LOSSES if name == "poisson, softplus" or name.startswith(("softmax", "sigmoid", "squ", "hub"))
]


@st.composite
def problems(draw):
    names = draw(st.sampled_from([FROM_OUTPUT, FROM_OUTPUT, ACTIVATIONS]))
    hidden = draw(st.lists(st.tuples(st.integers(1, 70), st.sampled_from(names)), max_size=4))
    loss = draw(st.sampled_from(GENTLE_LOSSES))
    outputs = draw(st.integers(2 if loss.startswith("softmax") else 1, 18))
    sizes = (draw(st.integers(1, 34)), *(n for n, _ in hidden), outputs)
    m, dtype, seed = draw(st.integers(1, 40)), draw(st.sampled_from(DTYPES)), draw(st.integers(0, 2**32 - 1))
    case = make_case(sizes, [name for _, name in hidden], loss, m, dtype, seed, draw(st.booleans()))
    batch_size = draw(st.none() | st.integers(1, 50))
    order = an_order(draw(st.sampled_from(["all", "none", "part", "repeated"])), m)
    return (
        case,
        order,
        batch_size,
        draw(st.sampled_from(["sgd", "nesterov", "adamw"])),
        draw(st.sampled_from([0.0, 0.1])),
        draw(st.integers(1, 2)),
    )


@pytest.mark.parametrize("way", WAYS)
def test_random_architectures(compiled, costs, jobs, way):
    chosen_costs, expected = WAYS[way]
    costs(**vars(chosen_costs))
    reached = set()

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(problem=problems())
    def check(problem):
        case, order, batch_size, optimizer, l2, threads = problem
        fastnn.set_num_threads(threads)
        # Random weights may cancel (W_l delta with two opposite deltas): float32 then loses a digit or two.
        slack = 30 if case.parameters.dtype == np.float32 else 10
        assert_same_gradient(compiled, case, l2, slack)
        chosen = OPTIMIZERS["adamw"]
        if optimizer != "adamw":
            chosen = fastnn.SGD(0.01, momentum=0.5 * (optimizer == "nesterov"), nesterov=optimizer == "nesterov")
        assert_same_epoch(compiled, case, order, batch_size, chosen, l2, slack)
        reached.update(path for job in jobs for path, taken in paths(job.plan).items() if taken)
        jobs.clear()

    check()
    assert expected - reached == set()
