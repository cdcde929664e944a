"""The machine's peak: how many float32 fused multiply-adds it makes a second when nothing else is in the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

CHAINS = 12  # independent sums: more than latency times ports (8 to 10), and few enough for 16 registers


def peak_flops(threads: int) -> float:
    """Measure the peak on some threads: the best of three runs, in FLOP/s."""
    return max(rates(threads, seconds=0.1, runs=3))


def rates(threads: int, seconds: float, runs: int) -> list[float]:
    """Return the FLOP/s that some threads together reach in each of some runs."""
    work, flops, turns = _loop()
    count = max(1, int(turns * seconds))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [1] * threads))  # starts the threads
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            list(pool.map(work, [count] * threads))
            times.append(time.perf_counter() - start)
    return [threads * count * flops / elapsed for elapsed in times]


@lru_cache
def _loop() -> tuple[Callable[[int], Any], float, float]:
    """Return the work, the operations in a turn of it, and how many turns a thread makes a second."""
    try:
        work, flops = _fma_loop()
    except ImportError:  # without Numba a product of matrices has to do
        work, flops = _matrix_product()
    return work, flops, _turns_per_second(work)


def _turns_per_second(work: Callable[[int], Any]) -> float:
    work(1)
    count = 16
    while True:
        start = time.perf_counter()
        work(count)
        elapsed = time.perf_counter() - start
        if elapsed > 0.01:
            return count / elapsed
        count *= 4


def _matrix_product() -> tuple[Callable[[int], Any], float]:
    A = np.ones((512, 512), np.float32)
    return lambda count: [A @ A for _ in range(count)], 2.0 * 512**3


def lanes() -> int:
    """Return the float32 lanes of the widest vectors of this CPU."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4


def _fma_loop() -> tuple[Callable[[int], Any], float]:
    """Compile a loop that makes CHAINS vector FMAs a turn; return it and the operations in a turn."""
    from llvmlite import ir
    from numba import njit, types
    from numba.core import cgutils
    from numba.extending import intrinsic

    width = lanes()

    @intrinsic
    def chains(typing_context: Any, count: Any, factor: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = ir.VectorType(ir.FloatType(), width)
            fma = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{width}f32"
            )
            scalar = builder.insert_element(ir.Constant(vector, ir.Undefined), arguments[1], ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
            splat = builder.shuffle_vector(scalar, scalar, zeros)
            sums = []
            for chain in range(CHAINS):
                start = ir.Constant(vector, [float(chain)] * width)
                sums.append(cgutils.alloca_once_value(builder, start))
            with cgutils.for_range(builder, arguments[0]):
                for total in sums:
                    builder.store(builder.call(fma, [builder.load(total), splat, splat]), total)
            result = builder.load(sums[0])
            for total in sums[1:]:
                result = builder.fadd(result, builder.load(total))
            return builder.extract_element(result, ir.IntType(32)(0))

        return types.float32(types.int64, types.float32), codegen

    @njit("float32(int64)", nogil=True)
    def work(count: int) -> Any:
        return chains(count, np.float32(0.5))

    return work, 2.0 * width * CHAINS
