"""Diagrams of networks: layers, units, weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fastnn._checks import check_integer
from fastnn.network import Network
from fastnn.plotting.style import BLUE, GREY, SMALL, TEXT, VERMILLION, figure_of, new_axes

_WIDEST = 4.0  # points, of the largest weight
_UNIT = 15.0  # points across


def plot_network(net: Network, *, units: int = 10, ax: Axes | None = None) -> Figure:
    r"""Draw the layers of a network with their sizes, and the weights between layers that are drawn whole.

    Parameters
    ----------
    net : Network
        A weight is a line: blue and solid if > 0, red and dashed if < 0, as wide as its size. Where a layer is too
        large to be drawn whole, thin grey lines say that each unit is joined with each.
    units : int, default 10
        Units of the largest layer that is drawn whole, >= 4; of larger ones the first and the last are, two fewer.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import plotting
    >>> figure = plotting.plot_network(fastnn.Network((2, 3, 1), "tanh", loss="squared_error", rng=1))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['2\ninputs', '3\ntanh units', '1\nidentity output']
    """
    units = check_integer("units", units, low=4)
    ax = new_axes(8, 4.6) if ax is None else ax
    layers = [_places(size, units) for size in net.sizes]
    whole = [W for W in net.weights if max(W.shape) <= units]
    most = max((float(abs(W).max()) for W in whole), default=0.0)
    for at, W in enumerate(net.weights):
        _join(ax, at, layers[at], layers[at + 1], W if max(W.shape) <= units else None, most)
    bottom = min(places[-1] for places in layers)
    for at, (size, places, kind) in enumerate(zip(net.sizes, layers, _kinds(net), strict=True)):
        ax.plot(
            np.full(len(places), at), places, "o", color="white", markeredgecolor="black", markersize=_UNIT, zorder=3
        )
        if size > units:
            ax.plot([at] * 3, [-0.3, 0, 0.3], "o", color="black", markersize=2.5, zorder=3)
        text = f"{size:,}\n{kind}" + "s" * (size > 1)
        text = text.replace(" ", "\n") if len(layers) > 5 else text
        ax.text(at, bottom - 0.8, text, ha="center", va="top", fontsize=TEXT)
    ax.set(xlim=(-0.4, len(layers) - 0.6), ylim=(bottom - (2.0 if len(layers) <= 5 else 2.7), -bottom + 0.7))
    ax.set_axis_off()
    if most:
        _explain(ax, most)
    return figure_of(ax)


def _places(size: int, units: int) -> npt.NDArray[np.float64]:
    """Return the heights of a layer's units from top to bottom; those left out are at 0."""
    if size <= units:
        return (size - 1) / 2 - np.arange(size, dtype=np.float64)
    half = units // 2 - 1
    above = np.arange(half, 0, -1.0)
    return np.concatenate((above, -above[::-1]))


def _join(
    ax: Axes,
    at: int,
    left: npt.NDArray[np.float64],
    right: npt.NDArray[np.float64],
    W: npt.NDArray[Any] | None,
    most: float,
) -> None:
    """Draw a line for each pair of units of two layers: by its weight, if that is given."""
    lines: Any = np.array([[(at, a), (at + 1, b)] for a in left for b in right])
    if W is None:
        ax.add_collection(LineCollection(lines, colors=GREY, linewidths=0.4, alpha=0.6, zorder=1))
        return
    weights = W.ravel()
    for chosen, color, dashes in ((weights >= 0, BLUE, "solid"), (weights < 0, VERMILLION, (0, (3, 1)))):
        widths = _WIDEST * abs(weights[chosen]) / (most or 1)
        ax.add_collection(LineCollection(lines[chosen], colors=color, linewidths=widths, linestyles=[dashes], zorder=2))


def _kinds(net: Network) -> list[str]:
    """Return what the units of each layer are."""
    output = net.architecture.loss.output.name.lower()
    return ["input", *(f"{activation.name} unit" for activation in net.activations), f"{output} output"]


def _explain(ax: Axes, most: float) -> None:
    """Say what the lines mean."""
    lines = [
        Line2D([], [], color=VERMILLION, linewidth=_WIDEST, linestyle=(0, (3, 1)), label=f"weight −{most:.2g}"),
        Line2D([], [], color=BLUE, linewidth=_WIDEST / 4, label=f"weight {most / 4:.2g}"),
        Line2D([], [], color=BLUE, linewidth=_WIDEST, label=f"weight {most:.2g}"),
    ]
    ax.legend(handles=lines, fontsize=SMALL, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
