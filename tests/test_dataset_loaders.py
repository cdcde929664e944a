"""Loaders of published sets, against small files that the tests write in the same formats, and a local server."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import pickle
import struct
import sys
import tarfile
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastnn import datasets
from fastnn.datasets import archives, cifar10, homes, imdb, svhn

RNG = np.random.default_rng(5)


def write_idx(path: Path, array: np.ndarray) -> None:
    code = {"uint8": 0x08, "int32": 0x0C}[array.dtype.name]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def bytes_of(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


# ---- MNIST's relatives


def test_bytes_are_those_of_the_file(tmp_path):
    images, labels = bytes_of(4, 3, 3), np.arange(4, dtype=np.uint8)
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    for load in (datasets.load_mnist, datasets.load_fashion_mnist):
        (X, y), _ = load(tmp_path, dtype="uint8")
        np.testing.assert_array_equal(X, images.reshape(4, 9), strict=True)
        assert X.flags.writeable
        np.testing.assert_array_equal(y, labels.astype(np.int64), strict=True)
        np.testing.assert_array_equal(load(tmp_path)[1][0], X.astype(np.float32) / np.float32(255), strict=True)


def test_digits_as_bytes():
    (X, _), _ = datasets.load_digits("uint8")
    assert X.dtype == np.uint8
    np.testing.assert_array_equal(X / np.float32(255), datasets.load_digits()[0][0])


def test_qmnist(tmp_path):
    labels = np.arange(24, dtype=np.int32).reshape(3, 8)
    for part in ("train", "test"):
        write_idx(tmp_path / f"qmnist-{part}-images-idx3-ubyte.gz", bytes_of(3, 2, 2))
        write_idx(tmp_path / f"qmnist-{part}-labels-idx2-int.gz", labels)
    (X, y), _ = datasets.load_qmnist(tmp_path)
    assert X.shape == (3, 4)
    assert y.tolist() == [0, 8, 16]


def test_emnist_is_turned_and_its_letters_count_from_0(tmp_path):
    images = bytes_of(3, 2, 2)
    for split in ("letters", "digits"):
        for part in ("train", "test"):
            write_idx(tmp_path / f"emnist-{split}-{part}-images-idx3-ubyte.gz", images)
            write_idx(tmp_path / f"emnist-{split}-{part}-labels-idx1-ubyte.gz", np.array([1, 26, 5], np.uint8))
    (X, y), (_, y_test) = datasets.load_emnist(tmp_path, split="letters", dtype="uint8")
    np.testing.assert_array_equal(X, images.swapaxes(1, 2).reshape(3, 4))
    assert y.tolist() == y_test.tolist() == [0, 25, 4]
    assert datasets.load_emnist(tmp_path, "digits")[0][1].tolist() == [1, 26, 5]
    with pytest.raises(ValueError, match=r"split must be one of balanced, .*; got 'capitals'"):
        datasets.load_emnist(tmp_path, "capitals")
    with pytest.raises(FileNotFoundError, match="emnist-balanced-train-images-idx3-ubyte"):
        datasets.load_emnist(tmp_path)


def test_emnist_out_of_its_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "gzip.zip", "w") as archive:
        for part in ("train", "test"):
            write_idx(tmp_path / "images.gz", bytes_of(2, 4, 4))
            write_idx(tmp_path / "labels.gz", np.zeros(2, np.uint8))
            for content, name in (("images", "images-idx3-ubyte"), ("labels", "labels-idx1-ubyte")):
                archive.write(tmp_path / f"{content}.gz", f"gzip/emnist-mnist-{part}-{name}.gz")
    assert datasets.load_emnist(tmp_path, "mnist")[0][0].shape == (2, 16)
    with pytest.raises(ValueError, match=r"gzip\.zip has no member emnist-letters-train"):
        datasets.load_emnist(tmp_path, "letters")
    with zipfile.ZipFile(tmp_path / "gzip.zip", "a", zipfile.ZIP_DEFLATED) as archive:
        for part in ("train", "test"):
            for name in ("images-idx3-ubyte", "labels-idx1-ubyte"):
                archive.writestr(f"gzip/emnist-digits-{part}-{name}.gz", bytes(100_000))
    with pytest.raises(ValueError, match=r"gzip\.zip is damaged: it cannot hold 100000 bytes of emnist-digits-train"):
        datasets.load_emnist(tmp_path, "digits")
    content = bytearray((tmp_path / "gzip.zip").read_bytes())
    content[content.index(b"\x1f\x8b") + 30] ^= 1
    (tmp_path / "gzip.zip").write_bytes(content)
    for path in tmp_path.glob("emnist-mnist-*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"gzip\.zip is a damaged"):
        datasets.load_emnist(tmp_path, "mnist")
    assert [path.name for path in tmp_path.glob("emnist*")] == []  # nothing half-written


def test_a_header_cannot_ask_for_more_memory_than_the_file_could_fill(tmp_path):
    header = b"\0\0\x0e\x03" + struct.pack(">3I", 60000, 28000, 28000)
    path = tmp_path / "bomb"
    for content in (header, gzip.compress(header)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"bomb is truncated: .* it has 16"):
            datasets.read_idx(path)


# ---- CIFAR-10


@pytest.fixture
def small_batches(monkeypatch) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    monkeypatch.setattr(cifar10, "BATCH_SIZE", 3)
    return {name: (bytes_of(3, 3072), RNG.integers(0, 10, 3)) for name in cifar10.BATCHES}


def binary(images: np.ndarray, labels: np.ndarray) -> bytes:
    return np.column_stack([labels.astype(np.uint8), images]).tobytes()


def string(text: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(text)) + text


def pickled(images: np.ndarray, labels: np.ndarray) -> bytes:
    """A batch as Python 2 pickled it, with protocol 2."""
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    shape = b"".join(b"J" + struct.pack("<i", size) for size in images.shape) + b"\x86"
    dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R(K\x03" + string(b"|") + b"NNNJ" + b"\xff" * 4
    dtype += b"J" + b"\xff" * 4 + b"K\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R"
    data = empty + b"(K\x01" + shape + dtype + b"\x89" + string(images.tobytes()) + b"tb"
    names = b"](" + string(b"a.png") + b"e"
    entries = {b"batch_label": string(b"batch 1"), b"labels": numbers, b"data": data, b"filenames": names}
    return b"\x80\x02}(" + b"".join(string(key) + value for key, value in entries.items()) + b"u."


@pytest.mark.parametrize("archived", [False, True], ids=["folder", "archive"])
@pytest.mark.parametrize(("suffix", "encode"), [(".bin", binary), ("", pickled)], ids=["binary", "python"])
def test_both_versions_of_cifar10(tmp_path, small_batches, suffix, encode, archived):
    folder = Path(cifar10.FOLDERS[suffix])
    contents = {(folder / (name + suffix)).as_posix(): encode(*batch) for name, batch in small_batches.items()}
    if archived:  # in another order, beside other members
        write_tar(
            tmp_path / cifar10.ARCHIVES[suffix], {"a/batches.meta.txt": b"airplane"} | dict(reversed(contents.items()))
        )
    else:
        (tmp_path / folder).mkdir()
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
    (X, y), (X_test, y_test) = datasets.load_cifar10(tmp_path, "uint8")
    *train, test = small_batches.values()
    np.testing.assert_array_equal(X, np.concatenate([images for images, _ in train]), strict=True)
    np.testing.assert_array_equal(y, np.concatenate([labels for _, labels in train]), strict=True)
    np.testing.assert_array_equal(X_test, test[0])
    np.testing.assert_array_equal(y_test, test[1])
    assert X_test.flags.writeable
    assert datasets.load_cifar10(tmp_path)[0][0].max() == np.float32(X.max() / 255)


def test_part_of_cifar10(tmp_path, small_batches):
    images, labels = small_batches["data_batch_1"]
    (tmp_path / "data_batch_1.bin").write_bytes(binary(images, labels))
    with pytest.raises(FileNotFoundError, match=r"found data_batch_1\.bin \(read_cifar10_batch"):
        datasets.load_cifar10(tmp_path)
    X, y = datasets.read_cifar10_batch(tmp_path / "data_batch_1.bin", "uint8")
    np.testing.assert_array_equal(X, images)
    np.testing.assert_array_equal(y, labels)
    for name, batch in small_batches.items():
        (tmp_path / f"{name}.bin").write_bytes(binary(*batch))
    (tmp_path / "data_batch_3.bin").write_bytes(binary(images[:2], labels[:2]))
    with pytest.raises(ValueError, match=r"data_batch_3\.bin has 2 images, not 3"):
        datasets.load_cifar10(tmp_path)


class Intruder:
    ran = False

    def __reduce__(self):
        return setattr, (Intruder, "ran", True)


IMAGES, LABELS = bytes_of(2, 3072), np.array([4, 9])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (binary(IMAGES, LABELS)[:-1], "truncated or not a batch of CIFAR-10: it has 6145 bytes"),
        (binary(IMAGES, LABELS + 1), "labels are not all from 0 to 9"),
        (b"", "it has 0 bytes"),
        (pickled(IMAGES, LABELS)[:-100], "damaged, truncated"),
        (pickled(IMAGES, LABELS[:1]), r"pixels have the shape \(2, 3072\), its labels \(1,\)"),
        (pickled(IMAGES[:, :32], LABELS), r"pixels have the shape \(2, 32\)"),
        (pickled(IMAGES, LABELS).replace(b"u1", b"O8"), "is not one of bytes"),
        (pickled(IMAGES, LABELS).replace(struct.pack("<i", 3072), struct.pack("<i", 2**30)), "is not one of bytes"),
        (pickled(IMAGES, LABELS).replace(b"_reconstruct", b"fromfile"), r"asks for numpy\.core\.multiarray\.fromfile"),
        (pickle.dumps(Intruder(), 2), r"asks for (__builtin__|builtins)\.setattr"),
        (pickle.dumps([1], 2), "damaged, truncated or not a batch"),
    ],
)
def test_foreign_and_damaged_batches(tmp_path, content, message):
    path = tmp_path / "batch"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.read_cifar10_batch(path)
    assert str(path) in str(caught.value)
    assert not Intruder.ran


def test_damaged_archive(tmp_path, small_batches):
    path = tmp_path / "cifar-10-binary.tar.gz"
    write_tar(path, {f"{name}.bin": binary(*batch) for name, batch in small_batches.items()})
    whole = path.read_bytes()
    for content in (whole[:100], whole[:-4], b"<html>", whole[:5000] + b"\0" + whole[5001:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz is a damaged, truncated or foreign"):
            datasets.load_cifar10(tmp_path)
    write_tar(path, {"data_batch_1.bin": binary(*small_batches["data_batch_1"])})
    with pytest.raises(ValueError, match=r"it lacks data_batch_2, .*test_batch"):
        datasets.load_cifar10(tmp_path)


def test_members_are_read_within_bounds(tmp_path):
    write_tar(tmp_path / "a.tar.gz", {"a": bytes(600), "b": bytes(600)})
    path = tmp_path / "a.tar.gz"
    assert dict(archives.tar_members(path, "b".__eq__, limit=600, total=600)) == {"b": bytes(600)}
    for limit, total in ((599, 5000), (600, 1199)):
        with pytest.raises(ValueError, match="makes it too large"):
            list(archives.tar_members(path, lambda name: True, limit, total))


# ---- SVHN


def write_svhn(folder: Path, m: int = 4, **changes) -> np.ndarray:
    matlab = pytest.importorskip("scipy.io")
    images = bytes_of(32, 32, 3, m)
    variables = {"X": images, "y": np.array([[1], [9], [10], [2]], np.uint8)} | changes
    for name in ("train_32x32.mat", "test_32x32.mat"):
        matlab.savemat(folder / name, variables, do_compression=name.startswith("train"))
    return images


def test_svhn(tmp_path):
    images = write_svhn(tmp_path)
    (X, y), (X_test, _) = datasets.load_svhn(tmp_path, "uint8")
    np.testing.assert_array_equal(X.reshape(4, 3, 32, 32)[2, 1], images[:, :, 1, 2])
    np.testing.assert_array_equal(X, X_test)
    np.testing.assert_array_equal(y, np.array([1, 9, 0, 2]), strict=True)
    assert X.flags.c_contiguous
    np.testing.assert_array_equal(datasets.load_svhn(tmp_path)[0][0], X.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": np.zeros((32, 32, 3, 5), np.uint8)}, r"X is uint8 \(32, 32, 3, 5\), y \(4, 1\)"),
        ({"X": np.zeros((32, 32, 3, 4))}, "X is float64"),
        ({"X": np.zeros((2, 2), complex)}, "X is not an array of real numbers"),
        ({"y": np.array([[1], [0], [3], [4]], np.uint8)}, "its labels go from 0 to 4"),
        ({"X": "text"}, "X is not an array of real numbers"),
        ({"Y": [1], "y": {"a": 1}}, "y is not an array of real numbers"),
    ],
)
def test_foreign_mat_files(tmp_path, changes, message):
    write_svhn(tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load_svhn(tmp_path)
    assert "train_32x32.mat" in str(caught.value)


def test_damaged_mat_files(tmp_path):
    write_svhn(tmp_path)
    path = tmp_path / "test_32x32.mat"
    whole = path.read_bytes()
    for content in (b"", whole[:50], whole[:200], whole[:-20], b"<!DOCTYPE html>" + bytes(400)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"test_32x32\.mat is damaged, truncated or not a file"):
            datasets.load_svhn(tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks test_32x32\.mat\n"):
        datasets.load_svhn(tmp_path)


def test_checksum_of_a_compressed_array(tmp_path):
    write_svhn(tmp_path)
    packed = tmp_path / "train_32x32.mat"
    whole = packed.read_bytes()
    (size,) = struct.unpack_from("<I", whole, 132)
    checksum = 136 + size - 4
    without = whole[:132] + struct.pack("<I", size - 4) + whole[136:checksum] + whole[136 + size :]
    for content in (without, whole[:checksum] + bytes([whole[checksum] ^ 1]) + whole[checksum + 1 :]):
        packed.write_bytes(content)
        with pytest.raises(ValueError, match=r"train_32x32\.mat is damaged, truncated or not a file"):
            datasets.load_svhn(tmp_path)


def test_a_compressed_array_within_bounds(tmp_path, monkeypatch):
    write_svhn(tmp_path)
    monkeypatch.setattr(svhn, "MAX_ARRAY", 10_000)
    with pytest.raises(ValueError, match=r"train_32x32\.mat is damaged.*: an array asks for 12\d\d\d bytes"):
        datasets.load_svhn(tmp_path)


# ---- IMDB

REVIEWS = {
    "train/pos/2_9.txt": "Good good film, fin\u00e9",
    "train/neg/0_1.txt": "bad film",
    "train/pos/10_8.txt": "a good one",
    "train/neg/2_4.txt": "bad bad",
    "test/pos/0_10.txt": "good unseen",
    "test/neg/1_2.txt": "bad one",
    "train/unsup/0_0.txt": "other words",
    "train/urls_pos.txt": "http",
}


def imdb_members(reviews: dict[str, str] = REVIEWS) -> dict[str, bytes]:
    return {f"aclImdb/{name}": text.encode() for name, text in reviews.items()}


@pytest.mark.parametrize("kind", ["tree", "folder above", "archive", "folder of the archive"])
def test_imdb_wherever_it_is(tmp_path, kind):
    place = tmp_path if kind.startswith("folder") else tmp_path / ("aclImdb" if kind == "tree" else "aclImdb_v1.tar.gz")
    if "archive" in kind:
        write_tar(tmp_path / "aclImdb_v1.tar.gz", imdb_members())
    else:
        for name, content in imdb_members().items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
    (train, y), (test, y_test) = datasets.read_imdb(place)
    assert train == ["bad film", "bad bad", "Good good film, fin\u00e9", "a good one"]
    assert y.tolist() == [0, 0, 1, 1]
    assert test == ["good unseen", "bad one"]
    assert y_test.tolist() == [1, 0]
    assert y.dtype == np.int64


def test_imdb_as_numbers(tmp_path):
    pytest.importorskip("sklearn")
    write_tar(tmp_path / "aclImdb.tar.gz", imdb_members())
    (X, y), (X_test, _) = datasets.load_imdb(tmp_path, "counts")
    assert X.format == "csr"
    assert X.dtype == np.float32
    # the vocabulary of the training part, in alphabetical order: bad, film, finé, good, one
    np.testing.assert_array_equal(X.toarray(), [[1, 1, 0, 0, 0], [2, 0, 0, 0, 0], [0, 1, 1, 2, 0], [0, 0, 0, 1, 1]])
    np.testing.assert_array_equal(X_test.toarray(), [[0, 0, 0, 1, 0], [1, 0, 0, 0, 1]])
    assert len(y) == 4
    (T, _), (T_test, _) = datasets.load_imdb(tmp_path, dtype="float64")
    weights = np.log(5 / 3) + 1, np.log(5 / 2) + 1  # of four training reviews two have "bad", one has "one"
    np.testing.assert_allclose(T_test.toarray()[1, [0, 4]], np.array(weights) / np.hypot(*weights))
    assert T.dtype == np.float64
    assert datasets.load_imdb(tmp_path, max_features=3)[0][0].shape == (4, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weighting": "binary"}, "weighting must be one of tfidf, counts; got 'binary'"),
        ({"max_features": 0}, "max_features must be a positive integer or None, got 0"),
        ({"max_features": 2.5}, "max_features must be"),
        ({"dtype": "uint8"}, "dtype must be float32 or float64, got 'uint8'"),
    ],
)
def test_bad_arguments_of_imdb(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        datasets.load_imdb(tmp_path, **arguments)


def test_damaged_imdb(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="neither a folder aclImdb"):
        datasets.read_imdb(tmp_path)
    path = tmp_path / "aclImdb_v1.tar.gz"
    write_tar(path, imdb_members() | {"aclImdb/train/pos/7_7.txt": b"\xff\xfe"})
    with pytest.raises(ValueError, match=r"aclImdb_v1\.tar\.gz is damaged: aclImdb/train/pos/7_7\.txt is not a text"):
        datasets.read_imdb(path)
    write_tar(path, {name: text for name, text in imdb_members().items() if "test/neg" not in name})
    with pytest.raises(ValueError, match="it lacks reviews in test/neg or test/pos"):
        datasets.read_imdb(path)
    write_tar(path, imdb_members())
    monkeypatch.setattr(imdb, "MAX_REVIEW", 10)
    with pytest.raises(ValueError, match="makes it too large"):
        datasets.read_imdb(path)


# ---- downloads


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder, and the address that it is served at."""
    pytest.importorskip("pooch")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


@pytest.fixture
def served_mnist(server, monkeypatch) -> Path:
    """A small MNIST on a server that its home is replaced by."""
    folder, url = server
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", bytes_of(2, 3, 3))
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", np.array([3, 7], np.uint8))
    files = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in homes.MNIST.files}
    monkeypatch.setattr(homes, "MNIST", replace(homes.MNIST, url=url, files=files))
    return folder


def test_download_into_the_folder_of_all_data(served_mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTNN_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(FileNotFoundError, match="download=True gets the published files from http://127"):
        datasets.load_mnist()
    assert datasets.load_mnist(download=True)[1][1].tolist() == [3, 7]
    found = sorted(path.name for path in (tmp_path / "data" / "mnist").iterdir())
    assert found == sorted(homes.MNIST.files)
    for path in served_mnist.iterdir():
        path.unlink()
    assert datasets.load_mnist(download=True)[0][0].shape == (2, 9)  # nothing is downloaded twice


def test_wrong_downloads_are_not_kept(served_mnist, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    kept = folder / "train-images-idx3-ubyte.gz"
    write_idx(kept, bytes_of(2, 5, 5))
    before = kept.read_bytes()
    (served_mnist / "train-labels-idx1-ubyte.gz").write_bytes(b"<html>not here any more</html>")
    with pytest.raises(ValueError, match=r"http://127.*train-labels-idx1-ubyte\.gz is damaged or not the file"):
        datasets.load_mnist(folder, download=True)
    assert [path.name for path in folder.iterdir()] == [kept.name]
    assert kept.read_bytes() == before


def test_a_failed_download_says_what_to_do(served_mnist, tmp_path, monkeypatch):
    (served_mnist / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(
        ConnectionError, match=r"cannot download http://127.*\(HTTP status 404\): get it .* put it into"
    ):
        datasets.load_mnist(tmp_path / "mine", download=True)
    monkeypatch.setattr(homes, "MNIST", replace(homes.MNIST, url="http://127.0.0.1:9/"))
    with pytest.raises(ConnectionError, match=r"\(ConnectionError\)") as caught:
        datasets.load_mnist(tmp_path / "mine", download=True)
    assert str(tmp_path / "mine") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_checksums_are_md5_sums():
    for home in vars(homes).values():
        if isinstance(home, homes.Home):
            assert home.url.endswith("/")
            assert all(len(bytes.fromhex(md5)) == 16 for md5 in home.files.values())


# ---- extras


@pytest.mark.parametrize(
    ("module", "load", "message"),
    [
        ("pooch", lambda folder: datasets.load_mnist(), r"needs pooch: pip install fastnn-cpu\[data\]"),
        ("pooch", lambda folder: datasets.load_mnist(folder, download=True), r"download=True needs pooch: .*\[data\]"),
        ("sklearn.feature_extraction.text", datasets.load_imdb, r"load_imdb needs scikit-learn: .*\[sklearn\]"),
    ],
)
def test_a_missing_package_is_told_with_its_extra(tmp_path, monkeypatch, module, load, message):
    monkeypatch.delenv("FASTNN_DATA_DIR", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=message):
        load(tmp_path)
