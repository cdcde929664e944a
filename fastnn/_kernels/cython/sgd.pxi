# Exact stochastic gradient descent in blocks of samples; the derivation is in docs/exact-sgd.md.
#
# Weights are stored as U = W / s, with the factor that the penalty shrinks them by, s_{t+1} = s_t (1 - alpha_t l2). Within
# a block those of a large layer stay as they were, U_0. With c_u = alpha_u / s_{u+1} the weights before step t are
#
#     W_t = s_t (U_0 - sum_{u < t} c_u a_u^T delta_u),
#
# so that z_t = s_t (a_t U_0 - sum_{u < t} c_u (a_t . a_u) delta_u) + b_t: one product for the whole block in the first
# layer, where a_t is given, and small corrections. At its end the block's updates are one product again. These are the
# steps of one-at-a-time descent, in other order of additions. A small layer takes its update at once instead (U_t =
# W_t / s_t changes by -c_t a_t^T delta_t). The walk through the samples is in walk.pxi.

cdef void prepare_sample(const Job *job, const real *like, int64_t t) noexcept nogil:
    """Copy a row of the next block to the others."""
    cdef int64_t width = field(job, 0, WIDTH_IN), ahead = job.next_start + job.next_count + t
    cdef real *x = block_inputs(job, like, 1 - job.parity) + t * width
    cdef real *row = reals(like, job.X) + sample_at(job, job.next_start + t) * job.n_inputs
    memcpy(x, row, job.n_inputs * sizeof(real))
    if ahead < job.samples:
        prefetch_sample(job, like, sample_at(job, ahead))


cdef void prepare(const Job *job, const real *like) noexcept nogil:
    """Prepare the next block's samples; a first layer that is not deferred takes its rows where they are."""
    cdef int64_t t
    if field(job, 0, DEFERRED):
        for t in range(job.next_count):
            prepare_sample(job, like, t)


cdef enum:
    GRAM_ROWS = 4  # of a call of gram_rows


cdef void add_gram(const Job *job, const real *like, int64_t part, int64_t member, int64_t members) noexcept nogil:
    """Compute a part's summand of the block's Gram matrix, from the columns that it multiplies.

    Of so many members each takes groups of rows, each longer than the one before, in turns.
    """
    cdef int64_t begin, end, turn, group = 0, width = field(job, 0, WIDTH_IN)
    cdef real *X = block_inputs(job, like, job.parity)
    begin, end = part_of(job, 0, N_IN, part)
    while group * GRAM_ROWS < job.tile_count:
        turn = group % (2 * members)  # forth and back
        if turn == member or turn == 2 * members - 1 - member:
            gram_rows(
                group * GRAM_ROWS, padded(like, end) - begin, X + begin, width, gram_part(job, like, part, 0),
                job.tile_rows,
            )
        group += 1


cdef void project_part(const Job *job, const real *like, int64_t task) noexcept nogil:
    """Compute X W of the block for a part of the inputs and a group of its samples, and a share of its X X^T."""
    cdef int64_t begin, end, groups = groups_of(job, 0)
    cdef int64_t width = field(job, 0, WIDTH_OUT), stride = field(job, 0, WIDTH_IN)
    cdef int64_t part = task // groups, group = task % groups
    cdef int64_t t = group * job.tile_count // groups
    cdef int64_t rows = (group + 1) * job.tile_count // groups - t
    cdef real *Z = second_part(job, like, 0, t)
    cdef real *X = block_inputs(job, like, job.parity) + t * stride
    cdef real *W = reals(like, field(job, 0, PACKED))
    if part == 0:
        Z = layer_memory(job, reals(like, job.tiles), 0, OUTPUTS, t)
    begin, end = part_of(job, 0, N_IN, part)
    multiply(rows, width, end - begin, X + begin, stride, 1, W + begin * width, width, Z, width, FASTNN_STORE, Z)
    add_gram(job, like, part, group, groups)


cdef enum:
    # In float32 a factor nearer to 1 than some 1e-7 is 1: after so many samples it is far enough, after a block it may not
    # be. Calls begin at multiples of so many: whatever their length, the bits are the same.
    FOLDED_SAMPLES = 1024


cdef inline double factor_to_fold(const Job *job) noexcept nogil:
    """Return the factor of the penalty that goes into the weights at this block's end; 1: it is carried on."""
    cdef bint folds = job.next_count == 0 or job.next_start % FOLDED_SAMPLES == 0 or job.scale < 0.5
    return job.scale if folds else 1.0


cdef void add_updates(const Job *job, const real *like, int64_t task) noexcept nogil:
    """Apply the block's deferred updates to rows of one layer's weights; scale them by what is folded of the factor."""
    cdef int64_t *entry = integers(job.block_table) + 3 * task
    cdef int64_t layer = entry[0], begin = entry[1], end = entry[2]
    cdef int64_t i, width_in = field(job, layer, WIDTH_IN), width = field(job, layer, WIDTH_OUT), a_row, columns
    cdef real folded = <real>job.folded
    cdef real *memory = reals(like, job.tiles)
    cdef real *D = layer_memory(job, memory, layer, DELTAS, 0)
    cdef real *A = block_inputs(job, like, job.parity)
    cdef real *B = D
    cdef real *M
    if layer > 0:
        A = layer_memory(job, memory, layer - 1, OUTPUTS, 0)
    if field(job, layer, TRANSPOSED) == 0:
        a_row, columns, M = width_in, width, reals(like, field(job, layer, PACKED)) + begin * width
    else:
        A, a_row, B, columns = D, width, A, width_in
        M = reals(like, field(job, layer, TRANSPOSED)) + begin * width_in
    if field(job, layer, DEFERRED):
        multiply(end - begin, columns, job.tile_count, A + begin, 1, a_row, B, columns, M, columns, FASTNN_ADD, M)
    if job.folded != 1.0:
        for i in range((end - begin) * columns):
            M[i] *= folded


cdef void store_weights(const Job *job, const real *like) noexcept nogil:
    """Copy padded and transposed weights, and padded biases, back into the parameters."""
    cdef int64_t i, layer, n_in, n_out, width_in, width
    cdef real *theta = reals(like, job.parameters)
    cdef real *W
    for layer in range(job.layers):
        n_in, n_out = field(job, layer, N_IN), field(job, layer, N_OUT)
        width_in, width = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
        W = theta + field(job, layer, WEIGHTS)
        if field(job, layer, TRANSPOSED) != 0:
            transpose(n_out, n_in, reals(like, field(job, layer, TRANSPOSED)), width_in, W, n_out)
        elif n_out != width:
            for i in range(n_in):
                memcpy(W + i * n_out, reals(like, field(job, layer, PACKED)) + i * width, n_out * sizeof(real))
        if n_out != width:
            memcpy(theta + field(job, layer, BIASES), reals(like, field(job, layer, BIAS)), n_out * sizeof(real))
