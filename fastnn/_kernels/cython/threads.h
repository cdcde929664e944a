/* Atomic 64-bit integers and waiting, for the team of threads, and prefetching: GCC, clang and MSVC. */
#ifndef FASTNN_THREADS_H
#define FASTNN_THREADS_H

#include <stdint.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <time.h>
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>

/* An interlocked operation is a full barrier, on every architecture. */
static __inline int64_t fastnn_load(int64_t *p) { return _InterlockedCompareExchange64((volatile __int64 *)p, 0, 0); }
static __inline void fastnn_store(int64_t *p, int64_t x) { _InterlockedExchange64((volatile __int64 *)p, x); }
static __inline int64_t fastnn_fetch_add(int64_t *p, int64_t x)
{
    return _InterlockedExchangeAdd64((volatile __int64 *)p, x);
}
static __inline int64_t fastnn_compare_exchange(int64_t *p, int64_t expected, int64_t desired)
{
    return _InterlockedCompareExchange64((volatile __int64 *)p, desired, expected);
}
static __inline void fastnn_pause(void) { YieldProcessor(); }
#define FASTNN_PREFETCH(p) PreFetchCacheLine(PF_TEMPORAL_LEVEL_1, p)

#else

/* Load-acquire and store-release. */
static inline int64_t fastnn_load(int64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void fastnn_store(int64_t *p, int64_t x) { __atomic_store_n(p, x, __ATOMIC_RELEASE); }

/* The value before the addition; acquire and release. */
static inline int64_t fastnn_fetch_add(int64_t *p, int64_t x) { return __atomic_fetch_add(p, x, __ATOMIC_ACQ_REL); }

/* Makes *p desired if it is expected; returns what it was. */
static inline int64_t fastnn_compare_exchange(int64_t *p, int64_t expected, int64_t desired)
{
    __atomic_compare_exchange_n(p, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    return expected;
}

/* Tells the core that this is a waiting loop. */
static inline void fastnn_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

/* The empty statement is an effect: GCC drops calls of functions that do no more than prefetch. */
#define FASTNN_PREFETCH(p) do { __builtin_prefetch(p); __asm__ volatile(""); } while (0)

#endif

/* Asks for the first cache lines of some bytes; the CPU's own prefetcher follows a longer run. */
static inline void fastnn_prefetch(const void *p, int64_t bytes)
{
    enum { CACHE_LINE = 64, PREFETCHED_BYTES = 512 };
    for (int64_t offset = 0; offset < bytes && offset < PREFETCHED_BYTES; offset += CACHE_LINE)
        FASTNN_PREFETCH((const char *)p + offset);
}

/* Gives this core away for a moment; numba/atomics.py says why by sleeping. */
#if defined(_WIN32)
static __inline void fastnn_rest(void) { SwitchToThread(); }
#else
static inline void fastnn_rest(void)
{
    const struct timespec moment = {.tv_sec = 0, .tv_nsec = 20000};
    nanosleep(&moment, NULL);
}
#endif

#endif
