/* Functions of each element of an array; activate and multiply_by_derivative come with the equations. */
#define exp_array NAME(exp_array)
#define log_array NAME(log_array)

static void exp_array(REAL *z, ptrdiff_t n) { exp_map(z, z, n); }

static void log_array(REAL *z, ptrdiff_t n) { log_map(z, z, n); }
