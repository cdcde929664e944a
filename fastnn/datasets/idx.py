"""IDX, the file format of MNIST: a header of big-endian sizes, then the values.

====================  =====================================================
bytes                 meaning
====================  =====================================================
0, 1                  zero
2                     type of the values (`VALUE_TYPES`)
3                     number of dimensions, d
4 to 4 + 4d           the d sizes, 32-bit unsigned, big-endian
the rest              the values, big-endian, the last index changes fastest
====================  =====================================================
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from io import BufferedIOBase
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.datasets.archives import MAX_DEFLATION

VALUE_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 8  # more is not data but another format that happens to start with two zero bytes
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | PathLike[str]) -> NDArray[Any]:
    """Read one IDX file, gzipped or not.

    Whether a file is gzipped is told by its content, not by its name.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    ndarray
        The values, in the file's type and shape and the machine's byte order; a new array, writable.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is damaged, truncated, too long, empty or not an IDX file; the message says which.

    Examples
    --------
    >>> from pathlib import Path
    >>> from fastnn.datasets import read_idx
    >>> written = Path("three.idx").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    >>> read_idx("three.idx")
    array([7, 8, 9], dtype=uint8)
    """
    path = Path(path)
    with path.open("rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        file.seek(0)
        if not packed:
            return _read_values(file, path, path.stat().st_size)
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read_values(unpacked, path, path.stat().st_size * MAX_DEFLATION)
        except (EOFError, gzip.BadGzipFile, zlib.error, struct.error) as error:
            raise ValueError(f"{path} is a damaged or truncated gzip file: {error}") from error


def _read_values(file: BufferedIOBase, path: Path, most: int) -> NDArray[Any]:
    """Read header and values; the file holds no more than `most` bytes, whatever the header says."""
    dtype, shape = _read_header(file, path)
    start, count = 4 + 4 * len(shape), math.prod(shape)
    expected = start + count * dtype.itemsize
    content = file.read(min(expected, most) + 1 - start)  # one byte more: the end is looked at, too
    found = start + len(content)
    if found != expected:
        problem, rest = ("truncated", found) if found < expected else ("too long", "more")
        raise ValueError(f"{path} is {problem}: its header {shape} asks for {expected} bytes, it has {rest}")
    values = np.frombuffer(content, dtype, count).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _read_header(file: BufferedIOBase, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The values' type and the sizes."""
    head = file.read(4)
    if len(head) < 4:
        raise ValueError(f"{path} is not an IDX file: it has {len(head)} bytes, less than the shortest header")
    dimensions = head[3]
    if head[:2] != b"\0\0" or head[2] not in VALUE_TYPES or not 1 <= dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"{path} is not an IDX file: it starts with the bytes {head.hex(' ')}")
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise ValueError(f"{path} is truncated: it ends within its header of {dimensions} sizes")
    shape = struct.unpack(f">{dimensions}I", sizes)
    if 0 in shape:
        raise ValueError(f"{path} holds no values: the sizes in its header are {shape}")
    return np.dtype(VALUE_TYPES[head[2]]), shape
