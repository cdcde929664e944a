"""Tables as the command line reads them: every cell is what its file says, found by the name of its column."""

from __future__ import annotations

import gzip
import re
import struct

import numpy as np
import pytest
from command_line import ON_NUMPY, QUICK, TRAIN, flowers, predicted, run, write_csv

import fastnn

pytest.importorskip("safetensors")
pyarrow = pytest.importorskip("pyarrow")
pytestmark = pytest.mark.usefixtures("folder")

NAMES = np.array(["lily", "rose", "tulip"])
COLOURS = np.array(["red", "green", "blue"])


def garden(path, header=("a", "b", "colour", "kind"), delimiter=",", missing=""):
    """Write 120 flowers, of which colour alone tells lily from the rest; every tenth b is missing."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, 120)
    b = [missing if i % 10 == 0 else f"{x:.3f}" for i, x in enumerate(1000 * (kinds == 2) + 20 * rng.normal(size=120))]
    columns = [[f"{x:.3f}" for x in rng.normal(size=120)], b, COLOURS[kinds], NAMES[kinds]]
    lines = [delimiter.join(map(str, row)) for row in zip(*columns, strict=True)]
    text = "\n".join(([delimiter.join(header)] if header else []) + lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return dict(zip(["a", "b", "colour", "kind"], columns, strict=True))


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        ["1E2", "100", "205"],
        ["01", "1", "2"],
        ["01001", "00501", "1001"],
        ["+1", "1"],
        ["nan", "NA", "?"],
        ["7", "10", "-9"],
    ],
)
def test_a_label_is_its_text(capsys, folder, labels):
    m = 20 * len(labels)
    X = np.repeat(np.eye(len(labels)), 20, axis=0)
    write_csv(
        folder / "a.csv", ["x", *"yzw"[: len(labels) - 1], "label"], [[*x, labels[i // 20]] for i, x in enumerate(X)]
    )
    run(capsys, "train", "a.csv", *TRAIN)
    out, err = run(capsys, "predict", "model.safetensors", "a.csv", *ON_NUMPY)
    assert predicted(out) == [labels[i // 20] for i in range(m)]
    assert "accuracy on" in err
    assert "1.0000" in err
    whole = labels == ["7", "10", "-9"]
    expected = [-9, 7, 10] if whole else sorted(labels)
    assert fastnn.load("model.safetensors").classes.tolist() == expected


def test_labels_are_the_same_from_any_file(capsys, folder):
    X, labels = flowers()
    y = np.where(labels == 0, -1, 7)
    np.savez("float.npz", X=X, y=y.astype(float)[:, None])  # one column
    write_csv(folder / "t.csv", None, np.column_stack([X, y]).astype(object).tolist())
    write_csv(folder / "int.csv", None, [[*x, int(k)] for x, k in zip(X.tolist(), y, strict=True)])
    run(capsys, "train", "float.npz", *TRAIN)
    _, err = run(capsys, "predict", "model.safetensors", "int.csv", "--target", "-1", *ON_NUMPY)
    assert re.search(r"accuracy on 150 samples: (0\.9\d+|1\.0000)\n", err)
    write_csv(folder / "odd.csv", None, [[*x, "other"] for x in X.tolist()])
    _, err = run(capsys, "predict", "model.safetensors", "odd.csv", "--target", "4", *ON_NUMPY)
    assert "150 samples of classes that the model does not have ('other') count as wrong" in err
    assert "accuracy on 150 samples: 0.0000" in err


def test_an_empty_label_is_named_with_its_line(capsys, folder):
    (folder / "a.csv").write_text("x,kind\n1,a\n\n2,b\n3,\n4,a\n")
    assert "a.csv, line 5: column 'kind' has no label" in run(capsys, "train", "a.csv", code=2)[1]
    (folder / "b.csv").write_text("x,y\n1,2.5\n2,\n")
    regression = ["--loss", "squared_error"]
    assert "b.csv, line 3: column 'y' has no number" in run(capsys, "train", "b.csv", *regression, code=2)[1]
    (folder / "c.csv").write_text("x,y\n1,2.5\n2,1_5\n")
    assert "c.csv, line 3: column 'y' has '1_5'" in run(capsys, "train", "c.csv", *regression, code=2)[1]
    np.savez("d.npz", X=np.eye(3), y=[0, np.nan, 1])
    assert "d.npz, row 2: y has no label" in run(capsys, "train", "d.npz", code=2)[1]


# --- columns by name --------------------------------------------------------------------------------------------------


def test_columns_are_found_by_name(capsys, folder):
    columns = garden(folder / "a.csv")
    run(capsys, "train", "a.csv", *QUICK)
    expected = run(capsys, "predict", "model.safetensors", "a.csv", "--proba", *ON_NUMPY)[0]

    def answer(names, *options, code=0):
        rows = zip(*(columns.get(name, ["5"] * 120) for name in names), strict=True)
        write_csv(folder / "b.csv", names, [list(row) for row in rows])
        return run(capsys, "predict", "model.safetensors", "b.csv", "--proba", *options, *ON_NUMPY, code=code)

    out, err = answer(["colour", "a", "b"])  # another order, no target
    assert (out, err) == (expected, "")
    out, err = answer(["kind", "b", "a", "colour"])  # the target is a score, no input
    assert out == expected
    assert "accuracy on 120 samples" in err
    assert "lacks the model's column 'colour'" in answer(["a", "b", "kind"], code=2)[1]
    assert "has the column 'extra', which the model does not know" in answer(["extra", "a", "b", "colour"], code=2)[1]
    assert answer(["extra", "a", "b", "colour"], "--drop", "extra")[0] == expected

    write_csv(
        folder / "c.csv", None, [list(row) for row in zip(*(columns[n] for n in ("a", "b", "colour")), strict=True)]
    )
    command = ["predict", "model.safetensors", "c.csv", "--proba", *ON_NUMPY]
    assert (
        "no header with the names of the model's columns (a, b, colour); --no-header"
        in run(capsys, *command, code=2)[1]
    )
    assert run(capsys, *command, "--no-header")[0] == expected


def test_a_file_without_names_goes_by_position(capsys, folder):
    columns = garden(folder / "a.csv", header=None)
    run(capsys, "train", "a.csv", "--target", "4", "--drop", "1", *TRAIN)
    expected, err = run(capsys, "predict", "model.safetensors", "a.csv", *ON_NUMPY)  # the columns of the training
    assert "accuracy on 120 samples: 1.0000" in err
    write_csv(folder / "b.csv", None, list(map(list, zip(columns["b"], columns["colour"], strict=True))))
    assert run(capsys, "predict", "model.safetensors", "b.csv", *ON_NUMPY) == (expected, "")
    (folder / "c.csv").write_text("1.5,2.5,3.5,4.5,5.5\n")
    assert "X must have 2 columns; found 5" in run(capsys, "predict", "model.safetensors", "c.csv", code=2)[1]


def test_a_target_that_is_left_in_is_no_input(capsys, folder):
    X, labels = flowers()
    np.savez("data.npz", X=X, y=labels)
    run(capsys, "train", "data.npz", *QUICK)
    write_csv(folder / "a.csv", None, [[k, *x] for k, x in zip(labels, X.tolist(), strict=True)])
    _, err = run(capsys, "predict", "model.safetensors", "a.csv", *ON_NUMPY, code=2)
    assert "X must have 3 columns; found 4; --target NUMBER" in err
    out = run(capsys, "predict", "model.safetensors", "a.csv", "--target", 1, *ON_NUMPY)[0]
    assert out == run(capsys, "predict", "model.safetensors", "data.npz", *ON_NUMPY)[0]


def test_inputs_drop_and_target_choose_columns(capsys, folder):
    garden(folder / "a.csv", header=("id", "b", "colour", "y"))
    out, _ = run(capsys, "train", "a.csv", "--inputs", "colour", *TRAIN)
    assert "inputs    0 of numbers, 1 of categories: 3 inputs" in out
    assert fastnn.load("model.safetensors").sizes[0] == 3
    run(capsys, "predict", "model.safetensors", "a.csv", *ON_NUMPY)  # what was not taken may be there
    assert "in both" in run(capsys, "train", "a.csv", "--inputs", "id", "--drop", "id", code=2)[1]
    assert (
        "has no column 'z' for --target; its columns are id, b, colour, y"
        in run(capsys, "train", "a.csv", "--target", "z", code=2)[1]
    )
    assert "can be neither an input nor dropped" in run(capsys, "train", "a.csv", "--drop", "y", code=2)[1]
    garden(folder / "b.csv", header=("label", "b", "colour", "d"))
    assert "has a column 'label', and 'd' is the last one; --target says" in run(capsys, "train", "b.csv", code=2)[1]
    (folder / "c.csv").write_text("a,a,k\n1,2,x\n")
    assert "two columns of the name 'a'" in run(capsys, "train", "c.csv", code=2)[1]


# --- the first row ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0,1,2\n5,6,0\n7,8,1\n", None),
        ("1,2,3\n5,6,0\n7,8,1\n", None),
        (",0,1\n0,5.5,a\n1,5.6,b\n", None),
        ("p,q\nx,y\nz,y\n", None),
        ("1,x,0\n5,6,0\n7,8,1\n", None),  # a header, or a mistake in data
        ("0,1,label\n5.5,6,a\n7,8,b\n", None),
        ("0,1,label\n5.5,6,0\n7,8,1\n", True),
        ("a,b,c\n5,6,0\n", True),
        ("when,k\n2020-01-01,a\n2021-05-01 10:00,b\n", True),
        ("flag,k\ntrue,a\nFalse,b\n", True),
        ("a,b,c\n5,,0\n,6,1\n", True),
        ("red,b\nred,c\n", False),
        ("0,tcp,0\n0,udp,1\n", False),
        ("5.1,3.5,setosa\n4.9,3,setosa\n", False),
        ("5,6,0\n7,8,1\n", False),
    ],
)
def test_a_first_row_that_may_be_either_is_refused(folder, text, found):
    from fastnn.cli.tables.csv_files import CsvSource

    (folder / "a.csv").write_text(text)
    if found is None:
        with pytest.raises(ValueError, match="may be a header or data; say --header or --no-header"):
            CsvSource("a.csv", None, None)
    else:
        assert CsvSource("a.csv", None, None).named is found
    for header in (True, False) if found is not False else (False,):
        source = CsvSource("a.csv", None, header)
        assert source.named is header
        column = source.read([source.names[-1]], source.names)[source.names[-1]]
        assert len(column.codes) == text.count("\n") - header


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.TSV", "a.csv.gz", "a.data", "a.txt", "a.parquet", "a.arrow"])
def test_a_table_is_the_same_in_any_format(capsys, folder, name):
    columns = garden(folder / "same.csv")
    run(capsys, "train", "same.csv", *QUICK)
    expected = run(capsys, "predict", "model.safetensors", "same.csv", "--proba", *ON_NUMPY)[0]
    if name.endswith(("parquet", "arrow")):
        from pyarrow import feather, parquet

        numbers = {key: [float(x) if x else None for x in columns[key]] for key in "ab"}
        texts = {key: pyarrow.array(list(map(str, columns[key]))).dictionary_encode() for key in ("colour", "kind")}
        table = pyarrow.table(numbers | texts)
        table = pyarrow.concat_tables([table[:50], table[50:]])
        parquet.write_table(table, name) if name.endswith("parquet") else feather.write_feather(table, name)
    else:
        garden(folder / name, delimiter={"a.TSV": "\t", "a.data": ";", "a.txt": "|"}.get(name, ","))
    assert run(capsys, "predict", "model.safetensors", name, "--proba", *ON_NUMPY)[0] == expected
    run(capsys, "train", name, *QUICK, "--out", "again")
    assert run(capsys, "predict", "again", name, "--proba", *ON_NUMPY)[0] == expected


def test_decimal_commas_quotes_and_spaces(capsys, folder):
    rows = [f'{i},5;"{"x" if i % 2 else "y;z"}" ; {i % 2}' for i in range(40)]
    (folder / "a.csv").write_text('\ufeffn;"what; it is";k\r\n' + "\r\n".join(rows), encoding="utf-8")
    out, _ = run(capsys, "train", "a.csv", *TRAIN)
    assert "inputs    1 of numbers, 1 of categories" in out
    assert "file      a.csv: text with ';' between the columns, a header, decimal commas\n" in out
    assert "what; it is: 2 categories, one-hot: x, y;z" in out
    assert "targets   k: 0, 1" in out
    run(capsys, "train", "a.csv", *QUICK, "--delimiter", ";")


def test_digits_as_text_with_the_label_first(capsys, folder):
    (X, y), _ = fastnn.datasets.load_digits("uint8")
    write_csv(folder / "digits.csv", None, np.column_stack([y, X])[:300].tolist())
    assert "found only 0; --target NAME or NUMBER" in run(capsys, "train", "digits.csv", code=2)[1]
    out, _ = run(capsys, "train", "digits.csv", "--target", 1, *QUICK)
    assert "targets   column 1: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in out


def test_sets_and_idx(capsys, folder):
    out, _ = run(capsys, "train", "digits", "--out", "m", *QUICK)
    assert "file      digits: the train part of digits" in out
    assert "accuracy on 1,000 samples" in run(capsys, "predict", "m", "digits", *ON_NUMPY)[1]
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 4, 4), dtype=np.uint8), np.arange(40, dtype=np.uint8) % 4
    (folder / "images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, 40, 4, 4) + images.tobytes())
    (folder / "labels.gz").write_bytes(gzip.compress(struct.pack(">2I", 0x801, 40) + labels.tobytes()))
    run(capsys, "train", "images-idx3-ubyte", "labels.gz", *QUICK)
    assert fastnn.load("model.safetensors").sizes == (16, 4, 4)


def test_sparse_rows_are_trained_on_as_they_are(capsys, folder, monkeypatch):
    pytest.importorskip("sklearn")
    sparse = pytest.importorskip("scipy.sparse")
    monkeypatch.setattr(sparse.csr_matrix, "toarray", None, raising=False)
    (folder / "a.svm").write_text("1 1:0.5 3000:2\n-1 2:1\n" * 10)
    run(capsys, "train", "a.svm", *QUICK)
    assert fastnn.load("model.safetensors").sizes[0] == 3000
    (folder / "b.svm").write_text("1 1:0.5\n-1 2:1\n")
    out, err = run(capsys, "predict", "model.safetensors", "b.svm", *ON_NUMPY)
    assert len(predicted(out)) == 2
    assert "accuracy on 2 samples" in err
    assert "sparse rows are taken whole" in run(capsys, "train", "a.svm", "--drop", 2, *QUICK, code=2)[1]
    assert (
        "sparse rows, for which there is no --preset" in run(capsys, "train", "a.svm", "--preset", "tabular", code=2)[1]
    )


def test_inputs_without_names_are_in_the_order_of_the_file(capsys, folder):
    y = np.arange(40) % 2
    X = np.stack([y, np.random.default_rng(0).integers(0, 2, 40)], axis=1)
    np.savez(folder / "a.npz", X=X, y=y)
    np.savetxt(folder / "a.csv", np.column_stack([X, y]), "%d", ",")
    for path in ("a.npz", "a.csv"):
        run(capsys, "train", path, "--inputs", "2,1", *TRAIN, *(["--no-header"] if path == "a.csv" else []))
        for same in (["a.npz"], ["a.csv", "--target", 3]):
            out, _ = run(capsys, "evaluate", "model.safetensors", *same, *ON_NUMPY)
            assert "accuracy             1" in out


def test_what_is_read_is_not_written_over(capsys, folder):
    write_csv(folder / "a.csv", ["x", "y"], [[i, i % 2] for i in range(20)])
    before = (folder / "a.csv").read_bytes()
    assert "is read from: --out" in run(capsys, "train", "a.csv", *QUICK, "--out", "a.csv", code=2)[1]
    run(capsys, "train", "a.csv", *QUICK)
    for out in ("a.csv", "model.safetensors"):
        found = run(capsys, "predict", "model.safetensors", "a.csv", "--out", out, *ON_NUMPY, code=2)[1]
        assert "is read from: --out" in found
    assert (folder / "a.csv").read_bytes() == before


@pytest.mark.parametrize("first", [0, 1])
def test_sparse_rows_begin_with_the_index_that_they_began_with_in_training(capsys, folder, first):
    pytest.importorskip("sklearn")
    rows = [f"{j} {j + first}:1\n" for j in range(3)]
    (folder / "a.svm").write_text("".join(rows * 20))
    run(capsys, "train", "a.svm", *TRAIN)
    for some in ([0, 1, 2], [1], [2]):  # of which the last two do not say where they begin
        (folder / "b.svm").write_text("".join(rows[j] for j in some))
        assert predicted(run(capsys, "predict", "model.safetensors", "b.svm", *ON_NUMPY)[0]) == list(map(str, some))
    (folder / "b.svm").write_text("0 0:1\n")
    if first:
        assert "has the index 0" in run(capsys, "predict", "model.safetensors", "b.svm", *ON_NUMPY, code=2)[1]


# --- missing values and categories ------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["", "NA", "?", " ?"])
def test_missing_numbers_become_the_median_with_a_mark(capsys, folder, missing):
    columns = garden(folder / "a.csv", missing=missing)
    out, _ = run(capsys, "train", "a.csv", *QUICK)
    assert "missing   in b" in out
    from fastnn.cli.models import load_model

    b = next(each for each in load_model("model.safetensors").encoding.inputs if each.name == "b")
    assert b.median == pytest.approx(np.median([float(x) for x in columns["b"] if x != missing]))
    garden(folder / "b.csv", missing="30")
    run(capsys, "train", "b.csv", *QUICK)  # none is missing there
    _, err = run(capsys, "predict", "model.safetensors", "a.csv", *ON_NUMPY)
    assert "note: b: 12 missing values, none in training; " in err


def test_infinity_may_be_a_category(capsys, folder):
    X = np.random.default_rng(0).integers(0, 3, (40, 2)).astype(np.float64)
    X[X == 2] = np.inf
    np.savez(folder / "a.npz", X=X, y=np.isinf(X[:, 0]).astype(int))
    out, _ = run(capsys, "train", "a.npz", "--categorical", "1,2", *TRAIN)
    assert "column 1: 3 categories, one-hot: 0, 1, inf" in out
    assert "accuracy             1" in run(capsys, "evaluate", "model.safetensors", "a.npz", *ON_NUMPY)[0]


@pytest.mark.parametrize("missing", ["", "?", " ?"])
def test_missing_texts_are_missing_to_a_model_too(capsys, folder, missing):
    write_csv(folder / "a.csv", ["colour", "y"], [[c, int(c == missing)] for c in ["red", "blue", missing] * 20])
    run(capsys, "train", "a.csv", *TRAIN)
    out, err = run(capsys, "evaluate", "model.safetensors", "a.csv", *ON_NUMPY)
    assert "accuracy             1" in out
    assert "note" not in err
    run(capsys, "train", "a.csv", "--categorical", "colour", *TRAIN)  # "?" is as good a category as others
    assert "accuracy             1" in run(capsys, "evaluate", "model.safetensors", "a.csv", *ON_NUMPY)[0]


def test_what_the_network_sees_of_a_table(folder):
    from fastnn.cli.encoding import Encoding
    from fastnn.cli.tables import Reading, open_source

    (folder / "a.csv").write_text("n,two,three,y\n1,p,u,0\n,q,v,1\n3,p,,0\n9,q,w,1\n")
    source = open_source("a.csv", Reading())
    columns = source.read(["n", "two", "three"])
    encoding = Encoding.of(columns, source, [], smooth=False)
    X, notes = encoding.transform(columns, source, np.dtype("float32"))
    n, marks, two = [1, 3, 3, 9], [[0, 0], [1, 0], [0, 1], [0, 0]], [[1], [-1], [1], [-1]]
    three = [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    np.testing.assert_array_equal(X, np.hstack([np.array(n)[:, None], marks, two, three]))
    assert notes == []
    same = Encoding.from_description(encoding.describe())
    np.testing.assert_array_equal(same.transform(columns, source, np.dtype("float32"), np.array([1, 3]))[0], X[[1, 3]])
    (folder / "b.csv").write_text("n,two,three\n2,r,u\n")
    other = open_source("b.csv", Reading()).read(["n", "two", "three"], encoding.texts)
    X, notes = encoding.transform(other, source, np.dtype("float32"))
    assert X.tolist() == [[2, 0, 0, 0, 1, 0, 0]]
    assert notes == ["two: 1 of values that were not in training ('r') are of no category"]


def test_an_empty_column_is_said_to_be_one(capsys, folder):
    (folder / "a.csv").write_text("x,e,t,k\n1,,,a\n2,,,b\n3,,,a\n")
    out, _ = run(capsys, "train", "a.csv", "--categorical", "t", *QUICK)
    assert "e: no numbers; 0 stands for them" in out


def test_numbers_with_mistakes_are_refused_by_line(capsys, folder):
    rows = [[i, "12a" if i == 7 else i * i, i % 2] for i in range(20)]
    write_csv(folder / "a.csv", ["p", "q", "k"], rows)
    _, err = run(capsys, "train", "a.csv", code=2)
    assert "a.csv, line 9: column 'q' has '12a' among numbers; --categorical q" in err
    out, _ = run(capsys, "train", "a.csv", "--categorical", "q", *QUICK)
    assert "q: 20 categories" in out
    write_csv(folder / "b.csv", ["p", "q", "k"], [[i, i * i, i % 2] for i in range(20)])
    run(capsys, "train", "b.csv", *QUICK)
    _, err = run(capsys, "predict", "model.safetensors", "a.csv", *ON_NUMPY, code=2)
    assert "a.csv, line 9: column 'q' has '12a'; the model takes numbers there" in err
    (folder / "c.csv").write_text("p,k\n1,0\n1e400,1\n")
    assert "c.csv, line 3: column 'p' must be finite in float32" in run(capsys, "train", "c.csv", code=2)[1]
    (folder / "d.csv").write_text("t,k\n" + "".join(f"word{i},{i % 2}\n" for i in range(1100)))
    assert "'t' has 1,100 different texts, too many" in run(capsys, "train", "d.csv", code=2)[1]


def test_times_are_seconds_and_answers_are_0_and_1(folder):
    from fastnn.cli.tables import Reading, open_source

    (folder / "a.csv").write_text("day,moment,clock,flag,y\n1970-01-02,1970-01-01 00:01:30,00:02,true,a\n,,,,b\n")
    source = open_source("a.csv", Reading())
    found = source.read(source.names[:4])
    expected = {"day": 86400, "moment": 90, "clock": 120, "flag": 1}
    assert {name: column[0] for name, column in found.items()} == expected
    assert all(np.isnan(column[1]) for column in found.values())


def test_an_end_of_line_in_a_cell_is_no_end_of_a_row(capsys, folder):
    rows = "".join(f'{i},"{"x" * 50}\n{"y" * 50}",{i % 2}\n' for i in range(30_000))  # of several blocks of the reader
    (folder / "a.csv").write_text("n,text,k\n" + rows)
    out, _ = run(capsys, "train", "a.csv", *QUICK)
    assert "27,000 training and 3,000 validation samples" in out
    assert "text: 1 categories" in out
