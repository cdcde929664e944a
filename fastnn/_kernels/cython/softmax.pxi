# Softmax and its cross entropy: a vector's lanes are that many rows, whose logits a thread takes as columns.
#
# A single sample's are taken one by one: the lanes of others would be empty (20-16-3, SGD: 1.3 times as long).

cdef enum:
    SQUARE = 4  # side of the squares that are transposed


cdef inline real *logits_memory(const Job *job, const real *like, int64_t thread) noexcept nogil:
    """Return the pointer to a thread's logits, as many vectors as the output layer is wide; labels come after them."""
    return reals(like, job.logits) + thread * job.logits_size


cdef void softmax_rows(
    const Job *job, int64_t thread, const real *Z, int64_t width, int64_t rows, real *outputs
) noexcept nogil:
    """Write softmax(z) of the rows next to each other."""
    cdef int64_t n, r = 0, K = job.n_outputs, lanes = padded(Z, 1)
    cdef int64_t cols = min(width, (K + SQUARE - 1) // SQUARE * SQUARE)
    cdef real *T = logits_memory(job, Z, thread)
    while r < rows:
        n = min(lanes, rows - r)
        transpose(n, cols, Z + r * width, width, T, lanes)
        if real is float:
            F32.softmax(K, T)
        else:
            F64.softmax(K, T)
        transpose(K, n, T, lanes, outputs + r * K, K)
        r += n


cdef void softmax_deltas(
    const Job *job, int64_t thread, real *Z, int64_t width, int64_t first, int64_t rows, double *losses
) noexcept nogil:
    """Turn z of the rows visited from the first-th on into softmax minus the labels' ones, and write each row's loss."""
    cdef int64_t i, n, r = 0, K = job.n_outputs, lanes = padded(Z, 1)
    cdef int64_t cols = min(width, (K + SQUARE - 1) // SQUARE * SQUARE)
    cdef real *T = logits_memory(job, Z, thread)
    cdef real *labels = T + width * lanes
    while r < rows:
        n = min(lanes, rows - r)
        transpose(n, cols, Z + r * width, width, T, lanes)
        for i in range(n):
            labels[i] = <real>integers(job.labels)[sample_at(job, first + r + i)]
        if real is float:
            F32.softmax_deltas(K, T, labels)
        else:
            F64.softmax_deltas(K, T, labels)
        for i in range(n):
            losses[r + i] = labels[i]
        transpose(cols, n, T, lanes, Z + r * width, width)
        r += n


cdef void sample_softmax_delta(const Job *job, real *z, int64_t sample, double *loss) noexcept nogil:
    """Turn z of one sample into softmax minus the label's one, and write its loss."""
    cdef int64_t k, K = job.n_outputs, label = integers(job.labels)[sample]
    cdef real top = z[0], inverse
    cdef double total = 0.0, others = 0.0  # one number near 1 and small ones, and their sum's logarithm is a small loss
    for k in range(1, K):
        top = z[k] if z[k] > top else top
    loss[0] = top - z[label]
    for k in range(K):
        z[k] -= top
    exp_array(z, K)
    for k in range(K):
        total += z[k]
    loss[0] += log(total)
    inverse = <real>(1 / total)
    for k in range(K):
        z[k] *= inverse
    z[label] = 0
    for k in range(K):
        others += z[k]
    z[label] = <real>-others  # 1 - softmax from the other outputs: it may have rounded to 1
