"""
Small colour pictures: CIFAR-10
===============================

Ten kinds of things in pictures of 32 x 32 pixels in three colours. A dense network sees each pixel at its own place,
so that it cannot tell a cat on the left from a cat on the right; networks of convolutions can. It is right about half
of the time, where guessing would be right a tenth. With ``data_batch_1.bin`` in the folder ``cifar-10`` below
``FASTNN_DATA_DIR`` it trains on 9,000 of its 10,000 pictures; otherwise on **synthetic** ones, ten patterns of colour
with noise.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn.datasets import read_cifar10_batch
from fastnn.plotting import plot_confusion

KINDS = np.array(["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"])

# %%
# The pictures
# ------------
# Bytes: the red, then the green, then the blue pixels of each picture, row by row.


def draw(m, rng):
    """Return m synthetic pictures, (m, 3072) uint8, and the kind of each."""
    y = rng.integers(0, 10, m)
    coarse = np.random.default_rng(1).uniform(100, 156, (10, 3, 4, 4))
    patterns = np.kron(coarse, np.ones((1, 1, 8, 8))).reshape(10, -1)
    return np.clip(patterns[y] + rng.normal(0, 150, (m, 3072)), 0, 255).astype(np.uint8), y


file = Path(os.environ.get("FASTNN_DATA_DIR", "data")) / "cifar-10" / "data_batch_1.bin"
X, y = read_cifar10_batch(file, dtype="uint8") if file.exists() else draw(2000, np.random.default_rng(0))
y = KINDS[y]  # labels may be words
cut = len(X) - len(X) // 10
X, X_test, y, y_test = X[:cut], X[cut:], y[:cut], y[cut:]

# %%
# The network
# -----------
# Two hidden layers; half of their units are left out in each step, as there are more weights than pixels in all
# pictures of a kind.

net = fastnn.Network((3072, 512, 128, 10), activation="relu", dropout=[0.3, 0.3], rng=0)
steps = fastnn.AdamW(fastnn.schedules.cosine(7e-4, warmup=0.1), weight_decay=0.05)
net.fit(X, y, optimizer=steps, batch_size=100, epochs=30 if len(X) > 5000 else 5, scale="standard")
print(f"accuracy on pictures held out: {net.score(X_test, y_test):.3f}")

# %%
# What it takes for what
# ----------------------

figure, ax = plt.subplots(figsize=(8, 7), layout="constrained")
plot_confusion(y_test, net.predict(X_test), classes=KINDS, ax=ax)
plt.show()
