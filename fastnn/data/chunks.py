"""The chunks of a stream as a network takes them: checked, and put together to windows."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Data, Samples
from fastnn._kernels.reference import take
from fastnn._kernels.rows import Rows
from fastnn.architecture import Architecture
from fastnn.data.arrays import as_numbers, as_samples
from fastnn.data.blocks import WINDOW_BYTES, WINDOW_ROWS
from fastnn.data.feeds import Buffer, Feed, ReadError, ahead
from fastnn.data.labels import Classes
from fastnn.data.scaling import Standardizer
from fastnn.data.sources import even_edges, rows_in
from fastnn.data.targets import Given, as_given
from fastnn.shuffling import WindowOrder, window_order


class Chunks(Protocol):
    """What gives the chunks: a `Stream`."""

    once: bool
    window_rows: int | None

    @property
    def samples(self) -> int:
        """All rows of a pass."""

    def chunks(self) -> Iterator[object]:
        """Return the chunks of a pass."""

    def see(self, samples: int) -> None:
        """Take note of the rows of a pass; refuse another number than before."""


class TargetsOfChunks(NamedTuple):
    """What targets of chunks must be."""

    architecture: Architecture
    name: str
    classes: Classes | None
    scale: Standardizer | None


class StreamFeed(Feed):
    """A stream, as a network takes it."""

    targets: TargetsOfChunks | None = None
    _type: np.dtype[Any] | None = None  # of all chunks, as they are given

    def __init__(
        self, stream: Chunks, first: object, width: int | None, dtype: np.dtype[Any], check_finite: bool, name: str
    ) -> None:
        self.stream, self.dtype, self.check_finite, self.name = stream, dtype, check_finite, name
        self.once, self._width = stream.once, width
        rows = stored(self._samples_of(first, 0))
        self._width, self.format = rows.shape[1], rows.dtype
        self.window_rows = stream.window_rows or min(WINDOW_ROWS, rows_in(WINDOW_BYTES, rows.shape[1], self.format))

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """The samples, and the numbers of one."""
        assert self._width is not None
        return self.stream.samples, self._width

    def order(self, rng: np.random.Generator | None) -> WindowOrder:
        """Return the order of an epoch."""
        return window_order(even_edges(len(self), self.window_rows), self.window_rows, rng, in_turn=True)

    def reader(self, data: Data) -> _StreamReader:
        """Return what reads the windows of an epoch."""
        return _StreamReader(self, data)

    def pieces(self, given: Given) -> Generator[Given, None, None]:
        """Yield parts of `Given`, chunk by chunk."""
        return ahead(self._pieces(given))

    def _pieces(self, given: Given) -> Generator[Given, None, None]:
        at, weights = 0, given.data.weights
        for number, chunk in enumerate(self.stream.chunks()):
            found = self.given(number, chunk)
            count = len(found.data.X)
            own = found.data._replace(X=self._scaled(found.data.X), weights=weights[at : at + count])
            at += count
            yield found._replace(data=own)
        self.stream.see(at)

    def samples(self) -> Generator[Samples, None, None]:
        """Yield the samples alone, chunk by chunk."""
        return ahead(self._samples())

    def _samples(self) -> Generator[Samples, None, None]:
        for number, chunk in enumerate(self.stream.chunks()):
            yield self._scaled(self._samples_of(chunk, number))

    def _samples_of(self, chunk: object, number: int) -> Samples:
        X, name = self._numbers(parts_of(chunk, number)[0], number)
        return as_samples(X, self._width, self.dtype, self.check_finite, name)

    def _numbers(self, X: npt.ArrayLike, number: int) -> tuple[npt.ArrayLike, str]:
        """Return the samples of a chunk, of the first one's type, and their name."""
        name = f"{self.name} of chunk {number}"
        if hasattr(X, "as_rows"):
            return X, name
        found = as_numbers(X, name)
        self._type = self._type or found.dtype
        if found.dtype != self._type:
            raise ValueError(f"{name} must be {self._type}, as in the first chunk; got {found.dtype}")
        return found, name

    def _scaled(self, X: Samples) -> Samples:
        return self.as_kernels_read(stored(X))

    def given(self, number: int, chunk: object) -> Given:
        """Return a chunk, checked."""
        assert self.targets is not None
        architecture, name, classes, scale = self.targets
        X, y = parts_of(chunk, number)
        X, own = self._numbers(X, number)
        names = own, f"{name} of chunk {number}"
        given = as_given(X, y, architecture, self.check_finite, names, classes, scale)
        if number and (given.data.labels.size > 0) != self.labelled:
            raise ValueError(f"{names[1]} must be {'labels' if self.labelled else 'a matrix'}, as in the first chunk")
        return given


class _StreamReader:
    """Reads the windows of an epoch."""

    def __init__(self, feed: StreamFeed, data: Data) -> None:
        self._feed, self._weights = feed, data.weights
        self._chunks = feed.stream.chunks()
        self._number, self._at = 0, 0  # of the next chunk, and of the next row
        self._left: Data | None = None  # of the last chunk

    def read(self, spans: tuple[tuple[int, int], ...], out: Buffer) -> Data:
        """Write the rows of the spans, which come in turn, into ``out``, and return them with their targets."""
        ((first, last),) = spans
        while self._at < first:
            self._take(first - self._at)
        found: list[Data] = []
        while self._at < last:
            begin, part = self._at - first, self._take(last - self._at)
            with np.errstate(over="ignore"):
                out[begin : begin + len(part.X)] = stored(part.X)
            found.append(part)
        labels, targets = (np.concatenate([part[i] for part in found]) for i in (1, 2))
        return Data(out, labels, targets, self._weights[first:last])

    def _take(self, count: int) -> Data:
        """Return at most so many rows that come next."""
        if self._left is None:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._feed.stream.see(self._at)
            self._left = self._feed.given(self._number, chunk).data
            self._number += 1
        data = self._left
        part, rest = (take(data, rows) for rows in (slice(0, count), slice(count, None)))
        self._left = rest if len(rest.X) else None
        self._at += len(part.X)
        return part

    def end(self) -> None:
        """Refuse rows that are left."""
        if self._left is not None or next(self._chunks, None) is not None:
            raise ReadError(f"the stream must have {self._at} samples in each pass; it has more")

    def close(self) -> None:
        """Close a generator."""
        close(self._chunks)


def stored(X: Samples) -> Buffer:
    """Return the rows of a chunk, as they are stored."""
    if isinstance(X, np.ndarray):
        return X
    if not isinstance(X, Rows):
        raise TypeError(f"X of a chunk must be an array; got {type(X).__name__}")
    return X.stored()


def parts_of(chunk: object, number: int) -> tuple[Any, Any]:
    """Return X and y."""
    if isinstance(chunk, tuple | list) and len(chunk) == 2:
        return chunk[0], chunk[1]
    parts = f" of {len(chunk)}" if isinstance(chunk, tuple | list) else ""
    raise TypeError(f"chunk {number} must be (X, y); got {type(chunk).__name__}{parts}")


def close(chunks: Iterator[Any]) -> None:
    """End a generator, which may have a file open."""
    if isinstance(chunks, Generator):
        chunks.close()
