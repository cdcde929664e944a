/* The primitives that the kernels are built on, as tables of function pointers: one table for each SIMD level and type.

   A level is a set of instructions: 0 is the baseline of the architecture (SSE2 on x86-64, NEON on arm64, plain loops
   where the compiler has no vector extensions), 1 is x86-64-v3 (AVX2 and FMA), 2 is x86-64-v4 (AVX-512). All are
   compiled into one object, without build flags; fastnn_best_level() asks the CPU which of them it can run. */
#ifndef FASTNN_PRIMITIVES_H
#define FASTNN_PRIMITIVES_H

#include "codes.h"

#include <stddef.h>
#include <stdint.h>

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

/* The types of the tables, and the constants of the primitives, as drivers/primitives.py has them. */
#include "table.h"

/* The highest level that this CPU runs, and the table of a level (NULL where it was not compiled). */
int fastnn_best_level(void);
const fastnn_primitives_f32_t *fastnn_primitives_f32(int level);
const fastnn_primitives_f64_t *fastnn_primitives_f64(int level);

#endif
