/* Compiles the primitives once for each SIMD level, and finds the level that the CPU runs.

   Each level is the same source (level.h) under another target; the functions of a level are static and only its
   table refers to them, so no instruction of a level can be reached on a CPU that lacks it. */
#include "primitives.h"
#include "threads.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* clang-cl defines __clang__ alone; it has the same vectors as GCC and clang. */
#if (defined(__GNUC__) || defined(__clang__)) && !defined(FASTNN_NO_VECTORS)
#if defined(__x86_64__)
#define FASTNN_X86
#include <immintrin.h>
#if defined(_MSC_VER) /* there it leaves out what the compiler's flags do not ask for */
#include <smmintrin.h>
#include <avxintrin.h>
#include <avx2intrin.h>
#include <fmaintrin.h>
#include <f16cintrin.h>
#include <avx512fintrin.h>
#include <avx512bwintrin.h>
#include <avx512dqintrin.h>
#include <avx512vlintrin.h>
#endif

#include "x86_64_level.h"
#elif defined(__aarch64__)
#define FASTNN_NEON
#include <arm_neon.h>
#endif
#endif

#define JOIN_NAMES(name, level, real) name##_##level##_##real
#define JOIN(name, level, real) JOIN_NAMES(name, level, real)
#define NAME(name) JOIN(name, LEVEL, REAL)

#if defined(FASTNN_X86)

#define LEVEL baseline
#define LEVEL_NAME "baseline"
#define VECTOR_BYTES 16
#include "level.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi,bmi2")
#endif
#define LEVEL v3
#define LEVEL_NAME "avx2"
#define VECTOR_BYTES 32
#include "level.h"
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,bmi,bmi2,avx512f,avx512dq,avx512bw,avx512vl"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi,bmi2,avx512f,avx512dq,avx512bw,avx512vl")
#endif
#define LEVEL v4
#define LEVEL_NAME "avx512"
#define VECTOR_BYTES 64
#include "level.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

int fastnn_best_level(void)
{
    return x86_64_level();
}

#define LEVELS(real) {&table_baseline_##real, &table_v3_##real, &table_v4_##real}

#else

#define LEVEL baseline
#if defined(FASTNN_NEON)
#define LEVEL_NAME "neon"
#define VECTOR_BYTES 16
#else
#define LEVEL_NAME "baseline"
#define VECTOR_BYTES 0
#endif
#include "level.h"

int fastnn_best_level(void)
{
    return 0;
}

#define LEVELS(real) {&table_baseline_##real}

#endif

static const fastnn_primitives_f32_t *const levels_f32[] = LEVELS(float);
static const fastnn_primitives_f64_t *const levels_f64[] = LEVELS(double);
#define COUNT ((int)(sizeof levels_f32 / sizeof levels_f32[0]))

const fastnn_primitives_f32_t *fastnn_primitives_f32(int level)
{
    return level >= 0 && level < COUNT ? levels_f32[level] : NULL;
}

const fastnn_primitives_f64_t *fastnn_primitives_f64(int level)
{
    return level >= 0 && level < COUNT ? levels_f64[level] : NULL;
}
