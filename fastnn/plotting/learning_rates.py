"""The cost that trainings come to, against their learning rates."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from fastnn.plotting.style import SMALL, colors, figure_of, label, new_axes

Numbers = npt.NDArray[np.float64]


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
        If rates are not > 0, there is no finite cost, or a curve has not a cost > 0 for each rate.

    Examples
    --------
    >>> from fastnn import plotting
    >>> figure = plotting.plot_learning_rates([0.1, 1.0, 10.0], {"SGD": [0.5, 0.2, float("nan")]})
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['SGD, lowest at 1', 'diverged']
    """
    x, curves = _as_curves(rates, costs)
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


def _as_curves(rates: npt.ArrayLike, costs: Mapping[str, npt.ArrayLike]) -> tuple[Numbers, dict[str, Numbers]]:
    """Return the rates and each curve's costs, checked."""
    x = np.asarray(rates, dtype=np.float64)
    curves = {name: np.asarray(values, dtype=np.float64) for name, values in costs.items()}
    if x.ndim != 1 or not x.size or not (x > 0).all() or not np.isfinite(x).all():
        raise ValueError(f"rates must be finite numbers > 0, (n,); got {rates!r}")
    for name, curve in curves.items():
        if curve.shape != x.shape:
            raise ValueError(f"costs[{name!r}] must have a cost for each rate, {x.shape}; got shape {curve.shape}")
        if (curve <= 0).any():
            raise ValueError(
                f"costs[{name!r}] must be > 0, as the scale is logarithmic; found {curve[curve <= 0][0]:g}"
            )
    if not any(np.isfinite(curve).any() for curve in curves.values()):
        raise ValueError(f"costs must have at least one finite cost; got {len(curves)} curves without any")
    return x, curves


def _draw_curve(ax: Axes, x: Numbers, curve: Numbers, name: str, style: dict[str, Any]) -> None:
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
