"""Vectors and pointers for the kernels: the host's SIMD level, and the LLVM code behind the other primitives.

Numba's own loops leave speed behind where it matters most: accumulators do not stay in registers, 512-bit vectors are
avoided, ``math.exp`` is a call. The primitives therefore emit LLVM vectors themselves, through Numba's ``@intrinsic``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from llvmlite import binding, ir
from numba.core import cgutils, config, types
from numba.core.codegen import get_host_cpu_features
from numba.core.datamodel import models
from numba.core.errors import NumbaTypeError
from numba.core.extending import register_model
from numba.extending import intrinsic

CACHE_LINE, PREFETCHED_BYTES = 64, 512
INT1, INT32, INT64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
POINTER = ir.PointerType()
ARM64 = binding.get_default_triple().startswith(("aarch64", "arm64"))
X86 = binding.get_default_triple().startswith(("x86_64", "amd64", "i686"))


class Level(NamedTuple):
    """A SIMD instruction set: the width of its vectors and how many of them the registers hold."""

    name: str
    bits: int
    registers: int

    @property
    def tile_rows(self) -> int:
        """Rows of the widest register tile."""
        return 6

    @property
    def tile_vectors(self) -> int:
        """Vectors in a row of the widest register tile: with 6 rows, 24 of 32 or 12 of 16 registers accumulate."""
        return self.registers // 8

    def lanes(self, bits: int) -> int:
        """Elements of ``bits`` bits in one vector."""
        return self.bits // bits


LEVELS = {
    level.name: level
    for level in (Level("avx512", 512, 32), Level("avx2", 256, 16), Level("neon", 128, 32), Level("baseline", 128, 16))
}
_NEEDS = {"avx512": ("avx512f", "avx512bw", "avx512dq", "avx512vl"), "avx2": ("avx2", "fma"), "neon": ("neon",)}


@lru_cache
def host_features() -> frozenset[str]:
    """Return the names, as LLVM spells them, of what Numba's code may use of the CPU."""
    flags = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    features = frozenset(flag[1:] for flag in flags.split(",") if flag.startswith("+"))
    return features | {"neon", "fma"} if ARM64 else features


def available_levels() -> list[str]:
    """Return the names of the levels that the host can run, widest first."""
    return [name for name in LEVELS if host_features().issuperset(_NEEDS.get(name, ()))]


@lru_cache
def simd_level() -> Level:
    """Return the level to compile for: the host's widest, or the one that the variable FASTNN_SIMD names."""
    available = available_levels()
    name = os.environ.get("FASTNN_SIMD", "").strip().lower() or available[0]
    if name not in available:
        problem = "is not available on this CPU" if name in LEVELS else "is unknown"
        raise ValueError(f"FASTNN_SIMD={name} {problem}; choose from: {', '.join(available)}")
    return LEVELS[name]


LEVEL = simd_level()
# Without the instruction an fma would be a slow call into the C library: multiply, then add.
HAS_FMA = "fma" in host_features()


def type_name(shape: Any) -> str:
    """Return LLVM's short name of a type: f32, v16f32, v8i64."""
    if isinstance(shape, ir.VectorType):
        return f"v{shape.count}{type_name(shape.element)}"
    return f"i{shape.width}" if isinstance(shape, ir.IntType) else {"float": "f32", "double": "f64"}[str(shape)]


def fma(builder: ir.IRBuilder, a: Any, b: Any, c: Any) -> Any:
    """Emit a * b + c, of vectors or scalars."""
    if not HAS_FMA:
        return builder.fadd(builder.fmul(a, b), c)
    # llvmlite's declare_intrinsic does not take vectors: the declaration is written by hand.
    return call(builder, a.type, f"llvm.fma.{type_name(a.type)}", a, b, c)


def call(builder: ir.IRBuilder, result: Any, name: str, *arguments: Any) -> Any:
    """Emit a call to a function that LLVM or the C library defines."""
    signature = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)


def broadcast(builder: ir.IRBuilder, value: Any, vector: ir.VectorType) -> Any:
    """Emit the vector that has the scalar ``value`` in every lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(undefined, value, INT32(0))
    return builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(INT32, vector.count), None))


def vector_type(scalar: Any) -> ir.VectorType:
    """Return the vector type that fills a register with elements of type ``scalar``."""
    return ir.VectorType(scalar, LEVEL.lanes(64 if isinstance(scalar, ir.DoubleType) else 32))


def element_size(scalar: Any) -> int:
    """Return the bytes, and the only alignment that loads and stores may assume, of an element."""
    return 8 if isinstance(scalar, ir.DoubleType) else 4


def function(module: ir.Module, name: str, result: Any, arguments: Sequence[Any]) -> tuple[ir.Function, bool]:
    """Return the module's function of that name, and whether its body is still to be written.

    The function stays out of line: LLVM allots its registers and compiles it once, however many kernels call it.
    """
    if name in module.globals:
        return module.globals[name], False
    created = ir.Function(module, ir.FunctionType(result, arguments), name)
    created.linkage = "linkonce_odr"
    created.attributes.add("noinline")
    created.attributes.add("nounwind")
    return created, True


def require_pointer(*pointers: Any) -> Any:
    """Return the element type that all the pointers share, float32 or float64."""
    if not all(isinstance(p, types.CPointer) and p == pointers[0] for p in pointers):
        raise NumbaTypeError(f"expected pointers to one real type, got {pointers}")
    return pointers[0].dtype


@intrinsic
def pointer(typingctx, array, offset):
    """Return the pointer to element ``offset`` of a contiguous array, counted over all its axes."""
    if not (isinstance(array, types.Array) and array.layout == "C"):
        raise NumbaTypeError(f"pointer needs a contiguous array, got {array}")

    def codegen(context, builder, signature, args):
        data = context.make_array(array)(context, builder, args[0]).data
        return builder.gep(data, [args[1]], source_etype=context.get_data_type(array.dtype))

    return types.CPointer(array.dtype)(array, types.int64), codegen


@intrinsic
def advance(typingctx, p, n):
    """Return the pointer ``n`` elements after ``p``."""
    if not isinstance(p, types.CPointer):
        raise NumbaTypeError(f"advance needs a pointer, got {p}")

    def codegen(context, builder, signature, args):
        return builder.gep(args[0], [args[1]], source_etype=context.get_data_type(p.dtype))

    return p(p, types.int64), codegen


@intrinsic
def copy(typingctx, target, source, n):
    """Copy n elements; the two do not overlap."""
    size = require_pointer(target, source).bitwidth // 8

    def codegen(context, builder, signature, args):
        cgutils.raw_memcpy(builder, args[0], args[1], args[2], size)
        return context.get_dummy_value()

    return types.void(target, source, types.int64), codegen


@intrinsic
def move(typingctx, target, source, n):
    """Copy n elements; the two may overlap."""
    size = require_pointer(target, source).bitwidth // 8

    def codegen(context, builder, signature, args):
        cgutils.raw_memmove(builder, args[0], args[1], args[2], size)
        return context.get_dummy_value()

    return types.void(target, source, types.int64), codegen


@intrinsic
def stack_memory(typingctx, like, size):
    """Return the pointer to some bytes on the calling function's stack, of the type that ``like`` points to."""
    require_pointer(like)
    if not isinstance(size, types.IntegerLiteral):
        raise NumbaTypeError(f"stack_memory needs a constant number of bytes, got {size}")

    def codegen(context, builder, signature, args):
        with builder.goto_entry_block():
            memory = builder.alloca(ir.ArrayType(ir.IntType(8), size.literal_value))
        memory.align = CACHE_LINE
        return builder.bitcast(memory, context.get_value_type(like))

    return like(like, size), codegen


def ask_for(builder: ir.IRBuilder, address: Any) -> None:
    """Emit a prefetch of a cache line."""
    call(builder, ir.VoidType(), "llvm.prefetch.p0", address, INT32(0), INT32(3), INT32(1))


@intrinsic
def prefetch(typingctx, p, n):
    """Ask for the first cache lines of n elements; the CPU's own prefetcher follows a longer run."""
    size = require_pointer(p).bitwidth // 8

    def codegen(context, builder, signature, args):
        base = builder.bitcast(args[0], ir.IntType(8).as_pointer())
        end = builder.mul(args[1], INT64(size))
        for offset in range(0, PREFETCHED_BYTES, CACHE_LINE):
            with builder.if_then(builder.icmp_signed("<", INT64(offset), end)):
                address = builder.gep(base, [INT64(offset)])
                ask_for(builder, address)
        return context.get_dummy_value()

    return types.void(p, types.int64), codegen


@intrinsic
def lanes(typingctx, p):
    """Return the elements in one vector of the type that ``p`` points to: a constant of the compiled code."""
    real = require_pointer(p)
    count = LEVEL.lanes(real.bitwidth)
    return types.int64(p), lambda context, builder, signature, args: INT64(count)


@intrinsic
def element_bytes(typingctx, p):
    """Return the bytes of the type that ``p`` points to: a constant of the compiled code."""
    size = require_pointer(p).bitwidth // 8
    return types.int64(p), lambda context, builder, signature, args: INT64(size)


class Vector(types.Type):
    """A register full of float32 or float64 numbers, as kernels hold it in a variable."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, vector_type(manager.lookup(vector.dtype).get_value_type()))


@intrinsic
def load(typingctx, p, i):
    """Return the vector of the elements from the i-th on."""
    real = require_pointer(p)

    def codegen(context, builder, signature, args):
        scalar = context.get_value_type(real)
        address = builder.gep(args[0], [args[1]], source_etype=scalar)
        return builder.load(address, align=element_size(scalar), typ=vector_type(scalar))

    return Vector(real)(p, types.int64), codegen


@intrinsic
def store(typingctx, p, i, x):
    """Write a vector to the elements from the i-th on."""
    real = require_pointer(p)
    if x != Vector(real):
        raise NumbaTypeError(f"store needs a vector of {real}, got {x}")

    def codegen(context, builder, signature, args):
        scalar = context.get_value_type(real)
        address = builder.gep(args[0], [args[1]], source_etype=scalar)
        builder.store(args[2], builder.bitcast(address, args[2].type.as_pointer()), align=element_size(scalar))
        return context.get_dummy_value()

    return types.void(p, types.int64, x), codegen


@intrinsic
def fill(typingctx, x):
    """Return the vector that has a number in every lane."""
    if x not in (types.float32, types.float64):
        raise NumbaTypeError(f"fill takes a float32 or float64, got {x}")
    return Vector(x)(x), lambda context, builder, signature, args: broadcast(
        builder, args[0], vector_type(args[0].type)
    )


@intrinsic
def first_lanes(typingctx, x, n):
    """Return the vector with zeros after its first n lanes."""

    def codegen(context, builder, signature, args):
        x, n = args
        counts = broadcast(builder, builder.trunc(n, INT32), ir.VectorType(INT32, x.type.count))
        numbers = ir.Constant(counts.type, list(range(x.type.count)))
        return builder.select(builder.icmp_signed("<", numbers, counts), x, ir.Constant(x.type, None))

    return x(x, types.int64), codegen


@intrinsic
def total(typingctx, x):
    """Return the sum of a vector's lanes, added as a tree."""
    return x.dtype(x), lambda context, builder, signature, args: add_lanes(builder, args[0])


def add_lanes(builder: ir.IRBuilder, vector: Any) -> Any:
    """Emit the sum of the lanes as a tree: without ``reassoc`` it would be one long chain."""
    scalar = vector.type.element
    signature = ir.FunctionType(scalar, [scalar, vector.type])
    reduce = cgutils.get_or_insert_function(
        builder.module, signature, f"llvm.vector.reduce.fadd.{type_name(vector.type)}"
    )
    return builder.call(reduce, [ir.Constant(scalar, 0.0), vector], fastmath=("reassoc",))


def require_lanes(*values: Any) -> Any:
    """Return the type that all the values share, a float or a vector of floats."""
    if not (values[0] in (types.float32, types.float64) or isinstance(values[0], Vector)) or len(set(values)) > 1:
        raise NumbaTypeError(f"expected floats or vectors of one type, got {values}")
    return values[0]


@intrinsic
def add(typingctx, a, b):
    """Return a + b, of vectors."""
    result = require_lanes(a, b)
    return result(a, b), lambda context, builder, signature, args: builder.fadd(*args)


@intrinsic
def multiply_add(typingctx, a, b, c):
    """Return a * b + c, of vectors or of numbers."""
    result = require_lanes(a, b, c)
    return result(a, b, c), lambda context, builder, signature, args: fma(builder, *args)
