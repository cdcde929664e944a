"""Saving and loading: whole or not at all, bit by bit, and one clear error for any file that is not whole."""

from __future__ import annotations

import json
import os
import pickle
import stat

import numpy as np
import pytest

import fastnn

safetensors_numpy = pytest.importorskip("safetensors.numpy")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(23, 3)), RNG.integers(0, 2, 23)


def network(optimizer="adam", epochs=2, **options):
    net = fastnn.Network((3, 4, 2), fastnn.leaky_relu(0.2), rng=1, **options)
    net.fit(X, Y, optimizer=optimizer, batch_size=5, epochs=epochs)
    return net


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def assert_same(one, other):
    assert repr(one) == repr(other)
    assert one.activations == other.activations
    assert one.optimizer == other.optimizer
    assert one.parameters.dtype == other.parameters.dtype
    for name in ("parameters", "optimizer_state", "step"):
        np.testing.assert_array_equal(getattr(one.state, name), getattr(other.state, name))
    assert one.rng.bit_generator.state == other.rng.bit_generator.state


# ---- whole


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "optimizer", ["sgd", fastnn.SGD(0.1, momentum=0.9, nesterov=True), "rmsprop", "adam", fastnn.AdamW(0.01)], ids=str
)
def test_a_loaded_network_continues_bit_by_bit(path, optimizer, dtype):
    net = network(optimizer, dtype=dtype)
    net.save(path)
    loaded = fastnn.load(path)
    assert_same(loaded, net)
    assert loaded.parameters.ctypes.data % 64 == 0
    np.testing.assert_array_equal(loaded.predict_proba(X), net.predict_proba(X))
    histories = [one.fit(X, Y, optimizer=one.optimizer, batch_size=5, epochs=2) for one in (net, loaded)]
    assert histories[0].loss == histories[1].loss
    assert_same(loaded, net)


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_generator_of_numpy_is_kept(path, kind):
    net = fastnn.Network((3, 2), rng=np.random.Generator(getattr(np.random, kind)(5)))
    net.save(path)
    loaded = fastnn.load(path)
    np.testing.assert_array_equal(loaded.rng.permutation(100), net.rng.permutation(100))


def test_a_network_that_was_never_trained(path):
    net = fastnn.Network((3, 2), loss="squared_error", rng=0)
    net.save(str(path))
    loaded = fastnn.load(str(path))
    assert_same(loaded, net)
    assert loaded.optimizer is None


def test_the_form_of_the_answers_is_kept(path):
    net = fastnn.Network((3, 4, 2), loss="sigmoid_cross_entropy", rng=0)
    for y, shape in ((Y, (23,)), (np.eye(2)[Y], (23, 2))):
        net.fit(X, y, epochs=1)
        net.save(path)
        assert fastnn.load(path).predict(X).shape == shape


@pytest.mark.parametrize("number", [np.float32, np.float64, np.longdouble, int])
def test_hyperparameters_of_any_type_of_number(path, number):
    net = network(fastnn.SGD(number(1), momentum=np.float16(0.5), nesterov=np.True_), epochs=1)
    net.save(path)
    assert_same(fastnn.load(path), net)
    assert type(net.optimizer.learning_rate) is float
    assert net.optimizer.nesterov is True


def test_initial_weights_of_your_own_are_kept(path):
    init = [(np.full((3, 2), 0.1), np.array([1.0, 2.0]))]
    net = fastnn.Network((3, 2), init=init, rng=0)
    net.fit(X, Y, epochs=1)
    init[0][0][:] = 5  # the network has a copy
    net.save(path)
    for one in (fastnn.load(path), net):
        one.reset()
        np.testing.assert_array_equal(one.parameters, np.float32([0.1] * 6 + [1, 2]))


class OwnAdam(fastnn.Adam):
    pass


class OwnGenerator(np.random.PCG64):
    pass


def test_what_load_does_not_know_is_not_saved(path):
    with pytest.raises(TypeError, match=r"whose optimizer is a OwnAdam cannot be saved"):
        network(OwnAdam()).save(path)
    with pytest.raises(TypeError, match=r"whose rng\.bit_generator is a OwnGenerator cannot be saved"):
        fastnn.Network((3, 2), rng=np.random.Generator(OwnGenerator(1))).save(path)
    assert not path.exists()


def test_other_readers_can_read_the_arrays(path):
    net = network()
    net.save(path)
    arrays = safetensors_numpy.load_file(path)
    np.testing.assert_array_equal(arrays["parameters"], net.parameters)


# ---- not whole


def assert_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a whole fastnn network: ") as caught:
        fastnn.load(path)
    assert str(path) in str(caught.value)


def test_a_change_of_any_byte_is_found(path):
    network().save(path)
    whole = path.read_bytes()
    for i in range(len(whole)):
        assert_refused(path, whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
    path.write_bytes(whole)
    fastnn.load(path)


def test_a_truncated_or_longer_file(path):
    network().save(path)
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        assert_refused(path, whole[:length])
    assert_refused(path, whole + b"\0")
    assert_refused(path, whole[:100] + bytes(len(whole) - 100))


def test_foreign_files(path):
    array = np.zeros(3, dtype=np.float32)
    for content in (
        b"",
        b"not a network",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\xff" * 100,
        pickle.dumps(array),
        safetensors_numpy.save({"parameters": array}),
        safetensors_numpy.save({"parameters": array}, metadata={"format": "pt"}),
        *(
            safetensors_numpy.save({"parameters": array}, metadata={"fastnn": text})
            for text in ("", "{", "[]", "3", "null", "{}", json.dumps({"format": 99}), json.dumps({"format": 1}))
        ),
    ):
        assert_refused(path, content)


def test_a_pickle_is_not_run(path, tmp_path):
    class Touch:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was run"),)

    assert_refused(path, pickle.dumps(Touch()))
    assert_refused(path, np.array([Touch()], dtype=object).dumps())
    assert not (tmp_path / "was run").exists()


def test_no_such_file(path, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*net.safetensors"):
        fastnn.load(path)
    with pytest.raises(FileNotFoundError):
        fastnn.load(tmp_path)
    with pytest.raises(OSError, match="missing"):
        network(epochs=0).save(tmp_path / "missing" / "net.safetensors")


# ---- atomic


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("place", ["fsync", "replace"])
@pytest.mark.parametrize("existing", [True, False])
def test_a_failure_leaves_the_old_file_and_no_other(path, monkeypatch, place, error, existing):
    if existing:
        network(epochs=1).save(path)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, place, fail)
        with pytest.raises(type(error)):
            network().save(path)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    network().save(path)
    assert_same(fastnn.load(path), network())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_the_file_has_the_mode_of_any_new_file(path, tmp_path):
    before = os.umask(0o022)
    try:
        network(epochs=0).save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
