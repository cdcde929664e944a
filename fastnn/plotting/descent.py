"""How gradient descent goes: the cost after each step, and the way of two parameters over the cost's contours."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fastnn.plotting.style import GREY, SMALL, TEXT, colors, figure_of, label, new_axes, new_figure

Points = npt.NDArray[np.float64]

_GRID = 61  # costs along each axis
_LEVELS = 14


def plot_descent(costs: Mapping[str, npt.ArrayLike], *, figure: Figure | None = None) -> Figure:
    r"""Draw the cost after each step of several descents side by side, with how often it rose.

    Parameters
    ----------
    costs : mapping of str to array_like, (steps + 1,)
        The name of each descent, and J, over all samples, before its first step and after each one.
    figure : matplotlib.figure.Figure, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no descent, or one has fewer than two costs.

    Examples
    --------
    >>> from fastnn import plotting
    >>> figure = plotting.plot_descent({"gradient descent": [4.0, 2.0, 1.0], "SGD": [4.0, 1.0, 2.0]})
    >>> [ax.get_title() for ax in figure.axes]
    ['gradient descent\nJ rose in 0 of 2 steps', 'SGD\nJ rose in 1 of 2 steps']
    """
    curves = {name: np.asarray(values, dtype=np.float64) for name, values in costs.items()}
    for name, curve in curves.items():
        if curve.ndim != 1 or len(curve) < 2:
            raise ValueError(
                f"costs[{name!r}] must have a cost before the first step and after each; got {curve.shape}"
            )
    if not curves:
        raise ValueError("costs must have at least one descent; got none")
    figure = new_figure(height=4) if figure is None else figure
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for ax, (name, curve), color in zip(panels, curves.items(), colors(len(curves)), strict=True):
        ax.plot(curve, color=color, linewidth=1.5)
        steps, rises = len(curve) - 1, int((curve[1:] > curve[:-1]).sum())
        ax.set_title(f"{name}\nJ rose in {rises:,} of {steps:,} steps", fontsize=TEXT)
        label(ax, "steps", "cost J over all examples" if ax is panels[0] else "")
        ax.set_xlim(0, steps)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=(1, 2, 5, 10)))
    panels[0].set_ylim(bottom=min(0, *(np.nanmin(curve) for curve in curves.values())))
    return figure


def plot_paths(
    paths: Mapping[str, npt.ArrayLike],
    cost: Callable[[Points], float],
    *,
    names: tuple[str, str] = ("w", "b"),
    ax: Axes | None = None,
) -> Figure:
    """Draw the ways that two parameters took, on the contours of their cost.

    Parameters
    ----------
    paths : mapping of str to array_like, (steps + 1, 2)
        The name of each descent, and both parameters before its first step and after each one.
    cost : callable
        Takes both parameters, (2,), and returns J; called some 4,000 times.
    names : (str, str), default ("w", "b")
        The parameters.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure
        Each path has a large mark at its end. Contours are at the lowest cost plus a multiple of 1, 4, 9, ...: those of
        a quadratic cost are equally far apart.

    Raises
    ------
    ValueError
        If there is no path, or one does not have two finite parameters in each row.

    Examples
    --------
    >>> from fastnn import plotting
    >>> path = [[2.0, 1.0], [0.4, 0.8], [0.1, 0.6]]
    >>> figure = plotting.plot_paths({"gradient descent": path}, lambda p: p[0] ** 2 + 0.1 * p[1] ** 2)
    >>> figure.axes[0].get_xlabel()
    'w'
    """
    ways = {name: np.asarray(path, dtype=np.float64) for name, path in paths.items()}
    for name, way in ways.items():
        if way.ndim != 2 or way.shape[1] != 2 or not len(way) or not np.isfinite(way).all():
            raise ValueError(f"paths[{name!r}] must have two finite parameters in each row; got shape {way.shape}")
    if not ways:
        raise ValueError("paths must have at least one descent; got none")
    ax = new_axes(8, 5.6) if ax is None else ax
    _draw_contours(ax, cost, np.concatenate(list(ways.values())))
    shades = colors(len(ways))
    for i, (name, way) in enumerate(ways.items()):  # the first one, which is most often the smoothest, on top
        color, marker = shades[i], "os^D"[i % 4]
        ax.plot(*way.T, marker=marker, color=color, linewidth=1.4, markersize=3, label=name, zorder=10 - i / len(ways))
        ax.plot(*way[-1], marker=marker, color=color, markersize=10, markeredgecolor="white", zorder=11)
    ax.plot(*next(iter(ways.values()))[0], "*", color="black", markersize=13, label="start", zorder=11)
    ax.plot([], [], color=GREY, linewidth=0.8, label="contours of the cost J")
    label(ax, *names, grid=False)
    ax.legend(fontsize=SMALL, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return figure_of(ax)


def _draw_contours(ax: Axes, cost: Callable[[Points], float], points: Points) -> None:
    """Draw the cost around points."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, 0.15 * (high - low), 1)
    x, y = (np.linspace(a, b, _GRID) for a, b in zip(low - margin, high + margin, strict=True))
    values = np.array([[cost(np.array([p, q])) for p in x] for q in y], dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    least, most = np.nanmin(values), np.nanmax(values)
    if most > least:
        levels = least + (most - least) * (np.arange(1, _LEVELS) / _LEVELS) ** 2
        lines = ax.contour(x, y, values, levels=levels, colors=GREY, linewidths=0.8, zorder=1)
        ax.clabel(lines, levels[1::2], fmt="%.2g", fontsize=9.5, colors="black")
    ax.set(xlim=x[[0, -1]], ylim=y[[0, -1]])
