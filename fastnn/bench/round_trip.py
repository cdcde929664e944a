"""How far two cores are apart: how long a cache line takes from one to the other and back.

Threads that share a network's step exchange products and deltas at this speed. On one machine it may be 100 ns or 400,
as the system, or the host of a virtual machine, places the threads.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

PROBE, TURNS, TRIALS = 200, 20_000, 5  # turns of a short trial, of a long one, and how many of each
FAR = 20e-6  # seconds of a turn that only threads without a core of their own take: they are not measured further


def round_trip(threads: int) -> float | None:
    """Return the seconds of a round trip, the shortest of several trials; None on one core or without Numba."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if min(threads, cores) < 2:
        return None
    try:
        play = _player()
    except ImportError:
        return None
    with ThreadPoolExecutor(2) as pool:
        first = min(_trial(pool, play, PROBE) for _ in range(TRIALS))
        return first if first > FAR else min(_trial(pool, play, TURNS) for _ in range(TRIALS))


def _trial(pool: ThreadPoolExecutor, play: Callable[..., Any], turns: int) -> float:
    """Return the seconds of a turn."""
    words = np.zeros(64, np.int64)  # two of them, some cache lines apart
    other = pool.submit(play, words, 32, 0, False, turns)
    start = time.perf_counter()
    pool.submit(play, words, 0, 32, True, turns).result()
    other.result()
    return (time.perf_counter() - start) / turns


@lru_cache
def _player() -> Callable[..., Any]:
    """Compile what each thread does: it begins every turn, or answers it."""
    from numba import njit

    from fastnn._kernels.numba.atomics import atomic_load, atomic_store, pause
    from fastnn._kernels.numba.simd import pointer

    @njit("void(int64[::1], int64, int64, boolean, int64)", nogil=True)
    def play(words: Any, mine: int, other: int, begins: bool, turns: int) -> None:
        for turn in range(1, turns + 1):
            if begins:
                atomic_store(pointer(words, mine), turn)
            while atomic_load(pointer(words, other)) < turn:
                pause()
            if not begins:
                atomic_store(pointer(words, mine), turn)

    return play
