# A grid whose columns and rows turn: the random order of many samples (see fastnn.shuffling).

cdef enum:
    BLOCK_CELLS = 1024  # that go through all turns together: they stay in the first-level cache, most tables too


cdef struct Grid:
    const uint32_t *down
    const uint32_t *across
    int64_t rounds
    uint32_t rows
    uint32_t columns
    int64_t samples


cdef inline void turn(
    const uint32_t *steps, uint32_t side, const uint32_t *place, uint32_t *position, int64_t n
) noexcept nogil:
    """Move n cells on by the steps of their column or row: position = (position + steps[place]) mod side."""
    cdef int64_t i
    cdef uint32_t ahead
    for i in range(n):
        ahead = position[i] + steps[place[i]]
        position[i] = min(ahead, <uint32_t>(ahead - side))  # the difference wraps around where there is none


cdef void shuffle_cells(const Grid *grid, uint32_t *row, uint32_t *column, int64_t n) noexcept nogil:
    """Move n cells through all rounds."""
    cdef int64_t i
    for i in range(grid.rounds):
        turn(grid.down + i * grid.columns, grid.rows, column, row, n)
        turn(grid.across + i * grid.rows, grid.columns, row, column, n)


cdef void shuffle_piece(const Grid *grid, int64_t first, int64_t *order, int64_t count) noexcept nogil:
    cdef uint32_t row[BLOCK_CELLS]
    cdef uint32_t column[BLOCK_CELLS]
    cdef uint32_t r, c
    cdef int64_t block, start, n, i
    for block in range((count + BLOCK_CELLS - 1) // BLOCK_CELLS):
        start = block * BLOCK_CELLS
        n = min(BLOCK_CELLS, count - start)
        r, c = (first + start) // grid.columns, (first + start) % grid.columns
        for i in range(n):
            row[i], column[i] = r, c
            c += 1
            if c == grid.columns:
                r, c = r + 1, 0
        shuffle_cells(grid, row, column, n)
        for i in range(n):
            order[start + i] = <int64_t>row[i] * grid.columns + column[i]
    for i in range(count):  # a cell after the last sample moves on, as if it were one
        while order[i] >= grid.samples:
            row[0], column[0] = order[i] // grid.columns, order[i] % grid.columns
            shuffle_cells(grid, row, column, 1)
            order[i] = <int64_t>row[0] * grid.columns + column[0]


def shuffle_grid(
    size_t down, size_t across, int64_t rounds, int64_t rows, int64_t columns, int64_t samples, int64_t first,
    size_t order, int64_t count
):
    """Write where cells come to lie, from the first one on; arrays go in as addresses."""
    cdef Grid grid = Grid(<const uint32_t *>down, <const uint32_t *>across, rounds, rows, columns, samples)
    with nogil:
        shuffle_piece(&grid, first, <int64_t *>order, count)
