"""How far two cores are apart: how long a cache line takes from one to the other and back.

Threads that share a network's step exchange products and deltas at this speed. On one machine it may be 100 ns or 400,
as the system, or the host of a virtual machine, places the threads on cores that share a cache or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

TURNS, TRIALS, LONGEST = 4000, 10, 1.0  # of a trial; trials; seconds after which no further trial begins


def round_trip(threads: int) -> float | None:
    """Return the seconds of a round trip, the shortest of several trials; None on one thread or without Numba."""
    if threads < 2:
        return None
    try:
        play = _player()
    except ImportError:
        return None
    found: list[float] = []
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        while len(found) < TRIALS and time.perf_counter() - start < LONGEST:
            words = np.zeros(64, np.int64)  # two of them, some cache lines apart
            other = pool.submit(play, words, 32, 0, 0)
            began = time.perf_counter()
            pool.submit(play, words, 0, 32, 1).result()
            other.result()
            found.append((time.perf_counter() - began) / TURNS)
    return min(found)


@lru_cache
def _player() -> Callable[..., Any]:
    """Compile what each thread does: it answers every turn of the other one, or begins it."""
    from numba import njit

    from fastnn._kernels.numba.atomics import atomic_load, atomic_store, pause
    from fastnn._kernels.numba.simd import pointer

    @njit("void(int64[::1], int64, int64, int64)", nogil=True)
    def play(words: Any, mine: int, other: int, begins: int) -> None:
        for turn in range(1, TURNS + 1):
            if begins:
                atomic_store(pointer(words, mine), turn)
            while atomic_load(pointer(words, other)) < turn:
                pause()
            if not begins:
                atomic_store(pointer(words, mine), turn)

    return play
