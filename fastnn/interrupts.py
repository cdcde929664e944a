"""Interrupts from the keyboard, and where a training lets them in."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` without its enumerations: 1 us for 12 a kernel call
import threading
from types import FrameType, TracebackType


class InterruptDeferred:
    """Lets an interrupt wait for the end of a kernel call, where no step is half taken; of the main thread alone."""

    def __enter__(self) -> None:
        self.handler = None
        self.pending: list[tuple[int, FrameType | None]] = []
        if threading.current_thread() is threading.main_thread():
            handler = _signal.getsignal(_signal.SIGINT)
            if callable(handler):
                self.handler = handler
                _signal.signal(_signal.SIGINT, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pending.append((number, frame))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.handler is None:
            return
        _signal.signal(_signal.SIGINT, self.handler)
        if self.pending and kind is None:
            self.handler(*self.pending[0])
