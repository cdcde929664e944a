"""Training, prediction and evaluation from the command line."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from command_line import ON_NUMPY, QUICK, TRAIN, flowers, predicted, run, write_csv

import fastnn
from fastnn.cli import training
from fastnn.cli.answers import Answers, split

pytest.importorskip("safetensors")
pytestmark = pytest.mark.usefixtures("folder")


def test_csv_with_named_classes(capsys, folder):
    pytest.importorskip("pyarrow")
    X, labels = flowers()
    names = np.array(["lily", "rose", "tulip"])[labels]
    rows = [[name, *x] for name, x in zip(names, X.tolist(), strict=True)]
    write_csv(folder / "flowers.csv", ["kind", "a", "b", "constant"], rows)
    out, _ = run(capsys, "train", "flowers.csv", "--label", "kind", *TRAIN, "--out", "models/m.safetensors")
    assert "135 training and 15 validation samples" in out
    assert "lily, rose, tulip" in out
    out, err = run(capsys, "predict", "models/m.safetensors", "flowers.csv", *ON_NUMPY)
    assert out.splitlines()[0] == "prediction"
    right = np.mean(np.array(predicted(out)) == names)
    assert right > 0.95
    assert f"accuracy on 150 samples: {right:.4f}" in err
    write_csv(folder / "unlabelled.csv", ["a", "b", "constant"], X.tolist())
    run(capsys, "predict", "models/m.safetensors", "unlabelled.csv", "--proba", "--out", "p.csv", *ON_NUMPY)
    header, *lines = (folder / "p.csv").read_text().splitlines()
    assert header == "p(lily),p(rose),p(tulip)"
    np.testing.assert_allclose(np.array([line.split(",") for line in lines], dtype=float).sum(axis=1), 1, rtol=1e-5)
    assert fastnn.load("models/m.safetensors").predict(X).tolist() == predicted(out)  # in Python, from raw inputs


def test_npz_regression_predicts_raw_values(capsys):
    X, _ = flowers()
    y = 3e5 + 2e4 * X[:, 0] - 30 * X[:, 1]
    np.savez("data.npz", X=X, y=y)
    out, _ = run(capsys, "train", "data.npz", "--loss", "squared_error", "--activation", "tanh", *TRAIN)
    assert float(re.search(r"R\^2 on the 15 validation samples: (\S+)", out)[1]) > 0.98
    out, err = run(capsys, "predict", "model.safetensors", "data.npz", *ON_NUMPY)
    assert float(re.search(r"R\^2 on 150 samples: (\S+)", err)[1]) > 0.98
    np.testing.assert_allclose(np.array(out.split()[1:], dtype=float), y, rtol=0.2)


@pytest.mark.parametrize(("loss", "score"), [("huber", "R^2"), ("quantile", "D^2"), ("poisson", "D^2")])
def test_other_regressions(capsys, loss, score):
    X, _ = flowers()
    y = np.round(np.exp(X[:, 0] - X[:, 0].mean()))
    np.savez("data.npz", X=X, y=y)
    out, _ = run(capsys, "train", "data.npz", "--loss", loss, "--activation", "silu", *TRAIN)
    assert float(re.search(re.escape(score) + r" on the 15 validation samples: (\S+)", out)[1]) > 0.3
    assert fastnn.load("model.safetensors").sizes == (3, 8, 1)


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c"]])
def test_hinge_on_labels(capsys, names):
    X, labels = flowers()
    np.savez("data.npz", X=X, y=np.array(names)[labels % len(names)])
    out, _ = run(capsys, "train", "data.npz", "--loss", "hinge", *TRAIN)
    assert "accuracy on the 15 validation samples" in out
    assert fastnn.load("model.safetensors").sizes == (3, 8, 1 if len(names) == 2 else 3)
    assert set(predicted(run(capsys, "predict", "model.safetensors", "data.npz", *ON_NUMPY)[0])) <= set(names)


def test_two_npy_files_numbered_classes_and_one_output(capsys):
    X, labels = flowers()
    np.save("X.npy", X)
    np.save("y.npy", np.where(labels == 0, -1, 7))
    run(capsys, "train", "X.npy", "y.npy", "--loss", "sigmoid_cross_entropy", *TRAIN, "--validation", 0)
    assert fastnn.load("model.safetensors").sizes == (3, 8, 1)
    out, err = run(capsys, "predict", "model.safetensors", "X.npy", "y.npy", *ON_NUMPY)
    assert np.mean(np.array(predicted(out), dtype=int) == np.where(labels == 0, -1, 7)) > 0.95
    assert "accuracy on 150 samples" in err
    out, _ = run(capsys, "predict", "model.safetensors", "X.npy", "--proba", *ON_NUMPY)
    assert out.splitlines()[0] == "p(7)"


def test_multilabel_matrix_without_hidden_layer_in_float64(capsys):
    X, labels = flowers()
    np.savez("data.npz", X=X, y=np.stack([labels == 1, labels == 2], axis=1))
    options = ["--loss", "sigmoid_cross_entropy", "--dtype", "float64", "--optimizer", "sgd", "--l2", 0.01]
    run(capsys, "train", "data.npz", *TRAIN, *options, "--hidden", "none")
    net = fastnn.load("model.safetensors")
    assert (net.sizes, net.dtype.name) == ((3, 2), "float64")
    out, _ = run(capsys, "predict", "model.safetensors", "data.npz", *ON_NUMPY)
    assert out.splitlines()[0] == "prediction 0,prediction 1"


def test_no_standardise_trains_on_the_values_as_they_are(capsys):
    X, labels = flowers()
    np.savez("data.npz", X=X, y=labels)
    for flag in ("--standardise", "--no-standardise"):
        run(capsys, "train", "data.npz", *ON_NUMPY, "--epochs", 0, flag, "--out", f"m{flag}")
    scaled, plain = (fastnn.load(f"m{flag}").state.scaler for flag in ("--standardise", "--no-standardise"))
    assert plain is None
    np.testing.assert_allclose(scaled.deviation[:2], X.std(axis=0)[:2], rtol=0.1)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float16", ">f4"])
def test_inputs_of_any_type_train_as_the_same_numbers(capsys, dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2 if dtype == "bool" else 200, (60, 4))
    y = X[:, 0] > X[:, 1]
    np.savez("as_float.npz", X=X.astype(float), y=y)
    np.savez("as_given.npz", X=X.astype(dtype), y=y)
    probabilities = []
    for name in ("as_float", "as_given"):
        run(capsys, "train", f"{name}.npz", "--epochs", "3", "--hidden", "5", "--out", f"{name}.safetensors", *ON_NUMPY)
        out, _ = run(capsys, "predict", f"{name}.safetensors", f"{name}.npz", "--proba", *ON_NUMPY)
        probabilities.append(np.loadtxt(predicted(out), delimiter=","))
    np.testing.assert_allclose(*probabilities, rtol=1e-4)


# --- numbers far from zero, and far from each other -------------------------------------------------------------------


def test_a_clock_can_be_the_target(capsys):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = 1.7e12 + 1e4 * (X[:, 0] + 0.3 * rng.normal(size=400))
    np.savez("clock.npz", X=X, y=y)
    training = ("--loss", "squared_error", "--epochs", "40", "--learning-rate", "0.01", "--out", "m.safetensors")
    run(capsys, "train", "clock.npz", *ON_NUMPY, *training)
    out, err = run(capsys, "predict", "m.safetensors", "clock.npz", *ON_NUMPY)
    values = np.array(predicted(out), float)
    expected = 1 - ((y - values) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert 0.8 < expected < 0.96
    assert f"R^2 on 400 samples: {expected:.4f}" in err


def test_a_clocks_seconds_are_predicted_as_they_were_trained(capsys):
    rng = np.random.default_rng(0)
    offset = rng.normal(size=(400, 3))
    np.savez("clock.npz", X=1.7e9 + 100 * offset, y=offset[:, 0] > 0)
    command = ["train", "clock.npz", "--epochs", "40", "--learning-rate", "0.02", "--out", "m.safetensors", *ON_NUMPY]
    out, _ = run(capsys, *command)
    validated = float(out.split("score ")[-1].split()[0].rstrip(","))
    assert validated > 0.9
    assert f"validation samples: {validated:.4f}" in out
    assert fastnn.load("m.safetensors").dtype == np.float64
    np.savez("constant.npz", X=np.column_stack([offset, np.full(400, 0.1)]), y=offset[:, 0] > 0)
    run(capsys, "train", "constant.npz", *QUICK)
    assert fastnn.load("model.safetensors").dtype == np.float32


def test_targets_beyond_float32_are_trained_and_saved(capsys):
    X = np.random.default_rng(0).normal(size=(200, 2))
    np.savez("huge.npz", X=X, y=1e44 * (2 + X[:, 0]), Z=X)
    out, _ = run(capsys, "train", "huge.npz", "--loss", "squared_error", *TRAIN)
    assert "huge.npz: NPZ; its arrays Z are not read" in out
    out, err = run(capsys, "predict", "model.safetensors", "huge.npz", *ON_NUMPY)
    assert float(err.split()[-1]) > 0.9
    assert np.median(np.array(predicted(out), float)) > 1e43
    _, err = run(capsys, "train", "huge.npz", "--loss", "squared_error", "--no-standardise", *TRAIN, code=2)
    assert "y must be finite in float32" in err


def test_a_training_that_diverges_leaves_its_last_finite_network(capsys, folder, monkeypatch):
    X, labels = flowers()
    np.savez("data.npz", X=X, y=labels)
    fit = fastnn.Network.fit

    def diverging(network, *arguments, **options):
        history = fit(network, *arguments, **(options | {"epochs": 2}))
        raise fastnn.DivergenceError("the training diverged in epoch 3.", history)

    monkeypatch.setattr(fastnn.Network, "fit", diverging)
    _, err = run(capsys, "train", "data.npz", *TRAIN, code=2)
    assert "diverged in epoch 3. It was written to model.safetensors, as it was after epoch 2" in err
    assert fastnn.load("model.safetensors").state.progress.history.epochs == 2


def test_a_constant_target_has_a_reason_in_the_place_of_a_score(capsys):
    X = np.random.default_rng(0).normal(size=(40, 2))
    np.savez("same.npz", X=X, y=np.full(40, 5.0))
    regression = ["--loss", "squared_error", *QUICK]
    assert "y is 5. in every row: there is nothing to learn" in run(capsys, "train", "same.npz", *regression, code=2)[1]
    np.savez("two.npz", X=X, y=np.column_stack([X[:, 0], np.full(40, 5.0)]))
    out, _ = run(capsys, "train", "two.npz", *regression)
    assert "(without target 2, which is the same in all rows)" in out
    np.savez("good.npz", X=X, y=X[:, 0])
    run(capsys, "train", "good.npz", *regression)
    err = run(capsys, "predict", "model.safetensors", "same.npz", *ON_NUMPY)[1]
    assert "R^2 on 40 samples: none, as all targets are 5" in err
    with pytest.warns(UserWarning, match="all targets of column 0 are the same"):  # in Python, too
        assert np.isnan(fastnn.load("model.safetensors").score(X, np.full(40, 5.0)))


# --- what is held out -------------------------------------------------------------------------------------------------


def test_every_class_is_trained_on(capsys):
    X, labels = flowers(60)
    y = labels.astype(object)
    y[17] = "rare"
    np.savez("data.npz", X=X, y=y.astype(str))
    out, _ = run(capsys, "train", "data.npz", "--validation", 0.5, *TRAIN)
    assert "only one sample has the class rare" in out
    assert fastnn.load("model.safetensors").classes.tolist() == ["0", "1", "2", "rare"]


def test_the_split_is_stratified():
    codes = np.repeat([0, 1, 2], [300, 60, 1])
    trained, held = split(Answers(codes, codes, ["a", "b", "c"]), 0.2, np.random.default_rng(0))
    assert sorted([*trained, *held]) == list(range(361))
    assert np.bincount(codes[held], minlength=3).tolist() == pytest.approx([60, 12, 0], abs=1)
    for seed in range(5):
        assert 360 in split(Answers(codes, codes, ["a", "b", "c"]), 0.9, np.random.default_rng(seed))[0]
    other = split(Answers(codes, codes, ["a", "b", "c"]), 0.2, np.random.default_rng(1))[1]
    assert not np.array_equal(held, other)
    assert len(split(Answers(codes, codes, ["a", "b", "c"]), 0.0, np.random.default_rng(0))[1]) == 0


# --- options ----------------------------------------------------------------------------------------------------------


def test_options_reach_the_training(capsys, monkeypatch):
    X, labels = flowers()
    np.savez("data.npz", X=X, y=labels)
    seen = {}
    fit = fastnn.Network.fit

    def noting(network, *arguments, **options):
        seen.update(options, network=network)
        return fit(network, *arguments, **options)

    monkeypatch.setattr(fastnn.Network, "fit", noting)
    options = "--early-stopping 3 --class-weight balanced --activation relu,tanh --hidden 5,4 --dropout 0.1 --l1 0.1"
    run(capsys, "train", "data.npz", *ON_NUMPY, "--epochs", 2, *options.split(), "--batch-size", "all")
    assert seen["early_stopping"] == fastnn.EarlyStopping(3)
    assert (seen["class_weight"], seen["batch_size"], seen["l1"]) == ("balanced", None, 0.1)
    assert [a.name for a in seen["network"].activations] == ["relu", "tanh"]
    assert seen["network"].dropout == (0.1, 0.1)
    regression = ["--loss", "squared_error", "--class-weight", "balanced"]
    assert "--class-weight is for classes" in run(capsys, "train", "data.npz", *regression, code=2)[1]
    without = ["--early-stopping", "--validation", 0]
    assert "--early-stopping looks at" in run(capsys, "train", "data.npz", *without, code=2)[1]


def test_the_preset_is_that_of_the_estimators(capsys):
    pytest.importorskip("sklearn")
    X, labels = flowers()
    np.savez("data.npz", X=X, y=labels)
    run(capsys, "train", "data.npz", "--preset", "tabular", "--epochs", 3, *ON_NUMPY)
    net = fastnn.load("model.safetensors")
    assert net.sizes == (3, 256, 256, 256, 3)
    assert {a.name for a in net.activations} == {"selu"}
    assert net.architecture.loss.smoothing == 0.1
    assert (net.optimizer.beta2, net.optimizer.epsilon) == (0.95, pytest.approx(1.6e-7))
    err = run(capsys, "predict", "model.safetensors", "data.npz", *ON_NUMPY)[1]
    assert float(err.split()[-1]) > 0.7
    out, _ = run(
        capsys, "train", "data.npz", "--preset", "tabular", "--epochs", 1, "--loss", "squared_error", *ON_NUMPY
    )
    assert "R^2" in out
    assert "mish" in repr(fastnn.load("model.safetensors"))


def test_a_resumed_training_is_one_that_never_stopped(capsys, monkeypatch):
    X, labels = flowers()
    np.savez("data.npz", X=X, y=np.array(["a", "b", "c"])[labels])
    command = ["train", "data.npz", *ON_NUMPY, "--hidden", 5]
    run(capsys, *command, "--epochs", 4, "--out", "whole")
    fit = fastnn.Network.fit

    def interrupted(network, *arguments, **options):
        def stop(_, history):
            if history.epochs == 2:
                raise KeyboardInterrupt

        return fit(network, *arguments, **options, callback=stop)

    monkeypatch.setattr(fastnn.Network, "fit", interrupted)
    out, _ = run(capsys, *command, "--epochs", 4, "--out", "half")
    assert "interrupted after 2 whole epochs" in out
    monkeypatch.setattr(fastnn.Network, "fit", fit)
    run(capsys, *command, "--epochs", 4, "--out", "half", "--resume")
    whole, half = fastnn.load("whole"), fastnn.load("half")
    np.testing.assert_array_equal(whole.parameters, half.parameters)
    fastnn.Network((3, 3), rng=0).save("plain")
    assert "cannot be resumed" in run(capsys, *command, "--out", "plain", "--resume", code=2)[1]
    monkeypatch.setattr(training, "train", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    run(capsys, *command, code=130)


# --- evaluate, report, info, old files --------------------------------------------------------------------------------


def test_evaluate_has_scikit_learns_scores(capsys, folder):
    metrics = pytest.importorskip("sklearn.metrics")
    pytest.importorskip("matplotlib")
    X, labels = flowers()
    X += np.random.default_rng(0).normal(size=X.shape) * [1, 1000, 0]
    y = np.array(["a", "b", "c"])[labels]
    np.savez("data.npz", X=X, y=y)
    run(capsys, "train", "data.npz", *QUICK, "--report", "trained")
    history = json.loads((folder / "trained" / "history.json").read_text())
    assert len(history["loss"]) == len(history["validation_score"]) == 1
    out, _ = run(capsys, "evaluate", "model.safetensors", "data.npz", "--report", "r", *ON_NUMPY)
    net = fastnn.load("model.safetensors")
    answers, proba = net.predict(X), net.predict_proba(X).astype(float)
    proba /= proba.sum(axis=1, keepdims=True)
    found = json.loads((folder / "r" / "scores.json").read_text())
    assert found["balanced accuracy"] == pytest.approx(metrics.balanced_accuracy_score(y, answers))
    assert found["log loss"] == pytest.approx(metrics.log_loss(y, proba))
    assert found["AUC"] == pytest.approx(metrics.roc_auc_score(y, proba, multi_class="ovr"))
    recalls = metrics.recall_score(y, answers, average=None)
    assert [each["recall"] for each in found["classes"]] == pytest.approx(recalls.tolist())
    assert f"recall of b: {recalls[1]:.4f} ({(y == 'b').sum()} samples)" in out
    names = {path.name for path in (*(folder / "trained").iterdir(), *(folder / "r").iterdir())}
    assert names == {"history.json", "history.png", "scores.json", "confusion.png"}


def test_evaluate_regressions_and_yes_or_no(capsys, folder):
    metrics = pytest.importorskip("sklearn.metrics")
    pytest.importorskip("matplotlib")
    X, labels = flowers()
    np.savez("data.npz", X=X, y=X[:, 0])
    run(capsys, "train", "data.npz", "--loss", "squared_error", *QUICK)
    run(capsys, "evaluate", "model.safetensors", "data.npz", "--report", "r", *ON_NUMPY)
    found = json.loads((folder / "r" / "scores.json").read_text())
    net = fastnn.load("model.safetensors")
    assert found["mean absolute error"] == pytest.approx(metrics.mean_absolute_error(X[:, 0], net.predict(X)))
    assert found["R^2"] == pytest.approx(net.score(X, X[:, 0]))
    assert (folder / "r" / "predictions.png").exists()
    np.savez("data.npz", X=X, y=labels > 0)
    run(capsys, "train", "data.npz", "--loss", "sigmoid_cross_entropy", *QUICK)
    out, _ = run(capsys, "evaluate", "model.safetensors", "data.npz", *ON_NUMPY)
    area = metrics.roc_auc_score(labels > 0, fastnn.load("model.safetensors").predict_proba(X)[:, 0])
    assert f"AUC                  {area:.6g}" in out
    np.save("X.npy", X)
    assert "has no targets" in run(capsys, "evaluate", "model.safetensors", "X.npy", code=2)[1]


def test_info_says_what_a_model_is(capsys, folder):
    pytest.importorskip("pyarrow")
    write_csv(
        folder / "a.csv", ["n", "colour", "kind"], [[i, "red" if i % 3 else "blue", "ab"[i % 2]] for i in range(30)]
    )
    run(capsys, "train", "a.csv", *QUICK)
    out, _ = run(capsys, "info", "model.safetensors")
    assert "Network((2, 4, 2)" in out
    assert "n: number" in out
    assert "colour: 2 categories" in out
    assert "target    kind\nclasses   a, b\n" in out
    assert "epoch 1, loss" in out


def test_files_of_earlier_versions_predict_by_position(capsys):
    from fastnn import saving

    X, labels = flowers()
    net = fastnn.Network((3, 3), rng=0)
    net.fit(X, labels, epochs=1)
    saving.save("old", net.architecture, net.state, {"classes": json.dumps(["lily", "rose", "tulip"])})
    np.savez("data.npz", X=X, y=np.array(["lily", "rose", "tulip"])[labels])
    out, err = run(capsys, "predict", "old", "data.npz", *ON_NUMPY)
    assert predicted(out) == [["lily", "rose", "tulip"][k] for k in net.predict(X)]
    assert f"accuracy on 150 samples: {net.score(X, labels):.4f}" in err
    X[3, 1] = np.nan
    np.savez("missing.npz", X=X)
    err = run(capsys, "predict", "old", "missing.npz", *ON_NUMPY, code=2)[1]
    assert "missing.npz, row 4: column 'column 2' must be finite in float32; found nan" in err
    net.save("plain")
    answers = net.predict(np.load("data.npz")["X"])
    assert predicted(run(capsys, "predict", "plain", "data.npz", *ON_NUMPY)[0]) == list(map(str, answers))
