"""The drivers: a leading thread walks through the steps and opens phases, every thread takes tasks from them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import prange
from numba.core import types
from numba.np.numpy_support import from_dtype

from fastnn._kernels.contract import Rule
from fastnn._kernels.numba import primitives
from fastnn._kernels.numba.cache import entry_point, kernel
from fastnn._kernels.numba.layers import (
    add_gradient,
    backward,
    forward,
    gather,
    inputs,
    output_deltas,
    output_units,
    total_of,
)
from fastnn._kernels.numba.memory import (
    DEFERRED,
    N_IN,
    ONE,
    START,
    SUMS,
    WIDTH_OUT,
    call,
    field,
    integers,
    job_at,
    numbers,
    reals,
)
from fastnn._kernels.numba.multiply import ADD, ASSIGN
from fastnn._kernels.numba.sgd import PANEL, add_updates, prepare, project_panel, scale_deltas, store_weights
from fastnn._kernels.numba.simd import advance
from fastnn._kernels.numba.team import (
    KIND,
    claim,
    close,
    finish_task,
    leads,
    open_phase,
    wait,
    wait_for_phase,
)
from fastnn._kernels.numba.update import add_chunks, finish_block, refresh
from fastnn._kernels.numba.walk import walk

ADAM, ADAMW = int(Rule.ADAM), int(Rule.ADAMW)

# The kinds of tasks: rows of a tile forward, or forward and backward; a block of the gradient of a tile; a chunk
# through all its tiles, forward, or into a gradient of its own; a block of the sum of the chunks' gradients.
# Of per-sample descent: a panel of the first layer's products, the next block's samples, rows of the block's updates.
PREDICT, ROWS, BLOCK, CHUNK, REDUCE, PROJECT, PREPARE, APPLY = map(np.int64, range(8))
SHARED = np.int64(0)  # the thread whose tile all share


@kernel
def tile_memory(job, like, thread):
    """Return the pointer to a thread's tile."""
    return advance(reals(like, job.tiles), thread * job.tile_size)


@kernel
def predict_rows(job, like, thread, task):
    """Write the outputs of the task's rows."""
    first = task * job.tile_rows
    rows = min(job.tile_rows, job.samples - first)
    memory = tile_memory(job, like, thread)
    forward(job, memory, inputs(job, like, thread, first, START), START, rows)
    log_sums = advance(numbers(job.row_losses), thread * job.tile_rows)
    output_units(job, memory, START, rows, advance(reals(like, job.out), first * job.n_outputs), log_sums)


@kernel
def pass_rows(job, like, thread, first, row, rows):
    """Take rows of a tile, whose row 0 is sample ``first``, through the network and, for a gradient, back."""
    memory = tile_memory(job, like, thread)
    A = inputs(job, like, thread, first, row)
    gather(job, like, A, first + row, rows)
    forward(job, memory, A, row, rows)
    output_deltas(job, memory, row, rows, first + row, advance(numbers(job.row_losses), thread * job.tile_rows + row))
    if job.backward:
        backward(job, memory, row, rows)


@kernel
def block(job, task):
    """Return the task's block of the gradient: layer, first row, last row."""
    entry = advance(integers(job.block_table), 3 * task)
    return entry[0], entry[1], entry[2]


@kernel
def block_sums(job, like, thread, layer, begin):
    """Return the pointer to the gradient that a block is added to, as if all of it was there.

    A step of one tile needs no more than the block: it goes where the thread's last block was, which is still in cache.
    """
    width = field(job, layer, WIDTH_OUT)
    if job.tile_count < job.batch_rows or width == 1:
        return reals(like, job.sums)
    scratch = advance(reals(like, job.scratch), thread * job.scratch_size)
    return advance(scratch, -(field(job, layer, SUMS) + begin * width))


@kernel
def add_block(job, like, thread, task):
    """Add the shared tile to a block of the gradient; use the block if that was the step's last tile."""
    layer, begin, end = block(job, task)
    A, memory = inputs(job, like, SHARED, job.tile_start, START), reals(like, job.tiles)
    sums = block_sums(job, like, thread, layer, begin)
    mode = ASSIGN if job.tile_start == job.batch_start else ADD
    add_gradient(job, memory, A, layer, begin, end, job.tile_count, sums, mode)
    if job.tile_start + job.tile_count == job.batch_start + job.batch_rows:
        finish_block(job, sums, layer, begin, end)


@kernel
def pass_chunk(job, like, thread, chunk):
    """Take a chunk through the network tile by tile and into its own gradient, if one is wanted; write its loss."""
    begin = job.batch_start + chunk * job.batch_rows // job.chunks
    end = job.batch_start + (chunk + 1) * job.batch_rows // job.chunks
    memory, sums = tile_memory(job, like, thread), advance(reals(like, job.sums), chunk * job.sums_size)
    losses, total = advance(numbers(job.row_losses), thread * job.tile_rows), 0.0
    for first in range(begin, end, job.tile_rows):
        rows = min(job.tile_rows, end - first)
        pass_rows(job, like, thread, first, START, rows)
        total += total_of(losses, rows)
        if job.backward:
            A, mode = inputs(job, like, thread, first, START), ASSIGN if first == begin else ADD
            for layer in range(job.layers):
                add_gradient(job, memory, A, layer, START, field(job, layer, N_IN) + 1, rows, sums, mode)
    numbers(job.chunk_losses)[chunk] = total


@kernel
def run_task_at(address, like, thread, kind, task):
    """Do one task."""
    job = job_at(address)
    if kind == ROWS:
        row = task * job.task_rows
        pass_rows(job, like, SHARED, job.tile_start, row, min(job.task_rows, job.tile_count - row))
    elif kind == BLOCK:
        add_block(job, like, thread, task)
    elif kind == CHUNK:
        pass_chunk(job, like, thread, task)
    elif kind == REDUCE:
        layer, begin, end = block(job, task)
        add_chunks(job, reals(like, job.sums), layer, begin, end)
        finish_block(job, reals(like, job.sums), layer, begin, end)
    elif kind == PROJECT:
        project_panel(job, like, task)
    elif kind == PREPARE:
        prepare(job, like)
    elif kind == APPLY:
        add_updates(job, like, task)
    else:
        predict_rows(job, like, thread, task)


@kernel
def run_task(job, like, thread, kind, task):
    """Call `run_task_at`."""
    call(job.run_task, (job, like, thread, kind, task))


@kernel
def end_phase(job, like, thread, kind, tasks):
    """Do what tasks are left of the open phase, and wait for those under way."""
    task = claim(job)
    while task >= 0:
        run_task(job, like, thread, kind, task)
        finish_task(job)
        task = claim(job)
    wait_for_phase(job, tasks)


@kernel
def run_phase(job, like, thread, kind, tasks):
    """Do all tasks of a phase, with whoever helps; only the leader calls this."""
    if job.threads == 1:
        for task in range(tasks):
            run_task(job, like, thread, kind, task)
        return
    open_phase(job, kind, tasks)
    end_phase(job, like, thread, kind, tasks)


@kernel
def help(job, like, thread):
    """Do tasks of whatever phase is open until the leader closes the team."""
    spins = 0
    task = claim(job)
    while task != -2:
        if task < 0:
            spins = wait(spins)
        else:
            run_task(job, like, thread, integers(job.team)[KIND], task)
            finish_task(job)
            spins = 0
        task = claim(job)


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
    losses, total = numbers(job.row_losses), 0.0
    for first in range(job.batch_start, job.batch_start + job.batch_rows, job.tile_rows):
        job.tile_start = first
        job.tile_count = min(job.tile_rows, job.batch_start + job.batch_rows - first)
        run_phase(job, like, thread, ROWS, (job.tile_count + job.task_rows - 1) // job.task_rows)
        total += total_of(losses, job.tile_count)
        run_phase(job, like, thread, BLOCK, job.blocks)
    return total


@kernel
def chunked_step(job, like, thread):
    """Go through a batch with a thread for each chunk; return the sum of the losses."""
    run_phase(job, like, thread, CHUNK, job.chunks)
    total = 0.0
    for chunk in range(job.chunks):
        total += numbers(job.chunk_losses)[chunk]
    if job.backward:
        run_phase(job, like, thread, REDUCE, job.blocks)
    return total


@kernel
def sample_block(job, like, thread):
    """Take one step for each sample of a block, while another thread prepares the next block."""
    width = field(job, 0, WIDTH_OUT)
    if field(job, 0, DEFERRED):
        run_phase(job, like, thread, PROJECT, (width + PANEL - 1) // PANEL)
    if job.threads > 1:
        open_phase(job, PREPARE, ONE)
        job.scale = walk(job, like)
        end_phase(job, like, thread, PREPARE, ONE)
    else:
        job.scale = walk(job, like)
        prepare(job, like)
    scale_deltas(job, like)
    run_phase(job, like, thread, APPLY, job.blocks)


@kernel
def lead_samples(job, like, thread):
    """Go through the samples in blocks, one step for each sample."""
    job.next_start, job.next_count, job.parity = 0, min(job.tile_rows, job.samples), 1
    prepare(job, like)
    while job.next_count > 0:
        job.tile_start, job.tile_count, job.parity = job.next_start, job.next_count, 1 - job.parity
        job.next_start += job.tile_count
        job.next_count = min(job.tile_rows, job.samples - job.next_start)
        sample_block(job, like, thread)
    integers(job.step)[0] += job.samples


@kernel
def lead_batches(job, like, thread):
    """Go through an epoch's batches, one step for each."""
    for step in range((job.samples + job.batch_size - 1) // job.batch_size):
        begin_step(job, step)
        total = shared_step(job, like, thread) if job.shared else chunked_step(job, like, thread)
        numbers(job.losses)[step] = total / job.batch_rows


@kernel
def end_epoch(job):
    """Move on to the next epoch's order, learning rates and losses."""
    steps = (job.samples + job.batch_size - 1) // job.batch_size
    job.rates += 8 * steps * job.rate_stride
    job.losses += 8 * steps
    if job.order != 0:
        job.order += 8 * job.samples


@kernel
def lead(job, like, thread):
    """Go through all the steps of the job."""
    for layer in range(job.layers):
        refresh(job, like, layer, START, field(job, layer, N_IN) + 1)
    if job.out != 0:
        run_phase(job, like, thread, PREDICT, (job.samples + job.tile_rows - 1) // job.tile_rows)
        return
    for _ in range(job.epochs):
        if job.per_sample:
            lead_samples(job, like, thread)
        else:
            lead_batches(job, like, thread)
        end_epoch(job)
    if job.per_sample:
        store_weights(job, like)


@kernel
def work_at(address, like, thread):
    """Lead the team if no one does yet, help otherwise."""
    job = job_at(address)
    if leads(job):
        lead(job, like, thread)
        close(job)
    else:
        help(job, like, thread)


@entry_point(parallel=True)
def run(work, address, threads):
    """Do a job with a number of threads; ``work`` is the address of `work_at`."""
    for thread in prange(threads):
        call(work, (address, address, np.int64(thread)))


@lru_cache
def compiled(dtype):
    """Return the addresses of the functions that kernels call through the job, by name, and `work_at` for a dtype."""
    real = from_dtype(dtype)
    like, size = types.CPointer(real), types.int64
    run_task = primitives.compiled(run_task_at, types.void(size, like, size, size, size))
    work = primitives.compiled(work_at, types.void(size, like, size))
    return primitives.addresses(real) | {"run_task": run_task.address}, work
