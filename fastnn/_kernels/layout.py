"""How a network's layers lie in vectors: their units padded to whole ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from fastnn._kernels.schema import CACHE_LINE


@dataclass(frozen=True)
class Layout:
    """A network's layers at a vector's width; tuples have an entry for each layer of weights.

    Attributes
    ----------
    lanes, itemsize : int
        Numbers in a vector, and the bytes of one.
    n_in, n_out : tuple of int
        Units.
    width_in, width_out : tuple of int
        Units up to whole vectors. A single output behind a hidden layer is a dot product, of width 1: its lanes would
        be empty but for one.
    saves : tuple of bool
        Whether what the derivative of a layer's activation needs has memory of its own.
    """

    lanes: int
    itemsize: int
    n_in: tuple[int, ...]
    n_out: tuple[int, ...]
    width_in: tuple[int, ...]
    width_out: tuple[int, ...]
    saves: tuple[bool, ...]

    @property
    def layers(self) -> int:
        """How many layers of weights there are."""
        return len(self.n_in)

    @cached_property
    def weights(self) -> tuple[int, ...]:
        """Weights of each layer, padding included."""
        return tuple(n * width for n, width in zip(self.n_in, self.width_out, strict=True))

    @cached_property
    def flipped(self) -> tuple[bool, ...]:
        """Whether the sums of a layer's gradient lie transposed.

        That is where rows of weights are one vector or less: a gradient's register tile, so narrow, would wait for
        loads, and where outputs are few its lanes would be empty. The first layer's inputs are not padded.
        """
        return (False, *(width <= self.lanes for width in self.width_out[1:]))

    @property
    def line(self) -> int:
        """Elements of a cache line."""
        return CACHE_LINE // self.itemsize

    def padded(self, n: int) -> int:
        """Return n rounded up to whole vectors."""
        return -(-n // self.lanes) * self.lanes

    def lines(self, elements: int) -> int:
        """Return elements rounded up to whole cache lines."""
        return -(-elements // self.line) * self.line

    def line_below(self, elements: int) -> int:
        """Return elements rounded down to whole cache lines."""
        return elements // self.line * self.line


@lru_cache(maxsize=256)
def layout(sizes: tuple[int, ...], lanes: int, itemsize: int, saves: tuple[bool, ...] | None = None) -> Layout:
    """Return the layout of a network's layers, of these sizes, in vectors of so many lanes; by default none saves."""
    padded = [-(-n // lanes) * lanes for n in sizes]
    last = 1 if len(sizes) > 2 and sizes[-1] == 1 else padded[-1]
    saves = saves or (False,) * (len(sizes) - 1)
    return Layout(lanes, itemsize, sizes[:-1], sizes[1:], tuple(padded[:-1]), (*padded[1:-1], last), saves)
