# The optimizer's step of some parameters, as the drivers call it.

cdef inline void update(
    const Job *job, const real *sums, real *theta, real *first, real *second, int64_t n,
    double rate, double scale, double l2, double weight_decay
) noexcept nogil:
    """Take the optimizer's step of n parameters, whose state is ``first`` and ``second`` as far as the rule has one."""
    cdef fastnn_step step
    step.rule, step.nesterov, step.rate, step.scale = job.rule, job.variant != 0, rate, scale
    step.first, step.second, step.epsilon = job.momentum, job.second, job.floor
    step.l2, step.weight_decay = l2, weight_decay
    step.correction1, step.correction2 = job.correction1, job.correction2
    if job.rule == FASTNN_SGD and job.momentum == 0:
        first = NULL
    if real is float:
        F32.update(&step, sums, theta, first, second, n)
    else:
        F64.update(&step, sums, theta, first, second, n)
