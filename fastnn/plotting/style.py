"""What all figures have in common: colours, sizes of text, axes."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, VERMILLION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"
PURPLE, SKY = "#CC79A7", "#56B4E9"
LIGHT = "#CCCCCC"  # frames and lines at 0
SIGNS = LinearSegmentedColormap.from_list("signs", (VERMILLION, "white", BLUE))  # below 0, 0, above
DPI = 150  # 8 inches are 1200 pixels: sharp on a page 800 wide
TEXT, SMALL = 12, 11


def new_figure(width: float = 8, height: float = 4.4) -> Figure:
    """Return an empty figure, in inches."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def new_axes(width: float = 8, height: float = 4.4) -> Axes:
    """Return the only axes of a new figure, in inches."""
    return new_figure(width, height).add_subplot()


def figure_of(ax: Axes) -> Figure:
    """Return the figure that axes belong to."""
    figure: Figure = ax.figure.figure  # of a subfigure too, the whole
    return figure


def colors(n: int) -> list[str]:
    """Return n colours, all different up to seven."""
    return [(BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, GREY)[i % 7] for i in range(n)]


def label(ax: Axes, x: str, y: str, grid: bool = True) -> None:
    """Name the axes and leave out what is no data."""
    ax.set_xlabel(x, fontsize=TEXT)
    ax.set_ylabel(y, fontsize=TEXT)
    ax.tick_params(labelsize=SMALL)
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(color="#E6E6E6", linewidth=0.8)
        ax.set_axisbelow(True)
