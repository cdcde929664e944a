/* Dropout's masks: Philox's words in the lanes of vectors, see fastnn/_kernels/dropout.py. */
#define philox_words NAME(philox_words)
#define multiply_piece NAME(multiply_piece)
#define drop_units NAME(drop_units)

#ifndef DROPOUT_BLOCKS
#define DROPOUT_BLOCKS 16
#define DROPOUT_GROUP (8 * DROPOUT_BLOCKS)
#endif

/* A group's words: the loops of a round are over the blocks, which the compiler takes in vectors. */
INLINE void philox_words(uint64_t seed, uint64_t step, uint32_t layer, uint32_t row, uint32_t group,
                         uint32_t words[4][DROPOUT_BLOCKS])
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (uint32_t i = 0; i < DROPOUT_BLOCKS; i++) {
        words[0][i] = group * DROPOUT_BLOCKS + i;
        words[1][i] = row;
        words[2][i] = layer + ((uint32_t)(step >> 32) << 8);
        words[3][i] = (uint32_t)step;
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < DROPOUT_BLOCKS; i++) {
            const uint64_t a = (uint64_t)0xD2511F53 * words[0][i], b = (uint64_t)0xCD9E8D57 * words[2][i];
            words[0][i] = (uint32_t)(b >> 32) ^ words[1][i] ^ k0;
            words[2][i] = (uint32_t)(a >> 32) ^ words[3][i] ^ k1;
            words[1][i] = (uint32_t)b;
            words[3][i] = (uint32_t)a;
        }
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
}

/* Multiplies n numbers by 0 or ``kept``, as one half of each word decides. The compiler takes a loop of so many turns as
   a caller says in vectors, one of 16 it would unroll into scalars (784-512-512-10: 1.37 times as long as without). */
static NOINLINE void multiply_piece(const uint32_t *words, int shift, uint32_t dropped, REAL kept, REAL *a,
                                    REAL *saved, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        const REAL factor = (words[i] >> shift & 0xFFFF) >= dropped ? kept : 0;
        a[i] *= factor;
        saved[i] *= factor;
    }
}

static void drop_units(ptrdiff_t seed, ptrdiff_t step, ptrdiff_t layer, ptrdiff_t row, ptrdiff_t begin, ptrdiff_t n,
                       double p, REAL *a, REAL *saved)
{
    const uint32_t dropped = p * 65536 < 65535 ? (uint32_t)rint(p * 65536) : 65535; /* halves to even, as Python's */
    const REAL kept = (REAL)(65536.0 / (65536 - dropped));
    uint32_t words[4][DROPOUT_BLOCKS];
    for (ptrdiff_t group = begin / DROPOUT_GROUP; group * DROPOUT_GROUP < begin + n; group++) {
        philox_words((uint64_t)seed, (uint64_t)step, (uint32_t)layer, (uint32_t)row, (uint32_t)group, words);
        for (int piece = 0; piece < 8; piece++) {
            const ptrdiff_t first = group * DROPOUT_GROUP + piece * DROPOUT_BLOCKS - begin, from = first < 0 ? -first : 0;
            const ptrdiff_t to = first + DROPOUT_BLOCKS > n ? n - first : DROPOUT_BLOCKS;
            if (from < to)
                multiply_piece(words[piece / 2] + from, piece % 2 * 16, dropped, kept, a + first + from,
                               saved + first + from, to - from);
        }
    }
}
