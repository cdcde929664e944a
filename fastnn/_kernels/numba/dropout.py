"""Dropout's masks: Philox's words in vectors, see ``fastnn/_kernels/dropout.py``."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastnn._kernels.dropout import BLOCKS, GROUP, LEVELS, MULTIPLIERS, ROUNDS, WEYL
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.memory import real
from fastnn._kernels.numba.simd import INT32, INT64, advance, require_pointer, stack_memory

WORDS32, WORDS64 = ir.VectorType(ir.IntType(32), BLOCKS), ir.VectorType(ir.IntType(64), BLOCKS)
BYTES = 4 * BLOCKS * 4  # of a group's words


def _all(value: int, kind: ir.VectorType = WORDS32) -> ir.Constant:
    return ir.Constant(kind, [value] * BLOCKS)


def _spread(builder: ir.IRBuilder, word: Any) -> Any:
    """Return a vector whose lanes are all a word."""
    first = builder.insert_element(ir.Constant(WORDS32, ir.Undefined), word, INT32(0))
    return builder.shuffle_vector(first, ir.Constant(WORDS32, ir.Undefined), _all(0))


def _product(builder: ir.IRBuilder, factor: int, word: Any) -> tuple[Any, Any]:
    """Return the high and the low half of a product of 32 bits by 32."""
    product = builder.mul(builder.zext(word, WORDS64), _all(factor, WORDS64))
    return builder.trunc(builder.lshr(product, _all(32, WORDS64)), WORDS32), builder.trunc(product, WORDS32)


@intrinsic
def store_words(typingctx, memory, seed, step, layer, row, group):
    """Write a group's words to memory: four vectors."""
    require_pointer(memory)

    def codegen(context, builder, signature, args):
        memory, seed, step, layer, row, group = args
        low, high = (lambda x: builder.trunc(x, ir.IntType(32))), (lambda x: builder.lshr(x, INT64(32)))
        k0, k1 = _spread(builder, low(seed)), _spread(builder, low(high(seed)))
        blocks = ir.Constant(WORDS32, list(range(BLOCKS)))
        c0 = builder.add(_spread(builder, low(builder.mul(group, INT64(BLOCKS)))), blocks)
        c1, c3 = _spread(builder, low(row)), _spread(builder, low(step))
        c2 = _spread(builder, low(builder.add(layer, builder.shl(high(step), INT64(8)))))
        for i in range(ROUNDS):
            if i > 0:
                k0, k1 = builder.add(k0, _all(WEYL[0])), builder.add(k1, _all(WEYL[1]))
            (a, a_low), (b, b_low) = _product(builder, MULTIPLIERS[0], c0), _product(builder, MULTIPLIERS[1], c2)
            c0, c2 = builder.xor(builder.xor(b, c1), k0), builder.xor(builder.xor(a, c3), k1)
            c1, c3 = b_low, a_low
        words = builder.bitcast(memory, WORDS32.as_pointer())
        for i, word in enumerate((c0, c1, c2, c3)):
            builder.store(word, builder.gep(words, [INT32(i)]), align=4)
        return context.get_dummy_value()

    numbers = (types.int64,) * 5
    return types.void(memory, *numbers), codegen


@intrinsic
def bits_of(typingctx, memory, unit):
    """Return the 16 bits that decide on a unit of the group whose words are in memory."""
    require_pointer(memory)

    def codegen(context, builder, signature, args):
        memory, unit = args
        halves = builder.bitcast(memory, ir.IntType(16).as_pointer())  # the low half comes first
        piece, block = builder.sdiv(unit, INT64(BLOCKS)), builder.srem(unit, INT64(BLOCKS))
        word = builder.add(builder.mul(builder.sdiv(piece, INT64(2)), INT64(BLOCKS)), block)
        index = builder.add(builder.mul(word, INT64(2)), builder.srem(piece, INT64(2)))
        return builder.zext(builder.load(builder.gep(halves, [index])), INT64)

    return types.int64(memory, types.int64), codegen


@intrinsic
def multiply_piece(typingctx, memory, piece, dropped, kept, values):
    """Multiply 16 values by 0 or ``kept``, as the bits of a group's piece decide."""
    kind = require_pointer(values)

    def codegen(context, builder, signature, args):
        memory, piece, dropped, kept, values = args
        number = context.get_value_type(kind)
        vector = ir.VectorType(number, BLOCKS)
        words = builder.bitcast(memory, WORDS32.as_pointer())
        word = builder.load(builder.gep(words, [builder.sdiv(piece, INT64(2))]), align=4)
        shift = builder.trunc(builder.mul(builder.srem(piece, INT64(2)), INT64(16)), ir.IntType(32))
        bits = builder.and_(builder.lshr(word, _spread(builder, shift)), _all(0xFFFF))
        keeps = builder.icmp_unsigned(">=", bits, _spread(builder, builder.trunc(dropped, ir.IntType(32))))
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), kept, INT32(0))
        factor = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), _all(0))
        place = builder.bitcast(values, vector.as_pointer())
        align = kind.bitwidth // 8
        product = builder.fmul(builder.load(place, align=align), factor)
        zero = ir.Constant(vector, [0.0] * BLOCKS)
        builder.store(builder.select(keeps, product, zero), place, align=align)
        return context.get_dummy_value()

    return types.void(memory, types.int64, types.int64, kind, values), codegen


@kernel
def drop_units(seed, step, layer, row, begin, n, p, a, saved):
    """Multiply the outputs of some units of a row, and what their derivative needs, by the mask."""
    dropped = min(round(p * LEVELS), LEVELS - 1)
    kept, zero, words = real(a, LEVELS / (LEVELS - dropped)), real(a, 0.0), stack_memory(a, BYTES)
    for group in range(begin // GROUP, (begin + n + GROUP - 1) // GROUP):
        store_words(words, seed, step, layer, row, group)
        for piece in range(GROUP // BLOCKS):
            first = group * GROUP + piece * BLOCKS - begin
            if first >= 0 and first + BLOCKS <= n:
                multiply_piece(words, piece, dropped, kept, advance(a, first))
                multiply_piece(words, piece, dropped, kept, advance(saved, first))
                continue
            for i in range(max(first, 0), min(first + BLOCKS, n)):
                factor = kept if bits_of(words, piece * BLOCKS + i - first) >= dropped else zero
                a[i] *= factor
                saved[i] *= factor
