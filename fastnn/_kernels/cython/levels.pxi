# The tables of primitives of the SIMD level in use, F32 and F64.

LEVELS = ("avx512", "avx2", "neon", "baseline")


def available_levels():
    """Return the names of the levels that the host can run, the widest first."""
    return [fastnn_primitives_f32(level).level.decode() for level in range(fastnn_best_level(), -1, -1)]


def use_level(name):
    """Have the kernels run at a level: an empty name takes the host's widest."""
    global F32, F64
    available = available_levels()
    name = name.strip().lower() or available[0]
    if name not in available:
        problem = "is not available on this CPU" if name in LEVELS else "is unknown"
        raise ValueError(f"FASTNN_SIMD={name} {problem}; choose from: {', '.join(available)}")
    cdef int level = fastnn_best_level() - available.index(name)
    F32, F64 = fastnn_primitives_f32(level)[0], fastnn_primitives_f64(level)[0]


def level():
    """Return the name of the level in use."""
    return F32.level.decode()


def lanes(int itemsize):
    """Return how many numbers of that many bytes a vector holds."""
    return F32.lanes if itemsize == sizeof(float) else F64.lanes


def addresses(int itemsize):
    """Return the address of each primitive, by name."""
    return {name: (<size_t *><size_t>place)[0] for name, place in places(itemsize).items()}
