"""Users' errors from the command line: one line on stderr, exit status 2, and nothing that was there is lost."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from command_line import ON_NUMPY, QUICK, flowers, predicted, run, write_csv

import fastnn
from fastnn import saving

pytest.importorskip("safetensors")
pytestmark = pytest.mark.usefixtures("folder")
posix = pytest.mark.skipif(sys.platform == "win32", reason="links, devices and pipes of POSIX")


@pytest.fixture
def files(folder):
    """Files that users might give by mistake, each wrong in one way."""
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("a,b\n")
    (folder / "ragged.csv").write_text("1,2,0\n3,4\n")
    (folder / "good.csv").write_text("a,b,c\n1,2,0\n2,1,1\n3,5,0\n")
    (folder / "one.csv").write_text("1,2,0\n2,1,0\n")
    (folder / "single.csv").write_text("1\n2\n")
    (folder / "real.csv").write_text("1,2,0.5\n2,1,1.5\n")
    (folder / "latin.csv").write_bytes(b"a,b\ncaf\xe9,1\nx,0\n")
    (folder / "binary.csv").write_bytes(b"\0\1\2\3" * 100)
    write_csv(folder / "many.csv", None, [[i % 7, i] for i in range(1200)])
    np.savez("noX.npz", data=np.zeros(3))
    np.savez("noy.npz", X=np.zeros((3, 2)))
    np.savez("flat.npz", X=np.zeros(3), y=np.array([0, 1, 0]))
    np.savez("nothing.npz", X=np.zeros((0, 2)), y=np.zeros(0))
    np.savez("cube.npz", X=np.zeros((3, 2)), y=np.zeros((3, 1, 1)))
    np.savez("short.npz", X=np.zeros((3, 2)), y=np.array([0, 1]))
    np.save("object.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    (folder / "broken.safetensors").write_bytes(b"nothing")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "required: COMMAND"),
        ("fly", "invalid choice: 'fly'"),
        ("demo --backend abacus", "invalid choice: 'abacus'"),
        ("demo --epochs -1", "must be an integer >= 0; got -1"),
        ("demo --hidden 12,0", "must be an integer >= 1; got 0"),
        ("demo --batch-size none", "--batch-size"),
        ("demo --learning-rate 0", "learning_rate must be a finite number > 0"),
        ("demo --threads 0", "must be an integer >= 1; got 0"),
        ("demo --data nowhere", "nowhere is not a folder"),
        ("demo --data .", "lacks these files"),
        ("train noy.npz --validation 1", "must be a share"),
        ("train noy.npz --activation wave", "'wave' is none of identity, sigmoid"),
        ("train absent.csv", "absent.csv: No such file"),
        ("train .", ".: Is a directory"),
        ("train empty.csv", "empty.csv is empty"),
        ("train mnist:nowhere", "nowhere is not a folder"),
        ("train digits:here", "the digits are inside the package"),
        ("train noX.npz", "must hold an array X; it holds data"),
        ("train noy.npz", "holds no y"),
        ("train short.npz", "as many rows; got 3 and 2"),
        ("train flat.npz", "flat.npz: X must be 2-D, samples in rows, and not empty; got shape (3,)"),
        ("train nothing.npz", "nothing.npz: X must be 2-D, samples in rows, and not empty; got shape (0, 2)"),
        ("train cube.npz", "y must hold a target for each sample, (m,) or (m, K); got shape (3, 1, 1)"),
        ("train object.npy", "no NumPy file of plain numbers"),
        ("predict broken.safetensors noy.npz", "not a whole fastnn network"),
        ("predict absent.safetensors noy.npz", "no file 'absent.safetensors'"),
    ],
)
def test_user_errors(capsys, files, arguments, message):
    assert message in run(capsys, *arguments.split(), code=2)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train header.csv", "header.csv has a header but no data"),
        ("train ragged.csv", "ragged.csv, line 2: 2 columns; the first line has 3"),
        ("train good.csv --label d", "has no column 'd' for --target; its columns are a, b, c"),
        ("train good.csv --target 4", "has no column '4' for --target; its columns are a, b, c"),
        ("train one.csv", "at least two classes; found only 0"),
        ("train single.csv", "one column"),
        ("train real.csv", "real values such as 0.5"),
        ("train many.csv", "1,200 different numbers; for regression take --loss squared_error"),
        ("train latin.csv", "latin.csv: column 'a' holds binary"),
        ("train binary.csv", "binary.csv is no table that can be read"),
        ("train good.csv --delimiter ab", "--delimiter must be one character"),
        ("train good.csv --learning-rate 1e38 --loss squared_error --optimizer sgd", "diverged in epoch"),
    ],
)
def test_errors_of_tables(capsys, files, arguments, message):
    pytest.importorskip("pyarrow")
    assert message in run(capsys, *arguments.split(), code=2)[1]


def test_a_missing_library_is_named_before_anything_is_read(capsys, folder, monkeypatch):
    (folder / "a.csv").write_text("1,2\n3\n")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "needs pyarrow: pip install fastnn-cpu[table]" in run(capsys, "train", "a.csv", code=2)[1]
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert "safetensors is not installed" in run(capsys, "train", "absent.csv", code=2)[1]


# --- damaged files ----------------------------------------------------------------------------------------------------


def whole_files():
    """Return a small file of each format with names and bytes."""
    X, y = np.arange(60.0).reshape(20, 3) % 7, np.arange(20) % 3
    npz, packed, npy = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(npz, X=X, y=y)
    np.savez_compressed(packed, X=X, y=y)
    np.save(npy, np.column_stack([X, y]))
    files = {"a.npz": npz.getvalue(), "b.npz": packed.getvalue(), "a.npy": npy.getvalue()}
    try:
        import pyarrow as pa
        from pyarrow import feather, parquet
    except ImportError:
        return files
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "y": y})
    for name, write in (("a.parquet", parquet.write_table), ("a.arrow", feather.write_feather)):
        sink = io.BytesIO()
        write(table, sink)
        files[name] = sink.getvalue()
    rows = "".join(f"{a},{b},{k}\n" for a, b, k in zip(X[:, 0], X[:, 1], y, strict=True))
    return files | {"a.csv.gz": gzip.compress(rows.encode())}


@pytest.mark.parametrize("name", ["a.npz", "b.npz", "a.npy", "a.parquet", "a.arrow", "a.csv.gz"])
def test_truncated_files_are_one_line(capsys, folder, name):
    content = whole_files().get(name)
    if content is None:
        pytest.skip("no pyarrow")
    train = ["train", name, *([] if name.endswith("npz") else ["--target", -1]), *QUICK]
    (folder / name).write_bytes(content)
    run(capsys, *train)
    for length in (1, 5, 9, len(content) // 3, len(content) // 2, len(content) - 9, len(content) - 1):
        (folder / name).write_bytes(content[:length])
        assert name in run(capsys, *train, code=2)[1]


def test_no_memory_is_taken_for_what_a_file_does_not_have(capsys, folder):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    claim = header.getvalue() + bytes(100)
    (folder / "a.npy").write_bytes(claim)
    with zipfile.ZipFile("a.npz", "w") as archive:
        archive.writestr("X.npy", claim)
    for name in ("a.npy", "a.npz"):
        assert "asks for 8,000,000,000,000 bytes" in run(capsys, "train", name, code=2)[1]


def test_no_memory_is_taken_for_what_a_model_does_not_have(capsys, folder):
    net = fastnn.Network((3, 3), rng=0)
    net.save("m")
    content = Path("m").read_bytes()
    np.save("X.npy", np.eye(3))
    (folder / "long").write_bytes((10**15).to_bytes(8, "little") + content[8:])
    assert "is not a whole fastnn network" in run(capsys, "predict", "long", "X.npy", code=2)[1]
    with pytest.raises(ValueError, match="its header is to have"):
        saving.read_metadata("long")
    for length in (0, 7, 8, 100, len(content) - 1):
        (folder / "short").write_bytes(content[:length])
        with pytest.raises(ValueError, match="is not a whole fastnn network"):
            fastnn.load("short")
    from safetensors.numpy import load, save

    about = json.loads(saving._texts(io.BytesIO(content))["fastnn"])
    for key, value in (
        ("sizes", [10**6, 10**6]),
        ("sizes", [3]),
        ("step", "x"),
        ("rng", []),
        ("optimizer", {"name": 1}),
    ):
        text, tensors = json.dumps(about | {key: value}), load(content)
        forged = save(tensors, metadata={"fastnn": text, "sha256": saving._digest(text, tensors)})
        with pytest.raises(ValueError):
            saving.from_bytes(forged)


def test_a_models_own_part_may_be_damaged_too(capsys):
    net = fastnn.Network((3, 3), rng=0)
    np.save("X.npy", np.eye(3))
    for text in ("[", "[]", "{}", '{"inputs": [{"nam": "a"}]}', '{"inputs": [], "named": true, "width": 3}'):
        saving.save("m", net.architecture, net.state, {"table": text})
        assert "is not a whole fastnn model" in run(capsys, "predict", "m", "X.npy", code=2)[1]


# --- where output goes ------------------------------------------------------------------------------------------------


@posix
def test_a_link_is_followed_and_its_file_keeps_its_mode(capsys, folder):
    net = fastnn.Network((3, 3), rng=0)
    (folder / "real").mkdir()
    target = folder / "real" / "m.safetensors"
    (folder / "link").symlink_to(target)
    net.save("link")  # of a file that is not there yet
    assert (folder / "link").is_symlink()
    target.chmod(0o600)
    net.save("link")
    assert (folder / "link").is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in (folder / "real").iterdir()] == ["m.safetensors"]
    np.save("X.npy", np.eye(3))
    (folder / "p.csv").symlink_to(folder / "real" / "p.csv")
    run(capsys, "predict", "link", "X.npy", "--out", "p.csv", *ON_NUMPY)
    assert (folder / "p.csv").is_symlink()
    assert len(predicted((folder / "real" / "p.csv").read_text())) == 3


@posix
def test_a_device_or_a_pipe_is_written_to_and_stays(capsys, folder):
    net = fastnn.Network((3, 3), rng=0)
    os.mkfifo("pipe")
    found = []
    reader = threading.Thread(target=lambda: found.append(Path("pipe").read_bytes()), daemon=True)
    reader.start()
    net.save("pipe")
    reader.join(10)
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)
    np.testing.assert_array_equal(saving.from_bytes(found[0])[1].parameters, net.parameters)
    null = folder / "null"
    null.symlink_to("/dev/null")
    net.save(null)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert null.is_symlink()


def test_what_cannot_be_written_is_said_before_the_training(capsys, folder, monkeypatch):
    X, labels = flowers()
    np.savez("data.npz", X=X, y=labels)
    monkeypatch.setattr(fastnn.Network, "fit", lambda *_, **__: pytest.fail("it was trained"))
    (folder / "there").mkdir()
    (folder / "file").write_text("")
    for out, named in (("there", "there: Is a directory"), ("file/m", "file"), (f"{'a' * 300}", "File name too long")):
        err = run(capsys, "train", "data.npz", "--out", out, code=2)[1]
        assert named in err
        assert not any(part.startswith(".") and len(part) > 16 for part in err.split("/"))  # no temporary name
    err = run(capsys, "train", "data.npz", "--report", "file", code=2)[1]
    assert "file" in err
    assert sorted(path.name for path in folder.iterdir()) == ["data.npz", "file", "there"]


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_errors_name_the_users_path(folder):
    (folder / "closed").mkdir(mode=0o500)
    with pytest.raises(PermissionError) as caught:
        fastnn.Network((3, 3), rng=0).save("closed/m")
    assert caught.value.filename == "closed/m"


def test_a_file_that_was_there_survives_what_fails(folder, monkeypatch):
    net = fastnn.Network((3, 3), rng=0)
    net.save("m")
    before = Path("m").read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left") as caught:
        net.save("m")
    assert caught.value.filename == "m"
    assert Path("m").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["m"]
