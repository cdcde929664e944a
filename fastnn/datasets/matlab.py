"""MATLAB 5, the file format of SVHN: numeric arrays out of .mat files.

After 128 bytes, of which the last two tell the order of bytes, come elements: a tag (two 32-bit words: type and size),
then the content. An element of type `COMPRESSED` holds another one, deflated; one of type `MATRIX` holds elements
itself: flags, sizes, name, values, each filled up to 8 bytes. A content of up to 4 bytes may lie in the tag's second
word, whose size then is in the upper half of the first.

SciPy reads more of this format, but damaged files can end its process.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = 128
ORDERS = {b"IM": "<", b"MI": ">"}
MATRIX, COMPRESSED = 14, 15
VALUE_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
NUMERIC_CLASSES = range(6, 16)  # of arrays; those below are cells, structures, objects, text and sparse ones
CLASS_BITS, COMPLEX_BIT = 0xFF, 0x800


def read_matlab(path: Path, names: Collection[str], limit: int) -> dict[str, NDArray[Any]]:
    """Read the numeric arrays of these names, in the types that their values are stored in.

    Parameters
    ----------
    path : Path
        A file of MATLAB 5 to 7.2.
    names : collection of str
        Of the arrays; others are passed over.
    limit : int
        The most bytes that one compressed array may unpack to.

    Raises
    ------
    ValueError
        The file is damaged, truncated, something else, or lacks one of the arrays.
    """
    data = path.read_bytes()
    try:
        arrays = dict(_arrays(data, names, limit))
    except (ValueError, struct.error, zlib.error) as error:
        raise ValueError(f"{path} is damaged, truncated or not a file of MATLAB 5: {error}") from error
    if missing := [name for name in names if name not in arrays]:
        raise ValueError(f"{path} has no array {' or '.join(missing)}")
    return arrays


def _arrays(data: bytes, names: Collection[str], limit: int) -> Iterator[tuple[str, NDArray[Any]]]:
    if data[HEADER - 2 : HEADER] not in ORDERS:
        raise ValueError(f"it starts with {data[:16]!r}")
    order = ORDERS[data[HEADER - 2 : HEADER]]
    start = HEADER
    while start < len(data):
        kind, content, end = _element(data, start, order)
        if kind == COMPRESSED:
            end = start + 8 + len(content)  # the only kind that is not filled up
            kind, content, _ = _element(_inflated(content, order, limit), 0, order)
        if kind == MATRIX:
            name, array = _array(content, order, names)
            if array is not None:
                yield name, array
        start = end


def _element(data: bytes | memoryview, start: int, order: str) -> tuple[int, memoryview, int]:
    """Type and content of an element, and where the next one begins."""
    first, size = struct.unpack_from(f"{order}2I", data, start)
    begin = start + 8
    if small := first >> 16:
        first, size, begin = first & 0xFFFF, small, start + 4
    end = begin + size
    if end > len(data) or (small and size > 4):
        raise ValueError(f"an element at byte {start} asks for {size} bytes")
    return first, memoryview(data)[begin:end], end + -(end - start) % 8


def _inflated(content: memoryview, order: str, limit: int) -> bytes:
    """The element that a compressed one holds, no larger than its tag says."""
    _, size = struct.unpack(f"{order}2I", zlib.decompressobj().decompress(content, 8))
    if size > limit:
        raise ValueError(f"an array asks for {size} bytes")
    stream = zlib.decompressobj()
    data = stream.decompress(content, 8 + size + 1)
    if len(data) != 8 + size or not stream.eof:
        raise ValueError(f"a compressed array of {8 + size} bytes is not whole")
    return data


def _array(content: memoryview, order: str, names: Collection[str]) -> tuple[str, NDArray[Any] | None]:
    """Name and values of an array; None for those that are not asked for."""
    _, flags, start = _element(content, 0, order)
    _, sizes, start = _element(content, start, order)
    _, label, start = _element(content, start, order)
    name = bytes(label).decode("latin-1")
    if name not in names:
        return name, None
    (bits,) = struct.unpack_from(f"{order}I", flags)
    kind, values, _ = _element(content, start, order)
    if bits & CLASS_BITS not in NUMERIC_CLASSES or bits & COMPLEX_BIT or kind not in VALUE_TYPES:
        raise ValueError(f"{name} is not an array of real numbers")
    dtype = np.dtype(order + VALUE_TYPES[kind])
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    if min(shape) < 0 or math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError(f"{name} of the sizes {shape} has {len(values)} bytes of values")
    array = np.frombuffer(values, dtype).reshape(shape, order="F")
    return name, array.astype(dtype.newbyteorder("="), copy=False)
