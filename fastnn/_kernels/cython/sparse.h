/* Sums of some rows of a matrix, each times a number: what sparse samples need both ways; and their columns. */
#define widen NAME(widen)
#define add_some_of NAME(add_some_of)
#define add_some_part NAME(add_some_part)
#define add_some_rows NAME(add_some_rows)

#define ENTRIES_AHEAD 12 /* that are asked for before they are added */

static void widen(ptrdiff_t size, ptrdiff_t source, int64_t *target, ptrdiff_t n)
{
    if (size == 4) {
        const int32_t *numbers = (const int32_t *)source;
        for (ptrdiff_t i = 0; i < n; i++) target[i] = numbers[i];
    } else {
        memcpy(target, (const void *)source, (size_t)n * sizeof(int64_t));
    }
}

/* V vectors of columns, whose sums never leave the registers. */
INLINE void add_some_of(const int V, ptrdiff_t n, const int64_t *rows, const REAL *factors, const REAL *M,
                        ptrdiff_t m_row, REAL keep, REAL scale, REAL *out)
{
    vec sums[8];
    UNROLL for (int v = 0; v < V; v++) sums[v] = CONSTANT(0);
    const ptrdiff_t whole = n > ENTRIES_AHEAD ? n - ENTRIES_AHEAD : 0;
    for (ptrdiff_t k = 0; k < n; k++) {
        const REAL *row = M + rows[k] * m_row;
        const vec factor = broadcast(factors[k]);
        if (k < whole) {
            const REAL *ahead = M + rows[k + ENTRIES_AHEAD] * m_row;
            UNROLL for (int v = 0; v < V; v += LANES * (int)sizeof(REAL) < 64 ? 64 / (LANES * (int)sizeof(REAL)) : 1)
                ask_for(ahead + v * LANES);
        }
        UNROLL for (int v = 0; v < V; v++) sums[v] = fused(factor, load(row + v * LANES), sums[v]);
    }
    const vec scales = broadcast(scale), keeps = broadcast(keep);
    UNROLL for (int v = 0; v < V; v++) {
        vec result = keep == 0 ? scales * sums[v] : fused(scales, sums[v], keeps * load(out + v * LANES));
        store(out + v * LANES, result);
    }
}

/* The first `units` numbers of a vector. */
INLINE void add_some_part(ptrdiff_t n, ptrdiff_t units, const int64_t *rows, const REAL *factors, const REAL *M,
                          ptrdiff_t m_row, REAL keep, REAL scale, REAL *out)
{
    vec sums = CONSTANT(0);
    for (ptrdiff_t k = 0; k < n; k++) {
        if (n - k > ENTRIES_AHEAD) ask_for(M + rows[k + ENTRIES_AHEAD] * m_row);
        sums = fused(broadcast(factors[k]), load_part(M + rows[k] * m_row, units), sums);
    }
    const vec scales = broadcast(scale);
    vec result = scales * sums;
    if (keep != 0) result = fused(scales, sums, broadcast(keep) * load_part(out, units));
    store_part(out, result, units);
}

static void add_some_rows(ptrdiff_t n, ptrdiff_t units, int64_t *rows, const REAL *factors, const REAL *M, ptrdiff_t m_row,
                     double keep, double scale, REAL *out)
{
    const REAL kept = (REAL)keep, scaled = (REAL)scale;
    ptrdiff_t j = 0;
    for (; units - j >= 8 * LANES; j += 8 * LANES) add_some_of(8, n, rows, factors, M + j, m_row, kept, scaled, out + j);
    if (units - j >= 4 * LANES) {
        add_some_of(4, n, rows, factors, M + j, m_row, kept, scaled, out + j);
        j += 4 * LANES;
    }
    if (units - j >= 2 * LANES) {
        add_some_of(2, n, rows, factors, M + j, m_row, kept, scaled, out + j);
        j += 2 * LANES;
    }
    if (units - j >= LANES) {
        add_some_of(1, n, rows, factors, M + j, m_row, kept, scaled, out + j);
        j += LANES;
    }
    if (units > j) add_some_part(n, units - j, rows, factors, M + j, m_row, kept, scaled, out + j);
}

#undef ENTRIES_AHEAD
