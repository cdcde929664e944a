"""Steps that parameters have missed, whose gradient is that of the penalty alone: many steps of a few vectors.

These stay in the registers. The arithmetic is that of `update`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastnn._equations import updates
from fastnn._equations.algebra import signature
from fastnn._kernels.contract import Rule
from fastnn._kernels.numba.cache import kernel
from fastnn._kernels.numba.columns import Columns
from fastnn._kernels.numba.equations import emit
from fastnn._kernels.numba.simd import (
    INT1,
    INT64,
    POINTER,
    advance,
    broadcast,
    call,
    function,
    lanes,
    require_pointer,
    type_name,
)

SGD, RMSPROP, ADAMW = int(Rule.SGD), int(Rule.RMSPROP), int(Rule.ADAMW)
DOUBLE = ir.DoubleType()
NUMBERS = ("rate", "corrected_rate", "root_correction", "epsilon")  # of a step, in the order of the table


class _Missed(Columns):
    """Emits the function (units, steps, numbers, first, second, l2, decay, theta, moments...) of so many vectors.

    Without a number of vectors it is that of a part of one. What changes lies in stack slots: LLVM makes registers of
    them.
    """

    def __init__(self, module: ir.Module, equation: Any, scalar: Any, vectors: int) -> None:
        super().__init__(scalar, vectors)
        self.equation, self.moments = equation, signature(equation).results - 1
        name = f"fastnn_missed_{equation.__name__}_{vectors}x{type_name(self.vector)}"
        arguments = [INT64, INT64, POINTER, *[DOUBLE] * 4, *[POINTER] * (1 + self.moments)]
        self.function, is_new = function(module, name, ir.VoidType(), arguments)
        if is_new:
            self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
            self._emit(*self.function.args)

    def _emit(self, units: Any, steps: Any, numbers: Any, first: Any, second: Any, l2: Any, decay: Any,
              *places: Any) -> None:  # fmt: skip
        builder = self.builder
        self.begin(units)
        self.slots = [[builder.alloca(self.vector) for _ in places] for _ in range(self.vectors)]
        for i, slots in enumerate(self.slots):
            for slot, place in zip(slots, places, strict=True):
                builder.store(self.load(place, i), slot)
        one = DOUBLE(1.0)
        self.constants = {
            "first": self._number(first), "first_rest": self._number(builder.fsub(one, first)),
            "second": self._number(second), "second_rest": self._number(builder.fsub(one, second)),
            "l2": self._number(l2), "scale": ir.Constant(self.vector, None),
        }  # fmt: skip
        rests = self._rests(first, second, l2, decay)
        k = builder.alloca(INT64)
        builder.store(INT64(0), k)
        with self._loop(k, steps) as leave:
            now = builder.load(k, typ=INT64)
            still = self._step(builder.gep(numbers, [builder.mul(now, INT64(4))], source_etype=DOUBLE), decay)
            builder.store(builder.add(now, INT64(1)), k)
            looks = builder.icmp_signed("==", builder.and_(now, INT64(7)), INT64(0))
            with builder.if_then(builder.and_(rests, looks)):
                reduced = call(builder, INT1, f"llvm.vector.reduce.and.v{self.vector.count}i1", still)
                with builder.if_then(reduced):
                    builder.branch(leave)
        with self._loop(k, steps):
            self._decay()
            builder.store(builder.add(builder.load(k, typ=INT64), INT64(1)), k)
        for i, slots in enumerate(self.slots):
            for slot, place in zip(slots, places, strict=True):
                self.store(builder.load(slot, typ=self.vector), place, i)
        builder.ret_void()

    def _rests(self, first: Any, second: Any, l2: Any, decay: Any) -> Any:
        """Return whether parameters come to rest: without a penalty, and where Adam's steps become smaller."""
        builder = self.builder
        free = builder.and_(*(builder.fcmp_ordered("==", number, DOUBLE(0.0)) for number in (l2, decay)))
        if self.moments < 2:
            return free
        return builder.and_(free, builder.fcmp_ordered("<", builder.fmul(first, first), second))

    def _step(self, numbers: Any, decay: Any) -> Any:
        """Emit a step; return the lanes of which no vector's parameter has changed."""
        builder, found = self.builder, dict(self.constants)
        given = [
            builder.load(builder.gep(numbers, [INT64(i)], source_etype=DOUBLE), typ=DOUBLE) for i in range(len(NUMBERS))
        ]
        found |= {name: self._number(number) for name, number in zip(NUMBERS, given, strict=True)}
        found["keep"] = self._number(builder.fsub(DOUBLE(1.0), builder.fmul(given[0], decay)))
        zero, still = ir.Constant(self.vector, None), None
        for slots in self.slots:
            before = [builder.load(slot, typ=self.vector) for slot in slots]
            after = emit(builder, self.equation, [zero, *before, *(found[x] for x in signature(self.equation).numbers)])
            for slot, value in zip(slots, after, strict=True):
                builder.store(value, slot)
            same = builder.fcmp_ordered("==", before[0], after[0])
            still = same if still is None else builder.and_(still, same)
        return still

    def _decay(self) -> None:
        """Emit what a step does to moments of parameters that rest."""
        names = ("second",) if self.equation is updates.rmsprop else ("first", "second")
        for slots in self.slots:
            for slot, name in zip(slots[1:], names, strict=False):
                value = self.builder.load(slot, typ=self.vector)
                self.builder.store(self.builder.fmul(value, self.constants[name]), slot)

    @contextmanager
    def _loop(self, k: Any, steps: Any) -> Any:
        """Emit a loop while a counter in a slot is less; yield the block behind it."""
        builder = self.builder
        head, body, behind = (self.function.append_basic_block(name) for name in ("head", "body", "behind"))
        builder.branch(head)
        builder.position_at_end(head)
        builder.cbranch(builder.icmp_signed("<", builder.load(k, typ=INT64), steps), body, behind)
        builder.position_at_end(body)
        yield behind
        builder.branch(head)
        builder.position_at_end(behind)

    def _number(self, number: Any) -> Any:
        single = number if isinstance(self.scalar, ir.DoubleType) else self.builder.fptrunc(number, self.scalar)
        return broadcast(self.builder, single, self.vector)


def _missed(equation: Any) -> Any:
    """Return the intrinsics of four vectors, of one and of a part: (units, steps, numbers, constants, pointers)."""

    def of(vectors: int) -> Any:
        def typing(typingctx, units, steps, numbers, first, second, l2, decay, places):
            number = require_pointer(*places)

            def codegen(context, builder, signature, args):
                *given, pack = args
                emitted = _Missed(builder.module, equation, context.get_value_type(number), vectors)
                builder.call(emitted.function, [*given, *cgutils.unpack_tuple(builder, pack)])
                return context.get_dummy_value()

            real = types.float64
            return types.void(types.int64, types.int64, numbers, real, real, real, real, places), codegen

        return intrinsic(typing)

    return map(of, (4, 1, 0))


def _with_one(equation: Any) -> Any:
    """Return the kernel that takes the steps of a rule with one moment."""
    four, single, part = _missed(equation)

    @kernel
    def take(steps, numbers, first, second, l2, decay, n, theta, m):
        """Take the steps of n parameters: of four vectors at a time, of one, and of a part of one."""
        j = 0
        while n - j >= 4 * lanes(theta):
            four(0, steps, numbers, first, second, l2, decay, (advance(theta, j), advance(m, j)))
            j += 4 * lanes(theta)
        while n - j >= lanes(theta):
            single(0, steps, numbers, first, second, l2, decay, (advance(theta, j), advance(m, j)))
            j += lanes(theta)
        if n > j:
            part(n - j, steps, numbers, first, second, l2, decay, (advance(theta, j), advance(m, j)))

    return take


def _with_two(equation: Any) -> Any:
    """Return the kernel that takes the steps of a rule with two moments."""
    four, single, part = _missed(equation)

    @kernel
    def take(steps, numbers, first, second, l2, decay, n, theta, m, v):
        """Take the steps of n parameters: of four vectors at a time, of one, and of a part of one."""
        j = 0
        while n - j >= 4 * lanes(theta):
            four(0, steps, numbers, first, second, l2, decay, (advance(theta, j), advance(m, j), advance(v, j)))
            j += 4 * lanes(theta)
        while n - j >= lanes(theta):
            single(0, steps, numbers, first, second, l2, decay, (advance(theta, j), advance(m, j), advance(v, j)))
            j += lanes(theta)
        if n > j:
            part(n - j, steps, numbers, first, second, l2, decay, (advance(theta, j), advance(m, j), advance(v, j)))

    return take


momentum_steps, nesterov_steps = _with_one(updates.momentum), _with_one(updates.nesterov)
rmsprop_steps, adamw_steps = _with_one(updates.rmsprop), _with_two(updates.adamw)


@kernel
def take_missed_steps(rule, variant, steps, numbers, first, second, l2, decay, n, theta, m1, m2):
    """Take steps of a rule with moments, of n parameters whose gradient is l2 theta."""
    if rule == SGD:
        if variant != 0.0:
            nesterov_steps(steps, numbers, first, second, l2, decay, n, theta, m1)
        else:
            momentum_steps(steps, numbers, first, second, l2, decay, n, theta, m1)
    elif rule == RMSPROP:
        rmsprop_steps(steps, numbers, first, second, l2, decay, n, theta, m1)
    else:
        adamw_steps(steps, numbers, first, second, l2, decay, n, theta, m1, m2)
