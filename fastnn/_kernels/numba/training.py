"""The drivers: a leading thread walks through the steps and opens phases, every thread takes tasks from them."""

from __future__ import annotations

from numba import prange

from fastnn._kernels.contract import Rule
from fastnn._kernels.numba.cache import entry_point, kernel
from fastnn._kernels.numba.deferred import project_units, sum_deltas
from fastnn._kernels.numba.denormals import FLUSH, float_control, set_float_control
from fastnn._kernels.numba.layers import (
    add_gradient,
    backward,
    forward,
    gather,
    input_stride,
    inputs,
    total_of,
)
from fastnn._kernels.numba.memory import (
    DEFERRED,
    FIRST_BLOCK,
    N_IN,
    START,
    call,
    field,
    integers,
    job_at,
    numbers,
    reals,
)
from fastnn._kernels.numba.outputs import output_deltas, output_units
from fastnn._kernels.numba.sgd import add_updates, factor_to_fold, prepare, prepare_sample, project_part, store_weights
from fastnn._kernels.numba.shared import add_block, groups_of, multiply_part, parts_of, pass_rows
from fastnn._kernels.numba.simd import advance
from fastnn._kernels.numba.staging import enter_window, pieces_of, stage
from fastnn._kernels.numba.team import (
    APPLY,
    BACKWARD,
    BLOCK,
    CHUNK,
    FORWARD,
    PREDICT,
    PREPARE,
    PRODUCT,
    PROJECT,
    REDUCE,
    ROWS,
    STAGE,
    TURN,
    arrive,
    close,
    end_phase,
    help,
    open_phase,
    run_phase,
)
from fastnn._kernels.numba.tile import ADD, ASSIGN
from fastnn._kernels.numba.turn import turn_units
from fastnn._kernels.numba.update import add_chunks, block_at, finish_block, refresh
from fastnn._kernels.numba.walk import walk

ADAM, ADAMW = int(Rule.ADAM), int(Rule.ADAMW)


@kernel
def tile_memory(job, like, thread):
    """Return the pointer to a thread's tile."""
    return advance(reals(like, job.tiles), thread * job.tile_size)


@kernel
def row_losses(job, thread):
    """Return the pointer to the losses of a thread's tile."""
    return advance(numbers(job.row_losses), thread * job.tile_rows)


@kernel
def predict_rows(job, like, thread, task):
    """Write the outputs of the task's rows."""
    first = task * job.tile_rows
    rows = min(job.tile_rows, job.samples - first)
    memory = tile_memory(job, like, thread)
    forward(job, memory, START, inputs(job, like, thread, first, START), input_stride(job), START, rows)
    output_units(job, thread, memory, rows, advance(reals(like, job.out), first * job.n_outputs))


@kernel
def pass_tile(job, like, thread, first, rows):
    """Take the rows from ``first`` on through the network and, for a gradient, back."""
    memory, A, losses = tile_memory(job, like, thread), inputs(job, like, thread, first, START), row_losses(job, thread)
    gather(job, like, A, input_stride(job), first, rows, START, job.n_inputs)
    forward(job, memory, START, A, input_stride(job), START, rows)
    output_deltas(job, thread, memory, START, rows, first, losses)
    if job.backward:
        backward(job, memory, START, START, rows)


@kernel
def chunks_of(job):
    """Return the number of chunks of the step under way: the last batch may have fewer rows than that."""
    return min(job.chunks, job.batch_rows)


@kernel
def pass_chunk(job, like, thread, chunk, gradient, mode):
    """Take a chunk through the network tile by tile and into a chunk's gradient, if one is wanted; write its loss.

    ``mode`` ASSIGN begins the gradient.
    """
    begin = job.batch_start + chunk * job.batch_rows // chunks_of(job)
    end = job.batch_start + (chunk + 1) * job.batch_rows // chunks_of(job)
    memory, sums = tile_memory(job, like, thread), advance(reals(like, job.sums), gradient * job.sums_size)
    total = 0.0
    for first in range(begin, end, job.tile_rows):
        rows = min(job.tile_rows, end - first)
        pass_tile(job, like, thread, first, rows)
        total += total_of(row_losses(job, thread), rows)
        if job.backward:
            A = inputs(job, like, thread, first, START)
            for layer in range(job.layers):
                add_gradient(
                    job, memory, A, input_stride(job), layer, START, field(job, layer, N_IN) + 1, rows, sums, mode
                )
            mode = ADD
    numbers(job.chunk_losses)[chunk] = total


@kernel
def chunk_tasks(job):
    """Return the number of tasks that the chunks make: one for each, or for each pair."""
    return (chunks_of(job) + 1) // 2 if job.paired else chunks_of(job)


@kernel
def pass_chunks(job, like, thread, task):
    """Take a task's chunk, or the two of its pair, through the network."""
    first, last = (2 * task, min(2 * task + 2, chunks_of(job))) if job.paired else (task, task + 1)
    for chunk in range(first, last):
        pass_chunk(job, like, thread, chunk, first, ASSIGN if chunk == first else ADD)


@kernel
def run_task_at(address, like, thread, kind, task):
    """Do one task of a batch, of a window of samples or of outputs."""
    job = job_at(address)
    if kind == CHUNK:
        pass_chunks(job, like, thread, task)
    elif kind == PRODUCT:
        multiply_part(job, like, task)
    elif kind == ROWS:
        pass_rows(job, like, thread, task)
    elif kind == BLOCK:
        add_block(job, like, thread, task)
    elif kind == REDUCE:
        layer, begin, end = block_at(job, task)
        add_chunks(job, reals(like, job.sums), chunks_of(job), layer, begin, end)
        finish_block(job, reals(like, job.sums), layer, begin, end)
    elif kind == STAGE:
        stage(job, like, task)
    else:
        predict_rows(job, like, thread, task)


@kernel
def run_sample_task_at(address, like, thread, kind, task):
    """Do one task of per-sample descent."""
    job = job_at(address)
    if kind == PROJECT:
        project_part(job, like, task)
    elif kind == PREPARE:
        prepare_sample(job, like, task)
    elif kind == TURN:
        turn_units(job, like, thread, task)
    elif kind == FORWARD:
        project_units(job, like, thread, task)
    elif kind == BACKWARD:
        sum_deltas(job, like, thread, task)
    else:
        add_updates(job, like, task)


@kernel
def steps_of(job):
    """Return the number of an epoch's steps."""
    return (job.samples + job.batch_size - 1) // job.batch_size


@kernel
def begin_step(job, step):
    """Set the step's samples and its optimizer's numbers."""
    job.batch_start = step * job.batch_size
    job.batch_rows = min(job.batch_size, job.samples - job.batch_start)
    job.scale = 1.0 / job.batch_rows
    if job.training:
        t = integers(job.step)
        t[0] += 1
        job.rate = numbers(job.rates)[step * job.rate_stride]
        if job.rule == ADAM or job.rule == ADAMW:
            job.correction1, job.correction2 = 1 - job.momentum ** t[0], 1 - job.second ** t[0]


@kernel
def shared_step(job, like, thread):
    """Go through a batch tile by tile, all threads in each; return the sum of the losses."""
    total = 0.0
    for first in range(job.batch_start, job.batch_start + job.batch_rows, job.tile_rows):
        job.tile_start = first
        job.tile_count = min(job.tile_rows, job.batch_start + job.batch_rows - first)
        for layer in range(job.divided):
            job.layer = layer
            run_phase(job, like, thread, PRODUCT, START, parts_of(job, layer) * groups_of(job, layer))
        run_phase(job, like, thread, ROWS, START, (job.tile_count + job.task_rows - 1) // job.task_rows)
        total += total_of(numbers(job.row_losses), job.tile_count)
        end = job.blocks
        for layer in range(max(job.divided, 1) - 1, -1, -1):
            begin = field(job, layer, FIRST_BLOCK)
            run_phase(job, like, thread, BLOCK, begin, end)
            end = begin
    return total


@kernel
def chunked_step(job, like, thread):
    """Go through a batch with a thread for each chunk; return the sum of the losses."""
    run_phase(job, like, thread, CHUNK, START, chunk_tasks(job))
    total = 0.0
    for chunk in range(chunks_of(job)):
        total += numbers(job.chunk_losses)[chunk]
    if job.backward:
        run_phase(job, like, thread, REDUCE, START, job.blocks)
    return total


@kernel
def sample_block(job, like, thread):
    """Take one step for each sample of a block, and prepare the next."""
    if field(job, 0, DEFERRED):
        run_phase(job, like, thread, PROJECT, START, parts_of(job, START) * groups_of(job, START))
    walk(job, like, thread)
    if job.threads == 1:
        prepare(job, like)
    job.folded = factor_to_fold(job)
    run_phase(job, like, thread, APPLY, START, job.blocks)
    job.scale /= job.folded


@kernel
def lead_samples(job, like, thread):
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


@kernel
def take_steps(job, like, thread, first, last):
    """Take a step for each batch from ``first`` to ``last``."""
    for step in range(first, last):
        begin_step(job, step)
        total = shared_step(job, like, thread) if job.shared else chunked_step(job, like, thread)
        numbers(job.losses)[step] = total / job.batch_rows


@kernel
def lead_batches(job, like, thread):
    """Go through an epoch's batches, one step for each."""
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
        open_phase(job, STAGE, START, pieces)
        take_steps(job, like, thread, first, first + (job.tile_count + job.batch_size - 1) // job.batch_size)
        end_phase(job, like, thread, STAGE, pieces)


@kernel
def end_epoch(job):
    """Move on to the next epoch's order, learning rates and losses."""
    steps = steps_of(job)
    job.rates += 8 * steps * job.rate_stride
    job.losses += 8 * steps
    if job.order != 0:
        job.order += 8 * job.samples
    job.source_order += 8 * job.samples


@kernel
def refresh_all(job, like):
    """Make the padded and the transposed copies of the weights."""
    for layer in range(job.layers):
        refresh(job, like, layer, START, field(job, layer, N_IN) + 1)


@kernel
def lead_at(address, like, thread):
    """Go through all the steps of a job, a batch each, or through the rows whose outputs are wanted."""
    job = job_at(address)
    refresh_all(job, like)
    if job.out != 0:
        run_phase(job, like, thread, PREDICT, START, (job.samples + job.tile_rows - 1) // job.tile_rows)
        return
    for _ in range(job.epochs):
        lead_batches(job, like, thread)
        end_epoch(job)


@kernel
def lead_samples_at(address, like, thread):
    """Go through all the steps of a job of per-sample descent."""
    job = job_at(address)
    refresh_all(job, like)
    for _ in range(job.epochs):
        lead_samples(job, like, thread)
        end_epoch(job)
    store_weights(job, like)


@kernel
def work_at(address, like):
    """Lead the team if no one does yet, help otherwise."""
    job, control = job_at(address), float_control()
    if job.backward:
        set_float_control(control | FLUSH)
    thread = arrive(job)
    if thread == 0:
        call(job.lead, (job, like, thread))
        close(job)
    else:
        help(job, like, thread)
    set_float_control(control)


@entry_point(parallel=True)
def run(work, address, threads):
    """Do a job with a number of threads; ``work`` is the address of `work_at`."""
    for _ in prange(threads):
        call(work, (address, address))
