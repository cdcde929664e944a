"""Activations and their derivatives."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from fastnn._kernels import reference
from fastnn.activations import ACTIVATIONS, leaky_relu
from fastnn.plotting.style import BLUE, LIGHT, TEXT, VERMILLION, label, new_figure


def plot_activations(slope: float = 0.2, *, figure: Figure | None = None) -> Figure:
    """Draw sigmoid, tanh, ReLU and leaky ReLU with their derivatives.

    Parameters
    ----------
    slope : float, default 0.2
        Of the leaky ReLU for z < 0.
    figure : matplotlib.figure.Figure, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from fastnn import plotting
    >>> figure = plotting.plot_activations(slope=0.1)
    >>> [ax.get_title() for ax in figure.axes]
    ['sigmoid', 'tanh', 'ReLU', 'leaky ReLU, slope 0.1']
    """
    if figure is None:
        figure = new_figure(height=5.6)
    panels = {
        "sigmoid": ACTIVATIONS["sigmoid"],
        "tanh": ACTIVATIONS["tanh"],
        "ReLU": ACTIVATIONS["relu"],
        f"leaky ReLU, slope {slope:g}": leaky_relu(slope),
    }
    z = np.linspace(-4, 4, 801)
    for i, (title, activation) in enumerate(panels.items()):
        ax = figure.add_subplot(2, 2, i + 1)
        a = reference.activate(activation.code, activation.slope, z)
        slopes = reference.derivative(activation.code, activation.slope, a, z)
        if activation.gain == "he":  # a rectifier's derivative jumps at 0: no line joins its two levels
            slopes[z == 0] = np.nan
        ax.axhline(0, color=LIGHT, linewidth=0.8, zorder=0)
        ax.axvline(0, color=LIGHT, linewidth=0.8, zorder=0)
        ax.plot(z, a, color=BLUE, linewidth=2.2, label="g(z)")
        ax.plot(z, slopes, color=VERMILLION, linewidth=2.2, linestyle=(0, (4, 1.5)), label="g′(z)")
        ax.set(xlim=(-4, 4), xticks=range(-4, 5, 2), ylim=(min(a.min(), 0) - 0.15, max(a.max(), 1) * 1.1))
        ax.yaxis.set_major_locator(MultipleLocator(0.5 if a.max() <= 1 else 1))
        ax.set_title(title, fontsize=TEXT + 1)
        label(ax, "z" if i >= 2 else "", "", grid=False)
    figure.axes[0].legend(fontsize=TEXT, frameon=False, loc="upper left")
    return figure
