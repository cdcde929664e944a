"""The drivers' one source: what their language refuses, and both sets of primitives under both sets of drivers."""

from __future__ import annotations

import ctypes
import importlib
import inspect
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_close, kernel_optimizer, make_case, need

import fastnn
from fastnn._kernels import reference
from fastnn._kernels.drivers import generate, primitives
from fastnn._kernels.pool import Pool

KERNELS = Path(generate.__file__).parent.parent
TABLE = [name for name, value in vars(primitives).items() if inspect.isfunction(value)]

HEAD = "def wrong(job: Job, x: Reals, losses: Numbers, n: int) -> None:"


@pytest.fixture
def kernels(tmp_path):
    """A folder of kernels without drivers."""
    (tmp_path / "drivers").mkdir()
    shutil.copy(KERNELS / "drivers/primitives.py", tmp_path / "drivers")
    return tmp_path


def translated(kernels, source):
    """Return what the generator makes of a driver's file."""
    (kernels / "drivers" / "wrong.py").write_text(source, encoding="utf-8")
    return generate.cython_of_drivers(generate.Program(kernels))


def refused(kernels, source, line, reason):
    with pytest.raises(generate.LanguageError) as error:
        translated(kernels, source)
    assert str(error.value).startswith(f"{kernels / 'drivers' / 'wrong.py'}:{line}: ")
    assert reason in str(error.value)


def test_a_driver_in_cython(kernels):
    source = '''
from fastnn._kernels.contract import Loss
SIGMOID_LOSS, STEP = int(Loss.SIGMOID_CROSS_ENTROPY), 4
@kernel
def parts(job: Job, x: Reals, begin: int) -> tuple[Reals, int]:
    """Return a pointer, and how many numbers come after it."""
    return advance(x, begin), job.n_outputs - begin
@kernel
def total(job: Job, like: Reals, n: int) -> float:
    x, count = parts(job, reals(like, job.X), n // 2)
    result, i = 0.0, 0
    for j in range(0, count, STEP):
        if job.loss == SIGMOID_LOSS and not 0 < j <= n:
            continue
        result += x[j] * job.l2
    while i < field(job, 1, N_OUT):
        call(job.activate, (SIGMOID_LOSS, 0.5, x, x, min(i, n)))
        i += 1
    return result if result > 0.0 else -result
'''
    text = translated(kernels, source)
    expected = """
# wrong.py:9
cdef inline double total_f32(Job * job, float * like, int64_t n) noexcept nogil:
    cdef float * x
    cdef int64_t count
    cdef double result
    cdef int64_t i
    cdef int64_t j
    x, count = parts_f32(job, (<float *>job.X), (n // 2))
    result, i = 0.0, 0
    for j from 0 <= j < count by STEP:
        if ((job.loss == SIGMOID_LOSS) and (not (0 < j <= n))):
            continue
        result += (x[j] * job.l2)
    while (i < (<int64_t *>job.table)[1 * COLUMNS + N_OUT]):
        F32.activate(SIGMOID_LOSS, 0.5, x, x, min(i, n))
        i += 1
    return (result if (result > 0.0) else (-result))
"""
    assert expected in text
    assert "(float *, int64_t) parts_f32(Job * job, float * x, int64_t begin)" in text
    assert "(double *, int64_t) parts_f64(Job * job, double * x, int64_t begin)" in text
    assert text.startswith("cdef enum:\n    ASSIGN = 0\n")
    assert "    SIGMOID_LOSS = 1\n    STEP = 4\n" in text


STATEMENTS = {
    "y = [x[i] for i in range(n)]": "[x[i] for i in range(n)] is not in the language",
    "y = {}": "{} is not in the language",
    "y = 'text'": "'text' is not in the language",
    'y = f"{n}"': "is not in the language",
    "y = lambda: n": "is not in the language",
    "y = n in (1, 2)": "n in (1, 2) is not in the language",
    "y = x[0:n]": "is not in the language",
    "y = unheard_of": "unheard_of is not in the language",
    "y = job.nothing": "job.nothing is not in the language",
    "y = n.real": "n.real is not in the language",
    "y = (z := n)": "is not in the language",
    "y = n[0]": "n[0] is not in the language",
    "y = n if n > 0 else 1.5": "is not in the language",
    "y: int = n": "AnnAssign is not in the language",
    "with job: y = n": "With is not in the language",
    "try: y = n\n    finally: y = 1": "Try is not in the language",
    "pass": "Pass is not in the language",
    "assert n > 0": "Assert is not in the language",
    "for i in x: y = n": "For is not in the language",
    "for i in range(n): y = n\n    else: y = 1": "For is not in the language",
    "while n > 0: n -= 1\n    else: n = 1": "While is not in the language",
    "for i in range(n): break": "Break is not in the language",
    "def inner(): pass": "FunctionDef is not in the language",
    "unheard_of(n)": "unheard_of is unknown",
    "call(job.unheard_of, (n,))": "job.unheard_of is no primitive, and no driver",
    "y = x.copy()": "x.copy() is no plain call",
    "y = advance(x, n=n)": "advance(x, n=n) is no plain call",
    "y = advance(*x)": "*x is not in the language",
    "y = advance(x)": "advance takes 2 arguments, not 1",
    "y = advance(n, n)": "argument 1 of advance is int, not pointer",
    "y = real(x, n)": "argument 2 of real is int, not float",
    "y = min(n, 1.0)": "argument 2 of min is float, not int",
    "activate(1, 0, x, x, n)": "argument 2 of activate is int, not float",
    "call(job.activate, (1, 0.0, losses, x, n))": "argument 3 of activate is Numbers, not Reals",
    "y = n / 2": "Div of int and int is not in the language",
    "y = x[0] * n": "Mult of Real and int is not in the language",
    "y = x[0] < n": "Sub of Real and int is not in the language",
    "y = n & 1.0": "BitAnd of int and float is not in the language",
    "y = x + n": "Add of Reals and int is not in the language",
    "y = 2 ** n": "Pow of int and int is not in the language",
    "n = 1.0": "n is int, not float",
    "y, z = n": "1 values are assigned to (y, z)",
    "y = n, n": "2 values are assigned to y",
    "job.scale = n": "job.scale is float, not int",
    "job.layer = x[0]": "job.layer is int, not Real",
    "y = activate(1, 0.0, x, x, n)": "y gets no value",
    "advance = n": "advance is the name of something else",
    "multiply = n": "multiply is the name of something else",
    "N_IN = n": "N_IN is the name of something else",
    "for i in range(n): i = 0": "i is what a loop counts",
    "for i in range(n, 0, -2): n += i": "a range goes up, or down by one",
    "for i in range(): n += i": "a range goes up, or down by one",
    "for i in range(losses[0]): n += i": "losses[0] is float, not int or bool",
    "if losses[0]: n = 0": "losses[0] is float, not int or bool",
    "return n": "int is returned, not None",
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_is_refused(kernels, statement):
    refused(kernels, f"@kernel\n{HEAD}\n    {statement}\n", 3, STATEMENTS[statement])


MODULES = {
    "import numpy as np": "a name is imported as another",
    "class Job: pass": "a module has no ClassDef",
    "if True: A = 1": "a module has no If",
    "A = B = 1": "a module has no Assign",
    "A = 1.5": "a constant is a whole number or a code",
    "A = open('x')": "a constant is a whole number or a code",
    "A, B = 1, 2, 3": "a constant is a whole number or a code",
    "ADD = 3": "ADD is the name of something else",
    "N_IN = 3": "N_IN is the name of something else",
    "def f(job: Job) -> None: pause()": "f is not a plain @kernel",
    "@kernel(inline=True)\ndef f(job: Job) -> None: pause()": "f is not a plain @kernel",
    "@kernel\ndef multiply(job: Job) -> None: pause()": "multiply is the name of something else",
    "@kernel\ndef f(job) -> None: pause()": "job is annotated with nothing",
    "@kernel\ndef f(job: Job): pause()": "what f returns is annotated with nothing",
    "@kernel\ndef f(job: numpy.ndarray) -> None: pause()": "job is annotated with numpy.ndarray",
    "@kernel\ndef f(job: Job) -> list[int]: pause()": "what f returns is annotated with list[int]",
    "@kernel\ndef f(job: Job) -> tuple[int, str]: pause()": "what f returns is annotated with str",
    "@kernel\ndef f(job: Job = 0) -> None: pause()": "f takes more than plain arguments",
    "@kernel\ndef f(*jobs: Job) -> None: pause()": "f takes more than plain arguments",
    "@kernel\nasync def f(job: Job) -> None: pause()": "a module has no AsyncFunctionDef",
    '@kernel\ndef f(job: Job) -> None:\n    """Do nothing."""': "f does nothing",
    "@kernel\ndef f(n: int) -> int:\n    if n > 0:\n        return n": "f may end without a result",
}


@pytest.mark.parametrize("source", MODULES)
def test_a_module_is_refused(kernels, source):
    with pytest.raises(generate.LanguageError) as error:
        translated(kernels, source)
    place, line, reason = str(error.value).rsplit(":", 2)[0], *str(error.value).split(":")[-2:]
    assert place == str(kernels / "drivers" / "wrong.py")
    assert 1 <= int(line) <= source.count("\n") + 1
    assert MODULES[source] in str(error.value), reason


def test_what_is_generated_keeps_its_time_where_it_stays(kernels, tmp_path):
    folder = tmp_path / "generated"
    generate.generate(folder, kernels)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert set(before) == {"drivers.pxi", "table.h", "table.pxi"}
    generate.generate(folder, kernels)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


# ---- both sets of primitives under both sets of drivers


def test_numba_has_the_primitives_of_the_table():
    need("numba")
    functions = importlib.import_module("fastnn._kernels.numba.functions")
    assert sorted(functions.PRIMITIVES) == sorted(TABLE)
    for name in TABLE:
        expected = list(inspect.signature(getattr(primitives, name)).parameters)
        assert list(inspect.signature(functions.PRIMITIVES[name].py_func).parameters) == expected, name


def test_cython_has_the_primitives_of_the_table():
    need("cython")
    kernels = importlib.import_module("fastnn._kernels.cython.kernels")
    for itemsize in (4, 8):
        addresses = kernels.addresses(itemsize)
        assert list(addresses) == TABLE
        assert len(set(addresses.values())) == len(TABLE)


@pytest.fixture
def sides():
    """The Numba backend, its functions and Cython's module, both at the level that Numba compiles for."""
    need("numba")
    need("cython")
    names = ("numba", "numba.functions", "cython", "cython.kernels")
    found = [importlib.import_module(f"fastnn._kernels.{name}") for name in names]
    before = found[3].level()
    found[3].use_level(found[0].simd_level())
    yield found
    found[3].use_level(before)


@pytest.fixture
def numba_with_c(sides, monkeypatch):
    """Numba's drivers, with the C primitives at the addresses in the job."""
    numba, functions, _, kernels = sides
    compiled = functions.compiled

    def with_c_primitives(itemsize, per_sample):
        addresses, work = compiled(itemsize, per_sample)
        own = kernels.addresses(itemsize)
        return addresses | {name: own[name] for name in functions.BY_ADDRESS}, work

    monkeypatch.setattr(functions, "compiled", with_c_primitives)
    monkeypatch.setattr(numba.compiled_kernels, "_pool", Pool())  # jobs hold addresses
    return numba


@pytest.fixture
def c_with_numba(sides):
    """Cython's drivers, with Numba's primitives in the table: all but the optimizer's step, which takes a C struct."""
    _, functions, cython, kernels = sides
    for dtype in ("float32", "float64"):
        places, real = kernels.places(np.dtype(dtype).itemsize), functions.from_dtype(np.dtype(dtype))
        for name, primitive in functions.PRIMITIVES.items():
            address = functions.address_of(primitive, functions.signature(name, real))
            ctypes.c_size_t.from_address(places[name]).value = address
    return cython  # `sides` chooses the level again, and with it the C primitives


NETS = {  # sizes, activation, loss, samples, samples of a step
    "narrow": ((20, 12, 1), "sigmoid", "sigmoid_cross_entropy", 75, 1),
    "small": ((9, 20, 40, 3), "leaky_relu", "softmax_cross_entropy", 75, 1),
    "several outputs": ((12, 10, 17), "tanh", "sigmoid_cross_entropy", 60, 1),
    "one output": ((12, 10, 40, 1), "relu", "squared_error", 60, 1),
    "deferred": ((40, 500, 3), "tanh", "softmax_cross_entropy", 75, 1),
    "turned": ((30, 260, 270, 4), "leaky_relu", "softmax_cross_entropy", 70, 1),
    "deep": ((10, 20, 280, 300, 3), "tanh", "squared_error", 70, 1),
    "one output in batches": ((20, 12, 1), "sigmoid", "sigmoid_cross_entropy", 600, 100),
    "chunks": ((54, 30, 7), "relu", "softmax_cross_entropy", 1000, 400),
    "divided": ((300, 260, 10), "tanh", "softmax_cross_entropy", 130, 60),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("mixture", ["numba_with_c", "c_with_numba"])
def test_each_sides_drivers_on_the_others_primitives(request, mixture, net, dtype):
    kernels = request.getfixturevalue(mixture)
    sizes, activation, loss, m, batch_size = NETS[net]
    case = make_case(sizes, activation, loss, m, dtype, seed=3)
    order, steps = np.random.default_rng(4).permutation(m), -(-m // batch_size)
    oracle, found = case.doubled(), []
    fastnn.set_num_threads(2)
    for module, each in ((reference, oracle), (kernels, case)):
        optimizer = kernel_optimizer(fastnn.SGD(), each.parameters, np.full(steps, 0.01), l2=0.02)
        losses, arguments = np.empty(steps), (each.model, each.parameters, each.data, order)
        if batch_size == 1:
            module.sgd_epoch(*arguments, optimizer, losses)
        else:
            module.minibatch_epoch(*arguments, batch_size, optimizer, losses)
        out, gradient = np.empty((m, sizes[-1]), each.data.X.dtype), np.empty_like(each.parameters)
        module.forward(each.model, each.parameters, each.data.X, out)
        module.loss_and_gradient(each.model, each.parameters, each.data, 0.5, gradient)
        found.append((each.parameters, losses, out, gradient))
    for what, expected, actual in zip(("parameters", "losses", "outputs", "gradient"), *found, strict=True):
        assert_close(actual, expected, dtype, what, slack=20)
