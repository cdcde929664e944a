"""X as it is stored: every type of numbers, rows with a stride, without a copy, with the bits of the converted copy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from conftest import peak_memory

import fastnn
from fastnn._kernels.contract import Rows
from fastnn.data import as_samples

FORMATS = (
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "bool", "float16", "float32", "float64",
)  # fmt: skip
# Drivers that read X in their own ways: a narrow walk, one layer by layer, deferred and turned layers, divided ones.
NETS = {
    "narrow": (13, 6, 1),
    "walked": (33, 5, 4),
    "deferred": (140, 120, 3),
    "turned": (20, 260, 256, 2),
    "linear": (5, 3),
}
WAYS = [(1, True), (1, False), (7, True), (7, False), (None, True)]  # batch sizes, and whether rows are shuffled


def stored(format, m, n, seed=0):
    """Return numbers of a format; every row has others before and after it."""
    rng, dtype = np.random.default_rng(seed), np.dtype(format)
    if dtype.kind == "f":
        numbers = rng.standard_normal((m, n + 3))
    else:
        numbers = rng.integers(0 if dtype.kind in "bu" else -9, 2 if dtype.kind == "b" else 9, (m, n + 3))
    return numbers.astype(dtype)[:, 2:-1]


def results(sizes, dtype, X, y, held, batch_size, shuffle, **options):
    """Return all that a training and its network say."""
    loss = "sigmoid_cross_entropy" if sizes[-1] == 1 else "softmax_cross_entropy"
    net = fastnn.Network(sizes, loss=loss, dtype=dtype, rng=3)
    history = net.fit(
        X, y, optimizer="sgd", learning_rate=0.003, batch_size=batch_size, shuffle=shuffle, epochs=2, l2=0.1,
        validation_data=held, progress=False, **options,
    )  # fmt: skip
    J, gradient = net.loss_and_gradient(X, y)
    said = [net.forward(X).ravel(), gradient, net.parameters, history.loss, history.validation_loss]
    return [*said, [J, net.loss(X, y), net.score(X, y), *history.validation_score]]


def assert_same(found, expected, what):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=what)


def mixed(*parts):
    """Return every combination again and again, so mixed that each format meets others."""
    combinations = list(itertools.product(*parts))
    order = np.random.default_rng(1).permutation(len(combinations))
    return itertools.cycle(combinations[i] for i in order)


def small_divisions(costs):
    """Have small networks take the ways of large ones."""
    costs(operations_per_call=1.0, operations_per_step=4e4, window_samples=16, deferred_weights=4096)
    costs(divided_weights=1024, max_chunk_bytes=8192, walk_weights=4096)


def reached(jobs):
    """Return which ways rows that must be read have taken."""
    found = set()
    for job in jobs:
        request, division = job.plan.request, job.plan.division
        if request.stored:
            kind = "samples" if request.per_sample else "shared" if division.shared else "chunks"
            found |= {(kind, division.threads > 1, request.ordered), (kind, f"divided {division.divided > 0}")}
            found |= {("deferred", division.deferred[0]), ("turned", division.turned > 0)}
            found |= {("window", division.window > 0), ("outputs", not request.backward)}
    return found


def test_every_format_has_the_bits_of_its_copy_in_every_mode(backend, costs, jobs):
    draws = mixed(NETS.values(), WAYS, (1, 2))
    small_divisions(costs)
    for format, dtype in itertools.product(FORMATS, ("float32", "float64")):
        for sizes, way, threads in itertools.islice(draws, 2 if backend != "numpy" else 1):
            fastnn.set_num_threads(threads)
            X, y = stored(format, 45, sizes[0]), np.arange(45) % max(2, sizes[-1])
            copy = np.ascontiguousarray(X.astype(dtype))
            assert isinstance(as_samples(X, sizes[0], np.dtype(dtype)), Rows)
            assert as_samples(copy, sizes[0], np.dtype(dtype)) is copy
            found = results(sizes, dtype, X, y, (X[:9], y[:9]), *way)
            expected = results(sizes, dtype, copy, y, (copy[:9], y[:9]), *way)
            assert_same(found, expected, f"{format} {dtype} {sizes} {way}")
    if backend != "numpy":
        ways = {("deferred", True), ("deferred", False), ("turned", True), ("window", True), ("outputs", True)}
        ways |= set(itertools.product(("samples", "chunks"), (True, False), (True, False)))
        ways |= {
            ("shared", True, True),
            ("shared", False, True),
            ("shared", "divided True"),
            ("shared", "divided False"),
        }
        assert ways <= reached(jobs), ways - reached(jobs)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_numbers_of_samples_and_columns(backend, batch_size):
    for m, n in ((1, 1), (2, 33), (3, 8), (17, 16), (33, 31)):
        X, y = stored("uint8", m, n), np.arange(m) % 3
        copy = X.astype("float32")
        for shuffle in (True, False):
            found, expected = (
                results((n, 4, 3), "float32", Z, y, (Z, y), batch_size, shuffle) for Z in (X, copy)
            )  # fmt: skip
            assert_same(found, expected, f"{m} {n} {shuffle}")


def test_conversions_are_those_of_numpy(backend):
    net = fastnn.Network((1, 1), loss="squared_error", rng=1)
    bits = np.arange(1 << 16, dtype=np.uint16)
    halves = bits.view(np.float16)
    columns = [halves[np.isfinite(halves)], bits, bits.view(np.int16), bits.astype(np.uint8), bits.astype(np.int8)]
    for dtype in ("uint32", "int32", "uint64", "int64"):
        info = np.iinfo(dtype)
        near = [info.min, info.max, info.max - 1, 2**24 + 1, 2**24 + 3, info.max // 2 + 1, info.max - 2**8, 0, 1]
        columns.append(np.array(near * 5, dtype))
    columns += [np.array([1 / 3, 1e-30, 16777217.0, 0.1, -0.1] * 7), np.array([0.1, 3e38] * 9, "float32")]
    for dtype, column in itertools.product(("float32", "float64"), columns):
        n = min(len(column), 77)
        X = column[: len(column) // n * n].reshape(-1, n)
        for rows in (X, np.ascontiguousarray(X[:, :9])):
            net = fastnn.Network((rows.shape[1], 1), loss="squared_error", dtype=dtype, rng=1)
            for j in range(0, rows.shape[1], 8):
                net.parameters[:] = 0
                net.weights[0][j] = 1
                np.testing.assert_array_equal(net.forward(rows)[:, 0], rows[:, j].astype(dtype), err_msg=column.dtype)


def test_rows_in_any_direction_are_read_where_they_are(backend):
    X = stored("int16", 40, 12)
    for rows in (X[::-1], X[::3], np.broadcast_to(X[:1], (9, 12)), X[:, :1], X[4:5]):
        samples = as_samples(rows, rows.shape[1], np.dtype("float32"))
        assert isinstance(samples, Rows)
        assert samples.array is rows
        net = fastnn.Network((rows.shape[1], 4, 2), rng=2)
        assert_same([net.forward(rows)], [net.forward(rows.astype("float32"))], rows.strides)


def test_what_kernels_cannot_read_is_copied(backend):
    X, net = stored("int16", 20, 6), fastnn.Network((6, 4, 2), rng=2)
    expected = net.forward(X)
    swapped, shifted = X.astype(">i2"), np.zeros(X.size * 2 + 1, np.uint8)[1:].view(np.int16).reshape(X.shape)
    shifted[:] = X
    for other in (swapped, shifted, np.asfortranarray(X), X.astype(np.longdouble), X.tolist()):
        assert_same([net.forward(other)], [expected], type(other))


def test_no_copy_of_x_is_made(backend):
    if backend == "numpy":
        pytest.skip("the reference converts a batch at a time")
    X, y = np.zeros((20_000, 100), np.uint8), np.zeros(20_000, np.int64)
    net = fastnn.Network((100, 4, 2), rng=1)

    def use():
        for batch_size in (100, None):
            net.fit(X, y, batch_size=batch_size, epochs=1, validation_data=(X, y), progress=False)
        net.loss_and_gradient(X, y)
        return net.score(X, y), net.loss(X, y)

    use()
    assert peak_memory(use) < X.size  # of float32 it would be four times that


@pytest.mark.parametrize("format", ["float16", "float32", "float64"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite_are_named(format, wrong):
    X = stored(format, 5000, 3)
    with np.errstate(over="ignore"):
        X[4321, 1] = wrong
    net = fastnn.Network((3, 2, 2))
    with pytest.raises(ValueError, match=r"X must be finite in float32; found .* in row 4321, column 1"):
        net.forward(X)


def test_another_width_is_refused():
    with pytest.raises(ValueError, match="X must have 3 columns"):
        fastnn.Network((3, 2, 2)).predict(np.zeros((5, 4), np.uint8))
