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
#define turn NAME(turn)
#define add_multiple NAME(add_multiple)

static void finish_outputs(const fastnn_layer *layer, const REAL *bias, REAL *z)
{
    vec scale = CONSTANT(layer->scale), slope = CONSTANT(layer->slope);
    for (ptrdiff_t j = 0; j < layer->width; j += LANES) {
        vec output = activated(layer->activation, fused(scale, load(z + j), load(bias + j)), slope);
        store(z + j, first_lanes(output, layer->n - j)); /* sigmoid(0) is not 0: padding stays out of products */
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
        project_columns(N, n_in, width, before, x, overlap, delta + j, factor, W + j, z + j)
static void update_and_project(const fastnn_layer *layer, ptrdiff_t n_in, const REAL *before, const REAL *x,
                               const REAL *delta, REAL factor, REAL *W, const REAL *bias, REAL *z)
{
    const ptrdiff_t width = layer->width;
    vec overlap = broadcast(dot(before, x, n_in));
    ptrdiff_t j = 0;
    PROJECT(4);
    PROJECT(2);
    PROJECT(1);
    finish_outputs(layer, bias, z);
}

static REAL step_one_output(const fastnn_layer *below, int activation, REAL target, double rate, double c,
                            const REAL *a, REAL *V, REAL *bias, REAL *deltas)
{
    const REAL scale = (REAL)below->scale;
    vec products = CONSTANT(0), slope = CONSTANT(below->slope);
    for (ptrdiff_t j = 0; j < below->width; j += LANES) products = fused(load(a + j), load(V + j), products);
    REAL z = scale * sum_lanes(products) + *bias;
    vec delta = activated(activation, broadcast(z), slope) - broadcast(target);
    vec factor = broadcast(scale) * delta, change = CONSTANT(-c) * delta;
    *bias -= (REAL)rate * first_lane(delta);
    for (ptrdiff_t j = 0; j < below->width; j += LANES) {
        vec outputs = load(a + j), v = load(V + j);
        store(V + j, fused(change, outputs, v));
        store(deltas + j, times_derivative(below->activation, outputs, factor * v, slope));
    }
    return z;
}

/* N vectors of columns, in four chains: 4 / N rows at a time. */
INLINE void multiply_columns(const int N, const fastnn_layer *below, ptrdiff_t n_out, const REAL *a, const REAL *delta,
                             REAL factor, REAL *V, REAL *deltas)
{
    const int rows = 4 / N;
    const ptrdiff_t width = below->width;
    vec sums[4], change[4], scale = CONSTANT(below->scale), slope = CONSTANT(below->slope);
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
        store(deltas + i * LANES, times_derivative(below->activation, outputs, scale * sums[i], slope));
    }
}

#undef MULTIPLY
#define MULTIPLY(N) \
    for (; below->width - j >= N * LANES; j += N * LANES) \
        multiply_columns(N, below, n_out, a + j, delta, factor, V + j, deltas + j)
static void multiply_and_update(const fastnn_layer *below, ptrdiff_t n_out, const REAL *a, const REAL *delta,
                                REAL factor, REAL *V, REAL *deltas)
{
    ptrdiff_t j = 0;
    MULTIPLY(4);
    MULTIPLY(2);
    MULTIPLY(1);
}

static void turn(const fastnn_turn *step, const REAL *sums, const REAL *corrections, const REAL *before, const REAL *z,
                 const REAL *bias, REAL *deltas, REAL *outputs)
{
    const fastnn_layer *units = &step->units;
    vec scale = CONSTANT(units->scale), slope = CONSTANT(units->slope), overlap = CONSTANT(step->overlap);
    vec delta_scale = CONSTANT(step->delta_scale);
    for (ptrdiff_t j = 0; j < units->width; j += LANES) {
        vec delta = CONSTANT(0);
        if (step->last) {
            delta = delta_scale * (load(sums + j) + load(corrections + j));
            delta = times_derivative(units->activation, load(before + j), delta, slope);
            store(deltas + j, delta);
        }
        if (step->next) {
            vec sum = fused(overlap, delta, load(z + j));
            vec output = activated(units->activation, fused(scale, sum, load(bias + j)), slope);
            store(outputs + j, first_lanes(output, units->n - j));
        }
    }
}

static void add_multiple(ptrdiff_t n, REAL factor, const REAL *x, REAL *y)
{
    for (ptrdiff_t j = 0; j < n; j += LANES) updated(y + j, factor, load(x + j));
}
