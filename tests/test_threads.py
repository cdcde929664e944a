"""Threads: results depend on neither their number nor their timing; forks and several fits at a time work.

The tests marked ``timing`` measure, and so need a quiet machine: `pytest -m timing`.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import COMPILED, kernel_optimizer, make_case, need

import fastnn
from fastnn._kernels import division, schema

M = 613
NETS = {
    "narrow": ((20, 16, 1), "sigmoid", "sigmoid_cross_entropy"),
    "deep": ((33, 100, 37, 10), ("tanh", "relu"), "softmax_cross_entropy"),
    "wide": ((130, 200, 4), "relu", "squared_error"),
}


@pytest.fixture
def shared_work(costs, jobs):
    """Share work however small; return the jobs that are done."""
    # 200 x 4 units, of few lanes: 800
    costs(operations_per_step=1.0, operations_per_call=1.0, deferred_weights=600, walk_weights=700)
    return jobs


def results(kernels, case):
    """Run every kernel; return all that they write."""
    model, data, order = case.model, case.data, np.random.default_rng(0).permutation(M)
    out, gradient = np.empty((M, case.sizes[-1]), data.X.dtype), np.empty_like(case.parameters)
    kernels.forward(model, case.parameters, data.X, out)
    found = [out, gradient, np.float64(kernels.loss(model, case.parameters, data, 0.5))]
    found.append(np.float64(kernels.loss_and_gradient(model, case.parameters, data, 0.5, gradient)))
    for batch_size in (None, 1, 100, 300, M):
        for chosen in (fastnn.SGD(), fastnn.Adam()):
            parameters, losses = case.parameters.copy(), np.empty(-(-M // (batch_size or 1)))
            optimizer = kernel_optimizer(chosen, parameters, np.linspace(0.01, 0.005, len(losses)), 0.1)
            size = () if batch_size is None else (batch_size,)
            run = kernels.sgd_epoch if batch_size is None else kernels.minibatch_epoch
            run(model, parameters, data, order, *size, optimizer, losses)
            found += [parameters, optimizer.state, losses]
    return found


def assert_same_bits(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.tobytes() == other.tobytes()


# ---- how many, and when they come


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("one_gradient", [False, True], ids=["chunks", "one-gradient"])
@pytest.mark.parametrize("net", NETS)
def test_any_number_of_threads(compiled, shared_work, costs, net, one_gradient, dtype):
    """More than the cores too; for large batches with a gradient for each chunk, and with one for all threads."""
    if one_gradient:
        costs(max_chunk_bytes=0)
    case = make_case(*NETS[net], m=M, dtype=dtype)
    expected, paired = None, set()
    for threads in (1, 2, 3, 5):
        fastnn.set_num_threads(threads)
        shared_work.clear()
        found = results(compiled, case)
        divisions = [job.plan.division for job in shared_work]
        assert any(made.walk_divided for made in divisions) == (net != "narrow")
        paired |= {made.paired for made in divisions if made.chunks == division.Costs().min_chunks}
        expected = expected or found
        assert_same_bits(found, expected)
    if net == "narrow" and not one_gradient:
        assert paired == {0, 1}


def worker(compiled, dtype):
    """Return the function by which a thread of the backend works on a job."""
    if compiled.__name__.endswith("cython"):
        return compiled._work
    compile_for = importlib.import_module("fastnn._kernels.numba.functions").compiled

    def run(made):
        _, work = compile_for(np.dtype(dtype).itemsize, made.plan.request.per_sample)
        work.ctypes(made.address, None)

    return run


@pytest.mark.parametrize("windows", [False, True], ids=["shared", "windows"])
@pytest.mark.parametrize("delay", [None, 0.0, 1e-3, 0.02, "after"], ids=str)
def test_a_helper_that_arrives_late_or_never(compiled, shared_work, costs, monkeypatch, delay, windows):
    """The leader does what nobody else does; whoever comes after the end finds the team closed."""
    if windows:
        costs(operations_per_step=1e9, window_samples=50)
    fastnn.set_num_threads(3)
    work = worker(compiled, "float32")
    helpers = []

    def help_late(made):
        time.sleep(delay)
        work(made)

    def run(made):
        if delay not in (None, "after"):
            for _ in range(1, made.plan.division.threads):
                helpers.append(threading.Thread(target=help_late, args=(made,)))
                helpers[-1].start()
        work(made)
        if delay == "after" and made.plan.division.threads > 1:
            before = [made[field] for field in schema.CALL + schema.CURSOR]
            work(made)
            assert [made[field] for field in schema.CALL + schema.CURSOR] == before
        return False  # helpers are still to come

    case = make_case(*NETS["deep"], m=M, dtype="float32")
    expected = results(compiled, case)
    assert any(job.plan.division.window for job in shared_work) == windows
    monkeypatch.setattr(compiled.compiled_kernels, "run", run)
    found = results(compiled, case)
    for helper in helpers:
        helper.join(timeout=30)
        assert not helper.is_alive()
    assert_same_bits(found, expected)


# ---- several callers, several processes


def fit(seed=0):
    """Train with as many threads as may be used; return the parameters."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(2000, 200)).astype("float32"), rng.integers(0, 10, 2000)
    net = fastnn.Network((200, 128, 10), rng=seed)
    net.fit(X, y, batch_size=200, epochs=2)
    net.fit(X[:500], y[:500], batch_size=1, epochs=1)
    return net.parameters.tobytes()


@pytest.mark.parametrize("name", COMPILED)
def test_fits_at_the_same_time(name):
    need(name)
    fastnn.set_backend(name)
    fastnn.set_num_threads(2)
    expected, found = [fit(seed) for seed in range(3)], [[], [], []]

    def repeat(seed):
        found[seed].extend(fit(seed) for _ in range(3))

    threads = [threading.Thread(target=repeat, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert found == [[one] * 3 for one in expected]


PROCESSES = """
import multiprocessing, sys
import fastnn
from test_threads import fit_in_process

if __name__ == "__main__":
    name, method = sys.argv[1:]
    expected = fit_in_process(name)
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        found = pool.map_async(fit_in_process, [name] * 4).get(timeout=60)
    assert found == [expected] * 4
    assert fit_in_process(name) == expected
"""


def fit_in_process(name):
    fastnn.set_backend(name)
    fastnn.set_num_threads(2)
    return fit()


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("name", COMPILED)
def test_child_processes_of_one_that_has_trained(tmp_path, name, method):
    need(name)
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this platform has no {method}")
    script = tmp_path / "parent.py"
    script.write_text(PROCESSES)
    folders = [str(Path(__file__).parent), str(Path(fastnn.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, folders))}
    command = [sys.executable, str(script), name, method]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)
    assert result.returncode == 0, result.stderr


# ---- timing

BUSY = "while True: pass"
SLOWER = 2.5  # with another process on each core half the time is left, and a little for the switching
# Time per operation between neighbours of a sweep whose ratio is 1.25 at most: a larger factor is a cliff.
CLIFF = 1.6
WIDTHS = [int(w) for w in np.unique(np.geomspace(8, 1024, 29).round())]
BATCHES = [int(b) for b in np.unique(np.geomspace(2, 20000, 46).round())]  # 1 is per-sample descent


def best_seconds(call, repeats=5, at_least=0.02):
    """Return the shortest time of a call, each repeat being so many calls that it takes a while."""
    call()
    best, calls = np.inf, 1
    for _ in range(repeats):
        while True:
            start = time.perf_counter()
            for _ in range(calls):
                call()
            seconds = time.perf_counter() - start
            if seconds >= at_least:
                break
            calls = 2 * calls
        best = min(best, seconds / calls)
    return best


def epoch_call(compiled, sizes, batch_size, m, optimizer=None):
    """Return a function that runs one epoch of a float32 network."""
    case = make_case(sizes, "sigmoid", m=m, dtype="float32")
    order = np.random.default_rng(0).permutation(m)
    losses = np.empty(-(-m // batch_size))
    taken = kernel_optimizer(optimizer or fastnn.SGD(), case.parameters, np.full(len(losses), 1e-6))
    if batch_size == 1:
        return lambda: compiled.sgd_epoch(case.model, case.parameters, case.data, order, taken, losses)
    return lambda: compiled.minibatch_epoch(case.model, case.parameters, case.data, order, batch_size, taken, losses)


def operations(sizes):
    return 6 * sum(n_in * n_out for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True))


@pytest.mark.timing
@pytest.mark.parametrize("sizes", [(784, 128, 10), (64, 512, 512, 10)], ids=str)
@pytest.mark.parametrize("mode", ["sgd", "batch", "full"])
def test_a_busy_process_on_each_core(compiled, sizes, mode):
    """An epoch takes at most 2.5 times as long as alone: no thread waits at a barrier for one that is not running."""
    m = 20000
    call = epoch_call(compiled, sizes, {"sgd": 1, "batch": 100, "full": m}[mode], m)
    alone = best_seconds(call, at_least=0)
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        time.sleep(0.3)
        times = []
        for _ in range(7):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    finally:
        for other in others:
            other.kill()
            other.wait()
    ratio = np.median(times) / alone
    print(f"{compiled.__name__} {mode}: {alone * 1e3:.0f} ms alone, {ratio:.2f} times as long beside busy processes")
    assert ratio <= SLOWER


def assert_no_cliff(what, values, measure):
    """Compare the time per operation of neighbours; what looks like a cliff is measured again, beside its neighbour."""
    costs = [measure(value) for value in values]
    print(what, *(f"{value}:{1e-9 / cost:.1f}" for value, cost in zip(values, costs, strict=True)), "GFLOP/s")
    worst = 0.0
    for i in range(1, len(values)):
        ratio = costs[i] / costs[i - 1]
        if ratio > CLIFF:
            costs[i], costs[i - 1] = measure(values[i]), measure(values[i - 1])
            ratio = costs[i] / costs[i - 1]
        worst = max(worst, ratio)
        assert ratio <= CLIFF, f"{what}: {values[i]} costs {ratio:.2f} times as much per operation as {values[i - 1]}"
    print(f"{what}: at most {worst:.2f} times a neighbour's cost")


@pytest.mark.timing
@pytest.mark.parametrize("batch_size", [1, 100, 4000])
def test_no_cliff_in_width(compiled, batch_size):
    fastnn.set_num_threads(2)

    def cost(width):
        sizes = (64, width, width, 10)
        samples = 2.5 * division.Costs().operations_per_call / operations(sizes)  # for two threads
        m = int(np.clip(samples, 2 * batch_size, 20000))
        return best_seconds(epoch_call(compiled, sizes, batch_size, m), 3) / m / operations(sizes)

    assert_no_cliff(f"{compiled.__name__}, batch {batch_size}, width", WIDTHS, cost)


@pytest.mark.timing
@pytest.mark.parametrize("sizes", [(20, 16, 2), (128, 64, 10), (784, 128, 10)], ids=str)
def test_no_cliff_in_batch_size(compiled, sizes):
    fastnn.set_num_threads(2)

    def cost(batch_size):
        m = int(max(batch_size, min(20000, 2e8 / operations(sizes)) // batch_size * batch_size))
        return best_seconds(epoch_call(compiled, sizes, batch_size, m), 3) / m / operations(sizes)

    assert_no_cliff(f"{compiled.__name__}, {sizes}, batch size", BATCHES, cost)
