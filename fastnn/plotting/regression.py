"""What a regression predicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastnn.plotting.style import GREY, TEXT, colors, figure_of, label, new_axes
from fastnn.scores import R2, explained


def plot_predictions(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, ax: Axes | None = None) -> Figure:
    """Draw predicted numbers against true ones, with the line on which both are equal, and R².

    Parameters
    ----------
    y_true, y_pred : array_like, (m,) or (m, K)
        The targets and what is predicted for them, in the same unit; each of K outputs has its colour and its R².
        Targets that are NaN, missing ones, are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the shapes differ, no target is there, or a prediction is not finite.

    Examples
    --------
    >>> from fastnn import plotting
    >>> figure = plotting.plot_predictions([1.0, 2.0, 3.0], [1.1, 1.9, 3.2])
    >>> figure.axes[0].get_legend().get_texts()[0].get_text()
    'R² = 0.970'
    """
    y, h = _as_columns(y_true), _as_columns(y_pred)
    there = np.isfinite(y)
    if y.shape != h.shape or not there.any():
        found = f"{np.shape(y_true)} and {np.shape(y_pred)}, {there.sum()} finite"
        raise ValueError(f"y_true and y_pred must have one shape, y_true at least one finite number; got {found}")
    if not np.isfinite(h[there]).all():
        raise ValueError(f"y_pred must be finite; found {h[there][~np.isfinite(h[there])][0]}")
    ax = new_axes(6.4, 6.2) if ax is None else ax
    low, high = min(y[there].min(), h[there].min()), max(y[there].max(), h[there].max())
    alpha = float(np.clip(300 / len(y), 0.15, 0.8))  # where points lie on one another, dark is many
    for k, color in enumerate(colors(y.shape[1])):
        ok = there[:, k]
        score = explained(h[ok, k : k + 1], y[ok, k : k + 1], R2) if ok.any() else np.nan
        name = f"R² = {score:.3f}" if y.shape[1] == 1 else f"output {k}: R² = {score:.3f}"
        ax.plot(y[ok, k], h[ok, k], "o", color=color, markersize=5, markeredgewidth=0, alpha=alpha, label=name)
    ax.plot((low, high), (low, high), color=GREY, linewidth=1.5, linestyle="--", label="predicted = true")
    margin = 0.04 * (high - low) or 1
    ax.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal")
    label(ax, "true value", "predicted value")
    legend = ax.legend(fontsize=TEXT, frameon=False, loc="upper left")
    for handle in legend.get_lines():
        handle.set_alpha(1)
    return figure_of(ax)


def _as_columns(values: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(values, dtype=np.float64)
    return array[:, None] if array.ndim == 1 else array.reshape(len(array), -1)
