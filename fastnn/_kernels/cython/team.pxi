# Threads that work as a team: phases of tasks, claimed one by one.
#
# A parallel loop a batch would cost more than a small batch itself, so the threads stay together for a whole job and
# meet at the end of each phase. The first to arrive leads: it goes through the steps and opens phases; whoever is free
# claims the next task by incrementing a ticket. A leader that is alone does every task itself, so nothing depends on
# when, or whether, the others are scheduled. Waiting threads spin for a moment and then sleep.
#
# Each thread has a queue of the phase's tasks, always the same part of them, so that it finds in its core's cache what
# its tasks of earlier phases left there; a thread whose own queue is empty takes tasks from the others'. A queue's
# ticket is one word, end << 32 | next task: whoever increments it has a task of the phase that is open.

# The kinds of tasks: outputs of a tile. A chunk through all its tiles, forward, or into a gradient of its own; a block
# of the sum of the chunks' gradients. Of a shared tile: a part of a layer's product, rows through the other layers, a
# block of a layer's weights. A piece of the next window's samples. Of per-sample descent: a part of the first layer's
# products, a sample of the next block, units of the first layer between two samples, a part of a later layer's units
# forward and back, rows of the block's updates.
cdef enum:
    PREDICT, CHUNK, REDUCE, PRODUCT, ROWS, BLOCK, STAGE, PROJECT, PREPARE, TURN, FORWARD, BACKWARD, APPLY

cdef enum:  # words of the team's memory, each in a cache line of its own
    ARRIVED = 0
    DONE = 8
    KIND = 16
    TICKETS = 24

cdef enum:
    MASK = 0x7FFFFFFF  # of the next task in a ticket
    CLOSED = -1  # the tickets' value once the leader has finished
    SPINS = 2000  # about 50 us of pause, a few times what another thread's task takes


cdef inline int64_t *word(const Job *job, int64_t name) noexcept nogil:
    """Return the pointer to a word of the team's memory."""
    return integers(job.team) + name


cdef inline int64_t arrive(const Job *job) noexcept nogil:
    """Return the calling thread's number, in the order of arrival: the first, 0, leads.

    So a single task, which is the last queue's, is never in the leader's, from which no one else would expect it.
    """
    return fastnn_fetch_add(word(job, ARRIVED), 1)


cdef inline int64_t wait(int64_t spins) noexcept nogil:
    """Wait a moment; return how often this wait has done so."""
    if spins < SPINS:
        fastnn_pause()
    else:
        fastnn_rest()
    return spins + 1


cdef inline int64_t *ticket_of(const Job *job, int64_t thread) noexcept nogil:
    """Return the pointer to the ticket of a thread's queue."""
    return word(job, TICKETS + 8 * thread)


cdef inline void open_phase(const Job *job, int64_t kind, int64_t first, int64_t last) noexcept nogil:
    """Let the threads claim the tasks of a kind from ``first`` to ``last``."""
    cdef int64_t thread, begin, end, tasks = last - first
    word(job, KIND)[0] = kind
    fastnn_store(word(job, DONE), 0)
    for thread in range(job.threads):
        begin, end = first + thread * tasks // job.threads, first + (thread + 1) * tasks // job.threads
        fastnn_store(ticket_of(job, thread), end << 32 | begin)


cdef inline bint has_tasks(int64_t ticket) noexcept nogil:
    """Return whether a queue with that ticket has tasks left."""
    return ticket & MASK < ticket >> 32


cdef inline int64_t claim_from(const Job *job, int64_t queue) noexcept nogil:
    """Return the number of a task of a thread's queue that is now the caller's, or -1 if it has no more."""
    cdef int64_t ticket = fastnn_load(ticket_of(job, queue))
    while has_tasks(ticket):
        if fastnn_compare_exchange(ticket_of(job, queue), ticket, ticket + 1):
            return ticket & MASK
        ticket = fastnn_load(ticket_of(job, queue))
    return -1


cdef inline int64_t claim(const Job *job, int64_t thread) noexcept nogil:
    """Return the number of a task that is now the thread's, of its own queue or another's, or -1 if there are none."""
    cdef int64_t other, task = claim_from(job, thread)
    for other in range(thread + 1, thread + job.threads):
        if task < 0:
            task = claim_from(job, other % job.threads)
    return task


cdef inline void finish_task(const Job *job) noexcept nogil:
    """Say that a claimed task is done."""
    fastnn_fetch_add(word(job, DONE), 1)


cdef inline void wait_for_phase(const Job *job, int64_t tasks) noexcept nogil:
    """Return when all tasks of the phase are done."""
    cdef int64_t spins = 0
    while fastnn_load(word(job, DONE)) < tasks:
        spins = wait(spins)


cdef inline void close(const Job *job) noexcept nogil:
    """Let the other threads go."""
    cdef int64_t thread
    for thread in range(job.threads):
        fastnn_store(ticket_of(job, thread), CLOSED)


cdef void end_phase(const Job *job, const real *like, int64_t thread, int64_t kind, int64_t tasks) noexcept nogil:
    """Do what tasks are left of the open phase, and wait for those under way."""
    cdef int64_t task = claim(job, thread)
    while task >= 0:
        run_task(job, like, thread, kind, task)
        finish_task(job)
        task = claim(job, thread)
    wait_for_phase(job, tasks)


cdef void run_phase(
    const Job *job, const real *like, int64_t thread, int64_t kind, int64_t first, int64_t last
) noexcept nogil:
    """Do all tasks of a phase, from ``first`` to ``last``, with whoever helps; only the leader calls this.

    If the others copy samples together, it is alone with the steps.
    """
    cdef int64_t task
    if job.threads == 1 or job.window > 0:
        for task in range(first, last):
            run_task(job, like, thread, kind, task)
        return
    open_phase(job, kind, first, last)
    end_phase(job, like, thread, kind, last - first)


cdef void help(const Job *job, const real *like, int64_t thread) noexcept nogil:
    """Do tasks of whatever phase is open until the leader closes the team.

    A thread learns of a new phase from its own queue: another's may be open earlier, but its tasks have their thread.
    """
    cdef int64_t task, spins = 0, seen = 0, ticket = fastnn_load(ticket_of(job, thread))
    while ticket != CLOSED:
        task = -1 if ticket == seen else claim(job, thread)
        if task >= 0:
            run_task(job, like, thread, word(job, KIND)[0], task)
            finish_task(job)
            spins, seen = 0, 0  # what was seen before may be how this phase's own queue will look when it is empty
        else:
            if not has_tasks(ticket):
                seen = ticket
            spins = wait(spins)
        ticket = fastnn_load(ticket_of(job, thread))
