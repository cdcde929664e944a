/* The matrix product C = A B in register tiles.

   A tile of C (R rows x N vectors) stays in registers while k runs over the depth: each step loads N vectors of a row of
   B and multiplies them by R broadcast numbers of A. A is reached through two strides, so that the same code computes
   A W, A^T delta and delta W^T. Every element is one chain of multiply-adds over k, in order: the result does not
   depend on the tile that computes it. */
#define tile NAME(tile)
#define strip NAME(strip)
#define multiply NAME(multiply)

#if VECTOR_BYTES > 0

INLINE void tile(const int R, const int N, ptrdiff_t depth, const REAL *A, ptrdiff_t a_row, ptrdiff_t a_depth,
                 const REAL *B, ptrdiff_t b_depth, REAL *C, ptrdiff_t c_row, int mode, const REAL *bias)
{
    vec sums[TILE_ROWS][TILE_VECTORS];
    UNROLL for (int j = 0; j < N; j++) {
        vec start = mode == FASTNN_BIAS ? load(bias + j * LANES) : broadcast(0);
        UNROLL for (int i = 0; i < R; i++) sums[i][j] = start;
    }
    for (ptrdiff_t k = 0; k < depth; k++) {
        vec b[TILE_VECTORS];
        UNROLL for (int j = 0; j < N; j++) b[j] = load(B + j * LANES);
        UNROLL for (int i = 0; i < R; i++) {
            vec a = broadcast(A[i * a_row]);
            UNROLL for (int j = 0; j < N; j++) sums[i][j] = fused(a, b[j], sums[i][j]);
        }
        A += a_depth;
        B += b_depth;
    }
    UNROLL for (int i = 0; i < R; i++) {
        UNROLL for (int j = 0; j < N; j++) {
            REAL *c = C + i * c_row + j * LANES;
            store(c, mode == FASTNN_ADD ? load(c) + sums[i][j] : sums[i][j]);
        }
    }
}

/* N vectors of columns, all rows. */
#undef TILE
#define TILE(R) tile(R, N, depth, A + i * a_row, a_row, a_depth, B, b_depth, C + i * c_row, c_row, mode, bias)
INLINE void strip(const int N, ptrdiff_t rows, ptrdiff_t depth, const REAL *A, ptrdiff_t a_row, ptrdiff_t a_depth,
                  const REAL *B, ptrdiff_t b_depth, REAL *C, ptrdiff_t c_row, int mode, const REAL *bias)
{
    ptrdiff_t i = 0;
    for (; i + TILE_ROWS <= rows; i += TILE_ROWS) TILE(TILE_ROWS);
    switch (rows - i) {
    case 5: TILE(5); break;
    case 4: TILE(4); break;
    case 3: TILE(3); break;
    case 2: TILE(2); break;
    case 1: TILE(1); break;
    default: break;
    }
}

#undef STRIP
#define STRIP(N) strip(N, rows, depth, A, a_row, a_depth, B + j, b_depth, C + j, c_row, mode, bias ? bias + j : bias)
static void multiply(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t depth, const REAL *A, ptrdiff_t a_row,
                     ptrdiff_t a_depth, const REAL *B, ptrdiff_t b_depth, REAL *C, ptrdiff_t c_row, int mode,
                     const REAL *bias)
{
    ptrdiff_t j = 0;
    for (; j + TILE_VECTORS * LANES <= cols; j += TILE_VECTORS * LANES) STRIP(TILE_VECTORS);
    switch ((cols - j) / LANES) {
#if TILE_VECTORS > 2
    case 3: STRIP(3); break;
    case 2: STRIP(2); break;
#endif
    case 1: STRIP(1); break;
    default: break;
    }
}

#else

/* Plain loops: rows of up to COLUMNS sums, an inner loop that any compiler vectorises. */
static void multiply(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t depth, const REAL *A, ptrdiff_t a_row,
                     ptrdiff_t a_depth, const REAL *B, ptrdiff_t b_depth, REAL *C, ptrdiff_t c_row, int mode,
                     const REAL *bias)
{
    enum { COLUMNS = 64 };
    for (ptrdiff_t j = 0; j < cols; j += COLUMNS) {
        ptrdiff_t width = cols - j < COLUMNS ? cols - j : COLUMNS;
        for (ptrdiff_t i = 0; i < rows; i++) {
            REAL sums[COLUMNS];
            for (ptrdiff_t l = 0; l < width; l++) sums[l] = mode == FASTNN_BIAS ? bias[j + l] : 0;
            for (ptrdiff_t k = 0; k < depth; k++) {
                const REAL a = A[i * a_row + k * a_depth], *b = B + k * b_depth + j;
                for (ptrdiff_t l = 0; l < width; l++) sums[l] += a * b[l];
            }
            REAL *c = C + i * c_row + j;
            for (ptrdiff_t l = 0; l < width; l++) c[l] = mode == FASTNN_ADD ? c[l] + sums[l] : sums[l];
        }
    }
}

#endif
