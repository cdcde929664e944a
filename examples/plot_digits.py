"""
Handwritten digits
==================

A network with one hidden layer tells the ten digits apart. With MNIST's four files in the folder ``mnist`` below
``FASTNN_DATA_DIR`` it trains on the 60,000 images; otherwise on the 5,000 that come with the package.
"""

import matplotlib.pyplot as plt

import fastnn
from fastnn import datasets
from fastnn.plotting import plot_confusion, plot_history

# %%
# The data
# --------
# Each row of ``X`` is an image of 28 x 28 pixels from 0 to 1, each label in ``y`` the digit that it shows. The bytes
# of the file will do as well (``dtype="uint8"``): kernels convert and scale them while they read.

try:
    (X, y), (X_test, y_test) = datasets.load_mnist(dtype="uint8")
except (FileNotFoundError, ImportError):
    (X, y), (X_test, y_test) = datasets.load_digits()
print(f"{len(X):,} images to train on, {len(X_test):,} to test")

# %%
# The network
# -----------
# 784 inputs, 256 rectified units, a probability for each of 10 digits. Dropout leaves out a fifth of the hidden units
# in each step, so that none can rely on the others; the learning rate falls along a cosine.

net = fastnn.Network((784, 256, 10), activation="relu", loss="softmax_cross_entropy", dropout=0.2, rng=0)
scaler = fastnn.data.Scaler.of(X, columns=False)  # one mean and one deviation for all pixels
falling = fastnn.schedules.cosine(2e-3)
history = net.fit(
    X, y, optimizer=fastnn.Adam(falling), batch_size=100, epochs=15, scale=scaler, validation_data=(X_test, y_test)
)
print(f"accuracy on the test images: {net.score(X_test, y_test):.4f}")

# %%
# What it learned, and what it confuses
# -------------------------------------

figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.6), layout="constrained")
plot_history(history, samples=len(X), validation_name="test", ax=left)
plot_confusion(y_test, net.predict(X_test), ax=right)
plt.show()
