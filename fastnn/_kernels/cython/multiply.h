/* The matrix product C = A B in register tiles.

   A tile of C (R rows x N vectors) stays in registers while k runs over the depth: each step loads N vectors of a row of
   B and multiplies them by R broadcast numbers of A. A is reached through two strides, so that the same code computes
   A W, A^T delta and delta W^T: either its rows or its columns lie together. Every element is one chain of multiply-adds
   over k, in order: the result does not depend on the tile that computes it.

   Where a_row is 0 there must be one row: a sum over samples, not a part of a taller product. It may be several
   chains. */
#define tile NAME(tile)
#define ask_for_rows NAME(ask_for_rows)
#define sum_rows NAME(sum_rows)
#define strip NAME(strip)
#define panel NAME(panel)
#define worth_packing NAME(worth_packing)
#define pack NAME(pack)
#define depth_of_block NAME(depth_of_block)
#define is_tall NAME(is_tall)
#define multiply_panels NAME(multiply_panels)
#define multiply_packed NAME(multiply_packed)
#define multiply NAME(multiply)

#if VECTOR_BYTES > 0

/* Where a block of k is not the first, a tile continues from the sums in C. */
#define CONTINUE (-1)

/* How the numbers of A lie that a tile reads. */
#define ANY 0
#define ROWS 1
#define COLUMNS 2

/* The most rows of a tile of N vectors: a narrow one needs more, as eight chains or more hide an FMA's latency. */
#undef MAX_ROWS
#define MAX_ROWS(N) ((N) <= TILE_VECTORS / 2 ? 2 * TILE_ROWS : TILE_ROWS)

/* One step of a tile, with row k of B and the numbers A_IK of the rows i. (As a function it would have GCC keep the sums
   in memory.) */
#undef STEP
#define STEP(B_K, A_IK) \
    { \
        vec b[TILE_VECTORS]; \
        UNROLL for (int j = 0; j < N; j++) b[j] = load(B_K + j * LANES); \
        UNROLL for (int i = 0; i < R; i++) { \
            vec a_ik = broadcast(A_IK); \
            UNROLL for (int j = 0; j < N; j++) sums[i][j] = fused(a_ik, b[j], sums[i][j]); \
        } \
    }

/* How a tile reaches A. With any strides a step of a tile of 6 x 2 is 27 instructions for 12 multiply-adds. Where each row
   of A lies together, and a_depth is 1, or each column, and a_row is 1, two steps go together by addresses of their own,
   and 22 are left. A core shared with other guests may issue no more than some three a cycle: in such minutes AVX2 is 1.1
   to 1.25 times faster for it, else up to 1.1 times. Tiles of AVX-512 have enough multiply-adds as they are. */
#undef PAIRED
#define PAIRED(R, N) (TILE_VECTORS == 2 && (N) == 2 && (R) > 3)

/* ahead: how many elements of A's next rows the tile goes on by at each step while it asks for them; 0: it does not. */
INLINE void tile(const int way, const int R, const int N, ptrdiff_t depth, const REAL *A, ptrdiff_t a_row,
                 ptrdiff_t a_depth, const REAL *B, ptrdiff_t b_depth, REAL *C, ptrdiff_t c_row, int mode,
                 const REAL *bias, ptrdiff_t ahead)
{
    vec sums[MAX_ROWS(1)][TILE_VECTORS];
    UNROLL for (int j = 0; j < N; j++) {
        vec start = mode == FASTNN_FROM_BIAS ? load(bias + j * LANES) : broadcast(0);
        UNROLL for (int i = 0; i < R; i++) sums[i][j] = start;
    }
    if (mode == CONTINUE) {
        UNROLL for (int i = 0; i < R; i++) {
            UNROLL for (int j = 0; j < N; j++) sums[i][j] = load(C + i * c_row + j * LANES);
        }
    }
    if (mode == FASTNN_ADD) { /* else the sums are waited for: 6 % of a tile */
        UNROLL for (int i = 0; i < R; i++) {
            UNROLL for (int j = 0; j < N; j++) ask_for(C + i * c_row + j * LANES);
        }
    }
    const int asks = R == TILE_ROWS && N == TILE_VECTORS; /* small networks have other tiles */
    const REAL *next_rows = ahead > 0 ? A + R * a_row : A;
    const ptrdiff_t pairs = depth / 2 * 2;
    const REAL *a[MAX_ROWS(1)];
    if (way == COLUMNS && PAIRED(R, N)) {
        for (const REAL *end = B + pairs * b_depth; B != end; A += 2 * a_depth, B += 2 * b_depth) {
            STEP(B, A[i])
            STEP(B + b_depth, A[a_depth + i])
        }
        if (depth % 2) STEP(B, A[i])
    } else if (way == ROWS && PAIRED(R, N)) {
        UNROLL for (int i = 0; i < R; i++) { /* the rows' ends: one index serves them all and ends the loop */
            a[i] = A + i * a_row + pairs;
            HIDE(a[i]);
        }
        for (ptrdiff_t k = -pairs; k != 0; k += 2, B += 2 * b_depth) {
            if (asks) ask_for(next_rows);
            if (asks && BITS == 64) ask_for(next_rows + ahead); /* a cache line holds two steps of float */
            if (asks) next_rows += 2 * ahead;
            STEP(B, a[i][k])
            STEP(B + b_depth, a[i][k + 1])
        }
        if (depth % 2) STEP(B, a[i][0])
    } else {
        UNROLL for (int i = 0; i < R; i += 3) { /* every third: pointer + 0, 1 and 2 strides need no arithmetic */
            a[i / 3] = A + i * a_row;
            HIDE(a[i / 3]);
        }
        for (ptrdiff_t k = 0; k < depth; k++, B += b_depth) {
            if (asks) ask_for(next_rows);
            if (asks) next_rows += ahead;
            STEP(B, a[i / 3][i % 3 * a_row])
            UNROLL for (int i = 0; i < R; i += 3) a[i / 3] += a_depth;
        }
    }
    UNROLL for (int i = 0; i < R; i++) {
        UNROLL for (int j = 0; j < N; j++) {
            REAL *c = C + i * c_row + j * LANES;
            store(c, mode == FASTNN_ADD ? load(c) + sums[i][j] : sums[i][j]);
        }
    }
}

/* Narrow tiles ask for short rows of A (in bytes) this far ahead: at 20 numbers a row, memory takes longer than the
   tile itself. Long ones the CPU follows on its own. */
#define ROWS_AHEAD 48
#define SHORT_ROW 1024

INLINE void ask_for_rows(const REAL *A, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i += 64 / (ptrdiff_t)sizeof(REAL)) ask_for(A + i);
}

/* All rows of N vectors of columns, in tiles of nearly the same height. */
#undef TILE
#define TILE(R) case R: tile(way, R, N, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias, ahead); break
INLINE void strip(const int way, const int N, ptrdiff_t rows, ptrdiff_t depth, const REAL *A, ptrdiff_t a_row,
                  ptrdiff_t a_depth, const REAL *B, ptrdiff_t b_depth, REAL *C, ptrdiff_t c_row, int mode,
                  const REAL *bias, ptrdiff_t ahead)
{
    ptrdiff_t tiles = (rows + MAX_ROWS(N) - 1) / MAX_ROWS(N);
    for (ptrdiff_t t = 0; t < tiles; t++) {
        ptrdiff_t height = SHARE(rows, tiles, t);
        if (N < TILE_VECTORS && ahead > 0 && a_row * (ptrdiff_t)sizeof(REAL) <= SHORT_ROW)
            ask_for_rows(A + ROWS_AHEAD * a_row, height * a_row);
        switch (height) {
            TILE(1); TILE(2); TILE(3); TILE(4); TILE(5); TILE(6);
        default:
            if (N > TILE_VECTORS / 2) break;
            switch (height) { TILE(7); TILE(8); TILE(9); TILE(10); TILE(11); TILE(12); }
        }
        A += height * a_row;
        C += height * c_row;
    }
}

/* All rows of up to TILE_VECTORS vectors of columns. Not inlined: the loops over k need all the registers. */
#undef STRIP
#define STRIP(N) \
    case N: \
        if (!PAIRED(TILE_ROWS, N)) \
            strip(ANY, N, rows, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias, ahead); \
        else if (a_depth == 1) \
            strip(ROWS, N, rows, depth, A, a_row, 1, B, b_depth, C, c_row, mode, bias, ahead); \
        else \
            strip(COLUMNS, N, rows, depth, A, 1, a_depth, B, b_depth, C, c_row, mode, bias, ahead); \
        break
static NOINLINE void panel(ptrdiff_t vectors, ptrdiff_t rows, ptrdiff_t depth, const REAL *A, ptrdiff_t a_row,
                           ptrdiff_t a_depth, const REAL *B, ptrdiff_t b_depth, REAL *C, ptrdiff_t c_row, int mode,
                           const REAL *bias, ptrdiff_t ahead)
{
    switch (vectors) {
        STRIP(1); STRIP(2);
#if TILE_VECTORS > 2
        STRIP(3); STRIP(4);
#endif
    }
}

/* One row of C, a vector wide, of numbers A and rows of B: eight chains, whose sums are added as a tree. One chain
   would wait for each multiply-add: 96 rows of B took 76 ns in place of 41. */
INLINE void sum_rows(ptrdiff_t depth, const REAL *A, ptrdiff_t a_depth, const REAL *B, ptrdiff_t b_depth, REAL *C,
                     int mode, const REAL *bias)
{
    vec sums[8];
    ptrdiff_t k = 0;
    sums[0] = mode == FASTNN_FROM_BIAS ? load(bias) : CONSTANT(0);
    UNROLL for (int i = 1; i < 8; i++) sums[i] = CONSTANT(0);
    for (; k + 8 <= depth; k += 8) {
        UNROLL for (int i = 0; i < 8; i++)
            sums[i] = fused(broadcast(A[(k + i) * a_depth]), load(B + (k + i) * b_depth), sums[i]);
    }
    for (; k < depth; k++) sums[0] = fused(broadcast(A[k * a_depth]), load(B + k * b_depth), sums[0]);
    UNROLL for (int half = 4; half > 0; half /= 2) {
        UNROLL for (int i = 0; i < half; i++) sums[i] += sums[i + half];
    }
    store(C, mode == FASTNN_ADD ? load(C) + sums[0] : sums[0]);
}

/* Panels of B are packed, copied together, where they are worth it: rows that are far apart share few places in the
   caches. The copies lie on the stack. */
#undef PACKED
#undef MAX_DEPTH
#define PACKED ((64 * 1024) / (int)sizeof(REAL))
#define MAX_DEPTH (PACKED / (TILE_VECTORS * LANES))

INLINE void pack(ptrdiff_t depth, ptrdiff_t width, const REAL *B, ptrdiff_t b_depth, REAL *packed)
{
    for (ptrdiff_t k = 0; k < depth; k++) {
        for (ptrdiff_t j = 0; j < width; j += LANES) store(packed + k * width + j, load(B + k * b_depth + j));
    }
}

/* Columns go panel by panel, and each tile of rows reads the panel anew. It is packed if its rows are far apart and the
   tiles are enough to pay for it (512 deep, 1024 wide, 192 rows, AVX2: 65 GFLOP/s became 101). The depth is then taken in
   blocks, and the sums so far pass through C, which keeps each chain as it was; C += A B cannot: it is packed whole. */
INLINE int worth_packing(ptrdiff_t rows, ptrdiff_t depth, ptrdiff_t b_depth, int mode)
{
    ptrdiff_t tiles = rows / TILE_ROWS, apart = b_depth / (TILE_VECTORS * LANES);
    if (mode == FASTNN_ADD) return tiles >= 32 && apart >= 8 && depth <= MAX_DEPTH;
    return tiles >= 8 && apart >= 16;
}

/* The depth of a block: of a packed panel, or of one of two vectors beside its tile's rows of A in the first-level cache
   (784 deep, 128 wide, 96 rows, AVX2: 87 GFLOP/s became 94). */
#undef NARROW_DEPTH
#define NARROW_DEPTH 512
INLINE ptrdiff_t depth_of_block(int packs, ptrdiff_t depth, int mode)
{
    if (packs) return MAX_DEPTH;
    return TILE_VECTORS == 2 && mode != FASTNN_ADD ? NARROW_DEPTH : depth;
}

/* Tall products of columns, the gradients of large layers: all of B is packed, and a block of A's columns stays in the
   first-level cache while the panels pass (784 rows, 128 wide, 96 deep, AVX2: 84 GFLOP/s became 92). */
#undef BLOCK_OF_ROWS
#define BLOCK_OF_ROWS 48
INLINE int is_tall(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t depth, ptrdiff_t a_row)
{
    return TILE_VECTORS == 2 && a_row == 1 && rows >= 8 * BLOCK_OF_ROWS && cols >= 8 * LANES && depth * cols <= PACKED;
}

/* All panels of C, from B as it lies or from copies of its panels. */
INLINE void multiply_panels(int tall, REAL *packed, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t depth, const REAL *A,
                            ptrdiff_t a_row, ptrdiff_t a_depth, const REAL *B, ptrdiff_t b_depth, REAL *C,
                            ptrdiff_t c_row, int mode, const REAL *bias, int from_memory)
{
    ptrdiff_t most = depth_of_block(packed != NULL, depth, mode), blocks = depth > most ? (depth + most - 1) / most : 1;
    ptrdiff_t vectors = cols / LANES, panels = (vectors + TILE_VECTORS - 1) / TILE_VECTORS;
    ptrdiff_t height = tall ? BLOCK_OF_ROWS : rows;
    for (ptrdiff_t i = 0; i < rows; i += height, A += height * a_row, C += height * c_row) {
        ptrdiff_t k = 0, low = rows - i < height ? rows - i : height;
        for (ptrdiff_t block = 0; block < blocks; block++) {
            ptrdiff_t length = SHARE(depth, blocks, block), j = 0;
            int begin = block > 0 && mode != FASTNN_ADD ? CONTINUE : mode;
            for (ptrdiff_t p = 0; p < panels; p++) {
                ptrdiff_t width = SHARE(vectors, panels, p) * LANES, b_row = b_depth;
                ptrdiff_t ahead = from_memory && p == 0 ? TILE_ROWS : 0;
                const REAL *b = B + k * b_depth + j;
                if (packed != NULL) {
                    REAL *copy = packed + (tall ? j * depth : 0);
                    if (i == 0) pack(length, width, b, b_depth, copy);
                    b = copy;
                    b_row = width;
                }
                panel(width / LANES, low, length, A + k * a_depth, a_row, a_depth, b, b_row, C + j, c_row, begin,
                      bias ? bias + j : NULL, ahead);
                j += width;
            }
            k += length;
        }
    }
}

static NOINLINE void multiply_packed(int tall, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t depth, const REAL *A,
                                     ptrdiff_t a_row, ptrdiff_t a_depth, const REAL *B, ptrdiff_t b_depth, REAL *C,
                                     ptrdiff_t c_row, int mode, const REAL *bias, int from_memory)
{
    ALIGNED REAL packed[PACKED];
    multiply_panels(tall, packed, rows, cols, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias, from_memory);
}

static void multiply(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t depth, const REAL *A, ptrdiff_t a_row,
                     ptrdiff_t a_depth, const REAL *B, ptrdiff_t b_depth, REAL *C, ptrdiff_t c_row, ptrdiff_t mode,
                     const REAL *bias)
{
    int from_memory = mode == FASTNN_BIAS_FROM_MEMORY;
    if (from_memory) mode = FASTNN_FROM_BIAS;
    if (a_row == 0 && cols <= 2 * LANES) {
        for (ptrdiff_t j = 0; j < cols; j += LANES)
            sum_rows(depth, A, a_depth, B + j, b_depth, C + j, mode, bias ? bias + j : NULL);
        return;
    }
    int tall = is_tall(rows, cols, depth, a_row), packs = tall || worth_packing(rows, depth, b_depth, mode);
    if (packs)
        multiply_packed(tall, rows, cols, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias, from_memory);
    else
        multiply_panels(0, NULL, rows, cols, depth, A, a_row, a_depth, B, b_depth, C, c_row, mode, bias, from_memory);
}

#else

/* Plain loops: rows of up to COLUMNS sums, an inner loop that any compiler vectorises. */
static void multiply(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t depth, const REAL *A, ptrdiff_t a_row,
                     ptrdiff_t a_depth, const REAL *B, ptrdiff_t b_depth, REAL *C, ptrdiff_t c_row, ptrdiff_t mode,
                     const REAL *bias)
{
    enum { COLUMNS = 64 };
    for (ptrdiff_t j = 0; j < cols; j += COLUMNS) {
        ptrdiff_t width = cols - j < COLUMNS ? cols - j : COLUMNS;
        for (ptrdiff_t i = 0; i < rows; i++) {
            REAL sums[COLUMNS];
            for (ptrdiff_t l = 0; l < width; l++) sums[l] = mode >= FASTNN_FROM_BIAS ? bias[j + l] : 0;
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
