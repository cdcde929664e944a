/* The primitives that the kernels are built on, as tables of function pointers: one table for each SIMD level and type.

   A level is a set of instructions: 0 is the baseline of the architecture (SSE2 on x86-64, NEON on arm64, plain loops
   where the compiler has no vector extensions), 1 is x86-64-v3 (AVX2 and FMA), 2 is x86-64-v4 (AVX-512). All are
   compiled into one object, without build flags; fastnn_best_level() asks the CPU which of them it can run. */
#ifndef FASTNN_PRIMITIVES_H
#define FASTNN_PRIMITIVES_H

#include "codes.h"

#include <stddef.h>
#include <stdint.h>

/* What multiply does with C: C = A B, C += A B, C = bias + A B; the last for an A whose rows lie together and come from
   memory, not a cache: while a tile computes with some rows it asks for the next ones. */
enum { FASTNN_STORE, FASTNN_ADD, FASTNN_BIAS, FASTNN_BIAS_FROM_MEMORY };

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

/* A layer's units and its factor, as a sample's pass needs them. */
typedef struct fastnn_layer {
    ptrdiff_t n, width; /* units, without and with those that fill the last vector */
    int activation;
    double slope;       /* of leaky_relu for z < 0 */
    double scale;       /* the weights are scale times those that are stored */
} fastnn_layer;

/* The way from one sample to the next in some units of the first layer: whether there is a last sample and a next one;
   the factor of the last one's deltas, and how much of them z takes. */
typedef struct fastnn_turn {
    fastnn_layer units; /* with the factor of the next sample's weights */
    int last, next;
    double delta_scale, overlap;
} fastnn_turn;

/* Some samples of a narrow network's block: the hidden layer, the output's function, the samples' rates and penalty;
   the factor of the weights, and the last step's rate relative to it, before these samples and then after them. */
typedef struct fastnn_walk {
    fastnn_layer units;
    int activation;
    ptrdiff_t n_in, count, rate_stride;
    const double *rates;
    double l2, scale, c;
} fastnn_walk;

/* The table, for real = float and double.

   lanes: real numbers in a vector; every column count that multiply sees is a multiple of it.
   tile_rows, tile_vectors: the largest register tile of multiply.
   multiply: C[i, j] = init + sum_k A[i * a_row + k * a_depth] * B[k * b_depth + j], i < rows, j < cols. Of several rows
       a_row or a_depth is 1. Each element is one chain of (fused) multiply-adds over k in order, whatever tile computes
       it; where a_row is 0, which stands for one row that is a sum over samples, it may be several.
   dots: out[r] = sum_j M[r * m_row + j] * v[j], r < rows, j < n, a multiple of the lanes.
   gram_rows: G[t * g_row + u] = sum_j X[t * x_row + j] * X[u * x_row + j], j < n, a multiple of the lanes, for the four
       rows t from first on, a multiple of four, and all u up to the last of them.
   add_rows: out[j] += sum_r v[r] * M[r * m_row + j], r < rows, j < n, a multiple of the lanes; the last rows come first.
   add_rows_and_ask: the same for up to eight rows of M, while half as many of the next are asked for.
   sum: x[0] + ... + x[n - 1], added in an order that depends on n alone.
   activate: z = g(z) in place. multiply_by_derivative: delta *= g', taken from the activation's output a.
   sigmoid_cross_entropy_array: out = max(z, 0) - z y + log(1 + exp(-|z|)), the losses of logits z and targets y.
   softmax: of as many rows as there are lanes, a lane for each: z = exp(z) / sum_j exp(z_j), the k-th z of all of them in
       the k-th of the K vectors at T.
   softmax_deltas: z = softmax_k - [k is the label] at T, and labels = log sum_j exp(z_j) - z_label, the losses.
   update: one optimizer step of n parameters from their gradient's sums; m1 and m2 are the rows of the state that the
       rule has, else NULL.
   transpose: B[j, i] = A[i, j], i < rows, j < cols.

   Of a sample's step, with W the stored weights, (n_in, width), or V the transposed ones, (n_out, width):
   finish_outputs: z = g(scale z + bias) in place, zeros in the padding.
   update_and_project: W += factor before^T delta, the last sample's step; z = g(scale x W + bias) for this one.
   step_one_output: a layer of one output, whose g is activation: z = scale a . V + bias, which is returned;
       delta = g(z) - target; deltas = delta scale V * g' of the layer below; V -= c delta a, bias -= rate delta.
   multiply_and_update: deltas = scale delta V * g' of the layer below; V += factor delta^T a.
   turn: deltas = delta_scale (sums + corrections) * g' of the last outputs, before;
       outputs = g(scale (z + overlap deltas) + bias), zeros in the padding.
   walk_narrow: update_and_project and step_one_output for some samples, the rows order[t] of X, or t; before is the
       last sample's row, deltas its deltas in the hidden layer.
   add_multiple: y += factor x, of whole vectors. */
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
        void (*gram_rows)(ptrdiff_t first, ptrdiff_t n, const real *X, ptrdiff_t x_row, real *G, ptrdiff_t g_row);    \
        void (*add_rows)(ptrdiff_t rows, ptrdiff_t n, const real *M, ptrdiff_t m_row, const real *v, real *out);      \
        void (*add_rows_and_ask)(ptrdiff_t rows, ptrdiff_t n, const real *M, ptrdiff_t m_row, const real *v,          \
                                 real *out);                                                                          \
        real (*sum)(const real *x, ptrdiff_t n);                                                                      \
        void (*activate)(int activation, real slope, real *z, ptrdiff_t n);                                           \
        void (*multiply_by_derivative)(int activation, real slope, const real *a, real *delta, ptrdiff_t n);          \
        void (*exp_array)(real *z, ptrdiff_t n);                                                                      \
        void (*log_array)(real *z, ptrdiff_t n);                                                                      \
        void (*sigmoid_cross_entropy_array)(const real *z, const real *y, real *out, ptrdiff_t n);                    \
        void (*softmax)(ptrdiff_t K, real *T);                                                                        \
        void (*softmax_deltas)(ptrdiff_t K, real *T, real *labels);                                                   \
        void (*update)(const fastnn_step *step, const real *sums, real *theta, real *m1, real *m2, ptrdiff_t n);      \
        void (*transpose)(ptrdiff_t rows, ptrdiff_t cols, const real *A, ptrdiff_t lda, real *B, ptrdiff_t ldb);      \
        void (*finish_outputs)(const fastnn_layer *layer, const real *bias, real *z);                                 \
        void (*update_and_project)(const fastnn_layer *layer, ptrdiff_t n_in, const real *before, const real *x,      \
                                   const real *delta, real factor, real *W, const real *bias, real *z);               \
        real (*step_one_output)(const fastnn_layer *below, int activation, real target, double rate, double c,        \
                                const real *a, real *V, real *bias, real *deltas);                                    \
        void (*multiply_and_update)(const fastnn_layer *below, ptrdiff_t n_out, const real *a, const real *delta,     \
                                    real factor, real *V, real *deltas);                                              \
        void (*turn)(const fastnn_turn *turn, const real *sums, const real *corrections, const real *before,          \
                     const real *z, const real *bias, real *deltas, real *outputs);                                   \
        void (*walk_narrow)(fastnn_walk *walk, const real *X, const int64_t *order, const real *before,               \
                            const real *targets, real *W, real *bias, real *V, real *output_bias, real *deltas,       \
                            real *logits);                                                                            \
        void (*add_multiple)(ptrdiff_t n, real factor, const real *x, real *y);                                       \
    } name

FASTNN_DECLARE_PRIMITIVES(fastnn_primitives_f32_t, float);
FASTNN_DECLARE_PRIMITIVES(fastnn_primitives_f64_t, double);

/* The highest level that this CPU runs, and the table of a level (NULL where it was not compiled). */
int fastnn_best_level(void);
const fastnn_primitives_f32_t *fastnn_primitives_f32(int level);
const fastnn_primitives_f64_t *fastnn_primitives_f64(int level);

#endif
