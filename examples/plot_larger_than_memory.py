"""
A file larger than memory
=========================

``numpy.memmap`` is an array that stays in its file: the system reads what is asked for and forgets what has not been
used for a while. ``fit`` takes it as it is, so the file may be larger than the memory. **The data here are
synthetic**, and the file is small, but for the number of rows; ``FASTNN_EXAMPLE_ROWS`` makes it as large as you like.
"""

import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn.plotting import plot_history

# %%
# A file, written in parts
# ------------------------
# 64 numbers a row, as float32. No more than 10,000 rows are in memory at a time. The targets fit into memory.

rows, columns, part = int(os.environ.get("FASTNN_EXAMPLE_ROWS", "50000")), 64, 10_000
folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
file = Path(folder.name) / "recording.dat"
rng = np.random.default_rng(0)
hidden = rng.normal(0, columns**-0.5, (columns, 8))
X = np.memmap(file, np.float32, mode="w+", shape=(rows, columns))
y = np.empty(rows, np.float32)
for start in range(0, rows, part):
    block = rng.standard_normal((min(part, rows - start), columns), np.float32)
    X[start : start + part] = block
    y[start : start + part] = np.tanh(block @ hidden).sum(axis=1) + 0.1 * rng.standard_normal(len(block))
X.flush()
print(f"{file.stat().st_size / 1e6:,.0f} MB in {file.name}")

# %%
# Training from the file
# ----------------------
# Opened for reading. The last tenth is held out.

X = np.memmap(file, np.float32, mode="r", shape=(rows, columns))
cut = rows - rows // 10
net = fastnn.Network((columns, 64, 1), activation="tanh", loss="squared_error", rng=0)
history = net.fit(X[:cut], y[:cut], batch_size=200, epochs=6, validation_data=(X[cut:], y[cut:]))
print(f"R^2 on rows held out: {net.score(X[cut:], y[cut:]):.3f}")

# %%
# How it went
# -----------

figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
plot_history(history, samples=cut, validation_name="held-out", ax=ax)
plt.show()

del X  # Windows removes no file that is mapped
folder.cleanup()
