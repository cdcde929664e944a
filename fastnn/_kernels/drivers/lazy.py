"""Weights of inputs that a step's sparse samples do not have: they take such steps later.

Their gradient is zero, but for the penalty. In plain descent that multiplies them all by one factor, which is kept
apart, W = s U, and goes into the weights at an epoch's end. Any other rule's moments decay, and move the weights on:
before a row of weights is next used, it takes the steps that it has missed, with the same arithmetic, while it is in
cache.
"""

from __future__ import annotations

from math import sqrt

from fastnn._kernels.contract import Rule
from fastnn._kernels.drivers.language import Integers, Job, Reals
from fastnn._kernels.drivers.primitives import NUMBERS_OF_STEP
from fastnn._kernels.drivers.sparse import sum_column
from fastnn._kernels.drivers.update import factor_of, multiply_by
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import N_OUT, WEIGHTS, call, field, integers, numbers, real, reals
from fastnn._kernels.numba.simd import advance, prefetch
from fastnn._kernels.numba.update import update

COLUMNS_OF_TASK, ROWS_OF_TASK = 64, 256
COLUMNS_AHEAD = 3  # whose weights are asked for
SGD, ADAM, ADAMW = int(Rule.SGD), int(Rule.ADAM), int(Rule.ADAMW)


@kernel
def waits(job: Job) -> bool:
    """Return whether rows of weights have steps to take that they have missed."""
    return job.lazy != 0 and (job.rule != SGD or job.momentum != 0.0)


@kernel
def sorts_beside(job: Job) -> int:
    """Return 1 where a task sorts a tile's stored numbers while its rows pass: no weights must catch up before."""
    return 1 if job.sparse != 0 and not waits(job) else 0


@kernel
def column_tasks(job: Job) -> int:
    """Return the number of tasks that a tile's columns make."""
    return (job.touched + COLUMNS_OF_TASK - 1) // COLUMNS_OF_TASK


@kernel
def settle_tasks(job: Job) -> int:
    """Return the number of tasks that all rows of weights make."""
    return (job.n_inputs + ROWS_OF_TASK - 1) // ROWS_OF_TASK


@kernel
def rate_of(job: Job) -> float:
    """Return the learning rate of the first layer's weights in the step under way."""
    return job.rate * factor_of(job, 0, 0)


@kernel
def note_step(job: Job, step: int) -> None:
    """Keep the numbers of a step of the epoch."""
    noted = advance(numbers(job.step_numbers), NUMBERS_OF_STEP * step)
    noted[0] = rate_of(job)
    if job.rule == ADAM or job.rule == ADAMW:
        noted[1] = noted[0] / job.correction1
        noted[2] = 1.0 / sqrt(job.correction2)
    noted[3] = job.floor


@kernel
def step_of(job: Job) -> int:
    """Return the number of the step under way in its epoch."""
    return job.batch_start // job.batch_size


@kernel
def parameters_of(job: Job, like: Reals, column: int) -> tuple[Reals, Reals, Reals]:
    """Return the pointers to a row of the weights, and to its moments, as far as the rule has them."""
    offset = field(job, 0, WEIGHTS) + column * field(job, 0, N_OUT)
    first = advance(reals(like, job.state), offset)
    return advance(reals(like, job.parameters), offset), first, advance(first, job.n_parameters)


@kernel
def catch_up(job: Job, like: Reals, column: int, step: int) -> None:
    """Have a row of the weights take the steps before one of the epoch that it has missed."""
    begin, n_out = integers(job.current)[column], field(job, 0, N_OUT)
    if begin == step:
        return
    noted, decay = advance(numbers(job.step_numbers), NUMBERS_OF_STEP * begin), 0.0
    if job.rule == ADAMW:
        decay = job.weight_decay * factor_of(job, 0, 2)
    theta, first, second = parameters_of(job, like, column)
    call(
        job.take_missed_steps,
        (
            job.rule,
            job.variant,
            step - begin,
            noted,
            job.momentum,
            job.second,
            job.l2,
            decay,
            n_out,
            theta,
            first,
            second,
        ),
    )


@kernel
def columns_of(job: Job, task: int) -> tuple[Integers, int, int]:
    """Return the pointer to the tile's columns, the first of a task's and the one after its last."""
    first = task * COLUMNS_OF_TASK
    return integers(job.columns), first, min(first + COLUMNS_OF_TASK, job.touched)


@kernel
def ask_for_column(job: Job, like: Reals, place: int) -> None:
    """Ask for the weights of the tile's column at a place, and for their moments, if there is one."""
    if place < job.touched:
        theta, first, second = parameters_of(job, like, integers(job.columns)[place])
        prefetch(theta, field(job, 0, N_OUT))
        if waits(job):
            prefetch(first, field(job, 0, N_OUT))
            prefetch(second, field(job, 0, N_OUT))


@kernel
def catch_up_columns(job: Job, like: Reals, task: int) -> None:
    """Bring the weights of a task's columns up to date, before they are multiplied."""
    columns, first, last = columns_of(job, task)
    for place in range(first, last):
        ask_for_column(job, like, place + COLUMNS_AHEAD)
        catch_up(job, like, columns[place], step_of(job))
        integers(job.current)[columns[place]] = step_of(job)


@kernel
def factor_after(job: Job) -> float:
    """Return the factor of plain descent's weights after the step under way."""
    return job.shrunk * (1.0 - rate_of(job) * job.l2)


@kernel
def shrink_lazily(job: Job) -> None:
    """Have the penalty of the step under way shrink all weights of plain descent."""
    if not waits(job):
        job.shrunk = factor_after(job)


@kernel
def update_columns(job: Job, like: Reals, sums: Reals, task: int) -> None:
    """Take the step of the weights of a task's columns; the sums are room for a row's."""
    columns, first, last = columns_of(job, task)
    n_out, W = field(job, 0, N_OUT), advance(reals(like, job.parameters), field(job, 0, WEIGHTS))
    if not waits(job):
        change = -rate_of(job) * job.scale / factor_after(job)
        for place in range(first, last):
            ask_for_column(job, like, place + COLUMNS_AHEAD)
            sum_column(job, like, place, 1.0, change, advance(W, columns[place] * n_out))
        return
    decay = job.weight_decay * factor_of(job, 0, 2)
    for place in range(first, last):
        ask_for_column(job, like, place + COLUMNS_AHEAD)
        sum_column(job, like, place, 0.0, 1.0, sums)
        theta, m1, m2 = parameters_of(job, like, columns[place])
        update(job, sums, theta, m1, m2, n_out, rate_of(job), job.scale, job.l2, decay)
        integers(job.current)[columns[place]] = step_of(job) + 1


@kernel
def settle_rows(job: Job, like: Reals, task: int) -> None:
    """Bring a task's rows of the weights up to date, after a step."""
    n_out, W = field(job, 0, N_OUT), advance(reals(like, job.parameters), field(job, 0, WEIGHTS))
    first, last = task * ROWS_OF_TASK, min(task * ROWS_OF_TASK + ROWS_OF_TASK, job.n_inputs)
    if not waits(job):
        multiply_by(advance(W, first * n_out), (last - first) * n_out, real(W, job.shrunk))
        return
    for column in range(first, last):
        catch_up(job, like, column, step_of(job) + 1)
        integers(job.current)[column] = 0
