# Threads that work as a team: phases of tasks, claimed one by one.
#
# A parallel loop a batch would cost more than a small batch itself, so the threads stay together for a whole job and meet
# at the end of each phase. The first to arrive leads: it goes through the steps and opens phases; whoever is free claims
# the next task by incrementing a ticket. A leader that is alone does every task itself, so nothing depends on when, or
# whether, the others are scheduled. Waiting threads spin for a moment and then give their core away.
#
# The ticket is one word, tasks << 32 | next task: whoever increments it has a task of the phase that is open.

cdef enum:  # words of the team's memory, each in a cache line of its own
    LEADER = 0
    TICKET = 8
    DONE = 16
    KIND = 24

cdef enum:
    MASK = 0x7FFFFFFF  # of the next task in a ticket
    CLOSED = -1  # the ticket's value once the leader has finished
    SPINS = 2000  # about 50 us of pause, a few times what another thread's task takes


cdef inline int64_t *word(const Job *job, int64_t name) noexcept nogil:
    """Return the pointer to a word of the team's memory."""
    return integers(job.team) + name


cdef inline bint leads(const Job *job) noexcept nogil:
    """Return whether the calling thread is the first to ask, and so leads."""
    return fastnn_fetch_add(word(job, LEADER), 1) == 0


cdef inline int64_t wait(int64_t spins) noexcept nogil:
    """Wait a moment; return how often this wait has done so."""
    if spins < SPINS:
        fastnn_pause()
    else:
        fastnn_yield()
    return spins + 1


cdef inline void open_phase(const Job *job, int64_t kind, int64_t tasks) noexcept nogil:
    """Let every thread claim tasks of a kind."""
    word(job, KIND)[0] = kind
    fastnn_store(word(job, DONE), 0)
    fastnn_store(word(job, TICKET), tasks << 32)


cdef inline int64_t claim(const Job *job) noexcept nogil:
    """Return the number of a task that is now the caller's, or -1 if the phase has no more, -2 if it is all over."""
    cdef int64_t ticket
    while True:
        ticket = fastnn_load(word(job, TICKET))
        if ticket == CLOSED:
            return -2
        if (ticket & MASK) >= ticket >> 32:
            return -1
        if fastnn_compare_exchange(word(job, TICKET), ticket, ticket + 1):
            return ticket & MASK


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
    fastnn_store(word(job, TICKET), CLOSED)
