/* Softmax of as many rows as a vector has lanes, a lane for each: the k-th of the K vectors at T holds z_k of every row.

   With t the largest z of a row and s the sum of e^(z_j - t) without one that is 1, softmax_k is e^(z_k - t) / (1 + s), and
   log sum_j e^z_j is t + log(1 + s): a small loss keeps its digits. */
#define top_of NAME(top_of)
#define exponentials NAME(exponentials)
#define softmax_columns NAME(softmax_columns)
#define delta_columns NAME(delta_columns)

INLINE vec top_of(ptrdiff_t K, const REAL *T)
{
    vec top = load(T);
    for (ptrdiff_t k = 1; k < K; k++) top = maximum(load(T + k * LANES), top);
    return top;
}

/* z becomes e^(z - top); the sum of all but one that is 1. */
INLINE vec exponentials(ptrdiff_t K, REAL *T, vec top)
{
    vec others = CONSTANT(0), ties = CONSTANT(-1);
    for (REAL *end = T + K * LANES; T < end; T += LANES) {
        vec z = load(T), e = exp_vec(z - top);
        store(T, e);
        others += SELECT(z == top, CONSTANT(0), e);
        ties += SELECT(z == top, CONSTANT(1), CONSTANT(0));
    }
    return others + ties;
}

static void softmax_columns(ptrdiff_t K, REAL *T)
{
    vec inverse = CONSTANT(1) / (CONSTANT(1) + exponentials(K, T, top_of(K, T)));
    for (ptrdiff_t k = 0; k < K; k++) store(T + k * LANES, load(T + k * LANES) * inverse);
}

/* The labels become the losses, and z becomes delta: of the label it is minus the sum of the others, as softmax itself may
   have rounded to 1. */
static void delta_columns(ptrdiff_t K, REAL *T, REAL *labels)
{
    vec label = load(labels), top = top_of(K, T), chosen = top, wrong = CONSTANT(0);
    for (ptrdiff_t k = 0; k < K; k++) chosen = SELECT(label == CONSTANT(k), load(T + k * LANES), chosen);
    vec others = exponentials(K, T, top), inverse = CONSTANT(1) / (CONSTANT(1) + others);
    store(labels, (top - chosen) + log_of_1_plus_vec(others));
    for (ptrdiff_t k = 0; k < K; k++) wrong += SELECT(label == CONSTANT(k), CONSTANT(0), load(T + k * LANES));
    for (ptrdiff_t k = 0; k < K; k++) {
        vec value = SELECT(label == CONSTANT(k), CONSTANT(0) - wrong, load(T + k * LANES));
        store(T + k * LANES, value * inverse);
    }
}
