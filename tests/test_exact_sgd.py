"""Exact per-sample descent against the plain loop, one sample after the other, over many blocks of steps.

Networks are small, and the layers that put their updates off to the end of a block are chosen by lowering the size from
which a layer does so. Rows come up several times, also within a block.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from conftest import assert_close, kernel_optimizer, make_case

import fastnn
from fastnn._kernels import compiled as compiled_kernels
from fastnn._kernels import division, reference

NO_ORDER = np.empty(0, dtype=np.int64)
BLOCK = division.Costs().block_samples
STEPS = 24 * BLOCK + 3
LONG = 70 * BLOCK + 3  # until rounding errors have gathered
ROWS = 500
SMALL = 600
LARGE = {
    name: getattr(division.Costs(), name) for name in ("deferred_weights", "walk_weights", "turn_weights", "turn_units")
}
# Sizes, hidden activations, loss; which layers are deferred: those of SMALL weights or more, columns padded to whole
# vectors included, and the first if the second is; and which deeper ones of them are divided: those with two cache
# lines of the units that threads share, the second layer's inputs, later ones' outputs.
NETS = {
    "none": ((5, 7, 3), ("tanh",), "softmax_cross_entropy", [0, 0], [0, 0]),
    "narrow": ((5, 7, 1), ("tanh",), "sigmoid_cross_entropy", [0, 0], [0, 0]),
    "narrow-two-vectors": ((9, 12, 1), ("sigmoid",), "squared_error", [0, 0], [0, 0]),
    "narrow-many": ((15, 20, 1), ("sigmoid",), "sigmoid_cross_entropy", [0, 0], [0, 0]),
    "narrow-counts": ((5, 7, 1), ("tanh",), "poisson", [0, 0], [0, 0]),
    "counts": ((40, 44, 1), ("tanh",), "poisson", [1, 0], [0, 0]),
    "first": ((40, 33, 3), ("sigmoid",), "softmax_cross_entropy", [1, 0], [0, 0]),
    "first-and-second": ((40, 44, 40, 3), ("sigmoid", "tanh"), "sigmoid_cross_entropy", [1, 1, 0], [0, 1, 0]),
    "all": ((40, 44, 40, 24), ("tanh", "sigmoid"), "softmax_cross_entropy", [1, 1, 1], [0, 1, 1]),
    "second": ((5, 40, 44, 1), ("sigmoid", "tanh"), "sigmoid_cross_entropy", [1, 1, 0], [0, 1, 0]),
    "second-whole": ((5, 12, 60, 1), ("tanh", "tanh"), "sigmoid_cross_entropy", [1, 1, 0], [0, 0, 0]),
    "second-output": ((5, 44, 24), ("leaky_relu",), "squared_error", [1, 1], [0, 1]),
    "first-and-narrow": ((45, 14, 48, 3), ("tanh", "sigmoid"), "softmax_cross_entropy", [1, 1, 0], [0, 0, 0]),
    "third": ((5, 10, 30, 44, 3), ("tanh", "sigmoid", "tanh"), "softmax_cross_entropy", [0, 0, 1, 0], [0, 0, 1, 0]),
    "third-whole": ((5, 9, 56, 12, 1), ("tanh", "tanh", "tanh"), "squared_error", [0, 0, 1, 0], [0, 0, 0, 0]),
    "only": ((200, 5), (), "squared_error", [1], [0]),
    "relu": ((40, 44, 40, 2), ("relu", "leaky_relu"), "squared_error", [1, 1, 0], [0, 1, 0]),
}
KINKED = ("relu", "second-output")  # at a kink, a rounding error may decide on which side of it z is
SMOOTH = [name for name in NETS if name not in KINKED]
PLAIN, BOTH = (False, 0.0), (True, 0.2)  # per-step learning rates, l2 (already divided by m)


def net_case(name, dtype="float64", m=ROWS):
    sizes, activations, loss, *_ = NETS[name]
    return make_case(sizes, activations, loss, m, dtype, seed=3)


def random_order(steps=STEPS, m=ROWS):
    return np.random.default_rng(7).integers(0, m, steps)


def learning_rates(case, steps, vary):
    """Return a rate for each step: the same, or changing ones, some of them 0.

    Steps are small enough for a steady descent: a chaotic one would turn a rounding error into another network.
    """
    rate = 0.5 / max(20, case.sizes[0])
    rates = np.random.default_rng(9).uniform(0.1, 2, steps) if vary else np.ones(steps)
    rates[5::11] *= not vary
    return rate * rates


def run(kernels, case, order, vary=False, l2=0.0, optimizer=fastnn.SGD()):  # noqa: B008 (immutable)
    """Run an epoch; return the case's parameters, now changed, and the losses."""
    steps = len(order) or len(case.data.X)
    losses = np.full(steps, np.nan)
    rates = learning_rates(case, steps, vary) * (1 - getattr(optimizer, "momentum", 0))
    taken = kernel_optimizer(optimizer, case.parameters, rates, l2)
    kernels.sgd_epoch(case.model, case.parameters, case.data, order, taken, losses)
    assert taken.step[0] == steps
    return case.parameters, losses


@lru_cache
def plain_loop(name, dtype, vary, l2, steps=STEPS):
    """The plain loop's result; float32 begins from the same numbers."""
    return run(reference, net_case(name, dtype), random_order(steps), vary, l2)


@lru_cache
def oracle(name, vary, l2):
    """The plain loop in float64, from the numbers that a float32 network has."""
    return run(reference, net_case(name, "float32").doubled(), random_order(LONG), vary, l2)


def parts(case, result):
    """Yield what to compare on a scale of its own: W and b of each layer, and the losses."""
    parameters, losses = result
    for layer, (W, b) in enumerate(reference.layers(case.model, parameters), start=1):
        yield f"W_{layer}", W
        yield f"b_{layer}", b
    yield "losses", losses


def assert_same(case, found, expected):
    for (what, actual), (_, wanted) in zip(parts(case, found), parts(case, expected), strict=True):
        assert_close(actual, wanted, case.parameters.dtype, what)


def error(case, found, expected):
    """Return the largest error of all parts, relative to the part's largest element."""
    pairs = zip(parts(case, found), parts(case, expected), strict=True)
    return max(np.abs(a - b).max() / np.abs(b).max() for (_, a), (_, b) in pairs)


@pytest.fixture(autouse=True)
def _small_layers_are_deferred(costs):
    # several tasks in each part of the turn
    costs(deferred_weights=SMALL, walk_weights=SMALL, turn_weights=SMALL // 2, turn_units=1)


def deferred(job):
    return list(job.plan.division.deferred)


def divided(job):
    """Return which deeper layers all threads take a sample through."""
    return [0, *(row > 0 for row in job.plan.division.split[1:])]


# ---- many steps


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("vary", "l2"), [PLAIN, BOTH])
def test_float64(compiled, jobs, name, vary, l2):
    case = net_case(name)
    found = run(compiled, case, random_order(), vary, l2)
    assert jobs[0].plan.request.per_sample
    assert [deferred(jobs[0]), divided(jobs[0])] == [*NETS[name][3:]]
    assert_same(case, found, plain_loop(name, "float64", vary, l2))


@pytest.mark.parametrize(("vary", "l2"), [(True, 0.0), (False, 0.2)])
def test_rates_and_penalty_alone(compiled, vary, l2):
    name = "first-and-second"
    case = net_case(name)
    assert_same(case, run(compiled, case, random_order(), vary, l2), plain_loop(name, "float64", vary, l2))


@pytest.mark.parametrize(("name", "vary", "l2"), [(name, *(PLAIN, BOTH)[i % 2]) for i, name in enumerate(SMOOTH)])
def test_float32_is_as_accurate_as_the_plain_loop(compiled, name, vary, l2):
    """Rounding errors gather over the steps, in the blocked form no faster than in the plain loop.

    Both are some 1e-6 away from float64. Which is closer is chance, hence the factor; 1e-6 is allowed in any case.
    """
    case = net_case(name, "float32")
    exact = oracle(name, vary, l2)
    plain = error(case, plain_loop(name, "float32", vary, l2, LONG), exact)
    assert error(case, run(compiled, case, random_order(LONG), vary, l2), exact) <= max(4 * plain, 1e-6)


@pytest.mark.parametrize(("sizes", "expected"), [((200, 128, 140, 10), [1, 0, 0]), ((9, 250, 270, 10), [1, 1, 0])])
def test_layers_that_are_deferred_by_default(compiled, jobs, costs, sizes, expected):
    costs(**LARGE)
    results = []
    for kernels in (compiled, reference):
        case = make_case(sizes, "sigmoid", m=700)
        results.append(run(kernels, case, NO_ORDER, *BOTH))
    assert deferred(jobs[0]) == expected
    assert_same(case, *results)


# ---- the ends of blocks


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETS)
def test_numbers_of_samples_around_whole_blocks(compiled, name, dtype):
    for m in (1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK, 3 * BLOCK + 5):
        order = np.random.default_rng(m).permutation(m) if m % 2 else NO_ORDER
        case = net_case(name, dtype, m)
        expected = run(reference, case.doubled(), order, *BOTH)
        assert_same(case, run(compiled, case, order, *BOTH), expected)


def test_the_same_row_again_and_again(compiled):
    """All of a block's inputs alike: the corrections are as large as they can be."""
    order = np.full(3 * BLOCK, 2)
    results = [run(kernels, case := net_case("all"), order, *BOTH) for kernels in (compiled, reference)]
    assert_same(case, *results)


# ---- threads


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETS)
def test_threads_change_no_bit(compiled, costs, name, dtype):
    costs(operations_per_step=1.0, operations_per_call=1.0)
    results = []
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        results.append(run(compiled, net_case(name, dtype), random_order(500), *BOTH))
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            assert one.tobytes() == other.tobytes()


# ---- what the blocked form is not for


@pytest.mark.parametrize("share", [0.99, 1.01])
def test_a_penalty_that_shrinks_the_weights_fast(compiled, jobs, share):
    """Up to a limit the factor of a block stays well above zero; beyond it, each step updates all weights."""
    case = net_case("all")
    l2 = share * compiled_kernels.MAX_SHRINKAGE / learning_rates(case, STEPS, True).max()
    found = run(compiled, case, random_order(), True, l2)
    assert jobs[0].plan.request.per_sample == (share < 1)
    assert_same(case, found, plain_loop("all", "float64", True, l2))


@pytest.mark.parametrize("sizes", [(6, 8, 1), (6, 70, 2), (6, 300, 300, 2)], ids=str)
def test_a_penalty_smaller_than_a_rounding_a_block(compiled, sizes):
    """In float32 it adds up before it goes into the weights: those of inputs that are zero shrink by it alone."""
    m, rate, share = 8192, 2.0**-10, 2.0**-25 / BLOCK  # of each step; 1 - 2^-25 is 1 in float32
    rng = np.random.default_rng(0)
    X = rng.normal(size=(m, 6)).astype(np.float32)
    X[:, :2] = 0
    net = fastnn.Network(sizes, loss="sigmoid_cross_entropy", rng=1)
    before = net.weights[0][:2].astype(float)
    fastnn.set_backend(compiled.__name__.rpartition(".")[2])
    l2 = share * m / rate
    net.fit(X, rng.integers(0, 2, m), optimizer="sgd", learning_rate=rate, batch_size=1, epochs=8, l2=l2)
    shrunk = 1 - net.weights[0][:2] / before
    assert shrunk.mean() == pytest.approx(8 * m * share, rel=0.1)


@pytest.mark.parametrize(("sizes", "tasks"), [((3, 64, 100_000), 1), ((3, 256, 10_000), 4), ((3, 2048, 300), 3)])
def test_a_turn_has_no_more_tasks_than_units_for_them(compiled, jobs, costs, sizes, tasks):
    """Each has a summand of the second layer's outputs: 25 a part took 122 MB where the parameters take 26."""
    costs(**LARGE)
    results = [run(kernels, case := make_case(sizes, "tanh", m=3), NO_ORDER) for kernels in (compiled, reference)]
    assert jobs[0].plan.division.turned == tasks
    assert_same(case, *results)


@pytest.mark.parametrize(
    "optimizer",
    [fastnn.SGD(momentum=0.9), fastnn.SGD(momentum=0.5, nesterov=True), fastnn.Adam(epsilon=1e-2)],
    ids=["momentum", "nesterov", "adam"],
)
@pytest.mark.parametrize("name", ["none", "all"])
def test_rules_with_a_state(compiled, jobs, name, optimizer):
    results = []
    for kernels in (compiled, reference):
        case = net_case(name)
        results.append(run(kernels, case, random_order(1000), True, 0.2, optimizer))
    assert not jobs[0].plan.request.per_sample
    assert_same(case, *results)
