"""On what a run was made: the CPU, the system, and the versions of everything that was timed."""

from __future__ import annotations

import importlib
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

DISTRIBUTIONS = (
    "numpy", "numba", "llvmlite", "jax", "jaxlib", "torch", "scikit-learn", "scipy", "threadpoolctl", "pytabkit",
)  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """Return the CPU's name, its cores, SIMD level and memory, the system and the Python."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "physical_cores": _physical_cores(),
        "simd": simd_level(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def describe_versions() -> dict[str, str]:
    """Return the versions of fastnn and of every library that is installed."""
    found = {"fastnn": importlib.import_module("fastnn").__version__}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def simd_level() -> str:
    """Return the widest vectors in use: avx512, avx2, neon or baseline; FASTNN_SIMD can force a lower level."""
    if forced := os.environ.get("FASTNN_SIMD"):
        return forced
    if platform.machine().lower() in {"arm64", "aarch64"}:
        return "neon"
    config: Any = np.show_config(mode="dicts")
    extensions = config["SIMD Extensions"]
    names = " ".join(extensions.get("baseline", []) + extensions.get("found", []))
    if re.search(r"AVX512|X86_V4", names):
        return "avx512"
    return "avx2" if re.search(r"AVX2|X86_V3", names) else "baseline"


def _cpu_name() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _physical_cores() -> int | None:
    """Return how many cores the logical ones that this process may use are on: some are two threads of one."""
    try:
        topology = Path("/sys/devices/system/cpu")
        usable = os.sched_getaffinity(0)
        return len({(topology / f"cpu{cpu}/topology/thread_siblings_list").read_text() for cpu in usable})
    except (AttributeError, OSError):
        return None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
