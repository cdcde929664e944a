"""Threads that work as a team: phases of tasks, claimed one by one.

A parallel loop a batch would cost more than a small batch itself, so the threads stay in one parallel region and meet
at the end of each phase. The first to arrive leads: it goes through the steps and opens phases; whoever is free claims
the next task by incrementing a ticket. A leader that is alone does every task itself, so nothing depends on when, or
whether, the others are scheduled. Waiting threads spin for a moment and then sleep.

Each thread has a queue of the phase's tasks, always the same part of them, so that it finds in its core's cache what
its tasks of earlier phases left there; a thread whose own queue is empty takes tasks from the others'. A queue's ticket
is one word, end << 32 | next task: whoever increments it has a task of the phase that is open.
"""

from __future__ import annotations

from fastnn._kernels.drivers.language import Integers, Job, Reals
from fastnn._kernels.numba.atomics import (
    atomic_add,
    atomic_load,
    atomic_store,
    compare_exchange,
    pause,
    rest,
)
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import call, integers
from fastnn._kernels.numba.simd import advance

# The kinds of tasks: outputs of a tile. A chunk through all its tiles, forward, or into a gradient of its own; a block
# of the sum of the chunks' gradients; a block's update, where it waits for the gradient's norm. Of a shared tile: a
# part of a layer's product, rows through the other layers, a block of a layer's weights. A piece of the next window's
# samples. Of per-sample descent: a part of the first layer's products, a sample of the next block, units of the first
# layer between two samples, a part of a later layer's units forward and back, rows of the block's updates.
# Of sparse samples: a tile's sort, columns and rows of weights that are brought up to date.
(
    PREDICT, CHUNK, REDUCE, PRODUCT, ROWS, BLOCK, STAGE, PROJECT, PREPARE, TURN, FORWARD, BACKWARD, APPLY, UPDATE,
    SORT, CATCH_UP, SETTLE,
) = range(17)  # fmt: skip

ARRIVED, DONE, KIND, TICKETS = 0, 8, 16, 24  # words of the team's memory, each in a cache line of its own
CLOSED = -1  # the tickets' value once the leader has finished
SPINS = 2000  # about 50 us of pause, a few times what another thread's task takes
MASK = 0x7FFFFFFF  # of the next task in a ticket


@kernel
def word(job: Job, name: int) -> Integers:
    """Return the pointer to a word of the team's memory."""
    return advance(integers(job.team), name)


@kernel
def arrive(job: Job) -> int:
    """Return the calling thread's number, in the order of arrival: the first, 0, leads.

    So a single task, which is the last queue's, is never in the leader's, from which no one else would expect it.
    """
    return atomic_add(word(job, ARRIVED), 1)


@kernel
def wait(spins: int) -> int:
    """Wait a moment; return how often this wait has done so."""
    if spins < SPINS:
        pause()
    else:
        rest()
    return spins + 1


@kernel
def ticket_of(job: Job, thread: int) -> Integers:
    """Return the pointer to the ticket of a thread's queue."""
    return word(job, TICKETS + 8 * thread)


@kernel
def open_phase(job: Job, kind: int, first: int, last: int) -> None:
    """Let the threads claim the tasks of a kind from ``first`` to ``last``."""
    integers(job.team)[KIND] = kind
    atomic_store(word(job, DONE), 0)
    tasks = last - first
    for thread in range(job.threads):
        begin, end = first + thread * tasks // job.threads, first + (thread + 1) * tasks // job.threads
        atomic_store(ticket_of(job, thread), end << 32 | begin)


@kernel
def has_tasks(ticket: int) -> bool:
    """Return whether a queue with that ticket has tasks left."""
    return ticket & MASK < ticket >> 32


@kernel
def claim_from(job: Job, queue: int) -> int:
    """Return the number of a task of a thread's queue that is now the caller's, or -1 if it has no more."""
    ticket = atomic_load(ticket_of(job, queue))
    while has_tasks(ticket):
        found = compare_exchange(ticket_of(job, queue), ticket, ticket + 1)
        if found == ticket:
            return ticket & MASK
        ticket = found
    return -1


@kernel
def claim(job: Job, thread: int) -> int:
    """Return the number of a task that is now the thread's, of its own queue or another's, or -1 if there are none."""
    task = claim_from(job, thread)
    for other in range(thread + 1, thread + job.threads):
        if task < 0:
            task = claim_from(job, other % job.threads)
    return task


@kernel
def finish_task(job: Job) -> None:
    """Say that a claimed task is done."""
    atomic_add(word(job, DONE), 1)


@kernel
def wait_for_phase(job: Job, tasks: int) -> None:
    """Return when all tasks of the phase are done."""
    spins = 0
    while atomic_load(word(job, DONE)) < tasks:
        spins = wait(spins)


@kernel
def close(job: Job) -> None:
    """Let the other threads go."""
    for thread in range(job.threads):
        atomic_store(ticket_of(job, thread), CLOSED)


@kernel
def end_phase(job: Job, like: Reals, thread: int, kind: int, tasks: int) -> None:
    """Do what tasks are left of the open phase, and wait for those under way."""
    task = claim(job, thread)
    while task >= 0:
        call(job.run_task, (job, like, thread, kind, task))
        finish_task(job)
        task = claim(job, thread)
    wait_for_phase(job, tasks)


@kernel
def run_phase(job: Job, like: Reals, thread: int, kind: int, first: int, last: int) -> None:
    """Do all tasks of a phase, from ``first`` to ``last``, with whoever helps; only the leader calls this.

    If the others copy samples together, it is alone with the steps.
    """
    if job.threads == 1 or job.window > 0:
        for task in range(first, last):
            call(job.run_task, (job, like, thread, kind, task))
        return
    open_phase(job, kind, first, last)
    end_phase(job, like, thread, kind, last - first)


@kernel
def help(job: Job, like: Reals, thread: int) -> None:
    """Do tasks of whatever phase is open until the leader closes the team.

    A thread learns of a new phase from its own queue: another's may be open earlier, but its tasks have their thread.
    """
    spins, seen = 0, 0
    ticket = atomic_load(ticket_of(job, thread))
    while ticket != CLOSED:
        task = -1 if ticket == seen else claim(job, thread)
        if task >= 0:
            call(job.run_task, (job, like, thread, integers(job.team)[KIND], task))
            finish_task(job)
            spins, seen = 0, 0  # what was seen before may be how this phase's own queue will look when it is empty
        else:
            if not has_tasks(ticket):
                seen = ticket
            spins = wait(spins)
        ticket = atomic_load(ticket_of(job, thread))
