"""Images: of a data set, and of what a network makes of them."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from fastnn._checks import check_integer
from fastnn.plotting.style import BLUE, LIGHT, SIGNS, TEXT, VERMILLION, figure_of, label, new_axes, new_figure


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

    Examples
    --------
    >>> from fastnn import plotting
    >>> figure = plotting.plot_digits([[0, 1, 1, 0], [1, 0, 0, 1]], ["up", "down"], ["up", "up"])
    >>> [ax.get_xlabel() for ax in figure.axes]
    ['predicted up', 'predicted up ✗']
    """
    pictures, answers = _as_pictures(np.asarray(images)), np.asarray(labels)
    guesses = answers if predictions is None else np.asarray(predictions)
    if not len(pictures) == len(answers) == len(guesses):
        counts = f"{len(pictures)} images, {len(answers)} labels and {len(guesses)} predictions"
        raise ValueError(f"each image must have one label and one prediction; got {counts}")
    columns = min(6, len(pictures))
    rows = -(-len(pictures) // columns)
    if figure is None:
        figure = new_figure(1.45 * columns, 1.95 * rows)
    for i, (picture, answer, guess) in enumerate(zip(pictures, answers, guesses, strict=True)):
        ax = figure.add_subplot(rows, columns, i + 1)
        ax.imshow(picture, cmap="gray_r", interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_color(LIGHT)
        ax.set_title(f"label {answer}", fontsize=TEXT)
        if predictions is not None:
            right = answer == guess
            text = f"predicted {guess}" + ("" if right else " ✗")
            ax.set_xlabel(text, fontsize=TEXT, color=BLUE if right else VERMILLION, labelpad=5)
    return figure


def plot_mosaic(
    images: npt.ArrayLike, labels: npt.ArrayLike | None = None, *, columns: int | None = None, ax: Axes | None = None
) -> Figure:
    """Draw many square images side by side, or the first ones of each class in a row.

    Parameters
    ----------
    images : array_like, (n, side * side), (n, side, side) or (n, side, side, 3)
        Brightness of each pixel, row by row, or red, green and blue, from 0 to 1 or integers from 0 to 255. The rows of
        CIFAR-10 become such images by ``X.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)``.
    labels : array_like, (n,), optional
        With them each class has its row, of its first images; otherwise all images are drawn, in their order.
    columns : int, optional
        Images in a row; by default 20 with labels, otherwise about twice as many as there are rows.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the images are not square, or there are not as many labels.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import plotting
    >>> (X, y), _ = fastnn.datasets.load_digits()
    >>> figure = plotting.plot_mosaic(X, y)
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']
    """
    array = np.asarray(images)
    pictures = array if _are_coloured(array) else _as_pictures(array)
    classes = np.array([])
    if labels is None:
        rows = _in_rows(len(pictures), columns)
    else:
        answers = np.asarray(labels)
        if answers.shape != pictures.shape[:1]:
            raise ValueError(f"labels must have one label for each image, {pictures.shape[:1]}; got {answers.shape}")
        columns, classes = check_integer("columns", 20 if columns is None else columns, low=1), np.unique(answers)
        rows = [np.flatnonzero(answers == each)[:columns] for each in classes]
    ax = new_axes(8, min(8 * len(rows) / max(map(len, rows)) + 0.1, 16)) if ax is None else ax
    whole = _tiled(pictures, rows, gap=0.8 if pictures.ndim == 4 else np.nan)
    ax.imshow(whole, cmap=_with_gaps("gray_r"))
    step = pictures.shape[1] + 1
    label(ax, "", "" if labels is None else "class", grid=False)
    ax.set(xticks=[])
    ax.set_yticks(step * np.arange(len(classes)) + step / 2, classes)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure_of(ax)


def plot_weights(weights: npt.ArrayLike, *, columns: int | None = None, ax: Axes | None = None) -> Figure:
    """Draw the weights of units that look at square images as images: blue where > 0, red where < 0.

    Parameters
    ----------
    weights : array_like, (side * side, units)
        Such as ``net.weights[0]``: a column has what a unit multiplies each pixel by.
    columns : int, optional
        Units in a row; by default there are about twice as many columns as rows.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.figure.Figure
        One scale of colours for all units, as far below zero as above; it ends where 1 weight in 200 is larger, and
        those have the colours of its ends.

    Raises
    ------
    ValueError
        If the inputs make no square.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import plotting
    >>> net = fastnn.Network((784, 32, 10), rng=1)
    >>> figure = plotting.plot_weights(net.weights[0])
    >>> figure.axes[1].get_ylabel()
    'weight'
    """
    W = np.asarray(weights, dtype=np.float64)
    if W.ndim != 2 or round(W.shape[0] ** 0.5) ** 2 != W.shape[0] or not W.size:
        raise ValueError(f"weights must be those of square images, (side * side, units); got shape {W.shape}")
    pictures = _as_pictures(W.T)
    rows = _in_rows(len(pictures), columns)
    ax = new_axes(8, min(6.8 * len(rows) / len(rows[0]) + 0.1, 16)) if ax is None else ax
    most = np.quantile(abs(W), 0.995) or abs(W).max() or 1.0
    image = ax.imshow(_tiled(pictures, rows, np.nan), cmap=_with_gaps(SIGNS), vmin=-most, vmax=most)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    bar = figure_of(ax).colorbar(image, ax=ax, extend="both" if abs(W).max() > most else "neither")
    bar.set_label("weight", fontsize=TEXT)
    return figure_of(ax)


def _in_rows(count: int, columns: int | None) -> list[npt.NDArray[np.int64]]:
    """Return the numbers below a count in rows, by default about half as many rows as columns."""
    wide = check_integer("columns", math.ceil((2 * count) ** 0.5) if columns is None else columns, low=1)
    return [np.arange(i, min(i + wide, count)) for i in range(0, count, wide)]


def _tiled(pictures: npt.NDArray[np.generic], rows: list[npt.NDArray[np.int64]], gap: float) -> npt.NDArray[np.float64]:
    """Return one picture of many, with a pixel between them."""
    side = pictures.shape[1]
    step, wide = side + 1, max(map(len, rows))
    whole = np.full((len(rows) * step + 1, wide * step + 1, *pictures.shape[3:]), gap)
    scale = 255 if pictures.ndim == 4 and pictures.dtype.kind == "u" else 1
    for i, row in enumerate(rows):
        for j, at in enumerate(row):
            top, left = i * step + 1, j * step + 1
            whole[top : top + side, left : left + side] = pictures[at] / scale
    return whole


def _with_gaps(colormap: str | Colormap) -> Colormap:
    """Return a colour map with grey where there is nothing."""
    return mpl.colormaps.get_cmap(colormap).with_extremes(bad=LIGHT)


def _are_coloured(images: npt.NDArray[np.generic]) -> bool:
    return images.ndim == 4 and images.shape[1] == images.shape[2] and images.shape[3] == 3 and len(images) > 0


def _as_pictures(images: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    side = round(images.shape[-1] ** 0.5) if images.ndim == 2 else images.shape[-1]
    shape = (len(images), side, side)
    if images.ndim not in (2, 3) or images.size != np.prod(shape) or not len(images):
        raise ValueError(f"images must be square, (n, side * side) or (n, side, side); got shape {images.shape}")
    return images.reshape(shape)
