"""Sparse samples: the first layer's product and its gradient, from the numbers that are stored.

A row's outputs are a sum of rows of the weights, one for each number that is stored. For the gradient, a tile's numbers
are brought into the order of their columns first: the gradient of a row of the weights is then a sum of rows of the
deltas, in the order of the samples, whoever computes it. The weights have no padded copy here.
"""

from __future__ import annotations

from fastnn._kernels.drivers.language import Integers, Job, Reals
from fastnn._kernels.drivers.layers import activate_rows, add_bias_gradient, forward, inputs, layer_memory
from fastnn._kernels.drivers.primitives import AS_STORED, ASSIGN, DIGIT_BITS, SPARSE_PIECE
from fastnn._kernels.drivers.rows import gather, sample_at
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import (
    BIASES,
    DELTAS,
    N_OUT,
    OUTPUTS,
    SUMS,
    WEIGHTS,
    WIDTH_OUT,
    call,
    field,
    integers,
    real,
    reals,
)
from fastnn._kernels.numba.simd import advance, copy, element_bytes, prefetch
from fastnn._kernels.numba.sparse import widen

ROW_BITS = 20  # of a key: the row of the tile, below the column
ROWS_AHEAD = 2  # whose numbers are asked for


@kernel
def read_entries(job: Job, begin: int, n: int, indices: Integers, values: Reals) -> None:
    """Read n stored numbers, from place ``begin`` on, and their columns."""
    widen(job.index_bytes, job.indices + begin * job.index_bytes, indices, n)
    source = job.source_X + begin * job.item_bytes
    if job.format == AS_STORED:
        copy(values, reals(values, source), n)
    else:
        call(job.convert, (job.format, source, values, n))


@kernel
def ask_for_entries(job: Job, like: Reals, i: int) -> None:
    """Ask for the stored numbers of the row that is visited as the i-th."""
    if i < job.samples:
        sample, size = sample_at(job, i), element_bytes(like)
        begin, end = integers(job.starts)[sample], integers(job.ends)[sample]
        prefetch(reals(like, job.indices + begin * job.index_bytes), (end - begin) * job.index_bytes // size)
        prefetch(reals(like, job.source_X + begin * job.item_bytes), (end - begin) * job.item_bytes // size)


@kernel
def project_rows(job: Job, thread: int, first: int, rows: int, Z: Reals) -> None:
    """Compute Z = X W + b of the rows visited from the first-th on."""
    n_out, width, theta = field(job, 0, N_OUT), field(job, 0, WIDTH_OUT), reals(Z, job.parameters)
    W, b = advance(theta, field(job, 0, WEIGHTS)), advance(theta, field(job, 0, BIASES))
    indices = advance(integers(job.piece_indices), thread * SPARSE_PIECE)
    values = advance(reals(Z, job.piece_values), thread * SPARSE_PIECE)
    for r in range(rows):
        sample, z = sample_at(job, first + r), advance(Z, r * width)
        ask_for_entries(job, Z, first + r + ROWS_AHEAD)
        copy(z, b, n_out)
        for j in range(n_out, width):
            z[j] = real(z, 0.0)
        end = integers(job.ends)[sample]
        for begin in range(integers(job.starts)[sample], end, SPARSE_PIECE):
            n = min(SPARSE_PIECE, end - begin)
            read_entries(job, begin, n, indices, values)
            call(job.add_some_rows, (n, n_out, indices, values, W, n_out, 1.0, job.shrunk, z))


@kernel
def enter(
    job: Job, like: Reals, owner: int, thread: int, memory: Reals, start: int, tile_row: int, rows: int
) -> None:  # fmt: skip
    """Take rows of a tile from X through all layers, as far as Z_L; sample ``start`` is the tile's row 0.

    ``owner`` is the thread whose tile it is.
    """
    first = start + tile_row
    if job.sparse:
        Z = layer_memory(job, memory, 0, OUTPUTS, tile_row)
        project_rows(job, thread, first, rows, Z)
        activate_rows(job, memory, 0, tile_row, rows, first)
        forward(job, memory, 1, Z, field(job, 0, WIDTH_OUT), tile_row, rows, first)
    else:
        A, stride = inputs(job, like, owner, start, tile_row)
        gather(job, like, A, stride, first, rows, 0, job.n_inputs)
        forward(job, memory, 0, A, stride, tile_row, rows, first)


@kernel
def half_of_keys(job: Job, half: int) -> Integers:
    """Return the pointer to one half of the room for keys."""
    return advance(integers(job.keys), half * job.entries)


@kernel
def half_of_values(job: Job, like: Reals, half: int) -> Reals:
    """Return the pointer to one half of the room for values."""
    return advance(reals(like, job.values), half * job.entries)


@kernel
def collect_entries(job: Job, like: Reals) -> int:
    """Read the tile's stored numbers, row after row, and make keys of columns and rows; return how many there are."""
    keys, values, n = half_of_keys(job, 0), half_of_values(job, like, 0), 0
    for r in range(job.tile_count):
        i = job.tile_start + r
        sample = sample_at(job, i)
        ask_for_entries(job, like, i + ROWS_AHEAD)
        begin, end = integers(job.starts)[sample], integers(job.ends)[sample]
        read_entries(job, begin, end - begin, advance(keys, n), advance(values, n))
        for k in range(n, n + end - begin):
            keys[k] = keys[k] << ROW_BITS | r
        n += end - begin
    return n


@kernel
def sort_by_digit(job: Job, like: Reals, n: int, half: int, shift: int, size: int) -> None:
    """Bring keys and values into the other half of their room, by a digit of so many bits, else in the same order."""
    keys, values = half_of_keys(job, half), half_of_values(job, like, half)
    target, moved, places = half_of_keys(job, 1 - half), half_of_values(job, like, 1 - half), integers(job.digits)
    mask, total = (1 << size) - 1, 0
    for digit in range(mask + 1):
        places[digit] = 0
    for k in range(n):
        places[keys[k] >> shift & mask] += 1
    for digit in range(mask + 1):
        count = places[digit]
        places[digit] = total
        total += count
    for k in range(n):
        digit = keys[k] >> shift & mask
        place = places[digit]
        places[digit] = place + 1
        target[place] = keys[k]
        moved[place] = values[k]


@kernel
def find_columns(job: Job, n: int) -> None:
    """Note the columns of the sorted keys, where each begins, and the row of each key, in the other half's place."""
    keys, rows = half_of_keys(job, job.half), half_of_keys(job, 1 - job.half)
    columns, begins = integers(job.columns), integers(job.begins)
    count, last, mask = 0, -1, (1 << ROW_BITS) - 1
    for k in range(n):
        column = keys[k] >> ROW_BITS
        rows[k] = keys[k] & mask
        if column != last:
            columns[count] = column
            begins[count] = k
            count += 1
            last = column
    begins[count] = n
    job.touched = count


@kernel
def sort_entries(job: Job, like: Reals) -> None:
    """Bring the tile's stored numbers into the order of their columns, and of rows in each."""
    n, half, bits = collect_entries(job, like), 0, 0
    while job.n_inputs - 1 >> bits > 0:
        bits += 1
    passes = (bits + DIGIT_BITS - 1) // DIGIT_BITS
    for digit in range(passes):
        size = (bits + passes - 1) // passes
        sort_by_digit(job, like, n, half, ROW_BITS + digit * size, size)
        half = 1 - half
    job.half = half
    find_columns(job, n)


@kernel
def sum_column(
    job: Job, like: Reals, place: int, keep: float, scale: float, out: Reals
) -> None:  # fmt: skip
    """Compute out = keep out + scale X^T delta for the tile's column at a place among those that it has numbers in."""
    begin, end = integers(job.begins)[place], integers(job.begins)[place + 1]
    rows, values = half_of_keys(job, 1 - job.half), half_of_values(job, like, job.half)
    D, width = layer_memory(job, reals(like, job.tiles), 0, DELTAS, 0), field(job, 0, WIDTH_OUT)
    rows, values = advance(rows, begin), advance(values, begin)
    call(job.add_some_rows, (end - begin, field(job, 0, N_OUT), rows, values, D, width, keep, scale, out))


@kernel
def first_place(job: Job, column: int) -> int:
    """Return the place of the first of the tile's columns that is not before a column."""
    columns, low, high = integers(job.columns), 0, job.touched
    while low < high:
        middle = (low + high) // 2
        if columns[middle] < column:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def add_columns(job: Job, sums: Reals, begin: int, end: int, mode: int) -> None:
    """Add X^T delta of a tile to rows begin .. end of the first layer's sums; the row after the weights is the biases'.

    ``mode`` ASSIGN begins a sum.
    """
    n_in, width, columns = job.n_inputs, field(job, 0, WIDTH_OUT), integers(job.columns)
    C = advance(sums, field(job, 0, SUMS) + begin * width)
    if mode == ASSIGN:
        for i in range((min(end, n_in) - begin) * width):
            C[i] = real(C, 0.0)
    place = first_place(job, begin)
    while place < job.touched and columns[place] < end:
        sum_column(job, sums, place, 1.0, 1.0, advance(C, (columns[place] - begin) * width))
        place += 1
    if end > n_in:
        D = layer_memory(job, reals(sums, job.tiles), 0, DELTAS, 0)
        add_bias_gradient(job, D, width, job.tile_count, advance(C, (n_in - begin) * width), mode)
