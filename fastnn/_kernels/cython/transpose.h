/* B[j, i] = A[i, j], in square blocks of one 16-byte vector a side. */
#define quad NAME(quad)
#define transpose_block NAME(transpose_block)
#define transpose NAME(transpose)

#undef SIDE
#if VECTOR_BYTES > 0 && (defined(__clang__) || __GNUC__ >= 12)
#define SIDE (128 / BITS)

typedef REAL quad __attribute__((vector_size(16), aligned(sizeof(REAL)), may_alias));

INLINE void transpose_block(const REAL *A, ptrdiff_t lda, REAL *B, ptrdiff_t ldb)
{
#define ROW(i) (*(const quad *)(A + (i) * lda))
#define COLUMN(j) (*(quad *)(B + (j) * ldb))
#if BITS == 32
    quad a = ROW(0), b = ROW(1), c = ROW(2), d = ROW(3);
    quad low_ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), high_ab = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    quad low_cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), high_cd = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    COLUMN(0) = __builtin_shufflevector(low_ab, low_cd, 0, 1, 4, 5);
    COLUMN(1) = __builtin_shufflevector(low_ab, low_cd, 2, 3, 6, 7);
    COLUMN(2) = __builtin_shufflevector(high_ab, high_cd, 0, 1, 4, 5);
    COLUMN(3) = __builtin_shufflevector(high_ab, high_cd, 2, 3, 6, 7);
#else
    quad a = ROW(0), b = ROW(1);
    COLUMN(0) = __builtin_shufflevector(a, b, 0, 2);
    COLUMN(1) = __builtin_shufflevector(a, b, 1, 3);
#endif
#undef ROW
#undef COLUMN
}
#else
#define SIDE 1

INLINE void transpose_block(const REAL *A, ptrdiff_t lda, REAL *B, ptrdiff_t ldb)
{
    (void)lda;
    (void)ldb;
    *B = *A;
}
#endif

static void transpose(ptrdiff_t rows, ptrdiff_t cols, const REAL *A, ptrdiff_t lda, REAL *B, ptrdiff_t ldb)
{
    enum { BLOCK = 64 / sizeof(REAL) }; /* rows of B at a time, a cache line of A: few pages are written at once */
    ptrdiff_t whole_rows = rows - rows % SIDE, whole_cols = cols - cols % SIDE;
    for (ptrdiff_t left = 0; left < whole_cols; left += BLOCK) {
        ptrdiff_t right = left + BLOCK < whole_cols ? left + BLOCK : whole_cols;
        for (ptrdiff_t i = 0; i < whole_rows; i += SIDE)
            for (ptrdiff_t j = left; j < right; j += SIDE)
                transpose_block(A + i * lda + j, lda, B + j * ldb + i, ldb);
    }
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = i < whole_rows ? whole_cols : 0; j < cols; j++) B[j * ldb + i] = A[i * lda + j];
}
