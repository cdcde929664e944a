# A block of samples in per-sample descent: its inputs, its Gram matrix, its deltas; and what its network is like.

cdef inline real *block_inputs(const Job *job, const real *like, int64_t parity) noexcept nogil:
    """Return the pointer to the gathered rows of a block: the one under way, or the next."""
    return reals(like, job.gathered) + parity * job.tile_rows * field(job, 0, WIDTH_IN)


cdef inline real *gram_part(const Job *job, const real *like, int64_t part, int64_t t) noexcept nogil:
    """Return the pointer to row t of a part's summand of the block's Gram matrix."""
    return reals(like, job.gram) + (part * job.tile_rows + t) * job.tile_rows


cdef inline real *second_deltas(const Job *job, const real *like) noexcept nogil:
    """Return the pointer to the second part of the sums that become a sample's deltas, or to a turn's sums."""
    return reals(like, job.partials) + job.partials_size


cdef inline void add_second_gram(const Job *job, const real *like, int64_t t) noexcept nogil:
    """Add the second part of a sample's row of the Gram matrix, if there is one."""
    if field(job, 0, SPLIT) != 0:
        add_multiple(padded(like, t), 1, gram_part(job, like, 1, t), gram_part(job, like, 0, t))


cdef inline void scale_deltas(const Job *job, const real *like, int64_t layer, int64_t t, double c) noexcept nogil:
    """Multiply the sample's deltas of a deferred layer by -c, as corrections and the update have them."""
    cdef int64_t j
    cdef real factor = <real>-c
    cdef real *delta = layer_memory(job, reals(like, job.tiles), layer, DELTAS, t)
    for j in range(field(job, layer, WIDTH_OUT)):
        delta[j] *= factor


cdef inline real *row_of(const Job *job, const real *like, int64_t t) noexcept nogil:
    """Return the pointer to the first layer's input of the block's sample t."""
    if field(job, 0, DEFERRED):
        return block_inputs(job, like, job.parity) + t * field(job, 0, WIDTH_IN)
    return reals(like, job.X) + sample_at(job, job.tile_start + t) * job.n_inputs


cdef inline bint one_output(const Job *job) noexcept nogil:
    """Return whether the network ends in one output behind a hidden layer, whose weights are one vector."""
    return job.layers > 1 and field(job, job.layers - 1, WIDTH_OUT) == 1
