"""What trainings of several configurations came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastnn.plotting.style import BLUE, TEXT, figure_of, label, new_axes


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
