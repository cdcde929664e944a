# How kernels see a job: typed pointers from its addresses, and its layer table.

cdef inline int64_t *integers(int64_t address) noexcept nogil:
    """Return the pointer to the int64 numbers at an address."""
    return <int64_t *>address


cdef inline double *numbers(int64_t address) noexcept nogil:
    """Return the pointer to the float64 numbers at an address."""
    return <double *>address


cdef inline real *reals(const real *like, int64_t address) noexcept nogil:
    """Return the pointer to the numbers at an address, of the type that ``like`` points to."""
    return <real *>address


cdef inline int64_t padded(const real *like, int64_t n) noexcept nogil:
    """Return n rounded up to whole vectors."""
    cdef int64_t lanes = F32.lanes if real is float else F64.lanes
    return (n + lanes - 1) // lanes * lanes


cdef inline void prefetch(const real *p, int64_t n) noexcept nogil:
    """Ask for the first cache lines of n elements."""
    fastnn_prefetch(p, n * sizeof(real))


cdef inline int64_t field(const Job *job, int64_t layer, int64_t column) noexcept nogil:
    """Return a column of a layer in the job's table."""
    return integers(job.table)[layer * COLUMNS + column]
