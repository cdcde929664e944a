"""
Hand velocity from motor cortex
===============================

What a monkey's hand does, decoded from how often neurons of its motor cortex fired in the last 0.7 s. With the
recording of Stevenson and others (2011), ``neuro/m1_stevenson_2011.mat`` below ``FASTNN_DATA_DIR`` (from
https://crcns.org, data set DREAM), there are 171 neurons and 13 minutes; otherwise a **synthetic** recording.
"""

import os
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor

import fastnn
from fastnn.data import Windows
from fastnn.plotting import BLUE, ORANGE

# %%
# The recording
# -------------
# Counts of spikes in bins of 50 ms, (time, neurons), and the hand's velocity along x and y, (time, 2).

STEP = 0.05  # seconds


def draw(steps, neurons, rng):
    """Return synthetic counts of spikes and velocities: each neuron fires most at a velocity of its own, 100 ms ahead.

    All fire more at times and less at others, which a decoder should not take for a movement.
    """
    t = np.arange(steps) * STEP
    velocity = np.stack([np.sin(1.3 * t) + np.sin(0.7 * t + 1), np.cos(1.1 * t) + np.sin(0.4 * t)], axis=1)
    distance = np.linalg.norm(np.roll(velocity, -2, axis=0)[:, None] - rng.uniform(-2, 2, (neurons, 2)), axis=-1)
    rate = np.exp(1 + 0.5 * np.sin(0.23 * t)[:, None] - distance**2)
    return rng.poisson(rate).astype(np.uint8), velocity


file = Path(os.environ.get("FASTNN_DATA_DIR", "data")) / "neuro" / "m1_stevenson_2011.mat"
if file.exists():
    from scipy.io import loadmat

    recording = loadmat(file)
    counts, velocity, unit = recording["spikes"].T, recording["handVel"][:2].T, "m/s"
    l2, epochs, alpha = 1000, 13, {"ridge": 1e4, "MLP": 30}  # chosen on the last 15 % of the training time
else:
    counts, velocity = draw(3000, 40, np.random.default_rng(0))
    unit, l2, epochs, alpha = "a.u.", 30, 30, {"ridge": 300, "MLP": 10}

# %%
# Windows in time
# ---------------
# A sample is the counts of the last 14 bins. The last fifth of the time is held out: random samples would have
# neighbours among those trained on. Windows are read from the recording; nothing is copied.

X = Windows(np.ascontiguousarray(counts), before=13)
Y = velocity[X.rows]
cut = len(X) - len(X) // 5
train, test = slice(0, cut - 13), slice(cut, None)  # no window of one reaches into the other

# %%
# Three decoders
# --------------
# All have the same standardised inputs; ridge and scikit-learn's network need them written out.


def r2(predicted):
    """Return R^2 of each axis of the velocity, on the held-out time."""
    return 1 - np.square(Y[test] - predicted).sum(axis=0) / np.square(Y[test] - Y[test].mean(axis=0)).sum(axis=0)


net = fastnn.Network((X.shape[1], 300, 2), activation="relu", loss="squared_error", dropout=0.5, rng=0)
net.fit(X[train], Y[train], learning_rate=3e-4, l2=l2, epochs=epochs, scale="standard", scale_targets=True)

scaler = fastnn.data.Scaler.of(X[train])
A, A_test = (scaler.transform(np.asarray(X[part]), "float32") for part in (train, test))
centre, spread = Y[train].mean(axis=0), Y[train].std(axis=0)
Z = (Y[train] - centre) / spread
ridge = Ridge(alpha=alpha["ridge"]).fit(A, Z)
mlp = MLPRegressor(hidden_layer_sizes=100, alpha=alpha["MLP"], learning_rate_init=3e-4, max_iter=epochs, random_state=0)
warnings.simplefilter("ignore", ConvergenceWarning)  # it is meant to end after so many passes
mlp.fit(A, Z)

decoded = {"fastnn": net.predict(X[test])}
decoded |= {name: model.predict(A_test) * spread + centre for name, model in (("ridge", ridge), ("sklearn MLP", mlp))}
for name, velocities in decoded.items():
    print(f"{name:12} R^2 of x {r2(velocities)[0]:.3f}, of y {r2(velocities)[1]:.3f}")

# %%
# Twenty seconds of the held-out time
# -----------------------------------

figure, axes = plt.subplots(2, 1, figsize=(9, 5.5), sharex=True, layout="constrained")
shown = slice(0, int(20 / STEP))
seconds = X.rows[test][shown] * STEP
for k, (ax, name) in enumerate(zip(axes, "xy", strict=True)):
    ax.plot(seconds, Y[test][shown, k], color="black", label="hand")
    ax.plot(seconds, decoded["ridge"][shown, k], color=ORANGE, label=f"ridge, R² {r2(decoded['ridge'])[k]:.2f}")
    ax.plot(seconds, decoded["fastnn"][shown, k], color=BLUE, label=f"fastnn, R² {r2(decoded['fastnn'])[k]:.2f}")
    ax.set_ylabel(f"velocity along {name}, {unit}")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)
axes[1].set_xlabel("time, s")
plt.show()
