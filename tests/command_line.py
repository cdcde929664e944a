"""The command line in this process, and files for it."""

from __future__ import annotations

import numpy as np

from fastnn.cli import main

ON_NUMPY = ["--backend", "numpy"]
TRAIN = ["--epochs", "60", "--hidden", "8", "--learning-rate", "0.05", "--batch-size", "20", *ON_NUMPY]
QUICK = ["--epochs", "1", "--hidden", "4", *ON_NUMPY]


def run(capsys, *arguments, code=0):
    """Run a command in this process; return (stdout, stderr)."""
    try:
        found = main([str(a) for a in arguments])
    except SystemExit as exit_:
        found = exit_.code
    out, err = capsys.readouterr()
    assert found == code, err
    if code == 2:
        assert err.count("\n") == 1, err
        assert "Traceback" not in err
    return out, err


def flowers(m=150, seed=0):
    """Three classes of points far from the origin, with unlike scales."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, m)
    X = np.array([[0, 0, 5], [4, 0, 5], [0, 4, 5]])[labels] + rng.normal(size=(m, 3)) * [0.5, 0.5, 0]
    return X * [1, 1000, 1] + [100, -5000, 0], labels


def write_csv(path, header, rows):
    """Write a table with commas."""
    path.write_text("\n".join(",".join(map(str, row)) for row in ([header] if header else []) + rows) + "\n")


def predicted(out):
    """Return the lines of predictions, without their header."""
    return out.splitlines()[1:]
