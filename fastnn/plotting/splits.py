"""How data are divided into training, validation and test data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fastnn.plotting.style import SMALL, colors, figure_of, label, new_axes


def plot_split(parts: Mapping[str, int | npt.ArrayLike], *, ax: Axes | None = None) -> Figure:
    """Draw how many examples each part of the data has; of labels, how many of each class.

    Parameters
    ----------
    parts : mapping of str to int or array_like, (m,)
        The name of each part, and its number of examples or their labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure
        One bar, or a bar for each class, divided into the parts.

    Raises
    ------
    ValueError
        If there is no part, a part is empty, or some are numbers and others labels.

    Examples
    --------
    >>> from fastnn import plotting
    >>> figure = plotting.plot_split({"training": 60, "validation": 20, "test": 20})
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['training: 60 (60 %)', 'validation: 20 (20 %)', 'test: 20 (20 %)']
    """
    rows, counts = _count(parts)
    ax = new_axes(8, 1.9 if len(rows) == 1 else 1.6 + 0.3 * len(rows)) if ax is None else ax
    totals = counts.sum(axis=1)
    left = np.zeros(len(rows))
    hatches = ("", "//", "..", "xx")  # told apart in grey too
    for i, (name, count, color) in enumerate(zip(parts, counts, colors(len(parts)), strict=True)):
        text = f"{name}: {totals[i]:,} ({100 * totals[i] / totals.sum():.3g} %)"
        ax.barh(rows, count, left=left, color=color, edgecolor="white", hatch=hatches[i % 4], height=0.8, label=text)
        left += count
    label(ax, "examples", "class" if len(rows) > 1 else "")
    ax.grid(visible=False, axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=(1, 2, 5, 10)))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlim(0, left.max())
    ax.invert_yaxis()
    if len(rows) == 1:
        ax.set_yticks([])
    ax.legend(
        fontsize=SMALL, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(parts), columnspacing=1.2
    )
    return figure_of(ax)


def _count(parts: Mapping[str, int | npt.ArrayLike]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the names of the rows, and the examples of each part in each row."""
    arrays = {name: np.asarray(part) for name, part in parts.items()}
    for name, array in arrays.items():
        if array.ndim > 1 or array.ndim != next(iter(arrays.values())).ndim:
            raise ValueError(f"parts must all be numbers of examples, or labels (m,); {name!r} has shape {array.shape}")
        if not array.size or (array.ndim == 0 and not array > 0):
            raise ValueError(f"parts[{name!r}] must have at least one example; got {parts[name]!r}")
    if not arrays:
        raise ValueError("parts must have at least one part; got none")
    if next(iter(arrays.values())).ndim == 0:
        return [""], np.array([[int(array)] for array in arrays.values()])
    classes = np.unique(np.concatenate(list(arrays.values())))
    counts = np.array([[np.sum(array == each) for each in classes] for array in arrays.values()])
    for (name, array), count in zip(arrays.items(), counts.sum(axis=1), strict=True):
        if count != len(array):  # NaN is not equal to itself, nor a number to its text
            raise ValueError(f"parts must have labels of one kind, none missing; {name!r} has {array.dtype}")
    return [str(each) for each in classes], counts
