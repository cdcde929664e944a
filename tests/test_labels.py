"""Labels as people have them, and columns of pandas and polars: nothing is rounded, nothing merged, nothing guessed."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal

import numpy as np
import pytest

import fastnn

RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 3, 60)
X = np.eye(3)[CODES] + RNG.normal(scale=0.1, size=(60, 3))
NAMES = np.array(["ant", "bee", "cat"])


def network(outputs=3, loss="softmax_cross_entropy"):
    return fastnn.Network((3, outputs), loss=loss, rng=1)


def fit(net, y, X=X, **options):
    return net.fit(X, y, **({"epochs": 30, "learning_rate": 0.1, "batch_size": 10} | options))


LABELS = {
    "text": NAMES,
    "text of objects": NAMES.astype(object),
    "text that ends in zeros": np.array(["a", "a\0", "b"], dtype=object),
    "numbers from 1": np.array([1, 2, 3]),
    "numbers": np.array([-7, 0, 40]),
    "far numbers": np.array([-(2**62), 5, 2**62 + 1]),
    "unsigned": np.array([0, 2**53 + 1, 2**64 - 1], dtype=np.uint64),
    "bytes of numbers": np.array([1, 2, 200], dtype=np.uint8),
    "floating-point": np.array([1.0, 2.0, 2.0**53 - 1]),
}


@pytest.mark.parametrize("form", ["array", "list", "column"])
@pytest.mark.parametrize("kind", LABELS)
def test_a_network_answers_with_the_users_labels(backend, kind, form, tmp_path):
    labels = LABELS[kind]
    y = labels[CODES]
    given = {"array": y, "list": y.tolist(), "column": y[:, None]}[form]
    net, plain = network(), network()
    history = fit(net, given, validation_data=(X, given))
    assert history.loss == fit(plain, CODES).loss
    assert net.classes.tolist() == labels.tolist()
    assert (net.predict(X) == y).all()
    assert net.predict(X).tolist() == y.tolist()
    assert net.score(X, given) == history.validation_score[-1] == 1
    assert net.loss(X, given) == plain.loss(X, CODES)
    np.testing.assert_array_equal(net.loss_and_gradient(X, given)[1], plain.loss_and_gradient(X, CODES)[1])
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert other.predict(X).tolist() == y.tolist()
    pytest.importorskip("safetensors")
    net.save(tmp_path / "net")
    loaded = fastnn.load(tmp_path / "net")
    assert loaded.classes.tolist() == labels.tolist()
    assert loaded.predict(X).tolist() == y.tolist()
    fit(loaded, given, epochs=1)


@pytest.mark.parametrize("loss", ["sigmoid_cross_entropy", "softmax_cross_entropy"])
@pytest.mark.parametrize("labels", [("no", "yes"), (1, 2), (False, True), (-1, 1), (np.uint8(3), np.uint8(9))], ids=str)
def test_two_classes(loss, labels):
    outputs = 1 if loss == "sigmoid_cross_entropy" else 2
    y = np.array(labels)[(CODES > 0).astype(int)]
    net = network(outputs, loss)
    fit(net, y)
    assert net.classes.tolist() == list(labels)
    assert net.predict(X).dtype.kind == {"u": "i"}.get(y.dtype.kind, y.dtype.kind)
    assert net.predict(X).tolist() == y.tolist()
    assert net.score(X, y) == 1


def test_labels_of_several_sigmoid_outputs():
    net = network(3, "sigmoid_cross_entropy")
    fit(net, NAMES[CODES])
    assert net.predict(X).tolist() == NAMES[CODES].tolist()
    fit(net, np.eye(3)[CODES], epochs=1)
    assert net.predict(X).shape == (60, 3), "answers, as trained on last"
    assert net.classes.tolist() == NAMES.tolist()


def test_numbers_of_the_outputs_stay_what_they_are():
    net = network()
    assert net.classes is None
    fit(net, np.where(CODES == 1, 0, CODES))
    assert net.classes.tolist() == [0, 1, 2], "also where one is missing"
    assert net.predict(X).dtype == np.int64
    for form in (CODES.astype(float), CODES.astype(np.uint8), CODES.tolist(), CODES[:, None], CODES.astype(object)):
        fit(net, form, epochs=1)
        assert net.score(X, form) == net.score(X, CODES)


def test_the_first_training_fixes_the_classes():
    net = network()
    fit(net, NAMES[CODES], epochs=0)
    fit(net, ["bee", "bee"], X[:2], epochs=1)
    assert net.classes.tolist() == NAMES.tolist()
    net.classes[:] = "dog"
    assert net.classes.tolist() == NAMES.tolist(), "what is given away is a copy"
    fit(net, CODES + 5, epochs=1, reset=True)
    assert net.classes.tolist() == [5, 6, 7]
    net.reset()
    assert net.classes is None


def test_weights_of_classes_by_their_labels():
    nets = [network(), network()]
    fit(nets[0], NAMES[CODES], class_weight={"ant": 1, "bee": 5, "cat": 0.5})
    fit(nets[1], CODES, class_weight={0: 1, 1: 5, 2: 0.5})
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
    with pytest.raises(ValueError, match=r"class_weight .*'cat'"):
        fit(network(), NAMES[CODES], class_weight={"ant": 1, "bee": 5})


def test_many_labels_are_mapped_in_parts():
    numbers = RNG.integers(0, 3, 200_000)
    numbers[:70_000] = 0  # the others come after the part that is looked at first
    many = np.repeat([[0.5, 0, 0]], len(numbers), axis=0).astype(np.float32)
    for labels in (np.array([3, 5, 6]), np.array([3, 10**6, 10**12]), NAMES):
        nets = [network(), network()]
        pairs = zip(nets, (numbers, labels[numbers]), strict=True)
        losses = [fit(net, y, many, epochs=1, batch_size=None).loss for net, y in pairs]
        assert losses[0] == losses[1]
        wrong = labels[numbers]
        wrong[-1] = wrong[0] if wrong.dtype.kind == "U" else 4
        if wrong.dtype.kind != "U":
            with pytest.raises(ValueError, match=r"the label 4 in row 199999, which is none of the 3 classes: 3, "):
                nets[1].score(many, wrong)


# ---- errors


def everything(net):
    return net.parameters.tobytes(), net.rng.bit_generator.state, net.optimizer, net.classes


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (NAMES[CODES % 2], ValueError, r"labels from 0 to 2, or 3 different ones .*; found 2: 'ant', 'bee'"),
        (np.arange(60) * 2, ValueError, r"3 different ones .*; found 60: 0, 2, 4, 6, 8, \.\.\."),
        (CODES + 0.5, ValueError, r"y must hold integer labels; found \d.5 in row 0"),
        (
            np.where(CODES, 5.0, 2.0**53),
            ValueError,
            r"found 9007199254740992.0 in row \d+; float64 rounds whole numbers",
        ),
        (np.where(CODES, 5, 2**24).astype(np.float32), ValueError, r"found 16777216.0 in row \d+; float32 rounds"),
        (np.where(CODES, "a", None), ValueError, r"y must hold a label in every row; found None in row \d+"),
        ([*NAMES[CODES[1:]].tolist(), float("nan")], ValueError, r"a label in every row; found nan in row 59"),
        ([*NAMES[CODES[1:]].tolist(), 1], TypeError, r"labels of one kind, .*; found int and str"),
        ([*CODES[1:].tolist(), True], TypeError, r"labels of one kind, .*; found bool and int"),
        (np.array([*CODES[1:], True], dtype=object), TypeError, r"labels of one kind, .*; found bool and int"),
        ([Decimal(1)] * 60, TypeError, r"labels of one kind, .*; found Decimal"),
        ([2**70, *CODES[1:].tolist()], ValueError, r"labels of at most 64 bits; found 1180591620717411303424"),
        (np.ma.masked_equal(CODES, 2), ValueError, r"y must hold a number in every place; got a masked array"),
        (NAMES[CODES].astype("S"), TypeError, r"y must hold real numbers; got an array of dtype \|S3"),
        (NAMES[CODES].reshape(30, 2), TypeError, r"y must hold real numbers; got an array of dtype <U3"),
        (NAMES[CODES][:50], ValueError, r"X and y must have as many rows; got 60 and 50"),
    ],
)
def test_bad_labels_change_nothing(y, error, message):
    net = network()
    before = everything(net)
    with pytest.raises(error, match=message):
        fit(net, y)
    assert everything(net) == before


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            [*NAMES[CODES[1:]], "dog"],
            r"found the label 'dog' in row 59, which is none of the 3 classes: 'ant', 'bee', 'cat'",
        ),
        (CODES, r"found the label \d in row 0, which is none of the 3 classes"),
        (CODES > 0, r"found the label \d in row 0, which is none of the 3 classes"),
        (CODES.astype(float), r"found the label \d in row 0, which is none of the 3 classes"),
    ],
)
def test_later_labels_must_be_known(y, message):
    net = network()
    fit(net, NAMES[CODES], epochs=1)
    for call in (lambda: fit(net, y), lambda: net.score(X, y), lambda: net.loss(X, y)):
        with pytest.raises(ValueError, match="y must hold known labels; " + message):
            call()
    with pytest.raises(ValueError, match="validation_data y must hold known labels; " + message):
        fit(net, NAMES[CODES], validation_data=(X, y))
    numbered = network()
    fit(numbered, CODES, epochs=1)
    with pytest.raises(ValueError, match="y must hold known labels; found the label 'ant' in row 0"):
        numbered.score(X, NAMES[[0] * 60])


def test_text_beside_numbers_stays_text():
    net = network()
    fit(net, (CODES + 1).astype(str))
    assert net.classes.tolist() == ["1", "2", "3"]
    with pytest.raises(ValueError, match=r"found the label [123] in row 0, which is none of"):
        net.score(X, CODES + 1)


# ---- pandas and polars


def columns():
    """Return (name, labels, function that makes a column of them) of each library that is here."""
    found = []
    for library in ("pandas", "polars"):
        try:
            module = __import__(library)
        except ImportError:
            continue
        column = module.Series
        found += [(library, NAMES, lambda y, column=column: column(y.tolist()))]
        found += [(library, np.array([3, 5, 9]), lambda y, column=column: column(y.tolist()))]
        found += [(library, NAMES, lambda y, module=module: module.DataFrame({"y": y.tolist()}))]
        kinds = {"pandas": ("category", "string", object)}.get(library) or (
            module.Categorical,
            module.Enum(NAMES.tolist()),
        )
        found += [(library, NAMES, lambda y, c=column, kind=kind: c(y.tolist(), dtype=kind)) for kind in kinds]
        whole = {"pandas": ("Int64", "UInt8")}.get(library) or (module.Int16, module.UInt64)
        found += [
            (library, np.array([3, 5, 9]), lambda y, c=column, kind=kind: c(y.tolist(), dtype=kind)) for kind in whole
        ]
    return found


@pytest.mark.parametrize(("library", "labels", "make"), columns())
def test_columns_of_labels(library, labels, make):
    net, y = network(), labels[CODES]
    fit(net, make(y), validation_data=(X, make(y)))
    assert net.classes.tolist() == labels.tolist()
    assert net.predict(X).tolist() == y.tolist()
    assert net.score(X, make(y)) == 1


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_missing_labels_in_columns(library):
    series = pytest.importorskip(library).Series
    for y in ([*NAMES[CODES[1:]].tolist(), None], [*CODES[1:].tolist(), None], [*(CODES[1:] > 0).tolist(), None]):
        with pytest.raises(ValueError, match=r"y must hold .*label.*; found (None|nan|<NA>) in row 59"):
            fit(network(), series(y))
    if library == "pandas":
        for kind in ("Int64", "boolean"):
            with pytest.raises(ValueError, match=r"y must hold .*label.*; found (nan|<NA>) in row 59"):
                fit(network(), series([*(CODES[1:] > 0).tolist(), None], dtype=kind))


def table(library, **changed):
    module = pytest.importorskip(library)
    columns = {"a": X[:, 0].tolist(), "b": (X[:, 1] > 0.5).tolist(), "c": CODES.tolist()} | changed
    if library == "polars":
        return module.DataFrame(columns, strict=False)
    return module.DataFrame({name: module.Series(values) for name, values in columns.items()}).convert_dtypes()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables_of_samples(library):
    expected = np.column_stack([X[:, 0], X[:, 1] > 0.5, CODES])
    nets = [network(), network()]
    for net, samples in zip(nets, (expected, table(library)), strict=True):
        fit(net, CODES, samples, epochs=3)
    np.testing.assert_array_equal(nets[1].parameters, nets[0].parameters)
    np.testing.assert_array_equal(nets[1].forward(table(library)), nets[0].forward(expected))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_bad_tables_of_samples(library):
    text = table(library, c=NAMES[CODES].tolist())
    with pytest.raises(TypeError, match=r"X must hold real numbers; got '(ant|bee|cat)' in row \d+ of column 'c'"):
        fit(network(), CODES, text)
    missing = table(library, c=[*CODES[1:].tolist(), None])
    with pytest.raises(ValueError, match=r"X must be finite in float32; found nan in row 59, column 2"):
        fit(network(), CODES, missing)


def test_nullable_targets_of_a_regression():
    pandas = pytest.importorskip("pandas")
    nets = [fastnn.Network((3, 1), loss="squared_error", rng=1) for _ in range(2)]
    for net, y in zip(nets, (CODES, pandas.Series(CODES.tolist(), dtype="Int64").astype("Float64")), strict=True):
        fit(net, y, epochs=2)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
