# The drivers: a leading thread walks through the steps and opens phases, every thread takes tasks from them.

cdef inline real *tile_memory(const Job *job, const real *like, int64_t thread) noexcept nogil:
    """Return the pointer to a thread's tile."""
    return reals(like, job.tiles) + thread * job.tile_size


cdef inline double *row_losses(const Job *job, int64_t thread) noexcept nogil:
    """Return the pointer to the losses of a thread's tile."""
    return numbers(job.row_losses) + thread * job.tile_rows


cdef void predict_rows(const Job *job, const real *like, int64_t thread, int64_t task) noexcept nogil:
    """Write the outputs of the task's rows."""
    cdef int64_t first = task * job.tile_rows
    cdef int64_t rows = min(job.tile_rows, job.samples - first)
    cdef real *memory = tile_memory(job, like, thread)
    forward(job, memory, 0, inputs(job, like, thread, first, 0), input_stride(job), 0, rows)
    output_units(job, thread, memory, rows, reals(like, job.out) + first * job.n_outputs)


cdef void pass_tile(const Job *job, const real *like, int64_t thread, int64_t first, int64_t rows) noexcept nogil:
    """Take the rows from ``first`` on through the network and, for a gradient, back."""
    cdef real *memory = tile_memory(job, like, thread)
    cdef real *A = inputs(job, like, thread, first, 0)
    gather(job, like, A, input_stride(job), first, rows, 0, job.n_inputs)
    forward(job, memory, 0, A, input_stride(job), 0, rows)
    output_deltas(job, thread, memory, 0, rows, first, row_losses(job, thread))
    if job.backward:
        backward(job, memory, 0, 0, rows)


cdef inline int64_t chunks_of(const Job *job) noexcept nogil:
    """Return the number of chunks of the step under way: the last batch may have fewer rows than that."""
    return min(job.chunks, job.batch_rows)


cdef void pass_chunk(
    const Job *job, const real *like, int64_t thread, int64_t chunk, int64_t gradient, int mode
) noexcept nogil:
    """Take a chunk through the network tile by tile and into a chunk's gradient, if one is wanted; write its loss.

    ``mode`` FASTNN_STORE begins the gradient.
    """
    cdef int64_t begin = job.batch_start + chunk * job.batch_rows // chunks_of(job)
    cdef int64_t end = job.batch_start + (chunk + 1) * job.batch_rows // chunks_of(job)
    cdef int64_t layer, rows, first = begin
    cdef real *memory = tile_memory(job, like, thread)
    cdef real *sums = reals(like, job.sums) + gradient * job.sums_size
    cdef double total = 0.0
    cdef real *A
    while first < end:
        rows = min(job.tile_rows, end - first)
        pass_tile(job, like, thread, first, rows)
        total += total_of(row_losses(job, thread), rows)
        if job.backward:
            A = inputs(job, like, thread, first, 0)
            for layer in range(job.layers):
                add_gradient(
                    job, memory, A, input_stride(job), layer, 0, field(job, layer, N_IN) + 1, rows, sums, mode
                )
            mode = FASTNN_ADD
        first += job.tile_rows
    numbers(job.chunk_losses)[chunk] = total


cdef inline int64_t chunk_tasks(const Job *job) noexcept nogil:
    """Return the number of tasks that the chunks make: one for each, or for each pair."""
    return (chunks_of(job) + 1) // 2 if job.paired else chunks_of(job)


cdef void pass_chunks(const Job *job, const real *like, int64_t thread, int64_t task) noexcept nogil:
    """Take a task's chunk, or the two of its pair, through the network."""
    cdef int64_t chunk, first = task, last = task + 1
    if job.paired:
        first, last = 2 * task, min(2 * task + 2, chunks_of(job))
    for chunk in range(first, last):
        pass_chunk(job, like, thread, chunk, first, FASTNN_STORE if chunk == first else FASTNN_ADD)


cdef void run_task(const Job *job, const real *like, int64_t thread, int64_t kind, int64_t task) noexcept nogil:
    """Do one task."""
    cdef int64_t *entry = integers(job.block_table) + 3 * task
    if kind == CHUNK:
        pass_chunks(job, like, thread, task)
    elif kind == PRODUCT:
        multiply_part(job, like, task)
    elif kind == ROWS:
        pass_rows(job, like, thread, task)
    elif kind == BLOCK:
        add_block(job, like, thread, task)
    elif kind == REDUCE:
        add_chunks(job, reals(like, job.sums), chunks_of(job), entry[0], entry[1], entry[2])
        finish_block(job, reals(like, job.sums), entry[0], entry[1], entry[2])
    elif kind == STAGE:
        stage(job, like, task)
    elif kind == PROJECT:
        project_part(job, like, task)
    elif kind == PREPARE:
        prepare_sample(job, like, task)
    elif kind == TURN:
        turn_units(job, like, thread, task)
    elif kind == FORWARD:
        project_units(job, like, thread, task)
    elif kind == BACKWARD:
        sum_deltas(job, like, thread, task)
    elif kind == APPLY:
        add_updates(job, like, task)
    else:
        predict_rows(job, like, thread, task)


cdef inline int64_t steps_of(const Job *job) noexcept nogil:
    """Return the number of an epoch's steps."""
    return (job.samples + job.batch_size - 1) // job.batch_size


cdef void begin_step(Job *job, int64_t step) noexcept nogil:
    """Set the step's samples and its optimizer's numbers."""
    cdef int64_t *t = integers(job.step)
    job.batch_start = step * job.batch_size
    job.batch_rows = min(job.batch_size, job.samples - job.batch_start)
    job.scale = 1.0 / job.batch_rows
    if job.training:
        t[0] += 1
        job.rate = numbers(job.rates)[step * job.rate_stride]
        if job.rule == FASTNN_ADAM or job.rule == FASTNN_ADAMW:
            job.correction1, job.correction2 = 1 - job.momentum ** t[0], 1 - job.second ** t[0]


cdef double shared_step(Job *job, const real *like, int64_t thread) noexcept nogil:
    """Go through a batch tile by tile, all threads in each; return the sum of the losses."""
    cdef double total = 0.0
    cdef int64_t layer, begin, end, first = job.batch_start
    while first < job.batch_start + job.batch_rows:
        job.tile_start = first
        job.tile_count = min(job.tile_rows, job.batch_start + job.batch_rows - first)
        for layer in range(job.divided):
            job.layer = layer
            run_phase(job, like, thread, PRODUCT, 0, parts_of(job, layer) * groups_of(job, layer))
        run_phase(job, like, thread, ROWS, 0, (job.tile_count + job.task_rows - 1) // job.task_rows)
        total += total_of(numbers(job.row_losses), job.tile_count)
        end = job.blocks
        for layer in range(max(job.divided, 1) - 1, -1, -1):
            begin = field(job, layer, FIRST_BLOCK)
            run_phase(job, like, thread, BLOCK, begin, end)
            end = begin
        first += job.tile_rows
    return total


cdef double chunked_step(const Job *job, const real *like, int64_t thread) noexcept nogil:
    """Go through a batch with a thread for each chunk; return the sum of the losses."""
    cdef double total = 0.0
    cdef int64_t chunk
    run_phase(job, like, thread, CHUNK, 0, chunk_tasks(job))
    for chunk in range(chunks_of(job)):
        total += numbers(job.chunk_losses)[chunk]
    if job.backward:
        run_phase(job, like, thread, REDUCE, 0, job.blocks)
    return total


cdef void sample_block(Job *job, const real *like, int64_t thread) noexcept nogil:
    """Take one step for each sample of a block, and prepare the next."""
    if field(job, 0, DEFERRED):
        run_phase(job, like, thread, PROJECT, 0, parts_of(job, 0) * groups_of(job, 0))
    walk(job, like, thread)
    if job.threads == 1:
        prepare(job, like)
    job.folded = factor_to_fold(job)
    run_phase(job, like, thread, APPLY, 0, job.blocks)
    job.scale /= job.folded


cdef void lead_samples(Job *job, const real *like, int64_t thread) noexcept nogil:
    """Go through the samples in blocks, one step for each sample."""
    job.scale = 1.0
    job.next_start, job.next_count, job.parity = 0, min(job.tile_rows, job.samples), 1
    prepare(job, like)
    while job.next_count > 0:
        job.tile_start, job.tile_count, job.parity = job.next_start, job.next_count, 1 - job.parity
        job.next_start += job.tile_count
        job.next_count = min(job.tile_rows, job.samples - job.next_start)
        sample_block(job, like, thread)
    integers(job.step)[0] += job.samples


cdef void take_steps(Job *job, const real *like, int64_t thread, int64_t first, int64_t last) noexcept nogil:
    """Take a step for each batch from ``first`` to ``last``."""
    cdef int64_t step
    cdef double total
    for step in range(first, last):
        begin_step(job, step)
        total = shared_step(job, like, thread) if job.shared else chunked_step(job, like, thread)
        numbers(job.losses)[step] = total / job.batch_rows


cdef void lead_batches(Job *job, const real *like, int64_t thread) noexcept nogil:
    """Go through an epoch's batches, one step for each."""
    cdef int64_t first, piece, pieces
    if job.window == 0:
        take_steps(job, like, thread, 0, steps_of(job))
        return
    job.next_start, job.next_count, job.parity = 0, min(job.window, job.samples), 1
    for piece in range(pieces_of(job)):
        stage(job, like, piece)
    while job.next_count > 0:
        first = job.next_start // job.batch_size
        enter_window(job)
        pieces = pieces_of(job)
        open_phase(job, STAGE, 0, pieces)
        take_steps(job, like, thread, first, first + (job.tile_count + job.batch_size - 1) // job.batch_size)
        end_phase(job, like, thread, STAGE, pieces)


cdef void end_epoch(Job *job) noexcept nogil:
    """Move on to the next epoch's order, learning rates and losses."""
    cdef int64_t steps = steps_of(job)
    job.rates += 8 * steps * job.rate_stride
    job.losses += 8 * steps
    if job.order != 0:
        job.order += 8 * job.samples
    job.source_order += 8 * job.samples


cdef void lead(Job *job, const real *like, int64_t thread) noexcept nogil:
    """Go through all the steps of the job."""
    cdef int64_t layer, epoch
    for layer in range(job.layers):
        refresh(job, like, layer, 0, field(job, layer, N_IN) + 1)
    if job.out != 0:
        run_phase(job, like, thread, PREDICT, 0, (job.samples + job.tile_rows - 1) // job.tile_rows)
        return
    for epoch in range(job.epochs):
        if job.per_sample:
            lead_samples(job, like, thread)
        else:
            lead_batches(job, like, thread)
        end_epoch(job)
    if job.per_sample:
        store_weights(job, like)


cdef void work(int64_t address, const real *like) noexcept nogil:
    """Lead the team if no one does yet, help otherwise."""
    cdef Job *job = <Job *>address
    cdef unsigned control = fastnn_float_control()
    cdef int64_t thread
    if job.backward:
        fastnn_set_float_control(control | FASTNN_FLUSH)
    thread = arrive(job)
    if thread == 0:
        lead(job, like, thread)
        close(job)
    else:
        help(job, like, thread)
    fastnn_set_float_control(control)


def work_float32(int64_t address):
    """Work on a job of a float32 network until it is done."""
    with nogil:
        work(address, <float *>NULL)


def work_float64(int64_t address):
    """Work on a job of a float64 network until it is done."""
    with nogil:
        work(address, <double *>NULL)
