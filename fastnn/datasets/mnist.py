"""MNIST, and the sets published in its format, from the official files."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnn.datasets.idx import read_idx
from fastnn.datasets.images import Split, as_inputs, input_dtype

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def load_mnist(data_dir: str | PathLike[str], dtype: DTypeLike = "float32") -> tuple[Split, Split]:
    """Load MNIST, or a set in the same format such as Fashion-MNIST, from its four files.

    Parameters
    ----------
    data_dir : path-like
        Folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
        t10k-labels-idx1-ubyte, each as published (.gz) or unpacked; unpackers that write
        train-images.idx3-ubyte are understood.
    dtype : {"float32", "float64"}
        Type of the pixels.

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        X: pixels from 0 (background) to 1 (ink), row by row; (60000, 784) and (10000, 784) for MNIST.
        y: the labels, int64. The same form as from `load_digits`.

    Raises
    ------
    FileNotFoundError
        A file is missing; the message lists the names that were looked for.
    ValueError
        A file is damaged, or the files do not belong together.
    """
    dtype = input_dtype(dtype)
    train_images, train_labels, test_images, test_labels = _find_files(Path(data_dir).expanduser())
    train = _read_split(train_images, train_labels, dtype)
    test = _read_split(test_images, test_labels, dtype)
    if train[0].shape[1] != test[0].shape[1]:
        raise ValueError(
            f"the images in {train_images} have {train[0].shape[1]} pixels, those in {test_images} {test[0].shape[1]}"
        )
    return train, test


def _find_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    found: list[Path] = []
    missing: list[str] = []
    for name in FILES:
        dotted = name.replace("-idx", ".idx")
        candidates = [name, name + ".gz", dotted, dotted + ".gz"]
        # Some unpackers make a folder of the same name, so only files count.
        present = [folder / candidate for candidate in candidates if (folder / candidate).is_file()]
        if present:
            found.append(present[0])
        else:
            missing.append(" or ".join(candidates))
    if missing:
        raise FileNotFoundError(f"{folder} lacks these files:\n  " + "\n  ".join(missing))
    return found


def _read_split(images_path: Path, labels_path: Path, dtype: np.dtype[Any]) -> Split:
    images = _read_bytes(images_path, 3, "images")
    labels = _read_bytes(labels_path, 1, "labels")
    if len(images) != len(labels):
        raise ValueError(f"{images_path} holds {len(images)} images but {labels_path} {len(labels)} labels")
    return as_inputs(images, dtype), labels.astype(np.int64)


def _read_bytes(path: Path, dimensions: int, content: str) -> NDArray[np.uint8]:
    values = read_idx(path)
    if values.dtype != np.uint8 or values.ndim != dimensions:
        raise ValueError(
            f"{path} does not hold {content}: expected {dimensions}-dimensional uint8, "
            f"found {values.ndim}-dimensional {values.dtype}"
        )
    return values
