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


cdef inline int64_t field(const Job *job, int64_t layer, int64_t column) noexcept nogil:
    """Return a column of a layer in the job's table."""
    return integers(job.table)[layer * COLUMNS + column]
