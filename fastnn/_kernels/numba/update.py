"""The optimizer's step of some parameters, from their gradient's sums.

g is the gradient of the mean loss plus l2 theta; the sums are the gradient times the number of samples.
"""

from __future__ import annotations

import math

from fastnn._kernels.contract import Rule
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.elementwise import format_of
from fastnn._kernels.numba.maps import map_intrinsic
from fastnn._kernels.numba.memory import real
from fastnn._kernels.numba.simd import Lanes

SGD, RMSPROP, ADAMW = int(Rule.SGD), int(Rule.RMSPROP), int(Rule.ADAMW)


@kernel
def step_sgd(job, theta, sums, n, scale, l2):
    """Gradient descent: theta <- theta - alpha g."""
    rate = real(theta, job.rate)
    for i in range(n):
        theta[i] -= rate * (scale * sums[i] + l2 * theta[i])


@kernel
def step_momentum(job, theta, v, sums, n, scale, l2):
    """Momentum: v <- momentum v + g, theta <- theta - alpha v; Nesterov's steps by alpha (g + momentum v)."""
    rate, momentum = real(theta, job.rate), real(theta, job.momentum)
    ahead, own = (momentum, real(theta, 1.0)) if job.nesterov else (real(theta, 1.0), real(theta, 0.0))
    for i in range(n):
        g = scale * sums[i] + l2 * theta[i]
        v[i] = momentum * v[i] + g
        theta[i] -= rate * (own * g + ahead * v[i])


def root(v: Lanes) -> Lanes:
    """Return the square root of v >= 0; where v is not a normal number, on AVX-512, that of the smallest one.

    AVX-512's divider takes 22 cycles for a root and a quotient, Newton's method from 14 bits half of that.
    """
    smallest = format_of(v).smallest_normal
    safe = v.where(v.compare(">", smallest), smallest)
    estimate = safe.approximate("rsqrt14")
    if estimate is None:
        return v.sqrt()
    result, half = safe * estimate, estimate * 0.5
    for _ in range(v.bits // 32):
        result = (result * -1.0).fma(result, safe).fma(half, result)
    return result


def quotient(x: Lanes, y: Lanes) -> Lanes:
    """Return x / y for y > 0."""
    inverse = y.approximate("rcp14")
    if inverse is None:
        return x / y
    for _ in range(y.bits // 32):
        inverse = (y * -1.0).fma(inverse, 1.0).fma(inverse, inverse)
    return x * inverse


def rmsprop(sums, theta, s, rate, rho, rest, epsilon, scale, l2):
    """RMSprop: s <- rho s + (1 - rho) g^2, theta <- theta - alpha g / (sqrt(s) + epsilon)."""
    g = theta.fma(l2, sums * scale)
    s = s.fma(rho, rest * (g * g))
    return theta - quotient(rate * g, root(s) + epsilon), s


def adam(sums, theta, v, s, rate, beta1, rest1, beta2, rest2, epsilon, correction, keep, scale, l2):
    """Adam's moments and step; ``keep`` is AdamW's factor of the weights, otherwise 1."""
    g = theta.fma(l2, sums * scale)
    v, s = v.fma(beta1, rest1 * g), s.fma(beta2, rest2 * (g * g))
    return theta * keep - quotient(rate * v, root(s).fma(correction, epsilon)), v, s


rmsprop_map, adam_map = map_intrinsic("rmsprop", rmsprop), map_intrinsic("adam", adam)


@kernel
def step_rmsprop(job, theta, s, sums, n, scale, l2):
    """Take RMSprop's step of n parameters."""
    constants = (job.rate, job.second, 1 - job.second, job.epsilon, scale, l2)
    rmsprop_map((sums, theta, s), (theta, s), constants, n)


@kernel
def step_adam(job, theta, v, s, sums, n, scale, l2, keep):
    """Take Adam's step of n parameters."""
    rate, correction = job.rate / job.correction1, 1 / math.sqrt(job.correction2)
    beta1, beta2 = job.momentum, job.second
    constants = (rate, beta1, 1 - beta1, beta2, 1 - beta2, job.epsilon, correction, keep, scale, l2)
    adam_map((sums, theta, v, s), (theta, v, s), constants, n)


@kernel
def update(job, sums, theta, first, second, n, is_weight):
    """Take the optimizer's step of n parameters, whose state is ``first`` and ``second`` as far as the rule has one."""
    scale, l2 = real(theta, job.scale), real(theta, job.l2 if is_weight else 0.0)
    if job.rule == SGD:
        if job.momentum == 0:
            step_sgd(job, theta, sums, n, scale, l2)
        else:
            step_momentum(job, theta, first, sums, n, scale, l2)
    elif job.rule == RMSPROP:
        step_rmsprop(job, theta, first, sums, n, scale, l2)
    else:
        decay = job.rate * job.weight_decay if job.rule == ADAMW and is_weight else 0.0
        step_adam(job, theta, first, second, sums, n, scale, l2, real(theta, 1 - decay))
