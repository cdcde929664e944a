/* Steps that parameters have missed, whose gradient is that of the penalty alone: many steps of a few vectors, which stay
   in the registers. The arithmetic is that of update. */
#define missed_steps NAME(missed_steps)
#define missed_steps_of NAME(missed_steps_of)
#define all_equal NAME(all_equal)
#define take_missed_steps NAME(take_missed_steps)

INLINE int all_equal(const int V, const vec *x, const vec *y)
{
    bits differences = as_bits(x[0]) ^ as_bits(y[0]);
    UNROLL for (int i = 1; i < V; i++) differences |= as_bits(x[i]) ^ as_bits(y[i]);
#if VECTOR_BYTES > 0
    INTEGER found = 0;
    for (int j = 0; j < LANES; j++) found |= differences[j];
    return found == 0;
#else
    return differences == 0;
#endif
}

/* V vectors, or the first `part` numbers of one. Without a penalty parameters come to rest: their moments then go on. */
INLINE void missed_steps(const int rule, const int V, ptrdiff_t part, ptrdiff_t steps, const double *numbers, double first,
                         double second, double l2, double decay, REAL *theta, REAL *m1, REAL *m2)
{
    const vec zero = CONSTANT(0), b1 = CONSTANT(first), rest1 = CONSTANT(1 - first), b2 = CONSTANT(second);
    const vec rest2 = CONSTANT(1 - second), penalty = CONSTANT(l2);
    const int two = rule == FASTNN_ADAM || rule == FASTNN_ADAMW;
    const int rests = l2 == 0 && decay == 0 && (!two || first * first < second);
    vec t[4], u[4], v[4], before[4];
    UNROLL for (int i = 0; i < V; i++) {
        t[i] = part ? load_part(theta, part) : load(theta + i * LANES);
        u[i] = part ? load_part(m1, part) : load(m1 + i * LANES);
        if (two) v[i] = part ? load_part(m2, part) : load(m2 + i * LANES);
    }
    ptrdiff_t k = 0;
    while (k < steps) {
        const double *step = numbers + 4 * k;
        const vec rate = CONSTANT(step[0]), corrected = CONSTANT(step[1]), root = CONSTANT(step[2]);
        const vec epsilon = CONSTANT(step[3]), keep = CONSTANT(1 - step[0] * decay);
        UNROLL for (int i = 0; i < V; i++) {
            before[i] = t[i];
            if (rule == FASTNN_MOMENTUM) momentum_vec(zero, t[i], u[i], rate, b1, zero, penalty, &t[i], &u[i]);
            if (rule == FASTNN_NESTEROV) nesterov_vec(zero, t[i], u[i], rate, b1, zero, penalty, &t[i], &u[i]);
            if (rule == FASTNN_RMSPROP)
                rmsprop_vec(zero, t[i], u[i], rate, b2, rest2, epsilon, zero, penalty, &t[i], &u[i]);
            if (rule == FASTNN_ADAM)
                adam_vec(zero, t[i], u[i], v[i], corrected, b1, rest1, b2, rest2, epsilon, root, zero, penalty, &t[i],
                         &u[i], &v[i]);
            if (rule == FASTNN_ADAMW)
                adamw_vec(zero, t[i], u[i], v[i], corrected, b1, rest1, b2, rest2, epsilon, root, keep, zero, penalty,
                          &t[i], &u[i], &v[i]);
        }
        k++;
        if (rests && k % 8 == 1 && all_equal(V, t, before)) break;
    }
    for (; k < steps; k++) {
        UNROLL for (int i = 0; i < V; i++) {
            u[i] *= rule == FASTNN_RMSPROP ? b2 : b1;
            if (two) v[i] *= b2;
        }
    }
    UNROLL for (int i = 0; i < V; i++) {
        if (part) {
            store_part(theta, t[i], part);
            store_part(m1, u[i], part);
            if (two) store_part(m2, v[i], part);
        } else {
            store(theta + i * LANES, t[i]);
            store(m1 + i * LANES, u[i]);
            if (two) store(m2 + i * LANES, v[i]);
        }
    }
}

static NOINLINE void missed_steps_of(const int rule, ptrdiff_t steps, const double *numbers, double first, double second,
                                     double l2, double decay, ptrdiff_t n, REAL *theta, REAL *m1, REAL *m2)
{
#define STEPS(V, part) \
    switch (rule) { \
    case FASTNN_MOMENTUM: \
        missed_steps(FASTNN_MOMENTUM, V, part, steps, numbers, first, second, l2, decay, theta + j, m1 + j, m2 + j); \
        break; \
    case FASTNN_NESTEROV: \
        missed_steps(FASTNN_NESTEROV, V, part, steps, numbers, first, second, l2, decay, theta + j, m1 + j, m2 + j); \
        break; \
    case FASTNN_RMSPROP: \
        missed_steps(FASTNN_RMSPROP, V, part, steps, numbers, first, second, l2, decay, theta + j, m1 + j, m2 + j); \
        break; \
    case FASTNN_ADAM: \
        missed_steps(FASTNN_ADAM, V, part, steps, numbers, first, second, l2, decay, theta + j, m1 + j, m2 + j); \
        break; \
    default: \
        missed_steps(FASTNN_ADAMW, V, part, steps, numbers, first, second, l2, decay, theta + j, m1 + j, m2 + j); \
    }
    ptrdiff_t j = 0;
    for (; n - j >= 4 * LANES; j += 4 * LANES) STEPS(4, 0)
    for (; n - j >= LANES; j += LANES) STEPS(1, 0)
    if (n > j) STEPS(1, n - j)
#undef STEPS
}

static void take_missed_steps(ptrdiff_t rule, double variant, ptrdiff_t steps, const double *numbers, double first,
                              double second, double l2, double decay, ptrdiff_t n, REAL *theta, REAL *m1, REAL *m2)
{
    int chosen = rule == FASTNN_SGD ? (variant != 0 ? FASTNN_NESTEROV : FASTNN_MOMENTUM) : (int)rule;
    missed_steps_of(chosen, steps, numbers, first, second, l2, decay, n, theta, m1, m2);
}
