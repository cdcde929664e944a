/* The thread's floating-point control: whether numbers below the smallest normal one count as zero.
   numba/denormals.py says why they should. */
#ifndef FASTNN_DENORMALS_H
#define FASTNN_DENORMALS_H

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>

/* Results that are denormal become zero, operands count as zero. */
enum { FASTNN_FLUSH = 0x8040 };

static inline unsigned fastnn_float_control(void) { return _mm_getcsr(); }
static inline void fastnn_set_float_control(unsigned control) { _mm_setcsr(control); }
#else
enum { FASTNN_FLUSH = 0 };

static inline unsigned fastnn_float_control(void) { return 0; }
static inline void fastnn_set_float_control(unsigned control) { (void)control; }
#endif

#endif
