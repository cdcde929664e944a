"""fastnn.sklearn against scikit-learn: the same coefficients, its own checks, and its tools around the estimators."""

import copy
import inspect
import pickle
import re

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
import joblib
import sklearn
import sklearn.calibration
from conftest import need
from scipy import sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import fastnn
from fastnn.sklearn import MLPClassifier, MLPRegressor, presets

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
VERSION = tuple(map(int, sklearn.__version__.split(".")[:2]))
M = 240
X_OF_CLASSES, CLASSES = make_classification(M, 12, n_informative=6, n_classes=3, random_state=0)
X_OF_LABELS, LABELS = make_multilabel_classification(M, 8, n_classes=4, random_state=0)
X_OF_NUMBERS, NUMBERS = make_regression(M, 6, n_targets=2, noise=3.0, random_state=0)
NUMBERS /= 100
DATA = {
    "classes": (MLPClassifier, X_OF_CLASSES, np.array(["ant", "bee", "cow"])[CLASSES], {}),
    "two classes": (MLPClassifier, X_OF_CLASSES, CLASSES > 0, {}),
    "labels": (MLPClassifier, X_OF_LABELS, LABELS, {}),
    "number": (MLPRegressor, X_OF_NUMBERS, NUMBERS[:, 0], {}),
    "numbers": (MLPRegressor, X_OF_NUMBERS, NUMBERS, {}),
    "counts": (MLPRegressor, X_OF_NUMBERS, np.floor(np.exp(NUMBERS[:, 0])), {"loss": "poisson"}),
}
SOLVERS = {
    "sgd": {"solver": "sgd"},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "activation": "tanh"},
    "plain": {"solver": "sgd", "momentum": 0.0, "alpha": 0.0, "activation": "logistic"},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 1},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "shuffle": False},
    "adam": {"solver": "adam", "hidden_layer_sizes": (9, 5)},
    "lbfgs": {"solver": "lbfgs", "activation": "identity", "alpha": 0.1},
    "stopping": {"solver": "sgd", "early_stopping": True, "validation_fraction": 1 / 6, "n_iter_no_change": 2},
}


@pytest.fixture(params=["numba", "cython"])
def compiled_backend(request):
    """The name of each compiled backend, which the test then runs on."""
    need(request.param)
    fastnn.set_backend(request.param)
    return request.param


def theirs(model):
    """Return scikit-learn's estimator with the same parameters."""
    own = getattr(neural_network, type(model).__name__)
    return own(**{name: value for name, value in model.get_params().items() if name in own().get_params()})


def largest_difference(a, b):
    """Return how far the coefficients of two models are apart."""
    pairs = zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True)
    return max(np.abs(u - v).max() for u, v in pairs)


PAIRS = [(data, solver) for data in DATA for solver in ("sgd", "adam")]
PAIRS += [(data, solver) for data in ("two classes", "number") for solver in SOLVERS if solver not in ("sgd", "adam")]


@pytest.mark.filterwarnings("ignore:scipy.optimize. The `disp`:DeprecationWarning")  # of scikit-learn 1.6 itself
@pytest.mark.parametrize(("data", "solver"), [*PAIRS, ("classes", "lbfgs"), ("labels", "stopping")])
def test_the_coefficients_are_scikit_learns(compiled_backend, data, solver):
    """With the same random_state, where all batches are whole: 240 samples, or 200 with a sixth held out, by 40."""
    if data == "counts" and VERSION < (1, 7):
        pytest.skip("scikit-learn's loss for counts came with 1.7")
    kind, X, y, extra = DATA[data]
    params = {"hidden_layer_sizes": 9, "batch_size": 40, "learning_rate_init": 0.02, "max_iter": 8, "random_state": 5}
    model = kind(**params | extra | SOLVERS[solver]).fit(X, y)
    expected = theirs(model).fit(X, y)
    assert largest_difference(model, expected) < 1e-9
    assert model.n_iter_ == expected.n_iter_
    np.testing.assert_allclose(model.loss_, expected.loss_, rtol=2e-3)  # theirs has the penalty as of each batch
    assert np.array_equal(model.predict(X[:50]), expected.predict(X[:50])) or model.predict(X[:50]).dtype.kind == "f"
    for name in ("n_layers_", "n_outputs_", "out_activation_", "t_", "n_features_in_"):
        assert getattr(model, name) == getattr(expected, name), name
    if solver == "stopping":
        np.testing.assert_allclose(model.validation_scores_, expected.validation_scores_)
        assert model.best_validation_score_ == max(model.validation_scores_)


def test_weights_of_samples_are_scikit_learns_in_a_full_batch(compiled_backend):
    pytest.importorskip("sklearn", minversion="1.7")
    weights = np.random.default_rng(0).uniform(0, 3, M)
    model = MLPRegressor(solver="sgd", batch_size=M, max_iter=5, alpha=0.1, random_state=1, learning_rate_init=0.01)
    model.fit(X_OF_NUMBERS, NUMBERS, weights)
    assert largest_difference(model, theirs(model).fit(X_OF_NUMBERS, NUMBERS, weights)) < 1e-12


def test_partial_fit_goes_on_as_scikit_learn_does(compiled_backend):
    for params in ({"solver": "sgd", "learning_rate": "invscaling"}, {"solver": "adam"}):
        model = MLPClassifier(7, batch_size=40, random_state=2, **params)
        expected = theirs(model)
        for _ in range(3):
            for each in (model, expected):
                each.partial_fit(X_OF_CLASSES, CLASSES, classes=[0, 1, 2])
        assert largest_difference(model, expected) < 1e-10
        model = pickle.loads(pickle.dumps(model))  # and with the optimizer's state after a pickle
        for each in (model, expected):
            each.partial_fit(X_OF_CLASSES[:40], CLASSES[:40])
        assert largest_difference(model, expected) < 1e-10
        assert model.t_ == expected.t_


def test_a_batch_may_lack_classes(compiled_backend):
    model = MLPClassifier(5, random_state=0)
    model.partial_fit(X_OF_CLASSES[CLASSES == 1], CLASSES[CLASSES == 1], classes=[0, 1, 2, 7])
    assert model.predict_proba(X_OF_CLASSES).shape == (M, 4)
    binary = MLPClassifier(5, random_state=0).partial_fit(X_OF_CLASSES, np.zeros(M), classes=[0, 1])
    assert set(binary.predict(X_OF_CLASSES)) <= {0, 1}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_scikit_learns_checks(kind):
    fastnn.set_backend("auto")
    check_estimator(kind(max_iter=60, learning_rate_init=0.01))  # epochs enough for its checks of accuracy


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_docstrings_name_the_parameters(kind):
    """Each parameter and attribute once, in the order of the signature as far as it is scikit-learn's."""
    parameters, attributes = re.split(r"\n *Attributes\n", kind.__doc__)
    named = [name for line in re.findall(r"^    ([a-z_0-9, ]+?) : ", parameters, re.M) for name in line.split(", ")]
    assert sorted(named) == sorted(inspect.signature(kind).parameters)
    shown = [name for line in re.findall(r"^    ([a-z_0-9, ]+?_) : ", attributes, re.M) for name in line.split(", ")]
    model = kind(early_stopping=True, max_iter=2).fit(X_OF_CLASSES, CLASSES)
    public = [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]
    assert set(public) <= set(shown)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_the_signature_is_scikit_learns(kind):
    if VERSION < (1, 9):
        pytest.skip("of scikit-learn 1.9")
    own = inspect.signature(getattr(neural_network, kind.__name__)).parameters
    found = inspect.signature(kind).parameters
    assert list(found)[: len(own)] == list(own)
    for name, parameter in own.items():
        assert (found[name].default, found[name].kind) == (parameter.default, parameter.kind), name


def test_the_coefficients_are_the_network(compiled_backend):
    """What is assigned to them, or written into them, is what predicts and trains."""
    model = MLPRegressor(hidden_layer_sizes=6, random_state=0, max_iter=2).fit(X_OF_NUMBERS, NUMBERS[:, 0])
    assert np.shares_memory(model.coefs_[0], model.network_.parameters)
    before = model.predict(X_OF_NUMBERS)
    model.intercepts_[-1][:] += 1
    np.testing.assert_allclose(model.predict(X_OF_NUMBERS), before + 1)
    model.intercepts_ = [np.zeros(6), np.zeros(1)]
    model.coefs_ = [np.zeros((6, 6)), np.zeros((6, 1))]
    assert not model.predict(X_OF_NUMBERS).any()
    assert not model.network_.parameters.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_copies_predict_the_same_and_train_on(compiled_backend, dtype, tmp_path):
    X = X_OF_CLASSES.astype(dtype)
    model = MLPClassifier(6, random_state=0, max_iter=3, dropout=0.2).fit(X, CLASSES)
    joblib.dump(model, tmp_path / "model.joblib")
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
        assert other.coefs_[0].dtype == dtype
        trained = copy.deepcopy(model).partial_fit(X, CLASSES)
        np.testing.assert_array_equal(other.partial_fit(X, CLASSES).coefs_[0], trained.coefs_[0])
    assert not hasattr(clone(model), "coefs_")


def test_skops_keeps_a_model():
    skops = pytest.importorskip("skops.io")
    model = MLPClassifier(6, random_state=0, max_iter=3, preset="tabular").fit(X_OF_CLASSES, CLASSES)
    kept = skops.dumps(model)
    unknown = skops.get_untrusted_types(data=kept)
    assert all(name.startswith("fastnn.sklearn.") or name == "numpy.dtype" for name in unknown), unknown
    np.testing.assert_array_equal(skops.loads(kept, trusted=unknown).predict(X_OF_CLASSES), model.predict(X_OF_CLASSES))


@pytest.mark.parametrize("backend_of_joblib", ["loky", "threading", "multiprocessing"])
def test_searches_in_parallel(backend_of_joblib):
    fastnn.set_backend("auto")
    grid = {"alpha": [1e-4, 1e-2], "hidden_layer_sizes": [(4,), (6, 3)]}
    model = MLPClassifier(max_iter=10, learning_rate_init=0.05, random_state=0)
    expected = GridSearchCV(model, grid, cv=2).fit(X_OF_CLASSES, CLASSES)
    search = HalvingGridSearchCV if backend_of_joblib == "threading" else GridSearchCV
    with joblib.parallel_backend(backend_of_joblib):
        found = search(model, grid, cv=2, n_jobs=2).fit(X_OF_CLASSES, CLASSES)
    if search is GridSearchCV:
        scores = "mean_test_score"
        np.testing.assert_array_equal(found.cv_results_[scores], expected.cv_results_[scores])
    assert found.best_estimator_.score(X_OF_CLASSES, CLASSES) > 0.4


def test_other_estimators_take_it():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(8, max_iter=60, learning_rate_init=0.03, random_state=0))
    assert cross_val_score(pipeline, X_OF_CLASSES, CLASSES, cv=2).mean() > 0.6
    bagging = BaggingClassifier(pipeline, n_estimators=2, random_state=0).fit(X_OF_CLASSES, CLASSES)
    assert bagging.score(X_OF_CLASSES, CLASSES) > 0.6
    calibrated = sklearn.calibration.CalibratedClassifierCV(pipeline, cv=2).fit(X_OF_CLASSES, CLASSES)
    np.testing.assert_allclose(calibrated.predict_proba(X_OF_CLASSES).sum(axis=1), 1)
    assert "docs/scikit-learn.md" in MLPClassifier()._repr_html_()


def test_validation_samples_go_through_a_pipeline():
    params = {"early_stopping": True, "n_iter_no_change": 3, "max_iter": 10, "random_state": 0}
    X, X_val, y, y_val = X_OF_CLASSES[:200], X_OF_CLASSES[200:] * 5, CLASSES[:200], CLASSES[200:]
    weights = np.arange(40.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model = MLPClassifier(8, **params).set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
        pipeline = sklearn.pipeline.Pipeline([("scale", StandardScaler()), ("model", model)], transform_input=["X_val"])
        pipeline.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weights)
    scaler = StandardScaler().fit(X)
    expected = MLPClassifier(8, **params)
    expected.fit(scaler.transform(X), y, X_val=scaler.transform(X_val), y_val=y_val, sample_weight_val=weights)
    assert pipeline[-1].validation_scores_ == expected.validation_scores_
    score = sklearn.metrics.accuracy_score(y_val, expected.predict(scaler.transform(X_val)), sample_weight=weights)
    assert score == expected.best_validation_score_ == max(expected.validation_scores_)


def test_callbacks_see_each_epoch():
    if VERSION < (1, 9):
        pytest.skip("callbacks came with scikit-learn 1.9")

    class Watcher:
        def __init__(self, epochs=3):
            self.epochs, self.heard, self.scores = epochs, [], []

        def setup(self, estimator, context):
            self.heard.append("setup")

        def teardown(self, estimator, context):
            self.heard.append("teardown")

        def on_fit_task_begin(self, estimator, context):
            self.heard.append(f"begin {context.task_name}")

        def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
            self.heard.append(f"end {context.task_name}")
            if context.task_name != "fit":
                self.scores.append(fitted_estimator.score(X, y))
            return len(self.scores) == self.epochs

    for solver, name in (("adam", "epoch"), ("lbfgs", "iteration")):
        watcher = Watcher()
        model = MLPClassifier(5, solver=solver, max_iter=9, learning_rate_init=0.1, random_state=0)
        model.set_callbacks(watcher).fit(X_OF_CLASSES, CLASSES)
        once = [f"begin {name}", f"end {name}"]
        assert watcher.heard == ["setup", "begin fit", *3 * once, "end fit", "teardown"]
        assert model.n_iter_ == 3
        assert watcher.scores[-1] == model.score(X_OF_CLASSES, CLASSES)
        assert len(set(watcher.scores)) > 1
        model = MLPClassifier(5, solver=solver, max_iter=4, random_state=0).set_callbacks(Watcher(epochs=99))
        assert model.fit(X_OF_CLASSES, CLASSES).n_iter_ == 4


def test_frames_and_sparse_matrices_are_read_like_arrays():
    expected = MLPClassifier(5, max_iter=3, random_state=0).fit(X_OF_CLASSES, CLASSES)
    for container in (sparse.csr_matrix, sparse.csr_array, sparse.csc_array):
        model = MLPClassifier(5, max_iter=3, random_state=0).fit(container(X_OF_CLASSES), CLASSES)
        np.testing.assert_allclose(model.coefs_[0], expected.coefs_[0], rtol=1e-7)
        found, dense = model.predict_proba(container(X_OF_CLASSES)), model.predict_proba(X_OF_CLASSES)
        np.testing.assert_allclose(found, dense, rtol=1e-9)
    several = MLPClassifier(5, max_iter=3, random_state=0).fit(X_OF_LABELS, sparse.csr_matrix(LABELS))
    assert sparse.issparse(several.predict(X_OF_LABELS))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library):
    frames = pytest.importorskip(library)
    names = [f"cell {i}" for i in range(12)]
    X = frames.DataFrame(dict(zip(names, X_OF_CLASSES.T, strict=True)))
    model = MLPClassifier(5, max_iter=3, random_state=0).fit(X, frames.Series(CLASSES))
    assert model.feature_names_in_.tolist() == names
    np.testing.assert_array_equal(model.predict(X), model.network_.predict(X_OF_CLASSES))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[names[::-1]])


def test_what_scikit_learn_has_not(compiled_backend):
    """Other losses and activations, weights of classes, clipping, dropout, schedules, threads, ensembles."""
    y = np.where(CLASSES == 0, "rare", "often")
    balanced = MLPClassifier(
        (8, 6),
        ["selu", fastnn.leaky_relu(0.2)],
        class_weight="balanced",
        label_smoothing=0.1,
        dropout=[0.1, 0.0],
        clip_norm=1.0,
        learning_rate="cosine",
        n_threads=1,
        max_iter=5,
        random_state=0,
    ).fit(X_OF_CLASSES, y)
    assert balanced.network_.dropout == (0.1, 0.0)
    assert balanced.network_.loss_name == "sigmoid_cross_entropy"
    hinge = MLPClassifier(6, loss="hinge", max_iter=30, learning_rate_init=0.02, random_state=0)
    hinge.fit(X_OF_CLASSES, CLASSES)
    assert hinge.score(X_OF_CLASSES, CLASSES) > 0.6
    assert not hasattr(hinge, "predict_proba")
    quantiles = fastnn.losses.Quantile([0.1, 0.5, 0.9])
    middle = MLPRegressor(quantiles, 8, max_iter=60, learning_rate_init=0.02, random_state=0)
    middle.fit(X_OF_NUMBERS, NUMBERS[:, 0])
    assert middle.predict(X_OF_NUMBERS).shape == (M, 3)
    assert middle.score(X_OF_NUMBERS, NUMBERS[:, 0]) > 0.3
    robust = MLPRegressor(fastnn.losses.Huber(0.5), 8, max_iter=5, random_state=0, early_stopping=True)
    assert len(robust.fit(X_OF_NUMBERS, NUMBERS).validation_scores_) == robust.n_iter_


def test_an_ensemble_is_the_mean_of_its_members():
    model = MLPClassifier(5, max_iter=3, n_ensemble=3, random_state=0).fit(X_OF_CLASSES, CLASSES)
    each = [member.predict_proba(X_OF_CLASSES) for member in model.estimators_]
    np.testing.assert_allclose(model.predict_proba(X_OF_CLASSES), np.mean(each, axis=0))
    assert not np.array_equal(each[0], each[1])
    np.testing.assert_array_equal(model.coefs_[0], model.estimators_[0].coefs_[0])
    single = model.set_params(n_ensemble=1).fit(X_OF_CLASSES, CLASSES)
    assert not hasattr(single, "estimators_")


def test_a_divergence_is_told(compiled_backend):
    X = X_OF_NUMBERS * 1e3
    model = MLPRegressor("squared_error", 5, "identity", solver="sgd", learning_rate_init=1.0, random_state=0)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        model.fit(X, NUMBERS)
    model.set_params(early_stopping=True)
    with pytest.warns(ConvergenceWarning, match="the training diverged in epoch"):
        model.fit(X, NUMBERS)
    assert np.isnan(model.validation_scores_[-1])
    assert np.isfinite(model.coefs_[0]).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be > 0, got"),
        ({"activation": "sine"}, "'activation' parameter of MLPClassifier must be"),
        ({"activation": ["relu", "tanh"]}, "activation must be one name, or one for each of"),
        ({"preset": "images"}, "'preset' parameter of MLPClassifier must be"),
        ({"solver": "lbfgs", "dropout": 0.5}, "solver='lbfgs' does not support dropout"),
        ({"n_ensemble": 2, "warm_start": True}, "warm_start=True does not support n_ensemble"),
        ({"momentum": 1.0, "solver": "sgd"}, "'momentum' parameter of MLPClassifier must be"),
    ],
)
def test_what_does_not_fit_is_refused(params, message):
    model = MLPClassifier(max_iter=2).set_params(**params)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X_OF_CLASSES, CLASSES)


def test_validation_samples_that_do_not_fit_are_refused():
    model = MLPClassifier(4, max_iter=2, early_stopping=True)
    for arguments, message in (
        ({"X_val": X_OF_CLASSES}, "X_val and y_val belong together; got no y_val"),
        ({"y_val": CLASSES}, "X_val and y_val belong together; got no X_val"),
        ({"X_val": X_OF_CLASSES[:, :5], "y_val": CLASSES}, "X has 5 features, but MLPClassifier is expecting 12"),
        ({"X_val": X_OF_CLASSES, "y_val": CLASSES[:9]}, "inconsistent numbers of samples"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(X_OF_CLASSES, CLASSES, **arguments)
    with pytest.raises(ValueError, match="got early_stopping=False"):
        MLPClassifier(4).fit(X_OF_CLASSES, CLASSES, X_val=X_OF_CLASSES, y_val=CLASSES)
    for params in ({"preset": "tabular", "early_stopping": False}, {"n_ensemble": 2}, {"class_weight": "balanced"}):
        with pytest.raises(ValueError, match=r"partial_fit"):
            MLPClassifier(4, **params).partial_fit(X_OF_CLASSES, CLASSES, classes=[0, 1, 2])


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_a_preset_fills_what_was_left_at_its_default(kind):
    estimator = MLPClassifier if kind == "classifier" else MLPRegressor
    model = estimator(preset="tabular", max_iter=7, hidden_layer_sizes=(20,), alpha=0.5)
    assert model.get_params()["solver"] == "adam"
    assert model.get_params()["batch_size"] == "auto"
    params = presets.asked(model)
    assert (params.max_iter, params.hidden_layer_sizes, params.alpha) == (7, (20,), 0.5)
    assert (params.batch_size, params.beta_2, params.learning_rate) == (256, 0.95, "coslog4")
    assert params.activation == ("selu" if kind == "classifier" else "mish")
    y = CLASSES if kind == "classifier" else 1e4 + 100 * NUMBERS[:, 0]
    fitted = model.set_params(random_state=0).fit(X_OF_CLASSES, y)
    assert fitted.n_iter_ == len(fitted.validation_scores_) == 7
    assert fitted.best_validation_score_ == max(fitted.validation_scores_)
    assert fitted.predict(X_OF_CLASSES).dtype.kind == ("i" if kind == "classifier" else "f")
    if kind == "classifier":
        assert presets.asked(estimator(preset="tabular")).label_smoothing == 0.1
        assert presets.asked(estimator(preset="tabular", label_smoothing=0.0)).label_smoothing == 0.0


def test_the_tabular_preset_learns_a_table(compiled_backend):
    """Categories and missing values, of both kinds of targets; two classes and three."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    m = 400
    columns = {"size": rng.lognormal(size=m), "area": rng.choice(["V1", "V4", "MT"], m), "depth": rng.normal(size=m)}
    table = pandas.DataFrame(columns)
    signal = np.where(table["area"] == "V1", 1.5, 0.0) + np.log(table["size"]) + table["depth"]
    table.loc[rng.random(m) < 0.1, "depth"] = np.nan
    table.loc[rng.random(m) < 0.05, "area"] = None
    for y in (signal > 0.5, np.digitize(signal, [-0.3, 1.2])):
        model = MLPClassifier(preset="tabular", max_iter=32, random_state=0).fit(table[:300], y[:300])
        assert model.out_activation_ == "softmax"
        assert model.score(table[300:], y[300:]) > 0.75
        np.testing.assert_allclose(model.predict_proba(table).sum(axis=1), 1, rtol=1e-5)
    y = 1e6 + 1e3 * signal
    model = MLPRegressor(preset="tabular", max_iter=32, random_state=0, n_ensemble=2).fit(table[:300], y[:300])
    assert model.score(table[300:], y[300:]) > 0.6
    assert pickle.loads(pickle.dumps(model)).score(table[300:], y[300:]) == model.score(table[300:], y[300:])
    model.predict(table.assign(area="unknown", depth=np.nan)[:5])
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table[["area", "depth", "size"]])


def test_a_warm_start_may_change_solver_and_measure():
    model = MLPRegressor(hidden_layer_sizes=6, solver="lbfgs", max_iter=5, warm_start=True, random_state=0)
    first = model.fit(X_OF_NUMBERS, NUMBERS).score(X_OF_NUMBERS, NUMBERS)
    model.set_params(solver="adam").fit(X_OF_NUMBERS, NUMBERS)
    assert len(model.loss_curve_) == 5
    assert model.score(X_OF_NUMBERS, NUMBERS) > first - 0.1
    model.set_params(early_stopping=True).fit(X_OF_NUMBERS, NUMBERS)
    assert len(model.validation_scores_) == 5
    model.fit(X_OF_NUMBERS, NUMBERS)
    assert len(model.validation_scores_) == 10


def test_targets_far_from_zero_keep_their_digits():
    y = 1.7e12 + 1e4 * X_OF_NUMBERS[:, 0]  # milliseconds since 1970
    model = MLPRegressor(preset="tabular", max_iter=40, random_state=0).fit(X_OF_NUMBERS, y)
    assert model.score(X_OF_NUMBERS, y) > 0.8
