/* Per-sample descent of a narrow network: one hidden layer of one or two vectors, and one output. Its chain of steps is
   all latency, from a sample's delta to the next one's, so that what it passes through stays in registers, but for the
   deltas themselves (20-16-1 on one thread: 1.5 times as fast as by one call a layer). */
#define walk_vectors NAME(walk_vectors)
#define walk_narrow NAME(walk_narrow)

INLINE double walk_vectors(const int N, ptrdiff_t start, ptrdiff_t count, ptrdiff_t n_in, ptrdiff_t n,
                           const ptrdiff_t activation, double slope, const ptrdiff_t output_activation,
                           const double *rates, ptrdiff_t rate_stride, double l2, double scale, const REAL *X,
                           const int64_t *order, const REAL *targets, const double *weights, REAL *W, REAL *bias,
                           REAL *V, REAL *output_bias, REAL *deltas, REAL *logits, ptrdiff_t ahead, ptrdiff_t samples,
                           ptrdiff_t asked, ptrdiff_t asked_bytes)
{
    vec slopes = CONSTANT(slope), b[2], v[2], a[2];
    REAL top = *output_bias, z[2 * LANES];
    const REAL *before = X + (order ? order[start] : start) * n_in;
    double c = 0; /* the first sample has no step before it */
    UNROLL for (int i = 0; i < N; i++) {
        b[i] = load(bias + i * LANES);
        v[i] = load(V + i * LANES);
    }
    for (ptrdiff_t t = start; t < start + count; t++) {
        if (t + ahead < samples) {
            const ptrdiff_t later = order ? order[t + ahead] : t + ahead;
            fastnn_prefetch(X + later * n_in, n_in * sizeof(REAL));
            fastnn_prefetch((const char *)asked + later * asked_bytes, 1);
        }
        const REAL *x = X + (order ? order[t] : t) * n_in;
        const double shrunk = scale * (1 - rates[t * rate_stride] * l2);
        const double rate = rates[t * rate_stride] * weights[t - start];
        const vec s = CONSTANT(scale);
        vec products = CONSTANT(0);
        project_columns(N, n_in, N * LANES, before, x, broadcast(dot(before, x, n_in)), deltas, (REAL)-c, W, z);
        UNROLL for (int i = 0; i < N; i++) {
            a[i] = activated(activation, fused(s, load(z + i * LANES), b[i]), slopes);
            a[i] = first_lanes(a[i], n - i * LANES);
            products = fused(a[i], v[i], products);
        }
        const REAL logit = (REAL)scale * sum_lanes(products) + top;
        const vec error = output_value(output_activation, broadcast(logit)) - broadcast(targets[t - start]);
        c = rate / shrunk;
        UNROLL for (int i = 0; i < N; i++) {
            vec delta = s * error * times_derivative(activation, a[i], v[i], slopes);
            v[i] = fused(CONSTANT(-c) * error, a[i], v[i]);
            b[i] = fused(CONSTANT(-rate), delta, b[i]);
            store(deltas + i * LANES, delta);
        }
        top -= (REAL)rate * first_lane(error);
        logits[t - start] = logit;
        before = x;
        scale = shrunk;
    }
    UNROLL for (int i = 0; i < N; i++) {
        store(bias + i * LANES, b[i]);
        store(V + i * LANES, v[i]);
    }
    *output_bias = top;
    return scale;
}

static double walk_narrow(ptrdiff_t start, ptrdiff_t count, ptrdiff_t n_in, ptrdiff_t n, ptrdiff_t width,
                          ptrdiff_t activation, double slope, ptrdiff_t output_activation, const double *rates,
                          ptrdiff_t rate_stride, double l2, double scale, const REAL *X, ptrdiff_t order,
                          const REAL *targets, const double *weights, REAL *W, REAL *bias, REAL *V, REAL *output_bias,
                          REAL *deltas, REAL *logits, ptrdiff_t ahead, ptrdiff_t samples, ptrdiff_t asked,
                          ptrdiff_t asked_bytes)
{
    const int64_t *visited = (const int64_t *)order;
    if (width == LANES)
        return walk_vectors(1, start, count, n_in, n, activation, slope, output_activation, rates,
                            rate_stride, l2, scale, X, visited, targets, weights, W, bias, V, output_bias, deltas,
                            logits, ahead, samples, asked, asked_bytes);
    return walk_vectors(2, start, count, n_in, n, activation, slope, output_activation, rates, rate_stride,
                        l2, scale, X, visited, targets, weights, W, bias, V, output_bias, deltas, logits, ahead,
                        samples, asked, asked_bytes);
}
