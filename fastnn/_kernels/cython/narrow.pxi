# Per-sample descent of a narrow network: one hidden layer of one or two vectors, and one output. The steps are in
# narrow.h.

cdef enum:
    SAMPLES_OF_PIECE = 4  # so many of the next block are asked for, then so many steps taken


cdef inline bint is_narrow(const Job *job, const real *like) noexcept nogil:
    """Return whether the network is one."""
    cdef bint small = not field(job, 0, DEFERRED) and field(job, 0, WIDTH_OUT) <= 2 * padded(like, 1)
    return job.layers == 2 and one_output(job) and small


cdef inline void walk_piece(const Job *job, fastnn_walk *piece, const real *like, int64_t first) noexcept nogil:
    """Take the piece's samples from the block's sample ``first`` on."""
    cdef real *memory = reals(like, job.tiles)
    cdef real *X = reals(like, job.X) + (0 if job.order != 0 else (job.tile_start + first) * job.n_inputs)
    cdef int64_t *order = integers(job.order) + job.tile_start + first if job.order != 0 else NULL
    cdef real *before = row_of(job, like, max(first - 1, 0))
    cdef real *logits = memory + job.compact + first
    cdef real *targets = logits + job.tile_rows
    cdef real *deltas = layer_memory(job, memory, 0, DELTAS, 0)
    cdef real *W = reals(like, field(job, 0, PACKED))
    cdef real *b = reals(like, field(job, 0, BIAS))
    cdef real *V = reals(like, field(job, 1, TRANSPOSED))
    cdef real *output_bias = reals(like, field(job, 1, BIAS))
    piece.rates = numbers(job.rates) + (job.tile_start + first) * job.rate_stride
    if real is float:
        F32.walk_narrow(piece, X, order, before, targets, W, b, V, output_bias, deltas, logits)
    else:
        F64.walk_narrow(piece, X, order, before, targets, W, b, V, output_bias, deltas, logits)


cdef double walk_narrow(Job *job, const real *like) noexcept nogil:
    """Take the block's samples one after the other; return the last step's rate relative to the weights' factor."""
    cdef int64_t t, first = 0, width = field(job, 0, WIDTH_OUT)
    cdef fastnn_walk piece
    cdef real *deltas = layer_memory(job, reals(like, job.tiles), 0, DELTAS, 0)
    piece.units, piece.activation = layer_of(job, 0, 1.0), field(job, 1, ACTIVATION)
    piece.n_in, piece.rate_stride, piece.l2, piece.scale, piece.c = job.n_inputs, job.rate_stride, job.l2, job.scale, 0.0
    while first < job.tile_count:
        piece.count = min(SAMPLES_OF_PIECE, job.tile_count - first)
        for t in range(job.tile_start + job.tile_rows + first, job.tile_start + job.tile_rows + first + piece.count):
            if t < job.samples:
                prefetch_sample(job, like, sample_at(job, t))
        walk_piece(job, &piece, like, first)
        first += piece.count
    if job.tile_count > 1:
        memcpy(deltas + (job.tile_count - 1) * width, deltas, width * sizeof(real))
    job.scale = piece.scale
    return piece.c
