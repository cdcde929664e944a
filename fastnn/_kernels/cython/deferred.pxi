# One sample's way through a layer after the second whose updates are deferred: products, and corrections.
#
# The weights are transposed, (n_out, width_in), and divided by their rows, the layer's units: a part of them gives its
# own units' outputs, and its own summand of the deltas below. So each thread reads the same weights forward and back,
# and a layer that is too large for one core's cache may fit in those of two.

cdef inline (int64_t, int64_t, int64_t) part_and_group(const Job *job, int64_t layer, int64_t task) noexcept nogil:
    """Return the part that a task is about, and which group of how many it is."""
    cdef int64_t groups = 1 if field(job, layer, SPLIT) == 0 else groups_of(job, layer)
    return task // groups, task % groups, groups


cdef void project_units(const Job *job, const real *like, int64_t thread, int64_t task) noexcept nogil:
    """Compute the outputs of a group of a part's units."""
    cdef int64_t layer = job.layer, t = job.sample, part, group, groups, begin, end, last
    cdef int64_t width_in = field(job, layer, WIDTH_IN), width = field(job, layer, WIDTH_OUT)
    cdef real *memory = reals(like, job.tiles)
    cdef real *A = layer_memory(job, memory, layer - 1, OUTPUTS, 0)
    cdef real *a = A + t * width_in
    cdef real *D = layer_memory(job, memory, layer, DELTAS, 0)
    cdef real *V = reals(like, field(job, layer, TRANSPOSED))
    cdef real *z = layer_memory(job, memory, layer, OUTPUTS, t)
    cdef real *products = thread_scratch(job, like, thread)
    part, group, groups = part_and_group(job, layer, task)
    begin, end = part_of(job, layer, N_OUT, part)
    begin, end = share_of(like, begin, end, group, groups)
    last = padded(like, end)
    dots(end - begin, width_in, V + begin * width_in, width_in, a, z + begin)
    dots(t, width_in, A, width_in, a, products)
    add_rows(t, last - begin, D + begin, width, products, z + begin)
    finish_outputs(job, layer, z, job.scale, begin, last)


cdef void sum_deltas(const Job *job, const real *like, int64_t thread, int64_t task) noexcept nogil:
    """Compute a part's units' summand of a group of the deltas below."""
    cdef int64_t layer = job.layer, t = job.sample, part, group, groups, begin, end, first, last
    cdef int64_t width_in = field(job, layer, WIDTH_IN), width = field(job, layer, WIDTH_OUT)
    cdef real *memory = reals(like, job.tiles)
    cdef real *A = layer_memory(job, memory, layer - 1, OUTPUTS, 0)
    cdef real *D = layer_memory(job, memory, layer, DELTAS, 0)
    cdef real *V = reals(like, field(job, layer, TRANSPOSED))
    cdef real *sums = second_deltas(job, like)
    cdef real *products = thread_scratch(job, like, thread)
    cdef real *delta
    part, group, groups = part_and_group(job, layer, task)
    begin, end = part_of(job, layer, N_OUT, part)
    first, last = share_of(like, 0, width_in, group, groups)
    if part == 0:
        sums = layer_memory(job, memory, layer - 1, DELTAS, t)
    D, sums = D + begin, sums + first
    delta = D + t * width
    memset(sums, 0, (last - first) * sizeof(real))
    add_rows(end - begin, last - first, V + begin * width_in + first, width_in, delta, sums)
    dots(t, padded(like, end) - begin, D, width, delta, products)
    add_rows(t, last - first, A + first, width_in, products, sums)
