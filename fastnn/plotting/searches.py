"""What trainings of several configurations came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from fastnn.plotting.style import BLUE, SMALL, TEXT, colors, figure_of, label, new_axes


def plot_search(
    search: Sequence[Mapping[str, Any]], x: str, y: str | None = None, *, value: str = "score", ax: Axes | None = None
) -> Figure:
    """Draw what `fastnn.fit_many` found: a heat map over two keys of the configurations, or points over one.

    Parameters
    ----------
    search : Search
        The records; of several in one cell, such as seeds, the mean is drawn.
    x, y : str
        The keys along the axes; without y the value is the vertical axis, a point a record.
    value : {"score", "loss", "seconds", "epochs"}, default "score"
        What is drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the records have no such key.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import plotting
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    >>> search = fastnn.fit_many(X, y, {"hidden": [2, 4], "learning_rate": [0.01, 0.1]}, validation_data=(X, y))
    >>> figure = plotting.plot_search(search, "learning_rate", "hidden")
    >>> figure.axes[0].get_ylabel()
    'hidden units'
    """
    records = list(search)
    for key in (x, value) if y is None else (x, y, value):
        if not records or key not in records[0]:
            raise ValueError(f"the search has no {key!r}; it has {list(records[0]) if records else []}")
    ax = new_axes() if ax is None else ax
    columns = _levels(records, x)
    if y is None:
        places = [columns.index(str(record[x])) for record in records]
        ax.plot(places, [record[value] for record in records], "o", color=BLUE, markersize=8, clip_on=False)
        label(ax, _words(x), _words(value))
    else:
        _draw_cells(ax, records, (x, y, value), columns, _levels(records, y))
    ax.set_xticks(range(len(columns)), columns)
    return figure_of(ax)


def plot_learning_rates(rates: npt.ArrayLike, costs: Mapping[str, npt.ArrayLike], *, ax: Axes | None = None) -> Figure:
    """Draw the cost that trainings came to against their learning rates, both on logarithmic scales.

    Parameters
    ----------
    rates : array_like, (n,)
        Learning rates, > 0.
    costs : mapping of str to array_like, (n,)
        The name of each curve, such as an optimizer or a number of epochs, and J at its end for each rate, > 0; NaN or
        infinite where the training diverged, which is drawn as a cross at the top.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure
        The lowest cost of each curve is ringed, and the legend has its rate.

    Raises
    ------
    ValueError
        If rates are not > 0, there is no curve, or one has not a cost for each rate.

    Examples
    --------
    >>> from fastnn import plotting
    >>> figure = plotting.plot_learning_rates([0.1, 1.0, 10.0], {"SGD": [0.5, 0.2, float("nan")]})
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['SGD, lowest at 1', 'diverged']
    """
    x = np.asarray(rates, dtype=np.float64)
    curves = {name: np.asarray(values, dtype=np.float64) for name, values in costs.items()}
    if x.ndim != 1 or not x.size or not (x > 0).all() or not np.isfinite(x).all():
        raise ValueError(f"rates must be finite numbers > 0, (n,); got {rates!r}")
    for name, curve in curves.items():
        if curve.shape != x.shape:
            raise ValueError(f"costs[{name!r}] must have a cost for each rate, {x.shape}; got shape {curve.shape}")
    if not curves:
        raise ValueError("costs must have at least one curve; got none")
    ax = new_axes() if ax is None else ax
    order = np.argsort(x)
    for (name, curve), color, marker in zip(curves.items(), colors(len(curves)), cycle("os^Dv"), strict=False):
        _draw_curve(ax, x[order], curve[order], name, {"color": color, "marker": marker})
    if not all(np.isfinite(curve).all() for curve in curves.values()):
        ax.plot([], [], "x", color="black", label="diverged")
    ax.set(xscale="log", yscale="log")
    ax.yaxis.set_major_formatter("{x:g}")
    low, high = ax.get_ylim()
    if high < 1000 * low:
        ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        ax.yaxis.set_minor_formatter("{x:g}")
    label(ax, "learning rate", "cost J")
    ax.tick_params(which="minor", labelsize=SMALL)
    ax.legend(fontsize=SMALL, frameon=False)
    return figure_of(ax)


def _draw_curve(
    ax: Axes, x: npt.NDArray[np.float64], curve: npt.NDArray[np.float64], name: str, style: dict[str, Any]
) -> None:
    """Draw the costs that are finite, a ring around the lowest, and crosses for the others."""
    ok = np.isfinite(curve)
    color, text = style["color"], name
    if ok.any():
        best = np.where(ok, curve, np.inf).argmin()
        text = f"{name}, lowest at {x[best]:.3g}"
        ax.plot(x[best], curve[best], "o", color=color, markersize=14, markerfacecolor="none", markeredgewidth=1.5)
    ax.plot(x[ok], curve[ok], linewidth=2, markersize=6, label=text, **style)
    if not ok.all():
        top = ax.get_xaxis_transform()  # heights from 0 to 1
        ax.plot(x[~ok], np.ones((~ok).sum()), "x", color=color, transform=top, clip_on=False)


def _draw_cells(
    ax: Axes, records: Sequence[Mapping[str, Any]], keys: tuple[str, str, str], columns: list[str], rows: list[str]
) -> None:
    """Draw a grid of cells with their means, dark where these are large."""
    x, y, value = keys
    cells: list[list[list[float]]] = [[[] for _ in columns] for _ in rows]
    for record in records:
        cells[rows.index(str(record[y]))][columns.index(str(record[x]))].append(float(record[value]))
    means = np.array([[np.mean(cell) if cell else np.nan for cell in row] for row in cells])
    image = ax.imshow(means, cmap="viridis", aspect="auto", origin="lower")
    middle = (np.nanmin(means) + np.nanmax(means)) / 2
    for (row, column), mean in np.ndenumerate(means):
        if np.isfinite(mean):
            color = "white" if mean <= middle else "black"
            ax.text(column, row, f"{mean:.4g}", ha="center", va="center", color=color, fontsize=TEXT)
    label(ax, _words(x), _words(y), grid=False)
    ax.set_yticks(range(len(rows)), rows)
    bar = figure_of(ax).colorbar(image, ax=ax)
    bar.set_label(_words(value), fontsize=TEXT)


def _levels(records: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """Return the values of a key, in ascending order where they have one."""
    found = {str(record[key]): record[key] for record in records}
    try:
        return sorted(found, key=lambda name: found[name])
    except TypeError:
        return sorted(found)


def _words(key: str) -> str:
    """Return a key as a label, with its unit."""
    units = {"seconds": "time, s", "hidden": "hidden units"}
    return units.get(key, key.replace("_", " "))
