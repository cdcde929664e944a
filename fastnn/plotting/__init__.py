"""Figures of data, of networks and of training; needs matplotlib, the extra ``plot``.

Every function takes plain arrays, networks or histories, draws into the axes or the figure that it is given, or into a
new figure, and returns the figure. Nothing here touches pyplot's state, so it works without a display; in a notebook
the figure is the cell's value. Colours are those of Okabe and Ito, told apart with every kind of colour vision.
"""

try:
    import matplotlib as mpl  # noqa: F401  the extra is named before anything else fails
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("fastnn.plotting needs matplotlib: pip install matplotlib", name="matplotlib") from error

from fastnn.plotting.activations import plot_activations
from fastnn.plotting.classification import plot_boundary, plot_confusion
from fastnn.plotting.descent import plot_descent, plot_paths
from fastnn.plotting.histories import plot_comparison, plot_history
from fastnn.plotting.images import plot_digits, plot_mosaic, plot_weights
from fastnn.plotting.learning_rates import plot_learning_rates
from fastnn.plotting.networks import plot_network
from fastnn.plotting.regression import plot_predictions
from fastnn.plotting.searches import plot_search
from fastnn.plotting.splits import plot_split
from fastnn.plotting.style import BLUE, DPI, GREEN, GREY, ORANGE, VERMILLION

__all__ = [
    "BLUE",
    "DPI",
    "GREEN",
    "GREY",
    "ORANGE",
    "VERMILLION",
    "plot_activations",
    "plot_boundary",
    "plot_comparison",
    "plot_confusion",
    "plot_descent",
    "plot_digits",
    "plot_history",
    "plot_learning_rates",
    "plot_mosaic",
    "plot_network",
    "plot_paths",
    "plot_predictions",
    "plot_search",
    "plot_split",
    "plot_weights",
]
