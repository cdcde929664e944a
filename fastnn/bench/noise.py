"""Whether the machine was the run's own: a busy neighbour shows in the peak and in the round trip of a cache line."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

from fastnn.bench.peak import rates
from fastnn.bench.round_trip import round_trip

# Threads of a library that has just run may wait for more work and keep the cores busy. Without a pause the Numba
# backend, whose turn came after scikit-learn's, took 6 to 39 % longer than the Cython one in eight cells of twelve;
# with it, 6 % at most in any.
SETTLE_SECONDS = 0.25

# On two cores of a virtual machine, the median of five probes of all threads: 83 to 100 % of the run's highest when it
# was quiet, 50 % beside one busy process, 74 to 92 % beside one that was busy for a quarter of the time. The round trip
# moved by 3 % when quiet and was 1.7 to 2.6 times as long beside a busy process.
LOW_PEAK = 0.75  # of the run's highest
LONG_TRIP = 2.0  # times the run's shortest
SHARE = 0.25  # of a cell's probes that may be off: its figures are medians
FEW_CORES = 0.6  # of one thread's peak times the cores for the threads

Probe = dict[str, Any]


def probe(threads: int) -> Probe:
    """Measure the machine as it is now, when what ran before has settled: not at its best, but as most runs meet it."""
    time.sleep(SETTLE_SECONDS)
    return {"flops": statistics.median(rates(threads, seconds=0.02, runs=5)), "round_trip": round_trip(threads)}


def disturbed(probes: Sequence[Probe], run: Sequence[Probe]) -> str | None:
    """Return what was off while one cell of a run was timed; None if nothing was."""
    if not probes:
        return None
    highest = max(one["flops"] for one in run)
    low = [one["flops"] / highest for one in probes if one["flops"] < LOW_PEAK * highest]
    if len(low) > SHARE * len(probes):
        return f"the peak fell to {min(low):.0%} of the run's highest in {len(low)} of {len(probes)} probes"
    shortest = min((one["round_trip"] for one in run if one["round_trip"]), default=0.0)
    times = [one["round_trip"] / shortest for one in probes if one["round_trip"]]
    long = [ratio for ratio in times if ratio > LONG_TRIP]
    if len(long) > SHARE * len(probes):
        return (
            f"a cache line took up to {max(long):.1f} times the run's shortest in {len(long)} of {len(probes)} probes"
        )
    return None


def warnings(timed: Sequence[tuple[str, Sequence[Probe]]], peaks: dict[str, float], cores: int | None) -> list[str]:
    """Return a line for each named cell that was disturbed, and one if the threads never had a core each.

    ``peaks`` has the run's highest peak of each number of threads, ``cores`` how many physical ones there are.
    """
    run = [one for _, probes in timed for one in probes]
    lines = [f"{name}: {found}" for name, probes in timed if (found := disturbed(probes, run))]
    threads = max(peaks, key=int, default="1")
    times = peaks[threads] / peaks["1"] if "1" in peaks else 1.0
    if cores is not None and times < FEW_CORES * min(int(threads), cores):
        lines.append(f"all cells: {threads} threads reached {times:.2f} times the peak of one")
    return lines
