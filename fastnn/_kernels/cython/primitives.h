/* The primitives that the kernels are built on, as tables of function pointers: one table for each SIMD level and type.

   A level is a set of instructions: 0 is the baseline of the architecture (SSE2 on x86-64, NEON on arm64, plain loops
   where the compiler has no vector extensions), 1 is x86-64-v3 (AVX2 and FMA), 2 is x86-64-v4 (AVX-512). All are
   compiled into one object, without build flags; fastnn_best_level() asks the CPU which of them it can run. */
#ifndef FASTNN_PRIMITIVES_H
#define FASTNN_PRIMITIVES_H

#include <stddef.h>

/* The codes of contract.py. */
enum { FASTNN_IDENTITY, FASTNN_SIGMOID, FASTNN_TANH, FASTNN_RELU, FASTNN_LEAKY_RELU };
enum { FASTNN_SGD, FASTNN_RMSPROP, FASTNN_ADAM, FASTNN_ADAMW };

/* What multiply does with C: C = A B, C += A B, C = bias + A B. */
enum { FASTNN_STORE, FASTNN_ADD, FASTNN_BIAS };

/* One optimizer step: the hyperparameters of contract.Optimizer at one moment. */
typedef struct fastnn_step {
    int rule;
    int nesterov;
    double rate;          /* the learning rate */
    double first;         /* momentum of SGD, beta1 of Adam */
    double second;        /* rho of RMSprop, beta2 of Adam */
    double epsilon;
    double weight_decay;  /* AdamW: theta -= rate * weight_decay * theta, before the step */
    double scale, l2;     /* gradient = scale * sums + l2 * theta; l2 is 0 for biases */
    double correction1;   /* Adam: 1 - beta1^t */
    double correction2;   /* Adam: 1 - beta2^t */
} fastnn_step;

/* The table, for real = float and double.

   lanes: real numbers in a vector; every column count that multiply sees is a multiple of it.
   tile_rows, tile_vectors: the largest register tile of multiply.
   multiply: C[i, j] = init + sum_k A[i * a_row + k * a_depth] * B[k * b_depth + j], i < rows, j < cols. Each element is
       one chain of (fused) multiply-adds over k in order, whatever tile computes it.
   dots: out[r] = sum_j M[r * m_row + j] * v[j], r < rows, j < n, a multiple of the lanes.
   sum: x[0] + ... + x[n - 1], added in an order that depends on n alone.
   activate: z = g(z) in place. multiply_by_derivative: delta *= g', taken from the activation's output a.
   sigmoid_cross_entropy_array: out = max(z, 0) - z y + log(1 + exp(-|z|)), the losses of logits z and targets y.
   update: one optimizer step of n parameters from their gradient's sums; m1 and m2 are the rows of the state that the rule has, else NULL.
   transpose: B[j, i] = A[i, j], i < rows, j < cols. */
#define FASTNN_DECLARE_PRIMITIVES(name, real)                                                                         \
    typedef struct name {                                                                                             \
        const char *level;                                                                                            \
        int lanes;                                                                                                    \
        int tile_rows;                                                                                                \
        int tile_vectors;                                                                                             \
        void (*multiply)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t depth, const real *A, ptrdiff_t a_row,             \
                         ptrdiff_t a_depth, const real *B, ptrdiff_t b_depth, real *C, ptrdiff_t c_row, int mode,     \
                         const real *bias);                                                                           \
        void (*dots)(ptrdiff_t rows, ptrdiff_t n, const real *M, ptrdiff_t m_row, const real *v, real *out);          \
        real (*sum)(const real *x, ptrdiff_t n);                                                                      \
        void (*activate)(int activation, real slope, real *z, ptrdiff_t n);                                           \
        void (*multiply_by_derivative)(int activation, real slope, const real *a, real *delta, ptrdiff_t n);          \
        void (*exp_array)(real *z, ptrdiff_t n);                                                                      \
        void (*log_array)(real *z, ptrdiff_t n);                                                                      \
        void (*sigmoid_cross_entropy_array)(const real *z, const real *y, real *out, ptrdiff_t n);                    \
        void (*update)(const fastnn_step *step, const real *sums, real *theta, real *m1, real *m2, ptrdiff_t n);      \
        void (*transpose)(ptrdiff_t rows, ptrdiff_t cols, const real *A, ptrdiff_t lda, real *B, ptrdiff_t ldb);      \
    } name

FASTNN_DECLARE_PRIMITIVES(fastnn_primitives_f32_t, float);
FASTNN_DECLARE_PRIMITIVES(fastnn_primitives_f64_t, double);

/* The highest level that this CPU runs, and the table of a level (NULL where it was not compiled). */
int fastnn_best_level(void);
const fastnn_primitives_f32_t *fastnn_primitives_f32(int level);
const fastnn_primitives_f64_t *fastnn_primitives_f64(int level);

#endif
