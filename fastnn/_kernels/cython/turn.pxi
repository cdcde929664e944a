# The turn from one sample to the next in the second layer, if its updates are deferred: one pass over its weights.
#
# Row j of the weights, those of the first layer's unit j, gives the last sample's delta of that unit; times the unit's
# output for the next sample it is then added to the second layer's outputs. Of the last sample's deltas in the first
# layer that output needs its own unit's alone: the product of the inputs is known, and corrections go unit by unit. So
# a block of rows serves both samples while it is in the first-level cache, which takes half of the traffic from the
# second one, and threads, each with its own units, meet once a sample here, not twice.

cdef enum:
    # Of eight rows; of longer ones four go together: half of the next block needs room in the first-level cache as well.
    BLOCK_BYTES = 16384


cdef inline int64_t turn_tasks(const Job *job) noexcept nogil:
    """Return into how many tasks a turn is divided: so many summands its outputs have."""
    return parts_of(job, 1) * job.turned


cdef inline real *turn_outputs(const Job *job, const real *like, int64_t task) noexcept nogil:
    """Return the pointer to a task's summand of the second layer's outputs, and of the products of the first's."""
    return second_deltas(job, like) + task * (field(job, 1, WIDTH_OUT) + job.tile_rows)


cdef inline real *delta_products(const Job *job, const real *like) noexcept nogil:
    """Return the pointer to the products of the last sample's deltas in the second layer with the earlier ones."""
    return gram_part(job, like, 2, 0)


cdef void start_turn(Job *job, const real *like, int64_t t) noexcept nogil:
    """Compute what all tasks of the turn to sample t need: the factors of their corrections."""
    cdef int64_t width = field(job, 1, WIDTH_OUT)
    cdef real *D = layer_memory(job, reals(like, job.tiles), 1, DELTAS, 0)
    job.layer, job.sample = 1, t
    if t > 0:
        dots(t - 1, width, D, width, D + (t - 1) * width, delta_products(job, like))
    if t < job.tile_count:
        add_second_gram(job, like, t)


cdef void run_turn(Job *job, const real *like, int64_t thread, int64_t t, double c) noexcept nogil:
    """Take the last sample down through the second layer and sample t up, as far as both are in the block."""
    start_turn(job, like, t)
    if field(job, 1, SPLIT) == 0:
        run_task(job, like, thread, TURN, 0)
    else:
        run_phase(job, like, thread, TURN, 0, turn_tasks(job))
    if t > 0:
        scale_deltas(job, like, 1, t - 1, c)


cdef void finish_turn(const Job *job, const real *like) noexcept nogil:
    """Add the tasks' summands, the corrections and the biases to the second layer's outputs."""
    cdef int64_t task, t = job.sample, width = field(job, 1, WIDTH_OUT)
    cdef real *memory = reals(like, job.tiles)
    cdef real *z = layer_memory(job, memory, 1, OUTPUTS, t)
    cdef real *products = turn_outputs(job, like, 0) + width
    memcpy(z, turn_outputs(job, like, 0), width * sizeof(real))
    for task in range(1, turn_tasks(job)):
        add_multiple(width, 1, turn_outputs(job, like, task), z)
        add_multiple(padded(like, t), 1, turn_outputs(job, like, task) + width, products)
    add_rows(t, width, layer_memory(job, memory, 1, DELTAS, 0), width, products, z)
    finish_outputs(job, 1, z, job.scale, 0, width)


cdef void start_units(
    const Job *job, const real *like, int64_t begin, int64_t units, real *corrections, real *z
) noexcept nogil:
    """Compute the corrections of some units' deltas for the last sample, and a W / s for the next one.

    Of the latter's corrections the last sample's is missing.
    """
    cdef int64_t t = job.sample, width = field(job, 0, WIDTH_OUT)
    cdef real *memory = reals(like, job.tiles)
    cdef real *A = layer_memory(job, memory, 0, OUTPUTS, 0) + begin
    cdef real *D = layer_memory(job, memory, 0, DELTAS, 0) + begin
    memset(corrections, 0, units * sizeof(real))
    add_rows(t - 1, units, A, width, delta_products(job, like), corrections)
    if t < job.tile_count:
        memcpy(z, A + t * width, units * sizeof(real))
        if field(job, 0, SPLIT) != 0:
            add_multiple(units, 1, second_part(job, like, 0, t) + begin, z)
        add_rows(t - 1, units, D, width, gram_part(job, like, 0, t), z)


cdef void turn_vectors(
    const Job *job, int64_t begin, int64_t units, const real *sums, const real *corrections, const real *z
) noexcept nogil:
    """Go from the last sample's sums in some units to its deltas, and on to their outputs for the next one."""
    cdef fastnn_turn turn
    cdef int64_t t = job.sample
    cdef real *memory = reals(sums, job.tiles)
    cdef real *A = layer_memory(job, memory, 0, OUTPUTS, t) + begin
    cdef real *D = layer_memory(job, memory, 0, DELTAS, t - 1) + begin
    cdef real *b = reals(sums, field(job, 0, BIAS)) + begin
    turn.units = layer_of(job, 0, job.scale)
    turn.units.n, turn.units.width = turn.units.n - begin, units
    turn.last, turn.next, turn.delta_scale = t > 0, t < job.tile_count, job.delta_scale
    # b += s_t D: the bias, which is not shrunk, takes the step of a weight whose input is 1
    turn.overlap = 1 + gram_part(job, sums, 0, t)[t - 1] if turn.last and turn.next else 0
    if real is float:
        F32.turn(&turn, sums, corrections, A - field(job, 0, WIDTH_OUT), z, b, D, A)
    else:
        F64.turn(&turn, sums, corrections, A - field(job, 0, WIDTH_OUT), z, b, D, A)


cdef void turn_units(const Job *job, const real *like, int64_t thread, int64_t task) noexcept nogil:
    """Take a task's units of the first layer from the last sample to the next."""
    cdef int64_t rows, first, begin, end, units, j = 0, t = job.sample, lanes = padded(like, 1)
    cdef int64_t width_in = field(job, 1, WIDTH_IN), width = field(job, 1, WIDTH_OUT)
    cdef int64_t block = 8 if 8 * width * <int64_t>sizeof(real) <= BLOCK_BYTES else 4
    cdef real *A = layer_memory(job, reals(like, job.tiles), 0, OUTPUTS, 0)
    cdef real *D = layer_memory(job, reals(like, job.tiles), 0, DELTAS, 0)
    cdef real *delta = layer_memory(job, reals(like, job.tiles), 1, DELTAS, t - 1)
    cdef real *W = reals(like, field(job, 1, PACKED))
    cdef real *out = turn_outputs(job, like, task)
    cdef real *sums = thread_scratch(job, like, thread)
    cdef real *corrections = sums + width_in
    cdef real *z = corrections + width_in
    begin, end = part_of(job, 1, N_IN, task // job.turned)
    begin, end = share_of(like, begin, end, task % job.turned, job.turned)
    units = padded(like, end - begin)
    start_units(job, like, begin, units, corrections, z)
    memset(sums, 0, units * sizeof(real))
    memset(out, 0, width * sizeof(real))
    while begin + j < end:
        rows, first = min(block, end - begin - j), j // lanes * lanes
        if t > 0:
            dots(rows, width, W + (begin + j) * width, width, delta, sums + j)
        turn_vectors(
            job, begin + first, padded(like, j + rows) - first, sums + first, corrections + first, z + first
        )
        if t < job.tile_count:
            add_rows_and_ask(rows, width, W + (begin + j) * width, width, A + t * width_in + begin + j, out)
        j += block
    if t > 0:
        add_multiple(units, <real>job.scale, D + (t - 1) * width_in + begin, reals(like, field(job, 0, BIAS)) + begin)
    if t < job.tile_count:
        dots(t, units, A + begin, width_in, A + t * width_in + begin, out + width)
