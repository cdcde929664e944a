"""
Which layout, which learning rate
=================================

``fastnn.fit_many`` trains a network for each combination, side by side on one X, and returns a table with the best
one first. With Fashion-MNIST in the folder ``fashion-mnist`` below ``FASTNN_DATA_DIR`` they learn 60,000 images of
clothes; otherwise the digits that come with the package.
"""

import matplotlib.pyplot as plt

import fastnn
from fastnn import datasets
from fastnn.plotting import plot_search

# %%
# The data
# --------
# A sixth of the training images decides; the test images are looked at once, by the network that is chosen.

try:
    (X, y), (X_test, y_test) = datasets.load_fashion_mnist(dtype="uint8")
except (FileNotFoundError, ImportError):
    (X, y), (X_test, y_test) = datasets.load_digits()
cut = len(X) - len(X) // 6
validation = X[cut:], y[cut:]

# %%
# The search
# ----------

grid = {
    "hidden": [(32,), (128,), (128, 64), (256, 128)],
    "learning_rate": [3e-4, 1e-3, 3e-3, 1e-2],
    "activation": ["relu"],
    "scale": [fastnn.data.Scaler.of(X[:cut], columns=False)],
    "epochs": [10 if len(X) > 10_000 else 3],
    "rng": [0],
}
found = fastnn.fit_many(X[:cut], y[:cut], grid, validation_data=validation, keep=True)
print(found)

# %%
# The best one
# ------------

best = found.networks[0][0]
print(f"{best.sizes}: accuracy on the test images {best.score(X_test, y_test):.4f}")
figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
plot_search(found, "learning_rate", "hidden", ax=ax)
plt.show()
