# A tile that all threads share.
#
# Its rows are divided among them. Layers with large weights, the first ``job.divided``, are divided by their units: a
# part of a layer's inputs is a column of its input and a row of its weights. The layer's product is the sum of two
# parts' products, a + b in this order whoever computed them: the first goes where the layer's outputs will be, the
# second into memory of its own. Whoever needs a unit's output adds the two.

cdef enum:
    SHARED = 0  # the thread whose tile all share


cdef inline int64_t parts_of(const Job *job, int64_t layer) noexcept nogil:
    """Return into how many parts a layer is divided."""
    return 1 if field(job, layer, SPLIT) == 0 else 2


cdef inline int64_t groups_of(const Job *job, int64_t layer) noexcept nogil:
    """Return into how many groups, of rows or of units, each part is divided, so that every thread has one."""
    cdef int64_t parts = parts_of(job, layer)
    return (job.threads + parts - 1) // parts


cdef inline (int64_t, int64_t) part_of(const Job *job, int64_t layer, int64_t side, int64_t part) noexcept nogil:
    """Return the first unit of a part of one side of a layer, N_IN or N_OUT, and the one after its last."""
    cdef int64_t split = field(job, layer, SPLIT), n = field(job, layer, side)
    if part == 0 and split > 0:
        return 0, split
    return split, n


cdef inline (int64_t, int64_t) share_of(
    const real *like, int64_t begin, int64_t end, int64_t group, int64_t groups
) noexcept nogil:
    """Return a group's share of begin .. end, in whole vectors."""
    cdef int64_t lanes = padded(like, 1), vectors = padded(like, end - begin) // lanes
    return begin + group * vectors // groups * lanes, min(begin + (group + 1) * vectors // groups * lanes, end)


cdef inline (real *, int64_t) inputs_of_part(
    const Job *job, const real *like, int64_t begin, int64_t row
) noexcept nogil:
    """Return the pointer to row ``row`` of the network's inputs, for columns of the part with ``begin``; the stride.

    Gathered rows lie together in each part: a core's prefetcher runs past the columns that it reads, and would take the
    other thread's away from its core.
    """
    cdef int64_t split = field(job, 0, SPLIT), width = field(job, 0, WIDTH_IN)
    cdef real *A = reals(like, job.gathered)
    if job.order == 0 or job.divided == 0:
        return inputs(job, like, SHARED, job.tile_start, row), input_stride(job)
    if split == 0:
        return A + row * width, width
    if begin < split:
        return A + row * split, split
    return A + job.tile_rows * split + row * (width - split) - split, width - split


cdef inline real *second_part(const Job *job, const real *like, int64_t layer, int64_t row) noexcept nogil:
    """Return the pointer to the second part's product of a layer; layers take turns with the memory."""
    return reals(like, job.partials) + (layer & 1) * job.partials_size + row * field(job, layer, WIDTH_OUT)


cdef void finish_parts(
    const Job *job, real *memory, int64_t layer, int64_t row, int64_t rows, int64_t begin, int64_t end
) noexcept nogil:
    """Turn the two parts of Z into outputs of units begin .. end, whose number is one of whole vectors."""
    cdef int64_t r, width = field(job, layer, WIDTH_OUT), activation = field(job, layer, ACTIVATION)
    cdef double slope = numbers(job.slopes)[layer]
    cdef real *Z = layer_memory(job, memory, layer, OUTPUTS, row) + begin
    cdef real *second = second_part(job, memory, layer, row) + begin
    for r in range(rows):
        if field(job, layer, SPLIT) != 0:
            add_multiple(end - begin, 1, second + r * width, Z + r * width)
        if layer < job.layers - 1:
            activate(activation, slope, Z + r * width, end - begin)


cdef void multiply_part(const Job *job, const real *like, int64_t task) noexcept nogil:
    """Compute a part of a layer's product for a group of rows, from the inputs' own columns."""
    cdef int64_t begin, end, stride, layer = job.layer
    cdef int64_t groups = groups_of(job, layer), width = field(job, layer, WIDTH_OUT)
    cdef int64_t part = task // groups, group = task % groups
    cdef int64_t row = group * job.tile_count // groups
    cdef int64_t rows = (group + 1) * job.tile_count // groups - row
    cdef int mode = FASTNN_BIAS
    cdef real *memory = reals(like, job.tiles)
    cdef real *Z = layer_memory(job, memory, layer, OUTPUTS, row)
    cdef real *W = reals(like, field(job, layer, PACKED))
    cdef real *b = reals(like, field(job, layer, BIAS))
    cdef real *A
    begin, end = part_of(job, layer, N_IN, part)
    if layer == 0:
        A, stride = inputs_of_part(job, like, begin, row)
        gather(job, like, A, stride, job.tile_start + row, rows, begin, end)
    else:
        A, stride = layer_memory(job, memory, layer - 1, OUTPUTS, row), field(job, layer, WIDTH_IN)
        finish_parts(job, memory, layer - 1, row, rows, begin, padded(like, end))
    if part > 0:
        Z, mode = second_part(job, like, layer, row), FASTNN_STORE
    multiply(rows, width, end - begin, A + begin, stride, 1, W + begin * width, width, Z, width, mode, b)


cdef void pass_rows(const Job *job, const real *like, int64_t thread, int64_t task) noexcept nogil:
    """Take some rows through the layers that are not divided, the output and the loss, and back."""
    cdef int64_t stride, divided = job.divided, row = task * job.task_rows
    cdef int64_t rows = min(job.task_rows, job.tile_count - row), first = job.tile_start + row
    cdef real *memory = reals(like, job.tiles)
    cdef real *A
    if divided == 0:
        A, stride = inputs(job, like, SHARED, job.tile_start, row), input_stride(job)
        gather(job, like, A, stride, first, rows, 0, job.n_inputs)
    else:
        A, stride = layer_memory(job, memory, divided - 1, OUTPUTS, row), field(job, divided - 1, WIDTH_OUT)
        finish_parts(job, memory, divided - 1, row, rows, 0, stride)
    forward(job, memory, divided, A, stride, row, rows)
    output_deltas(job, thread, memory, row, rows, first, numbers(job.row_losses) + row)
    backward(job, memory, divided, row, rows)


cdef inline real *thread_scratch(const Job *job, const real *like, int64_t thread) noexcept nogil:
    """Return the pointer to a thread's own memory: a block's transposed weights, then its gradient, or vectors."""
    return reals(like, job.scratch) + thread * job.scratch_size


cdef void deltas_below(
    const Job *job, real *memory, int64_t thread, int64_t layer, int64_t begin, int64_t end
) noexcept nogil:
    """Compute the deltas of the units of the layer below with weights begin .. end.

    The block is transposed anew for each tile, in cache. A transposed copy of the layer would leave no room there for
    the weights: batches of 100 of 64-1024-1024-10 took 1.33 times as long, 784-512-512-10 1.02 times.
    """
    cdef int64_t width_in = field(job, layer, WIDTH_IN), width = field(job, layer, WIDTH_OUT)
    cdef int64_t r, depth = field(job, layer, N_OUT), activation = field(job, layer - 1, ACTIVATION)
    cdef int64_t units = padded(memory, end - begin)
    cdef double slope = numbers(job.slopes)[layer - 1]
    cdef real *delta = layer_memory(job, memory, layer, DELTAS, 0)
    cdef real *C = layer_memory(job, memory, layer - 1, DELTAS, 0) + begin
    cdef real *A = layer_memory(job, memory, layer - 1, OUTPUTS, 0) + begin
    cdef real *W_T = thread_scratch(job, memory, thread)
    # columns after the block's are whatever was there: nobody reads what comes of them
    transpose(end - begin, depth, reals(memory, field(job, layer, PACKED)) + begin * width, width, W_T, units)
    multiply(job.tile_count, units, depth, delta, width, 1, W_T, units, C, width_in, FASTNN_STORE, C)
    for r in range(job.tile_count):
        multiply_by_derivative(activation, slope, A + r * width_in, C + r * width_in, units)


cdef inline real *block_sums(
    const Job *job, const real *like, int64_t thread, int64_t layer, int64_t begin
) noexcept nogil:
    """Return the pointer to the gradient that a block is added to, as if all of it was there.

    A step of one tile needs no more than the block: it goes where the thread's last block was, which is still in cache.
    """
    if job.tile_count < job.batch_rows or field(job, layer, FLIPPED):
        return reals(like, job.sums)
    return thread_scratch(job, like, thread) - (field(job, layer, SUMS) + begin * field(job, layer, WIDTH_OUT))


cdef void add_block(const Job *job, const real *like, int64_t thread, int64_t task) noexcept nogil:
    """Take the tile through a block of a layer's weights: the deltas below, if they are not there, and the gradient.

    After a step's last tile the gradient is used.
    """
    cdef int64_t *entry = integers(job.block_table) + 3 * task
    cdef int64_t layer = entry[0], begin = entry[1], end = entry[2], n_in = field(job, layer, N_IN), stride
    cdef int mode = FASTNN_STORE if job.tile_start == job.batch_start else FASTNN_ADD
    cdef real *memory = reals(like, job.tiles)
    cdef real *sums = block_sums(job, like, thread, layer, begin)
    cdef real *A
    if 0 < layer < job.divided and begin < n_in:
        deltas_below(job, memory, thread, layer, begin, min(end, n_in))
    A, stride = inputs_of_part(job, like, begin, 0)
    add_gradient(job, memory, A, stride, layer, begin, end, job.tile_count, sums, mode)
    if job.tile_start + job.tile_count == job.batch_start + job.batch_rows:
        finish_block(job, sums, layer, begin, end)
