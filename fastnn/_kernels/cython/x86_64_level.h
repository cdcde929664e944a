/* x86_64_level(): the widest level that the CPU and the operating system support: 0 baseline, 1 v3, 2 v4. */
#include <cpuid.h>

#if defined(_MSC_VER) || defined(FASTNN_CPUID)

/* What clang-cl links has no __builtin_cpu_supports: ask the CPU, and XCR0 for the registers that the system saves. */

static int x86_64_level(void)
{
    enum { FMA = 1 << 12, OSXSAVE = 1 << 27, F16C = 1 << 29, YMM = 0x06, ZMM = 0xe6 };
    const unsigned v3 = 1u << 3 | 1u << 5 | 1u << 8;                  /* BMI, AVX2, BMI2 */
    const unsigned v4 = v3 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* AVX-512 F, DQ, BW, VL */
    unsigned eax, ebx, ecx, edx, saved;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & FMA) || !(ecx & OSXSAVE) || !(ecx & F16C))
        return 0;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(edx) : "c"(0));
    if ((ebx & v4) == v4 && (saved & ZMM) == ZMM) return 2;
    return (ebx & v3) == v3 && (saved & YMM) == YMM;
}

#else

static int x86_64_level(void)
{
    enum { F16C = 1 << 29 }; /* which not all compilers know by its name */
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & F16C)) return 0;
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi")
          && __builtin_cpu_supports("bmi2")))
        return 0;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512vl") ? 2 : 1;
}

#endif
