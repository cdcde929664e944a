# Rows of a tile through the network: gather, forward, backward; then into the gradient.
#
# ``memory`` is a tile: it holds each layer's outputs and deltas, units padded to whole vectors, and a compact copy of the
# outputs and targets. ``row`` and ``rows`` choose a part of its rows.

cdef inline int64_t sample_at(const Job *job, int64_t i) noexcept nogil:
    """Return the row of the data that is visited as the i-th."""
    return integers(job.order)[i] if job.order != 0 else i


cdef inline real *inputs(const Job *job, const real *like, int64_t thread, int64_t first, int64_t row) noexcept nogil:
    """Return the pointer to the first layer's inputs for tile row ``row``; sample ``first`` is the tile's row 0."""
    if job.order == 0:
        return reals(like, job.X) + (first + row) * job.n_inputs
    return reals(like, job.gathered) + (thread * job.tile_rows + row) * field(job, 0, WIDTH_IN)


cdef inline int64_t input_stride(const Job *job) noexcept nogil:
    """Return the elements from one row of the first layer's inputs to the next."""
    return field(job, 0, WIDTH_IN) if job.order != 0 else job.n_inputs


cdef inline void prefetch_targets(const Job *job, const real *like, int64_t sample) noexcept nogil:
    """Ask for a sample's targets."""
    if job.labels != 0:
        fastnn_prefetch(integers(job.labels) + sample, sizeof(int64_t))
    else:
        prefetch(reals(like, job.targets) + sample * job.n_outputs, job.n_outputs)


cdef inline void prefetch_sample(const Job *job, const real *like, int64_t sample) noexcept nogil:
    """Ask for a sample: rows in random order are a cache miss each."""
    prefetch(reals(like, job.X) + sample * job.n_inputs, job.n_inputs)
    prefetch_targets(job, like, sample)


cdef void gather(
    const Job *job, const real *like, real *A, int64_t stride, int64_t first, int64_t rows, int64_t begin, int64_t end
) noexcept nogil:
    """Copy columns begin .. end of the rows visited from the first-th on together; ask for the thread's next ones."""
    cdef int64_t r, ahead, columns = end - begin
    cdef int64_t *order = integers(job.order)
    cdef real *X = reals(like, job.X)
    if job.order == 0:
        return
    for r in range(rows):
        memcpy(A + r * stride + begin, X + order[first + r] * job.n_inputs + begin, columns * sizeof(real))
        ahead = first + r + job.rows_ahead
        if ahead < job.samples:
            prefetch(X + order[ahead] * job.n_inputs + begin, columns)
            if begin == 0:
                prefetch_targets(job, like, order[ahead])


cdef inline real *layer_memory(const Job *job, real *memory, int64_t layer, int64_t column, int64_t row) noexcept nogil:
    """Return the pointer to a layer's outputs or deltas of tile row ``row``."""
    return memory + field(job, layer, column) + row * field(job, layer, WIDTH_OUT)


cdef void single_outputs(
    const Job *job, int64_t layer, const real *A, int64_t stride, int64_t rows, real *Z
) noexcept nogil:
    """Compute Z of a single output behind a hidden layer: a dot product a row."""
    cdef int64_t r
    cdef real bias = reals(A, field(job, layer, BIAS))[0]
    dots(rows, stride, A, stride, reals(A, field(job, layer, TRANSPOSED)), Z)
    for r in range(rows):
        Z[r] += bias


cdef void forward(
    const Job *job, real *memory, int64_t first, const real *A, int64_t stride, int64_t row, int64_t rows
) noexcept nogil:
    """Compute the outputs of the layers from ``first`` on, whose input is A; the last layer's are left as Z_L."""
    cdef int64_t layer, width
    cdef int mode
    cdef real *Z
    cdef real *W
    cdef real *b
    for layer in range(first, job.layers):
        width = field(job, layer, WIDTH_OUT)
        Z = layer_memory(job, memory, layer, OUTPUTS, row)
        W, b = reals(memory, field(job, layer, PACKED)), reals(memory, field(job, layer, BIAS))
        if width == 1:
            single_outputs(job, layer, A, stride, rows, Z)
        else:
            mode = FASTNN_BIAS_FROM_MEMORY if layer == 0 and job.order == 0 else FASTNN_BIAS
            multiply(rows, width, field(job, layer, N_IN), A, stride, 1, W, width, Z, width, mode, b)
        if layer < job.layers - 1:
            activate(field(job, layer, ACTIVATION), numbers(job.slopes)[layer], Z, rows * width)
        A, stride = Z, width


cdef void backward(const Job *job, real *memory, int64_t first, int64_t row, int64_t rows) noexcept nogil:
    """Compute the deltas below the layers from ``first`` on: delta_l = (delta_{l+1} W^T) * g'(A_l)."""
    cdef int64_t layer, width_in, width_out, depth
    cdef double slope
    cdef real *delta_out
    cdef real *delta_in
    cdef real *A
    cdef real *W_T
    for layer in range(job.layers - 1, max(first, 1) - 1, -1):
        width_in, width_out = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
        delta_out = layer_memory(job, memory, layer, DELTAS, row)
        delta_in = layer_memory(job, memory, layer - 1, DELTAS, row)
        A = layer_memory(job, memory, layer - 1, OUTPUTS, row)
        W_T, depth = reals(memory, field(job, layer, TRANSPOSED)), field(job, layer, N_OUT)
        multiply(
            rows, width_in, depth, delta_out, width_out, 1, W_T, width_in, delta_in, width_in, FASTNN_STORE, delta_in
        )
        slope = numbers(job.slopes)[layer - 1]
        multiply_by_derivative(field(job, layer - 1, ACTIVATION), slope, A, delta_in, rows * width_in)


cdef inline void add_bias_gradient(
    const Job *job, const real *delta, int64_t width, int64_t rows, real *C, int mode
) noexcept nogil:
    """Add the rows of delta to C: A^T of ones, both of whose strides are 0."""
    multiply(1, width, rows, reals(delta, job.one), 0, 0, delta, width, C, width, mode, C)


cdef void add_flipped_gradient(
    const Job *job, const real *A, int64_t stride, int64_t layer, const real *delta, real *sums, int64_t begin,
    int64_t end, int64_t rows, int mode,
) noexcept nogil:
    """Add delta^T A to columns begin .. end of a layer's flipped sums; the biases' come after its rows."""
    cdef int64_t n_in = field(job, layer, N_IN), n_out = field(job, layer, N_OUT), width = field(job, layer, WIDTH_OUT)
    cdef int64_t count = padded(A, min(end, n_in) - begin)
    cdef int64_t next_output = n_out > 1  # the stride between outputs; 0 lets the sum be several chains
    cdef real *C = sums + begin
    cdef real total
    multiply(n_out, count, rows, delta, next_output, width, A + begin, stride, C, stride, mode, C)
    if end > n_in:
        C = sums + n_out * stride
        if width == 1:
            total = total_of(delta, rows)
            C[0] = total if mode == FASTNN_STORE else C[0] + total
        else:
            add_bias_gradient(job, delta, width, rows, C, mode)


cdef void add_gradient(
    const Job *job, real *memory, const real *A, int64_t stride, int64_t layer, int64_t begin, int64_t end,
    int64_t rows, real *sums, int mode,
) noexcept nogil:
    """Add A^T delta of a tile to rows begin .. end of a layer's sums; the row after the weights is the biases'.

    ``A`` is the tile's first-layer input; ``mode`` FASTNN_STORE begins a sum.
    """
    cdef int64_t n_in = field(job, layer, N_IN), width = field(job, layer, WIDTH_OUT)
    cdef real *delta = layer_memory(job, memory, layer, DELTAS, 0)
    cdef real *C = sums + field(job, layer, SUMS)
    cdef int64_t weights = min(end, n_in) - begin
    if layer > 0:
        A, stride = layer_memory(job, memory, layer - 1, OUTPUTS, 0), field(job, layer, WIDTH_IN)
    if field(job, layer, FLIPPED):
        add_flipped_gradient(job, A, stride, layer, delta, C, begin, end, rows, mode)
        return
    C += begin * width
    multiply(weights, width, rows, A + begin, 1, stride, delta, width, C, width, mode, C)
    if end > n_in:
        add_bias_gradient(job, delta, width, rows, C + weights * width, mode)
