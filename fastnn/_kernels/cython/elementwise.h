/* Activations, their derivatives and other functions of each element of an array. */
#define activation_vec NAME(activation_vec)
#define derivative_vec NAME(derivative_vec)
#define activate_all NAME(activate_all)
#define multiply_all NAME(multiply_all)
#define cross_entropy_vec NAME(cross_entropy_vec)
#define activate NAME(activate)
#define multiply_by_derivative NAME(multiply_by_derivative)
#define exp_array NAME(exp_array)
#define log_array NAME(log_array)
#define sigmoid_cross_entropy_array NAME(sigmoid_cross_entropy_array)

INLINE vec activation_vec(const int activation, vec slope, vec z)
{
    switch (activation) {
    case FASTNN_SIGMOID: return sigmoid_vec(z);
    case FASTNN_TANH: return tanh_vec(z);
    case FASTNN_RELU: return SELECT(z < CONSTANT(0), CONSTANT(0), z);
    case FASTNN_LEAKY_RELU: return SELECT(z < CONSTANT(0), slope * z, z);
    default: return z;
    }
}

INLINE vec derivative_vec(const int activation, vec slope, vec a)
{
    vec one = CONSTANT(1);
    switch (activation) {
    case FASTNN_SIGMOID: return a * (one - a);
    case FASTNN_TANH: return one - a * a;
    case FASTNN_RELU: return SELECT(a > CONSTANT(0), one, CONSTANT(0));
    case FASTNN_LEAKY_RELU: return SELECT(a > CONSTANT(0), one, slope);
    default: return one;
    }
}

/* One loop for each activation: the constant is folded into it. */
INLINE void activate_all(const int activation, REAL slope, REAL *z, ptrdiff_t n)
{
    vec slopes = broadcast(slope);
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) store(z + i, activation_vec(activation, slopes, load(z + i)));
    if (i < n) store_part(z + i, activation_vec(activation, slopes, load_part(z + i, n - i)), n - i);
}

static void activate(ptrdiff_t activation, double slope, REAL *z, ptrdiff_t n)
{
    switch (activation) {
    case FASTNN_SIGMOID: activate_all(FASTNN_SIGMOID, slope, z, n); break;
    case FASTNN_TANH: activate_all(FASTNN_TANH, slope, z, n); break;
    case FASTNN_RELU: activate_all(FASTNN_RELU, slope, z, n); break;
    case FASTNN_LEAKY_RELU: activate_all(FASTNN_LEAKY_RELU, slope, z, n); break;
    default: break;
    }
}

INLINE void multiply_all(const int activation, REAL slope, const REAL *a, REAL *delta, ptrdiff_t n)
{
    vec slopes = broadcast(slope);
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(delta + i, load(delta + i) * derivative_vec(activation, slopes, load(a + i)));
    for (; i < n; i += LANES) {
        vec d = load_part(delta + i, n - i) * derivative_vec(activation, slopes, load_part(a + i, n - i));
        store_part(delta + i, d, n - i);
    }
}

static void multiply_by_derivative(ptrdiff_t activation, double slope, const REAL *a, REAL *delta, ptrdiff_t n)
{
    switch (activation) {
    case FASTNN_SIGMOID: multiply_all(FASTNN_SIGMOID, slope, a, delta, n); break;
    case FASTNN_TANH: multiply_all(FASTNN_TANH, slope, a, delta, n); break;
    case FASTNN_RELU: multiply_all(FASTNN_RELU, slope, a, delta, n); break;
    case FASTNN_LEAKY_RELU: multiply_all(FASTNN_LEAKY_RELU, slope, a, delta, n); break;
    default: break;
    }
}

static void exp_array(REAL *z, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) store(z + i, exp_vec(load(z + i)));
    if (i < n) store_part(z + i, exp_vec(load_part(z + i, n - i)), n - i);
}

static void log_array(REAL *z, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) store(z + i, log_vec(load(z + i)));
    if (i < n) store_part(z + i, log_vec(load_part(z + i, n - i)), n - i);
}

/* -[y log h + (1 - y) log(1 - h)] of h = sigmoid(z), from z: finite and right for a saturated output. */
INLINE vec cross_entropy_vec(vec z, vec y)
{
    vec t = exp_vec(as_real(as_bits(z) | SIGN_BIT));
    return (maximum(CONSTANT(0), z) - z * y) + log1p_unit(t);
}

static void sigmoid_cross_entropy_array(const REAL *z, const REAL *y, REAL *out, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) store(out + i, cross_entropy_vec(load(z + i), load(y + i)));
    if (i < n) store_part(out + i, cross_entropy_vec(load_part(z + i, n - i), load_part(y + i, n - i)), n - i);
}
