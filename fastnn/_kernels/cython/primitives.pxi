# The C primitives of the SIMD level in use, for both types: primitives.h says what each one computes.

cdef const fastnn_primitives_f32_t *F32
cdef const fastnn_primitives_f64_t *F64

LEVELS = ("avx512", "avx2", "neon", "baseline")


def available_levels():
    """Return the names of the levels that the host can run, the widest first."""
    return [fastnn_primitives_f32(level).level.decode() for level in range(fastnn_best_level(), -1, -1)]


def use_level(name):
    """Have the kernels run at a level: an empty name takes the host's widest."""
    global F32, F64
    available = available_levels()
    name = name.strip().lower() or available[0]
    if name not in available:
        problem = "is not available on this CPU" if name in LEVELS else "is unknown"
        raise ValueError(f"FASTNN_SIMD={name} {problem}; choose from: {', '.join(available)}")
    cdef int level = fastnn_best_level() - available.index(name)
    F32, F64 = fastnn_primitives_f32(level), fastnn_primitives_f64(level)


def level():
    """Return the name of the level in use."""
    return F32.level.decode()


def lanes(int itemsize):
    """Return how many numbers of that many bytes a vector holds."""
    return F32.lanes if itemsize == sizeof(float) else F64.lanes


def addresses(int itemsize):
    """Return the address of each primitive, by name."""
    if itemsize == sizeof(float):
        return {
            "multiply": <size_t>F32.multiply,
            "dots": <size_t>F32.dots,
            "gram_rows": <size_t>F32.gram_rows,
            "add_rows": <size_t>F32.add_rows,
            "add_rows_and_ask": <size_t>F32.add_rows_and_ask,
            "sum": <size_t>F32.sum,
            "activate": <size_t>F32.activate,
            "multiply_by_derivative": <size_t>F32.multiply_by_derivative,
            "exp_array": <size_t>F32.exp_array,
            "log_array": <size_t>F32.log_array,
            "sigmoid_cross_entropy_array": <size_t>F32.sigmoid_cross_entropy_array,
            "softmax": <size_t>F32.softmax,
            "softmax_deltas": <size_t>F32.softmax_deltas,
            "update": <size_t>F32.update,
            "transpose": <size_t>F32.transpose,
            "finish_outputs": <size_t>F32.finish_outputs,
            "update_and_project": <size_t>F32.update_and_project,
            "step_one_output": <size_t>F32.step_one_output,
            "multiply_and_update": <size_t>F32.multiply_and_update,
            "turn": <size_t>F32.turn,
            "walk_narrow": <size_t>F32.walk_narrow,
            "add_multiple": <size_t>F32.add_multiple,
        }
    return {
        "multiply": <size_t>F64.multiply,
        "dots": <size_t>F64.dots,
        "gram_rows": <size_t>F64.gram_rows,
        "add_rows": <size_t>F64.add_rows,
        "add_rows_and_ask": <size_t>F64.add_rows_and_ask,
        "sum": <size_t>F64.sum,
        "activate": <size_t>F64.activate,
        "multiply_by_derivative": <size_t>F64.multiply_by_derivative,
        "exp_array": <size_t>F64.exp_array,
        "log_array": <size_t>F64.log_array,
        "sigmoid_cross_entropy_array": <size_t>F64.sigmoid_cross_entropy_array,
        "softmax": <size_t>F64.softmax,
        "softmax_deltas": <size_t>F64.softmax_deltas,
        "update": <size_t>F64.update,
        "transpose": <size_t>F64.transpose,
        "finish_outputs": <size_t>F64.finish_outputs,
        "update_and_project": <size_t>F64.update_and_project,
        "step_one_output": <size_t>F64.step_one_output,
        "multiply_and_update": <size_t>F64.multiply_and_update,
        "turn": <size_t>F64.turn,
        "walk_narrow": <size_t>F64.walk_narrow,
        "add_multiple": <size_t>F64.add_multiple,
    }


cdef inline void multiply(
    int64_t rows, int64_t cols, int64_t depth, const real *A, int64_t a_row, int64_t a_depth, const real *B,
    int64_t b_depth, real *C, int64_t c_row, int mode, const real *bias,
) noexcept nogil:
    if real is float:
        F32.multiply(rows, cols, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias)
    else:
        F64.multiply(rows, cols, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias)


cdef inline void dots(
    int64_t rows, int64_t n, const real *M, int64_t m_row, const real *v, real *out
) noexcept nogil:
    if real is float:
        F32.dots(rows, n, M, m_row, v, out)
    else:
        F64.dots(rows, n, M, m_row, v, out)


cdef inline void gram_rows(
    int64_t first, int64_t n, const real *X, int64_t x_row, real *G, int64_t g_row
) noexcept nogil:
    if real is float:
        F32.gram_rows(first, n, X, x_row, G, g_row)
    else:
        F64.gram_rows(first, n, X, x_row, G, g_row)


cdef inline void add_rows(
    int64_t rows, int64_t n, const real *M, int64_t m_row, const real *v, real *out
) noexcept nogil:
    if real is float:
        F32.add_rows(rows, n, M, m_row, v, out)
    else:
        F64.add_rows(rows, n, M, m_row, v, out)


cdef inline void add_rows_and_ask(
    int64_t rows, int64_t n, const real *M, int64_t m_row, const real *v, real *out
) noexcept nogil:
    if real is float:
        F32.add_rows_and_ask(rows, n, M, m_row, v, out)
    else:
        F64.add_rows_and_ask(rows, n, M, m_row, v, out)


cdef inline real total_of(const real *values, int64_t n) noexcept nogil:
    """Return the sum of n numbers, added in several chains."""
    if real is float:
        return F32.sum(values, n)
    else:
        return F64.sum(values, n)


cdef inline void activate(int64_t activation, double slope, real *z, int64_t n) noexcept nogil:
    if real is float:
        F32.activate(activation, slope, z, n)
    else:
        F64.activate(activation, slope, z, n)


cdef inline void multiply_by_derivative(
    int64_t activation, double slope, const real *a, real *delta, int64_t n
) noexcept nogil:
    if real is float:
        F32.multiply_by_derivative(activation, slope, a, delta, n)
    else:
        F64.multiply_by_derivative(activation, slope, a, delta, n)


cdef inline void exp_array(real *z, int64_t n) noexcept nogil:
    if real is float:
        F32.exp_array(z, n)
    else:
        F64.exp_array(z, n)


cdef inline void sigmoid_cross_entropy_array(const real *z, const real *y, real *out, int64_t n) noexcept nogil:
    if real is float:
        F32.sigmoid_cross_entropy_array(z, y, out, n)
    else:
        F64.sigmoid_cross_entropy_array(z, y, out, n)


cdef inline void update(
    const fastnn_step *step, const real *sums, real *theta, real *m1, real *m2, int64_t n
) noexcept nogil:
    if real is float:
        F32.update(step, sums, theta, m1, m2, n)
    else:
        F64.update(step, sums, theta, m1, m2, n)


cdef inline void transpose(
    int64_t rows, int64_t cols, const real *A, int64_t lda, real *B, int64_t ldb
) noexcept nogil:
    if real is float:
        F32.transpose(rows, cols, A, lda, B, ldb)
    else:
        F64.transpose(rows, cols, A, lda, B, ldb)


cdef inline void add_multiple(int64_t n, real factor, const real *x, real *y) noexcept nogil:
    if real is float:
        F32.add_multiple(n, factor, x, y)
    else:
        F64.add_multiple(n, factor, x, y)
