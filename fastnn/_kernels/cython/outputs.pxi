# The output unit and the loss: from a tile's Z_L to its outputs, or to the first deltas and each row's loss.

cdef enum:  # the codes of contract.py
    SIGMOID = 1
    SOFTMAX = 5

cdef enum:
    SOFTMAX_LOSS
    SIGMOID_LOSS


cdef void compact(const real *Z, int64_t width, int64_t K, int64_t rows, real *outputs) noexcept nogil:
    """Copy the first K of each row of Z next to each other."""
    cdef int64_t r, k
    for r in range(rows):
        for k in range(K):
            outputs[r * K + k] = Z[r * width + k]


cdef void output_units(
    const Job *job, int64_t thread, real *memory, int64_t rows, real *outputs
) noexcept nogil:
    """Write A_L of the rows next to each other, from Z_L."""
    cdef int64_t last = job.layers - 1
    cdef int64_t K = job.n_outputs, width = field(job, last, WIDTH_OUT), activation = field(job, last, ACTIVATION)
    cdef real *Z = layer_memory(job, memory, last, OUTPUTS, 0)
    if activation == SOFTMAX:
        softmax_rows(job, thread, Z, width, rows, outputs)
    else:
        compact(Z, width, K, rows, outputs)
        activate(activation, numbers(job.slopes)[last], outputs, rows * K)


cdef void load_binary_labels(const Job *job, real *Y, int64_t first, int64_t rows) noexcept nogil:
    """Write the labels of the samples visited from the first-th on as targets of a single output: they are 0 and 1."""
    cdef int64_t r
    cdef const int64_t *labels = integers(job.labels)
    cdef const int64_t *order = integers(job.order)
    if job.order == 0:
        for r in range(rows):
            Y[r] = <real>labels[first + r]
    else:
        for r in range(rows):
            Y[r] = <real>labels[order[first + r]]


cdef void load_targets(const Job *job, real *Y, int64_t first, int64_t rows) noexcept nogil:
    """Copy the targets of the samples visited from the first-th on next to each other; labels become 0 and 1."""
    cdef int64_t r, k, sample, K = job.n_outputs
    cdef real *targets = reals(Y, job.targets)
    cdef real *y
    if job.labels != 0 and K == 1:
        load_binary_labels(job, Y, first, rows)
        return
    for r in range(rows):
        sample, y = sample_at(job, first + r), Y + r * K
        if job.labels != 0:
            for k in range(K):
                y[k] = k == integers(job.labels)[sample]
        elif K == 1:
            y[0] = targets[sample]
        else:
            for k in range(K):
                y[k] = targets[sample * K + k]


cdef real *targets_of(const Job *job, real *Y, int64_t first, int64_t rows) noexcept nogil:
    """Return the pointer to the rows' targets: in the data where they lie next to each other, copied to Y otherwise."""
    if job.order == 0 and job.labels == 0:
        return reals(Y, job.targets) + first * job.n_outputs
    load_targets(job, Y, first, rows)
    return Y


cdef void add_outputs(const real *values, int64_t K, int64_t rows, double *losses) noexcept nogil:
    """Write the sum of each row's K values."""
    cdef int64_t r, k
    cdef double total
    if K == 1:
        for r in range(rows):
            losses[r] = values[r]
        return
    for r in range(rows):
        total = 0.0
        for k in range(r * K, r * K + K):
            total += values[k]
        losses[r] = total


cdef void sigmoid_deltas(
    const Job *job, real *outputs, const real *Y, real *entropies, int64_t rows, double *losses
) noexcept nogil:
    """Turn the outputs' z into sigmoid(z) - y, and write each row's loss."""
    cdef int64_t i, K = job.n_outputs
    sigmoid_cross_entropy_array(outputs, Y, entropies, rows * K)
    activate(SIGMOID, 0.0, outputs, rows * K)
    for i in range(rows * K):
        outputs[i] -= Y[i]
    add_outputs(entropies, K, rows, losses)


cdef void linear_deltas(real *Z, int64_t width, const real *Y, int64_t K, int64_t rows, double *losses) noexcept nogil:
    """Turn each row's z into z - y, and write its loss."""
    cdef int64_t r, k
    cdef double total
    cdef real delta
    for r in range(rows):
        total = 0.0
        for k in range(K):
            delta = Z[r * width + k] - Y[r * K + k]
            Z[r * width + k] = delta
            total += delta * delta
        losses[r] = total / 2


cdef void output_deltas(
    const Job *job, int64_t thread, real *memory, int64_t row, int64_t rows, int64_t first, double *losses
) noexcept nogil:
    """Turn Z_L of the rows into delta_L = A_L - Y, and write each row's loss.

    ``first`` is the sample of the first row. Losses come from Z_L: a saturated output has a finite, right one.
    """
    cdef int64_t r, k, last = job.layers - 1
    cdef int64_t K = job.n_outputs, width = field(job, last, WIDTH_OUT), n = job.tile_rows * job.n_outputs
    cdef real *Z = layer_memory(job, memory, last, OUTPUTS, row)
    cdef real *outputs = memory + job.compact + row * K
    cdef real *Y = outputs + n
    cdef real *entropies = outputs + 2 * n
    if job.loss == SOFTMAX_LOSS:
        softmax_deltas(job, thread, Z, width, first, rows, losses)
        return
    Y = targets_of(job, Y, first, rows)
    if job.loss != SIGMOID_LOSS:
        linear_deltas(Z, width, Y, K, rows, losses)
        return
    if width == K:
        sigmoid_deltas(job, Z, Y, entropies, rows, losses)
        return
    compact(Z, width, K, rows, outputs)
    sigmoid_deltas(job, outputs, Y, entropies, rows, losses)
    for r in range(rows):
        for k in range(K):
            Z[r * width + k] = outputs[r * K + k]
