/* Per-sample descent of a narrow network: one hidden layer of one or two vectors, and one output. Its chain of steps is
   all latency, from a sample's delta to the next one's, so that what it passes through stays in registers, but for the
   deltas themselves (20-16-1 on one thread: 1.5 times as fast as by one call a layer). */
#define walk_vectors NAME(walk_vectors)
#define walk_narrow NAME(walk_narrow)

INLINE void walk_vectors(const int N, fastnn_walk *walk, const REAL *X, const int64_t *order, const REAL *before,
                         const REAL *targets, REAL *W, REAL *bias, REAL *V, REAL *output_bias, REAL *deltas,
                         REAL *logits)
{
    const fastnn_layer *units = &walk->units;
    const ptrdiff_t n = walk->n_in;
    vec slope = CONSTANT(units->slope), b[2], v[2], a[2];
    REAL last_bias = *output_bias, z[2 * LANES];
    double s = walk->scale, c = walk->c;
    UNROLL for (int i = 0; i < N; i++) {
        b[i] = load(bias + i * LANES);
        v[i] = load(V + i * LANES);
    }
    for (ptrdiff_t t = 0; t < walk->count; t++) {
        const REAL *x = X + (order ? order[t] : t) * n;
        const double rate = walk->rates[t * walk->rate_stride], shrunk = s * (1 - rate * walk->l2);
        const vec scale = CONSTANT(s);
        vec products = CONSTANT(0);
        project_columns(N, n, N * LANES, before, x, broadcast(dot(before, x, n)), deltas, (REAL)-c, W, z);
        UNROLL for (int i = 0; i < N; i++) {
            a[i] = activated(units->activation, fused(scale, load(z + i * LANES), b[i]), slope);
            a[i] = first_lanes(a[i], units->n - i * LANES);
            products = fused(a[i], v[i], products);
        }
        const REAL logit = (REAL)s * sum_lanes(products) + last_bias;
        const vec error = activated(walk->activation, broadcast(logit), slope) - broadcast(targets[t]);
        c = rate / shrunk;
        UNROLL for (int i = 0; i < N; i++) {
            vec delta = scale * error * times_derivative(units->activation, a[i], v[i], slope);
            v[i] = fused(CONSTANT(-c) * error, a[i], v[i]);
            b[i] = fused(CONSTANT(-rate), delta, b[i]);
            store(deltas + i * LANES, delta);
        }
        last_bias -= (REAL)rate * first_lane(error);
        logits[t] = logit;
        before = x;
        s = shrunk;
    }
    UNROLL for (int i = 0; i < N; i++) {
        store(bias + i * LANES, b[i]);
        store(V + i * LANES, v[i]);
    }
    *output_bias = last_bias;
    walk->scale = s;
    walk->c = c;
}

static void walk_narrow(fastnn_walk *walk, const REAL *X, const int64_t *order, const REAL *before, const REAL *targets,
                        REAL *W, REAL *bias, REAL *V, REAL *output_bias, REAL *deltas, REAL *logits)
{
    if (walk->units.width == LANES)
        walk_vectors(1, walk, X, order, before, targets, W, bias, V, output_bias, deltas, logits);
    else
        walk_vectors(2, walk, X, order, before, targets, W, bias, V, output_bias, deltas, logits);
}
