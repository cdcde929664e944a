# Windows of samples, copied together in the order of their visit: the steps then find them one after the other.
#
# Rows in random order of a large data set are cache misses, each about as long as a small network's step on the row. A
# second thread takes them on itself, one window ahead; the first helps it when it is done with its own window. To the
# steps, a window looks like data without an order.

cdef enum:
    AHEAD = 16  # samples: about as many cache lines as a core can ask for at a time
    # Of a task: the thread that is done with its steps takes some, if the other core is far from memory or from it
    # (20-16-1, batch 100, where a cache line takes 400 ns from core to core and back: 10 us a step became 5.8).
    PIECE_SAMPLES = 128


cdef inline real *staged_rows(const Job *job, const real *like, int64_t parity) noexcept nogil:
    """Return the pointer to the rows of a window."""
    return reals(like, job.staged) + parity * job.window * job.n_inputs


cdef inline int64_t staged_targets(const Job *job, int64_t parity) noexcept nogil:
    """Return the address of a window's labels or targets."""
    cdef int64_t size = 8 if job.source_labels != 0 else job.n_outputs * job.itemsize
    return job.staged_targets + parity * job.window * size


cdef inline int64_t pieces_of(const Job *job) noexcept nogil:
    """Return into how many tasks the copying of the next window is divided."""
    return (job.next_count + PIECE_SAMPLES - 1) // PIECE_SAMPLES


cdef void stage(const Job *job, const real *like, int64_t task) noexcept nogil:
    """Copy a piece of the next window's samples together.

    The job's fields are read once: others share their cache lines, and the leading thread writes those at each step.
    """
    cdef int64_t i, sample, n = job.n_inputs, K = job.n_outputs, parity = 1 - job.parity
    cdef int64_t start = job.next_start, known = job.samples - AHEAD - start
    # The helper's queue is the second half of the tasks: it begins with the first pieces, then goes on with the others.
    cdef int64_t pieces = pieces_of(job), piece = (task + pieces - pieces // 2) % pieces
    cdef int64_t first = piece * PIECE_SAMPLES, last = min(first + PIECE_SAMPLES, job.next_count)
    cdef int64_t *order = integers(job.source_order) + start
    cdef int64_t *labels = integers(job.source_labels)
    cdef int64_t *staged_labels = integers(staged_targets(job, parity))
    cdef real *X = reals(like, job.source_X)
    cdef real *Y = reals(like, job.source_targets)
    cdef real *rows = staged_rows(job, like, parity)
    cdef real *targets = reals(like, staged_targets(job, parity))
    cdef bint labelled = job.source_labels != 0
    for i in range(first, last):
        sample = order[i]
        if i < known:
            prefetch(X + order[i + AHEAD] * n, n)
            if labelled:
                fastnn_prefetch(labels + order[i + AHEAD], sizeof(int64_t))
            else:
                prefetch(Y + order[i + AHEAD] * K, K)
        memcpy(rows + i * n, X + sample * n, n * sizeof(real))
        if labelled:
            staged_labels[i] = labels[sample]
        else:
            memcpy(targets + i * K, Y + sample * K, K * sizeof(real))


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
