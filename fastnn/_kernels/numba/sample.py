"""One sample's pass through a layer, with the update of the weights that it reads: the inner loops of the walk.

All widths are whole vectors.
"""

from __future__ import annotations

from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.elementwise import activated, times_derivative
from fastnn._kernels.numba.memory import real
from fastnn._kernels.numba.simd import add, advance, fill, first_lanes, lanes, load, multiply_add, store, total


@kernel
def finish_outputs(n, width, activation, slope, scale, bias, z):
    """Compute z = g(scale z + bias) in place; sigmoid(0) is not 0: the padding must not enter products of outputs."""
    s, slopes = fill(real(z, scale)), fill(real(z, slope))
    for j in range(0, width, lanes(z)):
        output = activated(activation, multiply_add(s, load(z, j), load(bias, j)), slopes)
        store(z, j, first_lanes(output, n - j))


@kernel
def updated(W, at, factor, change):
    """Add a multiple of a vector to the one at W[at]; return what was there before."""
    w = load(W, at)
    store(W, at, multiply_add(fill(factor), change, w))
    return w


@kernel
def dot(x, y, n):
    """Return the inner product of n numbers: of whole vectors, and of the rest one by one."""
    products, rest, k = fill(real(x, 0.0)), real(x, 0.0), 0
    while k + lanes(x) <= n:
        products = multiply_add(load(x, k), load(y, k), products)
        k += lanes(x)
    while k < n:
        rest += x[k] * y[k]
        k += 1
    return total(products) + rest


@kernel(forceinline=True)  # by LLVM, which folds the number of vectors into it; Numba's inlining takes 3 s longer
def project_columns(vectors, n, width, before, x, overlap, delta, factor, W, z):
    """Take 1, 2 or 4 vectors of columns through a step and a product, in four chains: 4 / vectors rows at a time.

    z = x (W - c before^T delta) = x W - c (x . before) delta: the long sum does not wait for the last sample's delta.
    """
    rows, r1, r2, r3 = 4 // vectors, 1 // vectors, 2 // vectors, 3 // vectors
    j1, j2, j3 = 1 % vectors * lanes(W), 2 % vectors * lanes(W), 3 % vectors * lanes(W)
    zero = fill(real(W, 0.0))
    d0, d1 = multiply_add(factor, load(delta, 0), zero), multiply_add(factor, load(delta, j1), zero)
    d2, d3 = multiply_add(factor, load(delta, j2), zero), multiply_add(factor, load(delta, j3), zero)
    z0, z1, z2, z3 = zero, zero, zero, zero
    k = 0
    while k + rows <= n:
        z0 = multiply_add(fill(x[k]), updated(W, k * width, before[k], d0), z0)
        z1 = multiply_add(fill(x[k + r1]), updated(W, (k + r1) * width + j1, before[k + r1], d1), z1)
        z2 = multiply_add(fill(x[k + r2]), updated(W, (k + r2) * width + j2, before[k + r2], d2), z2)
        z3 = multiply_add(fill(x[k + r3]), updated(W, (k + r3) * width + j3, before[k + r3], d3), z3)
        k += rows
    while k < n:
        z0 = multiply_add(fill(x[k]), updated(W, k * width, before[k], d0), z0)
        if vectors == 2:
            z1 = multiply_add(fill(x[k]), updated(W, k * width + j1, before[k], d1), z1)
        k += 1
    if vectors == 4:
        store(z, j2, multiply_add(overlap, d2, z2))
        store(z, j3, multiply_add(overlap, d3, z3))
    else:
        z0, z1 = add(z0, z2), add(z1, z3)
    if vectors == 1:
        z0 = add(z0, z1)
    else:
        store(z, j1, multiply_add(overlap, d1, z1))
    store(z, 0, multiply_add(overlap, d0, z0))


@kernel
def update_and_project(n_in, n, width, activation, slope, scale, factor, before, x, delta, W, bias, z):
    """Take the last sample's step in the first layer's weights and compute the outputs for this one, in one pass.

    Columns go by as many vectors as there are chains: by one at a time, the lines of a wide layer whose rows are a
    power of two apart would share a few places in the cache (a deeper layer, 256-200, took 2.0 times as long).
    """
    factors, overlap = fill(real(z, factor)), fill(dot(before, x, n_in))
    j = 0
    while width - j >= 4 * lanes(z):
        project_columns(4, n_in, width, before, x, overlap, advance(delta, j), factors, advance(W, j), advance(z, j))
        j += 4 * lanes(z)
    while width - j >= 2 * lanes(z):
        project_columns(2, n_in, width, before, x, overlap, advance(delta, j), factors, advance(W, j), advance(z, j))
        j += 2 * lanes(z)
    while width - j >= lanes(z):
        project_columns(1, n_in, width, before, x, overlap, advance(delta, j), factors, advance(W, j), advance(z, j))
        j += lanes(z)
    finish_outputs(n, width, activation, slope, scale, bias, z)


@kernel
def step_one_output(width, activation, slope, output_activation, scale, rate, c, target, weight, a, V, bias, deltas):
    """Take a sample through a layer of one output and back: its delta, the deltas below, the update; return z."""
    zero = fill(real(V, 0.0))
    products = zero
    for j in range(0, width, lanes(V)):
        products = multiply_add(load(a, j), load(V, j), products)
    z = real(V, scale) * total(products) + bias[0]
    delta = weight * (activated(output_activation, z, real(V, 0.0)) - target)
    bias[0] -= real(V, rate) * delta
    slopes, factor, change = fill(real(V, slope)), fill(real(V, scale) * delta), fill(real(V, -c) * delta)
    for j in range(0, width, lanes(V)):
        v, outputs = load(V, j), load(a, j)
        store(deltas, j, times_derivative(activation, outputs, multiply_add(factor, v, zero), slopes))
        store(V, j, multiply_add(change, outputs, v))
    return z


@kernel(forceinline=True)  # by LLVM, which folds the number of vectors into it; Numba's inlining takes 3 s longer
def multiply_columns(vectors, n, width, activation, slope, scale, factor, a, delta, V, deltas):
    """Take 1, 2 or 4 vectors of columns through a product and the update, in four chains as `project_columns` does."""
    rows, r1, r2, r3 = 4 // vectors, 1 // vectors, 2 // vectors, 3 // vectors
    j1, j2, j3 = 1 % vectors * lanes(V), 2 % vectors * lanes(V), 3 % vectors * lanes(V)
    factor, zero = real(V, factor), fill(real(V, 0.0))
    a0, a1, a2, a3 = load(a, 0), load(a, j1), load(a, j2), load(a, j3)
    d0, d1, d2, d3 = zero, zero, zero, zero
    k = 0
    while k + rows <= n:
        f0, f1, f2, f3 = delta[k], delta[k + r1], delta[k + r2], delta[k + r3]
        d0 = multiply_add(fill(f0), updated(V, k * width, factor * f0, a0), d0)
        d1 = multiply_add(fill(f1), updated(V, (k + r1) * width + j1, factor * f1, a1), d1)
        d2 = multiply_add(fill(f2), updated(V, (k + r2) * width + j2, factor * f2, a2), d2)
        d3 = multiply_add(fill(f3), updated(V, (k + r3) * width + j3, factor * f3, a3), d3)
        k += rows
    while k < n:
        d0 = multiply_add(fill(delta[k]), updated(V, k * width, factor * delta[k], a0), d0)
        if vectors == 2:
            d1 = multiply_add(fill(delta[k]), updated(V, k * width + j1, factor * delta[k], a1), d1)
        k += 1
    slopes, s = fill(real(V, slope)), fill(real(V, scale))
    if vectors == 4:
        store(deltas, j2, times_derivative(activation, a2, multiply_add(s, d2, zero), slopes))
        store(deltas, j3, times_derivative(activation, a3, multiply_add(s, d3, zero), slopes))
    else:
        d0, d1 = add(d0, d2), add(d1, d3)
    if vectors == 1:
        d0 = add(d0, d1)
    else:
        store(deltas, j1, times_derivative(activation, a1, multiply_add(s, d1, zero), slopes))
    store(deltas, 0, times_derivative(activation, a0, multiply_add(s, d0, zero), slopes))


@kernel
def multiply_and_update(n_out, width, activation, slope, scale, factor, a, delta, V, deltas):
    """Compute the deltas of the layer below from the weights, which take their update, in one pass."""
    j = 0
    while width - j >= 4 * lanes(V):
        block = advance(a, j), delta, advance(V, j), advance(deltas, j)
        multiply_columns(4, n_out, width, activation, slope, scale, factor, *block)
        j += 4 * lanes(V)
    while width - j >= 2 * lanes(V):
        block = advance(a, j), delta, advance(V, j), advance(deltas, j)
        multiply_columns(2, n_out, width, activation, slope, scale, factor, *block)
        j += 2 * lanes(V)
    while width - j >= lanes(V):
        block = advance(a, j), delta, advance(V, j), advance(deltas, j)
        multiply_columns(1, n_out, width, activation, slope, scale, factor, *block)
        j += lanes(V)


@kernel
def finish_deltas(width, activation, slope, scale, parts, a, second, deltas):
    """Turn delta V / s, a sum of one or two parts, into deltas in place."""
    s, slopes, zero = fill(real(a, scale)), fill(real(a, slope)), fill(real(a, 0.0))
    for j in range(0, width, lanes(a)):
        products = add(load(deltas, j), load(second, j)) if parts > 1 else load(deltas, j)
        store(deltas, j, times_derivative(activation, load(a, j), multiply_add(s, products, zero), slopes))


@kernel
def turn_vectors(
    n, width, activation, slope, scale, last, next, delta_scale, overlap, sums, corrections, before, z, bias, deltas,
    outputs,
):  # fmt: skip
    """Go from the last sample's sums in some units to its deltas, and on to their outputs for the next one."""
    s, slopes, overlaps = fill(real(z, scale)), fill(real(z, slope)), fill(overlap)
    delta_scales, zero = fill(real(z, delta_scale)), fill(real(z, 0.0))
    for j in range(0, width, lanes(z)):
        delta = zero
        if last:
            delta = multiply_add(delta_scales, add(load(sums, j), load(corrections, j)), zero)
            delta = times_derivative(activation, load(before, j), delta, slopes)
            store(deltas, j, delta)
        if next:
            output = multiply_add(s, multiply_add(overlaps, delta, load(z, j)), load(bias, j))
            store(outputs, j, first_lanes(activated(activation, output, slopes), n - j))


@kernel
def add_multiple(n, factor, x, y):
    """Add a multiple of n numbers to others; the last vector takes what follows along."""
    factors = fill(real(x, factor))
    for j in range(0, n, lanes(x)):
        store(y, j, multiply_add(factors, load(x, j), load(y, j)))
