"""The embedded digits, and readers of IDX files against files that the tests write byte by byte."""

from __future__ import annotations

import gzip
import hashlib
import struct
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from fastnn.datasets import load_digits, load_mnist, read_idx

TRAIN, TEST, SIDE = 12, 7, 5
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx_bytes(type_code: int, shape: tuple[int, ...], values: bytes) -> bytes:
    return bytes([0, 0, type_code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values


def uint8_idx(array: np.ndarray) -> bytes:
    return idx_bytes(0x08, array.shape, array.astype(np.uint8).tobytes())


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    shapes = ((TRAIN, SIDE, SIDE), (TRAIN,), (TEST, SIDE, SIDE), (TEST,))
    return {
        name: rng.integers(0, 10 if "labels" in name else 256, shape) for name, shape in zip(NAMES, shapes, strict=True)
    }


@pytest.fixture
def mnist_dir(tmp_path: Path, arrays: dict[str, np.ndarray]) -> Path:
    for name, array in arrays.items():
        (tmp_path / name).write_bytes(uint8_idx(array))
    return tmp_path


# ---- the embedded digits


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float32])
def test_digits_have_the_documented_form(dtype):
    for (X, y), m in zip(load_digits(dtype=dtype), (5000, 1000), strict=True):
        assert X.shape == (m, 784)
        assert X.dtype == np.dtype(dtype)
        assert X.flags.c_contiguous
        assert X.flags.writeable
        assert (X.min(), X.max()) == (0, 1)
        assert y.shape == (m,)
        assert y.dtype == np.int64
        np.testing.assert_array_equal(np.bincount(y), np.full(10, m // 10))
        assert np.count_nonzero(np.diff(y)) > 0.8 * m, "the digits are not shuffled"


def test_digits_default_to_float32():
    assert load_digits()[0][0].dtype == np.float32


def test_no_image_occurs_twice():
    (X_train, _), (X_test, _) = load_digits()
    assert len(np.unique(np.concatenate([X_train, X_test]), axis=0)) == 6000


def test_digits_are_the_ones_that_the_script_makes():
    digest = hashlib.sha256()
    for X, y in load_digits():
        digest.update(np.rint(X * 255).astype(np.uint8).tobytes())
        digest.update(y.astype(np.uint8).tobytes())
    assert digest.hexdigest() == "786c04d050768ae92385003c92cc09317864c752aefbd9ae8023e16bc83abb1c"


def test_labels_fit_the_images():
    """The nearest class mean recognises most test digits, so labels and images are in the same order."""
    (X_train, y_train), (X_test, y_test) = load_digits("float64")
    means = np.stack([X_train[y_train == digit].mean(axis=0) for digit in range(10)])
    distance = (means**2).sum(axis=1) - 2 * X_test @ means.T
    assert np.mean(distance.argmin(axis=1) == y_test) > 0.75


def test_digits_are_small_unpickled_and_licensed():
    folder = files("fastnn.datasets")
    assert len(folder.joinpath("digits.npz").read_bytes()) < 1_200_000
    with folder.joinpath("digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as npz:
        assert {npz[name].dtype for name in npz.files} == {np.dtype(np.uint8)}
    assert "Copyright (c) 2015 Juan Cazala" in folder.joinpath("LICENSE-mnist.txt").read_text(encoding="utf-8")


def test_each_call_returns_arrays_of_its_own():
    load_digits()[0][0][:] = 7
    assert load_digits()[0][0].max() == 1


def test_importing_the_datasets_needs_numpy_alone():
    heavy = "numba", "scipy", "sklearn", "matplotlib", "pandas"
    code = f"import sys, fastnn.datasets as d; d.load_digits(); print([m for m in {heavy} if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "[]"


@pytest.mark.parametrize("dtype", ["float16", "int8", "int64", ">f4", object, None, "no such type"])
def test_unsupported_dtype(dtype, tmp_path):
    for load in (load_digits, lambda dtype: load_mnist(tmp_path, dtype)):
        with pytest.raises(ValueError, match="dtype must be float32, float64 or uint8"):
            load(dtype)


# ---- IDX files


def test_hand_written_idx(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\x00\x00\x08\x02\x00\x00\x00\x02\x00\x00\x00\x03\x01\x02\x03\xfd\xfe\xff")
    values = read_idx(path)
    np.testing.assert_array_equal(values, [[1, 2, 3], [253, 254, 255]])
    assert values.dtype == np.uint8
    assert values.flags.writeable


@pytest.mark.parametrize(
    ("type_code", "stored", "values"),
    [
        (0x08, ">u1", [0, 1, 255]),
        (0x09, ">i1", [-128, 0, 127]),
        (0x0B, ">i2", [-32768, 1, 32767]),
        (0x0C, ">i4", [-(2**31), 1, 2**31 - 1]),
        (0x0D, ">f4", [-1.5, 0.25, np.inf]),
        (0x0E, ">f8", [-1.5, 1 / 3, np.inf]),
    ],
)
def test_every_value_type(tmp_path, type_code, stored, values):
    path = tmp_path / "a"
    path.write_bytes(idx_bytes(type_code, (3, 1), np.array(values, stored).tobytes()))
    result = read_idx(str(path))
    assert result.dtype == np.dtype(stored[1:])
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, np.array(values)[:, None])


def test_gzip_is_told_by_content_not_by_name(tmp_path):
    content = uint8_idx(np.arange(6).reshape(2, 3))
    (tmp_path / "plain.gz").write_bytes(content)
    (tmp_path / "packed").write_bytes(gzip.compress(content))
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz"), read_idx(tmp_path / "packed"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_truncated_anywhere(tmp_path, pack):
    content = pack(uint8_idx(np.arange(24).reshape(2, 3, 4)))
    path = tmp_path / "damaged"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="damaged"):  # the name of the file
            read_idx(path)


def test_damage_in_a_gzip_file_is_an_error_or_harmless(tmp_path):
    values = np.arange(24).reshape(2, 3, 4)
    content = gzip.compress(uint8_idx(values))
    path = tmp_path / "a.gz"
    errors = []
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :])
        try:
            np.testing.assert_array_equal(read_idx(path), values)
        except ValueError as error:
            errors.append(str(error))
    assert all("a.gz" in error for error in errors)
    assert len(errors) >= len(content) - 10  # a flip in the gzip header's time stamp does no harm


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file: it has 0 bytes"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not an IDX file: it starts with the bytes 89 50 4e 47"),
        (b"<!DOCTYPE html><html>404 not found</html>", "not an IDX file"),
        (bytes(100), "not an IDX file"),
        (b"\0\0\x0a\x01" + bytes(100), "not an IDX file"),
        (b"\0\0\x08\x00\x05", "not an IDX file"),
        (b"\0\0\x08\xff" + bytes(2000), "not an IDX file"),
        (b"\x01\0\x08\x01\0\0\0\x01\x05", "not an IDX file"),
        (b"\0\0\x08\x03\0\0\0\x01", "ends within its header"),
        (idx_bytes(0x08, (2, 3), bytes(5)), r"truncated: its header \(2, 3\) asks for 18 bytes, it has 17"),
        (idx_bytes(0x08, (2, 3), bytes(7)), r"too long: its header \(2, 3\) asks for 18 bytes, it has more"),
        (idx_bytes(0x0D, (2, 3), bytes(6)), "truncated"),
        (idx_bytes(0x0E, (2**32 - 1,) * 8, bytes(6)), "truncated"),
        (idx_bytes(0x08, (0, 28, 28), b""), r"holds no values: the sizes in its header are \(0, 28, 28\)"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_foreign_and_damaged_files(tmp_path, content, message, pack):
    path = tmp_path / "damaged"
    path.write_bytes(pack(content))
    with pytest.raises(ValueError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_missing_idx_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        read_idx(tmp_path / "nothing-here")


# ---- MNIST's four files


def assert_is(loaded, arrays: dict[str, np.ndarray], dtype) -> None:
    flat = [array for part in loaded for array in part]
    for found, (name, stored) in zip(flat, arrays.items(), strict=True):
        expected = stored.astype(np.int64)
        if "images" in name:
            expected = (stored.reshape(len(stored), -1) / np.array(255, dtype)).astype(dtype)
        np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("dotted", [False, True], ids=["dash", "dot"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_all_names_of_the_files(tmp_path, arrays, packed, dotted, dtype):
    for name, array in arrays.items():
        name = name.replace("-idx", ".idx") if dotted else name
        content = uint8_idx(array)
        (tmp_path / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
    assert_is(load_mnist(tmp_path, dtype=dtype), arrays, dtype)
    assert_is(load_mnist(str(tmp_path), dtype), arrays, dtype)


def test_mnist_defaults_to_float32(mnist_dir):
    assert load_mnist(mnist_dir)[1][0].dtype == np.float32


def test_a_folder_with_the_name_of_a_file_is_passed_over(mnist_dir, arrays):
    plain = mnist_dir / NAMES[0]
    content = plain.read_bytes()
    plain.unlink()
    plain.mkdir()
    (mnist_dir / "train-images.idx3-ubyte").write_bytes(content)
    assert_is(load_mnist(mnist_dir), arrays, "float32")


def test_home_is_expanded(mnist_dir, arrays, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(mnist_dir.parent))
    assert_is(load_mnist(f"~/{mnist_dir.name}"), arrays, "float32")


def test_missing_files_are_named(mnist_dir):
    (mnist_dir / NAMES[1]).unlink()
    (mnist_dir / NAMES[2]).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load_mnist(mnist_dir)
    message = str(caught.value)
    assert str(mnist_dir) in message
    assert "train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz or train-labels.idx1-ubyte or" in message
    assert "t10k-images.idx3-ubyte.gz" in message
    assert "train-images" not in message


@pytest.mark.parametrize("what", ["nowhere", NAMES[0]])
def test_data_dir_that_is_no_folder(mnist_dir, what):
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        load_mnist(mnist_dir / what)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (NAMES[0], np.zeros((TRAIN - 1, SIDE, SIDE)), rf"holds {TRAIN - 1} images but .* {TRAIN} labels"),
        (NAMES[3], np.zeros(TEST + 1), rf"holds {TEST} images but .* {TEST + 1} labels"),
        (NAMES[0], np.zeros(TRAIN), "does not hold images: expected 3-dimensional uint8, found 1-dimensional"),
        (NAMES[1], np.zeros((TRAIN, 2, 2)), "does not hold labels: expected 1-dimensional uint8, found 3-dimensional"),
        (NAMES[2], np.zeros((TEST, SIDE, SIDE + 1)), "have 25 pixels, those in .* 30"),
    ],
)
def test_files_that_do_not_belong_together(mnist_dir, name, array, message):
    (mnist_dir / name).write_bytes(uint8_idx(array))
    with pytest.raises(ValueError, match=message) as caught:
        load_mnist(mnist_dir)
    assert name in str(caught.value)


def test_pixels_of_another_type(mnist_dir):
    (mnist_dir / NAMES[0]).write_bytes(idx_bytes(0x0D, (TRAIN, 1, 1), bytes(4 * TRAIN)))
    with pytest.raises(ValueError, match="found 3-dimensional float32"):
        load_mnist(mnist_dir)


def test_damaged_file_among_the_four(mnist_dir):
    path = mnist_dir / NAMES[2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{NAMES[2]} is truncated"):
        load_mnist(mnist_dir)
