"""Networks that earlier versions saved and pickled: they predict and train on as they would have; see data/make.py."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_close

import fastnn

DATA = Path(__file__).parent / "data"
NAMES = ("adam", "own_weights", "labels", "mersenne", "untrained")
EXPECTED = dict(np.load(DATA / "expected.npz"))


@pytest.fixture(params=["safetensors", "pickle"])
def load(request):
    """Return a function that reads a network by its name."""
    if request.param == "safetensors":
        pytest.importorskip("safetensors")
        return lambda name: fastnn.load(DATA / f"{name}.safetensors")
    return lambda name: pickle.loads((DATA / f"{name}.pickle").read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_an_old_network_is_the_same(load, name):
    net, X = load(name), EXPECTED["X"]
    assert repr(net) == EXPECTED[f"{name}.repr"]
    shown = repr(net.optimizer).replace("clip_norm=None, ", "").replace(", epsilon_hat=False", "")
    assert shown == EXPECTED[f"{name}.optimizer"]
    assert net.parameters.ctypes.data % 64 == 0
    np.testing.assert_array_equal(net.parameters, EXPECTED[f"{name}.parameters"])
    np.testing.assert_allclose(net.forward(X), EXPECTED[f"{name}.outputs"], rtol=1e-5)
    predicted = EXPECTED[f"{name}.predicted"]
    assert net.predict(X).dtype == predicted.dtype
    np.testing.assert_allclose(net.predict(X), predicted, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_old_network_trains_on(backend, load, name):
    net = load(name)
    history = net.fit(EXPECTED["X"], EXPECTED[f"{name}.y"], optimizer=net.optimizer or "adam", batch_size=5, epochs=2)
    assert_close(history.loss, EXPECTED[f"{name}.loss"], net.dtype, "loss")
    assert_close(net.parameters, EXPECTED[f"{name}.trained"], net.dtype, "parameters")
    net.reset()
    np.testing.assert_allclose(net.parameters, EXPECTED[f"{name}.reset"], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_written_as_it_was(name, tmp_path):
    """What the checksum covers, the description and the arrays, has not changed while the format's number has not."""
    safe_open = pytest.importorskip("safetensors").safe_open
    old, new = DATA / f"{name}.safetensors", tmp_path / "new.safetensors"
    fastnn.load(old).save(new)
    checksums = []
    for path in (old, new):
        with safe_open(path, framework="numpy") as file:
            checksums.append(file.metadata()["sha256"])
    assert checksums[0] == checksums[1]
