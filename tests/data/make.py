"""Made the files beside it: networks as fastnn saved and pickled them at commit 4dd6624, and what they do next.

    python tests/data/make.py tests/data      # with that commit's fastnn, and NumPy 1.26, whose pickles later ones read

In ``expected.npz`` are, for each network, its targets, parameters, outputs, predictions; the losses and parameters of
two more epochs on the NumPy backend; and its parameters after a reset.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np

import fastnn

rng = np.random.default_rng(7)
X, LABELS, VALUES = rng.normal(size=(23, 3)), rng.integers(0, 2, 23), rng.normal(size=(23, 2))
OWN = [(rng.normal(size=(3, 4)), rng.normal(size=4)), (rng.normal(size=(4, 2)), rng.normal(size=2))]


def adam():
    net = fastnn.Network((3, 4, 5, 2), ["tanh", fastnn.leaky_relu(0.2)], rng=1)
    net.fit(X, LABELS, optimizer=fastnn.Adam(0.02, beta1=0.8), batch_size=5, epochs=2)
    return net, LABELS


def own_weights():
    net = fastnn.Network((3, 4, 2), "relu", "squared_error", "float64", rng=2, init=OWN)
    net.fit(X, VALUES, optimizer=fastnn.SGD(0.05, momentum=0.9, nesterov=True), batch_size=1, epochs=1)
    return net, VALUES


def labels():
    net = fastnn.Network((3, 2), loss="sigmoid_cross_entropy", dtype="float64", rng=3)
    net.fit(X, LABELS, optimizer="adamw", batch_size=10, epochs=2)
    return net, LABELS


def mersenne():
    net = fastnn.Network((3, 4, 1), loss="sigmoid_cross_entropy", rng=np.random.Generator(np.random.MT19937(5)))
    net.fit(X, LABELS, optimizer="rmsprop", batch_size=4, epochs=1)
    return net, LABELS


def untrained():
    return fastnn.Network((3, 4, 2), init="he", dtype="float64", rng=4), LABELS


def main(folder):
    fastnn.set_backend("numpy")
    expected = {"X": X}
    for make in (adam, own_weights, labels, mersenne, untrained):
        net, y = make()
        net.save(folder / f"{make.__name__}.safetensors")
        (folder / f"{make.__name__}.pickle").write_bytes(pickle.dumps(net, protocol=4))
        found = {"y": y, "parameters": net.parameters.copy(), "outputs": net.forward(X), "predicted": net.predict(X)}
        found |= {"repr": repr(net), "optimizer": repr(net.optimizer)}
        found["loss"] = net.fit(X, y, optimizer=net.optimizer or "adam", batch_size=5, epochs=2).loss
        found["trained"] = net.parameters.copy()
        net.reset()
        found["reset"] = net.parameters
        expected |= {f"{make.__name__}.{name}": np.asarray(value) for name, value in found.items()}
    np.savez_compressed(folder / "expected.npz", **expected)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
