"""Networks to PyTorch, scikit-learn and ONNX and back: the same predictions, and what is refused."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import losses
from fastnn.activations import ACTIVATIONS

DTYPES = ("float32", "float64")
HIDDEN = [fastnn.leaky_relu(0.3) if name == "leaky_relu" else name for name in ACTIVATIONS]
OUTPUTS = {
    "softmax": losses.SoftmaxCrossEntropy(label_smoothing=0.1),
    "sigmoid": losses.SigmoidCrossEntropy(),
    "exp": losses.Poisson(),
    "softplus": losses.Poisson(link="softplus"),
    "identity": losses.Huber(2.0),
    "margins": losses.Hinge(),
    "quantiles in order": losses.Quantile([0.9, 0.1, 0.5], crossing=False),
    "a loss of one's own": fastnn.loss_from(lambda z, y: np.logaddexp(z - y, y - z), name="log_cosh"),
}


def network(sizes=(6, 9, 7, 3), activation="tanh", loss="squared_error", dtype="float32", **options):
    """Return a network with random biases too, and samples far enough from 0 to reach the bends."""
    rng = np.random.default_rng(1)
    net = fastnn.Network(sizes, activation, loss, dtype, rng=0, **options)
    for b in net.biases:
        b[:] = rng.normal(size=b.shape)
    return net, (4 * rng.normal(size=(50, sizes[0]))).astype(dtype)


def networks():
    """Yield a network for each activation, one with all of them, and one for each output unit."""
    for activation in HIDDEN:
        yield getattr(activation, "name", activation), {"activation": activation}
    for name, loss in OUTPUTS.items():
        yield name, {"loss": loss}
    yield "every activation", {"sizes": (6, *[9] * len(HIDDEN), 3), "activation": HIDDEN, "loss": OUTPUTS["softmax"]}
    yield "no hidden layer", {"sizes": (6, 3), "loss": "sigmoid_cross_entropy"}


NETWORKS = dict(networks())


SCALED = {"squared": "squared_error", "quantiles": losses.Quantile([0.9, 0.1, 0.5], crossing=False)}


def scaled(loss, dtype="float32"):
    """Return a network whose targets are of a large unit and far from 0."""
    net, X = network(dtype=dtype, loss=loss)
    y = 1.7e12 + 1e9 * X[:, :3].astype(float)
    net.fit(X, y if loss == "squared_error" else y[:, 0], epochs=1, scale_targets=True)
    return net, X


def with_inputs_scaled(dtype, **options):
    """Return a network that scales its inputs, which are far from 0."""
    net, X = network(dtype=dtype, **options)
    X = 300 + 7 * X
    net.fit(X, X[:, :3], scale="standard", epochs=1)
    return net, X


def table(columns):
    """Return a frame of some of a table's columns, with missing values, and what is to be predicted of it."""
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=80) * 10, "age": rng.integers(0, 9, 80).astype(float)})
    frame["kind"], frame["side"] = rng.choice(["a", "b", "c"], 80), rng.choice(["left", "right"], 80)
    frame["code"], frame["wild"] = rng.integers(0, 4, 80), rng.random(80) < 0.5
    frame.loc[::7, "size"], frame.loc[1::9, "kind"] = np.nan, None
    y = frame["age"].to_numpy() + 2 * (frame["kind"] == "a").to_numpy()
    return frame[columns], y


def of_tables(package, columns, y, **options):
    """Return an estimator with a preset that has seen a table of a few rows, in a few epochs."""
    kind = package.MLPRegressor if y.dtype.kind == "f" else package.MLPClassifier
    model = kind(hidden_layer_sizes=(6,), preset="tabular", max_iter=2, random_state=0, **options)
    return model.fit(columns, y)


def check_same(found, expected):
    """Compare to rounding of the expected array's dtype, relative to its largest element."""
    found = np.asarray(found)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    assert difference <= 20 * np.finfo(expected.dtype).eps, difference


def check_scaled(found, net, X):
    """Compare in standardised units, to rounding of the network's dtype: the mean would hide differences."""
    assert found.dtype == np.float64
    difference = np.abs((found - net.forward(X)) / net.state.target_scale.deviation).max()
    noise = np.finfo(np.float64).eps * np.abs(net.state.target_scale.mean / net.state.target_scale.deviation).max()
    assert difference <= 20 * np.finfo(net.dtype).eps + noise, difference


def test_names_are_found_when_asked_for():
    import fastnn.interchange as interchange

    assert set(interchange.__all__) <= set(dir(interchange))
    with pytest.raises(AttributeError, match="no attribute 'to_keras'"):
        interchange.to_keras  # noqa: B018


@pytest.mark.parametrize("library", ["torch", "sklearn", "onnx"])
def test_a_missing_library_is_named(library, monkeypatch):
    import fastnn.interchange as interchange

    for name in (library, f"{library}.base"):  # the second in the place of one that has been imported
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"fastnn.interchange.{library}", raising=False)
    with pytest.raises(ImportError, match=f"to_{library} .*: pip install .*{library}"):
        getattr(interchange, f"to_{library}")


# --- PyTorch ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def run_torch(torch, module, X):
    with torch.no_grad():
        return module(torch.from_numpy(X)).numpy()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_torch_round_trip(torch, name, dtype):
    from fastnn.interchange import from_torch, to_torch

    net, X = network(dtype=dtype, **NETWORKS[name])
    module = to_torch(net, output=True)
    check_same(run_torch(torch, module, X), net.forward(X))
    back = from_torch(module, loss=net.architecture.loss)
    assert repr(back) == repr(net)
    assert [a.slope for a in back.activations] == [a.slope for a in net.activations]
    np.testing.assert_array_equal(back.parameters, net.parameters)
    np.testing.assert_array_equal(back.forward(X), net.forward(X))


def test_torch_logits_are_what_its_losses_take(torch):
    from fastnn.interchange import from_torch, to_torch

    net, X = network(loss="softmax_cross_entropy")
    module, y = to_torch(net), np.arange(len(X)) % 3
    theirs = torch.nn.functional.cross_entropy(module(torch.from_numpy(X)), torch.from_numpy(y))
    assert theirs.item() == pytest.approx(net.loss(X, y), rel=1e-5)
    check_same(from_torch(module, "softmax_cross_entropy").forward(X), net.forward(X))


def test_torch_module_is_a_copy_in_evaluation_mode(torch):
    from fastnn.interchange import from_torch, to_torch

    net, X = network(activation=["relu", "identity"], loss="softmax_cross_entropy", dropout=[0.25, 0.5])
    state = torch.get_rng_state()
    module = to_torch(net, output=True)
    assert torch.equal(torch.get_rng_state(), state), "no random numbers are drawn"
    expected = net.forward(X)
    net.parameters[:] = 0
    check_same(run_torch(torch, module, X), expected)
    back = from_torch(module)
    assert (back.dropout, back.loss_name) == ((0.25, 0.5), "softmax_cross_entropy")
    torch.manual_seed(0)
    assert not np.allclose(run_torch(torch, module.train(), X), expected)
    with torch.no_grad():
        module[0].weight.zero_()
    check_same(back.forward(X), expected)


@pytest.mark.parametrize("loss", SCALED.values(), ids=SCALED)
def test_torch_target_scale(torch, loss):
    from fastnn.interchange import from_torch, to_torch

    net, X = scaled(loss)
    module = pickle.loads(pickle.dumps(to_torch(net, output=True)))
    check_scaled(run_torch(torch, module, X), net, X)
    np.testing.assert_array_equal(from_torch(module, loss).forward(X), net.forward(X))
    with pytest.raises(ValueError, match=r"scale_targets.*output=True"):
        to_torch(net)


@pytest.mark.parametrize("dtype", DTYPES)
def test_torch_input_scale(torch, dtype):
    from fastnn.interchange import from_torch, to_torch

    net, X = with_inputs_scaled(dtype)
    module = pickle.loads(pickle.dumps(to_torch(net)))
    check_same(run_torch(torch, module, X), net.forward(X))
    np.testing.assert_array_equal(from_torch(module, "squared_error").forward(X), net.forward(X))


def test_torch_tables(torch, sklearn):
    from fastnn import sklearn as ours
    from fastnn.interchange import from_torch, to_torch

    frame, y = table(["age", "code", "size", "wild"])
    model = of_tables(ours, frame, y, categorical_features=["code", "wild"])
    X = frame.to_numpy(dtype=float)
    module = to_torch(model, output=True)
    check_same(run_torch(torch, module, X)[:, 0].astype("f"), model.predict(frame).astype("f"))
    with pytest.raises(ValueError, match=r"module\[0\] is a Tabular"):
        from_torch(module, "squared_error")
    with pytest.raises(ValueError, match="column 1 of the table holds categories such as 'a'"):
        to_torch(of_tables(ours, *table(["age", "kind"])), output=True)
    with pytest.raises(ValueError, match="must be one network for PyTorch; it is an ensemble of 2"):
        to_torch(of_tables(ours, X, y, n_ensemble=2))


def test_torch_softplus_where_it_is_nearly_z(torch):
    from fastnn.interchange import to_torch

    ones = [([[1.0]], [0.0])] * 2
    net = fastnn.Network((1, 1, 1), "softplus", losses.Poisson(link="softplus"), "float64", init=ones)
    X = np.linspace(15.0, 45.0, 13)[:, None]
    for x in X[:, None]:  # alone: the largest would hide the others
        check_same(run_torch(torch, to_torch(net, output=True), x), net.forward(x))


def test_torch_nested_modules_and_layers_without_bias(torch):
    from fastnn.interchange import from_torch

    nn, relu = torch.nn, torch.nn.ReLU()
    inner = nn.Sequential(nn.Linear(5, 4, bias=False), relu, nn.Linear(4, 3))
    module = nn.Sequential(nn.Linear(6, 5), relu, inner, nn.Identity(), nn.Sigmoid()).double()
    net, X = from_torch(module), np.random.default_rng(0).normal(size=(10, 6))
    assert repr(net).startswith("Network((6, 5, 4, 3), activation=['relu', 'relu'], loss='sigmoid_cross_entropy'")
    check_same(net.forward(X), run_torch(torch, module, X))


def refused_modules(nn):
    """Yield a module, the loss and what its refusal says."""
    first, last = nn.Linear(4, 3), nn.Linear(3, 2)
    yield first, "hinge", r"module must be a torch\.nn\.Sequential; got Linear"
    yield nn.Sequential(), "hinge", "module must have a Linear layer"
    yield nn.Sequential(first, nn.BatchNorm1d(3), last), "hinge", r"module\[1\] is a BatchNorm1d; supported are Linear"
    yield nn.Sequential(nn.Sequential(nn.Conv2d(1, 1, 1)), last), "hinge", r"module\[0\]\[0\] is a Conv2d"
    yield nn.Sequential(nn.ReLU(), last), "hinge", r"module\[0\] is a ReLU, only after a Linear"
    yield nn.Sequential(first, nn.Dropout(), nn.ReLU(), last), "hinge", r"module\[2\] is a ReLU, not here"
    yield nn.Sequential(first, nn.ReLU(), nn.Tanh(), last), "hinge", r"module\[2\] is a Tanh, not here"
    yield nn.Sequential(first, nn.Softmax(1), last), "hinge", r"module\[1\] is a Softmax, which is for outputs"
    yield nn.Sequential(first, nn.GELU("tanh"), last), "hinge", r"GELU must have approximate='none'"
    yield nn.Sequential(first, nn.ELU(0.5), last), "hinge", r"ELU must have alpha=1"
    yield nn.Sequential(first, nn.Softplus(2), last), "hinge", r"Softplus must have beta=1"
    yield nn.Sequential(first, nn.LeakyReLU(-1), last), "hinge", r"module\[1\] is LeakyReLU.*slope must be"
    yield nn.Sequential(first, nn.Softmax(0)), None, r"Softmax must have dim=1"
    yield nn.Sequential(first, nn.ReLU()), "hinge", r"module\[1\] is a ReLU; after the last Linear"
    yield nn.Sequential(first, nn.Sigmoid(), nn.Sigmoid()), None, r"module\[2\] is a Sigmoid; after the last Linear"
    yield nn.Sequential(first, nn.Sigmoid()), "hinge", r"Sigmoid\(\), which is not the output unit of loss='hinge'"
    yield nn.Sequential(first), None, "loss must be given"
    yield nn.Sequential(first), "mean", "loss='mean' is unknown"
    yield nn.Sequential(first, first), "hinge", r"module\[1\] takes 4 inputs, module\[0\] has 3 outputs"
    yield nn.Sequential(first, nn.Linear(3, 2).double()), "hinge", r"module\[1\] has torch.float64"
    yield nn.Sequential(nn.Linear(4, 3).bfloat16()), "hinge", r"module\[0\] has torch.bfloat16"


def test_torch_modules_that_fastnn_has_not(torch):
    from fastnn.interchange import from_torch, to_torch

    for module, loss, message in refused_modules(torch.nn):
        with pytest.raises((TypeError, ValueError), match=message):
            from_torch(module, loss)
    ordered, _ = network(loss=OUTPUTS["quantiles in order"])
    with pytest.raises(ValueError, match=r"crossing=False.*output=True"):
        to_torch(ordered)
    with pytest.raises(ValueError, match="Ascending"):
        from_torch(to_torch(ordered, output=True), losses.Quantile([0.1, 0.5, 0.9], crossing=False))
    with pytest.raises(ValueError, match=r"TargetScale.*'hinge'"):
        from_torch(to_torch(scaled("squared_error")[0], output=True), "hinge")


@pytest.mark.parametrize("name", ["to_torch", "to_sklearn", "to_onnx"])
def test_networks_that_do_not_travel(name):
    pytest.importorskip({"to_torch": "torch", "to_sklearn": "sklearn", "to_onnx": "onnx"}[name])
    from fastnn import interchange

    swish = fastnn.activation_from(lambda z: z / (1 + np.exp(-2 * z)), name="swish")
    net, _ = network(activation=["tanh", swish])
    with pytest.raises(ValueError, match=r"hidden layer 2 of net has the activation 'swish'; .*identity, sigmoid"):
        getattr(interchange, name)(net)
    with pytest.raises(TypeError, match=r"net must be a fastnn\.Network or an estimator .* got str"):
        getattr(interchange, name)("net")


# --- scikit-learn -----------------------------------------------------------------------------------------------------

LABELS = {"numbers": [0, 1, 2], "texts": ["b", "c", "a"], "others": [7, -3, 5]}


@pytest.fixture
def sklearn():
    return pytest.importorskip("sklearn")


def check_classifier(estimator, net, X):
    """Compare a classifier of scikit-learn's API with a network."""
    outputs, probabilities = net.forward(X), estimator.predict_proba(X)
    check_same(
        probabilities[:, 1:] if outputs.shape[1] == 1 and probabilities.shape[1] == 2 else probabilities, outputs
    )
    np.testing.assert_array_equal(estimator.predict(X), net.predict(X))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["identity", "sigmoid", "tanh", "relu"])
def test_sklearn_round_trip_of_regressors(sklearn, activation, dtype):
    from fastnn.interchange import from_sklearn, to_sklearn

    for outputs in (1, 3):
        net, X = network((6, 9, 7, outputs), activation, "squared_error", dtype)
        estimator = to_sklearn(net)
        check_same(estimator.predict(X), net.predict(X))
        back = from_sklearn(estimator)
        assert repr(back) == repr(net)
        np.testing.assert_array_equal(back.parameters, net.parameters)
        net.parameters[:] = 0
        check_same(estimator.predict(X), back.predict(X))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_sklearn_round_trip_of_classifiers(sklearn, labels, dtype):
    from fastnn.interchange import from_sklearn, to_sklearn

    for loss, sizes in (("softmax", (6, 9, 3)), ("softmax", (6, 2)), ("sigmoid", (6, 5, 1))):
        net, X = network(sizes, "relu", f"{loss}_cross_entropy", dtype)
        net.fit(X, np.array(labels)[np.arange(len(X)) % max(2, sizes[-1])], epochs=1)
        estimator = to_sklearn(net)
        np.testing.assert_array_equal(estimator.classes_, net.classes)
        check_classifier(estimator, net, X)
        check_classifier(estimator, from_sklearn(estimator), X)
        estimator.partial_fit(X, net.predict(X))
        assert estimator.n_iter_ == len(estimator.loss_curve_) == 1
        step = np.abs(estimator.coefs_[0] - to_sklearn(net).coefs_[0]).max()
        assert step == pytest.approx(1e-3, rel=1e-2), "Adam's first one, from where the network was"


def test_sklearn_answers_and_networks_without_labels(sklearn):
    from fastnn.interchange import from_sklearn, to_sklearn

    net, X = network(loss="sigmoid_cross_entropy")
    for each in (net, from_sklearn(to_sklearn(net))):
        check_classifier(to_sklearn(each), net, X)
        assert each.classes is None
    net, X = network((6, 1), loss="sigmoid_cross_entropy")
    check_classifier(to_sklearn(net), net, X)


def test_sklearn_poisson(sklearn):
    from fastnn.interchange import from_sklearn, to_sklearn

    net, X = network(loss="poisson")
    if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 7):
        with pytest.raises(ValueError, match=r"scikit-learn 1\.7"):
            to_sklearn(net)
        return
    check_same(to_sklearn(net).predict(X), net.forward(X))
    np.testing.assert_array_equal(from_sklearn(to_sklearn(net)).forward(X), net.forward(X))


def test_sklearn_target_scale_is_folded_in_float64(sklearn):
    from fastnn.interchange import from_sklearn, to_sklearn

    for dtype in DTYPES:
        net, X = scaled("squared_error", dtype)
        check_scaled(to_sklearn(net).predict(X), net, X)
        check_scaled(to_sklearn(from_sklearn(to_sklearn(net))).predict(X), net, X)


def test_sklearn_input_scale_is_folded_in_float64(sklearn):
    from fastnn.interchange import to_sklearn

    for dtype in DTYPES:
        net, X = with_inputs_scaled(dtype, activation="relu")
        model = to_sklearn(net)
        assert model.coefs_[0].dtype == np.float64
        check_same(model.predict(X).astype(dtype), net.forward(X))


def test_sklearn_tables(sklearn):
    from fastnn import sklearn as ours
    from fastnn.interchange import to_sklearn

    frame, y = table(["age", "kind", "size"])
    model = of_tables(ours, frame, y, activation="tanh")  # the preset's own is mish
    check_same(to_sklearn(model).predict(frame).astype("f"), model.predict(frame).astype("f"))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")
def test_fitted_estimators(sklearn):
    from sklearn import neural_network as theirs

    from fastnn import sklearn as ours
    from fastnn.interchange import from_sklearn

    X = np.random.default_rng(0).normal(size=(60, 4))
    labels, answers = np.array(["x", "z", "y"])[np.arange(60) % 3], (X[:, :2] > 0).astype(int)
    for package in (theirs, ours):
        for y in (labels, labels != "x", answers):
            model = package.MLPClassifier((5,), "logistic", max_iter=2, random_state=0).fit(X, y)
            check_classifier(model, from_sklearn(model), X)
        model = package.MLPRegressor(hidden_layer_sizes=(5,), max_iter=2, random_state=0).fit(X.astype("f"), X[:, 0])
        net = from_sklearn(model)
        check_same(model.predict(X.astype("f")), net.predict(X))
        assert net.dtype == "float32"
        assert not np.shares_memory(net.parameters, model.coefs_[0])
    margins = pickle.loads(pickle.dumps(ours.MLPClassifier((5,), loss="hinge", max_iter=2).fit(X, labels)))
    np.testing.assert_array_equal(from_sklearn(margins).predict(X), margins.predict(X))


@pytest.mark.filterwarnings("ignore:lbfgs failed:sklearn.exceptions.ConvergenceWarning")
def test_sklearn_refuses(sklearn):
    from sklearn.linear_model import LinearRegression

    from fastnn import sklearn as ours
    from fastnn.interchange import from_sklearn, to_sklearn

    for options, message in (
        ({"activation": "gelu"}, "hidden layer 1 .*'gelu'"),
        ({"activation": ["relu", "tanh"]}, "one activation for all hidden layers; net has relu, tanh"),
        ({"loss": "huber"}, "net has the loss 'huber'; those that travel to scikit-learn are softmax"),
        ({"loss": OUTPUTS["a loss of one's own"]}, "net has the loss 'log_cosh'"),
        ({"loss": OUTPUTS["softmax"]}, r"SoftmaxCrossEntropy\(label_smoothing=0.1\)"),
        ({"dropout": 0.5}, r"no dropout; net has dropout=\[0.5, 0.5\]"),
    ):
        with pytest.raises(ValueError, match=message):
            to_sklearn(network(**options)[0])
    net, X = network(loss="sigmoid_cross_entropy")
    net.fit(X, np.arange(len(X)) % 3, epochs=1)
    with pytest.raises(ValueError, match="one label a sample"):
        to_sklearn(net)
    with pytest.raises(TypeError, match=r"estimator must be an MLPClassifier .* got LinearRegression"):
        from_sklearn(LinearRegression())
    with pytest.raises(ValueError, match="not fitted"):
        from_sklearn(ours.MLPClassifier())
    y = X[:, 0] > 0
    with pytest.raises(ValueError, match=r"two labels or more; got classes_=\[True\]"):
        from_sklearn(ours.MLPClassifier((4,), solver="lbfgs", max_iter=1).fit(X, y | True))
    with pytest.raises(ValueError, match="preset='tabular'"):
        from_sklearn(ours.MLPClassifier((4,), preset="tabular", max_iter=1).fit(X, y))
    with pytest.raises(ValueError, match="n_ensemble=2"):
        from_sklearn(ours.MLPClassifier((4,), solver="lbfgs", max_iter=1, n_ensemble=2).fit(X, y))


# --- ONNX -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def onnx():
    return pytest.importorskip("onnx")


def run_onnx(model, X):
    """Return the outputs that ONNX Runtime computes."""
    session = pytest.importorskip("onnxruntime").InferenceSession(model.SerializeToString())
    return session.run(["outputs"], {"X": X})[0]


def run_reference(model, X):
    """Return the outputs that ONNX's reference computes, with an error function that is not rounded to float32."""
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun
    from scipy.special import erf

    class Erf(OpRun):
        op_domain = ""

        def _run(self, x):
            return (erf(x),)

    return ReferenceEvaluator(model, new_ops=[Erf]).run(["outputs"], {"X": X})[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx(onnx, name, dtype):
    from fastnn.interchange import to_onnx

    net, X = network(dtype=dtype, **NETWORKS[name])
    needs_erf = dtype == "float64" and any(a.name == "gelu" for a in net.activations)  # which ONNX Runtime lacks
    check_same((run_reference if needs_erf else run_onnx)(to_onnx(net), X), net.forward(X))


@pytest.mark.parametrize("loss", SCALED.values(), ids=SCALED)
def test_onnx_target_scale(onnx, loss):
    from fastnn.interchange import to_onnx

    net, X = scaled(loss)
    check_scaled(run_onnx(to_onnx(net), X), net, X)


@pytest.mark.parametrize("dtype", DTYPES)
def test_onnx_input_scale(onnx, dtype):
    from fastnn.interchange import to_onnx

    net, X = with_inputs_scaled(dtype)
    check_same(run_onnx(to_onnx(net), X), net.forward(X))


def test_onnx_tables(onnx, sklearn):
    from fastnn import sklearn as ours
    from fastnn.interchange import to_onnx

    frame, y = table(["side", "age", "kind", "size", "code", "wild"])
    model = of_tables(
        ours, frame, (y > 4).astype(int), n_ensemble=2, categorical_features=["side", "kind", "code", "wild"]
    )
    frame.loc[0, "side"], frame.loc[1, "code"], frame.loc[2, "size"] = "ahead", 9, 1e200  # unknown, unknown, far out
    kinds = {"side": str, "kind": str, "wild": bool}
    inputs = {
        name: frame[[name]].fillna("").to_numpy(kinds[name]) if name in kinds else frame[[name]].to_numpy(float)
        for name in frame
    }
    inputs = {name: each.astype(object) if each.dtype.kind == "U" else each for name, each in inputs.items()}
    session = pytest.importorskip("onnxruntime").InferenceSession(to_onnx(model).SerializeToString())
    check_same(session.run(["outputs"], inputs)[0], model.predict_proba(frame))


def test_onnx_tables_of_numbers(onnx, sklearn):
    from fastnn import sklearn as ours
    from fastnn.interchange import to_onnx

    frame, y = table(["size", "age"])
    model = of_tables(ours, frame.to_numpy(), y)
    found = run_onnx(to_onnx(model), frame.to_numpy())[:, 0]
    check_same(found.astype("f"), model.predict(frame.to_numpy()).astype("f"))
    mixed, _ = table(["kind", "age"])
    mixed["kind"] = [True, 1.5] * 40
    with pytest.raises(ValueError, match="column 'x0' must have categories of one kind"):
        to_onnx(of_tables(ours, mixed.to_numpy(dtype=object), y))


def test_onnx_file_and_labels(onnx, tmp_path):
    from fastnn.interchange import to_onnx

    net, X = network(loss="softmax_cross_entropy")
    net.fit(X, np.array(["b", "ä", "a"])[np.arange(len(X)) % 3], epochs=1)
    model = to_onnx(net, tmp_path / "net.onnx")
    read = onnx.load(tmp_path / "net.onnx")
    assert read == model
    assert {entry.key: entry.value for entry in read.metadata_props} == {"classes": '["a", "b", "\\u00e4"]'}
    with pytest.raises(FileNotFoundError):
        to_onnx(net, tmp_path / "none" / "net.onnx")
    with pytest.raises(TypeError):
        to_onnx(net, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


# --- the page ---------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parent.parent / "docs" / "interchange.md"


@pytest.mark.skipif(not PAGE.exists(), reason="the suite runs outside the source tree")
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_the_python_of_the_page_runs(torch, sklearn, onnx, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
