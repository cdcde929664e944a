"""
Film reviews: praise or not
===========================

A review is a row of words' weights, nearly all of them 0: a sparse matrix (CSR), on which the network trains as it
is. With IMDB's reviews in the folder ``imdb`` below ``FASTNN_DATA_DIR`` they are 25,000 to train on and 25,000 to
test; otherwise **synthetic** ones, counts of words of which some are more frequent in praise.
"""

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse

import fastnn
from fastnn import datasets
from fastnn.plotting import BLUE, VERMILLION

# %%
# The reviews
# -----------
# ``load_imdb`` counts the 10,000 most frequent words and weighs them by tf-idf: words that occur in few reviews count
# more.


def draw(m, rng, words=2000):
    """Return m synthetic reviews as counts of words, sparse, and whether each praises."""
    y = rng.integers(0, 2, m)
    frequency = 60 / np.arange(10, words + 10)  # Zipf's law
    feeling = np.random.default_rng(1).normal(0, 0.11, words)
    counts = rng.poisson(frequency * np.exp(np.outer(2 * y - 1, feeling)))
    return scipy.sparse.csr_matrix(counts, dtype=np.float32), y


try:
    (X, y), (X_test, y_test) = datasets.load_imdb()
except (FileNotFoundError, ImportError):
    rng = np.random.default_rng(0)
    (X, y), (X_test, y_test) = draw(2000, rng), draw(500, rng)
print(f"{X.shape[0]:,} reviews, {X.shape[1]:,} words, {X.nnz / np.prod(X.shape):.2%} of the numbers are not 0")

# %%
# The network
# -----------
# One hidden layer of 16 units and one sigmoid, the probability of praise. A few passes are enough; dropout keeps the
# network from learning single reviews by heart.

net = fastnn.Network((X.shape[1], 16, 1), activation="relu", loss="sigmoid_cross_entropy", dropout=0.5, rng=0)
net.fit(X, y, optimizer="adam", learning_rate=1e-3, batch_size=100, epochs=4)
print(f"accuracy on the test reviews: {net.score(X_test, y_test):.4f}")

# %%
# How certain it is
# -----------------

praise = net.predict_proba(X_test)[:, 0]
figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
ax.hist(
    [praise[y_test == 0], praise[y_test == 1]],
    bins=20,
    range=(0, 1),
    color=[VERMILLION, BLUE],
    label=["not praise", "praise"],
)
ax.set(xlabel="predicted probability of praise", ylabel="test reviews")
ax.legend(title="the review is")
plt.show()
