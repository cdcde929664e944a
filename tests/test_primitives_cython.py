"""The C primitives of every SIMD level, called by their addresses: accuracy, bounds and tiles; the job's struct."""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
import sys
import threading
from typing import NamedTuple

import numpy as np
import pytest
from conftest import FROM_OUTPUT, assert_close, check_softmax_columns, kernel_optimizer, make_case

pytest.importorskip("fastnn._kernels.cython.kernels")

import fastnn
import fastnn._kernels.cython as backend
from fastnn._kernels import contract, reference, schema
from fastnn._kernels.contract import Activation
from fastnn._kernels.cython import kernels
from fastnn._kernels.drivers import primitives
from fastnn._kernels.drivers.primitives import ADD, ASSIGN, BIAS_FROM_MEMORY, FROM_BIAS

DTYPES = ("float32", "float64")


@pytest.fixture(params=kernels.available_levels())
def level(request):
    """Each SIMD level of this CPU."""
    before = kernels.level()
    kernels.use_level(request.param)
    yield request.param
    kernels.use_level(before)


def primitive(name, dtype):
    """Return a primitive of the level in use, with the types that the table gives it."""
    scalar = ctypes.c_float if dtype == "float32" else ctypes.c_double
    types = {"int": ctypes.c_ssize_t, "float": ctypes.c_double, "Real": scalar, "None": None}
    kinds = getattr(primitives, name).__annotations__
    result, *arguments = (types.get(kinds[key], ctypes.c_void_p) for key in ("return", *list(kinds)[:-1]))
    return ctypes.CFUNCTYPE(result, *arguments)(kernels.addresses(np.dtype(dtype).itemsize)[name])


def at(array, offset=0):
    return array.ctypes.data + offset * array.itemsize


def computed(name, x):
    z, dtype = x.copy(), x.dtype.name
    if name in ("exp", "log"):
        primitive(f"{name}_array", dtype)(at(z), z.size)
    else:
        primitive("activate", dtype)(Activation[name.upper()], 0, at(z), at(z), z.size)
    return z


def exact(name, x):
    x = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            t = np.exp(-np.abs(x))
            return np.where(x >= 0, 1 / (1 + t), t / (1 + t))
        return getattr(np, name)(x)


def ulps(actual, expected):
    """Return the largest error in units in the last place of the right result."""
    with np.errstate(all="ignore"):
        rounded = expected.astype(actual.dtype)
        errors = np.abs(actual - expected) / np.spacing(np.abs(rounded))
    errors[(actual == rounded) | (np.isnan(actual) & np.isnan(rounded))] = 0
    assert not np.isnan(errors).any()
    return float(errors.max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["exp", "log", "sigmoid", "tanh"])
def test_functions_are_accurate_on_the_whole_range(level, name, dtype):
    rng = np.random.default_rng(0)
    limit, exponents = {"float32": (110, (-45, 38)), "float64": (760, (-320, 308))}[dtype]
    sizes = 10.0 ** rng.uniform(*exponents, 20_000) * rng.choice([-1, 1], 20_000)
    x = np.concatenate([np.linspace(-limit, limit, 50_001), np.linspace(-2, 2, 50_001), sizes, [0.0, -0.0]])
    x = x.astype(dtype)
    if name == "log":
        x = np.abs(x)
    assert ulps(computed(name, x), exact(name, x)) <= 4


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_at_their_limits(level, dtype):
    inf, nan = np.inf, np.nan
    x = np.array([-inf, -1e30, 1e30, inf, nan, 0.0, -0.0], dtype)
    expected = {
        "exp": [0, 0, inf, inf, nan, 1, 1],
        "log": [nan, nan, np.log(x[2]), inf, nan, -inf, -inf],
        "sigmoid": [0, 0, 1, 1, nan, 0.5, 0.5],
        "tanh": [-1, -1, 1, 1, nan, 0, -0.0],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(computed(name, x), np.array(values, dtype), rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_array_forms_stay_within_n(level, dtype):
    rng = np.random.default_rng(0)
    run = primitive("activate", dtype)
    for n in range(2 * kernels.lanes(4) + 2):
        z = rng.normal(size=n + 20).astype(dtype)
        before = z.copy()
        run(Activation.SIGMOID, 0, at(z), at(z), n)
        np.testing.assert_array_equal(z[:n], computed("sigmoid", before)[:n])
        np.testing.assert_array_equal(z[n:], before[n:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_from_logits(level, dtype):
    z = np.linspace(-90, 90, 10_001).astype(dtype)
    run = primitive("loss_and_delta", dtype)
    for y in (np.zeros_like(z), np.ones_like(z)):
        out = np.empty_like(z)
        deltas = z.copy()
        run(contract.Loss.SIGMOID_CROSS_ENTROPY, at(deltas), at(y), None, at(out), z.size)
        wide = z.astype(np.longdouble)
        expected = np.logaddexp(np.longdouble(0), np.where(y > 0, -wide, wide))
        normal = expected >= np.finfo(dtype).tiny
        assert (np.abs(out - expected) <= 4 * np.finfo(dtype).eps * expected)[normal].all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_columns(level, dtype):
    run, run_deltas = (
        primitive("softmax_columns", dtype),
        primitive("delta_columns", dtype),
    )
    check_softmax_columns(
        kernels.lanes(np.dtype(dtype).itemsize),
        dtype,
        lambda K, T: run(K, at(T)),
        lambda K, T, labels: run_deltas(K, at(T), at(labels)),
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_dots(level, dtype):
    lanes, rng = kernels.lanes(np.dtype(dtype).itemsize), np.random.default_rng(0)
    run = primitive("dots", dtype)
    for rows, vectors in itertools.product((0, 1, 2, 3, 7, 8, 15, 21), (0, 1, 5)):
        n = vectors * lanes
        M, v, out = rng.normal(size=(rows, n + 3)), rng.normal(size=n), np.full(rows + 1, np.nan, dtype)
        M, v = M.astype(dtype), v.astype(dtype)
        run(rows, n, at(M), n + 3, at(v), at(out))
        size = np.abs(M[:, :n]) @ np.abs(v)
        assert (np.abs(out[:rows] - M[:, :n].astype(float) @ v) <= (n + 2) * np.finfo(dtype).eps * size).all()
        assert np.isnan(out[rows])
        single = np.empty(rows, dtype)
        for r in range(rows):
            run(1, n, at(M, r * (n + 3)), n + 3, at(v), at(single, r))
        np.testing.assert_array_equal(out[:rows], single)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gram_rows(level, dtype):
    """Against float64, four rows at a time, with NaN after the columns and where nothing is to be written."""
    lanes, rng = kernels.lanes(np.dtype(dtype).itemsize), np.random.default_rng(0)
    run = primitive("gram_rows", dtype)
    for n in (lanes, 5 * lanes):
        X, G = np.full((12, n + 3), np.nan, dtype), np.full((12, 14), np.nan, dtype)
        X[:, :n] = rng.normal(size=(12, n))
        for first in (0, 4, 8):
            run(first, n, at(X), n + 3, at(G), 14)
        wide = X[:, :n].astype(float)
        error, size = np.abs(G[:, :12] - wide @ wide.T), np.abs(wide) @ np.abs(wide).T
        written = np.arange(12) < np.arange(4, 16, 4).repeat(4)[:, None]
        assert (error <= (n + 2) * np.finfo(dtype).eps * size)[written].all()
        assert np.isnan(G[:, :12][~written]).all()
        assert np.isnan(G[:, 12:]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "numbers"), [("add_rows", (0, 1, 2, 3, 7, 8, 15, 21)), ("add_rows_and_ask", (0, 1, 2, 3, 4, 5, 7, 8))]
)
def test_add_rows(level, dtype, name, numbers):
    """Against float64, with NaN after the rows and the result; the same bits for each part of the columns."""
    lanes, rng = kernels.lanes(np.dtype(dtype).itemsize), np.random.default_rng(0)
    run = primitive(name, dtype)
    for rows, vectors in itertools.product(numbers, (0, 1, 5)):
        n = vectors * lanes
        M, v, before = np.full((rows, n + 3), np.nan, dtype), rng.normal(size=rows).astype(dtype), rng.normal(size=n)
        M[:, :n] = rng.normal(size=(rows, n))
        out = np.append(before, np.nan).astype(dtype)
        expected, size = out[:n] + v.astype(float) @ M[:, :n], np.abs(before) + np.abs(v) @ np.abs(M[:, :n])
        parts = out.copy()
        run(rows, n, at(M), n + 3, at(v), at(out))
        assert (np.abs(out[:n] - expected) <= (rows + 2) * np.finfo(dtype).eps * size).all()
        for j in range(0, n, lanes):
            run(rows, lanes, at(M, j), n + 3, at(v), at(parts, j))
        np.testing.assert_array_equal(out, parts)
        assert np.isnan(out[n])


@pytest.mark.parametrize("dtype", DTYPES)
def test_total_of(level, dtype):
    """Against float64, with NaN after the numbers; the same bits wherever the numbers begin."""
    run = primitive("total_of", dtype)
    for n in (*range(2 * kernels.lanes(4) + 2), 100, 480, 1000):
        x = np.full(n + 1, np.nan, dtype)
        x[:n] = np.random.default_rng(n).normal(size=n)
        found, elsewhere = run(at(x), n), np.concatenate(([np.nan], x)).astype(dtype)
        assert abs(found - x[:n].astype(float).sum()) <= n * np.finfo(dtype).eps * np.abs(x[:n]).sum()
        assert run(at(elsewhere, 1), n) == found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("mode", [ASSIGN, ADD, FROM_BIAS, BIAS_FROM_MEMORY])
def test_multiply(level, mode, by_columns, dtype):
    """Against float64, with NaN around the operands, whole and row by row: the bits are the same."""
    lanes, rng = kernels.lanes(np.dtype(dtype).itemsize), np.random.default_rng(0)
    run = primitive("multiply", dtype)

    def guarded(height, width):
        memory = np.full((height + 2, width + 3), np.nan, dtype)
        memory[1:-1, :width] = rng.normal(size=(height, width))
        return memory, memory[1:-1, :width]

    shapes = [*((rows, 1, 3) for rows in range(14)), *((7, vectors, 5) for vectors in range(10)), (5, 2, 0)]
    panel = 4 if level in ("avx512", "neon") else 2
    deepest = 64 * 1024 // (panel * lanes * np.dtype(dtype).itemsize)  # of a panel that is packed at once
    packed = [(200, 16 * panel, 30), (49, 16 * panel + 1, deepest + 9)]
    tall = (8 * 48 + 5, 9, 30)  # of columns: in blocks of rows
    for rows, vectors, depth in [*shapes, (100, 8, 67), (13, 4, 600), *packed, tall]:
        cols = vectors * lanes
        _, A = guarded(depth, rows) if by_columns else guarded(rows, depth)
        (_, B), (c, C), (_, bias) = guarded(depth, cols), guarded(rows, cols), guarded(1, cols)
        strides = [stride // A.itemsize for stride in A.strides]
        A, (a_row, a_depth) = (A.T, strides[::-1]) if by_columns else (A, strides)
        start, before = (0.0, C.astype(float), *[bias.astype(float)] * 2)[mode], c.copy()
        rest = at(B), cols + 3, at(C), cols + 3, mode, at(bias)
        run(rows, cols, depth, at(A), a_row, a_depth, *rest)
        size = np.abs(start) + np.abs(A).astype(float) @ np.abs(B).astype(float)
        error = np.abs(C - (start + A.astype(float) @ B.astype(float)))
        assert (error <= (depth + 2) * np.finfo(dtype).eps * size).all(), (rows, cols, depth)
        assert np.isnan(c).sum() == np.isnan(before).sum()
        whole, C[:] = C.copy(), before[1:-1, :cols]
        for i in range(rows):
            run(1, cols, depth, at(A, i * a_row), a_row, a_depth, at(B), cols + 3, at(C, i * (cols + 3)), cols + 3,
                mode, at(bias))  # fmt: skip
        np.testing.assert_array_equal(C, whole)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", [ASSIGN, ADD, FROM_BIAS, BIAS_FROM_MEMORY])
def test_multiply_of_a_sum_over_samples(level, mode, dtype):
    """A's row stride is 0: the numbers are one after the other, or one again and again."""
    lanes, rng = kernels.lanes(np.dtype(dtype).itemsize), np.random.default_rng(0)
    run = primitive("multiply", dtype)
    for depth, vectors, a_depth in itertools.product((0, 1, 7, 8, 9, 96), (1, 2, 3), (0, 1)):
        cols = vectors * lanes
        A, bias = rng.normal(size=max(1, depth * a_depth)).astype(dtype), rng.normal(size=cols).astype(dtype)
        B = np.full((depth + 1, cols + 3), np.nan, dtype)
        B[:depth, :cols] = rng.normal(size=(depth, cols))
        C = np.append(rng.normal(size=cols), np.nan).astype(dtype)
        start, a, b = (0.0, C[:cols].astype(float), *[bias.astype(float)] * 2)[mode], A.astype(float), B[:depth, :cols]
        a = np.broadcast_to(a if a_depth else a[0], depth)
        run(1, cols, depth, at(A), 0, a_depth, at(B), cols + 3, at(C), cols, mode, at(bias))
        error, size = np.abs(C[:cols] - (start + a @ b)), np.abs(start) + np.abs(a) @ np.abs(b)
        assert (error <= (depth + 2) * np.finfo(dtype).eps * size).all(), (depth, vectors, a_depth)
        assert np.isnan(C[cols])


@pytest.mark.parametrize("dtype", DTYPES)
def test_transpose(level, dtype):
    run = primitive("transpose", dtype)
    for rows, cols in itertools.product((0, 1, 3, 4, 17, 40), repeat=2):
        A = np.random.default_rng(0).normal(size=(rows, cols + 2)).astype(dtype)
        B = np.full((cols, rows + 1), np.nan, dtype)
        run(rows, cols, at(A), cols + 2, at(B), rows + 1)
        np.testing.assert_array_equal(B[:, :rows], A[:, :cols].T)
        assert np.isnan(B[:, rows:]).all()


# ---- one sample's pass through a layer


class Layer(NamedTuple):
    """Units as primitives take them, in this order; those of a layer below have their padding among them."""

    n: int
    width: int
    activation: int
    slope: float
    scale: float


def some_layers(dtype):
    """Yield layers of every activation but gelu, whose widths take every number of vectors that columns go by."""
    lanes = kernels.lanes(np.dtype(dtype).itemsize)
    for activation, n in itertools.product(FROM_OUTPUT, (1, lanes, lanes + 1, 7 * lanes - 1, 9 * lanes)):
        yield Layer(n, -(-n // lanes) * lanes, Activation[activation.upper()], 0.1, 0.75)


def padded(layer, dtype, *rows, seed=0):
    """Return rows of random units, zeros in their padding, with a NaN after them all."""
    shape = (*rows, layer.width)
    memory = np.full(int(np.prod(shape)) + 1, np.nan, dtype)
    units = memory[:-1].reshape(shape)
    units[:] = np.random.default_rng(seed).uniform(-1, 1, shape)
    units[..., layer.n :] = 0
    return units


def untouched(units):
    """Return whether the NaN after them is there."""
    return bool(np.isnan(units.base[-1]))


def wide(*arrays):
    return [array.astype(float) for array in arrays]


def outputs(layer, Z):
    """Return g(Z), zeros in the padding."""
    A = reference.activate(layer.activation, layer.slope, Z)
    A[..., layer.n :] = 0
    return A


@pytest.mark.parametrize("dtype", DTYPES)
def test_finish_outputs(level, dtype):
    run = primitive("finish_outputs", dtype)
    for layer in some_layers(dtype):
        bias, z = padded(layer, dtype, seed=1), padded(layer, dtype, seed=2)
        b, products = wide(bias, z)
        run(*layer, at(bias), at(z))
        assert_close(z, outputs(layer, layer.scale * products + b), dtype, "outputs")
        assert (z[layer.n :] == 0).all()
        assert untouched(z)


@pytest.mark.parametrize("dtype", DTYPES)
def test_update_and_project(level, dtype):
    run = primitive("update_and_project", dtype)
    for layer, n_in in itertools.product(some_layers(dtype), (1, 3, 4, 18)):
        W, bias, delta, z = (padded(layer, dtype, *rows, seed=s) for s, rows in enumerate(((n_in,), (), (), ())))
        before, x = rows = np.full((2, n_in + 1), np.nan, dtype)
        rows[:, :n_in] = np.random.default_rng(5).normal(size=(2, n_in))
        U, b, d, u, v = wide(W, bias, delta, before[:-1], x[:-1])
        U -= 0.3 * np.outer(u, d)
        run(n_in, *layer, -0.3, at(before), at(x), at(delta), at(W), at(bias), at(z))
        assert_close(W, U, dtype, "weights")
        assert_close(z, outputs(layer, layer.scale * v @ U + b), dtype, "outputs")
        assert untouched(W)
        assert untouched(z)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", ["identity", "sigmoid"])
def test_step_one_output(level, output, dtype):
    run, code = primitive("step_one_output", dtype), Activation[output.upper()]
    for below in some_layers(dtype):
        a, V, deltas = (padded(below, dtype, seed=seed) for seed in range(3))
        bias = np.array([0.5, np.nan], dtype)
        inputs, v = wide(a, V)
        z = below.scale * inputs @ v + 0.5
        delta = 1.5 * (reference.activate(code, 0, z) - 0.25)
        _, width, activation, slope, scale = below
        found = run(width, activation, slope, code, scale, 0.2, 0.3, 0.25, 1.5, at(a), at(V), at(bias), at(deltas))
        assert_close(np.array(found), z, dtype, "z")
        assert_close(bias[0], 0.5 - 0.2 * delta, dtype, "bias")
        assert_close(V, v - 0.3 * delta * inputs, dtype, "weights")
        slopes = reference.derivative(below.activation, below.slope, inputs)
        assert_close(deltas, delta * below.scale * v * slopes, dtype, "deltas")
        assert np.isnan(bias[1])
        assert untouched(V)
        assert untouched(deltas)


@pytest.mark.parametrize("dtype", DTYPES)
def test_multiply_and_update(level, dtype):
    run = primitive("multiply_and_update", dtype)
    for below, n_out in itertools.product(some_layers(dtype), (1, 2, 3, 6)):
        a, V, deltas = (padded(below, dtype, *rows, seed=s) for s, rows in enumerate(((), (n_out,), ())))
        delta = np.append(np.random.default_rng(3).normal(size=n_out), np.nan).astype(dtype)
        inputs, v, d = wide(a, V, delta[:-1])
        run(n_out, *below[1:], -0.3, at(a), at(delta), at(V), at(deltas))
        assert_close(V, v - 0.3 * np.outer(d, inputs), dtype, "weights")
        slopes = reference.derivative(below.activation, below.slope, inputs)
        assert_close(deltas, below.scale * d @ v * slopes, dtype, "deltas")
        assert untouched(V)
        assert untouched(deltas)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("parts", [1, 2])
def test_finish_deltas(level, parts, dtype):
    run = primitive("finish_deltas", dtype)
    for below in some_layers(dtype):
        a, second, deltas = (padded(below, dtype, seed=seed) for seed in range(3))
        inputs, u, v = wide(a, second, deltas)
        run(*below[1:], parts, at(a), at(second), at(deltas))
        slopes = reference.derivative(below.activation, below.slope, inputs)
        assert_close(deltas, below.scale * (v + u * (parts - 1)) * slopes, dtype, "deltas")
        assert untouched(deltas)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("last", "following"), [(True, True), (True, False), (False, True)])
def test_turn_vectors(level, dtype, last, following):
    """Where there is no last or next sample its memory stays as it was."""
    run = primitive("turn_vectors", dtype)
    for layer in some_layers(dtype):
        arrays = [padded(layer, dtype, seed=s) for s in range(7)]
        *_, deltas, a = arrays
        u, c, inputs, base, b, old_deltas, old_outputs = wide(*arrays)
        run(*layer, last, following, -0.3, 1.5, *map(at, arrays))
        expected = -0.3 * (u + c) * reference.derivative(layer.activation, layer.slope, inputs) if last else 0 * u
        assert_close(deltas, expected if last else old_deltas, dtype, "deltas")
        if following:
            assert_close(a, outputs(layer, layer.scale * (base + 1.5 * expected) + b), dtype, "outputs")
            assert (a[layer.n :] == 0).all()
        else:
            assert_close(a, old_outputs, dtype, "outputs")
        assert untouched(deltas)
        assert untouched(a)


@pytest.mark.parametrize("dtype", DTYPES)
def test_add_multiple(level, dtype):
    run = primitive("add_multiple", dtype)
    for layer in some_layers(dtype):
        x, y = (padded(layer, dtype, seed=seed) for seed in range(2))
        u, v = wide(x, y)
        run(layer.width, -0.3, at(x), at(y))
        assert_close(y, v - 0.3 * u, dtype, "y")
        assert untouched(y)


# ---- the backend around them


def test_another_schema_is_refused(monkeypatch):
    first, second, *others = schema.COLUMNS
    monkeypatch.setattr(schema, "COLUMNS", (second, first, *others))
    with pytest.raises(ImportError, match="build them again"):
        backend._check_schema()


@pytest.mark.parametrize("shape", [(3, 4), (0, 4)])
def test_the_address_of_an_array(shape):
    array = np.zeros(shape)[:, 1:]
    array.flags.writeable = False
    assert kernels.address(array) == array.ctypes.data


def test_an_unknown_simd_level_names_the_known_ones():
    absent = next(name for name in ("neon", "avx2") if name not in kernels.available_levels())
    for name, problem in (("mmx", "is unknown"), (absent, "is not available on this CPU")):
        with pytest.raises(ValueError, match=f"FASTNN_SIMD={name} {problem}; choose from: .*{kernels.level()}"):
            kernels.use_level(name)


def train(seed):
    case = make_case((100, 64, 10), m=3000, dtype="float32", seed=seed)
    optimizer = kernel_optimizer(fastnn.Adam(), case.parameters, np.full(30, 1e-3))
    backend.minibatch_epoch(case.model, case.parameters, case.data, np.empty(0, np.int64), 100, optimizer, np.empty(30))
    return case.parameters


def test_several_jobs_at_the_same_time():
    fastnn.set_num_threads(2)
    expected, found = [train(seed) for seed in range(4)], [None] * 4

    def run(seed):
        found[seed] = train(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_thread_to_be_had(monkeypatch):
    fastnn.set_num_threads(2)
    expected = train(0)

    class Refuses:
        def submit(self, *_):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(backend, "_helpers", Refuses)
    np.testing.assert_array_equal(train(0), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_after_a_fork():
    code = """
import os, numpy as np, fastnn
fastnn.set_backend("cython"); fastnn.set_num_threads(2)
X = np.random.default_rng(0).normal(size=(3000, 100)).astype("float32")
def train():
    net = fastnn.Network((100, 64, 10), rng=0)
    net.fit(X, np.arange(3000) % 10, batch_size=100, epochs=1)
    return net.parameters.tobytes()
expected, child = train(), os.fork()
if child == 0:
    os._exit(0 if train() == expected else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_more_rows_of_output_than_a_small_ticket_counts():
    """Outputs are one task for each tile of at most 480 rows."""
    m = 480 * 66_000
    model = contract.Model((1, 1), (0,), (1,), (0,), (0.0,), int(contract.Loss.SQUARED_ERROR))
    fastnn.set_num_threads(2)
    X, out = np.ones((m, 1), "float32"), np.zeros((m, 1), "float32")
    backend.forward(model, np.array([2, 1], "float32"), X, out)
    assert (out == 3).all()
    reference.forward(model, np.array([2, 1], "float32"), X[:2], out[:2])
    assert (out[:2] == 3).all()
