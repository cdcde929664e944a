"""The drivers: a leading thread walks through the steps and opens phases, every thread takes tasks from them."""

from __future__ import annotations

from math import sqrt

from fastnn._kernels.drivers.deferred import project_units, sum_deltas
from fastnn._kernels.drivers.language import Job, Numbers, Reals
from fastnn._kernels.drivers.layers import add_gradient, backward, inputs
from fastnn._kernels.drivers.lazy import (
    ADAM,
    ADAMW,
    catch_up_columns,
    column_tasks,
    note_step,
    settle_rows,
    settle_tasks,
    shrink_lazily,
    sorts_beside,
    waits,
)
from fastnn._kernels.drivers.outputs import output_deltas, output_units
from fastnn._kernels.drivers.primitives import ADD, ASSIGN
from fastnn._kernels.drivers.sgd import (
    add_updates,
    factor_to_fold,
    prepare,
    prepare_sample,
    project_part,
    store_weights,
)
from fastnn._kernels.drivers.shared import add_block, groups_of, multiply_part, parts_of, pass_rows
from fastnn._kernels.drivers.sparse import enter, sort_entries
from fastnn._kernels.drivers.staging import enter_window, pieces_of, stage
from fastnn._kernels.drivers.team import (
    APPLY,
    BACKWARD,
    BLOCK,
    CATCH_UP,
    CHUNK,
    FORWARD,
    PREDICT,
    PREPARE,
    PRODUCT,
    PROJECT,
    REDUCE,
    ROWS,
    SETTLE,
    SORT,
    STAGE,
    TURN,
    UPDATE,
    arrive,
    close,
    end_phase,
    help,
    open_phase,
    run_phase,
)
from fastnn._kernels.drivers.turn import turn_units
from fastnn._kernels.drivers.update import add_chunks, block_at, finish_block, limit_norm, refresh, update_block
from fastnn._kernels.drivers.walk import walk
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.denormals import FLUSH, float_control, set_float_control
from fastnn._kernels.numba.dots import total_of_numbers
from fastnn._kernels.numba.memory import (
    DEFERRED,
    FIRST_BLOCK,
    N_IN,
    call,
    field,
    integers,
    job_at,
    numbers,
    reals,
)
from fastnn._kernels.numba.simd import advance


@kernel
def tile_memory(job: Job, like: Reals, thread: int) -> Reals:
    """Return the pointer to a thread's tile."""
    return advance(reals(like, job.tiles), thread * job.tile_size)


@kernel
def row_losses(job: Job, thread: int) -> Numbers:
    """Return the pointer to the losses of a thread's tile."""
    return advance(numbers(job.row_losses), thread * job.tile_rows)


@kernel
def predict_rows(job: Job, like: Reals, thread: int, task: int) -> None:
    """Write the outputs of the task's rows."""
    first = task * job.tile_rows
    rows = min(job.tile_rows, job.samples - first)
    memory = tile_memory(job, like, thread)
    enter(job, like, thread, thread, memory, first, 0, rows)
    output_units(job, thread, memory, rows, advance(reals(like, job.out), first * job.n_outputs))


@kernel
def pass_tile(job: Job, like: Reals, thread: int, first: int, rows: int) -> None:
    """Take the rows from ``first`` on through the network and, for a gradient, back."""
    memory = tile_memory(job, like, thread)
    enter(job, like, thread, thread, memory, first, 0, rows)
    output_deltas(job, thread, memory, 0, rows, first, row_losses(job, thread))
    if job.backward:
        backward(job, memory, 0, 0, rows)


@kernel
def chunks_of(job: Job) -> int:
    """Return the number of chunks of the step under way: the last batch may have fewer rows than that."""
    return min(job.chunks, job.batch_rows)


@kernel
def pass_chunk(job: Job, like: Reals, thread: int, chunk: int, gradient: int, mode: int) -> None:
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
        total += total_of_numbers(row_losses(job, thread), rows)
        if job.backward:
            A, stride = inputs(job, like, thread, first, 0)
            for layer in range(job.layers):
                add_gradient(job, memory, A, stride, layer, 0, field(job, layer, N_IN) + 1, rows, sums, mode)
            mode = ADD
    numbers(job.chunk_losses)[chunk] = total


@kernel
def chunk_tasks(job: Job) -> int:
    """Return the number of tasks that the chunks make: one for each, or for each pair."""
    return (chunks_of(job) + 1) // 2 if job.paired else chunks_of(job)


@kernel
def pass_chunks(job: Job, like: Reals, thread: int, task: int) -> None:
    """Take a task's chunk, or the two of its pair, through the network."""
    first, last = task, task + 1
    if job.paired:
        first, last = 2 * task, min(2 * task + 2, chunks_of(job))
    for chunk in range(first, last):
        pass_chunk(job, like, thread, chunk, first, ASSIGN if chunk == first else ADD)


@kernel
def run_batch_task(job: Job, like: Reals, thread: int, kind: int, task: int) -> None:
    """Do one task of a batch, of a window of samples or of outputs."""
    if kind == CHUNK:
        pass_chunks(job, like, thread, task)
    elif kind == PRODUCT:
        multiply_part(job, like, task)
    elif kind == ROWS:
        if task < sorts_beside(job):
            sort_entries(job, like)
        else:
            pass_rows(job, like, thread, task - sorts_beside(job))
    elif kind == BLOCK:
        add_block(job, like, thread, task)
    elif kind == REDUCE:
        layer, begin, end = block_at(job, task)
        add_chunks(job, reals(like, job.sums), chunks_of(job), layer, begin, end)
        finish_block(job, thread, reals(like, job.sums), task)
    elif kind == UPDATE:
        update_block(job, like, thread, task)
    elif kind == STAGE:
        stage(job, like, task)
    elif kind == SORT:
        sort_entries(job, like)
    elif kind == CATCH_UP:
        catch_up_columns(job, like, task)
    elif kind == SETTLE:
        settle_rows(job, like, task)
    else:
        predict_rows(job, like, thread, task)


@kernel
def run_sample_task(job: Job, like: Reals, thread: int, kind: int, task: int) -> None:
    """Do one task of per-sample descent."""
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
def run_task(job: Job, like: Reals, thread: int, kind: int, task: int) -> None:
    """Do one task of the job's mode; Numba compiles each mode's apart and knows it by its address."""
    if job.per_sample:
        run_sample_task(job, like, thread, kind, task)
    else:
        run_batch_task(job, like, thread, kind, task)


@kernel
def steps_of(job: Job) -> int:
    """Return the number of an epoch's steps."""
    return (job.samples + job.batch_size - 1) // job.batch_size


@kernel
def begin_step(job: Job, step: int) -> None:
    """Set the step's samples and its optimizer's numbers."""
    job.batch_start = step * job.batch_size
    job.batch_rows = min(job.batch_size, job.samples - job.batch_start)
    job.scale = 1.0 / job.batch_rows
    if job.training:
        t = integers(job.step)
        t[0] += 1
        job.rate = numbers(job.rates)[step * job.rate_stride]
        if job.average != 0:
            job.average_rate = numbers(job.average_rates)[step * job.average_stride]
        job.floor = job.epsilon
        if job.rule == ADAM or job.rule == ADAMW:
            job.correction1, job.correction2 = 1 - job.momentum ** t[0], 1 - job.second ** t[0]
            if job.variant != 0.0:
                job.floor = job.epsilon / sqrt(job.correction2)
        if job.lazy:
            note_step(job, step)


@kernel
def shared_step(job: Job, like: Reals, thread: int) -> float:
    """Go through a batch tile by tile, all threads in each; return the sum of the losses."""
    total = 0.0
    for first in range(job.batch_start, job.batch_start + job.batch_rows, job.tile_rows):
        job.tile_start = first
        job.tile_count = min(job.tile_rows, job.batch_start + job.batch_rows - first)
        if waits(job):
            run_phase(job, like, thread, SORT, 0, 1)
            run_phase(job, like, thread, CATCH_UP, 0, column_tasks(job))
        for layer in range(job.divided):
            job.layer = layer
            run_phase(job, like, thread, PRODUCT, 0, parts_of(job, layer) * groups_of(job, layer))
        row_tasks = (job.tile_count + job.task_rows - 1) // job.task_rows
        run_phase(job, like, thread, ROWS, 0, sorts_beside(job) + row_tasks)
        total += total_of_numbers(numbers(job.row_losses), job.tile_count)
        end = job.blocks + (column_tasks(job) if job.lazy else 0)
        for layer in range(max(job.divided, 1) - 1, -1, -1):
            begin = field(job, layer, FIRST_BLOCK)
            run_phase(job, like, thread, BLOCK, begin, end)
            end = begin
    return total


@kernel
def chunked_step(job: Job, like: Reals, thread: int) -> float:
    """Go through a batch with a thread for each chunk; return the sum of the losses."""
    run_phase(job, like, thread, CHUNK, 0, chunk_tasks(job))
    total = 0.0
    for chunk in range(chunks_of(job)):
        total += numbers(job.chunk_losses)[chunk]
    if job.backward:
        run_phase(job, like, thread, REDUCE, 0, job.blocks)
    return total


@kernel
def sample_block(job: Job, like: Reals, thread: int) -> None:
    """Take one step for each sample of a block, and prepare the next."""
    if field(job, 0, DEFERRED):
        run_phase(job, like, thread, PROJECT, 0, parts_of(job, 0) * groups_of(job, 0))
    walk(job, like, thread)
    if job.threads == 1 or not field(job, 0, DEFERRED):
        prepare(job, like)
    job.folded = factor_to_fold(job)
    run_phase(job, like, thread, APPLY, 0, job.blocks)
    job.scale /= job.folded


@kernel
def lead_samples(job: Job, like: Reals, thread: int) -> None:
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
def end_lazy_step(job: Job, like: Reals, thread: int, last: bool) -> None:
    """Bring all weights up to date after an epoch's last step, or before the factor of plain descent is too small."""
    shrink_lazily(job)
    if last or job.shrunk < 0.5:
        if waits(job) or job.shrunk != 1.0:
            run_phase(job, like, thread, SETTLE, 0, settle_tasks(job))
        job.shrunk = 1.0


@kernel
def take_steps(job: Job, like: Reals, thread: int, first: int, last: int) -> None:
    """Take a step for each batch from ``first`` to ``last``."""
    for step in range(first, last):
        begin_step(job, step)
        total = shared_step(job, like, thread) if job.shared else chunked_step(job, like, thread)
        if job.clipped:
            limit_norm(job)
            run_phase(job, like, thread, UPDATE, 0, job.blocks)
        numbers(job.losses)[step] = total / job.batch_rows
        if job.lazy:
            end_lazy_step(job, like, thread, last - step == 1)
        if not job.training:
            job.gradient += job.n_parameters * job.itemsize  # the next step's


@kernel
def lead_batches(job: Job, like: Reals, thread: int) -> None:
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
        open_phase(job, STAGE, 0, pieces)
        take_steps(job, like, thread, first, first + (job.tile_count + job.batch_size - 1) // job.batch_size)
        end_phase(job, like, thread, STAGE, pieces)


@kernel
def end_epoch(job: Job) -> None:
    """Move on to the next epoch's order, learning rates and losses."""
    steps = steps_of(job)
    job.rates += 8 * steps * job.rate_stride
    job.average_rates += 8 * steps * job.average_stride
    job.losses += 8 * steps
    if job.order != 0:
        job.order += 8 * job.samples
    job.source_order += 8 * job.samples


@kernel
def refresh_all(job: Job, like: Reals) -> None:
    """Make the padded and the transposed copies of the weights."""
    for layer in range(job.layers):
        refresh(job, like, layer, 0, field(job, layer, N_IN) + 1)


@kernel
def lead_batch_job(job: Job, like: Reals, thread: int) -> None:
    """Go through all the steps of a job, a batch each, or through the rows whose outputs are wanted."""
    refresh_all(job, like)
    job.shrunk = 1.0
    if job.out != 0:
        run_phase(job, like, thread, PREDICT, 0, (job.samples + job.tile_rows - 1) // job.tile_rows)
        return
    for _ in range(job.epochs):
        lead_batches(job, like, thread)
        end_epoch(job)


@kernel
def lead_sample_job(job: Job, like: Reals, thread: int) -> None:
    """Go through all the steps of a job of per-sample descent."""
    refresh_all(job, like)
    for _ in range(job.epochs):
        lead_samples(job, like, thread)
        end_epoch(job)
    store_weights(job, like)


@kernel
def lead(job: Job, like: Reals, thread: int) -> None:
    """Go through all the steps of a job of either mode; Numba compiles each apart and knows it by its address."""
    if job.per_sample:
        lead_sample_job(job, like, thread)
    else:
        lead_batch_job(job, like, thread)


@kernel
def work_at(address: int, like: Reals) -> None:
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
