/* All primitives of one level, for float and double. Included by primitives.c once a level, with LEVEL, LEVEL_NAME and
   VECTOR_BYTES (0: plain loops) defined. */
#define REAL float
#define BITS 32
#define TABLE fastnn_primitives_f32_t
#include "templates.h"
#undef REAL
#undef BITS
#undef TABLE

#define REAL double
#define BITS 64
#define TABLE fastnn_primitives_f64_t
#include "templates.h"
#undef REAL
#undef BITS
#undef TABLE

#undef LEVEL
#undef LEVEL_NAME
#undef VECTOR_BYTES
