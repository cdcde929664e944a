/* Functions of each element of an array; activate and multiply_by_derivative come with the equations. */
#define exp_array NAME(exp_array)
#define log_array NAME(log_array)
#define sigmoid_cross_entropy_array NAME(sigmoid_cross_entropy_array)

static void exp_array(REAL *z, ptrdiff_t n) { exp_map(z, z, n); }

static void log_array(REAL *z, ptrdiff_t n) { log_map(z, z, n); }

static void sigmoid_cross_entropy_array(const REAL *z, const REAL *y, REAL *out, ptrdiff_t n)
{
    sigmoid_cross_entropy_map(z, y, out, n);
}
