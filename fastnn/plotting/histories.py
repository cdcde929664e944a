"""The losses of trainings, from what ``fit`` returns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from fastnn.history import History
from fastnn.plotting.style import BLUE, TEXT, VERMILLION, colors, figure_of, label, new_axes

Curve = npt.NDArray[np.float64]


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

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import plotting
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    >>> history = fastnn.Network((1, 2), rng=1).fit(X, y, epochs=5, validation_data=(X, y))
    >>> figure = plotting.plot_history(history, samples=4)
    >>> figure.axes[0].get_xlabel()
    'training examples seen'
    """
    ax = new_axes() if ax is None else ax
    epoch = samples or 1
    seen, loss = _training_curve(history)
    ax.plot(seen * epoch, loss, color=BLUE, linewidth=2, label="training loss")
    test = ([] if initial_loss is None else [initial_loss]) + history.validation_loss
    if test:
        first = 0 if initial_loss is not None else 1
        at = np.arange(first, first + len(test)) * epoch
        ax.plot(at, test, "o", color=VERMILLION, markersize=7, label=f"{validation_name} loss", clip_on=False, zorder=3)
    if min([*loss, *test], default=0) >= 0:  # Poisson's loss, and one of your own, can be less
        ax.set_ylim(bottom=0)
    label(ax, _progress_label(samples), "loss J, mean over the examples")
    _count_examples(ax, samples)
    ax.legend(fontsize=TEXT, frameon=False)
    return figure_of(ax)


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

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import plotting
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    >>> histories = {name: fastnn.Network((1, 2), rng=1).fit(X, y, optimizer=name) for name in ("sgd", "adam")}
    >>> figure = plotting.plot_comparison(histories)
    """
    ax = new_axes() if ax is None else ax
    for (name, history), color in zip(histories.items(), colors(len(histories)), strict=True):
        seen, loss = _training_curve(history)
        marker = "o" if len(seen) <= 30 else None  # single steps, not a curve
        ax.plot(seen * (samples or 1), loss, color=color, linewidth=2, marker=marker, label=name)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    label(ax, _progress_label(samples), "training loss J")
    _count_examples(ax, samples)
    ax.legend(fontsize=TEXT, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, columnspacing=1.5)
    return figure_of(ax)


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


def _progress_label(samples: int | None) -> str:
    return "training examples seen" if samples else "epochs"


def _count_examples(ax: Axes, samples: int | None) -> None:
    if samples:
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_xlim(left=0)
