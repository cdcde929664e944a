"""How kernels see a job: attributes of the struct, typed pointers from its addresses, calls through its functions."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.extending import register_model
from numba.core.imputils import lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic

from fastnn._kernels.numba.simd import INT64, require_pointer
from fastnn._kernels.schema import COLUMNS, NUMBERS, WORD, WORDS

# Numbers of a type: Numba compiles a function anew for each plain number that it is called with.
(
    N_IN, N_OUT, WIDTH_IN, WIDTH_OUT, WEIGHTS, BIASES, ACTIVATION, DERIVATIVE, DROPPED, PACKED, BIAS, TRANSPOSED,
    OUTPUTS, SAVED, DELTAS, SUMS, DEFERRED, SPLIT, FIRST_BLOCK, FLIPPED,
) = map(np.int64, range(len(COLUMNS)))  # fmt: skip


class JobType(types.Type):
    """The address of a job, whose fields are attributes."""

    def __init__(self) -> None:
        super().__init__(name="Job")


JOB_TYPE = JobType()


@register_model(JobType)
class _JobModel(models.PrimitiveModel):
    def __init__(self, manager, job_type):
        super().__init__(manager, job_type, INT64)


@infer_getattr
class _JobAttributes(AttributeTemplate):
    key = JobType

    def generic_resolve(self, job, name):
        if name in WORDS:
            return types.float64 if name in NUMBERS else types.int64
        return None


def _field_pointer(builder, job, name):
    scalar = ir.DoubleType() if name in NUMBERS else INT64
    return builder.inttoptr(builder.add(job, INT64(WORD * WORDS[name])), scalar.as_pointer())


@lower_getattr_generic(JobType)
def _get_field(context, builder, job_type, job, name):
    return builder.load(_field_pointer(builder, job, name))


@lower_setattr_generic(JobType)
def _set_field(context, builder, signature, args, name):
    job, value = args
    target = types.float64 if name in NUMBERS else types.int64
    builder.store(context.cast(builder, value, signature.args[1], target), _field_pointer(builder, job, name))


def _reinterpret(target, value_type):
    """Return the typing and lowering of an address taken as another type."""

    def codegen(context, builder, signature, args):
        pointer_type = context.get_value_type(signature.return_type)
        return args[-1] if pointer_type == INT64 else builder.inttoptr(args[-1], pointer_type)

    return target(*value_type), codegen


@intrinsic
def job_at(typingctx, address):
    """Return the job at an address."""
    return _reinterpret(JOB_TYPE, (types.int64,))


@intrinsic
def integers(typingctx, address):
    """Return the pointer to the int64 numbers at an address."""
    return _reinterpret(types.CPointer(types.int64), (types.int64,))


@intrinsic
def numbers(typingctx, address):
    """Return the pointer to the float64 numbers at an address."""
    return _reinterpret(types.CPointer(types.float64), (types.int64,))


@intrinsic
def reals(typingctx, like, address):
    """Return the pointer to the numbers at an address, of the type that ``like`` points to."""
    require_pointer(like)
    return _reinterpret(like, (like, types.int64))


@intrinsic
def real(typingctx, like, x):
    """Return a float64 number in the type that ``like`` points to, so that a loop of float32 stays in float32."""
    target = require_pointer(like)

    def codegen(context, builder, signature, args):
        return context.cast(builder, args[1], types.float64, target)

    return target(like, types.float64), codegen


@intrinsic
def call(typingctx, address, arguments):
    """Call the function at an address with a tuple of arguments.

    Kernels call each other through the job's addresses where a direct call would have LLVM compile the callee anew for
    each caller, and again for each caller's caller.
    """

    def codegen(context, builder, signature, args):
        items = cgutils.unpack_tuple(builder, args[1])
        function = ir.FunctionType(ir.VoidType(), [item.type for item in items])
        builder.call(builder.inttoptr(args[0], function.as_pointer()), items)
        return context.get_dummy_value()

    return types.void(types.int64, arguments), codegen


@intrinsic
def field(typingctx, job, layer, column):
    """Return a column of a layer in the job's table."""

    def codegen(context, builder, signature, args):
        job, layer, column = args
        table = builder.inttoptr(builder.load(_field_pointer(builder, job, "table")), INT64.as_pointer())
        index = builder.add(builder.mul(layer, INT64(len(COLUMNS))), column)
        return builder.load(builder.gep(table, [index]))

    return types.int64(JOB_TYPE, types.int64, types.int64), codegen
