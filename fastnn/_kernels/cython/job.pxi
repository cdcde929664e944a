# The job: the struct of job.py, field by field in the same order, all of 8 bytes. An address is an int64_t.

cdef struct Job:
    # the network
    int64_t layers, table, slopes, loss, n_inputs, n_outputs, itemsize
    # the samples
    int64_t X, labels, targets, order, samples, epochs, batch_size, out, losses, gradient
    # the parameters and the optimizer
    int64_t parameters, state, n_parameters, rates, rate_stride, step, rule
    # the workspace
    int64_t gathered, tiles, tile_size, tile_rows, compact, partials, partials_size, sums, sums_size
    int64_t shared, chunks, paired, rows_ahead, row_losses, chunk_losses, one, logits, logits_size
    # the division of work
    int64_t threads, task_rows, divided, walk_divided, turned, blocks, block_table, team, training, backward
    # the step under way; the layer, and the sample of a block, that the threads are at
    int64_t batch_start, batch_rows, tile_start, tile_count, layer, sample
    # the samples' rows and targets where they are, if a thread copies the next ones together
    int64_t source_X, source_labels, source_targets, source_order, window, staged, staged_targets
    # a thread's memory for a block of weights, transposed, and its gradient; or for a sample in per-sample descent
    int64_t scratch, scratch_size
    # per-sample descent; the block or window under way, and the next
    int64_t per_sample, gram, parity, next_start, next_count
    # the addresses of compiled functions, which Numba's kernels need
    int64_t multiply, dots, gram_rows, add_rows, transpose, activate, multiply_by_derivative, exp_array
    int64_t sigmoid_cross_entropy_array, lead, run_task
    double momentum, second, epsilon, weight_decay, nesterov, l2
    # of the step under way
    double rate, correction1, correction2, scale, folded, delta_scale


# The columns of the layer table.
cdef enum:
    N_IN, N_OUT, WIDTH_IN, WIDTH_OUT, WEIGHTS, BIASES, ACTIVATION, PACKED, BIAS, TRANSPOSED, OUTPUTS, DELTAS, SUMS,
    DEFERRED, SPLIT, FIRST_BLOCK, FLIPPED, COLUMNS


def fields(int64_t address):
    """Return the fields of the job at an address as a dict, in their order."""
    return (<Job *>address)[0]


def columns():
    """Return how many columns of the layer table the kernels know."""
    return COLUMNS
