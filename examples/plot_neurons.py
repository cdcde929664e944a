"""
Neuron or not: a yes/no question about images
=============================================

A microscope's colour images of 64 x 64 pixels, 10,000 of them, and one question: does the image show a neuron (y = 1)
or not (y = 0)? **The images are synthetic**, drawn below: a neuron is a cell body with processes that grow out of it;
what is no neuron is cell bodies alone, or fibres that pass by.
"""

import os

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn.plotting import plot_confusion, plot_history

# %%
# The images
# ----------
# An image is a cloud of points, blurred, in a colour of its own, on a noisy background. Its bytes are what the
# network reads.

SIDE, COLOURS, STROKES, POINTS = 64, 3, 7, 50


def draw(m, rng):
    """Return m images, (m, 64, 64, 3) uint8, and whether each shows a neuron: all of seven strokes of fifty points."""
    y = rng.integers(0, 2, m)
    fibres, bodies = (y == 0) & (rng.random(m) < 0.5), np.zeros((m, STROKES), bool)
    bodies[(y == 0) & ~fibres] = bodies[y == 1, :2] = True  # a stroke is a round cell body, or else a bent line
    origin = rng.uniform(20, 44, (m, STROKES, 2))
    origin[y == 1] = origin[y == 1, :1]  # all of a neuron begins at one place
    along = np.where(fibres[:, None], np.linspace(-30, 30, POINTS), np.linspace(3, 24, POINTS))[:, None]
    angle = rng.uniform(0, 2 * np.pi, (m, STROKES, 1)) + rng.normal(0, 0.02, (m, STROKES, 1)) * along
    line = along[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    blob = rng.normal(0, 2.5, line.shape)
    points = (origin[:, :, None] + np.where(bodies[..., None, None], blob, line)).reshape(m, -1, 2).astype(np.int64)
    seen = ((points >= 0) & (points < SIDE)).all(axis=-1)
    pixels = (np.arange(m)[:, None] * SIDE + points[..., 0]) * SIDE + points[..., 1]
    light = np.bincount(pixels[seen], minlength=m * SIDE * SIDE).astype(np.float32).reshape(m, SIDE, SIDE)
    for axis in (1, 2):  # blurred by a pixel in each direction
        light = light / 2 + (np.roll(light, 1, axis) + np.roll(light, -1, axis)) / 4
    colour = rng.uniform([0.2, 0.6, 0.1], [0.5, 1, 0.4], (m, 1, 1, COLOURS)).astype(np.float32)
    noise = rng.integers(0, 60, (m, SIDE, SIDE, COLOURS), dtype=np.uint8)
    return (np.minimum(150 * light, 195)[..., None] * colour).astype(np.uint8) + noise, y


rng = np.random.default_rng(0)
parts = [draw(1000, rng) for _ in range(int(os.environ.get("FASTNN_EXAMPLE_ROWS", "10000")) // 1000)]
images, y = np.concatenate([images for images, _ in parts]), np.concatenate([y for _, y in parts])
X = images.reshape(len(images), -1)  # 64 x 64 x 3 = 12,288 numbers a row
a, b = len(X) * 70 // 100, len(X) * 85 // 100
train, validation, test = slice(0, a), slice(a, b), slice(b, None)

figure, axes = plt.subplots(1, 8, figsize=(12, 2), layout="constrained")
for ax, image, neuron in zip(axes, images, y, strict=False):
    ax.imshow(image)
    ax.set(title="neuron" if neuron else "no neuron", xticks=[0, 63], yticks=[0, 63], xlabel="pixel")
axes[0].set_ylabel("pixel")

# %%
# What to consider
# ----------------
#
# ================= ======================================= =====================================================
# Choice            Here                                    Why
# ================= ======================================= =====================================================
# inputs            12,288 bytes, standardised              one scale for all pixels makes steps equally large
# output unit       one sigmoid, h = P(neuron)              the answer is yes or no: one number between 0 and 1
# cost              cross entropy                           its gradient, h - y, does not vanish where h is wrong
# hidden activation ReLU                                    does not saturate; cheap. Sigmoid and tanh learn slowly
# first weights     random, variance 2 / inputs (He)        equal weights would stay equal; larger ones saturate
# biases            0                                       the weights break the symmetry already
# architecture      12,288 - 64 - 16 - 1                    enough for shapes; more units only learn the noise
# steps             mini-batches of 100, Adam               many steps an epoch, each with little noise
# learning rate     1e-3, falling along a cosine            large steps first, then fine ones
# overfitting       dropout, early stopping                 790,000 weights and 7,000 images
# splits            70 % training, 15 % validation, 15 %    validation decides when to stop, the test is used once
#                   test
# measure           accuracy, and the confusions            both answers are equally frequent; else class weights
# ================= ======================================= =====================================================

net = fastnn.Network((X.shape[1], 64, 16, 1), "relu", loss="sigmoid_cross_entropy", dropout=[0.3, 0.0], rng=0)
history = net.fit(
    X[train],
    y[train],
    optimizer=fastnn.Adam(fastnn.schedules.cosine(1e-3)),
    epochs=12,
    scale=fastnn.data.Scaler.of(X[train], columns=False),
    validation_data=(X[validation], y[validation]),
    early_stopping=fastnn.EarlyStopping(patience=4, monitor="score"),
)
print(f"accuracy on the test images: {net.score(X[test], y[test]):.3f}, of epoch {history.best_epoch}")

# %%
# How it went
# -----------

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
plot_history(history, samples=a, ax=left)
names = np.array(["no neuron", "neuron"])
plot_confusion(names[y[test]], names[net.predict(X[test])], classes=names, ax=right)
plt.show()
