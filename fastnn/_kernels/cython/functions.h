/* exp, log, sigmoid and tanh of a vec: branch-free polynomials.

   exp: x = n log 2 + r with |r| <= log(2) / 2, e^x = 2^n e^r. The coefficients interpolate (e^r - 1 - r) / r^2 at
   Chebyshev points. log: x = 2^k (1 + f) with 1 + f within [sqrt(1/2), sqrt(2)), and the series of fdlibm in
   s = f / (2 + f) (FreeBSD's e_log.c and e_logf.c: their coefficients). The errors are held by the tests. */
#define power_of_two NAME(power_of_two)
#define scale_vec NAME(scale_vec)
#define scale_small NAME(scale_small)
#define polynomial NAME(polynomial)
#define expm1_reduced NAME(expm1_reduced)
#define exp_vec NAME(exp_vec)
#define log1p_reduced NAME(log1p_reduced)
#define log_vec NAME(log_vec)
#define log1p_unit NAME(log1p_unit)
#define sigmoid_vec NAME(sigmoid_vec)
#define tanh_vec NAME(tanh_vec)
#define exp_coefficients NAME(exp_coefficients)
#define log_coefficients NAME(log_coefficients)

#undef CONSTANT
#undef SIGN_BIT
#undef MANTISSA_BITS
#undef EXPONENT_BIAS
#undef SQRT_HALF_BITS
#undef SMALLEST_NORMAL
#undef SHIFTER
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_MIN
#undef EXP_MAX
#undef SIGMOID_MAX
#undef TANH_MAX
#define CONSTANT(x) broadcast((REAL)(x))

/* SHIFTER + n holds the integer n in its low bits, rounded to nearest. LN2_HIGH n is exact for every exponent n.
   Below EXP_MIN exp rounds to 0, above EXP_MAX to infinity; sigmoid rounds to 1 beyond
   SIGMOID_MAX, tanh beyond TANH_MAX. */
#define SIGMOID_MAX 40.0
#if BITS == 32
static const REAL exp_coefficients[] = {0.5f, 0.16666576f, 0.041666552f, 0.008363233f, 0.001392625f};
static const REAL log_coefficients[] = {0.66666662693f, 0.40000972152f, 0.28498786688f, 0.24279078841f};
#define SIGN_BIT 0x80000000u
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define SQRT_HALF_BITS 0x3f3504f3u
#define SMALLEST_NORMAL 1.17549435e-38f
#define SHIFTER 12582912.0f
#define LN2_HIGH 6.9314575195e-01f
#define LN2_LOW 1.4286067653e-06f
#define EXP_MIN -104.0f
#define EXP_MAX 89.0f
#define TANH_MAX 10.0f
#else
static const REAL exp_coefficients[] = {
    0.5, 0.1666666666666667129, 0.04166666666666667129, 0.008333333333326083808, 0.001388888888888371127,
    0.0001984126987500227921, 0.00002480158732567746069, 2.75572551700008879e-6, 2.755727347871858244e-7,
    2.510531272962210294e-8, 2.091475532589320205e-9,
};
static const REAL log_coefficients[] = {
    6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
    1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01,
};
#define SIGN_BIT 0x8000000000000000u
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcdu
#define SMALLEST_NORMAL 2.2250738585072014e-308
#define SHIFTER 6755399441055744.0
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define EXP_MIN -746.0
#define EXP_MAX 710.0
#define TANH_MAX 20.0
#endif

INLINE vec polynomial(vec x, const REAL *coefficients, const int count)
{
    vec sum = broadcast(coefficients[count - 1]);
    UNROLL for (int i = count - 2; i >= 0; i--) sum = fused(sum, x, broadcast(coefficients[i]));
    return sum;
}

/* 2^n from n + SHIFTER, whose low bits hold n; the shift drops the others. n is an exponent of normal numbers. */
INLINE vec power_of_two(vec shifted, const int offset)
{
    return as_real((as_bits(shifted) + (EXPONENT_BIAS + offset)) << MANTISSA_BITS);
}

/* x 2^n from n + SHIFTER, in two factors: 2^n alone may overflow or be denormal where the product is neither. */
INLINE vec scale_vec(vec x, vec shifted)
{
    vec n = shifted - CONSTANT(SHIFTER);
#if VECTOR_BYTES == 64
    return INTRINSIC(scalef)(x, n);
#else
    vec half = fused(n, CONSTANT(0.5), CONSTANT(SHIFTER));
    return x * power_of_two(half, 0) * power_of_two(shifted - (half - CONSTANT(SHIFTER)), 0);
#endif
}

/* The same for n < 64, where 2^(n + 64) is normal. */
INLINE vec scale_small(vec x, vec shifted)
{
#if VECTOR_BYTES == 64
    return scale_vec(x, shifted);
#else
    return x * power_of_two(shifted, 64) * CONSTANT(5.421010862427522e-20);
#endif
}

/* e^r - 1 of the reduced argument r = x - n log 2; and n + SHIFTER. */
INLINE vec expm1_reduced(vec x, vec *shifted)
{
    *shifted = fused(x, CONSTANT(1.44269504088896340736), CONSTANT(SHIFTER));
    vec n = *shifted - CONSTANT(SHIFTER);
    vec r = fused(n, CONSTANT(-LN2_LOW), fused(n, CONSTANT(-LN2_HIGH), x));
    vec q = polynomial(r, exp_coefficients, sizeof exp_coefficients / sizeof(REAL));
    return fused(r * r, q, r);
}

INLINE vec exp_vec(vec x)
{
    vec shifted, bounded = minimum(CONSTANT(EXP_MAX), maximum(CONSTANT(EXP_MIN), x));
    vec p = expm1_reduced(bounded, &shifted);
    return scale_vec(p + CONSTANT(1), shifted);
}

/* k log 2 + log(1 + f). */
INLINE vec log1p_reduced(vec f, vec k)
{
    vec s = f / (f + CONSTANT(2)), z = s * s, half_square = CONSTANT(0.5) * f * f;
    vec R = z * polynomial(z, log_coefficients, sizeof log_coefficients / sizeof(REAL));
    vec rest = fused(s, half_square + R, k * CONSTANT(LN2_LOW));
    return fused(k, CONSTANT(LN2_HIGH), (rest - half_square) + f);
}

INLINE vec log_vec(vec x)
{
    const INTEGER one = (INTEGER)EXPONENT_BIAS << MANTISSA_BITS, fraction = ((INTEGER)1 << MANTISSA_BITS) - 1;
    const REAL denormal_scale = (REAL)((INTEGER)1 << MANTISSA_BITS);
    vec denormal = SELECT(x < CONSTANT(SMALLEST_NORMAL), CONSTANT(1), CONSTANT(0));
    vec normal = SELECT(x < CONSTANT(SMALLEST_NORMAL), x * broadcast(denormal_scale), x);
    bits shifted = as_bits(normal) + (one - SQRT_HALF_BITS);
    vec k = as_real((shifted >> MANTISSA_BITS) + as_bits(CONSTANT(SHIFTER))) - CONSTANT(SHIFTER + EXPONENT_BIAS);
    vec f = as_real((shifted & fraction) + SQRT_HALF_BITS) - CONSTANT(1);
    vec y = log1p_reduced(f, k - denormal * CONSTANT(MANTISSA_BITS));
    y = SELECT(x < CONSTANT(INFINITY), y, x);
    y = SELECT(x < CONSTANT(0), CONSTANT(NAN), y);
    return SELECT(x == CONSTANT(0), CONSTANT(-INFINITY), y);
}

/* log(1 + t) for t within [0, 1]. */
INLINE vec log1p_unit(vec t)
{
    vec zero = CONSTANT(0), one = CONSTANT(1), limit = CONSTANT(0.41421356);
    vec k = SELECT(t > limit, one, zero);
    return log1p_reduced(SELECT(t > limit, (t - one) * CONSTANT(0.5), t), k);
}

/* 1 / (1 + e^-x) = e^x / (1 + e^x): small values keep their digits, and beyond SIGMOID_MAX the result rounds to 1. */
INLINE vec sigmoid_vec(vec x)
{
    vec shifted, one = CONSTANT(1), bounded = minimum(CONSTANT(SIGMOID_MAX), maximum(CONSTANT(EXP_MIN), x));
    vec p = expm1_reduced(bounded, &shifted), t = scale_small(p + one, shifted);
    return t / (one + t);
}

/* (e^2x - 1) / (e^2x + 1) of |x| with the sign of x. e^2x - 1 = 2^n (e^r - 1) + (2^n - 1) keeps small values exact. */
INLINE vec tanh_vec(vec x)
{
    vec shifted, one = CONSTANT(1), a = minimum(CONSTANT(TANH_MAX), as_real(as_bits(x) & ~(INTEGER)SIGN_BIT));
    vec p = expm1_reduced(a + a, &shifted), power = power_of_two(shifted, 0);
    vec e = fused(power, p, power - one);
    return as_real(as_bits(e / (e + CONSTANT(2))) | (as_bits(x) & SIGN_BIT));
}
