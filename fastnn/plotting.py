"""Figures of training and of what networks see; needs matplotlib, the extra ``plot``.

Every function draws into the axes or the figure that it is given, or into a new figure, and returns the figure. Nothing
here touches pyplot's state, so it works without a display; in a notebook the figure is the cell's value. Colours are
those of Okabe and Ito, told apart with every kind of colour vision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._kernels import reference
from fastnn.activations import ACTIVATIONS, leaky_relu
from fastnn.history import History

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MultipleLocator
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("fastnn.plotting needs matplotlib: pip install matplotlib", name="matplotlib") from error

Curve = npt.NDArray[np.float64]

BLUE, ORANGE, GREEN, VERMILLION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"
DPI = 150  # 8 inches are 1200 pixels: sharp on a page 800 wide
_TEXT, _SMALL = 12, 11


def plot_history(
    history: History,
    samples: int | None = None,
    *,
    initial_loss: float | None = None,
    validation_name: str = "validation",
    ax: Axes | None = None,
) -> Figure:
    """Draw the training loss, with the validation loss at the end of each epoch.

    Parameters
    ----------
    history : History
        What ``fit`` returned. With ``batch_loss=True`` the curve is every step's loss, averaged over a tenth of an
        epoch; otherwise it has one point an epoch, at the middle of the epoch that it is the mean of.
    samples : int, optional
        Training samples in an epoch: the horizontal axis then counts the examples seen, otherwise epochs.
    initial_loss : float, optional
        The validation loss before training, drawn at 0.
    validation_name : str, default "validation"
        What the legend calls the validation data.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure
    """
    ax = _new_axes() if ax is None else ax
    epoch = samples or 1
    seen, loss = _training_curve(history)
    ax.plot(seen * epoch, loss, color=BLUE, linewidth=2, label="training loss")
    test = ([] if initial_loss is None else [initial_loss]) + history.validation_loss
    if test:
        first = 0 if initial_loss is not None else 1
        at = np.arange(first, first + len(test)) * epoch
        ax.plot(at, test, "o", color=VERMILLION, markersize=7, label=f"{validation_name} loss", clip_on=False, zorder=3)
    ax.set_ylim(bottom=0)
    _label(ax, _progress_label(samples), "loss J, mean over the examples")
    _count_examples(ax, samples)
    ax.legend(fontsize=_TEXT, frameon=False)
    return _figure_of(ax)


def plot_comparison(histories: Mapping[str, History], samples: int | None = None, *, ax: Axes | None = None) -> Figure:
    """Draw the training losses of several trainings, each with its name, on a logarithmic scale.

    Parameters
    ----------
    histories : mapping of str to History
        The name of each training, and what ``fit`` returned; each step's loss where ``batch_loss=True`` kept it.
    samples : int, optional
        Training samples in an epoch: the horizontal axis then counts the examples seen, otherwise epochs.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure
    """
    ax = _new_axes() if ax is None else ax
    for (name, history), color in zip(histories.items(), _colors(len(histories)), strict=True):
        seen, loss = _training_curve(history)
        marker = "o" if len(seen) <= 30 else None  # single steps, not a curve
        ax.plot(seen * (samples or 1), loss, color=color, linewidth=2, marker=marker, label=name)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    _label(ax, _progress_label(samples), "training loss J")
    _count_examples(ax, samples)
    ax.legend(fontsize=_TEXT, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, columnspacing=1.5)
    return _figure_of(ax)


def plot_digits(
    images: npt.ArrayLike,
    labels: npt.ArrayLike,
    predictions: npt.ArrayLike | None = None,
    *,
    figure: Figure | None = None,
) -> Figure:
    """Draw square images in a row, or in rows of six, each with its label and prediction.

    Parameters
    ----------
    images : array_like, (n, side * side) or (n, side, side)
        Brightness of each pixel, row by row.
    labels, predictions : array_like, (n,)
        The true classes and the predicted ones; a wrong prediction stands out by its colour and a cross.
    figure : matplotlib.figure.Figure, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the images are not square, or the numbers of images, labels and predictions differ.
    """
    pictures, answers = _as_pictures(np.asarray(images)), np.asarray(labels)
    guesses = answers if predictions is None else np.asarray(predictions)
    if not len(pictures) == len(answers) == len(guesses):
        counts = f"{len(pictures)} images, {len(answers)} labels and {len(guesses)} predictions"
        raise ValueError(f"each image must have one label and one prediction; got {counts}")
    columns = min(6, len(pictures))
    rows = -(-len(pictures) // columns)
    if figure is None:
        figure = Figure(figsize=(1.45 * columns, 1.95 * rows), dpi=DPI, layout="constrained")
    for i, (picture, label, guess) in enumerate(zip(pictures, answers, guesses, strict=True)):
        ax = figure.add_subplot(rows, columns, i + 1)
        ax.imshow(picture, cmap="gray_r", interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_color("#CCCCCC")
        ax.set_title(f"label {label}", fontsize=_TEXT)
        if predictions is not None:
            right = label == guess
            text = f"predicted {guess}" + ("" if right else " ✗")
            ax.set_xlabel(text, fontsize=_TEXT, color=BLUE if right else VERMILLION, labelpad=5)
    return figure


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
    """
    if figure is None:
        figure = Figure(figsize=(8, 5.6), dpi=DPI, layout="constrained")
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
        ax.axhline(0, color="#CCCCCC", linewidth=0.8, zorder=0)
        ax.axvline(0, color="#CCCCCC", linewidth=0.8, zorder=0)
        ax.plot(z, a, color=BLUE, linewidth=2.2, label="g(z)")
        ax.plot(z, slopes, color=VERMILLION, linewidth=2.2, linestyle=(0, (4, 1.5)), label="g′(z)")
        ax.set(xlim=(-4, 4), xticks=range(-4, 5, 2), ylim=(min(a.min(), 0) - 0.15, max(a.max(), 1) * 1.1))
        ax.yaxis.set_major_locator(MultipleLocator(0.5 if a.max() <= 1 else 1))
        ax.set_title(title, fontsize=_TEXT + 1)
        _label(ax, "z" if i >= 2 else "", "", grid=False)
    figure.axes[0].legend(fontsize=_TEXT, frameon=False, loc="upper left")
    return figure


# --- shared by the figures ------------------------------------------------------------------------------------------


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
    """
    records = list(search)
    for key in (x, value) if y is None else (x, y, value):
        if not records or key not in records[0]:
            raise ValueError(f"the search has no {key!r}; it has {list(records[0]) if records else []}")
    ax = _new_axes() if ax is None else ax
    columns = _levels(records, x)
    if y is None:
        places = [columns.index(str(record[x])) for record in records]
        ax.plot(places, [record[value] for record in records], "o", color=BLUE, markersize=8, clip_on=False)
        _label(ax, _words(x), _words(value))
    else:
        _draw_cells(ax, records, (x, y, value), columns, _levels(records, y))
    ax.set_xticks(range(len(columns)), columns)
    return _figure_of(ax)


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
            ax.text(column, row, f"{mean:.4g}", ha="center", va="center", color=color, fontsize=_TEXT)
    _label(ax, _words(x), _words(y), grid=False)
    ax.set_yticks(range(len(rows)), rows)
    bar = _figure_of(ax).colorbar(image, ax=ax)
    bar.set_label(_words(value), fontsize=_TEXT)


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


def _new_axes() -> Axes:
    return Figure(figsize=(8, 4.4), dpi=DPI, layout="constrained").add_subplot()


def _figure_of(ax: Axes) -> Figure:
    figure: Figure = ax.figure.figure  # of a subfigure too, the whole
    return figure


def _training_curve(history: History) -> tuple[Curve, Curve]:
    """Return (epochs seen, loss) of each step where it was kept, of each epoch otherwise."""
    if not history.batch_loss:
        return np.arange(history.epochs, dtype=np.float64) + 0.5, np.array(history.loss)
    steps = len(history.batch_loss[0])
    loss = np.concatenate(history.batch_loss)
    seen = np.arange(len(loss)) / steps  # a step's loss is taken before the step
    thin = slice(None, None, max(1, steps // 100))  # a hundred points an epoch show all that an average over ten can
    return seen[thin], _moving_average(loss, steps // 10)[thin]


def _moving_average(values: Curve, window: int) -> Curve:
    """Return the mean of up to window // 2 values on each side of every value."""
    half = window // 2
    sums = np.concatenate(([0.0], np.cumsum(values)))
    at = np.arange(len(values))
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    means: Curve = (sums[high] - sums[low]) / (high - low)
    return means


def _as_pictures(images: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    side = round(images.shape[-1] ** 0.5) if images.ndim == 2 else images.shape[-1]
    shape = (len(images), side, side)
    if images.ndim not in (2, 3) or images.size != np.prod(shape) or not len(images):
        raise ValueError(f"images must be square, (n, side * side) or (n, side, side); got shape {images.shape}")
    return images.reshape(shape)


def _colors(n: int) -> list[str]:
    return [(BLUE, VERMILLION, GREEN, ORANGE, "#CC79A7", "#56B4E9", GREY)[i % 7] for i in range(n)]


def _progress_label(samples: int | None) -> str:
    return "training examples seen" if samples else "epochs"


def _count_examples(ax: Axes, samples: int | None) -> None:
    if samples:
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_xlim(left=0)


def _label(ax: Axes, x: str, y: str, grid: bool = True) -> None:
    ax.set_xlabel(x, fontsize=_TEXT)
    ax.set_ylabel(y, fontsize=_TEXT)
    ax.tick_params(labelsize=_SMALL)
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(color="#E6E6E6", linewidth=0.8)
        ax.set_axisbelow(True)
