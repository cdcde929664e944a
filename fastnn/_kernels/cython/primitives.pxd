"""The C primitives as Cython sees them: primitives.h, threads.h and denormals.h, which say what each one computes."""

from libc.stdint cimport int64_t


cdef extern from "primitives.h" nogil:
    enum:
        FASTNN_IDENTITY
        FASTNN_STORE
        FASTNN_ADD
        FASTNN_BIAS
        FASTNN_BIAS_FROM_MEMORY
        FASTNN_SGD
        FASTNN_ADAM
        FASTNN_ADAMW

    ctypedef struct fastnn_step:
        int rule
        int nesterov
        double rate
        double scale
        double first
        double second
        double epsilon
        double weight_decay
        double l2
        double correction1
        double correction2

    ctypedef struct fastnn_layer:
        Py_ssize_t n
        Py_ssize_t width
        int activation
        double slope
        double scale

    ctypedef struct fastnn_turn:
        fastnn_layer units
        int last
        int next
        double delta_scale
        double overlap

    ctypedef struct fastnn_walk:
        fastnn_layer units
        int activation
        Py_ssize_t n_in
        Py_ssize_t count
        Py_ssize_t rate_stride
        const double *rates
        double l2
        double scale
        double c

    ctypedef struct fastnn_primitives_f32_t:
        const char *level
        int lanes
        int tile_rows
        int tile_vectors
        void (*multiply)(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t depth, const float *A, Py_ssize_t a_row,
                         Py_ssize_t a_depth, const float *B, Py_ssize_t b_depth, float *C, Py_ssize_t c_row, int mode,
                         const float *bias) noexcept nogil
        void (*dots)(Py_ssize_t rows, Py_ssize_t n, const float *M, Py_ssize_t m_row, const float *v,
                     float *out) noexcept nogil
        void (*gram_rows)(Py_ssize_t first, Py_ssize_t n, const float *X, Py_ssize_t x_row, float *G,
                          Py_ssize_t g_row) noexcept nogil
        void (*add_rows)(Py_ssize_t rows, Py_ssize_t n, const float *M, Py_ssize_t m_row, const float *v,
                         float *out) noexcept nogil
        void (*add_rows_and_ask)(Py_ssize_t rows, Py_ssize_t n, const float *M, Py_ssize_t m_row, const float *v,
                                 float *out) noexcept nogil
        float (*sum)(const float *x, Py_ssize_t n) noexcept nogil
        void (*activate)(int activation, float slope, float *z, Py_ssize_t n) noexcept nogil
        void (*multiply_by_derivative)(int activation, float slope, const float *a, float *delta,
                                       Py_ssize_t n) noexcept nogil
        void (*exp_array)(float *z, Py_ssize_t n) noexcept nogil
        void (*log_array)(float *z, Py_ssize_t n) noexcept nogil
        void (*sigmoid_cross_entropy_array)(const float *z, const float *y, float *out, Py_ssize_t n) noexcept nogil
        void (*softmax)(Py_ssize_t K, float *T) noexcept nogil
        void (*softmax_deltas)(Py_ssize_t K, float *T, float *labels) noexcept nogil
        void (*update)(const fastnn_step *step, const float *sums, float *theta, float *m1, float *m2,
                       Py_ssize_t n) noexcept nogil
        void (*transpose)(Py_ssize_t rows, Py_ssize_t cols, const float *A, Py_ssize_t lda, float *B,
                          Py_ssize_t ldb) noexcept nogil
        void (*finish_outputs)(const fastnn_layer *layer, const float *bias, float *z) noexcept nogil
        void (*update_and_project)(const fastnn_layer *layer, Py_ssize_t n_in, const float *before, const float *x,
                                   const float *delta, float factor, float *W, const float *bias,
                                   float *z) noexcept nogil
        float (*step_one_output)(const fastnn_layer *below, int activation, float target, double rate, double c,
                                 const float *a, float *V, float *bias, float *deltas) noexcept nogil
        void (*multiply_and_update)(const fastnn_layer *below, Py_ssize_t n_out, const float *a, const float *delta,
                                    float factor, float *V, float *deltas) noexcept nogil
        void (*turn)(const fastnn_turn *turn, const float *sums, const float *corrections, const float *before,
                     const float *z, const float *bias, float *deltas, float *outputs) noexcept nogil
        void (*walk_narrow)(fastnn_walk *walk, const float *X, const int64_t *order, const float *before,
                            const float *targets, float *W, float *bias, float *V, float *output_bias, float *deltas,
                            float *logits) noexcept nogil
        void (*add_multiple)(Py_ssize_t n, float factor, const float *x, float *y) noexcept nogil

    ctypedef struct fastnn_primitives_f64_t:
        const char *level
        int lanes
        int tile_rows
        int tile_vectors
        void (*multiply)(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t depth, const double *A, Py_ssize_t a_row,
                         Py_ssize_t a_depth, const double *B, Py_ssize_t b_depth, double *C, Py_ssize_t c_row, int mode,
                         const double *bias) noexcept nogil
        void (*dots)(Py_ssize_t rows, Py_ssize_t n, const double *M, Py_ssize_t m_row, const double *v,
                     double *out) noexcept nogil
        void (*gram_rows)(Py_ssize_t first, Py_ssize_t n, const double *X, Py_ssize_t x_row, double *G,
                          Py_ssize_t g_row) noexcept nogil
        void (*add_rows)(Py_ssize_t rows, Py_ssize_t n, const double *M, Py_ssize_t m_row, const double *v,
                         double *out) noexcept nogil
        void (*add_rows_and_ask)(Py_ssize_t rows, Py_ssize_t n, const double *M, Py_ssize_t m_row, const double *v,
                                 double *out) noexcept nogil
        double (*sum)(const double *x, Py_ssize_t n) noexcept nogil
        void (*activate)(int activation, double slope, double *z, Py_ssize_t n) noexcept nogil
        void (*multiply_by_derivative)(int activation, double slope, const double *a, double *delta,
                                       Py_ssize_t n) noexcept nogil
        void (*exp_array)(double *z, Py_ssize_t n) noexcept nogil
        void (*log_array)(double *z, Py_ssize_t n) noexcept nogil
        void (*sigmoid_cross_entropy_array)(const double *z, const double *y, double *out,
                                            Py_ssize_t n) noexcept nogil
        void (*softmax)(Py_ssize_t K, double *T) noexcept nogil
        void (*softmax_deltas)(Py_ssize_t K, double *T, double *labels) noexcept nogil
        void (*update)(const fastnn_step *step, const double *sums, double *theta, double *m1, double *m2,
                       Py_ssize_t n) noexcept nogil
        void (*transpose)(Py_ssize_t rows, Py_ssize_t cols, const double *A, Py_ssize_t lda, double *B,
                          Py_ssize_t ldb) noexcept nogil
        void (*finish_outputs)(const fastnn_layer *layer, const double *bias, double *z) noexcept nogil
        void (*update_and_project)(const fastnn_layer *layer, Py_ssize_t n_in, const double *before, const double *x,
                                   const double *delta, double factor, double *W, const double *bias,
                                   double *z) noexcept nogil
        double (*step_one_output)(const fastnn_layer *below, int activation, double target, double rate, double c,
                                 const double *a, double *V, double *bias, double *deltas) noexcept nogil
        void (*multiply_and_update)(const fastnn_layer *below, Py_ssize_t n_out, const double *a, const double *delta,
                                    double factor, double *V, double *deltas) noexcept nogil
        void (*turn)(const fastnn_turn *turn, const double *sums, const double *corrections, const double *before,
                     const double *z, const double *bias, double *deltas, double *outputs) noexcept nogil
        void (*walk_narrow)(fastnn_walk *walk, const double *X, const int64_t *order, const double *before,
                            const double *targets, double *W, double *bias, double *V, double *output_bias,
                            double *deltas, double *logits) noexcept nogil
        void (*add_multiple)(Py_ssize_t n, double factor, const double *x, double *y) noexcept nogil

    int fastnn_best_level() noexcept
    const fastnn_primitives_f32_t *fastnn_primitives_f32(int level) noexcept
    const fastnn_primitives_f64_t *fastnn_primitives_f64(int level) noexcept


cdef extern from "threads.h" nogil:
    int64_t fastnn_load(int64_t *p) noexcept
    void fastnn_store(int64_t *p, int64_t x) noexcept
    int64_t fastnn_fetch_add(int64_t *p, int64_t x) noexcept
    bint fastnn_compare_exchange(int64_t *p, int64_t expected, int64_t desired) noexcept
    void fastnn_pause() noexcept
    void fastnn_prefetch(const void *p, int64_t bytes) noexcept
    void fastnn_rest() noexcept


cdef extern from "denormals.h" nogil:
    enum:
        FASTNN_FLUSH

    unsigned fastnn_float_control() noexcept
    void fastnn_set_float_control(unsigned control) noexcept
