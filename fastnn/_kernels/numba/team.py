"""Threads that work as a team: phases of tasks, claimed one by one.

A parallel loop a batch would cost more than a small batch itself, so the threads stay in one parallel region and meet
at the end of each phase. The first to arrive leads: it goes through the steps and opens phases; whoever is free claims
the next task by incrementing a ticket. A leader that is alone does every task itself, so nothing depends on when, or
whether, the others are scheduled. Waiting threads spin for a moment and then give their core away.

The ticket is one word, tasks << 32 | next task: whoever increments it has a task of the phase that is open.
"""

from __future__ import annotations

from fastnn._kernels.numba.atomics import (
    atomic_add,
    atomic_load,
    atomic_store,
    compare_exchange,
    pause,
    yield_thread,
)
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import integers
from fastnn._kernels.numba.simd import advance

LEADER, TICKET, DONE, KIND = 0, 8, 16, 24  # words of the team's memory, each in a cache line of its own
CLOSED = -1  # the ticket's value once the leader has finished
SPINS = 2000  # about 50 us of pause, a few times what another thread's task takes
MASK = 0x7FFFFFFF  # of the next task in a ticket


@kernel
def word(job, name):
    """Return the pointer to a word of the team's memory."""
    return advance(integers(job.team), name)


@kernel
def leads(job):
    """Return whether the calling thread is the first to ask, and so leads."""
    return atomic_add(word(job, LEADER), 1) == 0


@kernel
def wait(spins):
    """Wait a moment; return how often this wait has done so."""
    if spins < SPINS:
        pause()
    else:
        yield_thread()
    return spins + 1


@kernel
def open_phase(job, kind, tasks):
    """Let every thread claim tasks of a kind."""
    integers(job.team)[KIND] = kind
    atomic_store(word(job, DONE), 0)
    atomic_store(word(job, TICKET), tasks << 32)


@kernel
def claim(job):
    """Return the number of a task that is now the caller's, or -1 if the phase has no more, -2 if it is all over."""
    while True:
        ticket = atomic_load(word(job, TICKET))
        if ticket == CLOSED:
            return -2
        if ticket & MASK >= ticket >> 32:
            return -1
        if compare_exchange(word(job, TICKET), ticket, ticket + 1) == ticket:
            return ticket & MASK


@kernel
def finish_task(job):
    """Say that a claimed task is done."""
    atomic_add(word(job, DONE), 1)


@kernel
def wait_for_phase(job, tasks):
    """Return when all tasks of the phase are done."""
    spins = 0
    while atomic_load(word(job, DONE)) < tasks:
        spins = wait(spins)


@kernel
def close(job):
    """Let the other threads go."""
    atomic_store(word(job, TICKET), CLOSED)
