/* The vector of one level and type, and the few operations that C's operators do not give.

   With GCC and clang a vec is a vector of their C extension: + - * / < and the bit operators work lane by lane. Without
   vector extensions a vec is one number and the same code is plain C.

   A name such as vec stands for the one of the current LEVEL and REAL (macros expand where they are used). */
#define vec NAME(vec)
#define bits NAME(bits)
#define unaligned NAME(unaligned)
#define broadcast NAME(broadcast)
#define load NAME(load)
#define store NAME(store)
#define load_part NAME(load_part)
#define mask_lanes NAME(mask_lanes)
#define mask_of NAME(mask_of)
#define store_part NAME(store_part)
#define as_bits NAME(as_bits)
#define as_real NAME(as_real)
#define integers NAME(integers)
#define shifted_right NAME(shifted_right)
#define to_real NAME(to_real)
#define fused NAME(fused)
#define minimum NAME(minimum)
#define maximum NAME(maximum)
#define square_root NAME(square_root)
#define first_lane NAME(first_lane)
#define ask_for NAME(ask_for)
#define first_lanes NAME(first_lanes)
#define lane_numbers NAME(lane_numbers)

#undef FUSED
#undef INTEGER
#undef SIGNED
#undef WHOLE
#undef INTRINSIC
#undef CONSTANT
#undef LANES
#undef TILE_ROWS
#undef TILE_VECTORS

#if BITS == 32
#define INTEGER uint32_t
#define SIGNED int32_t
#define WHOLE 12582912.0f /* 1.5 2^23: adding it leaves a whole number in the low bits */
#else
#define INTEGER uint64_t
#define SIGNED int64_t
#define WHOLE 6755399441055744.0
#endif
#define CONSTANT(x) broadcast((REAL)(x))

#ifndef INLINE
#if defined(__GNUC__) || defined(__clang__)
#define INLINE static inline __attribute__((always_inline, unused))
#define NOINLINE __attribute__((noinline))
#define ALIGNED __attribute__((aligned(64)))
#elif defined(_MSC_VER)
#define INLINE static __forceinline
#define NOINLINE
#else
#define INLINE static inline
#define NOINLINE
#endif
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif

/* The compiler forgets what it knows of p, and keeps it in a register of its own. */
#if defined(__GNUC__) || defined(__clang__)
#define HIDE(p) __asm__("" : "+r"(p))
#else
#define HIDE(p)
#endif

/* The share of part i when a total is split into nearly equal parts. A division costs as much as a narrow product. */
#define SHARE(total, parts, i) ((parts) == 1 ? (total) : (total) / (parts) + ((i) < (total) % (parts)))
#endif

#if VECTOR_BYTES > 0
#define LANES (VECTOR_BYTES / (int)sizeof(REAL))
typedef REAL vec __attribute__((vector_size(VECTOR_BYTES)));
typedef INTEGER bits __attribute__((vector_size(VECTOR_BYTES)));
typedef SIGNED integers __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

INLINE bits as_bits(vec x) { return (bits)x; }
INLINE vec as_real(bits x) { return (vec)x; }
INLINE vec load(const REAL *p) { return *(const unaligned *)p; }
INLINE void store(REAL *p, vec x) { *(unaligned *)p = x; }
INLINE REAL first_lane(vec x) { return x[0]; }
INLINE void ask_for(const REAL *p) { __builtin_prefetch(p); }
#else
#define LANES 1
typedef REAL vec;
typedef INTEGER bits;
typedef SIGNED integers;

INLINE bits as_bits(vec x) { bits y; memcpy(&y, &x, sizeof y); return y; }
INLINE vec as_real(bits x) { vec y; memcpy(&y, &x, sizeof y); return y; }
INLINE vec load(const REAL *p) { return *p; }
INLINE void store(REAL *p, vec x) { *p = x; }
INLINE REAL first_lane(vec x) { return x; }
INLINE void ask_for(const REAL *p) { (void)p; }
#endif

/* SELECT(x < y, a, b): a where the comparison holds, b elsewhere. Both a and b are computed. */
#undef SELECT
#if VECTOR_BYTES > 0
#define SELECT(condition, a, b) \
    as_real((as_bits(a) & (bits)(condition)) | (as_bits(b) & ~(bits)(condition)))
#else
#define SELECT(condition, a, b) ((condition) ? (a) : (b))
#endif

/* minimum(a, b) and maximum(a, b) are b where one of them is NaN (on NEON: NaN): write the bound first.
   fused(a, b, c) = a b + c, rounded once where the level has FMA, which FUSED says. */
#if VECTOR_BYTES > 0 && defined(FASTNN_X86)

#if VECTOR_BYTES == 64 && BITS == 32
#define INTRINSIC(operation) _mm512_##operation##_ps
#elif VECTOR_BYTES == 64
#define INTRINSIC(operation) _mm512_##operation##_pd
#elif VECTOR_BYTES == 32 && BITS == 32
#define INTRINSIC(operation) _mm256_##operation##_ps
#elif VECTOR_BYTES == 32
#define INTRINSIC(operation) _mm256_##operation##_pd
#elif BITS == 32
#define INTRINSIC(operation) _mm_##operation##_ps
#else
#define INTRINSIC(operation) _mm_##operation##_pd
#endif

INLINE vec broadcast(REAL x) { return INTRINSIC(set1)(x); }
INLINE vec minimum(vec a, vec b) { return INTRINSIC(min)(a, b); }
INLINE vec maximum(vec a, vec b) { return INTRINSIC(max)(a, b); }
INLINE vec square_root(vec x) { return INTRINSIC(sqrt)(x); }
#if VECTOR_BYTES > 16
#define FUSED
INLINE vec fused(vec a, vec b, vec c) { return INTRINSIC(fmadd)(a, b, c); }
#else
INLINE vec fused(vec a, vec b, vec c) { return a * b + c; }
#endif

#elif VECTOR_BYTES > 0 && defined(FASTNN_NEON)

#if BITS == 32
#define INTRINSIC(operation) operation##_f32
#else
#define INTRINSIC(operation) operation##_f64
#endif

#define FUSED
INLINE vec broadcast(REAL x) { return (vec)INTRINSIC(vdupq_n)(x); }
INLINE vec minimum(vec a, vec b) { return (vec)INTRINSIC(vminq)(a, b); }
INLINE vec maximum(vec a, vec b) { return (vec)INTRINSIC(vmaxq)(a, b); }
INLINE vec square_root(vec x) { return (vec)INTRINSIC(vsqrtq)(x); }
INLINE vec fused(vec a, vec b, vec c) { return (vec)INTRINSIC(vfmaq)(c, a, b); }

#else

INLINE vec broadcast(REAL x) { return x; }
INLINE vec minimum(vec a, vec b) { return a < b ? a : b; }
INLINE vec maximum(vec a, vec b) { return a > b ? a : b; }
INLINE vec square_root(vec x) { return (REAL)sqrt(x); }
INLINE vec fused(vec a, vec b, vec c) { return a * b + c; }

#endif

/* The bits as signed integers: shifted, with the sign's copies coming in, and their values, of fewer bits than a real's. */
INLINE bits shifted_right(bits x, const int n) { return (bits)((integers)x >> n); }
INLINE vec to_real(bits x) { return as_real(x + as_bits(broadcast(WHOLE))) - broadcast(WHOLE); }

/* x with zeros after its first n lanes. */
static const REAL lane_numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
INLINE vec first_lanes(vec x, ptrdiff_t n) { return SELECT(load(lane_numbers) < broadcast((REAL)n), x, broadcast(0)); }

/* The first n < LANES numbers at p, then zeros; and back. Through memory the lanes would have to wait for each other. */
#if VECTOR_BYTES == 64
INLINE vec load_part(const REAL *p, ptrdiff_t n) { return INTRINSIC(maskz_loadu)((1u << n) - 1, p); }
INLINE void store_part(REAL *p, vec x, ptrdiff_t n) { INTRINSIC(mask_storeu)(p, (1u << n) - 1, x); }
#elif VECTOR_BYTES == 32
static const INTEGER mask_lanes[2 * LANES] = {[0 ... LANES - 1] = (INTEGER)-1};
INLINE __m256i mask_of(ptrdiff_t n) { return _mm256_loadu_si256((const __m256i *)(mask_lanes + LANES - n)); }
INLINE vec load_part(const REAL *p, ptrdiff_t n) { return INTRINSIC(maskload)(p, mask_of(n)); }
INLINE void store_part(REAL *p, vec x, ptrdiff_t n) { INTRINSIC(maskstore)(p, mask_of(n), x); }
#else
INLINE vec load_part(const REAL *p, ptrdiff_t n)
{
    REAL lanes[LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = p[i];
    return load(lanes);
}

INLINE void store_part(REAL *p, vec x, ptrdiff_t n)
{
    REAL lanes[LANES];
    store(lanes, x);
    for (ptrdiff_t i = 0; i < n; i++) p[i] = lanes[i];
}
#endif

/* The register tile of multiply, TILE_ROWS x TILE_VECTORS accumulators: 24 of 32 registers, 12 of 16. */
#define TILE_ROWS 6
#if VECTOR_BYTES == 64 || defined(FASTNN_NEON)
#define TILE_VECTORS 4
#else
#define TILE_VECTORS 2
#endif
