"""Vectors of consecutive numbers, the last of which may be a part of one: what is left over is masked."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from fastnn._kernels.numba.simd import INT32, INT64, broadcast, call, element_size, type_name, vector_type


def first_lanes(builder: ir.IRBuilder, count: Any, vector: ir.VectorType) -> Any:
    """Return the mask of a vector's first ``count`` lanes."""
    numbers = ir.VectorType(INT32, vector.count)
    counts = broadcast(builder, builder.trunc(count, INT32), numbers)
    return builder.icmp_signed("<", ir.Constant(numbers, list(range(vector.count))), counts)


def load_where(builder: ir.IRBuilder, mask: Any, base: Any, vector: ir.VectorType) -> Any:
    """Return the numbers of a mask's lanes, others 0."""
    align, zero = INT32(element_size(vector.element)), ir.Constant(vector, None)
    return call(builder, vector, f"llvm.masked.load.{type_name(vector)}.p0", base, align, mask, zero)


def store_where(builder: ir.IRBuilder, mask: Any, value: Any, base: Any) -> None:
    """Write the numbers of a mask's lanes."""
    vector = value.type
    align, name = INT32(element_size(vector.element)), f"llvm.masked.store.{type_name(vector)}.p0"
    call(builder, ir.VoidType(), name, value, base, align, mask)


class Columns:
    """So many vectors of columns; without a number of vectors, a part of one. Base of what emits a function of them.

    Attributes
    ----------
    vectors : int
        How many vectors there are, or 1 of which there is a part.
    part : bool
        Whether there is a part of one; ``mask`` then has its lanes.
    """

    builder: ir.IRBuilder
    mask: Any

    def __init__(self, scalar: Any, vectors: int) -> None:
        self.scalar, self.vector, self.vectors, self.part = scalar, vector_type(scalar), max(vectors, 1), vectors == 0

    def begin(self, units: Any) -> None:
        """Emit what comes first: the mask of so many units, where there is a part of a vector."""
        if self.part:
            self.mask = first_lanes(self.builder, units, self.vector)

    def load(self, base: Any, i: int) -> Any:
        """Emit the i-th vector's load."""
        if self.part:
            return load_where(self.builder, self.mask, base, self.vector)
        return self.builder.load(self._at(base, i), align=element_size(self.scalar), typ=self.vector)

    def store(self, value: Any, base: Any, i: int) -> None:
        """Emit the i-th vector's store."""
        if self.part:
            store_where(self.builder, self.mask, value, base)
        else:
            self.builder.store(value, self._at(base, i), align=element_size(self.scalar))

    def _at(self, base: Any, i: int) -> Any:
        return self.builder.gep(base, [INT64(i * self.vector.count)], source_etype=self.scalar)
