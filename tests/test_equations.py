"""Every equation on each backend and SIMD level against a wider type: in units in the last place of each result.

The C of every level is compiled here, with the flags that the level stands for. Numba compiles for the level in use;
test_simd_levels.py has the others.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from conftest import need

from fastnn._equations import activations, c, functions, losses, operations, updates
from fastnn._equations.algebra import signature
from fastnn._kernels.drivers import generate

SOURCES = Path(__file__).resolve().parent.parent / "fastnn/_kernels/cython"
FLAGS = {  # of each level: bytes of a vector, what the compiler may use
    "plain": (0, ()),
    "baseline": (16, ()),
    "avx2": (32, ("-mavx2", "-mfma")),
    "avx512": (64, ("-mavx2", "-mfma", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl")),
    "neon": (16, ("-DFASTNN_NEON",)),
}
PROGRAM = """
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__) && VECTOR_BYTES > 0
#define FASTNN_X86
#include <immintrin.h>
#elif defined(FASTNN_NEON)
#include <arm_neon.h>
#endif
#define NAME(name) name
#include "primitives.h"
#include "simd.h"
#undef INLINE
#define INLINE
#include "equations.h"
"""
wide = np.longdouble
DTYPES = [dtype for dtype in ("float32", "float64") if np.finfo(wide).eps < np.finfo(dtype).eps]


# ---- what is right


def sigmoid(x):
    t = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + t), t / (1 + t))


def normal_tail(x):
    """P(N > x), x >= 0: its continued fraction, and near 0 a series."""
    fraction = x
    for k in range(600, 0, -1):
        fraction = x + k / np.maximum(fraction, 0.5)
    term = total = x
    for k in range(1, 60):
        term = term * x * x / (2 * k + 1)
        total = total + term
    density = np.exp(-x * x / 2) / np.sqrt(2 * PI)
    return np.where(x < 1.5, wide(0.5) - density * total, np.where(x < 1e3, density / fraction, 0 * x))


PI = 4 * np.arctan(wide(1))


def gelu(z):
    size = np.minimum(np.abs(z), 1e3)
    tail = normal_tail(size)
    density = np.exp(-size * size / 2) / np.sqrt(2 * PI)
    below = np.where(z > 0, 1 - tail, tail)
    z_density = np.clip(z, -1e3, 1e3) * density
    return np.maximum(z, -1e3) * below, below + z_density, below + np.abs(z_density)


def log_of_1_plus(t):
    return np.log1p(t)


def softplus(z):
    return np.logaddexp(wide(0), z)


def silu(z):
    """Its value, its derivative, and the sum of the sizes of the derivative's terms."""
    z = np.clip(z, -1e3, 1e4)
    s, rest = sigmoid(z), sigmoid(-z)
    return z * s, s + z * s * rest, s + np.abs(z) * s * rest


def mish(z):
    z = np.clip(z, -1e3, 1e4)
    e = np.exp(-np.abs(z))
    n = np.where(z > 0, 1 + 2 * e, e * (2 + e))
    d = n + np.where(z > 0, 2 * e * e, 2)
    t, slope = n / d, 4 * np.where(z > 0, e * e, e) * (1 + e) / d**2
    return z * t, t + z * slope, t + np.abs(z) * slope


def softplus_and_slope(z):
    return softplus(z), sigmoid(z), sigmoid(z)


SCALE, ALPHA = wide("1.0507009873554804934193349852946"), wide("1.6732632423543772848170429916717")


def elu(z):
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))


def selu(z):
    return SCALE * np.where(z > 0, z, ALPHA * np.expm1(np.minimum(z, 0)))


def huber(z, y, c):
    e = np.abs(z - y)
    return np.where(e > c, c * (e - c / 2), e * e / 2)


def log_of_softplus(z):
    t = np.exp(np.clip(z, -60, 0))
    return np.where(z > 0, np.log(softplus(np.maximum(z, 0))), z + np.log(np.log1p(t) / t))


def slope_by_softplus(z):
    """sigmoid(z) / log(1 + e^z), 1 for very negative z."""
    t = np.exp(np.clip(z, -60, 0))
    return np.where(z > 0, sigmoid(z) / softplus(np.maximum(z, 0)), t / (1 + t) / np.log1p(t))


# ---- where it is asked for


def whole_range(dtype):
    """Numbers of every size and both signs, dense where functions bend, denormals, zeros, infinities and a NaN."""
    rng, real = np.random.default_rng(0), np.finfo(dtype)
    limit = {"float32": 110.0, "float64": 760.0}[dtype]
    sizes = 10.0 ** rng.uniform(np.log10(real.smallest_subnormal), np.log10(real.max), 20_000)
    special = [0.0, real.smallest_subnormal, real.tiny, real.max, np.inf, np.nan]
    x = np.concatenate([np.linspace(-limit, limit, 20_001), np.linspace(-2, 2, 20_001), sizes, special]).astype(dtype)
    return np.concatenate([x, -x])


def not_negative(dtype):
    return np.abs(whole_range(dtype))


def outputs(dtype):
    """What sigmoid and tanh give: dense near 0 and 1."""
    near = 10.0 ** np.linspace(-30, -0.1, 10_001)
    return np.concatenate([near, 1 - near, np.linspace(0, 1, 10_001)]).astype(dtype)


def not_positive(dtype):
    return -not_negative(dtype)


def outputs_of_elu(dtype):
    """What elu gives, dense near 0 and -1."""
    return np.concatenate([-outputs(dtype), not_negative(dtype)])


def logits(dtype):
    x = whole_range(dtype)
    return x[np.abs(x) < 1e15]


def from_minus_one(dtype):
    """From -1 on, dense there and near 0."""
    near = 10.0 ** np.linspace(-40, 0, 10_001)
    x = np.concatenate([near - 1, -near, near, 10.0 ** np.linspace(0, 30, 1001), [np.inf, np.nan, -0.0]])
    return x.astype(dtype)


def pairs(dtype):
    """Numbers of every size with others, with themselves, and with their opposites."""
    x = whole_range(dtype)
    other = np.random.default_rng(1).permutation(x)
    return np.concatenate([x, x, x]), np.concatenate([other, x, -x])


def of_one_sign(dtype):
    """Pairs of not negative numbers, whose logarithm of the sum of exponentials cancels nothing; and infinities."""
    x = np.concatenate([logits(dtype), [2.5, np.inf, -np.inf, np.inf, -np.inf, np.nan, 1.0]]).astype(dtype)
    y = np.concatenate([np.abs(logits(dtype)), [2.5, np.inf, -np.inf, -np.inf, 0.0, 1.0, np.nan]]).astype(dtype)
    return x, y


def with_condition(dtype):
    x, y = pairs(dtype)
    return (np.random.default_rng(2).integers(0, 2, x.shape).astype(dtype), x, y)


def moments(dtype):
    """Second moments: AVX-512's root takes the smallest normal number for all below."""
    x = not_negative(dtype)
    return np.maximum(x[np.isfinite(x)], np.finfo(dtype).tiny)


class Case(NamedTuple):
    """An equation, what it should give, its inputs, its constants, and how many units in the last place it may miss."""

    equation: Callable
    exact: Callable
    inputs: Callable
    numbers: tuple[float, ...] = ()
    bound: float = 1.0


def of_one(domain):
    return lambda dtype: (domain(dtype),)


def with_delta(domain):
    """The derivative times a delta of 1 is the derivative."""
    return lambda dtype: (domain(dtype), np.ones_like(domain(dtype)))


def with_target(y, *number):
    """Logits, the target y, and the number that a loss may take."""
    return lambda dtype: (logits(dtype), *(np.full_like(logits(dtype), x) for x in (y, *number)))


def near(y, *number):
    """The same for logits that are neither near the target nor far from it, in steps that are exact."""
    steps = np.concatenate([np.arange(1, 4096) / 64, -np.arange(1, 4096) / 64])
    return lambda dtype: tuple(x.astype(dtype) for x in (y + steps, *(np.full_like(steps, x) for x in (y, *number))))


CASES = (
    Case(functions.exp, np.exp, of_one(whole_range), bound=1.2),
    Case(functions.log, np.log, of_one(whole_range)),
    Case(functions.log_of_1_plus, log_of_1_plus, of_one(not_negative), bound=2),
    Case(functions.sigmoid, sigmoid, of_one(whole_range), bound=2.5),
    Case(functions.tanh, np.tanh, of_one(whole_range), bound=2.6),
    Case(functions.exp_minus_1, np.expm1, of_one(not_positive), bound=1.5),
    Case(functions.exp_of_minus_abs, lambda x: np.exp(-np.abs(x)), of_one(whole_range), bound=1.2),
    Case(functions.exp_of_difference, lambda x, y: np.exp(x - y), lambda t: (logits(t), 0 * logits(t)), bound=1.5),
    Case(functions.inverse_of_1_plus, lambda x: 1 / (1 + x), of_one(not_negative), bound=1.5),
    Case(activations.sigmoid_derivative, lambda a, d: d * a * (1 - a), with_delta(outputs), bound=1.5),
    Case(activations.tanh_derivative, lambda a, d: d * (1 - a) * (1 + a), with_delta(outputs), bound=1.5),
    Case(activations.relu, lambda z: np.where(z < 0, 0, z), of_one(whole_range), bound=0),
    Case(activations.relu_derivative, lambda a, d: np.where(a > 0, d, 0), with_delta(whole_range), bound=0),
    Case(activations.leaky_relu, lambda z, s: np.where(z > 0, z, s * z), of_one(whole_range), (0.25,), bound=0.5),
    Case(
        activations.leaky_relu_derivative, lambda a, d, s: np.where(a > 0, d, s * d), with_delta(whole_range), (0.25,),
        bound=0,
    ),
    Case(activations.elu, elu, of_one(whole_range), bound=1.5),
    Case(activations.elu_derivative, lambda a, d: np.where(a > 0, d, d * (1 + a)), with_delta(outputs_of_elu), bound=1),
    Case(activations.selu, selu, of_one(whole_range), bound=3),
    Case(activations.saved_derivative, lambda s, d: s * d, with_delta(outputs), bound=0.5),
    Case(functions.log1p, np.log1p, of_one(from_minus_one), bound=2),
    Case(functions.expm1, np.expm1, of_one(whole_range), bound=2.5),
    Case(operations.logaddexp, np.logaddexp, lambda t: (logits(t), 0 * logits(t)), bound=2),
    Case(operations.logaddexp, np.logaddexp, of_one_sign, bound=2),
    Case(operations.absolute, np.abs, of_one(whole_range), bound=0),
    Case(operations.maximum, np.maximum, pairs, bound=0),
    Case(operations.minimum, np.minimum, pairs, bound=0),
    Case(operations.less, np.less, pairs, bound=0),
    Case(operations.less_equal, np.less_equal, pairs, bound=0),
    Case(operations.equal, np.equal, pairs, bound=0),
    Case(operations.where, lambda c, x, y: np.where(c > 0, x, y), with_condition, bound=0),
    Case(losses.sigmoid_cross_entropy, lambda z, y: softplus(z), with_target(0.0), bound=2),
    Case(losses.sigmoid_cross_entropy, lambda z, y: softplus(-z), with_target(1.0), bound=2),
    Case(losses.sigmoid_cross_entropy_delta, lambda z, y: sigmoid(z), with_target(0.0), bound=2.5),
    Case(losses.squared_error, lambda z, y: (z - y) ** 2 / 2, with_target(0.0)),
    Case(losses.squared_error_delta, lambda z, y: z - y, with_target(2.0), bound=0.5),
    Case(losses.poisson, lambda z, y: np.exp(z), with_target(0.0), bound=1.5),
    Case(losses.poisson_delta, lambda z, y: np.exp(z), with_target(0.0), bound=1.5),
    Case(losses.absolute_error, lambda z, y: np.abs(z - y), with_target(2.0), bound=0.5),
    Case(losses.absolute_error_delta, lambda z, y: np.sign(z - y), with_target(2.0), bound=0),
    Case(losses.huber, huber, near(2.0, 0.75), bound=2),
    Case(losses.huber, huber, with_target(0.0, 0.75), bound=2),
    Case(losses.huber_delta, lambda z, y, c: np.clip(z - y, -c, c), with_target(2.0, 0.75), bound=0.5),
    Case(losses.quantile, lambda z, y, q: np.where(y > z, q * (y - z), (1 - q) * (z - y)), with_target(2.0, 0.875),
         bound=1.5),
    Case(losses.quantile_delta, lambda z, y, q: np.where(y > z, -q, np.where(y < z, 1 - q, z - y)),
         with_target(2.0, 0.875), bound=0),
    Case(losses.poisson_softplus, lambda z, y: softplus(z), with_target(0.0), bound=2),
    Case(losses.poisson_softplus, lambda z, y: softplus(z) - log_of_softplus(z), with_target(1.0), bound=2.5),
    Case(losses.poisson_softplus_delta, lambda z, y: sigmoid(z), with_target(0.0), bound=2.5),
    Case(losses.poisson_softplus_delta, lambda z, y: sigmoid(z) + slope_by_softplus(z), with_target(-1.0), bound=4),
    Case(losses.hinge, lambda z, y: np.maximum(0, 1 - z), near(1.0), bound=0),
    Case(losses.hinge, lambda z, y: np.maximum(0, 1 + z), near(0.0), bound=0),
    Case(losses.hinge_delta, lambda z, y: np.where(z < 1, -1, 0 * z), with_target(1.0), bound=0),
    Case(losses.hinge_delta, lambda z, y: np.where(z > -1, 1, 0 * z), with_target(0.0), bound=0),
    Case(updates.quotient, lambda x, y: x / y, lambda t: (np.ones_like(moments(t)), np.sqrt(moments(t))), bound=2),
    Case(updates.root, np.sqrt, of_one(moments)),
)  # fmt: skip


NAMES = [f"{case.equation.__name__}-{i}" for i, case in enumerate(CASES)]


def errors(actual, expected):
    """Return the largest error in units in the last place of the right results."""
    with np.errstate(all="ignore"):
        rounded = expected.astype(actual.dtype)
        found = np.abs(actual - expected) / np.spacing(np.abs(rounded))
    found[(actual == rounded) | (np.isnan(actual) & np.isnan(rounded))] = 0
    return float(np.where(np.isnan(found), np.inf, found).max())


def check(case, dtype, loops):
    """Hold loops, functions of arrays, numbers and the count of results, to the case's bound."""
    inputs = case.inputs(dtype)
    with np.errstate(all="ignore"):
        expected = case.exact(*(x.astype(wide) for x in inputs), *(wide(np.dtype(dtype).type(s)) for s in case.numbers))
    found = {level: errors(*loop(inputs, case.numbers, 1), expected) for level, loop in loops.items()}
    assert {level: error for level, error in found.items() if error > case.bound} == {}


# Activations that save their derivative: what is right, and how far both may be off, in units in the last place of the
# output, and of the derivative's larger term: gelu's, silu's and mish's are sums of two signs.
SAVING = {
    activations.gelu: (gelu, 4.5), activations.silu: (silu, 4), activations.mish: (mish, 4),
    activations.softplus: (softplus_and_slope, 2.5),
}  # fmt: skip


@functools.cache
def exact_outputs(equation, dtype):
    """Return the right outputs, derivatives, and sizes of the derivatives' terms: once, for all levels."""
    with np.errstate(all="ignore"):
        return SAVING[equation][0](whole_range(dtype).astype(wide))


def check_saving(equation, dtype, loop):
    """The output has all digits, the derivative those that a sum of both signs can have."""
    bound, z = SAVING[equation][1], whole_range(dtype)
    found, slopes = loop((z,), (), 2)
    expected, slope, size = exact_outputs(equation, dtype)
    real, defined = np.finfo(dtype), ~np.isnan(z)
    least = 800 * real.smallest_subnormal  # z times a denormal's rounding
    assert np.isnan(found[~defined]).all()
    assert np.isnan(slopes[~defined]).all()
    assert (found[z == np.inf], slopes[z == np.inf]) == (np.inf, 1)
    defined = np.abs(z) < 1e3 if equation is not activations.gelu else z < np.inf
    z, found, slopes, expected, slope, size = (x[defined] for x in (z, found, slopes, expected, slope, size))
    with np.errstate(all="ignore"):  # of the largest number
        units, units_of_slopes = (np.spacing(x.astype(dtype)) for x in (np.abs(expected), size))
    assert (np.abs(found - expected) <= bound * units + least).all()
    assert (np.abs(slopes - slope) <= bound * units_of_slopes + least).all()


def check_selu_derivative(dtype, loop):
    """Near -scale alpha, where it is nearly 0, it is as far off as outputs are."""
    a = np.concatenate([-outputs(dtype) * np.dtype(dtype).type(SCALE * ALPHA), not_negative(dtype)])
    (found,) = loop((a, np.ones_like(a)), (), 1)
    expected = np.where(a > 0, SCALE, SCALE * ALPHA + a)
    assert (np.abs(found - expected) <= np.finfo(dtype).eps * 2)[~np.isnan(a)].all()
    assert np.isnan(found[np.isnan(a)]).all()


def check_adam(dtype, loop):
    """Adam's step where its second moment is nothing, a denormal, small, large or infinite: finite and right."""
    real = np.finfo(dtype)
    s = np.array([0, real.smallest_subnormal, 0.3 * real.tiny, real.tiny, 2 * real.tiny, 1e-30, 1e-16, 1, real.max / 2])
    s, v, g = (x.ravel().astype(dtype) for x in np.meshgrid(s, [0.0, 1e-30, -1e-8, 1.0], [0.0, 1e-20, 1e-4, -2.0]))
    rate, first, second, epsilon, correction = (np.dtype(dtype).type(x) for x in (1e-3, 0.9, 0.999, 1e-8, 1.5))
    numbers = (rate, first, 1 - first, second, 1 - second, epsilon, correction, 1.0, 0.0)
    theta, new_v, new_s = loop((g, np.zeros_like(g), v, s), numbers, 3)
    w = [wide(x) for x in numbers]
    exact_v = w[1] * v.astype(wide) + w[2] * g.astype(wide)
    exact_s = w[3] * s.astype(wide) + w[4] * g.astype(wide) ** 2
    step = -w[0] * exact_v / (np.sqrt(exact_s) * w[6] + w[5])
    assert (np.abs(new_v - exact_v) <= real.eps * (np.abs(exact_v) + np.abs(v)) + real.tiny).all()
    assert (np.abs(new_s - exact_s) <= 2 * real.eps * exact_s + real.tiny).all()
    assert np.isfinite(theta).all()
    assert (np.abs(theta - step) <= 8 * real.eps * np.abs(step) + real.tiny).all()
    one, odd = np.ones(3, dtype), np.array([np.inf, np.nan, np.inf], dtype)
    theta, *_ = loop((np.array([1, 1, np.inf], dtype), one, one, odd), numbers, 3)
    assert theta[0] == 1  # a square of the gradient that overflows stops a parameter,
    assert np.isnan(theta[1])  # what is none remains none,
    assert not np.isfinite(theta[2])  # and a gradient that is infinite shows


# ---- the backends


@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    """Return the function that gives the loops of a level and a type, compiled from C."""
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
    if compiler is None or not SOURCES.exists():
        pytest.skip("no C compiler, or no sources")

    @functools.cache
    def library(level, dtype):
        folder = tmp_path_factory.mktemp("equations")
        (folder / "equations.h").write_text(c.header([case.equation for case in CASES]))
        (folder / "equations.c").write_text(PROGRAM)
        (folder / "codes.h").write_text(c.codes())
        generate.generate(folder)  # the table of primitives, whose header says what a level is
        vector, flags = FLAGS[level]
        real, bits = {"float32": ("float", 32), "float64": ("double", 64)}[dtype]
        macros = f"-DREAL={real}", f"-DBITS={bits}", f"-DVECTOR_BYTES={vector}"
        files = f"-I{SOURCES}", f"-I{folder}", "-o", folder / "equations.so", folder / "equations.c", "-lm"
        subprocess.run([compiler, "-O2", "-fPIC", "-shared", "-fno-math-errno", *flags, *macros, *files], check=True)
        return ctypes.CDLL(str(folder / "equations.so"))

    return library


@pytest.fixture(scope="session")
def c_levels():
    """Each level that the CPU has, and plain loops."""
    need("cython")
    from fastnn._kernels.cython import kernels

    return ["plain", *(level for level in FLAGS if level in kernels.available_levels() and level != "plain")]


def array_loop(function, dtype):
    """Return what runs a compiled loop of pointers, numbers and a length."""
    real = {"float32": ctypes.c_float, "float64": ctypes.c_double}[dtype]

    def run(inputs, numbers, results):
        arrays = [*inputs, *(np.empty_like(inputs[0]) for _ in range(results))]
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
        function(*pointers, *map(real, numbers), ctypes.c_ssize_t(inputs[0].size))
        return arrays[len(inputs) :]

    return run


@pytest.fixture
def c_loops(libraries, c_levels):
    """Return the function that gives an equation's loop in C of each level."""
    return lambda equation, dtype: {
        level: array_loop(getattr(libraries(level, dtype), f"{equation.__name__}_map"), dtype) for level in c_levels
    }


@functools.cache
def numba_library(dtype):
    """Return the loops of all equations, compiled as Numba compiles them, by equation; and the library they lie in."""
    from llvmlite import ir
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.cpu_options import FastMathOptions
    from numba.core.fastmathpass import rewrite_module
    from numba.core.registry import cpu_target

    from fastnn._kernels.numba.cache import OPTIONS
    from fastnn._kernels.numba.maps import map_function

    library = cpu_target.target_context.codegen().create_library("equations")
    module = library.create_ir_module("equations")
    scalar, names = {"float32": ir.FloatType(), "float64": ir.DoubleType()}[dtype], {}
    for equation in (*(case.equation for case in CASES), *SAVING, activations.selu_derivative, updates.adam):
        has = signature(equation)
        function = map_function(
            module, equation, scalar, len(has.elements), has.results, len(has.inputs) - len(has.elements)
        )
        function.linkage = "external"
        names[equation] = function.name
    rewrite_module(module, FastMathOptions(OPTIONS["fastmath"]))
    with global_compiler_lock:
        library.add_ir_module(module)
        library.finalize()
    found = {equation: ctypes.CFUNCTYPE(None)(library.get_pointer_to_function(n)) for equation, n in names.items()}
    return found, library


def numba_loops(equation, dtype):
    """Return an equation's loop of the level at which Numba compiles."""
    need("numba")
    return {"numba": array_loop(numba_library(dtype)[0][equation], dtype)}


@pytest.mark.parametrize("case", CASES, ids=NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_c(case, dtype, c_loops):
    check(case, dtype, c_loops(case.equation, dtype))


@pytest.mark.parametrize("case", CASES, ids=NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_numba(case, dtype):
    check(case, dtype, numba_loops(case.equation, dtype))


def check_others(dtype, loops_of):
    """Hold the equations that are no `Case` to their bounds; ``loops_of`` returns an equation's loops."""
    checks = {equation: functools.partial(check_saving, equation) for equation in SAVING}
    checks |= {activations.selu_derivative: check_selu_derivative, updates.adam: check_adam}
    for equation, hold in checks.items():
        for loop in loops_of(equation, dtype).values():
            hold(dtype, loop)


@pytest.mark.parametrize("dtype", DTYPES)
def test_other_equations_in_c(dtype, c_loops):
    check_others(dtype, c_loops)


@pytest.mark.parametrize("dtype", DTYPES)
def test_other_equations_in_numba(dtype):
    check_others(dtype, numba_loops)
