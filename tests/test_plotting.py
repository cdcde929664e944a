"""The figures: what is drawn where, and that no display or pyplot is needed."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
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


def test_history_of_costs_below_zero(history):
    assert plotting.plot_history(history).axes[0].get_ylim()[0] == 0
    history.loss[-1] = -0.5
    history.batch_loss.clear()
    assert plotting.plot_history(history).axes[0].get_ylim()[0] < -0.5


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


# --- what a classifier and a regression answer ------------------------------------------------------------------------


def test_confusion_counts_and_shares():
    y_true, y_pred = list("aaabbc"), list("aabbba")
    ax = plotting.plot_confusion(y_true, y_pred).axes[0]
    np.testing.assert_allclose(ax.images[0].get_array(), [[2 / 3, 1 / 3, 0], [0, 1, 0], [1, 0, 0]])
    cells = {tuple(map(round, text.get_position())): text.get_text() for text in ax.texts}
    assert cells[0, 0] == "2\n66.7 %"
    assert cells[1, 0] == "1\n33.3 %"  # true a, predicted b: a row has a true class
    assert cells[0, 2] == "1\n100.0 %"
    assert cells[2, 2] == "0"
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b", "c"]
    objects = plotting.plot_confusion(np.array(y_true, object), y_pred).axes[0]  # as a column of pandas is
    np.testing.assert_array_equal(objects.images[0].get_array(), ax.images[0].get_array())


def test_confusion_has_the_classes_that_it_is_given():
    ax = plotting.plot_confusion([0, 1], [1, 1], classes=[2, 1, 0]).axes[0]
    np.testing.assert_array_equal(ax.images[0].get_array(), [[0, 0, 0], [0, 1, 0], [0, 1, 0]])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2", "1", "0"]
    many = plotting.plot_confusion(range(12), range(12)).axes[0]
    assert {text.get_text() for text in many.texts} == {"0", "1"}
    assert not plotting.plot_confusion(range(21), range(21)).axes[0].texts


def test_confusion_of_bad_input():
    with pytest.raises(ValueError, match=r"one class for each sample, \(m,\); got shapes \(2,\) and \(3,\)"):
        plotting.plot_confusion([0, 1], [0, 1, 1])
    with pytest.raises(TypeError, match="labels of one kind; got <U1 and int64"):
        plotting.plot_confusion(["0", "1"], np.array([0, 1]))
    with pytest.raises(ValueError, match=r"classes must have every label; 7 is none of \[0, 1\]"):
        plotting.plot_confusion([0, 1], [0, 7], classes=[0, 1])


def test_boundary_shows_what_is_predicted():
    class Left:
        def predict(self, X):
            return np.where(X[:, 0] < 0, "left", "right")

    X = np.array([[-1.0, 0], [-0.5, 1], [1, 0], [2, 1]])
    y = np.array(["left", "right", "right", "left"])
    ax = plotting.plot_boundary(Left(), X, y).axes[0]
    image = ax.images[0]
    left, right, _, _ = image.get_extent()
    x = np.linspace(left, right, image.get_array().shape[1])
    blue = image.get_array()[0, :, 2] > image.get_array()[0, :, 0]
    np.testing.assert_array_equal(blue, x < 0)
    drawn = {
        (line.get_markeredgecolor(), *map(tuple, line.get_xydata())) for line in ax.lines if line.get_xydata().size
    }
    assert drawn == {
        ("white", (-1, 0)), ("black", (2, 1)), ("white", (1, 0)), ("black", (-0.5, 1)),
    }  # fmt: skip
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["class left", "class right", "wrongly classified"]
    vertices = ax.collections[0].get_paths()[0].vertices
    assert abs(vertices[:, 0]).max() < 0.02  # the line is where the answer changes


def test_boundary_of_bad_input():
    net = fastnn.Network((2, 2), rng=0)
    with pytest.raises(
        ValueError, match=r"X must have two finite inputs for each sample, \(m, 2\); got shape \(4, 3\)"
    ):
        plotting.plot_boundary(net, np.zeros((4, 3)), np.zeros(4))
    with pytest.raises(ValueError, match="net must predict at most 20 classes; it has 1600"):
        plotting.plot_boundary(fastnn.Network((2, 1), loss="squared_error", rng=0), np.eye(2), [0, 1])
    with pytest.raises(ValueError, match=r"y must have a label for each sample, \(4,\); got shape \(3,\)"):
        plotting.plot_boundary(net, np.zeros((4, 2)), np.zeros(3))


def test_predictions_of_each_output_without_missing_targets():
    y = np.array([[1.0, 0], [2, np.nan], [3, 4]])
    h = np.array([[1.0, 0.5], [2, 2], [4, 4]])
    ax = plotting.plot_predictions(y, h).axes[0]
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[1, 1], [2, 2], [3, 4]])
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [[0, 0.5], [4, 4]])
    np.testing.assert_array_equal(ax.lines[2].get_xydata(), [[0, 0], [4, 4]])  # predicted = true
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["output 0: R² = 0.500", "output 1: R² = 0.969", "predicted = true"]
    with pytest.raises(ValueError, match=r"y_true and y_pred must have one shape.*got \(3, 2\) and \(3,\)"):
        plotting.plot_predictions(y, h[:, 0])
    with pytest.raises(ValueError, match="y_pred must be finite; found inf"):
        plotting.plot_predictions([1, 2], [1, np.inf])


# --- how descent goes -------------------------------------------------------------------------------------------------


def test_descent_counts_the_steps_up():
    figure = plotting.plot_descent({"one": [3.0, 2.0, 1.0], "two": [3, 1, 2, 2]})
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_xydata(), [[0, 3], [1, 1], [2, 2], [3, 2]])
    assert [ax.get_title() for ax in figure.axes] == ["one\nJ rose in 0 of 2 steps", "two\nJ rose in 1 of 3 steps"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    with pytest.raises(ValueError, match=r"costs\['one'\] must have a cost before the first step"):
        plotting.plot_descent({"one": [1.0]})
    with pytest.raises(ValueError, match="at least one descent"):
        plotting.plot_descent({})


def test_paths_on_the_contours_of_their_cost():
    paths = {"one": np.array([[2.0, 1], [1, 0.5], [0, 0]]), "two": np.array([[2.0, 1], [0, 1]])}
    ax = plotting.plot_paths(paths, lambda p: p[0] ** 2 + 4 * p[1] ** 2, names=("u", "v")).axes[0]
    named = {line.get_label(): line.get_xydata() for line in ax.lines}
    np.testing.assert_array_equal(named["one"], paths["one"])
    np.testing.assert_array_equal(named["two"], paths["two"])
    np.testing.assert_array_equal(named["start"], [[2, 1]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("u", "v")
    contours = ax.collections[0]
    for level, path in zip(contours.levels, contours.get_paths(), strict=True):
        x, y = path.vertices.T
        np.testing.assert_allclose(x**2 + 4 * y**2, level, rtol=0.05, atol=0.02)


def test_paths_of_bad_input():
    with pytest.raises(
        ValueError, match=r"paths\['one'\] must have two finite parameters in each row; got shape \(4, 3\)"
    ):
        plotting.plot_paths({"one": np.zeros((4, 3))}, lambda p: 0.0)
    with pytest.raises(ValueError, match="paths must have at least one descent"):
        plotting.plot_paths({}, lambda p: 0.0)


def test_learning_rates_with_those_that_diverge():
    rates = [1.0, 0.1, 10.0]
    ax = plotting.plot_learning_rates(rates, {"SGD": [0.2, 0.5, np.nan], "Adam": [0.4, 0.3, 0.6]}).axes[0]
    named = {line.get_label(): line.get_xydata() for line in ax.lines}
    np.testing.assert_array_equal(named["SGD, lowest at 1"], [[0.1, 0.5], [1, 0.2]])
    np.testing.assert_array_equal(named["Adam, lowest at 0.1"], [[0.1, 0.3], [1, 0.4], [10, 0.6]])
    crosses = [line.get_xydata().tolist() for line in ax.lines if line.get_marker() == "x"]
    assert crosses == [[[10, 1]], []]  # at the top, and the legend's own
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    with pytest.raises(ValueError, match=r"costs\['SGD'\] must have a cost for each rate, \(3,\); got shape \(2,\)"):
        plotting.plot_learning_rates(rates, {"SGD": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"costs\['SGD'\] must be > 0, as the scale is logarithmic; found -2"):
        plotting.plot_learning_rates(rates, {"SGD": [1.0, -2.0, np.nan]})
    with pytest.raises(ValueError, match="rates must be finite numbers > 0"):
        plotting.plot_learning_rates([0.0, 1.0], {"SGD": [1.0, 2.0]})


# --- data and networks ------------------------------------------------------------------------------------------------


def test_split_by_number_and_by_class():
    ax = plotting.plot_split({"training": 75, "test": 25}).axes[0]
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(0, 75), (75, 25)]
    ax = plotting.plot_split({"training": ["a", "b", "b"], "test": ["c", "a"]}).axes[0]
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(0, 1), (0, 2), (0, 0), (1, 1), (2, 0), (0, 1)]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b", "c"]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["training: 3 (60 %)", "test: 2 (40 %)"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "at least one part"),
        ({"training": 3, "test": 0}, r"parts\['test'\] must have at least one example; got 0"),
        ({"training": 3, "test": [1]}, r"all be numbers of examples, or labels \(m,\); 'test' has shape \(1,\)"),
        ({"training": [0, 1], "test": ["0", "1"]}, "labels of one kind, none missing; 'training' has int64"),
        ({"training": [0, 1], "test": [0, np.nan]}, "labels of one kind, none missing; 'test' has float64"),
    ],
)
def test_split_of_bad_input(parts, message):
    with pytest.raises(ValueError, match=message):
        plotting.plot_split(parts)


def test_mosaic_has_each_image_at_its_place():
    images = np.arange(5 * 4, dtype=np.uint8).reshape(5, 4)
    picture = plotting.plot_mosaic(images, columns=3).axes[0].images[0].get_array()
    assert picture.shape == (7, 10)
    np.testing.assert_array_equal(picture[1:3, 4:6], images[1].reshape(2, 2))
    np.testing.assert_array_equal(picture[4:6, 4:6], images[4].reshape(2, 2))
    assert picture.mask[4:6, 7:9].all()  # there is no sixth one
    ax = plotting.plot_mosaic(images, list("baabb"), columns=2).axes[0]
    picture = ax.images[0].get_array()
    np.testing.assert_array_equal(picture[1:3, 1:3], images[1].reshape(2, 2))
    np.testing.assert_array_equal(picture[4:6, 4:6], images[3].reshape(2, 2))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]


def test_mosaic_in_colour():
    images = np.full((2, 3, 3, 3), 255, dtype=np.uint8)
    picture = plotting.plot_mosaic(images).axes[0].images[0].get_array()
    assert picture.shape == (5, 9, 3)
    assert (picture[1:4, 1:4] == 1).all()


def test_mosaic_of_bad_input():
    with pytest.raises(ValueError, match="images must be square"):
        plotting.plot_mosaic(np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"labels must have one label for each image, \(2,\); got \(3,\)"):
        plotting.plot_mosaic(np.zeros((2, 4)), [0, 1, 2])


def test_weights_are_images_on_one_scale():
    W = np.linspace(-2, 1, 27).reshape(9, 3)
    image = plotting.plot_weights(W, columns=2).axes[0].images[0]
    np.testing.assert_array_equal(image.get_array()[1:4, 5:8], W[:, 1].reshape(3, 3))
    np.testing.assert_array_equal(image.get_array()[5:8, 1:4], W[:, 2].reshape(3, 3))
    low, high = image.get_clim()
    assert low == -high
    assert 1.9 < high < 2
    with pytest.raises(ValueError, match=r"those of square images, \(side \* side, units\); got shape \(8, 3\)"):
        plotting.plot_weights(np.zeros((8, 3)))


def test_network_of_few_units_has_its_weights():
    net = fastnn.Network((2, 3, 1), "tanh", loss="squared_error", rng=1)
    net.weights[0][:] = [[1, -2, 3], [-4, 5, -6]]
    net.weights[1][:] = [[1], [-1], [6]]
    ax = plotting.plot_network(net).axes[0]
    positive, negative, *_ = ax.collections
    assert [len(lines.get_segments()) for lines in ax.collections] == [3, 3, 2, 1]
    widths = positive.get_linewidths()
    np.testing.assert_allclose(np.array(widths) / widths[0], [1, 3, 5])
    assert widths[0] == pytest.approx(negative.get_linewidths()[2] / 6)
    assert not np.array_equal(positive.get_colors(), negative.get_colors())
    np.testing.assert_array_equal(positive.get_segments()[1], [[0, 0.5], [1, -1]])  # from input 0 to unit 2
    assert [len(line.get_xdata()) for line in ax.lines] == [2, 3, 1]
    assert [text.get_text() for text in ax.texts] == ["2\ninputs", "3\ntanh units", "1\nidentity output"]


def test_network_of_many_units_leaves_some_out():
    ax = plotting.plot_network(fastnn.Network((784, 5, 3), rng=1), units=6).axes[0]
    assert len(ax.collections[0].get_segments()) == 4 * 5
    assert sum(len(lines.get_segments()) for lines in ax.collections[1:]) == 15
    assert [len(line.get_xdata()) for line in ax.lines] == [4, 3, 5, 3]  # with three dots
    assert ax.texts[0].get_text() == "784\ninputs"
    with pytest.raises(ValueError, match="units must be an integer >= 4; got 3"):
        plotting.plot_network(fastnn.Network((2, 2), rng=1), units=3)


@pytest.mark.parametrize("module", sorted(info.name for info in pkgutil.iter_modules(plotting.__path__)))
def test_examples_of_the_documentation(module):
    found = importlib.import_module(f"fastnn.plotting.{module}")
    assert doctest.testmod(found).failed == 0


def test_every_function_is_listed_and_has_an_example():
    assert set(plotting.__all__) >= {name for name in dir(plotting) if name.startswith("plot_")}
    for name in plotting.__all__:
        if name.startswith("plot_"):
            assert ">>> " in getattr(plotting, name).__doc__, name
