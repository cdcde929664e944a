# From a block of the gradient's sums to the parameters: the optimizer's step, or the gradient written out.
#
# g is the gradient of the mean loss plus l2 theta; the sums are the gradient times the number of samples.

cdef void write_gradient(
    const real *theta, const real *sums, real *gradient, int64_t n, real scale, real l2
) noexcept nogil:
    """Write the gradient of n parameters."""
    cdef int64_t i
    for i in range(n):
        gradient[i] = scale * sums[i] + l2 * theta[i]


cdef fastnn_step step_of(const Job *job, bint is_weight) noexcept nogil:
    """Return the step's numbers as the C primitive takes them; biases are neither penalised nor decayed."""
    cdef fastnn_step step
    step.rule, step.nesterov, step.rate, step.scale = job.rule, job.nesterov != 0, job.rate, job.scale
    step.first, step.second, step.epsilon = job.momentum, job.second, job.epsilon
    step.l2 = job.l2 if is_weight else 0
    step.weight_decay = job.weight_decay if is_weight else 0
    step.correction1, step.correction2 = job.correction1, job.correction2
    return step


cdef void apply(const Job *job, int64_t offset, int64_t n, const real *sums, bint is_weight) noexcept nogil:
    """Take the step of parameters offset .. offset + n, or write their gradient."""
    cdef real *theta = reals(sums, job.parameters) + offset
    cdef real *first = NULL
    cdef real *second = NULL
    cdef fastnn_step step
    if not job.training:
        write_gradient[real](
            theta, sums, reals(sums, job.gradient) + offset, n, job.scale, job.l2 if is_weight else 0
        )
        return
    if job.rule != FASTNN_SGD or job.momentum != 0:
        first = reals(sums, job.state) + offset
    if job.rule == FASTNN_ADAM or job.rule == FASTNN_ADAMW:
        second = first + job.n_parameters
    step = step_of(job, is_weight)
    update(&step, sums, theta, first, second, n)


cdef void refresh(const Job *job, const real *like, int64_t layer, int64_t begin, int64_t end) noexcept nogil:
    """Bring the padded and the transposed copies of rows begin .. end of a layer's weights up to date."""
    cdef int64_t i, n_in = field(job, layer, N_IN), n_out = field(job, layer, N_OUT)
    cdef int64_t width_in = field(job, layer, WIDTH_IN), width_out = field(job, layer, WIDTH_OUT)
    cdef real *theta = reals(like, job.parameters)
    cdef real *W = theta + field(job, layer, WEIGHTS)
    cdef real *b = theta + field(job, layer, BIASES)
    cdef real *packed = reals(like, field(job, layer, PACKED))
    cdef real *bias = reals(like, field(job, layer, BIAS))
    cdef real *transposed = reals(like, field(job, layer, TRANSPOSED))
    if n_out != width_out:
        for i in range(begin, min(end, n_in)):
            memcpy(packed + i * width_out, W + i * n_out, n_out * sizeof(real))
        if end > n_in:
            memcpy(bias, b, n_out * sizeof(real))
    if layer > 0 and field(job, layer, TRANSPOSED) != 0:
        transpose(min(end, n_in) - begin, n_out, W + begin * n_out, n_out, transposed + begin, width_in)


cdef real *unflip(const Job *job, real *sums, int64_t layer, int64_t begin, int64_t end) noexcept nogil:
    """Lay columns begin .. end of a layer's flipped sums out as its weights lie in the parameters; return where."""
    cdef int64_t n_out = field(job, layer, N_OUT), width_in = field(job, layer, WIDTH_IN)
    cdef real *rows = sums + n_out * width_in + padded(sums, 1) + begin * n_out
    if n_out == 1:
        return sums + begin
    transpose(n_out, end - begin, sums + begin, width_in, rows, n_out)
    return rows


cdef void finish_block(const Job *job, real *sums, int64_t layer, int64_t begin, int64_t end) noexcept nogil:
    """Use the finished sums of rows begin .. end of a layer; the row after the weights is the biases'."""
    cdef int64_t n_in = field(job, layer, N_IN), n_out = field(job, layer, N_OUT), width = field(job, layer, WIDTH_OUT)
    cdef int64_t i, bias, last = min(end, n_in), flipped = field(job, layer, FLIPPED)
    cdef real *G = sums + field(job, layer, SUMS)
    cdef real *rows = G + begin * width
    if end > n_in:  # before the rows above it move
        bias = n_out * field(job, layer, WIDTH_IN) if flipped else n_in * width
        apply(job, field(job, layer, BIASES), n_out, G + bias, False)
    if flipped:
        rows = unflip(job, G, layer, begin, last)
    elif n_out != width:
        for i in range(1, last - begin):
            memmove(rows + i * n_out, rows + i * width, n_out * sizeof(real))
    apply(job, field(job, layer, WEIGHTS) + begin * n_out, (last - begin) * n_out, rows, True)
    if job.training:
        refresh(job, sums, layer, begin, end)


cdef void add_parts(const Job *job, real *sums, int64_t chunks, int64_t start, int64_t n) noexcept nogil:
    """Add the other chunks' n sums from ``start`` on to the first's: those of a pair, then the pairs in order.

    The last vector may take padding along.
    """
    cdef int64_t chunk
    cdef real *total = sums + start
    cdef real *pair
    for chunk in range(0, chunks, 2):
        pair = total + chunk * job.sums_size
        if not job.paired and chunk + 1 < chunks:
            add_multiple(n, 1, pair + job.sums_size, pair)
        if chunk > 0:
            add_multiple(n, 1, pair, total)


cdef void add_chunks(
    const Job *job, real *sums, int64_t chunks, int64_t layer, int64_t begin, int64_t end
) noexcept nogil:
    """Add the other chunks' sums of a layer's rows begin .. end to the first chunk's."""
    cdef int64_t start = field(job, layer, SUMS), width = field(job, layer, WIDTH_OUT), n_in = field(job, layer, N_IN)
    cdef int64_t k, n_out = field(job, layer, N_OUT), width_in = field(job, layer, WIDTH_IN)
    if not field(job, layer, FLIPPED):
        add_parts(job, sums, chunks, start + begin * width, (end - begin) * width)
        return
    for k in range(n_out):
        add_parts(job, sums, chunks, start + k * width_in + begin, min(end, n_in) - begin)
    if end > n_in:
        add_parts(job, sums, chunks, start + n_out * width_in, n_out)
