"""The Numba primitives: accuracy, bounds, SIMD levels, atomics and the cache of compiled kernels."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import check_softmax_columns

pytest.importorskip("numba")

from fastnn._equations import functions
from fastnn._kernels.contract import Activation, Loss
from fastnn._kernels.drivers.primitives import ADD, ASSIGN, BIAS_FROM_MEMORY, FROM_BIAS
from fastnn._kernels.numba import cache, simd
from fastnn._kernels.numba.atomics import (
    atomic_add,
    atomic_load,
    atomic_store,
    compare_exchange,
    pause,
    rest,
)
from fastnn._kernels.numba.cache import entry_point
from fastnn._kernels.numba.dots import add_rows, add_rows_and_ask, dots, gram_rows
from fastnn._kernels.numba.elementwise import (
    activate,
    activated,
    exp_array,
    log_array,
    loss_and_delta,
    multiply_by_derivative,
    sigmoid_,
    times_derivative,
)
from fastnn._kernels.numba.equations import of_lanes
from fastnn._kernels.numba.multiply import BLOCK_ROWS, MAX_DEPTH, multiply
from fastnn._kernels.numba.simd import (
    add,
    advance,
    fill,
    first_lanes,
    lanes,
    load,
    multiply_add,
    pointer,
    store,
    total,
)
from fastnn._kernels.numba.softmax import delta_columns, softmax_columns
from fastnn._kernels.numba.tile import MAX_VECTORS
from fastnn._kernels.numba.transpose import transpose

DTYPES = ("float32", "float64")
tanh_ = of_lanes(functions.tanh)


@entry_point
def run_multiply(rows, cols, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias, offset):
    a, b, c = pointer(A, offset), pointer(B, offset), pointer(C, offset)
    multiply(rows, cols, depth, a, a_row, a_depth, b, b_depth, c, c_row, mode, pointer(bias, offset))


@entry_point
def run_exp(z, n):
    exp_array(pointer(z, 0), n)


@entry_point
def run_log(z, n):
    log_array(pointer(z, 0), n)


@entry_point
def run_activate(activation, slope, z, n):
    activate(activation, slope, pointer(z, 0), pointer(z, 0), n)


@entry_point
def run_derivative(activation, slope, a, delta, n):
    multiply_by_derivative(activation, slope, pointer(a, 0), pointer(delta, 0), n)


@entry_point
def run_loss(loss, z, y, numbers, out, n):
    loss_and_delta(loss, pointer(z, 0), pointer(y, 0), pointer(numbers, 0), pointer(out, 0), n)


@entry_point
def run_softmax(K, T):
    softmax_columns(K, pointer(T, 0))


@entry_point
def run_delta_columns(K, T, labels):
    delta_columns(K, pointer(T, 0), pointer(labels, 0))


@entry_point
def run_transpose(rows, cols, A, a_row, B, b_row):
    transpose(rows, cols, pointer(A, 0), a_row, pointer(B, 0), b_row)


@entry_point
def run_dots(rows, n, M, m_row, v, out):
    dots(rows, n, pointer(M, 0), m_row, pointer(v, 0), pointer(out, 0))


@entry_point
def run_gram_rows(first, n, X, x_row, G, g_row):
    gram_rows(first, n, pointer(X, 0), x_row, pointer(G, 0), g_row)


@entry_point
def run_add_rows_and_ask(rows, n, M, m_row, v, out):
    add_rows_and_ask(rows, n, pointer(M, 0), m_row, pointer(v, 0), pointer(out, 0))


@entry_point
def run_add_rows(rows, n, M, m_row, v, out):
    add_rows(rows, n, pointer(M, 0), m_row, pointer(v, 0), pointer(out, 0))


@entry_point
def run_scalars(x, out):
    for i in range(len(x)):
        out[0, i], out[1, i] = sigmoid_(x[i]), tanh_(x[i])


def whole_range(dtype):
    """Finite numbers of every size and both signs, dense where the functions bend."""
    rng = np.random.default_rng(0)
    limit = {"float32": 110.0, "float64": 760.0}[dtype]
    exponents = {"float32": (-45, 38), "float64": (-320, 308)}[dtype]
    sizes = 10.0 ** rng.uniform(*exponents, 50_000) * rng.choice([-1, 1], 50_000)
    x = np.concatenate([np.linspace(-limit, limit, 200_001), np.linspace(-2, 2, 100_001), sizes, [0.0, -0.0]])
    return x.astype(dtype)


def computed(name, x):
    z = x.copy()
    if name in ("exp", "log"):
        {"exp": run_exp, "log": run_log}[name](z, z.size)
    else:
        run_activate(int(Activation[name.upper()]), 0.0, z, z.size)
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
def test_functions_are_accurate_on_the_whole_range(name, dtype):
    x = whole_range(dtype)
    if name == "log":
        x = np.abs(x)
    assert ulps(computed(name, x), exact(name, x)) <= 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_at_their_limits(dtype):
    inf, nan = np.inf, np.nan
    x = np.array([-inf, -1e30, 1e30, inf, nan, 0.0, -0.0], dtype)
    expected = {
        "exp": [0, 0, inf, inf, nan, 1, 1],
        "log": [nan, nan, np.log(x[2]), inf, nan, -inf, -inf],
        "sigmoid": [0, 0, 1, 1, nan, 0.5, 0.5],
        "tanh": [-1, -1, 1, 1, nan, 0, -0.0],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(computed(name, x), np.array(values, dtype), err_msg=name)
    assert np.signbit(computed("tanh", x)[-1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_scalar_functions_equal_the_array_forms_bit_for_bit(dtype):
    x = whole_range(dtype)[::7]
    out = np.empty((2, x.size), dtype)
    run_scalars(x, out)
    for row, name in zip(out, ("sigmoid", "tanh"), strict=True):
        np.testing.assert_array_equal(row, computed(name, x), err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_array_forms_stay_within_n(dtype):
    rng = np.random.default_rng(0)
    for n in range(2 * simd.LEVEL.lanes(32) + 2):
        z = rng.normal(size=n + 20).astype(dtype)
        before = z.copy()
        run_activate(int(Activation.SIGMOID), 0.0, z, n)
        np.testing.assert_array_equal(z[:n], computed("sigmoid", before)[:n])
        np.testing.assert_array_equal(z[n:], before[n:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_piecewise_linear_activations(slope, dtype):
    rng = np.random.default_rng(0)
    z = rng.normal(size=37).astype(dtype)
    code = int(Activation.LEAKY_RELU if slope else Activation.RELU)
    a = z.copy()
    run_activate(code, slope, a, z.size)
    np.testing.assert_array_equal(a, np.where(z > 0, z, z.dtype.type(slope) * z))
    delta = rng.normal(size=z.size).astype(dtype)
    expected = np.where(z > 0, delta, z.dtype.type(slope) * delta)
    run_derivative(code, slope, a, delta, z.size)
    np.testing.assert_array_equal(delta, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_identity_changes_nothing(dtype):
    z, delta = np.full(5, 2.0, dtype), np.full(5, 3.0, dtype)
    run_activate(int(Activation.IDENTITY), 0.0, z, 5)
    run_derivative(int(Activation.IDENTITY), 0.0, z, delta, 5)
    assert (z == 2).all()
    assert (delta == 3).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_derivatives_are_taken_from_the_output(dtype):
    rng = np.random.default_rng(0)
    a, delta = rng.uniform(size=(2, 41)).astype(dtype)
    for activation, derivative in ((Activation.SIGMOID, a - a * a), (Activation.TANH, 1 - a * a)):
        product = delta.copy()
        run_derivative(int(activation), 0.0, a, product, a.size)
        np.testing.assert_allclose(product, delta * derivative, rtol=1e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_from_logits(dtype):
    z = whole_range(dtype)
    z = z[np.abs(z) < 1e30]
    for y in (np.zeros_like(z), np.ones_like(z)):
        out = np.empty_like(z)
        run_loss(int(Loss.SIGMOID_CROSS_ENTROPY), z.copy(), y, y, out, z.size)
        wide = z.astype(np.longdouble)
        expected = np.logaddexp(np.longdouble(0), np.where(y > 0, -wide, wide))
        normal = expected >= np.finfo(dtype).tiny
        assert (np.abs(out - expected) <= 4 * np.finfo(dtype).eps * expected)[normal].all()
        assert (out[~normal] <= np.finfo(dtype).tiny).all()
        assert (out >= 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_columns(dtype):
    lanes = simd.LEVEL.lanes(8 * np.dtype(dtype).itemsize)
    check_softmax_columns(lanes, dtype, run_softmax, run_delta_columns)


SHAPES = [
    *[(rows, simd.LEVEL.lanes(32), 3) for rows in range(14)],
    *[(7, vectors * simd.LEVEL.lanes(32), 5) for vectors in range(10)],
    (5, 32, 0), (5, 32, 1), (33, 96, 17), (100, 128, 67), (13, 64, 200), (13, 64, 600),
    (8 * BLOCK_ROWS + 5, 9 * simd.LEVEL.lanes(32), 30),
    *[(rows, 16 * MAX_VECTORS * simd.LEVEL.lanes(32), depth) for rows, depth in ((200, 30), (49, MAX_DEPTH + 9))],
]  # fmt: skip


def operands(rows, cols, depth, dtype, by_columns, seed=0):
    """Return A in one of its layouts as (rows, depth) with its strides, B, C, bias; a margin of NaN around each."""
    rng = np.random.default_rng(seed)
    margin = 3

    def guarded(height, width):
        memory = np.full(margin + height * (width + margin) + 100, np.nan, dtype)
        view = memory[margin : margin + height * (width + margin)].reshape(height, width + margin)[:, :width]
        view[:] = rng.normal(size=(height, width))
        return memory, view, width + margin

    A_memory, A, stride = guarded(depth, rows) if by_columns else guarded(rows, depth)
    A, strides = (A.T, (1, stride)) if by_columns else (A, (stride, 1))
    return (A_memory, A, strides), guarded(depth, cols), guarded(rows, cols), guarded(1, cols), margin


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("mode", [ASSIGN, ADD, FROM_BIAS, BIAS_FROM_MEMORY])
def test_multiply(mode, by_columns, dtype):
    for rows, cols, depth in SHAPES:
        (a, A, (a_row, a_depth)), (b, B, b_depth), (c, C, c_row), (bias, bias_row, _), margin = operands(
            rows, cols, depth, dtype, by_columns
        )
        start = (0.0, C.astype(float), *[bias_row.astype(float)] * 2)[mode]
        expected = start + A.astype(float) @ B.astype(float)
        size = np.abs(start) + np.abs(A).astype(float) @ np.abs(B).astype(float)
        outside = c.copy()
        np.lib.stride_tricks.as_strided(outside[margin:], C.shape, C.strides)[:] = 0
        run_multiply(rows, cols, depth, a, a_row, a_depth, b, b_depth, c, c_row, mode, bias, margin)
        assert (np.abs(C - expected) <= (depth + 2) * np.finfo(dtype).eps * size).all(), (rows, cols, depth)
        C[:] = 0
        np.testing.assert_array_equal(c, outside)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", [ASSIGN, ADD, FROM_BIAS])
def test_an_element_does_not_depend_on_its_tile(mode, dtype):
    rows, cols, depth = 29, 7 * simd.LEVEL.lanes(32), 150
    (a, _, strides), (b, _, b_depth), (c, C, c_row), (bias, *_), margin = operands(rows, cols, depth, dtype, False)
    start = c.copy()
    run_multiply(rows, cols, depth, a, *strides, b, b_depth, c, c_row, mode, bias, margin)
    expected = C.copy()
    columns = np.full_like(a, np.nan, shape=depth * rows + margin)
    columns[margin:] = np.lib.stride_tricks.as_strided(
        a[margin:], (depth, rows), (a.itemsize, strides[0] * a.itemsize)
    ).ravel()
    c[:] = start
    run_multiply(rows, cols, depth, columns, 1, rows, b, b_depth, c, c_row, mode, bias, margin)
    np.testing.assert_array_equal(C, expected)
    for height in (1, 2, 3, 5, 11):
        c[:] = start
        for i in range(0, rows, height):
            arguments = (min(height, rows - i), cols, depth, a[i * strides[0] :], *strides, b, b_depth)
            run_multiply(*arguments, c[i * c_row :], c_row, mode, bias, margin)
        np.testing.assert_array_equal(C, expected)
    width = simd.LEVEL.lanes(32)
    c[:] = start
    for j in range(0, cols, width):
        run_multiply(rows, width, depth, a, *strides, b[j:], b_depth, c[j:], c_row, mode, bias[j:], margin)
    np.testing.assert_array_equal(C, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", [ASSIGN, ADD, FROM_BIAS, BIAS_FROM_MEMORY])
def test_multiply_of_a_sum_over_samples(mode, dtype):
    """A's row stride is 0: the numbers are one after the other, or one again and again."""
    rng = np.random.default_rng(0)
    for depth, vectors, a_depth in itertools.product((0, 1, 7, 8, 9, 96), (1, 2, 3), (0, 1)):
        cols = vectors * simd.LEVEL.lanes(8 * np.dtype(dtype).itemsize)
        A, bias = rng.normal(size=max(1, depth * a_depth)).astype(dtype), rng.normal(size=cols).astype(dtype)
        B = np.full((depth + 1, cols + 3), np.nan, dtype)
        B[:depth, :cols] = rng.normal(size=(depth, cols))
        C = np.append(rng.normal(size=cols), np.nan).astype(dtype)
        start, a, b = (0.0, C[:cols].astype(float), *[bias.astype(float)] * 2)[mode], A.astype(float), B[:depth, :cols]
        a = np.broadcast_to(a if a_depth else a[0], depth)
        run_multiply(1, cols, depth, A, 0, a_depth, B, cols + 3, C, cols, mode, bias, 0)
        error, size = np.abs(C[:cols] - (start + a @ b)), np.abs(start) + np.abs(a) @ np.abs(b)
        assert (error <= (depth + 2) * np.finfo(dtype).eps * size).all(), (depth, vectors, a_depth)
        assert np.isnan(C[cols])


@pytest.mark.parametrize("dtype", DTYPES)
def test_dots(dtype):
    """Against float64, with NaN after the rows and the result; the same bits for a row alone."""
    rng = np.random.default_rng(0)
    for rows, vectors in itertools.product((0, 1, 2, 3, 4, 7, 8, 15, 21), (0, 1, 5)):
        n = vectors * simd.LEVEL.lanes(8 * np.dtype(dtype).itemsize)
        M, v, out = np.full((rows, n + 3), np.nan, dtype), rng.normal(size=n).astype(dtype), np.full(rows + 1, np.nan)
        M[:, :n], out = rng.normal(size=(rows, n)), out.astype(dtype)
        run_dots(rows, n, M, n + 3, v, out)
        size = np.abs(M[:, :n]) @ np.abs(v)
        assert (np.abs(out[:rows] - M[:, :n].astype(float) @ v) <= (n + 2) * np.finfo(dtype).eps * size).all()
        assert np.isnan(out[rows])
        single = np.empty(rows, dtype)
        for r in range(rows):
            run_dots(1, n, M[r:], n + 3, v, single[r:])
        np.testing.assert_array_equal(out[:rows], single)


@pytest.mark.parametrize("dtype", DTYPES)
def test_transpose(dtype):
    for rows, cols in ((1, 1), (3, 5), (16, 16), (48, 35), (35, 48), (17, 64)):
        A = np.random.default_rng(0).normal(size=(rows, cols + 3)).astype(dtype)
        B = np.full((cols, rows + 2), np.nan, dtype)
        run_transpose(rows, cols, A, cols + 3, B, rows + 2)
        np.testing.assert_array_equal(B[:, :rows], A[:, :cols].T)
        assert np.isnan(B[:, rows:]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gram_rows(dtype):
    """Against float64, four rows at a time, with NaN after the columns and where nothing is to be written."""
    lanes, rng = simd.LEVEL.lanes(8 * np.dtype(dtype).itemsize), np.random.default_rng(0)
    for n in (lanes, 5 * lanes):
        X, G = np.full((12, n + 3), np.nan, dtype), np.full((12, 14), np.nan, dtype)
        X[:, :n] = rng.normal(size=(12, n))
        for first in (0, 4, 8):
            run_gram_rows(first, n, X, n + 3, G, 14)
        wide = X[:, :n].astype(float)
        error, size = np.abs(G[:, :12] - wide @ wide.T), np.abs(wide) @ np.abs(wide).T
        written = np.arange(12) < np.arange(4, 16, 4).repeat(4)[:, None]
        assert (error <= (n + 2) * np.finfo(dtype).eps * size)[written].all()
        assert np.isnan(G[:, :12][~written]).all()
        assert np.isnan(G[:, 12:]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("run", "most"), [(run_add_rows, 21), (run_add_rows_and_ask, 8)])
def test_add_rows(dtype, run, most):
    """Against float64, with NaN after the rows and the result."""
    rng = np.random.default_rng(0)
    for rows, vectors in ((0, 3), (1, 1), (4, 3), (7, 2), (8, 5), (most, 3)):
        n = vectors * simd.LEVEL.lanes(8 * np.dtype(dtype).itemsize)
        M, v, out = rng.normal(size=(rows, n + 3)).astype(dtype), rng.normal(size=rows).astype(dtype), np.ones(n + 1)
        M[:, n:], out = np.nan, out.astype(dtype)
        out[n] = np.nan
        run(rows, n, M, n + 3, v, out)
        size = 1 + np.abs(v) @ np.abs(M[:, :n])
        error = np.abs(out[:n] - 1 - v.astype(float) @ M[:, :n])
        assert (error <= (rows + 2) * np.finfo(dtype).eps * size).all()
        assert np.isnan(out[n])


@entry_point
def run_pointers(x):
    p = advance(pointer(x, 1), 1)
    p[1] = 2 * p[0] + p[-1]
    return p[1]


def test_pointers():
    x = np.arange(1, 7, dtype="float32").reshape(2, 3)
    value = run_pointers(x)
    assert x.tolist() == [[1, 2, 3], [8, 5, 6]]
    assert value == 8


@entry_point
def run_vectors(x, out, n):
    """Write a row for each function of vectors, taken from three unaligned ones; return the first one's sum."""
    p, o = pointer(x, 1), pointer(out, 1)
    width, row = lanes(p), out.shape[1]
    a, b, c = load(p, 0), load(p, width), load(p, 2 * width)
    store(o, 0, a)
    store(o, row, fill(x[1]))
    store(o, 2 * row, add(a, b))
    store(o, 3 * row, multiply_add(a, b, c))
    store(o, 4 * row, first_lanes(a, n))
    return total(a)


@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors(dtype):
    width = simd.LEVEL.lanes(np.dtype(dtype).itemsize * 8)
    x = np.full(3 * width + 2, np.nan, dtype)
    a, b, c = x[1:-1].reshape(3, width)
    a[:], b[:], c[:] = np.random.default_rng(0).integers(1, 100, (3, width))
    for n in range(width + 2):
        out = np.full((5, width + 2), np.nan, dtype)
        assert run_vectors(x, out, n) == a.sum()
        rows = [a, np.full(width, a[0]), a + b, a * b + c, np.where(np.arange(width) < n, a, 0)]
        np.testing.assert_array_equal(out[:, 1:-1], rows)
        assert np.isnan(out[:, [0, -1]]).all()


@entry_point
def run_activated(activation, slope, z, delta, out):
    """Write g(z) of a vector, and delta g'(z)."""
    p, o = pointer(z, 0), pointer(out, 0)
    slopes = fill(slope[0])
    a = activated(activation, load(p, 0), slopes)
    store(o, 0, a)
    store(o, lanes(p), times_derivative(activation, a, load(pointer(delta, 0), 0), slopes))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["identity", "sigmoid", "tanh", "relu", "leaky_relu"])
def test_activations_of_vectors_equal_the_array_forms_bit_for_bit(activation, dtype):
    code, slope = int(Activation[activation.upper()]), 0.2 if activation == "leaky_relu" else 0.0
    z, delta = np.random.default_rng(0).normal(size=(2, simd.LEVEL.lanes(np.dtype(dtype).itemsize * 8))).astype(dtype)
    out = np.empty((2, z.size), dtype)
    run_activated(code, np.array([slope], dtype), z, delta, out)
    run_activate(code, slope, z, z.size)
    run_derivative(code, slope, z, delta, z.size)
    np.testing.assert_array_equal(out, [z, delta])


@pytest.mark.parametrize("dtype", DTYPES)
def test_relu_of_infinities_and_nan(dtype):
    lanes = simd.LEVEL.lanes(8 * np.dtype(dtype).itemsize)
    z = np.resize(np.array([-np.inf, np.inf, np.nan, -1, -0.0, 2], dtype), lanes)
    expected, out = np.resize(np.array([0, np.inf, np.nan, 0, 0, 2], dtype), lanes), np.empty((2, lanes), dtype)
    run_activated(int(Activation.RELU), np.zeros(1, dtype), z, z, out)
    np.testing.assert_array_equal(out[0], expected)
    run_activate(int(Activation.RELU), 0.0, z, z.size)
    np.testing.assert_array_equal(z, expected)


@entry_point
def draw_tickets(counter, n):
    p = pointer(counter, 0)
    for _ in range(n):
        atomic_add(p, 1)
        pause()
    rest()


@entry_point
def exchange(x):
    p = pointer(x, 1)
    atomic_store(p, 5)
    return compare_exchange(p, 4, 9), compare_exchange(p, 5, 7), atomic_load(p)


def test_atomics():
    counter = np.zeros(1, np.int64)
    threads = [threading.Thread(target=draw_tickets, args=(counter, 20_000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter[0] == 80_000
    x = np.zeros(3, np.int64)
    assert exchange(x) == (5, 5, 7)
    assert x.tolist() == [0, 7, 0]


def run_python(code, *arguments, **environment):
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments]
    result = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result


LEVEL_SCRIPT = """
    import hashlib, sys
    import numpy as np
    from fastnn._kernels.numba.cache import cache_folder, entry_point
    from fastnn._kernels.numba.elementwise import activate
    from fastnn._kernels.numba.multiply import multiply
    from fastnn._kernels.numba.simd import LEVEL, pointer

    @entry_point
    def layer(A, W, b, C):
        rows, cols = C.shape
        c = pointer(C, 0)
        multiply(rows, cols, A.shape[1], pointer(A, 0), A.shape[1], 1, pointer(W, 0), cols, c, cols, 2, pointer(b, 0))
        activate(1, 0.0, c, c, C.size)

    rng, digest = np.random.default_rng(0), hashlib.sha256()
    for dtype, name, bits, error in (("float32", "float", 32, 1e-5), ("float64", "double", 64, 1e-13)):
        A, W, b = (rng.normal(size=s).astype(dtype) for s in ((19, 33), (33, 80), (80,)))
        C = np.empty((19, 80), dtype)
        layer(A, W, b, C)
        assert np.abs(C - 1 / (1 + np.exp(-(A.astype(float) @ W + b)))).max() < error
        code = "".join(layer.inspect_llvm().values()) + "".join(multiply.inspect_llvm().values())
        assert f"<{LEVEL.lanes(bits)} x {name}>" in code and f"<{2 * LEVEL.lanes(bits)} x {name}>" not in code
        digest.update(C.tobytes())
    print(LEVEL.name, digest.hexdigest(), cache_folder())
"""


def test_every_simd_level_gives_the_same_bits(tmp_path):
    digests, folders = set(), set()
    for level in simd.available_levels():
        result = run_python(LEVEL_SCRIPT, FASTNN_SIMD=level, FASTNN_CACHE_DIR=str(tmp_path))
        name, digest, folder = result.stdout.split()
        assert name == level
        digests.add(digest)
        folders.add(folder)
    if simd.HAS_FMA:
        assert len(digests) == 1
    assert len(folders) == len(simd.available_levels())


def test_an_unknown_simd_level_names_the_known_ones(monkeypatch):
    absent = next(name for name in simd.LEVELS if name not in simd.available_levels())
    for name, problem in (("mmx", "is unknown"), (absent, "is not available on this CPU")):
        monkeypatch.setenv("FASTNN_SIMD", name)
        with pytest.raises(ValueError, match=f"FASTNN_SIMD={name} {problem}; choose from: .*baseline"):
            simd.simd_level.__wrapped__()


def test_only_compiled_code_calls_a_kernel():
    with pytest.raises(TypeError, match="only compiled code can call multiply"):
        multiply(1, 2, 3)


SCRIPT = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from kernels_under_test import f
    assert f(3.0) == 5.0
    print("loaded" if f.stats.cache_hits else "compiled")
"""
MODULE = """
from fastnn._kernels.numba.cache import entry_point
from fastnn._kernels.numba.elementwise import sigmoid_
@entry_point
def f(x):
    return sigmoid_(x) * 0.0 + 5.0
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module of one kernel, and an empty cache."""
    (tmp_path / "kernels_under_test.py").write_text(MODULE)
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(tmp_path / "cache"))
    cache.cache_folder.cache_clear()
    yield tmp_path
    cache.cache_folder.cache_clear()


def call(folder, expected=5.0):
    """Import the module anew, call its kernel and say whether it was compiled or loaded."""
    spec = importlib.util.spec_from_file_location("kernels_under_test", folder / "kernels_under_test.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.f(3.0) == expected
    return "loaded" if module.f.stats.cache_hits else "compiled"


def test_a_second_process_loads_what_the_first_compiled(folder):
    for expected in ("compiled", "loaded"):
        result = run_python(SCRIPT, str(folder))
        assert (result.stdout.strip(), result.stderr) == (expected, "")


def test_the_folder_depends_on_every_source(folder, tmp_path, monkeypatch):
    package = tmp_path / "fastnn"
    shutil.copytree(Path(cache.__file__).parents[2], package)
    monkeypatch.setattr(cache, "__file__", str(package / "_kernels" / "numba" / "cache.py"))
    names = set()
    for path in (
        None,
        "_kernels/schema.py",
        "_kernels/drivers/sgd.py",
        "_kernels/numba/dots.py",
        "_equations/losses.py",
    ):
        if path:
            (package / path).write_text((package / path).read_text() + "\n")
        names.add(cache._key.__wrapped__())
    assert len(names) == 5


def test_a_changed_source_is_compiled_anew(folder):
    assert [call(folder), call(folder)] == ["compiled", "loaded"]
    # Of another length: Python takes bytecode for current by the second of the change and the length alone.
    (folder / "kernels_under_test.py").write_text(MODULE.replace("5.0", "6.00"))
    cache._file_hash.cache_clear()  # a process reads a source once
    assert call(folder, 6.0) == "compiled"


@pytest.mark.parametrize("damage", ["garbage", "truncated", "empty", "flipped", "folder"])
def test_a_damaged_cache_is_not_used(damage, folder, capfd):
    call(folder)
    (path,) = (folder / "cache").glob("*/*.kernel")
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    damaged = {"garbage": b"x" * 5000, "truncated": content[:-9], "empty": b"", "flipped": flipped}
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes(damaged[damage])
    assert call(folder) == "compiled"
    assert call(folder) == ("compiled" if damage == "folder" else "loaded")
    assert capfd.readouterr() == ("", "")


def test_a_cache_that_cannot_be_made_does_no_harm(folder, capfd):
    (folder / "cache").write_text("not a folder")
    assert [call(folder), call(folder)] == ["compiled", "compiled"]
    assert capfd.readouterr() == ("", "")


def test_a_read_only_cache_does_no_harm(folder, capfd, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError("read-only")

    # Not by permissions, which do not bind every user.
    monkeypatch.setattr(cache.tempfile, "mkstemp", refuse)
    monkeypatch.setattr(cache.os, "utime", refuse)
    assert [call(folder), call(folder)] == ["compiled", "compiled"]
    monkeypatch.undo()
    assert capfd.readouterr() == ("", "")


def test_a_kernel_without_a_source_file_is_compiled_in_memory(folder):
    namespace = {}
    exec(compile(MODULE, "<string>", "exec"), namespace)
    assert namespace["f"](3.0) == 5.0
    assert not (folder / "cache").exists()


def test_processes_may_compile_at_once(folder):
    results = []

    def run():
        results.append(run_python(SCRIPT, str(folder)))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.stderr for result in results] == ["", "", ""]
    (kernels,) = (folder / "cache").iterdir()
    assert [path.suffix for path in kernels.iterdir()] == [".kernel"]


def test_a_new_folder_drops_old_ones_that_nobody_used(tmp_path):
    long_ago = time.time() - 40 * 24 * 3600
    names = {name: tmp_path / name for name in ("kernels-" + "0" * 32, "kernels-" + "1" * 32, "precious")}
    for folder in names.values():
        folder.mkdir()
        (folder / "file").touch()
    for name in ("kernels-" + "0" * 32, "precious"):
        os.utime(names[name], (long_ago, long_ago))
    cache._make_folder(tmp_path / ("kernels-" + "2" * 32))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kernels-" + "1" * 32, "kernels-" + "2" * 32, "precious"]
