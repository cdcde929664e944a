/* One optimizer step of n contiguous parameters. */
#define root_vec NAME(root_vec)
#define quotient_vec NAME(quotient_vec)
#define step_vec NAME(step_vec)
#define update_all NAME(update_all)
#define update NAME(update)

/* The root of v >= 0 and the quotient by y > 0. The divider of AVX-512 takes 22 cycles for the two, Newton's method
   from 14 bits takes half of that, and Adam costs little more than SGD. Where v is not a normal number, its root is
   that of the smallest one. */
#if VECTOR_BYTES == 64
INLINE vec root_vec(vec v)
{
    vec safe = maximum(CONSTANT(SMALLEST_NORMAL), v), r = INTRINSIC(rsqrt14)(safe);
    vec root = safe * r, half = CONSTANT(0.5) * r;
    UNROLL for (int i = 0; i < BITS / 32; i++) root = fused(fused(-root, root, safe), half, root);
    return root;
}

INLINE vec quotient_vec(vec x, vec y)
{
    vec r = INTRINSIC(rcp14)(y);
    UNROLL for (int i = 0; i < BITS / 32; i++) r = fused(fused(-y, r, CONSTANT(1)), r, r);
    return x * r;
}
#else
INLINE vec root_vec(vec v) { return square_root(v); }
INLINE vec quotient_vec(vec x, vec y) { return x / y; }
#endif

/* The hyperparameters of a step, one vec each. */
typedef struct NAME(constants) {
    vec rate, first, first_rest, second, second_rest, epsilon, decay, scale, l2, root;
} NAME(constants);

INLINE void step_vec(const int rule, const int nesterov, const NAME(constants) *c, vec g, vec *theta, vec *m1, vec *m2)
{
    g = fused(c->l2, *theta, c->scale * g);
    switch (rule) {
    case FASTNN_RMSPROP: /* m1: the mean square */
        *m1 = fused(c->second, *m1, c->second_rest * (g * g));
        *theta -= quotient_vec(c->rate * g, root_vec(*m1) + c->epsilon);
        break;
    case FASTNN_ADAMW:
        *theta *= c->decay;
        /* fall through */
    case FASTNN_ADAM:
        *m1 = fused(c->first, *m1, c->first_rest * g);
        *m2 = fused(c->second, *m2, c->second_rest * (g * g));
        *theta -= quotient_vec(c->rate * *m1, fused(root_vec(*m2), c->root, c->epsilon));
        break;
    default: /* m1: the velocity; without momentum first = 0 and it is the gradient */
        *m1 = fused(c->first, *m1, g);
        *theta -= c->rate * (nesterov ? fused(c->first, *m1, g) : *m1);
    }
}

INLINE void update_all(const int rule, const int nesterov, const int moments, const NAME(constants) *c,
                       const REAL *sums, REAL *theta, REAL *m1, REAL *m2, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec t = load(theta + i), m = CONSTANT(0), v = CONSTANT(0);
        if (moments > 0) m = load(m1 + i);
        if (moments > 1) v = load(m2 + i);
        step_vec(rule, nesterov, c, load(sums + i), &t, &m, &v);
        store(theta + i, t);
        if (moments > 0) store(m1 + i, m);
        if (moments > 1) store(m2 + i, v);
    }
    if (i < n) {
        ptrdiff_t rest = n - i;
        vec t = load_part(theta + i, rest), m = CONSTANT(0), v = CONSTANT(0);
        if (moments > 0) m = load_part(m1 + i, rest);
        if (moments > 1) v = load_part(m2 + i, rest);
        step_vec(rule, nesterov, c, load_part(sums + i, rest), &t, &m, &v);
        store_part(theta + i, t, rest);
        if (moments > 0) store_part(m1 + i, m, rest);
        if (moments > 1) store_part(m2 + i, v, rest);
    }
}

static void update(const fastnn_step *step, const REAL *sums, REAL *theta, REAL *m1, REAL *m2, ptrdiff_t n)
{
    const int adam = step->rule == FASTNN_ADAM || step->rule == FASTNN_ADAMW;
    const NAME(constants) c = {
        .rate = CONSTANT(adam ? step->rate / step->correction1 : step->rate),
        .first = CONSTANT(step->first),
        .first_rest = CONSTANT(1 - step->first),
        .second = CONSTANT(step->second),
        .second_rest = CONSTANT(1 - step->second),
        .epsilon = CONSTANT(step->epsilon),
        .decay = CONSTANT(1 - step->rate * step->weight_decay),
        .scale = CONSTANT(step->scale),
        .l2 = CONSTANT(step->l2),
        .root = CONSTANT(adam ? 1 / sqrt(step->correction2) : 1),
    };
    switch (step->rule) {
    case FASTNN_RMSPROP: update_all(FASTNN_RMSPROP, 0, 1, &c, sums, theta, m1, m2, n); break;
    case FASTNN_ADAM: update_all(FASTNN_ADAM, 0, 2, &c, sums, theta, m1, m2, n); break;
    case FASTNN_ADAMW: update_all(FASTNN_ADAMW, 0, 2, &c, sums, theta, m1, m2, n); break;
    default:
        if (!m1) update_all(FASTNN_SGD, 0, 0, &c, sums, theta, m1, m2, n);
        else if (step->nesterov) update_all(FASTNN_SGD, 1, 1, &c, sums, theta, m1, m2, n);
        else update_all(FASTNN_SGD, 0, 1, &c, sums, theta, m1, m2, n);
    }
}
