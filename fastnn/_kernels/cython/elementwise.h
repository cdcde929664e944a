/* Functions of each element of an array; multiply_by_derivative comes with the equations. In the place of the code of an
   activation or a loss may be the address of a program. */
#define exp_array NAME(exp_array)
#define log_array NAME(log_array)
#define activate NAME(activate)
#define loss_and_delta NAME(loss_and_delta)

static void exp_array(REAL *z, ptrdiff_t n) { exp_map(z, z, n); }

static void log_array(REAL *z, ptrdiff_t n) { log_map(z, z, n); }

static void activate(ptrdiff_t activation, double slope, REAL *z, REAL *saved, ptrdiff_t n)
{
    if (activation < FASTNN_FIRST_ADDRESS) activate_by_code(activation, slope, z, saved, n);
    else run_program(activation, z, z, z, saved, n);
}

static void loss_and_delta(ptrdiff_t loss, REAL *z, const REAL *y, const REAL *numbers, REAL *value, ptrdiff_t n)
{
    if (loss < FASTNN_FIRST_ADDRESS) loss_and_delta_by_code(loss, z, y, numbers, value, n);
    else run_program(loss, z, y, value, z, n);
}
