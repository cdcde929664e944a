"""Data sets to train on: digits inside the package, and readers of published files.

`load_digits` needs nothing but the package; `load_mnist` reads the full set from a folder; both return
``(X_train, y_train), (X_test, y_test)`` in the form that `fastnn.Network` takes.
"""

from __future__ import annotations

from fastnn.datasets.digits import load_digits
from fastnn.datasets.idx import read_idx
from fastnn.datasets.mnist import load_mnist

__all__ = ["load_digits", "load_mnist", "read_idx"]
