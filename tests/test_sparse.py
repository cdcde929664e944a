"""Sparse samples: in every mode the numbers of the dense copy, without one; what is malformed is named."""

from __future__ import annotations

import ctypes
import importlib
import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import peak_memory

import fastnn
from fastnn._kernels import compiled as compiled_kernels
from fastnn._kernels.contract import SparseRows
from fastnn.data import Scaler, as_samples

OPTIMIZERS = {
    "sgd": fastnn.SGD(0.1),
    "momentum": fastnn.SGD(0.02, momentum=0.9),
    "nesterov": fastnn.SGD(0.02, momentum=0.9, nesterov=True),
    "rmsprop": fastnn.RMSprop(1e-3),
    "adam": fastnn.Adam(3e-3),
    "adamw": fastnn.AdamW(3e-3, weight_decay=0.1),
}
# Hidden layers and outputs whose widths are parts of vectors, whole ones and several; one layer; one output.
NETS = [((7,), 3), ((33, 5), 2), ((64,), 1), ((), 3), ((130, 16), 4), ((1,), 2)]
WAYS = [(1, True), (5, True), (5, False), (None, True)]  # batch sizes, and whether rows are shuffled
EXTRAS = [{}, {"l2": 0.5}, {"l1": 0.05, "l2": 0.1}, {"average": fastnn.EMA(0.9)}, {"rate_factors": {"weights": 0.5}}]


def sparse(m=43, n=90, density=0.06, dtype="float64", seed=0):
    """Return samples, some without a number: also the last one."""
    rng = np.random.default_rng(seed)
    X = sp.random(m, n, density, format="csr", random_state=seed)
    X.data = rng.integers(1, 9, X.nnz) / 4 if np.dtype(dtype).kind == "f" else rng.integers(1, 9, X.nnz)
    X = X.astype(dtype).tolil()
    X[[3, m - 1]] = 0
    X[5, [0, n - 1]] = 2
    return X.tocsr()


def targets(m, outputs):
    return np.arange(m) * 7 % max(2, outputs)


def network(sizes, dtype="float64", **options):
    loss = "sigmoid_cross_entropy" if sizes[-1] == 1 else "softmax_cross_entropy"
    return fastnn.Network(sizes, "tanh", loss, dtype, rng=3, **options)


def results(net, X, y, held, **options):
    """Return all that a training and its network say."""
    history = net.fit(X, y, epochs=3, validation_data=held, progress=False, **options)
    J, gradient = net.loss_and_gradient(X, y, l2=0.3)
    said = [net.parameters, net.state.optimizer_state, gradient, net.forward(X), net.predict_proba(X)]
    return [*said, history.loss, history.validation_loss, [J, net.loss(X, y), net.score(X, y)]]


def assert_near(found, expected, tolerance, what):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, err_msg=str(what))


def mixed(seed, *parts):
    """Return every combination again and again, in a random order."""
    combinations = list(itertools.product(*parts))
    return itertools.cycle(combinations[i] for i in np.random.default_rng(seed).permutation(len(combinations)))


def test_every_mode_has_the_numbers_of_the_dense_copy(backend):
    draws = mixed(1, NETS, WAYS, EXTRAS)
    for optimizer, _ in itertools.product(OPTIMIZERS.values(), range(5)):
        (hidden, outputs), (batch_size, shuffle), extras = next(draws)
        X, y = sparse(), targets(43, outputs)
        options = {"optimizer": optimizer, "batch_size": batch_size, "shuffle": shuffle, **extras}
        given = (results(network((90, *hidden, outputs)), x, y, (x[10:20], y[10:20]), **options)
                 for x in (X, X.toarray()))  # fmt: skip
        assert_near(*given, 1e-8, (hidden, outputs, options))


def test_clipping_dropout_and_weights(backend):
    X, y = sparse(), targets(43, 3)
    options = {"sample_weight": 1.0 + y, "batch_size": 8, "l2": 0.1}
    for optimizer in (fastnn.SGD(0.1, clip_norm=0.3), fastnn.Adam(3e-3, clip_norm=0.2), OPTIMIZERS["adam"]):
        found, expected = (
            results(network((90, 20, 6, 3), dropout=0.4), x, y, (x, y), optimizer=optimizer, **options)
            for x in (X, X.toarray())
        )
        assert_near(found, expected, 1e-8, optimizer)


def test_trained_input_scales(backend):
    X, y = sparse(), targets(43, 3)
    options = {"optimizer": "adam", "rate_factors": {"inputs": 6.0}, "batch_size": 10}
    assert_near(*(results(network((90, 20, 3)), x, y, None, **options) for x in (X, X.toarray())), 1e-8, "scales")


def small_tiles(costs):
    costs(operations_per_call=1.0, operations_per_step=100.0, sparse_tile_rows=8, block_rows=16)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_change_no_bit(backend, costs, dtype):
    if backend == "numpy":
        pytest.skip("the reference has no threads")
    small_tiles(costs)
    X = sparse(m=203, n=1500, density=0.02, seed=2)
    y = targets(203, 3)
    for optimizer, batch_size in (("sgd", 8), ("adam", 8), ("adam", 40), ("adamw", 5), ("momentum", None)):
        found = []
        for threads in (1, 2, 3):
            fastnn.set_num_threads(threads)
            options = {"optimizer": OPTIMIZERS[optimizer], "batch_size": batch_size, "l2": 0.2}
            found.append(results(network((1500, 33, 3), dtype), X, y, (X, y), **options))
        dense = results(network((1500, 33, 3), "float64"), X.toarray(), y, (X, y), **options)
        for other in found[1:]:
            for one, two in zip(found[0], other, strict=True):
                np.testing.assert_array_equal(one, two, err_msg=f"{optimizer}, {batch_size}")
        assert_near(found[0], dense, {"float32": 2e-4, "float64": 1e-8}[dtype], (optimizer, batch_size))


def test_weights_that_wait_have_the_bits_of_those_that_do_not(backend, monkeypatch):
    if backend == "numpy":
        pytest.skip("in the reference none wait")
    X, y = sparse(m=120, n=300, density=0.01), targets(120, 3)
    for (name, optimizer), l2 in itertools.product(OPTIMIZERS.items(), (0.0, 0.4)):
        if name == "sgd":  # one factor for all
            continue
        found = []
        for waits in (compiled_kernels._waits, lambda optimizer: False):
            monkeypatch.setattr(compiled_kernels, "_waits", waits)
            found.append(results(network((300, 21, 3)), X, y, None, optimizer=optimizer, batch_size=2, l2=l2))
            monkeypatch.undo()
            fastnn.set_backend(backend)
        for one, other in zip(*found, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=f"{name}, {l2}")


def test_a_strong_penalty_folds_its_factor_within_an_epoch(backend):
    X, y = sparse(), targets(43, 3)
    options = {"optimizer": fastnn.SGD(0.5), "batch_size": 2, "l2": 3.0}  # 0.97^21 is about a half
    assert_near(*(results(network((90, 8, 3)), x, y, None, **options) for x in (X, X.toarray())), 1e-8, "folded")


def test_parts_of_a_training_are_the_whole(backend):
    X, y = sparse(), targets(43, 3)
    nets = [network((90, 12, 3)) for _ in range(2)]
    nets[0].fit(X, y, optimizer="adam", batch_size=4, epochs=3, l2=0.2, progress=False)
    for _ in range(3):
        nets[1].fit(X, y, optimizer="adam", batch_size=4, epochs=1, l2=0.2, progress=False)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32", "float64", "bool"])
def test_types_of_numbers_and_of_indices(backend, dtype):
    X, y = sparse(dtype=dtype), targets(43, 3)
    wide = sp.csr_array((X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), X.shape)
    assert wide.indices.dtype == np.int64
    expected = results(network((90, 9, 3)), X.toarray(), y, None, batch_size=7)
    for given in (X, wide, sp.csr_array(X)):
        assert_near(results(network((90, 9, 3)), given, y, None, batch_size=7), expected, 1e-8, given.indices.dtype)


def test_other_formats_are_converted_and_none_is_changed(backend):
    X, y = sparse(), targets(43, 3)
    expected, (_, gradient) = network((90, 9, 3)).forward(X), network((90, 9, 3)).loss_and_gradient(X, y)
    twice = sp.csr_matrix((np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr), X.shape)
    backwards = X[:, ::-1][:, ::-1].copy()
    for row in range(len(y)):
        part = slice(X.indptr[row], X.indptr[row + 1])
        backwards.indices[part], backwards.data[part] = X.indices[part][::-1], X.data[part][::-1]
    backwards.has_sorted_indices = True  # which is not so
    for given in (X.tocsc(), X.tocoo(), X.tolil(), X.tobsr(), sp.coo_array(X), twice, backwards):
        before = given.copy()
        np.testing.assert_allclose(network((90, 9, 3)).forward(given), expected, rtol=1e-12)
        np.testing.assert_allclose(network((90, 9, 3)).loss_and_gradient(given, y)[1], gradient, atol=1e-13)
        if given.format == "csr":
            for part in ("data", "indices", "indptr"):
                np.testing.assert_array_equal(getattr(given, part), getattr(before, part))
    samples = as_samples(X, 90, np.dtype("float64"))
    assert isinstance(samples, SparseRows)
    assert np.shares_memory(samples.values, X.data)
    assert np.shares_memory(samples.indices, X.indices)


def test_sparse_targets(backend):
    X, y = sparse(), targets(43, 3)
    one_hot = sp.csr_matrix(np.eye(3)[y])
    nets = [network((90, 9, 3)) for _ in range(2)]
    for net, given in zip(nets, (y, one_hot), strict=True):
        net.fit(X, given, batch_size=9, epochs=2, progress=False)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
    answers = fastnn.Network((90, 5, 3), loss="sigmoid_cross_entropy", rng=1)
    answers.fit(X, one_hot, epochs=1, progress=False)
    assert answers.score(X, one_hot) == answers.score(X, one_hot.toarray())


def test_no_dense_copy_is_made(backend):
    if backend == "numpy":
        pytest.skip("the reference writes some rows out at a time")
    m, n = 300, 20_000
    X = sp.random(m, n, 0.0005, format="csr", random_state=1, dtype=np.float32)
    y, net = targets(m, 2), network((n, 2), "float32")

    def use():
        for batch_size in (1, 50, None):
            net.fit(X, y, optimizer="sgd", batch_size=batch_size, epochs=1, validation_data=(X, y), progress=False)
        net.loss_and_gradient(X, y)
        return net.score(X, y), net.loss(X, y)

    use()
    assert peak_memory(use) < m * n  # bytes: of float32 it would be four times that


def add_some_rows(backend):
    """Return the primitive in float32, as C calls it."""
    if backend == "numba":
        address = importlib.import_module("fastnn._kernels.numba.functions").compiled(4, False)[0]["add_some_rows"]
    else:
        address = importlib.import_module("fastnn._kernels.cython.kernels").addresses(4)["add_some_rows"]
    size, number, pointer = ctypes.c_ssize_t, ctypes.c_double, ctypes.c_void_p
    kinds = size, size, pointer, pointer, pointer, size, number, number, pointer
    return ctypes.CFUNCTYPE(None, *kinds)(address)


def test_places_beyond_32_bits(backend):
    n = 2**31 - 1
    wide = sp.csr_matrix((np.ones(2, np.float32), np.array([0, n - 1]), [0, 1, 2, 2]), (3, n))
    samples = as_samples(wide, n, np.dtype("float32"))
    assert (len(samples), samples.shape[1], int(samples.lengths.sum())) == (3, n, 2)
    with pytest.raises(ValueError, match="X must have 90 columns"):
        network((90, 2)).forward(wide)
    if backend == "numpy":
        return
    # a matrix of which two rows are there, those from number 3 * 2^20 on: their places are some 2^33 numbers after it
    first, length = 3 << 20, 1 << 12
    M = np.random.default_rng(0).standard_normal((2, length)).astype(np.float32)
    rows, factors, out = np.array([first, first + 1]), np.array([2, 3], np.float32), np.ones(37, np.float32)
    beginning = M.ctypes.data - first * length * 4
    addresses = rows.ctypes.data, factors.ctypes.data, beginning
    add_some_rows(backend)(2, 37, *addresses, length, 1.0, 0.5, out.ctypes.data)
    np.testing.assert_allclose(out, 1 + (factors @ M[:, :37]) / 2, rtol=1e-5)


def broken(**changes):
    X = sparse()
    for name, value in changes.items():
        setattr(X, name, value)
    return X


def at(array, place, value):
    changed = array.copy()
    changed[place] = value
    return changed


def test_malformed_matrices_are_named():
    X, y, net = sparse(), targets(43, 3), network((90, 4, 3))
    last = len(X.indices) - 1
    wrong = {
        r"X.indices must be from 0 to 89, columns of X; found 90": {"indices": at(X.indices, last, 90)},
        r"X.indices must be from 0 to 89, columns of X; found -1": {"indices": at(X.indices, 0, -1)},
        r"X.indptr must begin with 0 and not descend": {"indptr": at(X.indptr, 5, X.indptr[-1] + 1)},
        r"X.indptr ends at \d+, but there are": {"indptr": at(X.indptr, -1, X.indptr[-1] + 1)},
        r"X.indptr must have 44 places": {"indptr": X.indptr[:-1]},
        r"X.indptr must be 1-D, int32 or int64; got float64": {"indptr": X.indptr.astype(float)},
        r"X must be finite in float64; found nan in row 42, column 7": {
            "data": np.array([1.0, np.nan]), "indices": np.array([3, 7]), "indptr": np.r_[np.zeros(43, int), 2],
        },
    }  # fmt: skip
    before = net.parameters.copy()
    for message, changes in wrong.items():
        for call in (net.forward, lambda X: net.fit(X, y, epochs=1, progress=False)):
            with pytest.raises(ValueError, match=message):
                call(broken(**changes))
    np.testing.assert_array_equal(net.parameters, before)
    columns = X.tocsc()
    columns.indices = at(columns.indices, 0, 43)
    with pytest.raises(ValueError, match=r"X.indices must be from 0 to 42, rows of X; found 43"):
        net.forward(columns)
    with pytest.raises(ValueError, match=r"X must be finite in float32; found 1e.300 in row 0, column 1"):
        network((2, 2), "float32").forward(sp.csr_matrix([[0.0, 1e300]]))
    with pytest.raises(ValueError, match="X must have 90 columns"):
        net.forward(X[:, :5])
    with pytest.raises(ValueError, match="X is empty"):
        net.forward(X[:0])
    with pytest.raises(TypeError, match="X must hold real numbers; got a sparse csr_matrix of dtype complex128"):
        net.forward(X.astype(complex))
    with pytest.raises(ValueError, match="X and y must have as many rows"):
        net.fit(X, y[1:])


def test_a_scale_has_no_means(backend):
    X, y = sparse(), targets(43, 3)
    for scale in ("standard", Scaler.of(X.toarray())):
        with pytest.raises(ValueError, match=r"scale must have no means .* where X is sparse"):
            network((90, 3)).fit(X, y, scale=scale)
    with pytest.raises(ValueError, match="scale must have no means"):
        Scaler.of(X)
    deviation = np.linspace(0.5, 2, 90)
    nets = [network((90, 4, 3)) for _ in range(2)]
    for net, given in zip(nets, (X, X.toarray()), strict=True):
        net.fit(given, y, scale=Scaler(np.zeros(90), deviation), epochs=2, progress=False)
    np.testing.assert_allclose(nets[0].parameters, nets[1].parameters, rtol=1e-9)
    np.testing.assert_allclose(nets[0].forward(X), nets[1].forward(X.toarray()), rtol=1e-9)


def test_a_search_and_the_backend_s_functions(backend):
    X, y = sparse(m=60), targets(60, 3)
    grid = {"hidden": [(4,)], "rng": [0], "epochs": [2], "batch_size": [7]}
    for options in ({}, {"cv": 3}, {"validation_data": (X[:9], y[:9])}):
        found, dense = (fastnn.fit_many(x, y, grid, progress=False, **options_of(options, x)) for x in (X, X.toarray()))
        assert found[0]["loss"] == pytest.approx(dense[0]["loss"], rel=1e-5), found
    net = network((90, 4, 3))
    J, gradient = fastnn.backend.objective(net, X, y, l2=0.1)(net.parameters)
    expected = net.loss_and_gradient(X.toarray(), y, l2=0.1)
    assert pytest.approx(expected[0]) == J
    np.testing.assert_allclose(gradient, expected[1], atol=1e-12)
    for function in (fastnn.backend.per_sample_gradients, fastnn.backend.input_gradient):
        np.testing.assert_allclose(function(net, X[:6], y[:6]), function(net, X[:6].toarray(), y[:6]), atol=1e-12)


def options_of(options, X):
    return {"validation_data": (X[:9], options["validation_data"][1])} if "validation_data" in options else options
