/* One sample's pass through a layer, with the update of the weights that it reads: the inner loops of the walk.

   A call goes through a whole layer, or some units in a turn. All widths are whole vectors. */
#define finish_outputs NAME(finish_outputs)
#define updated NAME(updated)
#define dot NAME(dot)
#define project_columns NAME(project_columns)
#define update_and_project NAME(update_and_project)
#define step_one_output NAME(step_one_output)
#define multiply_columns NAME(multiply_columns)
#define multiply_and_update NAME(multiply_and_update)
#define finish_deltas NAME(finish_deltas)
#define turn_vectors NAME(turn_vectors)
#define add_multiple NAME(add_multiple)

static void finish_outputs(ptrdiff_t n, ptrdiff_t width, ptrdiff_t activation, double slope, double scale,
                           const REAL *bias, REAL *z)
{
    vec scales = CONSTANT(scale), slopes = CONSTANT(slope);
    for (ptrdiff_t j = 0; j < width; j += LANES) {
        vec output = activated(activation, fused(scales, load(z + j), load(bias + j)), slopes);
        store(z + j, first_lanes(output, n - j)); /* sigmoid(0) is not 0: padding stays out of products */
    }
}

/* Adds a multiple of a vector to the one at w; returns what was there before. */
INLINE vec updated(REAL *w, REAL factor, vec change)
{
    vec before = load(w);
    store(w, fused(broadcast(factor), change, before));
    return before;
}

/* The inner product of n numbers: of whole vectors, and of the rest one by one. (With masked loads of the rest 20-16-1
   took 1.5 times as long.) */
INLINE REAL dot(const REAL *x, const REAL *y, ptrdiff_t n)
{
    vec products = CONSTANT(0);
    REAL rest = 0;
    ptrdiff_t k = 0;
    for (; k + LANES <= n; k += LANES) products = fused(load(x + k), load(y + k), products);
    for (; k < n; k++) rest += x[k] * y[k];
    return sum_lanes(products) + rest;
}

/* Adds four chains up to N sums. (As a function it would have GCC keep them in memory.) */
#undef ADD_CHAINS
#define ADD_CHAINS(N, sums) \
    UNROLL for (int half = 2; half >= N; half /= 2) { \
        UNROLL for (int i = 0; i < half; i++) sums[i] += sums[i + half]; \
    }

/* N vectors of columns, in four chains: 4 / N rows at a time. By one vector at a time, the lines of a wide layer whose
   rows are a power of two apart would share a few places in the cache: 256-200 took 2.0 times as long.

   z = x (W - c before^T delta) = x W - c (x . before) delta: the long sum does not wait for the last sample's delta. */
INLINE void project_columns(const int N, ptrdiff_t n_in, ptrdiff_t width, const REAL *before, const REAL *x,
                            vec overlap, const REAL *delta, REAL factor, REAL *W, REAL *z)
{
    const int rows = 4 / N;
    vec sums[4], change[4];
    ptrdiff_t k = 0;
    UNROLL for (int i = 0; i < 4; i++) sums[i] = CONSTANT(0);
    UNROLL for (int i = 0; i < N; i++) change[i] = broadcast(factor) * load(delta + i * LANES);
    for (; k + rows <= n_in; k += rows) {
        UNROLL for (int i = 0; i < 4; i++) {
            vec w = updated(W + i / N * width + i % N * LANES, before[k + i / N], change[i % N]);
            sums[i] = fused(broadcast(x[k + i / N]), w, sums[i]);
        }
        W += rows * width;
    }
    for (; k < n_in; k++) {
        UNROLL for (int i = 0; i < N; i++)
            sums[i] = fused(broadcast(x[k]), updated(W + i * LANES, before[k], change[i]), sums[i]);
        W += width;
    }
    ADD_CHAINS(N, sums)
    UNROLL for (int i = 0; i < N; i++) store(z + i * LANES, fused(overlap, change[i], sums[i]));
}

#undef PROJECT
#define PROJECT(N) \
    for (; width - j >= N * LANES; j += N * LANES) \
        project_columns(N, n_in, width, before, x, overlap, delta + j, (REAL)factor, W + j, z + j)
static void update_and_project(ptrdiff_t n_in, ptrdiff_t n, ptrdiff_t width, ptrdiff_t activation, double slope,
                               double scale, double factor, const REAL *before, const REAL *x, const REAL *delta,
                               REAL *W, const REAL *bias, REAL *z)
{
    vec overlap = broadcast(dot(before, x, n_in));
    ptrdiff_t j = 0;
    PROJECT(4);
    PROJECT(2);
    PROJECT(1);
    finish_outputs(n, width, activation, slope, scale, bias, z);
}

static REAL step_one_output(ptrdiff_t width, ptrdiff_t activation, double slope, ptrdiff_t output_activation,
                            double scale, double rate, double c, REAL target, REAL weight, const REAL *a, REAL *V,
                            REAL *bias, REAL *deltas)
{
    const REAL s = (REAL)scale;
    vec products = CONSTANT(0), slopes = CONSTANT(slope);
    for (ptrdiff_t j = 0; j < width; j += LANES) products = fused(load(a + j), load(V + j), products);
    REAL z = s * sum_lanes(products) + *bias;
    vec delta = broadcast(weight) * (activated(output_activation, broadcast(z), slopes) - broadcast(target));
    vec factor = broadcast(s) * delta, change = CONSTANT(-c) * delta;
    *bias -= (REAL)rate * first_lane(delta);
    for (ptrdiff_t j = 0; j < width; j += LANES) {
        vec outputs = load(a + j), v = load(V + j);
        store(V + j, fused(change, outputs, v));
        store(deltas + j, times_derivative(activation, outputs, factor * v, slopes));
    }
    return z;
}

/* N vectors of columns, in four chains: 4 / N rows at a time. */
INLINE void multiply_columns(const int N, ptrdiff_t n_out, ptrdiff_t width, const int activation, double slope,
                             double scale, REAL factor, const REAL *a, const REAL *delta, REAL *V, REAL *deltas)
{
    const int rows = 4 / N;
    vec sums[4], change[4], scales = CONSTANT(scale), slopes = CONSTANT(slope);
    ptrdiff_t k = 0;
    UNROLL for (int i = 0; i < 4; i++) sums[i] = CONSTANT(0);
    UNROLL for (int i = 0; i < N; i++) change[i] = broadcast(factor) * load(a + i * LANES);
    for (; k + rows <= n_out; k += rows) {
        UNROLL for (int i = 0; i < 4; i++) {
            vec v = updated(V + i / N * width + i % N * LANES, delta[k + i / N], change[i % N]);
            sums[i] = fused(broadcast(delta[k + i / N]), v, sums[i]);
        }
        V += rows * width;
    }
    for (; k < n_out; k++) {
        UNROLL for (int i = 0; i < N; i++)
            sums[i] = fused(broadcast(delta[k]), updated(V + i * LANES, delta[k], change[i]), sums[i]);
        V += width;
    }
    ADD_CHAINS(N, sums)
    UNROLL for (int i = 0; i < N; i++) {
        vec outputs = load(a + i * LANES);
        store(deltas + i * LANES, times_derivative(activation, outputs, scales * sums[i], slopes));
    }
}

#undef MULTIPLY
#define MULTIPLY(N) \
    for (; width - j >= N * LANES; j += N * LANES) \
        multiply_columns(N, n_out, width, activation, slope, scale, (REAL)factor, a + j, delta, V + j, deltas + j)
static void multiply_and_update(ptrdiff_t n_out, ptrdiff_t width, ptrdiff_t activation, double slope, double scale,
                                double factor, const REAL *a, const REAL *delta, REAL *V, REAL *deltas)
{
    ptrdiff_t j = 0;
    MULTIPLY(4);
    MULTIPLY(2);
    MULTIPLY(1);
}

static void finish_deltas(ptrdiff_t width, ptrdiff_t activation, double slope, double scale, ptrdiff_t parts,
                          const REAL *a, const REAL *second, REAL *deltas)
{
    vec scales = CONSTANT(scale), slopes = CONSTANT(slope);
    for (ptrdiff_t j = 0; j < width; j += LANES) {
        vec sum = load(deltas + j);
        if (parts > 1) sum += load(second + j);
        store(deltas + j, times_derivative(activation, load(a + j), scales * sum, slopes));
    }
}

static void turn_vectors(ptrdiff_t n, ptrdiff_t width, ptrdiff_t activation, double slope, double scale, ptrdiff_t last,
                         ptrdiff_t next, double delta_scale, REAL overlap, const REAL *sums, const REAL *corrections,
                         const REAL *before, const REAL *z, const REAL *bias, REAL *deltas, REAL *outputs)
{
    vec scales = CONSTANT(scale), slopes = CONSTANT(slope), overlaps = broadcast(overlap);
    vec delta_scales = CONSTANT(delta_scale);
    for (ptrdiff_t j = 0; j < width; j += LANES) {
        vec delta = CONSTANT(0);
        if (last) {
            delta = delta_scales * (load(sums + j) + load(corrections + j));
            delta = times_derivative(activation, load(before + j), delta, slopes);
            store(deltas + j, delta);
        }
        if (next) {
            vec sum = fused(overlaps, delta, load(z + j));
            vec output = activated(activation, fused(scales, sum, load(bias + j)), slopes);
            store(outputs + j, first_lanes(output, n - j));
        }
    }
}

static void add_multiple(ptrdiff_t n, double factor, const REAL *x, REAL *y)
{
    for (ptrdiff_t j = 0; j < n; j += LANES) updated(y + j, (REAL)factor, load(x + j));
}
