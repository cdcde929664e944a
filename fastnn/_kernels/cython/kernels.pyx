"""The kernels compiled by Cython, one file each as in the Numba backend; the primitives beneath them are in C."""

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
