/* A matrix and one vector, what a single sample needs of transposed weights: dots with its rows, and their sum; and the
   inner products of the rows of one matrix. */
#define sum_lanes NAME(sum_lanes)
#define sum_lanes_of_eight NAME(sum_lanes_of_eight)
#define dots_of NAME(dots_of)
#define dots NAME(dots)
#define gram_tile NAME(gram_tile)
#define gram_rows NAME(gram_rows)
#define add_rows_of NAME(add_rows_of)
#define add_rows NAME(add_rows)
#define add_rows_and_ask NAME(add_rows_and_ask)
#define total_of NAME(total_of)

/* The sum of the lanes, added as a tree. */
INLINE REAL sum_lanes(vec x)
{
#if VECTOR_BYTES == 64
    return INTRINSIC(reduce_add)(x);
#else
    REAL lanes[LANES];
    store(lanes, x);
    UNROLL for (int half = LANES / 2; half > 0; half /= 2) {
        UNROLL for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    }
    return lanes[0];
#endif
}

/* The sums of the lanes of eight vectors, each added as sum_lanes does: two vectors are halved and added together, then
   four, then eight, with half the shuffles of one after the other (96 rows of one vector: 137 -> 63 ns). */
#if VECTOR_BYTES == 64 && BITS == 32
INLINE void sum_lanes_of_eight(const vec *x, REAL *out)
{
#define ADDED(a, b, shuffle, low, high) (shuffle(a, b, low) + shuffle(a, b, high))
    vec eighths[4], quarters[2];
    UNROLL for (int i = 0; i < 4; i++) eighths[i] = ADDED(x[i], x[i + 4], _mm512_shuffle_f32x4, 0x44, 0xee);
    UNROLL for (int i = 0; i < 2; i++)
        quarters[i] = ADDED(eighths[i], eighths[i + 2], _mm512_shuffle_f32x4, 0x88, 0xdd);
    vec halves = ADDED(quarters[0], quarters[1], _mm512_shuffle_ps, 0x44, 0xee);
    vec sums = ADDED(halves, halves, _mm512_shuffle_ps, 0x88, 0xdd);
#undef ADDED
    /* Each 16 bytes of the sums begin with those of two vectors: 0 and 1, 4 and 5, 2 and 3, 6 and 7. */
    const __m512i in_order = _mm512_setr_epi32(0, 1, 8, 9, 4, 5, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0);
    store_part(out, INTRINSIC(permutexvar)(in_order, sums), 8);
}
#endif

INLINE void dots_of(const int R, ptrdiff_t n, const REAL *M, ptrdiff_t m_row, const REAL *v, REAL *out)
{
    vec sums[8];
    UNROLL for (int r = 0; r < R; r++) sums[r] = CONSTANT(0);
    for (ptrdiff_t j = 0; j < n; j += LANES) {
        vec factor = load(v + j);
        UNROLL for (int r = 0; r < R; r++) sums[r] = fused(load(M + r * m_row + j), factor, sums[r]);
    }
#if VECTOR_BYTES == 64 && BITS == 32
    if (R == 8) {
        sum_lanes_of_eight(sums, out);
        return;
    }
#endif
    UNROLL for (int r = 0; r < R; r++) out[r] = sum_lanes(sums[r]);
}

/* Eight rows at a time: as many chains of multiply-adds hide their latency. */
static void dots(ptrdiff_t rows, ptrdiff_t n, const REAL *M, ptrdiff_t m_row, const REAL *v, REAL *out)
{
    ptrdiff_t r = 0;
    for (; rows - r >= 8; r += 8) dots_of(8, n, M + r * m_row, m_row, v, out + r);
    for (; rows - r >= 4; r += 4) dots_of(4, n, M + r * m_row, m_row, v, out + r);
    for (; rows - r >= 2; r += 2) dots_of(2, n, M + r * m_row, m_row, v, out + r);
    for (; rows > r; r++) dots_of(1, n, M + r * m_row, m_row, v, out + r);
}

/* R rows of X by four others, of which y is the first: each load serves R or four multiply-adds, where dots needs one for
   each (the Gram matrix of 32 rows of 784: 0.56 -> 0.25 us a row). */
INLINE void gram_tile(const int R, ptrdiff_t n, const REAL *x, const REAL *y, ptrdiff_t row, REAL *G, ptrdiff_t g_row)
{
    vec sums[4 * TILE_VECTORS];
    UNROLL for (int i = 0; i < 4 * R; i++) sums[i] = CONSTANT(0);
    for (ptrdiff_t j = 0; j < n; j += LANES) {
        vec a[TILE_VECTORS];
        UNROLL for (int r = 0; r < R; r++) a[r] = load(x + r * row + j);
        UNROLL for (int t = 0; t < 4; t++) {
            vec b = load(y + t * row + j);
            UNROLL for (int r = 0; r < R; r++) sums[t * R + r] = fused(a[r], b, sums[t * R + r]);
        }
    }
    REAL totals[4 * TILE_VECTORS];
#if VECTOR_BYTES == 64 && BITS == 32
    sum_lanes_of_eight(sums, totals);
    sum_lanes_of_eight(sums + 8, totals + 8);
#else
    UNROLL for (int i = 0; i < 4 * R; i++) totals[i] = sum_lanes(sums[i]);
#endif
    UNROLL for (int t = 0; t < 4; t++) {
        UNROLL for (int r = 0; r < R; r++) G[t * g_row + r] = totals[t * R + r];
    }
}

static void gram_rows(ptrdiff_t first, ptrdiff_t n, const REAL *X, ptrdiff_t x_row, REAL *G, ptrdiff_t g_row)
{
    for (ptrdiff_t u = 0; u < first + 4; u += TILE_VECTORS)
        gram_tile(TILE_VECTORS, n, X + u * x_row, X + first * x_row, x_row, G + first * g_row + u, g_row);
}

INLINE void add_rows_of(const int R, const int ask, ptrdiff_t n, const REAL *M, ptrdiff_t m_row, const REAL *v,
                        REAL *out)
{
    vec factors[8];
    UNROLL for (int r = 0; r < R; r++) factors[r] = broadcast(v[r]);
    for (ptrdiff_t j = 0; j < n; j += LANES) {
        vec total = load(out + j);
        UNROLL for (int r = 0; r < R; r++) {
            total = fused(load(M + r * m_row + j), factors[r], total);
            if (ask && r < R / 2) ask_for(M + (R + r) * m_row + j);
        }
        store(out + j, total);
    }
}

/* The last rows come first: they are what dots has left in a cache that does not hold them all. */
static void add_rows(ptrdiff_t rows, ptrdiff_t n, const REAL *M, ptrdiff_t m_row, const REAL *v, REAL *out)
{
    for (; rows >= 8; rows -= 8) add_rows_of(8, 0, n, M + (rows - 8) * m_row, m_row, v + rows - 8, out);
    for (; rows >= 4; rows -= 4) add_rows_of(4, 0, n, M + (rows - 4) * m_row, m_row, v + rows - 4, out);
    for (; rows >= 2; rows -= 2) add_rows_of(2, 0, n, M + (rows - 2) * m_row, m_row, v + rows - 2, out);
    for (; rows > 0; rows--) add_rows_of(1, 0, n, M + (rows - 1) * m_row, m_row, v + rows - 1, out);
}

/* The same for at most eight rows in a first-level cache, while half as many of the next come there from the second: all
   of them would crowd out what is in use (a turn of 384 to 640 units takes up to 1.13 times as long). */
static void add_rows_and_ask(ptrdiff_t rows, ptrdiff_t n, const REAL *M, ptrdiff_t m_row, const REAL *v, REAL *out)
{
    if (rows == 8)
        add_rows_of(8, 1, n, M, m_row, v, out);
    else if (rows == 4)
        add_rows_of(4, 1, n, M, m_row, v, out);
    else
        add_rows(rows, n, M, m_row, v, out);
}

static REAL total_of(const REAL *x, ptrdiff_t n)
{
    vec sums[4];
    ptrdiff_t i = 0;
    UNROLL for (int j = 0; j < 4; j++) sums[j] = CONSTANT(0);
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        UNROLL for (int j = 0; j < 4; j++) sums[j] += load(x + i + j * LANES);
    }
    for (; i + LANES <= n; i += LANES) sums[0] += load(x + i);
    if (i < n) sums[1] += load_part(x + i, n - i);
    return sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
}
