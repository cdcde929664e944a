"""Dropout: the bits, the masks' statistics, and each compiled backend against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import assert_close, kernel_optimizer, make_case
from test_backends import DTYPES, NO_ORDER

import fastnn
from fastnn._kernels import dropout, reference

NETS = {  # sizes, activations, shares: narrow, several groups of 128 units, a part of one
    "5-6-1": ((5, 6, 1), ("sigmoid",), (0.5,)),
    "7-10-15-2": ((7, 10, 15, 2), ("tanh", "leaky_relu"), (0.2, 0.0)),
    "9-300-33-3": ((9, 300, 33, 3), ("relu", "gelu"), (0.5, 0.25)),
    "140-150-160-5": ((140, 150, 160, 5), ("identity", "sigmoid"), (0.1, 0.9)),
    "9-20-33-3": ((9, 20, 33, 3), ("silu", "selu"), (0.5, 0.25)),
}


def dropped_case(name, dtype, m=23):
    sizes, activations, shares = NETS[name]
    loss = "sigmoid_cross_entropy" if sizes[-1] == 1 else "softmax_cross_entropy"
    case = make_case(sizes, activations, loss, m, dtype)
    case.model = case.model._replace(dropout=(*shares, 0.0))
    return case


def run(kernels, case, batch_size, optimizer, epochs=1, seed=7):
    """Train in place on shuffled samples; return the parameters and the losses."""
    m = len(case.data.X)
    losses = np.full(epochs * -(-m // batch_size), np.nan)
    taken = kernel_optimizer(optimizer, case.parameters, np.full(len(losses), optimizer.learning_rate))
    order = np.concatenate([np.random.default_rng(i).permutation(m) for i in range(epochs)])
    arguments = (case.model, case.parameters, case.data, order)
    if batch_size == 1:
        kernels.sgd_epoch(*arguments, taken._replace(seed=seed), losses, epochs)
    else:
        kernels.minibatch_epoch(*arguments, batch_size, taken._replace(seed=seed), losses, epochs)
    return case.parameters, losses


def test_philox_gives_the_published_words():
    """The test vectors of the Random123 library, for philox4x32-10."""
    for counter, key, words in (
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ):
        found = dropout.philox((key[0], key[1]), tuple(np.array([c], np.uint64) for c in counter))
        assert [int(word[0]) for word in found] == words


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_mean_and_variance(p):
    factors = dropout.mask(3, 5, 1, 400, 500, p, "float64")
    n = factors.size
    assert abs(factors.mean() - 1) < 5 * np.sqrt(p / (1 - p) / n)
    assert factors.var() == pytest.approx(p / (1 - p), rel=0.03)
    for axis in (0, 1):  # no unit and no row is dropped much more often than another
        dropped = (factors == 0).mean(axis=axis)
        assert np.abs(dropped - p).max() < 5 * np.sqrt(p * (1 - p) / factors.shape[axis])
    # neighbours are independent of each other: units, rows, steps and layers
    centred = factors - 1
    for other in (np.roll(centred, 1, 0), np.roll(centred, 1, 1), np.roll(centred, 16, 1)):
        assert abs((centred * other).mean()) < 6 * centred.var() / np.sqrt(n)
    for other in (dropout.mask(3, 6, 1, 400, 500, p, "float64"), dropout.mask(3, 5, 2, 400, 500, p, "float64")):
        assert abs((centred * (other - 1)).mean()) < 6 * centred.var() / np.sqrt(n)


def test_extremes_keep_some():
    assert (dropout.mask(0, 1, 0, 10, 10, 0.0, "float32") == 1).all()
    kept = dropout.mask(0, 1, 0, 1000, 1000, 0.9999999, "float64")
    assert set(np.unique(kept)) <= {0.0, 65536.0}
    assert (kept > 0).any()


@pytest.mark.parametrize("batch_size", [1, 8, 23])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("optimizer", [fastnn.SGD(0.1), fastnn.Adam(0.01, epsilon=1e-2)], ids=["sgd", "adam"])
def test_training_is_the_references(compiled, name, dtype, batch_size, optimizer):
    case = dropped_case(name, dtype)
    oracle = case.doubled()
    expected = run(reference, oracle, batch_size, optimizer)
    found = run(compiled, case, batch_size, optimizer)
    assert_close(found[1], expected[1], dtype, "losses", slack=30)
    assert_close(found[0], expected[0], dtype, "parameters", slack=30)


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_and_tiles_change_no_bit(compiled, costs, dtype):
    """Chunks, shared tiles and layers that are divided by their units."""
    costs(operations_per_step=1.0, operations_per_call=1.0)
    for name, batch_size in (("9-300-33-3", 23), ("140-150-160-5", 23), ("140-150-160-5", 5), ("5-6-1", 23)):
        found = []
        for threads in (1, 2, 3):
            fastnn.set_num_threads(threads)
            found.append(run(compiled, dropped_case(name, dtype), batch_size, fastnn.SGD(0.1))[0].tobytes())
        assert len(set(found)) == 1


def test_divided_layers_are_the_references(compiled, costs):
    costs(operations_per_step=1.0, operations_per_call=1.0, divided_weights=1, inputs_to_a_row=0)
    fastnn.set_num_threads(2)
    for name in ("9-300-33-3", "140-150-160-5"):
        case = dropped_case(name, "float64", m=11)
        oracle = case.doubled()
        expected = run(reference, oracle, 11, fastnn.SGD(0.1), epochs=2)
        found = run(compiled, case, 11, fastnn.SGD(0.1), epochs=2)
        assert_close(found[1], expected[1], "float64", "losses", slack=3)
        assert_close(found[0], expected[0], "float64", "parameters", slack=3)


def test_only_training_drops(backend):
    """Outputs, loss and gradient are those of the network without dropout."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 6)), rng.integers(0, 3, 40)
    plain = fastnn.Network((6, 30, 20, 3), activation=["gelu", "sigmoid"], rng=1)
    dropped = fastnn.Network((6, 30, 20, 3), activation=["gelu", "sigmoid"], rng=1, dropout=[0.5, 0.2])
    np.testing.assert_array_equal(plain.parameters, dropped.parameters)
    np.testing.assert_array_equal(plain.forward(X), dropped.forward(X))
    assert plain.loss(X, y) == dropped.loss(X, y)
    for a, b in zip(plain.loss_and_gradient(X, y), dropped.loss_and_gradient(X, y), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    history = dropped.fit(X, y, epochs=2, validation_data=(X, y), batch_size=None, optimizer="sgd")
    assert history.validation_loss[-1] == pytest.approx(dropped.loss(X, y), rel=1e-6)
    assert history.loss[0] != pytest.approx(plain.loss(X, y), rel=1e-3)


def test_masks_follow_the_seed(backend):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 6)), rng.integers(0, 3, 40)

    def trained(rng, **changes):
        net = fastnn.Network((6, 30, 3), rng=rng, dropout=0.5, **changes)
        net.fit(X, y, epochs=2, batch_size=8)
        return net.parameters

    np.testing.assert_array_equal(trained(1), trained(1))
    init = [(np.ones((6, 30)), np.zeros(30)), (np.ones((30, 3)), np.zeros(3))]
    assert not np.array_equal(trained(1, init=init), trained(2, init=init))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (1.0, ValueError, "dropout must be a finite number >= 0 and < 1; got 1.0"),
        (-0.1, ValueError, "dropout must be a finite number >= 0 and < 1; got -0.1"),
        ([0.1, 0.2, 0.3], ValueError, "dropout must be one number, or one for each of 2 hidden layers; got 3"),
        ([0.1, 2], ValueError, r"dropout\[1\] must be a finite number >= 0 and < 1; got 2"),
        ("half", TypeError, "dropout must be one number, or one for each of 2 hidden layers; got 'half'"),
        ([0.1, None], TypeError, r"dropout\[1\] must be a finite number"),
    ],
)
def test_bad_shares(given, error, message):
    with pytest.raises(error, match=message):
        fastnn.Network((3, 4, 5, 2), dropout=given)


def test_no_order_is_first_to_last(compiled):
    case, other = (dropped_case("7-10-15-2", "float64") for _ in range(2))
    losses = np.empty(1), np.empty(1)
    for each, order, loss in ((case, NO_ORDER, losses[0]), (other, np.arange(23), losses[1])):
        taken = kernel_optimizer(fastnn.SGD(0.1), each.parameters, np.full(1, 0.1))
        compiled.minibatch_epoch(each.model, each.parameters, each.data, order, 23, taken, loss)
    np.testing.assert_array_equal(case.parameters, other.parameters)
