# Exact stochastic gradient descent in blocks of samples; the derivation is in docs/exact-sgd.md.
#
# Within a block the weights of a large layer stay as they were, W_0. With c_u = alpha_u / s_{u+1} and the factor that the
# penalty has shrunk the weights by, s_{t+1} = s_t (1 - alpha_t l2), the weights before step t are
#
#     W_t = s_t (W_0 - sum_{u < t} c_u a_u^T delta_u),
#
# so that z_t = s_t (a_t W_0 - sum_{u < t} c_u (a_t . a_u) delta_u) + b_t: one product for the whole block in the first
# layer, where a_t is given, and small corrections. At its end the block's updates are one product again. These are the
# steps of one-at-a-time descent, in other order of additions. A small layer takes its update at once instead (U_t =
# W_t / s_t changes by -c_t a_t^T delta_t).
#
# Layers after the first are kept transposed, (n_out, width_in): forward is a dot product with each row.

cdef enum:
    PANEL = 64  # columns of the first layer that a task takes


cdef inline real *scratch(const Job *job, const real *like, int64_t part) noexcept nogil:
    """Return the pointer to one of the walk's vectors: 0 corrections, 1 the scaled delta."""
    return reals(like, job.scratch) + part * job.scratch_size


cdef inline real *block_inputs(const Job *job, const real *like, int64_t parity) noexcept nogil:
    """Return the pointer to the gathered rows of a block: the one under way, or the next."""
    return reals(like, job.gathered) + parity * job.tile_rows * field(job, 0, WIDTH_IN)


cdef inline real *block_gram(const Job *job, const real *like, int64_t parity) noexcept nogil:
    """Return the pointer to the Gram matrix of a block."""
    return reals(like, job.gram) + parity * job.tile_rows * job.tile_rows


cdef void prepare(const Job *job, const real *like) noexcept nogil:
    """Gather the next block's rows, and compute the product of each with those before it."""
    cdef int64_t t, parity = 1 - job.parity, width = field(job, 0, WIDTH_IN)
    cdef real *X = block_inputs(job, like, parity)
    cdef real *G = block_gram(job, like, parity)
    cdef real *source = reals(like, job.X)
    cdef real *x
    for t in range(job.next_count):
        x = X + t * width
        memcpy(x, source + sample_at(job, job.next_start + t) * job.n_inputs, job.n_inputs * sizeof(real))
        if field(job, 0, DEFERRED):
            dots(t, width, X, width, x, G + t * job.tile_rows)


cdef void project_panel(const Job *job, const real *like, int64_t task) noexcept nogil:
    """Compute X W of the block for a panel of the first layer's columns."""
    cdef int64_t width = field(job, 0, WIDTH_OUT), stride = field(job, 0, WIDTH_IN), begin = task * PANEL
    cdef real *Z = layer_memory(job, reals(like, job.tiles), 0, OUTPUTS, 0) + begin
    cdef real *W = reals(like, field(job, 0, PACKED)) + begin
    cdef real *X = block_inputs(job, like, job.parity)
    cdef int64_t cols = min(PANEL, width - begin)
    multiply(job.tile_count, cols, field(job, 0, N_IN), X, stride, 1, W, width, Z, width, FASTNN_STORE, Z)


cdef void correct(
    const Job *job, const real *like, int64_t t, real *products, const real *D, int64_t width, real *z
) noexcept nogil:
    """Add -sum_{u < t} c_u products_u D_u to z; the products are used up."""
    cdef int64_t u
    cdef double *rates = numbers(job.block_rates)
    for u in range(t):
        products[u] *= <real>-rates[u]
    multiply(1, width, t, products, 0, 1, D, width, z, width, FASTNN_ADD, z)


cdef void walk_forward(const Job *job, const real *like, int64_t t, double scale) noexcept nogil:
    """Take sample t of the block through the network as far as Z_L."""
    cdef int64_t j, layer, width, width_in
    cdef real s = <real>scale
    cdef real *memory = reals(like, job.tiles)
    cdef real *products = scratch(job, like, 0)
    cdef real *z
    cdef real *D
    cdef real *x
    cdef real *W
    cdef real *A
    cdef real *a
    cdef real *V
    cdef real *b
    for layer in range(job.layers):
        width = field(job, layer, WIDTH_OUT)
        z, D = layer_memory(job, memory, layer, OUTPUTS, t), layer_memory(job, memory, layer, DELTAS, 0)
        if layer == 0:
            if field(job, 0, DEFERRED):
                correct(job, like, t, block_gram(job, like, job.parity) + t * job.tile_rows, D, width, z)
            else:
                x = block_inputs(job, like, job.parity) + t * field(job, 0, WIDTH_IN)
                W = reals(like, field(job, 0, PACKED))
                multiply(1, width, field(job, 0, N_IN), x, 0, 1, W, width, z, width, FASTNN_STORE, z)
        else:
            width_in = field(job, layer, WIDTH_IN)
            A = layer_memory(job, memory, layer - 1, OUTPUTS, 0)
            a, V = A + t * width_in, reals(like, field(job, layer, TRANSPOSED))
            dots(field(job, layer, N_OUT), width_in, V, width_in, a, z)
            if field(job, layer, DEFERRED):
                dots(t, width_in, A, width_in, a, products)
                correct(job, like, t, products, D, width, z)
        b = reals(like, field(job, layer, BIAS))
        for j in range(width):
            z[j] = s * z[j] + b[j]
        if layer < job.layers - 1:
            activate(field(job, layer, ACTIVATION), numbers(job.slopes)[layer], z, width)
            for j in range(field(job, layer, N_OUT), width):
                z[j] = 0  # sigmoid(0) is not 0, and dot products take whole vectors


cdef void walk_backward(const Job *job, const real *like, int64_t t, double scale) noexcept nogil:
    """Compute the hidden layers' deltas of sample t."""
    cdef int64_t j, layer, width, width_in, n_out
    cdef real s = <real>scale
    cdef real *memory = reals(like, job.tiles)
    cdef real *products = scratch(job, like, 0)
    cdef real *A
    cdef real *D
    cdef real *delta
    cdef real *below
    cdef real *V
    for layer in range(job.layers - 1, 0, -1):
        width_in, width = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
        A, D = layer_memory(job, memory, layer - 1, OUTPUTS, 0), layer_memory(job, memory, layer, DELTAS, 0)
        delta, below = D + t * width, layer_memory(job, memory, layer - 1, DELTAS, t)
        V, n_out = reals(like, field(job, layer, TRANSPOSED)), field(job, layer, N_OUT)
        multiply(1, width_in, n_out, delta, 0, 1, V, width_in, below, width_in, FASTNN_STORE, below)
        if field(job, layer, DEFERRED):
            dots(t, width, D, width, delta, products)
            correct(job, like, t, products, A, width_in, below)
        if scale != 1.0:
            for j in range(width_in):
                below[j] *= s
        multiply_by_derivative(
            field(job, layer - 1, ACTIVATION), numbers(job.slopes)[layer - 1], A + t * width_in, below, width_in
        )


cdef void walk_update(const Job *job, const real *like, int64_t t, double rate, double c) noexcept nogil:
    """Update every bias, and the weights of the layers that are not deferred."""
    cdef int64_t j, layer, width, width_in, n_out
    cdef real alpha = <real>rate, factor = <real>-c
    cdef real *memory = reals(like, job.tiles)
    cdef real *scaled = scratch(job, like, 1)
    cdef real *delta
    cdef real *b
    cdef real *x
    cdef real *W
    cdef real *a
    cdef real *V
    for layer in range(job.layers):
        width, width_in = field(job, layer, WIDTH_OUT), field(job, layer, WIDTH_IN)
        delta, b = layer_memory(job, memory, layer, DELTAS, t), reals(like, field(job, layer, BIAS))
        for j in range(width):
            b[j] -= alpha * delta[j]
            scaled[j] = factor * delta[j]
        if field(job, layer, DEFERRED):
            continue
        if layer == 0:
            x, W = block_inputs(job, like, job.parity) + t * width_in, reals(like, field(job, 0, PACKED))
            multiply(field(job, 0, N_IN), width, 1, x, 1, 0, scaled, width, W, width, FASTNN_ADD, W)
        else:
            a = layer_memory(job, memory, layer - 1, OUTPUTS, t)
            V, n_out = reals(like, field(job, layer, TRANSPOSED)), field(job, layer, N_OUT)
            multiply(n_out, width_in, 1, scaled, 1, 0, a, width_in, V, width_in, FASTNN_ADD, V)


cdef double walk(const Job *job, const real *like) noexcept nogil:
    """Go through the block's samples in order; return the factor that the penalty has shrunk the weights by."""
    cdef int64_t t, step
    cdef double rate, scale = 1.0
    cdef real *memory = reals(like, job.tiles)
    for t in range(job.tile_count):
        step = job.tile_start + t
        rate = numbers(job.rates)[step * job.rate_stride]
        walk_forward(job, like, t, scale)
        output_deltas(job, memory, t, 1, step, numbers(job.losses) + step)
        walk_backward(job, like, t, scale)
        scale *= 1 - rate * job.l2
        numbers(job.block_rates)[t] = rate / scale
        walk_update(job, like, t, rate, rate / scale)
    return scale


cdef void add_updates(const Job *job, const real *like, int64_t task) noexcept nogil:
    """Apply the block's deferred updates to rows of one layer's weights; scale all weights by the penalty's factor."""
    cdef int64_t *entry = integers(job.block_table) + 3 * task
    cdef int64_t layer = entry[0], begin = entry[1], end = entry[2]
    cdef int64_t i, width_in = field(job, layer, WIDTH_IN), width = field(job, layer, WIDTH_OUT), a_row, columns
    cdef real scale = <real>job.scale
    cdef real *memory = reals(like, job.tiles)
    cdef real *D = layer_memory(job, memory, layer, DELTAS, 0)
    cdef real *A
    cdef real *B
    cdef real *M
    if layer == 0:
        A, a_row, B, columns = block_inputs(job, like, job.parity), width_in, D, width
        M = reals(like, field(job, 0, PACKED)) + begin * width
    else:
        A, a_row, B, columns = D, width, layer_memory(job, memory, layer - 1, OUTPUTS, 0), width_in
        M = reals(like, field(job, layer, TRANSPOSED)) + begin * width_in
    if field(job, layer, DEFERRED):
        multiply(end - begin, columns, job.tile_count, A + begin, 1, a_row, B, columns, M, columns, FASTNN_ADD, M)
    if job.scale != 1.0:
        for i in range((end - begin) * columns):
            M[i] *= scale


cdef void scale_deltas(const Job *job, const real *like) noexcept nogil:
    """Multiply each sample's deltas of the deferred layers by -c, as the updates have them."""
    cdef int64_t j, t, layer, width
    cdef real c
    cdef real *delta
    for layer in range(job.layers):
        if field(job, layer, DEFERRED):
            width = field(job, layer, WIDTH_OUT)
            for t in range(job.tile_count):
                delta, c = layer_memory(job, reals(like, job.tiles), layer, DELTAS, t), -numbers(job.block_rates)[t]
                for j in range(width):
                    delta[j] *= c


cdef void store_weights(const Job *job, const real *like) noexcept nogil:
    """Copy padded and transposed weights, and padded biases, back into the parameters."""
    cdef int64_t i, layer, n_in, n_out, width_in, width
    cdef real *theta = reals(like, job.parameters)
    cdef real *W
    for layer in range(job.layers):
        n_in, n_out = field(job, layer, N_IN), field(job, layer, N_OUT)
        width_in, width = field(job, layer, WIDTH_IN), field(job, layer, WIDTH_OUT)
        W = theta + field(job, layer, WEIGHTS)
        if layer > 0:
            transpose(n_out, n_in, reals(like, field(job, layer, TRANSPOSED)), width_in, W, n_out)
        elif n_out != width:
            for i in range(n_in):
                memcpy(W + i * n_out, reals(like, field(job, layer, PACKED)) + i * width, n_out * sizeof(real))
        if n_out != width:
            memcpy(theta + field(job, layer, BIASES), reals(like, field(job, layer, BIAS)), n_out * sizeof(real))
