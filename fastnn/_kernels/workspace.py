"""The memory of a job as one block of pieces: a pure function of the layout, the division and the request.

Constants come first, then the struct, whose cursor is its end; then what holds zeros when a call begins; then the rest,
which is written before it is read. So one run of bytes, from the cursor on, is cleared for each call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from fastnn._kernels.division import Division, Request
from fastnn._kernels.drivers.primitives import DIGIT_BITS, NUMBERS_OF_STEP, SPARSE_PIECE
from fastnn._kernels.layout import Layout
from fastnn._kernels.schema import CACHE_LINE, COLUMNS, FIRST_WORDS, STRUCT_WORDS, WORD

TEAM_LINES = 3  # cache lines of the team's words, in front of one for each thread's ticket

Piece = tuple[str, int]  # name, bytes


@dataclass(frozen=True)
class Workspace:
    """Where everything lies in a job's memory.

    Attributes
    ----------
    offsets : dict of str to int
        The first byte of each piece, at the beginning of a cache line; copies of a layer's weights have its number
        behind their name.
    size : int
        Bytes of all pieces.
    cleared : (int, int)
        The first byte that is cleared when a call begins, and the one after the last.
    columns : dict of str to tuple of int
        Columns of the layer table: offsets in a tile or a gradient, in elements.
    sizes : dict of str to int
        Fields of the struct: sizes in elements.
    """

    offsets: dict[str, int]
    size: int
    cleared: tuple[int, int]
    columns: dict[str, tuple[int, ...]]
    sizes: dict[str, int]


def lay_out(layout: Layout, division: Division, request: Request, loss_numbers: bool = False) -> Workspace:
    """Return the workspace of a division of the work, of a loss that has a number for each output or none."""
    columns, compact = _columns_of_a_tile(layout, division.tile_rows)
    columns["sums"], sums_size = _offsets(_sums(layout, request.lazy))
    sizes = {
        "compact": compact,
        # outputs, targets and losses without padding come last in a tile
        "tile_size": layout.lines(compact + 3 * division.tile_rows * layout.n_out[-1]),
        "sums_size": sums_size,
        # as many rows as a vector has lanes, taken as columns; and their labels
        "logits_size": layout.lines((layout.width_out[-1] + 1) * layout.lanes),
        "partials_size": _partials(layout, division),
        "scratch_size": layout.lines(_scratch(layout, division, request)),
    }
    constants = list(_constants(layout, division, loss_numbers))
    zeros = list(_zeros(layout, division, request, sizes))
    rest = list(_rest(layout, division, request, sizes))
    pieces = [*constants, ("struct", STRUCT_WORDS * WORD), *zeros, *rest]
    lengths = [-(-length // CACHE_LINE) * CACHE_LINE for _, length in pieces]
    starts = [0, *accumulate(lengths)]
    offsets = {name: start for (name, _), start in zip(pieces, starts, strict=False)}
    cleared = offsets["struct"] + FIRST_WORDS["cursor"] * WORD, starts[len(constants) + 1 + len(zeros)]
    return Workspace(offsets, starts[-1], cleared, columns, sizes)


def _columns_of_a_tile(layout: Layout, rows: int) -> tuple[dict[str, tuple[int, ...]], int]:
    """Return where each layer's outputs and deltas lie in a tile, and what its derivative needs.

    The output's delta takes the output's place.
    """
    outputs, end = _offsets(rows * width for width in layout.width_out)
    deltas, end = _offsets((rows * width for width in layout.width_out[:-1]), end)
    own, end = _offsets(
        (rows * width * saves for width, saves in zip(layout.width_out, layout.saves, strict=True)), end
    )
    saved = tuple(own[i] if saves else outputs[i] for i, saves in enumerate(layout.saves))
    return {"outputs": outputs, "saved": saved, "deltas": (*deltas, outputs[-1])}, end


def _sums(layout: Layout, lazy: bool) -> Iterator[int]:
    """Yield the elements of the sums of each layer's gradient; lazily the first one's are those of a row at a time.

    The last row is the biases' gradient. Flipped sums have a row for each output, then the biases', and room for the
    weights' once more, as they lie in the parameters.
    """
    for layer, (n_in, n_out, width_in, width_out, flipped) in enumerate(
        zip(layout.n_in, layout.n_out, layout.width_in, layout.width_out, layout.flipped, strict=True)
    ):
        if layer == 0 and lazy:
            yield 0
        elif flipped:
            yield n_out * width_in + layout.lanes + layout.padded(n_in * n_out)
        else:
            yield (n_in + 1) * width_out


def _partials(layout: Layout, division: Division) -> int:
    """Return the elements of a second part of products; in the walk, of the first layer's and a turn's or deltas'."""
    size = layout.lines(division.tile_rows * max(layout.width_out))
    if not division.turned:
        return size
    return max(size, layout.lines(2 * division.turned * (layout.width_out[1] + division.tile_rows)))


def _scratch(layout: Layout, division: Division, request: Request) -> int:
    """Return the elements of a thread's own memory: of a sample's vectors, or of a block of weights and the biases."""
    widest = max(layout.width_out)
    if request.per_sample:
        return max(division.tile_rows, (3 if division.turned else 1) * widest)
    longest = max((end - begin for _, begin, end in division.blocks), default=0)
    return (layout.padded(longest) + 1) * widest


def _constants(layout: Layout, division: Division, loss_numbers: bool) -> Iterator[Piece]:
    yield "table", layout.layers * len(COLUMNS) * WORD
    yield "block_table", 3 * len(division.blocks) * WORD
    yield "slopes", layout.layers * WORD
    yield "dropouts", layout.layers * WORD
    yield "one", layout.itemsize
    if loss_numbers:
        yield "loss_numbers", division.tile_rows * layout.n_out[-1] * layout.itemsize


def _zeros(layout: Layout, division: Division, request: Request, sizes: dict[str, int]) -> Iterator[Piece]:
    rows, tiles = division.tile_rows, _tiles(division)
    yield "team", (TEAM_LINES + division.threads) * CACHE_LINE
    yield "row_losses", tiles * rows * WORD
    yield "chunk_losses", division.chunks * WORD
    yield "norms", len(division.blocks) * request.clipped * WORD
    yield "loss", WORD
    elements = {"tiles": tiles * sizes["tile_size"], "logits": division.threads * sizes["logits_size"]}
    if request.per_sample:
        elements["gathered"] = 2 * rows * layout.width_in[0]
        elements["gram"] = (2 * rows + 1) * rows
        yield "block_weights", rows * WORD
    elif (request.ordered or request.stored) and not division.window and not request.entries:
        elements["gathered"] = tiles * rows * layout.width_in[0]
    elements |= _copies(layout, division, request)
    if request.lazy:
        yield "current", layout.n_in[0] * WORD
    yield from ((name, count * layout.itemsize) for name, count in elements.items())


def _copies(layout: Layout, division: Division, request: Request) -> dict[str, int]:
    """Return the elements of padded weights where units do not fill vectors, and of transposed ones.

    What only goes forward needs transposed weights for a single output alone. One column, where lanes are 1, is its
    own transposed copy.
    """
    elements = {}
    for layer, (n_in, n_out, width_in, width_out) in enumerate(
        zip(layout.n_in, layout.n_out, layout.width_in, layout.width_out, strict=True)
    ):
        if n_out != width_out and not (layer == 0 and request.entries):
            elements[f"packed {layer}"], elements[f"bias {layer}"] = n_in * width_out, width_out
        if layer >= division.plain_layers(request.per_sample) and (request.backward or width_out == 1):
            elements[f"transposed {layer}"] = n_out * width_in
    return elements


def _rest(layout: Layout, division: Division, request: Request, sizes: dict[str, int]) -> Iterator[Piece]:
    elements = {}
    if request.backward and not request.per_sample:
        elements["sums"] = division.chunks * sizes["sums_size"]
    if division.shared:
        elements["partials"] = 2 * sizes["partials_size"]
        elements["scratch"] = division.threads * sizes["scratch_size"]
    if division.window:
        elements["staged"] = 2 * division.window * layout.n_in[0]
        elements["staged_targets"] = 2 * division.window * max(WORD // layout.itemsize, layout.n_out[-1])
        yield "staged_weights", 2 * division.window * WORD
    if request.entries:
        yield from _sparse(division, request, layout.itemsize)
    yield from ((name, count * layout.itemsize) for name, count in elements.items())


def _sparse(division: Division, request: Request, itemsize: int) -> Iterator[Piece]:
    """Yield what sparse samples need: a tile's stored numbers, sorted, and some of a row for each thread."""
    yield "piece_indices", division.threads * SPARSE_PIECE * WORD
    yield "piece_values", division.threads * SPARSE_PIECE * itemsize
    if request.backward:
        yield "keys", 2 * request.entries * WORD
        yield "values", 2 * request.entries * itemsize
        yield "columns", request.entries * WORD
        yield "begins", (request.entries + 1) * WORD
        yield "digits", (1 << DIGIT_BITS) * WORD
    if request.lazy:
        yield "step_numbers", NUMBERS_OF_STEP * -(-request.samples // request.batch_size) * WORD


def _tiles(division: Division) -> int:
    """Return how many tiles are under way at a time."""
    return 1 if division.shared else division.threads


def _offsets(sizes: Iterable[int], start: int = 0) -> tuple[tuple[int, ...], int]:
    """Return where each of several consecutive pieces begins, and where the last one ends."""
    *starts, end = accumulate(sizes, initial=start)
    return tuple(starts), end
