"""Matrix multiplication: the loops that move a register tile over C.

Every element of C is one chain of fused multiply-adds over k in order, so a result does not depend on which tile
computed it. Where A's row stride is 0 there must be one row: a sum over samples, not a part of a taller product. It may
be several chains.
"""

from __future__ import annotations

from fastnn._kernels.drivers.primitives import ADD, BIAS_FROM_MEMORY, FROM_BIAS
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import real
from fastnn._kernels.numba.simd import (
    CACHE_LINE,
    LEVEL,
    add,
    advance,
    fill,
    lanes,
    load,
    multiply_add,
    prefetch,
    stack_memory,
    store,
)  # fmt: skip
from fastnn._kernels.numba.tile import MAX_ROWS, MAX_VECTORS, START, tile

# A panel of B that is packed, copied together: on the stack, in bytes and in rows.
PACKED_BYTES = 64 * 1024
MAX_DEPTH = PACKED_BYTES // (MAX_VECTORS * LEVEL.bits // 8)
NARROW_DEPTH = 512  # of a block whose panels are two vectors wide
BLOCK_ROWS = 48  # of a product of A's columns
# Narrow tiles ask for short rows of A this far ahead: at 20 numbers a row, memory takes longer than the tile itself.
# Long ones the CPU follows on its own.
ROWS_AHEAD = 48
_VECTORS_A_LINE = 8 * CACHE_LINE // LEVEL.bits
_SHORT_ROW = 8 * 1024 // LEVEL.bits  # in vectors: 1 kB


@kernel(forceinline=True)  # into `multiply` alone: the tiles are compiled once
def _multiply_panel(rows, vectors, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, start, start_row, ahead):
    """Compute the rows of a panel of C that is one tile wide; no tile is much lower than the others."""
    most = MAX_ROWS[vectors - 1]
    tiles = max(1, (rows + most - 1) // most)
    low, higher = rows // tiles, rows % tiles
    i = 0
    for t in range(tiles):
        high = low + (t < higher)
        a, c, s = advance(A, i * a_row), advance(C, i * c_row), advance(start, i * start_row)
        if ahead > 0 and vectors < MAX_VECTORS and a_row <= _SHORT_ROW * lanes(A):
            for line in range(0, high * a_row, _VECTORS_A_LINE * lanes(A)):
                prefetch(advance(a, ROWS_AHEAD * a_row + line), 1)
        tile(high, vectors, depth, a, a_row, a_depth, B, b_depth, c, c_row, mode, s, start_row, ahead)
        i += high


@kernel
def sum_rows(depth, A, a_depth, B, b_depth, C, mode, bias):
    """Compute one row of C, a vector wide, of numbers A and rows of B: eight chains, whose sums are added as a tree.

    One chain would wait for each fma: 96 rows of B took 76 ns in place of 41 (in C).
    """
    zero = fill(real(C, 0.0))
    s0 = load(bias, 0) if mode == FROM_BIAS else zero
    s1, s2, s3, s4, s5, s6, s7 = zero, zero, zero, zero, zero, zero, zero
    a1, a2, a3 = advance(A, a_depth), advance(A, 2 * a_depth), advance(A, 3 * a_depth)
    b1, b2, b3 = advance(B, b_depth), advance(B, 2 * b_depth), advance(B, 3 * b_depth)
    whole = depth // 8 * 8
    for k in range(0, whole, 8):
        i, i4, j, j4 = k * a_depth, (k + 4) * a_depth, k * b_depth, (k + 4) * b_depth
        s0, s4 = multiply_add(fill(A[i]), load(B, j), s0), multiply_add(fill(A[i4]), load(B, j4), s4)
        s1, s5 = multiply_add(fill(a1[i]), load(b1, j), s1), multiply_add(fill(a1[i4]), load(b1, j4), s5)
        s2, s6 = multiply_add(fill(a2[i]), load(b2, j), s2), multiply_add(fill(a2[i4]), load(b2, j4), s6)
        s3, s7 = multiply_add(fill(a3[i]), load(b3, j), s3), multiply_add(fill(a3[i4]), load(b3, j4), s7)
    for k in range(whole, depth):
        s0 = multiply_add(fill(A[k * a_depth]), load(B, k * b_depth), s0)
    total = add(add(add(s0, s4), add(s2, s6)), add(add(s1, s5), add(s3, s7)))
    store(C, 0, add(load(C, 0), total) if mode == ADD else total)


@kernel
def pack(rows, vectors, B, b_depth, packed):
    """Copy rows of a panel of B together."""
    width = vectors * lanes(B)
    for k in range(rows):
        for j in range(0, width, lanes(B)):
            store(packed, k * width + j, load(B, k * b_depth + j))


@kernel
def is_worth_packing(B, rows, depth, b_depth, mode):
    """Return whether the panels of B are packed before the tiles of rows read them.

    Rows that are far apart share few places in the caches (512 deep, 1024 wide, 192 rows, AVX2: 65 GFLOP/s became 101,
    in C). There must be enough tiles to pay for it. The depth is taken in blocks, and the sums so far pass through C,
    which keeps each chain as it was; C += A B cannot: it is packed whole.
    """
    tiles, apart = rows // MAX_ROWS[-1], b_depth // (MAX_VECTORS * lanes(B))
    if mode == ADD:
        return tiles >= 32 and apart >= 8 and depth <= MAX_DEPTH
    return tiles >= 8 and apart >= 16


@kernel
def depth_of_block(packs, depth, mode):
    """Return the depth of a block: of a packed panel, or of one of two vectors.

    The latter stays in the first-level cache beside its tile's rows of A (784 deep, 128 wide, 96 rows, AVX2, in C: 87
    GFLOP/s became 94).
    """
    if packs:
        return MAX_DEPTH
    return NARROW_DEPTH if MAX_VECTORS == 2 and mode != ADD else depth


@kernel
def is_tall(B, rows, cols, depth, a_row):
    """Return whether a product of A's columns has so many rows that they go in blocks, past all of B, which is packed.

    A block's columns stay in the first-level cache while the panels pass: the gradients of large layers (784 rows, 128
    wide, 96 deep, AVX2, in C: 84 GFLOP/s became 92).
    """
    fits = cols >= 8 * lanes(B) and depth * cols <= MAX_DEPTH * MAX_VECTORS * lanes(B)
    return MAX_VECTORS == 2 and a_row == 1 and rows >= 8 * BLOCK_ROWS and fits


@kernel
def multiply(rows, cols, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias):
    """Compute C[i, j] = init + sum_k A[i a_row + k a_depth] B[k b_depth + j] for i < rows, j < cols.

    ``cols`` is a multiple of the vector's lanes; strides count elements, and of several rows a_row or a_depth is 1.
    ``mode``: ASSIGN starts from zero, ADD adds the finished sum to C, the others start from bias[j].
    Remainders are spread, so that no tile is much smaller than others.
    """
    vectors = cols // lanes(C)
    from_memory = mode == BIAS_FROM_MEMORY
    if from_memory:
        mode = FROM_BIAS
    if a_row == 0 and vectors <= 2:
        for j in range(0, cols, lanes(C)):
            sum_rows(depth, A, a_depth, advance(B, j), b_depth, advance(C, j), mode, advance(bias, j))
        return
    if vectors <= MAX_VECTORS and rows <= MAX_ROWS[vectors - 1]:
        # One tile: the divisions below would take longer than it, which small networks feel at each sample.
        tile(rows, vectors, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias, 0, 0)
        return
    panels = (vectors + MAX_VECTORS - 1) // MAX_VECTORS
    tall, packed = is_tall(B, rows, cols, depth, a_row), stack_memory(B, PACKED_BYTES)
    packs = tall or is_worth_packing(B, rows, depth, b_depth, mode)
    most = depth_of_block(packs, depth, mode)
    blocks = (depth + most - 1) // most if depth > most else 1
    height = BLOCK_ROWS if tall else rows
    for i in range(0, rows, max(1, height)):
        k = 0
        for block in range(blocks):
            deep = depth // blocks + (block < depth % blocks)
            a, j = advance(A, i * a_row + k * a_depth), 0
            for panel in range(panels):
                wide = vectors // panels + (panel < vectors % panels)
                b, b_row, c = advance(B, k * b_depth + j), b_depth, advance(C, i * c_row + j)
                if packs:
                    copy = advance(packed, j * depth if tall else 0)
                    if i == 0:
                        pack(deep, wide, b, b_depth, copy)
                    b, b_row = copy, wide * lanes(B)
                first = block == 0
                start, start_row = (advance(bias, j), 0) if first else (c, c_row)
                begin = mode if first else START
                ahead = MAX_ROWS[-1] if from_memory and panel == 0 else 0
                low = min(height, rows - i)
                _multiply_panel(low, wide, deep, a, a_row, a_depth, b, b_row, c, c_row, begin, start, start_row, ahead)
                j += wide * lanes(C)
            k += deep
