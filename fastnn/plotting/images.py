"""Images: of a data set, and of what a network makes of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from fastnn.plotting.style import BLUE, LIGHT, TEXT, VERMILLION, new_figure


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
        figure = new_figure(1.45 * columns, 1.95 * rows)
    for i, (picture, label, guess) in enumerate(zip(pictures, answers, guesses, strict=True)):
        ax = figure.add_subplot(rows, columns, i + 1)
        ax.imshow(picture, cmap="gray_r", interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_color(LIGHT)
        ax.set_title(f"label {label}", fontsize=TEXT)
        if predictions is not None:
            right = label == guess
            text = f"predicted {guess}" + ("" if right else " ✗")
            ax.set_xlabel(text, fontsize=TEXT, color=BLUE if right else VERMILLION, labelpad=5)
    return figure


def _as_pictures(images: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    side = round(images.shape[-1] ** 0.5) if images.ndim == 2 else images.shape[-1]
    shape = (len(images), side, side)
    if images.ndim not in (2, 3) or images.size != np.prod(shape) or not len(images):
        raise ValueError(f"images must be square, (n, side * side) or (n, side, side); got shape {images.shape}")
    return images.reshape(shape)
