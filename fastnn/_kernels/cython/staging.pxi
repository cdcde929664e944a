# Windows of samples, copied together in the order of their visit: the steps then find them one after the other.
#
# Rows in random order of a large data set are cache misses, each about as long as a small network's step on the row. A
# second thread takes them on itself, one window ahead. To the steps, a window looks like data without an order.

cdef enum:
    AHEAD = 16  # samples: about as many cache lines as a core can ask for at a time


cdef inline real *staged_rows(const Job *job, const real *like, int64_t parity) noexcept nogil:
    """Return the pointer to the rows of a window."""
    return reals(like, job.staged) + parity * job.window * job.n_inputs


cdef inline int64_t staged_targets(const Job *job, int64_t parity) noexcept nogil:
    """Return the address of a window's labels or targets."""
    cdef int64_t size = 8 if job.source_labels != 0 else job.n_outputs * job.itemsize
    return job.staged_targets + parity * job.window * size


cdef inline void prefetch_source(const Job *job, const real *like, int64_t sample) noexcept nogil:
    """Ask for a sample's row and target."""
    prefetch(reals(like, job.source_X) + sample * job.n_inputs, job.n_inputs)
    if job.source_labels != 0:
        fastnn_prefetch(integers(job.source_labels) + sample, sizeof(int64_t))
    else:
        prefetch(reals(like, job.source_targets) + sample * job.n_outputs, job.n_outputs)


cdef void stage(const Job *job, const real *like) noexcept nogil:
    """Copy the next window's samples together."""
    cdef int64_t i, sample, ahead, n = job.n_inputs, K = job.n_outputs, parity = 1 - job.parity
    cdef int64_t *order = integers(job.source_order)
    cdef int64_t targets = staged_targets(job, parity)
    cdef real *X = reals(like, job.source_X)
    cdef real *Y = reals(like, job.source_targets)
    cdef real *rows = staged_rows(job, like, parity)
    for i in range(job.next_count):
        sample, ahead = order[job.next_start + i], job.next_start + i + AHEAD
        if ahead < job.samples:
            prefetch_source(job, like, order[ahead])
        memcpy(rows + i * n, X + sample * n, n * sizeof(real))
        if job.source_labels != 0:
            integers(targets)[i] = integers(job.source_labels)[sample]
        else:
            memcpy(reals(like, targets) + i * K, Y + sample * K, K * sizeof(real))


cdef void enter_window(Job *job) noexcept nogil:
    """Make the next window the one under way, seen as data whose sample 0 is that of the epoch; name the next."""
    cdef int64_t start = job.next_start, targets = staged_targets(job, 1 - job.parity)
    job.parity = 1 - job.parity
    job.X = job.staged + (job.parity * job.window - start) * job.n_inputs * job.itemsize
    if job.source_labels != 0:
        job.labels = targets - start * 8
    else:
        job.targets = targets - start * job.n_outputs * job.itemsize
    job.tile_count = job.next_count
    job.next_start += job.next_count
    job.next_count = min(job.window, job.samples - job.next_start)
