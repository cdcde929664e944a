/* One optimizer step of n contiguous parameters. */
#define update NAME(update)

static void update(const fastnn_step *step, const REAL *sums, REAL *theta, REAL *m1, REAL *m2, ptrdiff_t n)
{
    const double first = step->first, second = step->second;
    int rule = step->rule;
    if (rule == FASTNN_SGD && m1) rule = step->nesterov ? FASTNN_NESTEROV : FASTNN_MOMENTUM;
    take_step(rule, sums, theta, m1, m2, (REAL)step->rate, (REAL)(step->rate / step->correction1), (REAL)first,
              (REAL)(1 - first), (REAL)second, (REAL)(1 - second), (REAL)step->epsilon,
              (REAL)(1 / sqrt(step->correction2)), (REAL)(1 - step->rate * step->weight_decay), (REAL)step->scale,
              (REAL)step->l2, n);
}
