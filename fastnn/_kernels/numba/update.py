"""The optimizer's step of some parameters, from their gradient's sums.

g is the gradient of the mean loss plus l2 theta; the sums are the gradient times the number of samples.
"""

from __future__ import annotations

import math

from fastnn._equations import updates
from fastnn._kernels.contract import Rule
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.maps import map_of
from fastnn._kernels.numba.memory import real

SGD, RMSPROP, ADAMW = int(Rule.SGD), int(Rule.RMSPROP), int(Rule.ADAMW)

sgd_map, momentum_map, nesterov_map = map_of(updates.sgd), map_of(updates.momentum), map_of(updates.nesterov)
rmsprop_map, adamw_map = map_of(updates.rmsprop), map_of(updates.adamw)


@kernel
def step_sgd(theta, sums, n, rate, scale, l2):
    """Take gradient descent's step of n parameters."""
    sgd_map((sums, theta), (theta,), (rate, scale, l2), n)


@kernel
def step_momentum(job, theta, v, sums, n, rate, scale, l2):
    """Take momentum's step of n parameters, or Nesterov's."""
    constants = (rate, job.momentum, scale, l2)
    if job.variant:
        nesterov_map((sums, theta, v), (theta, v), constants, n)
    else:
        momentum_map((sums, theta, v), (theta, v), constants, n)


@kernel
def step_rmsprop(job, theta, s, sums, n, rate, scale, l2):
    """Take RMSprop's step of n parameters."""
    constants = (rate, job.second, 1 - job.second, job.floor, scale, l2)
    rmsprop_map((sums, theta, s), (theta, s), constants, n)


@kernel
def step_adam(job, theta, v, s, sums, n, rate, scale, l2, keep):
    """Take Adam's step of n parameters, or AdamW's: without it ``keep`` is 1."""
    corrected, correction = rate / job.correction1, 1 / math.sqrt(job.correction2)
    beta1, beta2 = job.momentum, job.second
    constants = (corrected, beta1, 1 - beta1, beta2, 1 - beta2, job.floor, correction, keep, scale, l2)
    adamw_map((sums, theta, v, s), (theta, v, s), constants, n)


@kernel
def update(job, sums, theta, first, second, n, rate, scale, l2, weight_decay):
    """Take the optimizer's step of n parameters, whose state is ``first`` and ``second`` as far as the rule has one."""
    scale, l2 = real(theta, scale), real(theta, l2)
    if job.rule == SGD:
        if job.momentum == 0:
            step_sgd(theta, sums, n, rate, scale, l2)
        else:
            step_momentum(job, theta, first, sums, n, rate, scale, l2)
    elif job.rule == RMSPROP:
        step_rmsprop(job, theta, first, sums, n, rate, scale, l2)
    else:
        decay = rate * weight_decay if job.rule == ADAMW else 0.0
        step_adam(job, theta, first, second, sums, n, rate, scale, l2, real(theta, 1 - decay))
