"""What a classifier answers: which classes it confuses, and where it draws the line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fastnn.plotting.style import GREY, SMALL, TEXT, colors, figure_of, label, new_axes

# Classes whose cells have room for counts and percentages, and for counts.
_BOTH, _COUNTS = 10, 20
_GRID = 400  # points along each axis of the plane


class Classifier(Protocol):
    """A network, or an estimator of scikit-learn."""

    def predict(self, X: npt.NDArray[np.float64], /) -> Any:
        """Return a label for each sample."""


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
    TypeError
        If some labels are texts and others are not.

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
    bar = figure_of(ax).colorbar(image, ax=ax, format=PercentFormatter(1, decimals=0, symbol=" %"), shrink=0.8)
    bar.set_label("share of the true class", fontsize=SMALL)
    return figure_of(ax)


def plot_boundary(
    net: Classifier,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    names: tuple[str, str] = ("x₁", "x₂"),
    ax: Axes | None = None,
) -> Figure:
    """Draw the regions of the plane that a classifier takes for each class, with samples.

    Parameters
    ----------
    net : Network
        Or anything whose ``predict`` takes samples, (m, 2), and returns a label for each.
    X : array_like, (m, 2)
        Samples.
    y : array_like, (m,)
        Their labels; those that the classifier gets wrong have a black edge.
    names : (str, str), default ("x₁", "x₂")
        The inputs.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the samples do not have two finite inputs and a label each, or more than 20 classes are predicted.

    Examples
    --------
    >>> import fastnn, numpy as np
    >>> from fastnn import plotting
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> net = fastnn.Network((2, 8, 2), "tanh", rng=1)
    >>> history = net.fit(X, y, learning_rate=0.1, epochs=20)
    >>> figure = plotting.plot_boundary(net, X, y)
    """
    samples, labels = np.asarray(X, dtype=np.float64), np.asarray(y)
    if samples.ndim != 2 or samples.shape[1] != 2 or not samples.size or not np.isfinite(samples).all():
        raise ValueError(f"X must have two finite inputs for each sample, (m, 2); got shape {samples.shape}")
    if labels.shape != samples.shape[:1]:
        raise ValueError(f"y must have a label for each sample, {samples.shape[:1]}; got shape {labels.shape}")
    ax = new_axes(8, 6) if ax is None else ax
    right = np.asarray(net.predict(samples)).ravel() == labels
    classes, shades = _draw_regions(ax, net, samples, labels)
    for each, color, marker in zip(classes, shades, cycle("osD^vP"), strict=False):
        of_class = labels == each
        for ok, edge, width in ((right, "white", 0.5), (~right, "black", 1.5)):
            points = samples[of_class & ok]
            name = f"class {each}" if edge == "white" else None
            style: dict[str, Any] = {"color": color, "markeredgecolor": edge, "markeredgewidth": width}
            ax.plot(*points.T, marker, markersize=7, label=name, **style)
    if not right.all():
        empty: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": "black", "markeredgewidth": 1.5}
        ax.plot([], [], "o", markersize=7, label="wrongly classified", **empty)
    label(ax, *names, grid=False)
    ax.legend(fontsize=SMALL, loc="lower left", bbox_to_anchor=(0, 1), ncols=5, frameon=False)
    return figure_of(ax)


def _draw_regions(
    ax: Axes, net: Classifier, samples: npt.NDArray[np.float64], labels: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], list[str]]:
    """Draw the class of each point of the plane around samples; return all classes and their colours."""
    low, high = samples.min(axis=0), samples.max(axis=0)
    margin = np.where(high > low, 0.08 * (high - low), 1)
    x, y = (np.linspace(a, b, _GRID) for a, b in zip(low - margin, high + margin, strict=True))
    plane = np.stack([axis.ravel() for axis in np.meshgrid(x, y)], axis=1)
    answers = np.asarray(net.predict(plane)).reshape(_GRID, _GRID)
    classes = np.unique(np.concatenate([labels, answers.ravel()]))
    if len(classes) > _COUNTS:
        raise ValueError(f"net must predict at most {_COUNTS} classes; it has {len(classes)} different answers")
    shades = colors(len(classes))
    tints = 1 - 0.25 * (1 - np.array([to_rgb(shade) for shade in shades]))
    extent = (*x[[0, -1]], *y[[0, -1]])
    ax.imshow(tints[np.searchsorted(classes, answers)], origin="lower", extent=extent, aspect="auto")
    for each in classes if len(classes) > 2 else classes[:1]:
        if (inside := answers == each).any() and not inside.all():
            ax.contour(x, y, _smoothed(inside), levels=[0.5], colors="black", linewidths=1.2)
    return classes, shades


def _smoothed(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return means over squares of 7 points, without the stairs that a line through points has."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(inside.astype(np.float64), 3, mode="edge"), (7, 7))
    means: npt.NDArray[np.float64] = windows.mean(axis=(2, 3))
    return means


def _confusion(
    y_true: npt.NDArray[Any], y_pred: npt.NDArray[Any], classes: Sequence[Any] | None
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the names of the classes, and the counts with a row for each true one."""
    if y_true.ndim != 1 or y_true.shape != y_pred.shape or not len(y_true):
        shapes = f"{y_true.shape} and {y_pred.shape}"
        raise ValueError(f"y_true and y_pred must have one class for each sample, (m,); got shapes {shapes}")
    both = [*y_true.tolist(), *y_pred.tolist()]
    if (
        len({isinstance(value, str) for value in both}) > 1
    ):  # texts in an array of objects, as pandas has them, are texts
        raise TypeError(f"y_true and y_pred must have labels of one kind; got {y_true.dtype} and {y_pred.dtype}")
    labels = sorted(set(both)) if classes is None else np.asarray(classes).tolist()
    places = {name: i for i, name in enumerate(labels)}
    if unknown := [value for value in both if value not in places]:
        raise ValueError(f"classes must have every label; {unknown[0]!r} is none of {labels}")
    at = np.array([places[value] for value in both]).reshape(2, -1)
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, (at[0], at[1]), 1)
    return [str(name) for name in labels], counts
