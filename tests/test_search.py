"""fit_many: the numbers of single fits, in a table by score; what fails or is interrupted is told."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from conftest import peak_memory

import fastnn
from fastnn import _kernels
from fastnn.search import fit_many
from fastnn.search.folds import folds_of, random_folds
from fastnn.search.groups import SharedRows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 5)).astype(np.float32)
Y = np.array(["V1", "V4", "MT"])[np.digitize(X[:, 0] + X[:, 1], [-0.6, 0.6])]
X_VAL, Y_VAL = X[150:], Y[150:]
GRID = {"hidden": [(), (8,), (6, 4)], "learning_rate": [0.01, 0.1], "epochs": [3], "rng": [7]}


def single(record, rows=slice(None), test=None):
    """Return the score of one fit with a record's configuration."""
    net = fastnn.Network((5, *record["hidden"], 3), rng=7)
    net.fit(X[rows], Y[rows], learning_rate=record["learning_rate"], epochs=3)
    return net.score(X_VAL, Y_VAL) if test is None else net.score(X[test], Y[test])


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_scores_are_those_of_single_fits(compiled_backend, n_jobs):
    found = fit_many(X, Y, GRID, validation_data=(X_VAL, Y_VAL), n_jobs=n_jobs, keep=True)
    assert len(found) == 6
    assert list(found[0]) == ["hidden", "learning_rate", "score", "loss", "epochs", "seconds", "error"]
    for record, (network,) in zip(found, found.networks, strict=True):
        assert record["score"] == single(record) == network.score(X_VAL, Y_VAL)
        assert record["loss"] == network.loss(X_VAL, Y_VAL)
        assert (record["epochs"], record["error"]) == (3, "")
    scores = [record["score"] for record in found]
    assert scores == sorted(scores, reverse=True)
    assert str(found).splitlines()[0].split() == ["hidden", "learning_rate", "score", "loss", "epochs", "seconds"]


@pytest.fixture(params=["numba", "cython"])
def compiled_backend(request):
    """The name of each compiled backend, which the test then runs on."""
    from conftest import need

    need(request.param)
    fastnn.set_backend(request.param)
    return request.param


def test_scores_are_means_over_folds():
    folds = [(np.arange(100), np.arange(100, 200)), (np.arange(100, 200), np.arange(60))]
    for record in fit_many(X, Y, GRID, cv=folds):
        expected = [single(record, train, test) for train, test in folds]
        assert record["score"] == pytest.approx(np.mean(expected))
    random = fit_many(X, Y, [{"epochs": 1, "rng": 0}], cv=4, keep=True)
    assert len(random.networks[0]) == 4
    assert not {"hidden", "rng"} & set(random[0]) - {"epochs", "rng"}


def test_random_folds_have_each_class():
    folds = random_folds(5, Y, len(Y))
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(len(Y)))
    for train, test in folds:
        assert not np.intersect1d(train, test).size
        for label in set(Y):
            assert abs((Y[test] == label).sum() - (label == Y).sum() / 5) < 1


def test_regressions_early_stopping_and_weights():
    y = X[:, :2] @ np.array([[1.0, 0.5], [0.2, 2.0]])
    stopping = fastnn.EarlyStopping(patience=1)
    configurations = [
        {"hidden": 6, "loss": "squared_error", "epochs": 4, "rng": 0, "early_stopping": stopping},
        {"hidden": [6], "loss": fastnn.losses.Huber(0.5), "epochs": 4, "rng": 0, "sample_weight": np.arange(200.0)},
    ]
    found = fit_many(X, y, configurations, cv=2)
    assert {record["loss"] > 0 for record in found} == {True}
    quantiles = {"loss": fastnn.losses.Quantile([0.1, 0.9]), "epochs": 1}
    assert len(fit_many(X, y[:, 0], [quantiles], keep=True).networks[0][0].biases[-1]) == 2


def test_what_fails_is_a_row_that_says_why():
    y = 1e3 * X[:, 0]
    rates = {"loss": ["squared_error"], "learning_rate": [1e-4, 1e6], "optimizer": ["sgd"], "epochs": [30], "rng": [0]}
    found = fit_many(X, y, rates)
    assert found[0]["error"] == ""
    assert found[1]["learning_rate"] == 1e6
    assert found[1]["error"].startswith("DivergenceError: the training diverged in epoch")
    assert np.isnan(found[1]["score"])
    assert "DivergenceError" in found._repr_html_()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of other systems")
def test_an_interrupt_leaves_what_is_done():
    quick, endless = {"epochs": 1, "rng": 0}, {"epochs": 10**7, "rng": 0, "hidden": (50,)}
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    found = fit_many(X, Y, [quick, endless, endless], n_jobs=1)
    assert found.interrupted
    assert [record["epochs"] for record in found] == [1]


def test_threads_are_divided_among_the_networks_that_train(monkeypatch):
    monkeypatch.setattr(_kernels, "_threads", 4)
    together, seen = threading.Barrier(2), []

    def rows(m):
        """The order of the first epoch, in which both networks are."""
        together.wait(10)
        seen.append(fastnn.get_num_threads())
        together.wait(10)
        return np.arange(m)

    def or_alone(m):
        """In the second epoch the other network will be done."""
        if len(seen) < 2:
            return rows(m)
        deadline = time.monotonic() + 10
        while fastnn.get_num_threads() < 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        seen.append(fastnn.get_num_threads())
        return np.arange(m)

    fit_many(X, Y, [{"epochs": 1, "shuffle": rows}, {"epochs": 2, "shuffle": or_alone}])
    assert seen == [2, 2, 4]
    assert fastnn.get_num_threads() == 4


@pytest.mark.parametrize(
    ("configurations", "arguments", "message"),
    [
        ([{"hiden": (3,)}], {}, r"configurations\[0\] has the unknown key 'hiden'; known are"),
        ([{}, {"hidden": (0,)}], {}, r"configurations\[1\]: "),
        ([{"loss": "squared_error"}], {}, r"configurations\[0\]: "),
        ([{"batch_size": 0}], {}, r"configurations\[0\]: batch_size"),
        ({"hidden": 3}, {}, r"configurations\['hidden'\] must be a list of values; got 3"),
        ("all", {}, "configurations must be a list of dicts or a dict of lists; got str"),
        ([{}], {"cv": 1}, "cv must be an integer >= 2; got 1"),
        ([{}], {"cv": 2, "validation_data": (X, Y)}, "only one of cv and validation_data"),
        ([{}], {"cv": [([0, 1], [1, 2])]}, r"cv\[0\] must not test what it trains on; both have row 1"),
        ([{}], {"cv": [([0, 200], [1])]}, "cv must give rows from 0 to 199; found 0 to 200"),
        ([{}], {"n_jobs": 0}, "n_jobs must be an integer >= 1; got 0"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_training(configurations, arguments, message, monkeypatch):
    monkeypatch.setattr(fastnn.search.many.Searching, "_train_group", None)
    with pytest.raises((TypeError, ValueError), match=message):
        fit_many(X, Y, configurations, **arguments)


def test_frames():
    pandas = pytest.importorskip("pandas")
    assert isinstance(fit_many(X, Y, GRID).frame(), pandas.DataFrame)


def test_folds_share_the_samples(compiled_backend):
    """No fold has a copy of X: neither of the rows to train on nor of those to test."""
    big = np.zeros((20_000, 100), np.float32)
    y = np.arange(20_000) % 2
    configurations = [{"epochs": 1, "shuffle": False, "batch_size": 1000}]
    fit_many(big, y, configurations, cv=2)
    assert peak_memory(lambda: fit_many(big, y, configurations, cv=2, n_jobs=2)) < big.nbytes / 2


SHARING = [  # all but the last of one seed, and with equal units of one order of the rows; told apart by their epochs
    {"epochs": 1, "learning_rate": 0.01, "scale": "standard"},
    {"epochs": 2, "learning_rate": 0.1, "batch_size": 1, "optimizer": "sgd"},
    {"epochs": 3, "batch_size": 32, "dropout": 0.0, "l2": 0.1, "activation": "relu"},
    {"epochs": 4, "optimizer": fastnn.SGD(fastnn.schedules.cosine(0.1), momentum=0.9)},
    {"epochs": 5, "learning_rate": 1e30, "optimizer": "sgd", "activation": "relu"},
    {"epochs": 6, "rng": 4},
]


@pytest.mark.parametrize("cv", [None, 2])
def test_networks_that_see_the_same_rows_are_those_of_single_fits(compiled_backend, cv, monkeypatch):
    """Bit for bit, with their generators: rows of wide numbers are gathered once for those of one seed."""
    monkeypatch.setattr("fastnn.search.groups._FEWEST", 2)
    gathered, next_epoch = [], SharedRows.next_epoch
    monkeypatch.setattr(SharedRows, "next_epoch", lambda shared: gathered.append(1) or next_epoch(shared))
    wide = X.astype(np.float64) + 1e-9  # float64, which float32 rounds
    configurations = [{"hidden": (8,), "rng": 3, "batch_size": 20} | each for each in SHARING]
    found = fit_many(wide, Y, configurations, cv=cv, n_jobs=1, keep=True)
    assert len(gathered) == (4 + 3) * (cv or 1)  # those of sigmoid units, and those of relu, one of which diverges
    assert [record["error"][:15] for record in found if record["error"]] == ["DivergenceError"]
    rows = np.arange(len(X)) if cv is None else folds_of(cv, Y, len(Y))[0][0]
    for record, networks in zip(found, found.networks, strict=True):
        for given in (each for each in configurations if networks and each["epochs"] == record["epochs"]):
            of_network = {name: given[name] for name in ("rng", "activation", "dropout") if name in given}
            alone = fastnn.Network((5, 8, 3), **of_network)
            alone.fit(wide[rows], Y[rows], **{k: v for k, v in given.items() if k not in {*of_network, "hidden"}})
            np.testing.assert_array_equal(networks[0].parameters, alone.parameters)
            assert networks[0].rng.bit_generator.state == alone.rng.bit_generator.state


def test_a_generator_gives_every_network_the_same_beginning():
    """As single fits with a generator in that state; it stays where it is."""
    rng = np.random.default_rng(7)
    given = {"hidden": (8,), "epochs": 3, "rng": rng}
    found = fit_many(X, Y, [given, given], validation_data=(X_VAL, Y_VAL))
    assert found[0]["loss"] == found[1]["loss"]
    assert rng.integers(1 << 30) == np.random.default_rng(7).integers(1 << 30)
