# The drivers: a leading thread walks through the steps and opens phases, every thread takes tasks from them.

# The kinds of tasks: rows of a tile forward, or forward and backward; a block of the gradient of a tile; a chunk through
# all its tiles, forward, or into a gradient of its own; a block of the sum of the chunks' gradients.
# Of per-sample descent: a panel of the first layer's products, the next block's samples, rows of the block's updates.
cdef enum:
    PREDICT, ROWS, BLOCK, CHUNK, REDUCE, PROJECT, PREPARE, APPLY


cdef inline real *tile_memory(const Job *job, const real *like, int64_t thread) noexcept nogil:
    """Return the pointer to a thread's tile."""
    return reals(like, job.tiles) + thread * job.tile_size


cdef void predict_rows(const Job *job, const real *like, int64_t thread, int64_t task) noexcept nogil:
    """Write the outputs of the task's rows."""
    cdef int64_t first = task * job.tile_rows
    cdef int64_t rows = min(job.tile_rows, job.samples - first)
    cdef real *memory = tile_memory(job, like, thread)
    cdef double *log_sums = numbers(job.row_losses) + thread * job.tile_rows
    forward(job, memory, inputs(job, like, thread, first, 0), 0, rows)
    output_units(job, memory, 0, rows, reals(like, job.out) + first * job.n_outputs, log_sums)


cdef void pass_rows(
    const Job *job, const real *like, int64_t thread, int64_t first, int64_t row, int64_t rows
) noexcept nogil:
    """Take rows of a tile, whose row 0 is sample ``first``, through the network and, for a gradient, back."""
    cdef real *memory = tile_memory(job, like, thread)
    cdef real *A = inputs(job, like, thread, first, row)
    gather(job, like, A, first + row, rows)
    forward(job, memory, A, row, rows)
    output_deltas(job, memory, row, rows, first + row, numbers(job.row_losses) + thread * job.tile_rows + row)
    if job.backward:
        backward(job, memory, row, rows)


cdef inline int64_t *block(const Job *job, int64_t task) noexcept nogil:
    """Return the task's block of the gradient: layer, first row, last row."""
    return integers(job.block_table) + 3 * task


cdef inline real *block_sums(
    const Job *job, const real *like, int64_t thread, int64_t layer, int64_t begin
) noexcept nogil:
    """Return the pointer to the gradient that a block is added to, as if all of it was there.

    A step of one tile needs no more than the block: it goes where the thread's last block was, which is still in cache.
    """
    cdef int64_t width = field(job, layer, WIDTH_OUT)
    if job.tile_count < job.batch_rows or width == 1:
        return reals(like, job.sums)
    return reals(like, job.scratch) + thread * job.scratch_size - (field(job, layer, SUMS) + begin * width)


cdef void add_block(const Job *job, const real *like, int64_t thread, int64_t task) noexcept nogil:
    """Add the shared tile to a block of the gradient; use the block if that was the step's last tile."""
    cdef int64_t *entry = block(job, task)
    cdef int64_t layer = entry[0], begin = entry[1], end = entry[2]
    cdef real *A = inputs(job, like, 0, job.tile_start, 0)
    cdef real *memory = reals(like, job.tiles)
    cdef real *sums = block_sums(job, like, thread, layer, begin)
    cdef int mode = FASTNN_STORE if job.tile_start == job.batch_start else FASTNN_ADD
    add_gradient(job, memory, A, layer, begin, end, job.tile_count, sums, mode)
    if job.tile_start + job.tile_count == job.batch_start + job.batch_rows:
        finish_block(job, sums, layer, begin, end)


cdef void pass_chunk(const Job *job, const real *like, int64_t thread, int64_t chunk) noexcept nogil:
    """Take a chunk through the network tile by tile and into its own gradient, if one is wanted; write its loss."""
    cdef int64_t begin = job.batch_start + chunk * job.batch_rows // job.chunks
    cdef int64_t end = job.batch_start + (chunk + 1) * job.batch_rows // job.chunks
    cdef int64_t layer, rows, first = begin
    cdef real *memory = tile_memory(job, like, thread)
    cdef real *sums = reals(like, job.sums) + chunk * job.sums_size
    cdef double *losses = numbers(job.row_losses) + thread * job.tile_rows
    cdef double total = 0.0
    cdef real *A
    cdef int mode
    while first < end:
        rows = min(job.tile_rows, end - first)
        pass_rows(job, like, thread, first, 0, rows)
        total += total_of(losses, rows)
        if job.backward:
            A, mode = inputs(job, like, thread, first, 0), FASTNN_STORE if first == begin else FASTNN_ADD
            for layer in range(job.layers):
                add_gradient(job, memory, A, layer, 0, field(job, layer, N_IN) + 1, rows, sums, mode)
        first += job.tile_rows
    numbers(job.chunk_losses)[chunk] = total


cdef void run_task(const Job *job, const real *like, int64_t thread, int64_t kind, int64_t task) noexcept nogil:
    """Do one task."""
    cdef int64_t row
    cdef int64_t *entry
    if kind == ROWS:
        row = task * job.task_rows
        pass_rows(job, like, 0, job.tile_start, row, min(job.task_rows, job.tile_count - row))
    elif kind == BLOCK:
        add_block(job, like, thread, task)
    elif kind == CHUNK:
        pass_chunk(job, like, thread, task)
    elif kind == REDUCE:
        entry = block(job, task)
        add_chunks(job, reals(like, job.sums), entry[0], entry[1], entry[2])
        finish_block(job, reals(like, job.sums), entry[0], entry[1], entry[2])
    elif kind == PROJECT:
        project_panel(job, like, task)
    elif kind == PREPARE:
        prepare(job, like)
    elif kind == APPLY:
        add_updates(job, like, task)
    else:
        predict_rows(job, like, thread, task)


cdef void end_phase(const Job *job, const real *like, int64_t thread, int64_t kind, int64_t tasks) noexcept nogil:
    """Do what tasks are left of the open phase, and wait for those under way."""
    cdef int64_t task = claim(job)
    while task >= 0:
        run_task(job, like, thread, kind, task)
        finish_task(job)
        task = claim(job)
    wait_for_phase(job, tasks)


cdef void run_phase(const Job *job, const real *like, int64_t thread, int64_t kind, int64_t tasks) noexcept nogil:
    """Do all tasks of a phase, with whoever helps; only the leader calls this."""
    cdef int64_t task
    if job.threads == 1:
        for task in range(tasks):
            run_task(job, like, thread, kind, task)
        return
    open_phase(job, kind, tasks)
    end_phase(job, like, thread, kind, tasks)


cdef void help(const Job *job, const real *like, int64_t thread) noexcept nogil:
    """Do tasks of whatever phase is open until the leader closes the team."""
    cdef int64_t spins = 0, task = claim(job)
    while task != -2:
        if task < 0:
            spins = wait(spins)
        else:
            run_task(job, like, thread, word(job, KIND)[0], task)
            finish_task(job)
            spins = 0
        task = claim(job)


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
    cdef double *losses = numbers(job.row_losses)
    cdef double total = 0.0
    cdef int64_t first = job.batch_start
    while first < job.batch_start + job.batch_rows:
        job.tile_start = first
        job.tile_count = min(job.tile_rows, job.batch_start + job.batch_rows - first)
        run_phase(job, like, thread, ROWS, (job.tile_count + job.task_rows - 1) // job.task_rows)
        total += total_of(losses, job.tile_count)
        run_phase(job, like, thread, BLOCK, job.blocks)
        first += job.tile_rows
    return total


cdef double chunked_step(const Job *job, const real *like, int64_t thread) noexcept nogil:
    """Go through a batch with a thread for each chunk; return the sum of the losses."""
    cdef double total = 0.0
    cdef int64_t chunk
    run_phase(job, like, thread, CHUNK, job.chunks)
    for chunk in range(job.chunks):
        total += numbers(job.chunk_losses)[chunk]
    if job.backward:
        run_phase(job, like, thread, REDUCE, job.blocks)
    return total


cdef void sample_block(Job *job, const real *like, int64_t thread) noexcept nogil:
    """Take one step for each sample of a block, while another thread prepares the next block."""
    if field(job, 0, DEFERRED):
        run_phase(job, like, thread, PROJECT, (field(job, 0, WIDTH_OUT) + PANEL - 1) // PANEL)
    if job.threads > 1:
        open_phase(job, PREPARE, 1)
        job.scale = walk(job, like)
        end_phase(job, like, thread, PREPARE, 1)
    else:
        job.scale = walk(job, like)
        prepare(job, like)
    scale_deltas(job, like)
    run_phase(job, like, thread, APPLY, job.blocks)


cdef void lead_samples(Job *job, const real *like, int64_t thread) noexcept nogil:
    """Go through the samples in blocks, one step for each sample."""
    job.next_start, job.next_count, job.parity = 0, min(job.tile_rows, job.samples), 1
    prepare(job, like)
    while job.next_count > 0:
        job.tile_start, job.tile_count, job.parity = job.next_start, job.next_count, 1 - job.parity
        job.next_start += job.tile_count
        job.next_count = min(job.tile_rows, job.samples - job.next_start)
        sample_block(job, like, thread)
    integers(job.step)[0] += job.samples


cdef void lead_batches(Job *job, const real *like, int64_t thread) noexcept nogil:
    """Go through an epoch's batches, one step for each."""
    cdef int64_t step
    cdef double total
    for step in range((job.samples + job.batch_size - 1) // job.batch_size):
        begin_step(job, step)
        total = shared_step(job, like, thread) if job.shared else chunked_step(job, like, thread)
        numbers(job.losses)[step] = total / job.batch_rows


cdef void end_epoch(Job *job) noexcept nogil:
    """Move on to the next epoch's order, learning rates and losses."""
    cdef int64_t steps = (job.samples + job.batch_size - 1) // job.batch_size
    job.rates += 8 * steps * job.rate_stride
    job.losses += 8 * steps
    if job.order != 0:
        job.order += 8 * job.samples


cdef void lead(Job *job, const real *like, int64_t thread) noexcept nogil:
    """Go through all the steps of the job."""
    cdef int64_t layer, epoch
    for layer in range(job.layers):
        refresh(job, like, layer, 0, field(job, layer, N_IN) + 1)
    if job.out != 0:
        run_phase(job, like, thread, PREDICT, (job.samples + job.tile_rows - 1) // job.tile_rows)
        return
    for epoch in range(job.epochs):
        if job.per_sample:
            lead_samples(job, like, thread)
        else:
            lead_batches(job, like, thread)
        end_epoch(job)
    if job.per_sample:
        store_weights(job, like)


cdef void work(int64_t address, const real *like, int64_t thread) noexcept nogil:
    """Lead the team if no one does yet, help otherwise."""
    cdef Job *job = <Job *>address
    if leads(job):
        lead(job, like, thread)
        close(job)
    else:
        help(job, like, thread)


def work_float32(int64_t address, int64_t thread):
    """Work on a job of a float32 network until it is done."""
    with nogil:
        work(address, <float *>NULL, thread)


def work_float64(int64_t address, int64_t thread):
    """Work on a job of a float64 network until it is done."""
    with nogil:
        work(address, <double *>NULL, thread)
