"""The figures: what is drawn where, and that no display or pyplot is needed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import fastnn

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from fastnn import plotting
from fastnn.plotting import histories


@pytest.fixture
def history():
    """Three epochs of 30 samples in batches of 10."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 4)), rng.integers(0, 3, 30)
    net = fastnn.Network((4, 5, 3), rng=0)
    return net.fit(X, y, epochs=3, batch_size=10, validation_data=(X[:8], y[:8]), batch_loss=True)


def curve(figure, index):
    return np.array(figure.axes[0].lines[index].get_data())


def test_history_counts_examples(history):
    figure = plotting.plot_history(history, samples=30, initial_loss=1.5, validation_name="test")
    np.testing.assert_allclose(curve(figure, 0), [np.arange(9) * 10, np.concatenate(history.batch_loss)])
    np.testing.assert_allclose(curve(figure, 1), [[0, 30, 60, 90], [1.5, *history.validation_loss]])
    ax = figure.axes[0]
    assert ax.get_xlabel() == "training examples seen"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training loss", "test loss"]


def test_history_by_epochs_without_steps(history):
    history.batch_loss.clear()
    figure = plotting.plot_history(history)
    np.testing.assert_allclose(curve(figure, 0), [[0.5, 1.5, 2.5], history.loss])
    np.testing.assert_allclose(curve(figure, 1)[0], [1, 2, 3])
    assert figure.axes[0].get_xlabel() == "epochs"


def test_history_of_no_epoch():
    assert isinstance(plotting.plot_history(fastnn.History(), 30, initial_loss=2.0), Figure)


@pytest.mark.parametrize("window", [0, 1, 4, 5, 100])
def test_moving_average(window):
    values = np.random.default_rng(0).normal(size=17)
    half = window // 2
    expected = [values[max(i - half, 0) : i + half + 1].mean() for i in range(17)]
    np.testing.assert_allclose(histories._moving_average(values, window), expected, atol=1e-14)


def test_comparison_names_each_training(history):
    figure = plotting.plot_comparison({"one": history, "two": history}, 30)
    assert figure.axes[0].get_yscale() == "log"
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["one", "two"]


def test_digits_mark_the_wrong_prediction():
    images = np.arange(3 * 16.0).reshape(3, 16)
    figure = plotting.plot_digits(images, [1, 2, 3], [1, 2, 5])
    assert [ax.get_title() for ax in figure.axes] == ["label 1", "label 2", "label 3"]
    assert [ax.get_xlabel() for ax in figure.axes] == ["predicted 1", "predicted 2", "predicted 5 ✗"]
    assert [ax.xaxis.label.get_color() for ax in figure.axes] == [plotting.BLUE, plotting.BLUE, plotting.VERMILLION]
    np.testing.assert_array_equal(figure.axes[2].images[0].get_array(), images[2].reshape(4, 4))


def test_digits_without_predictions_in_rows_of_six():
    figure = plotting.plot_digits(np.zeros((7, 4, 4)), range(7))
    assert len(figure.axes) == 7
    assert {ax.get_xlabel() for ax in figure.axes} == {""}


@pytest.mark.parametrize("shape", [(2, 15), (2, 3, 4), (0, 16), (16,)])
def test_digits_must_be_square(shape):
    with pytest.raises(ValueError, match="images must be square"):
        plotting.plot_digits(np.zeros(shape), [0] * shape[0])


def test_digits_need_a_label_each():
    with pytest.raises(ValueError, match="2 images, 3 labels and 2 predictions"):
        plotting.plot_digits(np.zeros((2, 16)), [1, 2, 3], [1, 2])


def test_activations_and_derivatives():
    figure = plotting.plot_activations(slope=0.2)
    z, sigmoid = figure.axes[0].lines[2].get_data()
    np.testing.assert_allclose(sigmoid, 1 / (1 + np.exp(-z)))
    for ax in figure.axes:  # g' is the slope of g; the rectifiers' kink at 0 has none
        g, slope = ax.lines[2].get_ydata(), ax.lines[3].get_ydata()
        inner = np.abs(z) > 0.02
        np.testing.assert_allclose(np.gradient(g, z, edge_order=2)[inner], slope[inner], atol=1e-4)
    assert [ax.get_title() for ax in figure.axes] == ["sigmoid", "tanh", "ReLU", "leaky ReLU, slope 0.2"]


def test_draws_where_it_is_told(history):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plotting.plot_history(history, ax=left) is figure
    assert plotting.plot_comparison({"one": history}, ax=right) is figure
    assert left.lines
    assert right.lines
    figure = Figure()
    assert plotting.plot_activations(figure=figure) is figure
    subfigure = Figure().subfigures(1, 2)[0]
    assert plotting.plot_digits(np.zeros((1, 16)), [0], figure=subfigure) is subfigure


def test_pyplot_is_not_needed():
    code = (
        "import sys, fastnn; assert 'matplotlib' not in sys.modules\n"
        "from fastnn import plotting; plotting.plot_activations(); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_search_is_a_heat_map_or_points():
    hidden, rates = [(8,), (16, 4)], [0.01, 0.1, 0.003]
    pairs = [(h, r) for h in hidden for r in rates]
    records = [
        {"hidden": h, "learning_rate": r, "rng": seed, "score": 0.1 * i + seed, "seconds": 1.0}
        for i, (h, r) in enumerate(pairs)
        for seed in (0, 1)
    ]
    ax = plotting.plot_search(records, "learning_rate", "hidden").axes[0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0.003", "0.01", "0.1"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["(8,)", "(16, 4)"]
    shown = {(round(text.get_position()[0]), round(text.get_position()[1])): text.get_text() for text in ax.texts}
    assert shown[1, 0] == "0.5"  # 0.01 with (8,): the mean of 0 and 1
    assert shown[0, 1] == "1"  # 0.003 with (16, 4)
    points = plotting.plot_search(records, "learning_rate", value="seconds").axes[0]
    assert points.get_ylabel() == "time, s"
    with pytest.raises(ValueError, match="the search has no 'l2'; it has"):
        plotting.plot_search(records, "l2")
