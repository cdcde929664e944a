/* Rows of X as they are stored: their numbers in the network's type, each rounded once, as C converts them, and scaled.
   The compiler makes vectors of these loops. */
#define half_value NAME(half_value)
#define half_values NAME(half_values)
#define convert NAME(convert)
#define convert_and_scale NAME(convert_and_scale)

/* A float16 by its bits, exactly. Its denormal numbers are normal ones here. */
INLINE float half_value(uint16_t half)
{
    const int32_t size = half & 0x7fff, is_small = -(size < 0x0400), is_special = -(size >= 0x7c00);
    const int32_t shifted = (size << 13) + (112 << 23) + (is_special & (112 << 23)); /* biases are 15 and 127 */
    const float small = (float)size * 5.9604644775390625e-8f; /* 2^-24 */
    int32_t found;
    memcpy(&found, &small, sizeof found);
    found = (found & is_small) | (shifted & ~is_small) | (int32_t)((uint32_t)(half & 0x8000) << 16);
    float value;
    memcpy(&value, &found, sizeof value);
    return value;
}

/* Eight of them, by an instruction where the level has it. */
INLINE void half_values(const uint16_t *halves, float *values)
{
#if VECTOR_BYTES > 16
    _mm256_storeu_ps(values, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)halves)));
#else
    for (int i = 0; i < 8; i++) values[i] = half_value(halves[i]);
#endif
}

/* LOOP(x, first, count) for the numbers of a format, of which x[0] is the first-th; float16 as float. */
#define FORMATS(LOOP) \
    switch (format) { \
    case FASTNN_UINT8: LOOP((const uint8_t *)source, 0, n) break; \
    case FASTNN_INT8: LOOP((const int8_t *)source, 0, n) break; \
    case FASTNN_UINT16: LOOP((const uint16_t *)source, 0, n) break; \
    case FASTNN_INT16: LOOP((const int16_t *)source, 0, n) break; \
    case FASTNN_UINT32: LOOP((const uint32_t *)source, 0, n) break; \
    case FASTNN_INT32: LOOP((const int32_t *)source, 0, n) break; \
    case FASTNN_UINT64: LOOP((const uint64_t *)source, 0, n) break; \
    case FASTNN_INT64: LOOP((const int64_t *)source, 0, n) break; \
    case FASTNN_FLOAT32: LOOP((const float *)source, 0, n) break; \
    case FASTNN_FLOAT64: LOOP((const double *)source, 0, n) break; \
    case FASTNN_FLOAT16: { \
        const uint16_t *halves = (const uint16_t *)source; \
        float values[8]; \
        ptrdiff_t done = 0; \
        for (; done + 8 <= n; done += 8) { \
            half_values(halves + done, values); \
            LOOP(values, done, 8) \
        } \
        for (; done < n; done++) { \
            values[0] = half_value(halves[done]); \
            LOOP(values, done, 1) \
        } \
        break; \
    } \
    default: break; \
    }

#define CONVERTED(x, first, count) \
    for (ptrdiff_t i = 0; i < (count); i++) to[(first) + i] = (REAL)(x)[i];
#define SCALED(x, first, count) \
    for (ptrdiff_t i = 0; i < (count); i++) to[(first) + i] = ((REAL)(x)[i] - mean[(first) + i]) * inverse[(first) + i];

static void convert(ptrdiff_t format, ptrdiff_t source, REAL *target, ptrdiff_t n)
{
    REAL *__restrict to = target;
    FORMATS(CONVERTED)
}

static void convert_and_scale(ptrdiff_t format, ptrdiff_t source, const REAL *mean, const REAL *inverse, REAL *target,
                              ptrdiff_t n)
{
    REAL *__restrict to = target;
    FORMATS(SCALED)
}

#undef FORMATS
#undef CONVERTED
#undef SCALED
