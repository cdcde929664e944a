"""The kernels compiled by Cython: the drivers, translated when this is built, and on which primitives in C they go."""

from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport log, sqrt
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy, memmove

ctypedef fused real:
    float
    double

cdef extern from "primitives.h" nogil:
    enum:
        FASTNN_SGD

    ctypedef struct fastnn_step:
        int rule
        int nesterov
        double rate
        double scale
        double first
        double second
        double epsilon
        double weight_decay
        double l2
        double correction1
        double correction2

cdef extern from "threads.h" nogil:
    int64_t fastnn_load(int64_t *p) noexcept
    void fastnn_store(int64_t *p, int64_t x) noexcept
    int64_t fastnn_fetch_add(int64_t *p, int64_t x) noexcept
    int64_t fastnn_compare_exchange(int64_t *p, int64_t expected, int64_t desired) noexcept
    void fastnn_pause() noexcept
    void fastnn_prefetch(const void *p, int64_t bytes) noexcept
    void fastnn_rest() noexcept

cdef extern from "denormals.h" nogil:
    enum:
        FASTNN_FLUSH

    unsigned fastnn_float_control() noexcept
    void fastnn_set_float_control(unsigned control) noexcept

cdef enum:
    SQUARE = 4  # the side of the squares that `transpose` moves

include "job.pxi"
include "table.pxi"

cdef extern from "primitives.h" nogil:
    int fastnn_best_level() noexcept
    const fastnn_primitives_f32_t *fastnn_primitives_f32(int level) noexcept
    const fastnn_primitives_f64_t *fastnn_primitives_f64(int level) noexcept

include "levels.pxi"
include "update.pxi"
include "drivers.pxi"
include "shuffle.pxi"


def address(array):
    """Return where an array's elements begin."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    cdef size_t begin = <size_t>view.buf
    PyBuffer_Release(&view)
    return begin


def work_float32(int64_t address):
    """Work on a job of a float32 network until it is done."""
    with nogil:
        work_at_f32(address, NULL)


def work_float64(int64_t address):
    """Work on a job of a float64 network until it is done."""
    with nogil:
        work_at_f64(address, NULL)
