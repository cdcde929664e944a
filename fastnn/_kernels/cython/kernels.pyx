"""The kernels compiled by Cython, one file each as in the Numba backend; the primitives beneath them are in C."""

from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport log
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy, memmove, memset

from fastnn._kernels.cython.primitives cimport *

ctypedef fused real:
    float
    double

include "job.pxi"
include "primitives.pxi"
include "memory.pxi"
include "team.pxi"
include "layers.pxi"
include "softmax.pxi"
include "outputs.pxi"
include "update.pxi"
include "shared.pxi"
include "block.pxi"
include "walk.pxi"
include "narrow.pxi"
include "turn.pxi"
include "deferred.pxi"
include "sgd.pxi"
include "staging.pxi"
include "training.pxi"
include "shuffle.pxi"


def address(array):
    """Return where an array's elements begin."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    cdef size_t begin = <size_t>view.buf
    PyBuffer_Release(&view)
    return begin
