"""Streams: samples and targets that come in chunks, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from fastnn._checks import check_integer
from fastnn._kernels.contract import Data, Integers
from fastnn.architecture import Architecture
from fastnn.data.arrays import as_numbers
from fastnn.data.chunks import StreamFeed, TargetsOfChunks, close, parts_of
from fastnn.data.feeds import ReadError
from fastnn.data.labels import Classes, as_classes
from fastnn.data.scaling import Standardizer
from fastnn.data.targets import Given

Chunk: TypeAlias = tuple[npt.ArrayLike, ...]


class Stream:
    """Samples that come in chunks, (X, y) each: from files, a database, a generator of other samples in each epoch.

    ``fit(stream)`` takes them, and so do ``predict``, ``score``, ``loss`` and ``validation_data=stream``. A window of
    rows is in memory at a time, and a thread takes the next chunks from the stream meanwhile. Chunks come in the
    stream's own order; rows are shuffled within windows.

    Parameters
    ----------
    chunks : iterable or callable
        Of (X, y), with X (rows, n_in) of one type of numbers and one width, y as ``fit`` takes it, and one row or
        more. A list, a loader and anything else that gives a new iterator each time can be read again and again, and so
        can a callable that returns an iterable; an iterator, such as a generator, can be read once, for one epoch.
    samples : int, optional
        All rows of a pass; they are counted, in a pass of their own, where this is not given. An iterator needs it.
    classes : array_like, (K,), optional
        The labels. Without them, those of the network's last training; then, where ``samples`` is not given, those that
        are found while they are counted; then 0 .. K - 1.
    window_rows : int, optional
        Rows that are shuffled together; by default 64 MB of them, and a million at most. Twice as many are in
        memory. If all samples fit into one window, the order of an epoch is that of samples in memory.

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
    >>> history = net.fit(fastnn.data.Stream(chunks, samples=1000), learning_rate=0.01, epochs=30)
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
            X, y = parts_of(chunk, number)
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
        feed.targets = TargetsOfChunks(architecture, names[1], classes, scale)
        first = feed.given(0, chunk)
        feed.labelled = first.data.labels.size > 0
        return Given(Data(cast(Any, feed), first.data.labels[:0], first.data.targets[:0]), None, first.standardised)


def learn_classes(
    X: object, y: npt.ArrayLike | None, outputs: int, known: Classes | None
) -> tuple[npt.ArrayLike | None, Classes | None]:
    """Return the targets of a training's classification, and the classes; see `as_classes`."""
    if isinstance(X, Stream):
        return y, X.classes_for(outputs, known)
    return as_classes(cast(npt.ArrayLike, y), outputs, known, learns=True)
