"""Samples that are read while they are trained on, window by window: a thread reads the next one meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from copy import copy
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Array, Data, Integers, Rows, Samples
from fastnn._kernels.rows import FORMATS
from fastnn.shuffling import WindowOrder

Buffer = npt.NDArray[Any]
T = TypeVar("T")


class ReadError(RuntimeError):
    """Samples could not be read, or are not what they were said to be.

    A training that they end leaves the network as after its last whole step; ``fit(..., resume=True)`` goes on from
    there, when the data are as they should be.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn
    >>> def chunks():
    ...     yield np.zeros((5, 2)), np.arange(5) % 2
    ...     yield np.zeros((5, 3)), np.arange(5) % 2
    >>> try:
    ...     fastnn.Network((2, 2)).fit(fastnn.data.Stream(chunks, samples=10), batch_size=2)
    ... except fastnn.data.ReadError as error:
    ...     print(str(error).partition(".")[0])
    X could not be read: ValueError: X of chunk 1 must have 2 columns, one for each input unit; got shape (5, 3)
    """


class Reader(Protocol):
    """Reads the windows of one pass, in their order."""

    def read(self, spans: tuple[tuple[int, int], ...], out: Buffer) -> Data:
        """Write the rows from first to last of each span into ``out``, and return them with their targets."""

    def end(self) -> None:
        """Check, after the last window, that no rows are left."""

    def close(self) -> None:
        """Let go of what is read."""


class Feed:
    """Samples that are not in memory, checked while they are read; they stand where `Data` has its samples.

    Attributes
    ----------
    name : str
        For errors.
    shape : tuple of int
        The samples, and the numbers of one.
    dtype : dtype
        The network's.
    format : dtype
        In which they are kept in memory, one that kernels read.
    window_rows : int
        How many are in memory at a time, and as many again that are read ahead.
    once : bool
        Whether they can be read a single time.
    labelled : bool
        Whether targets that come with the samples are labels.
    mean, inverse : ndarray, (n,), or None
        Their scale, as `Rows` have it.
    """

    name: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    format: np.dtype[Any]
    window_rows: int
    once: bool = False
    labelled: bool = False
    mean: Array | None = None
    inverse: Array | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.shape[0]

    def order(self, rng: np.random.Generator | None) -> WindowOrder:
        """Return the order of an epoch; without a generator, first to last."""
        raise NotImplementedError

    def reader(self, data: Data) -> Reader:
        """Return what reads the windows of an epoch; ``data`` have the targets and weights that are in memory."""
        raise NotImplementedError

    def pieces(self, given: Any) -> Generator[Any, None, None]:
        """Yield parts of `Given`, first to last, whose samples are in memory."""
        raise NotImplementedError

    def samples(self) -> Generator[Samples, None, None]:
        """Yield the samples alone, a part at a time, first to last."""
        raise NotImplementedError

    def scaled(self, mean: Array, inverse: Array) -> Any:
        """Return the same with a scale."""
        other = copy(self)
        other.mean, other.inverse = mean, inverse
        return other

    def as_kernels_read(self, part: Buffer) -> Samples:
        """Return rows in the format as samples, scaled."""
        if part.dtype == self.dtype and self.mean is None and part.flags.c_contiguous:
            return part
        return Rows(part, part.shape[1], None, self.mean, self.inverse)


def feed_of(X: object) -> Feed | None:
    """Return X if it is not in memory."""
    return X if not isinstance(X, np.ndarray) and isinstance(X, Feed) else None


def check_in_memory(X: Any) -> Any:
    """Return X if it is in memory as a whole.

    Raises
    ------
    TypeError
        If it is one of fastnn's own that are read in blocks.
    """
    if not isinstance(X, np.ndarray) and hasattr(X, "as_samples"):
        raise TypeError(f"X must be an array here, in memory; got {type(X).__name__}")
    return X


def format_of(stored: np.dtype[Any], dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which numbers are kept: their own, or the network's where kernels do not know that."""
    return stored if stored in FORMATS and stored.isnative else dtype


def targets_at(data: Data, rows: slice | Integers) -> list[Any]:
    """Return labels, targets and weights of some rows; those that are empty stay so."""
    return [part[rows] if len(part) else part for part in data[1:]]


def read_windows(
    feed: Feed, data: Data, order: WindowOrder, visited: int, granule: int
) -> Generator[tuple[Data, Integers], None, None]:
    """Yield the samples of each window, and the order in which to visit them; a thread reads the next one meanwhile.

    Parameters
    ----------
    visited : int
        How many samples of the order to leave out, a multiple of the granule.
    granule : int
        Each window but the last ends at a multiple of so many samples of the order. What is left is put in front of the
        next one, so that steps and results are those of samples in memory.
    """
    with closing(ahead(_windows(feed, data, order, visited, granule))) as found:
        try:
            for part, places in found:
                if len(places):
                    yield part, places
        except ReadError:
            raise
        except Exception as error:
            raise ReadError(f"{feed.name} could not be read: {type(error).__name__}: {error}") from error


def _windows(
    feed: Feed, data: Data, order: WindowOrder, visited: int, granule: int
) -> Generator[tuple[Data, Integers], None, None]:
    """Yield the windows in two buffers, in turn: the one is read into while the other is trained on."""
    rows = max(map(order.count, range(len(order.windows)))) + granule
    buffers: dict[int, Buffer] = {}
    before, rest = 0, None
    with closing(feed.reader(data)) as reader:
        for number, spans in enumerate(order.windows):
            count, skipped = order.count(number), max(0, visited - before)
            before += count
            if skipped >= count:
                continue
            if number % 2 not in buffers:
                buffers[number % 2] = np.empty((rows, feed.shape[1]), feed.format)
            buffer, kept = buffers[number % 2], 0 if rest is None else len(rest.X)
            found, last = reader.read(spans, buffer[kept : kept + count]), number == len(order.windows) - 1
            if last:
                reader.end()
            if rest is not None:
                buffer[:kept] = rest.X
                found = Data(found.X, *(np.concatenate(pair) for pair in zip(rest[1:], found[1:], strict=True)))
            places = np.concatenate([np.arange(kept), kept + order.places(number)[skipped:]])
            whole = len(places) if last else len(places) // granule * granule
            yield found._replace(X=feed.as_kernels_read(buffer[: kept + count])), places[:whole]
            left = places[whole:]
            rest = Data(buffer[left], *targets_at(found, left))


class _Failure(NamedTuple):
    error: BaseException


_END = object()


def ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """Yield the items, each made by a thread while the one before is in use; no more than these two exist at a time.

    The thread ends with the generator, also when that is closed early; what it raises is raised here.
    """
    found: SimpleQueue[Any] = SimpleQueue()
    free, stopped = threading.Semaphore(2), threading.Event()

    def make() -> None:
        try:
            with closing(items):
                while free.acquire() and not stopped.is_set():
                    item = next(items, _END)
                    found.put(item)
                    if item is _END:
                        return
                    del item
        except BaseException as error:
            found.put(_Failure(error))

    thread = threading.Thread(target=make, name="fastnn reader", daemon=True)
    thread.start()
    try:
        while (item := found.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item
            del item
            free.release()
    finally:
        stopped.set()
        free.release()
        thread.join()
