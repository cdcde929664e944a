"""Equations as LLVM code: of numbers or vectors that a kernel holds, each compiled once as a function of its own.

A kernel calls what `of_lanes` makes of an equation (``sigmoid_``); loops over arrays are in maps.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from fastnn._equations.algebra import Equation, Value, signature, trace
from fastnn._kernels.numba.simd import HAS_FMA, INT32, LEVEL, call, fma, function, require_lanes, type_name

REALS = {32: ir.FloatType(), 64: ir.DoubleType()}
FMA = frozenset({"fma"} if HAS_FMA else ())
AVX512 = FMA | {"scalef", "rsqrt14", "rcp14"}


def emit(builder: ir.IRBuilder, equation: Equation, values: Sequence[Any]) -> list[Any]:
    """Emit an equation of numbers or vectors of one type; return its results."""
    return _Emitter(builder, values[0].type).results(equation, values)


class _Emitter:
    """Emits an equation's steps for one type: a float or a vector of floats."""

    def __init__(self, builder: ir.IRBuilder, kind: Any) -> None:
        self.builder, self.kind = builder, kind
        self.lanes = kind.count if isinstance(kind, ir.VectorType) else None
        self.bits = 64 if REALS[64] in (kind, getattr(kind, "element", None)) else 32
        self.integers = ir.IntType(self.bits)
        if self.lanes:
            self.integers = ir.VectorType(self.integers, self.lanes)

    def results(self, equation: Equation, values: Sequence[Any]) -> list[Any]:
        wide = LEVEL.name == "avx512" and self.lanes
        steps = trace(equation, self.bits, AVX512 if wide else FMA)
        known = dict(zip(steps.inputs, values, strict=True))

        def known_or_constant(value: Value) -> Any:
            return self.constant(value) if value.operation == "constant" else known[value]

        for step in steps.steps:
            known[step] = self.step(step, *map(known_or_constant, step.operands))
        return [known_or_constant(result) for result in steps.results]

    def constant(self, value: Value) -> ir.Constant:
        kind = self.kind if value.kind == "real" else self.integers
        return ir.Constant(kind, [value.number] * self.lanes if self.lanes else value.number)

    def step(self, step: Value, *x: Any) -> Any:
        """Emit one step."""
        builder, name = self.builder, step.operation
        match name:
            case "add" | "sub" | "mul" | "div" if step.kind == "real":
                return getattr(builder, f"f{name}")(*x)
            case "add" | "sub" | "shl" | "ashr":
                return getattr(builder, name)(*x)
            case "and" | "or":
                return getattr(builder, f"{name}_")(*x)
            case "lt" | "gt" | "ge" | "eq":
                return builder.fcmp_ordered({"lt": "<", "gt": ">", "ge": ">=", "eq": "=="}[name], *x)
            case "select":
                return builder.select(*x)
            case "at_least" | "at_most":
                return builder.select(builder.fcmp_ordered("<" if name == "at_least" else ">", *x), x[1], x[0])
            case "fma":
                return fma(builder, *x)
            case "sqrt":
                return call(builder, self.kind, f"llvm.sqrt.{type_name(self.kind)}", *x)
            case "as_integer":
                return builder.bitcast(*x, self.integers)
            case "as_real":
                return builder.bitcast(*x, self.kind)
            case "to_real":
                return builder.sitofp(*x, self.kind)
            case "scalef":
                rounding = INT32(4)  # the one in use
                return self.avx512("mask.scalef", *x, x[0], self.every, rounding)
            case "rsqrt14" | "rcp14":
                return self.avx512(name, *x, x[0], self.every)
        raise NotImplementedError(name)

    @property
    def every(self) -> ir.Constant:
        return ir.Constant(ir.IntType(self.lanes), -1)

    def avx512(self, name: str, *arguments: Any) -> Any:
        name = f"llvm.x86.avx512.{name}.{'ps' if self.bits == 32 else 'pd'}.512"
        return call(self.builder, self.kind, name, *arguments)


def of_lanes(equation: Equation, inline: bool = False) -> Any:
    """Make the intrinsic that computes an equation of one to four floats, or as many vectors, of one type.

    A long one stays out of line: inlined into a loop, its constants would all be kept in registers around it, or on the
    stack.
    """

    def lower(*shapes):
        shape = require_lanes(*shapes)

        def codegen(context, builder, _, args):
            if inline:
                (result,) = emit(builder, equation, args)
                return result
            return call_equation(builder, equation, args)

        return shape(*shapes), codegen

    typings = (
        lambda _, x: lower(x),
        lambda _, x, y: lower(x, y),
        lambda _, x, y, slope: lower(x, y, slope),
        lambda _, x, y, a, b: lower(x, y, a, b),
    )
    return intrinsic(typings[len(signature(equation).inputs) - 1])


def call_equation(builder: ir.IRBuilder, equation: Equation, args: Sequence[Any]) -> Any:
    """Emit a call to the function of an equation, which the module gets once for each type."""
    kind = args[0].type
    name = f"fastnn_{equation.__name__}_{type_name(kind)}"
    compute, is_new = function(builder.module, name, kind, [kind] * len(args))
    if is_new:
        body = ir.IRBuilder(compute.append_basic_block())
        body.ret(*emit(body, equation, compute.args))
    return builder.call(compute, args)
