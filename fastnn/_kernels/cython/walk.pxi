# The walk through a block's samples, one step for each; the derivation is in docs/exact-sgd.md.
#
# A layer whose updates are deferred to the block's end keeps its weights, and corrects what it computes with them; any
# other takes its update at once, in the pass over its weights that its products need anyway. Layers after the first,
# but for a deferred second one, are kept transposed, (n_out, width_in): forward is a dot product with each row. The
# passes themselves are in sample.h. The way through those that are deferred is in turn.pxi for the second layer, in
# deferred.pxi for later ones, as tasks: large ones are for all threads.

cdef inline fastnn_layer layer_of(const Job *job, int64_t layer, double scale) noexcept nogil:
    """Return a layer as the C primitives take it; the outputs of the last one are plain."""
    cdef fastnn_layer units
    units.n, units.width, units.scale = field(job, layer, N_OUT), field(job, layer, WIDTH_OUT), scale
    units.activation = field(job, layer, ACTIVATION) if layer < job.layers - 1 else FASTNN_IDENTITY
    units.slope = numbers(job.slopes)[layer]
    return units


cdef inline void finish_outputs(
    const Job *job, int64_t layer, real *z, double scale, int64_t begin, int64_t end
) noexcept nogil:
    """Turn a W / s into outputs begin .. end of a layer."""
    cdef fastnn_layer units = layer_of(job, layer, scale)
    cdef real *b = reals(z, field(job, layer, BIAS)) + begin
    units.n, units.width = units.n - begin, end - begin
    if real is float:
        F32.finish_outputs(&units, b, z + begin)
    else:
        F64.finish_outputs(&units, b, z + begin)


cdef inline void update_and_project(
    const Job *job, const real *before, const real *x, const real *delta, double c, real *z, double scale
) noexcept nogil:
    """Take the last sample's step in the first layer's weights and compute the outputs for this one, in one pass."""
    cdef fastnn_layer units = layer_of(job, 0, scale)
    cdef int64_t n = field(job, 0, N_IN)
    cdef real *W = reals(z, field(job, 0, PACKED))
    cdef real *b = reals(z, field(job, 0, BIAS))
    if real is float:
        F32.update_and_project(&units, n, before, x, delta, -c, W, b, z)
    else:
        F64.update_and_project(&units, n, before, x, delta, -c, W, b, z)


cdef void run_layer(
    Job *job, const real *like, int64_t thread, int64_t kind, int64_t layer, int64_t t
) noexcept nogil:
    """Take sample t through a deeper layer whose updates are deferred: all threads do, if it is divided."""
    job.layer, job.sample = layer, t
    if field(job, layer, SPLIT) == 0:
        run_task(job, like, thread, kind, 0)
    else:
        run_phase(job, like, thread, kind, 0, parts_of(job, layer) * groups_of(job, layer))


cdef void first_outputs(
    const Job *job, const real *like, int64_t t, const real *before, const real *x, double c, double scale
) noexcept nogil:
    """Compute the first layer's outputs for sample t of the block."""
    cdef int64_t width = field(job, 0, WIDTH_OUT)
    cdef real *memory = reals(like, job.tiles)
    cdef real *z = layer_memory(job, memory, 0, OUTPUTS, t)
    cdef real *D = layer_memory(job, memory, 0, DELTAS, 0)
    if not field(job, 0, DEFERRED):
        update_and_project(job, before, x, D + max(t - 1, 0) * width, c, z, scale)
        return
    if field(job, 0, SPLIT) != 0:
        add_multiple(width, 1, second_part(job, like, 0, t), z)
    add_second_gram(job, like, t)
    add_rows(t, width, D, width, gram_part(job, like, 0, t), z)
    finish_outputs(job, 0, z, scale, 0, width)


cdef void walk_forward(Job *job, const real *like, int64_t thread, int64_t t, double scale) noexcept nogil:
    """Take sample t from the first layer's outputs, or the second's after a turn, as far as Z_L."""
    cdef int64_t layer, width_in
    cdef real *memory = reals(like, job.tiles)
    cdef real *z
    cdef real *a
    cdef real *V
    for layer in range(2 if job.turned else 1, job.layers - one_output(job)):
        if field(job, layer, DEFERRED):
            run_layer(job, like, thread, FORWARD, layer, t)
            continue
        width_in, z = field(job, layer, WIDTH_IN), layer_memory(job, memory, layer, OUTPUTS, t)
        a, V = layer_memory(job, memory, layer - 1, OUTPUTS, t), reals(like, field(job, layer, TRANSPOSED))
        dots(field(job, layer, N_OUT), width_in, V, width_in, a, z)
        finish_outputs(job, layer, z, scale, 0, field(job, layer, WIDTH_OUT))


cdef void step_one_output(
    const Job *job, const real *like, int64_t t, double rate, double scale, double c
) noexcept nogil:
    """Take sample t through a layer of one output and back: its logit, its delta, the deltas below, and the update."""
    cdef int64_t last = job.layers - 1, activation = field(job, last, ACTIVATION)
    cdef fastnn_layer units = layer_of(job, last - 1, scale)
    cdef real *memory = reals(like, job.tiles)
    cdef real *logits = memory + job.compact
    cdef real y = logits[job.tile_rows + t]
    cdef real *a = layer_memory(job, memory, last - 1, OUTPUTS, t)
    cdef real *below = layer_memory(job, memory, last - 1, DELTAS, t)
    cdef real *V = reals(like, field(job, last, TRANSPOSED))
    cdef real *b = reals(like, field(job, last, BIAS))
    if real is float:
        logits[t] = F32.step_one_output(&units, activation, y, rate, c, a, V, b, below)
    else:
        logits[t] = F64.step_one_output(&units, activation, y, rate, c, a, V, b, below)


cdef void one_output_losses(const Job *job, const real *like) noexcept nogil:
    """Write the losses of the block's steps, for all of them at once."""
    cdef int64_t t
    cdef real delta
    cdef real *logits = reals(like, job.tiles) + job.compact
    cdef real *targets = logits + job.tile_rows
    cdef double *losses = numbers(job.losses) + job.tile_start
    if job.loss == SIGMOID_LOSS:
        sigmoid_cross_entropy_array(logits, targets, logits, job.tile_count)
        for t in range(job.tile_count):
            losses[t] = logits[t]
    else:
        for t in range(job.tile_count):
            delta = logits[t] - targets[t]
            losses[t] = delta * delta / 2


cdef inline void multiply_and_update(
    const Job *job, int64_t layer, const real *a, const real *delta, real *below, double scale, double c
) noexcept nogil:
    """Compute the deltas of the layer below from the weights, which take their update, in one pass."""
    cdef fastnn_layer units = layer_of(job, layer - 1, scale)
    cdef int64_t n_out = field(job, layer, N_OUT)
    cdef real *V = reals(below, field(job, layer, TRANSPOSED))
    if real is float:
        F32.multiply_and_update(&units, n_out, a, delta, -c, V, below)
    else:
        F64.multiply_and_update(&units, n_out, a, delta, -c, V, below)


cdef void finish_deltas(const Job *job, const real *like, int64_t layer, int64_t t, double scale) noexcept nogil:
    """Turn delta V / s, a sum of two parts if the layer is divided, into the deltas of the layer below."""
    cdef int64_t j, width_in = field(job, layer, WIDTH_IN), activation = field(job, layer - 1, ACTIVATION)
    cdef real s = <real>scale
    cdef real *memory = reals(like, job.tiles)
    cdef real *a = layer_memory(job, memory, layer - 1, OUTPUTS, t)
    cdef real *below = layer_memory(job, memory, layer - 1, DELTAS, t)
    if field(job, layer, SPLIT) != 0:
        add_multiple(width_in, 1, second_deltas(job, like), below)
    for j in range(width_in):
        below[j] *= s
    multiply_by_derivative(activation, numbers(job.slopes)[layer - 1], a, below, width_in)


cdef void walk_backward(
    Job *job, const real *like, int64_t thread, int64_t t, double scale, double c
) noexcept nogil:
    """Compute the hidden layers' deltas of sample t; update the weights of the layers above that are not deferred.

    The first layer's are left to the next turn.
    """
    cdef int64_t layer
    cdef real *memory = reals(like, job.tiles)
    cdef real *a
    cdef real *delta
    for layer in range(job.layers - 1 - one_output(job), 1 if job.turned else 0, -1):
        if field(job, layer, DEFERRED):
            run_layer(job, like, thread, BACKWARD, layer, t)
            finish_deltas(job, like, layer, t, scale)
            continue
        a, delta = layer_memory(job, memory, layer - 1, OUTPUTS, t), layer_memory(job, memory, layer, DELTAS, t)
        multiply_and_update(job, layer, a, delta, layer_memory(job, memory, layer - 1, DELTAS, t), scale, c)


cdef void update_biases(const Job *job, const real *like, int64_t t, double rate) noexcept nogil:
    """Update the biases: those of a single output are, those of the first layer are in a turn."""
    cdef int64_t layer
    cdef real *memory = reals(like, job.tiles)
    cdef real *b
    for layer in range(1 if job.turned else 0, job.layers - one_output(job)):
        b = reals(like, field(job, layer, BIAS))
        add_multiple(field(job, layer, WIDTH_OUT), <real>-rate, layer_memory(job, memory, layer, DELTAS, t), b)


cdef enum:
    # Of the next block, prepared by the other threads meanwhile. All at once, they would be done early and fall asleep
    # before a long walk ends (784-128-128-10: 5.2 us a sample in place of 4.2).
    SAMPLES_AHEAD = 8


cdef double walk_samples(Job *job, const real *like, int64_t thread) noexcept nogil:
    """Take the block's samples one after the other; return the last step's rate relative to the weights' factor."""
    cdef int64_t t, step, layer
    cdef bint at_once = not field(job, 0, DEFERRED), divided = job.walk_divided != 0
    cdef bint helped = job.threads > 1 and not at_once
    # Where all threads are needed in the walk, they prepare a sample each time, beside the layer that leads there.
    cdef int64_t ahead = 1 if divided else SAMPLES_AHEAD, tasks = 0
    cdef double rate, shrunk, scale = job.scale, c = 0.0
    cdef real *memory = reals(like, job.tiles)
    cdef real *before = row_of(job, like, 0)
    cdef real *x
    for t in range(job.tile_count):
        step = job.tile_start + t
        if at_once and step + job.tile_rows < job.samples:
            prefetch_sample(job, like, sample_at(job, step + job.tile_rows))
        rate, x = numbers(job.rates)[step * job.rate_stride], row_of(job, like, t)
        if job.turned:
            run_turn(job, like, thread, t, c)
        if helped and t % ahead == 0:
            tasks = max(0, min(ahead, job.next_count - t))
            open_phase(job, PREPARE, t, t + tasks)
        if job.turned:
            finish_turn(job, like)
        else:
            first_outputs(job, like, t, before, x, c, scale)
        if helped and divided:
            end_phase(job, like, thread, PREPARE, tasks)
        walk_forward(job, like, thread, t, scale)
        shrunk = scale * (1 - rate * job.l2)
        c = rate / shrunk
        if one_output(job):
            step_one_output(job, like, t, rate, scale, c)
        elif job.loss == SOFTMAX_LOSS:
            sample_softmax_delta(
                job, layer_memory(job, memory, job.layers - 1, OUTPUTS, t), sample_at(job, step), numbers(job.losses) + step
            )
        else:
            output_deltas(job, thread, memory, t, 1, step, numbers(job.losses) + step)
        walk_backward(job, like, thread, t, scale, c)
        update_biases(job, like, t, rate)
        for layer in range(2 if job.turned else 0, job.layers):
            if field(job, layer, DEFERRED):
                scale_deltas(job, like, layer, t, c)
        job.delta_scale = -c * scale
        job.scale = scale = shrunk
        before = x
        if helped and not divided and t % ahead == ahead - 1:  # the last block, the only short one, prepares none
            end_phase(job, like, thread, PREPARE, tasks)
    if job.turned:
        run_turn(job, like, thread, job.tile_count, c)
    return c


cdef void update_first_layer(const Job *job, const real *like, int64_t thread, double c) noexcept nogil:
    """Take the block's last step in the first layer's weights, which each step leaves to the next sample."""
    cdef int64_t j, last = job.tile_count - 1, width = field(job, 0, WIDTH_OUT)
    cdef real *change = thread_scratch(job, like, thread)
    cdef real *delta = layer_memory(job, reals(like, job.tiles), 0, DELTAS, last)
    cdef real *W = reals(like, field(job, 0, PACKED))
    for j in range(width):
        change[j] = <real>-c * delta[j]
    multiply(field(job, 0, N_IN), width, 1, row_of(job, like, last), 1, 0, change, width, W, width, FASTNN_ADD, W)


cdef void walk(Job *job, const real *like, int64_t thread) noexcept nogil:
    """Go through the block's samples in order, with the factor that the penalty has shrunk the weights by."""
    cdef double c
    if one_output(job):
        load_targets(job, reals(like, job.tiles) + job.compact + job.tile_rows, job.tile_start, job.tile_count)
    c = walk_narrow(job, like) if is_narrow(job, like) else walk_samples(job, like, thread)
    if one_output(job):
        one_output_losses(job, like)
    if not field(job, 0, DEFERRED):
        update_first_layer(job, like, thread, c)
