"""Streams: samples and targets that come in chunks, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from fastnn._checks import check_integer
from fastnn._kernels.contract import Data, Integers, Samples
from fastnn._kernels.reference import take
from fastnn._kernels.rows import Rows
from fastnn.architecture import Architecture
from fastnn.data.arrays import as_numbers, as_samples
from fastnn.data.blocks import WINDOW_BYTES, even_edges, rows_in
from fastnn.data.feeds import Buffer, Feed, ReadError, ahead
from fastnn.data.labels import Classes, as_classes
from fastnn.data.scaling import Standardizer
from fastnn.data.targets import Given, as_given
from fastnn.shuffling import WindowOrder, window_order

Chunk: TypeAlias = tuple[npt.ArrayLike, ...]


class Stream:
    """Samples that come in chunks, (X, y) each: from files, a database, a generator of other samples in each epoch.

    ``fit(stream)`` takes them, and so do ``predict``, ``score``, ``loss`` and ``validation_data=stream``. A window of
    rows is in memory at a time, and a thread takes the next chunks from the stream meanwhile. Chunks come in the
    stream's own order; rows are shuffled within windows.

    Parameters
    ----------
    chunks : iterable or callable
        Of (X, y), with X (rows, n_in) of one type of numbers and one width, y as ``fit`` takes it, and any number of
        rows. A list, a loader and anything else that gives a new iterator each time can be read again and again, and so
        can a callable that returns an iterable; an iterator, such as a generator, can be read once, for one epoch.
    samples : int, optional
        All rows of a pass; they are counted, in a pass of their own, where this is not given. An iterator needs it.
    classes : array_like, (K,), optional
        The labels. Without them, those of the network's last training; then, where ``samples`` is not given, those that
        are found while they are counted; then 0 .. K - 1.
    window_rows : int, optional
        Rows that are shuffled together; by default 64 MB of them. Twice as many are in memory. If all samples fit into
        one window, the order of an epoch is that of samples in memory.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn
    >>> def chunks():
    ...     rng = np.random.default_rng(0)
    ...     for _ in range(5):
    ...         X = rng.standard_normal((200, 3))
    ...         yield X, X.sum(axis=1)
    >>> net = fastnn.Network((3, 1), loss="squared_error", rng=0)
    >>> history = net.fit(fastnn.data.Stream(chunks, samples=1000), epochs=30)
    >>> net.score(fastnn.data.Stream(chunks)) > 0.9
    True
    """

    def __init__(
        self,
        chunks: Iterable[Chunk] | Callable[[], Iterable[Chunk]],
        samples: int | None = None,
        classes: npt.ArrayLike | None = None,
        window_rows: int | None = None,
    ) -> None:
        if not callable(chunks) and not hasattr(chunks, "__iter__"):
            raise TypeError(f"chunks must be an iterable of (X, y) or a callable; got {type(chunks).__name__}")
        self.once = not callable(chunks) and iter(chunks) is chunks
        if samples is not None:
            check_integer("samples", samples, low=1)
        elif self.once:
            raise ValueError("samples must be given for an iterator, which can be read once; got None")
        self.window_rows = None if window_rows is None else check_integer("window_rows", window_rows, low=1)
        self._chunks, self._classes, self._samples = chunks, classes, samples
        self._rest: Iterator[Any] | None = iter(chunks) if self.once else None  # type: ignore[arg-type]

    def __repr__(self) -> str:
        """Return what is known of it."""
        return f"<stream of {self._samples or 'uncounted'} samples{', once' * self.once}>"

    @property
    def samples(self) -> int:
        """All rows of a pass; they are counted when this is first asked for."""
        if self._samples is None:
            self._count(learns=False)
        return self._samples or 0

    def order(self, rng: np.random.Generator) -> Integers:
        """Return the rows of a pass in the order in which an epoch visits them, (m,); see `Blocks.order`."""
        return self.as_samples(None, np.dtype(np.float32), False, "X").order(rng).rows()

    def _count(self, learns: bool) -> npt.NDArray[Any] | None:
        """Count the rows of a pass; if it ``learns``, return the labels that are among the targets, if they are any."""
        count, labels = 0, []
        for number, chunk in enumerate(self.chunks()):
            X, y = _parts(chunk, number)
            count += len(as_numbers(X, f"X of chunk {number}"))
            found = np.asarray(y) if learns else np.empty(0)
            if found.ndim == 1 or found.shape[1:] == (1,):
                labels.append(np.unique(found))
        self.see(count)
        return np.unique(np.concatenate(labels)) if learns and labels else None

    def see(self, samples: int) -> None:
        """Take note of the rows of a pass.

        Raises
        ------
        ReadError
            If there are none, or not as many as there must be.
        """
        if samples == 0:
            raise ReadError("the stream is empty: expected at least one chunk of (X, y)")
        if self._samples not in (None, samples):
            raise ReadError(f"the stream must have {self._samples} samples in each pass; it had {samples}")
        self._samples = samples

    def first(self) -> object:
        """Return the first chunk; it is not lost."""
        chunks = self.chunks()
        chunk = next(chunks, None)
        if chunk is None:
            raise ValueError("the stream is empty: expected at least one chunk of (X, y)")
        if self.once:
            self._rest = chain([chunk], chunks)
        else:
            close(chunks)
        return chunk

    def chunks(self) -> Iterator[object]:
        """Return the chunks, of an iterator those that are left."""
        if not self.once:
            return iter(self._chunks() if callable(self._chunks) else self._chunks)
        if self._rest is None:
            raise ValueError("the stream is of an iterator, which can be read once, and has been")
        found, self._rest = self._rest, None
        return found

    def classes_for(self, outputs: int, known: Classes | None) -> Classes | None:
        """Return the classes that a training has; None for 0 .. K - 1, and for targets that are no labels."""
        labels = self._classes
        if labels is None and known is None and self._samples is None:
            labels = self._count(learns=True)
        return known if labels is None else as_classes(labels, outputs, known, "classes", learns=True)[1]

    def as_samples(self, width: int | None, dtype: np.dtype[Any], check_finite: bool, name: str) -> StreamFeed:
        """Return the samples alone; see ``arrays.as_samples``."""
        return StreamFeed(self, self.first(), width, dtype, check_finite, name)

    def as_given(
        self,
        y: object,
        architecture: Architecture,
        check_finite: bool,
        names: tuple[str, str],
        classes: Classes | None,
        scale: Standardizer | None,
    ) -> Given:
        """Return samples and targets; see ``targets.as_given``."""
        if y is not None:
            raise ValueError(f"{names[1]} must be None for a stream, whose chunks are (X, y); got {type(y).__name__}")
        chunk = self.first()
        feed = StreamFeed(self, chunk, architecture.sizes[0], architecture.dtype, check_finite, names[0])
        feed.targets = _Targets(architecture, names[1], classes, scale)
        first = feed.given(0, chunk)
        feed.labelled = first.data.labels.size > 0
        return Given(Data(cast(Any, feed), first.data.labels[:0], first.data.targets[:0]), None, first.standardised)


class _Targets(NamedTuple):
    """What targets of chunks must be."""

    architecture: Architecture
    name: str
    classes: Classes | None
    scale: Standardizer | None


class StreamFeed(Feed):
    """A stream, as a network takes it."""

    targets: _Targets | None = None

    def __init__(
        self, stream: Stream, first: object, width: int | None, dtype: np.dtype[Any], check_finite: bool, name: str
    ) -> None:
        self.stream, self.dtype, self.check_finite, self.name = stream, dtype, check_finite, name
        self.once, self._width = stream.once, width
        rows = stored(self._samples_of(first, 0))
        self._width, self.format = rows.shape[1], rows.dtype
        self.window_rows = stream.window_rows or rows_in(WINDOW_BYTES, rows.shape[1], self.format)

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
        X, _ = _parts(chunk, number)
        return as_samples(X, self._width, self.dtype, self.check_finite, f"{self.name} of chunk {number}")

    def _scaled(self, X: Samples) -> Samples:
        return self.as_kernels_read(stored(X))

    def given(self, number: int, chunk: object) -> Given:
        """Return a chunk, checked."""
        assert self.targets is not None
        architecture, name, classes, scale = self.targets
        X, y = _parts(chunk, number)
        names = f"{self.name} of chunk {number}", f"{name} of chunk {number}"
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
            rows = stored(part.X)
            if rows.dtype != out.dtype:
                name = f"{self._feed.name} of chunk {self._number - 1}"
                raise ReadError(f"{name} must be {out.dtype}, as in the first chunk; got {rows.dtype}")
            out[begin : begin + len(rows)] = rows
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


def learn_classes(
    X: object, y: npt.ArrayLike | None, outputs: int, known: Classes | None
) -> tuple[npt.ArrayLike | None, Classes | None]:
    """Return the targets of a training's classification, and the classes; see `as_classes`."""
    if isinstance(X, Stream):
        return y, X.classes_for(outputs, known)
    return as_classes(cast(npt.ArrayLike, y), outputs, known, learns=True)


def stored(X: Samples) -> Buffer:
    """Return the rows of a chunk, as they are stored."""
    if isinstance(X, np.ndarray):
        return X
    if not isinstance(X, Rows):
        raise TypeError(f"X of a chunk must be an array; got {type(X).__name__}")
    return X.stored()


def _parts(chunk: object, number: int) -> tuple[Any, Any]:
    """Return X and y."""
    if isinstance(chunk, tuple | list) and len(chunk) == 2:
        return chunk[0], chunk[1]
    parts = f" of {len(chunk)}" if isinstance(chunk, tuple | list) else ""
    raise TypeError(f"chunk {number} must be (X, y); got {type(chunk).__name__}{parts}")


def close(chunks: Iterator[Any]) -> None:
    """End a generator, which may have a file open."""
    if isinstance(chunks, Generator):
        chunks.close()
