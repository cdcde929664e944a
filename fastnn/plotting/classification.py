"""What a classifier answers: which classes it confuses, and where it draws the line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fastnn.plotting.style import GREY, SMALL, TEXT, figure_of, label, new_axes

# Classes whose cells have room for counts and percentages, and for counts.
_BOTH, _COUNTS = 10, 20


def plot_confusion(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, classes: Sequence[Any] | None = None, *, ax: Axes | None = None
) -> Figure:
    r"""Draw how many samples of each class are taken for which: counts, and percentages of the true class.

    Parameters
    ----------
    y_true, y_pred : array_like, (m,)
        The true classes and the predicted ones.
    classes : sequence, optional
        All labels in the order of the rows and columns; by default those that occur, in ascending order.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure
        A row has a true class; its cells are as dark as their share of the row. More than 10
        classes have no percentages, more than 20 no counts.

    Raises
    ------
    ValueError
        If there are not as many predictions as labels, or a label is none of the classes.

    Examples
    --------
    >>> from fastnn import plotting
    >>> figure = plotting.plot_confusion(["cat", "dog", "dog", "cat"], ["cat", "dog", "cat", "cat"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['2\n100.0 %', '0', '1\n50.0 %', '1\n50.0 %']
    """
    names, counts = _confusion(np.asarray(y_true), np.asarray(y_pred), classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    k = len(names)
    ax = new_axes(8, 6.7) if ax is None else ax
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if k <= _COUNTS:
        size = TEXT if k <= 6 else 9.5
        for (row, column), count in np.ndenumerate(counts):
            share = shares[row, column]
            text = f"{count:,}\n{share:.1%}".replace("%", " %") if count and k <= _BOTH else f"{count:,}"
            color = "white" if share > 0.6 else "black" if count else GREY
            ax.text(column, row, text, ha="center", va="center", color=color, fontsize=size)
    label(ax, "predicted class", "true class", grid=False)
    places = np.arange(0, k, -(-k // 30))
    ax.set_xticks(places, [names[i] for i in places])
    ax.set_yticks(places, [names[i] for i in places])
    if max(map(len, names)) * k > 60:
        ax.tick_params(axis="x", labelrotation=90)
    bar = figure_of(ax).colorbar(image, ax=ax, format=PercentFormatter(1), shrink=0.8)
    bar.set_label("share of the true class", fontsize=SMALL)
    return figure_of(ax)


def _confusion(
    y_true: npt.NDArray[Any], y_pred: npt.NDArray[Any], classes: Sequence[Any] | None
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the names of the classes, and the counts with a row for each true one."""
    if y_true.ndim != 1 or y_true.shape != y_pred.shape or not len(y_true):
        shapes = f"{y_true.shape} and {y_pred.shape}"
        raise ValueError(f"y_true and y_pred must have one class for each sample, (m,); got shapes {shapes}")
    both = [*y_true.tolist(), *y_pred.tolist()]
    labels = sorted(set(both)) if classes is None else np.asarray(classes).tolist()
    places = {name: i for i, name in enumerate(labels)}
    if unknown := [value for value in both if value not in places]:
        raise ValueError(f"classes must have every label; {unknown[0]!r} is none of {labels}")
    at = np.array([places[value] for value in both]).reshape(2, -1)
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, (at[0], at[1]), 1)
    return [str(name) for name in labels], counts
