"""Which units dropout drops: bits that a counter gives, the same on every backend and at any number of threads.

Philox4x32-10 turns a key of 64 bits, the network's seed, and a counter of four words into four words of 32 random bits
each. The counter is (block of units, row of the batch, layer, step); each word decides on two units, by 16 bits each.
In a group of 128 units, of 16 blocks, word w of block i decides on units 32 w + i, by its low half, and 32 w + 16 + i:
so 16 consecutive units take the same half of the same word of 16 blocks, which lie in the lanes of vectors.

Source: Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3. SC 2011.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Array

MULTIPLIERS, WEYL, ROUNDS = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85), 10
GROUP, BLOCKS = 128, 16  # units of a group, and blocks
LEVELS = 1 << 16  # of 16 bits
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)

Words = npt.NDArray[np.uint64]


def philox(key: tuple[int, int], counter: tuple[Words, Words, Words, Words]) -> tuple[Words, Words, Words, Words]:
    """Return four random words for each counter; all are 32 bits in 64."""
    c0, c1, c2, c3 = counter
    for i in range(ROUNDS):
        k0, k1 = (np.uint64((k + i * w) & 0xFFFFFFFF) for k, w in zip(key, WEYL, strict=True))
        a, b = np.uint64(MULTIPLIERS[0]) * c0, np.uint64(MULTIPLIERS[1]) * c2
        c0, c1, c2, c3 = (b >> _HALF) ^ c1 ^ k0, b & _LOW, (a >> _HALF) ^ c3 ^ k1, a & _LOW
    return c0, c1, c2, c3


def threshold(p: float) -> int:
    """Return how many of the 65,536 values of 16 bits drop a unit: at least one keeps it."""
    return min(round(p * LEVELS), LEVELS - 1)


def mask(seed: int, step: int, layer: int, rows: int, units: int, p: float, dtype: npt.DTypeLike) -> Array:
    """Return the factors of a batch's outputs, (rows, units): 0 with probability p, otherwise 1 / (1 - p).

    p is rounded to a multiple of 1/65536.
    """
    groups = -(-units // GROUP)
    block, row = np.arange(groups * BLOCKS, dtype=np.uint64)[None, :], np.arange(rows, dtype=np.uint64)[:, None]
    zero = np.zeros((rows, groups * BLOCKS), np.uint64)
    where = np.uint64((layer + ((step >> 32) << 8)) & 0xFFFFFFFF), np.uint64(step & 0xFFFFFFFF)
    words = philox(
        (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF), (zero + block, zero + row, zero + where[0], zero + where[1])
    )
    halves = [half for word in words for half in (word & np.uint64(0xFFFF), word >> np.uint64(16))]
    bits = np.stack([half.reshape(rows, groups, BLOCKS) for half in halves], axis=2).reshape(rows, -1)[:, :units]
    dropped = threshold(p)
    factors: Array = np.where(bits >= dropped, LEVELS / (LEVELS - dropped), 0.0).astype(dtype)
    return factors
