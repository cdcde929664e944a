"""How the work of a call is divided: a pure function of the network, the request, the threads and the costs.

The words for parts of the work, each with one meaning:

========  ==============================================================================================================
epoch     a pass over all samples
step      one update of the parameters, from a batch of samples; of per-sample descent, from one sample
batch     the samples of a step
chunk     consecutive samples of a batch with a gradient of their own; two neighbours are a pair
tile      the rows, of a chunk or of a batch, that go through all layers while they are in cache
register  as in register tile: the rows and columns of a product whose sums stay in registers
panel     columns of a matrix as wide as a register tile, copied together for a product
part      one of two halves of a layer's units (or inputs): each thread keeps to the same one
group     a share of a tile's rows, or of a part's units, so that every thread has one
block     of a gradient: consecutive rows of one layer's weights; of per-sample descent: consecutive samples, whose
          updates are deferred to its end
walk      the way through a block's samples, one after the other
turn      the way from one sample to the next in a deferred second layer
window    the samples that a second thread copies together ahead of the first; it takes them in pieces
phase     tasks of one kind that are open at a time; a thread claims one task after the other
granule   the samples at whose multiples kernel calls begin
========  ==============================================================================================================

Rows (samples) pass forward and backward independently of each other, and so do blocks of the gradient; each sum over
samples is added in an order that follows from the shapes alone. So a result depends neither on the number of threads
nor on which of them did what.

- If the network has more weights than the batch has activations, or is too large for a second gradient, all threads
  share a tile. Its rows are divided among them, and then the gradient's blocks. But large layers are divided by their
  units: each thread keeps to the same rows of their weights, multiplies them with its columns of the layer's inputs,
  computes the deltas of those inputs, and updates them. Then products and deltas cross from core to core, not weights.
- Any other step is cut into chunks: a thread takes a chunk through all its tiles on its own, each forward, backward and
  into the gradient while it is in cache. Their number depends on the batch and the network alone. Gradients are added
  in pairs, then the pairs: a thread that takes both chunks of a pair, of one tile each, adds the second's to the
  first's as it computes it, with the same result.
- Per-sample descent goes in blocks; docs/exact-sgd.md derives it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from fastnn._kernels.layout import Layout

Block = tuple[int, int, int]  # layer, first row, the one after the last


@dataclass(frozen=True)
class Costs:
    """The sizes from which one way is faster than another, as measured.

    Attributes
    ----------
    tile_rows, shared_tile_rows : int
        Rows of a tile, 1.5 times as many at most: of a chunk, and of one that threads share. A chunk's deltas stay in
        the first-level cache while they go into the gradient, whose rows pass by (54-100-100-7 and 200-64-32-5, full
        batch, are 5 to 8 % slower with 240 or 480 rows). Longer shared ones leave the core's cache (784-512-512-10 on
        two threads: 297 GFLOP/s at 192 rows, 264 at 384), shorter ones pass the gradient more often.
    max_chunk_bytes : int
        Of a gradient for each chunk: it fits in the core's own cache beside the weights. At half the size, 784-128-10
        in float64 and full batch took 2.7 times as long as in float32 in place of 2.1.
    chunk_rows, min_chunks, max_chunks : int
        Rows of a chunk, and how many there are. With 96 rows, batches of 1,000 took 12 to 19 % longer: each chunk's
        gradient is written, and added.
    divided_weights, inputs_to_a_row : int
        A layer is divided by its units if it has so many weights, and as many inputs to each of a tile's rows.
    block_rows : int
        Rows of a gradient's block: whole register tiles of 6 or 12 rows, and whole cache lines transposed.
    operations_per_step, operations_per_call : float
        Floating-point operations below which a second thread costs more than it saves: the two barriers of a step
        (about 1 us), and waking threads for a call: 10 to 50 us, but 8 ms if other processes have the cores.
    window_samples : int
        A network too small for two threads visits its rows in random order, each of them some cache misses: a third of
        its time. A second thread copies so many together, ahead of the first.
    block_samples : int
        Samples of a block of per-sample descent: a multiple of the four rows of `gram_rows`, of the eight samples that
        are prepared at a time, and of a vector's lanes, up to 16.
    deferred_weights, walk_weights : int
        Weights that make a layer's update worth deferring to the block's end, where products of whole blocks take its
        place: of the first layer, and of a deeper one. That is then divided between two threads that meet in each
        sample, if it has two cache lines of units (the second one of inputs, later ones of outputs); each half of that
        is worth another thread. Fewer would do where a cache line takes 100 ns from core to core and back
        (64-224-224-10: 4.5 us a sample for 5.9), not where it takes 500 (9.6 for 5.9).
    turn_weights, turn_units : int
        Of a task of the turn: each has a summand of the second layer's outputs. Units of the first layer, at least:
        before a wide second one, most tasks would have a summand and no units.
    sparse_tile_rows, sparse_blocks : int
        Rows of a tile of sparse samples, whose stored numbers are sorted together; the most blocks of their weights.
    """

    tile_rows: int = 96
    shared_tile_rows: int = 192
    max_chunk_bytes: int = 1024 * 1024
    chunk_rows: int = 192
    min_chunks: int = 4
    max_chunks: int = 32
    divided_weights: int = 16384
    inputs_to_a_row: int = 2
    block_rows: int = 48
    operations_per_step: float = 4e5
    operations_per_call: float = 2e8
    window_samples: int = 1024
    block_samples: int = 32
    deferred_weights: int = 16384
    walk_weights: int = 65536
    turn_weights: int = 131072
    turn_units: int = 32
    sparse_tile_rows: int = 1024
    sparse_blocks: int = 4096


COSTS = Costs()


class Request(NamedTuple):
    """What a call is asked for.

    Attributes
    ----------
    samples, batch_size, epochs : int
        How many samples to visit in each epoch, and in a step.
    backward, training : bool
        Whether there is a gradient, and whether it changes the parameters.
    per_sample : bool
        Whether the kernels of per-sample descent do it.
    ordered : bool
        Whether rows are visited in an order that is given.
    clipped : bool
        Whether the gradient's norm is limited: no parameter changes before the whole gradient is there.
    stored : bool
        Whether rows of X must be read, into memory of a tile or a block, in whatever order they are visited.
    entries : int
        Of sparse samples: the most numbers that are stored of a tile's rows, at least 1; 0: samples are dense.
    lazy : bool
        Whether the weights of inputs that a step's samples do not have are brought up to date later.
    """

    samples: int
    batch_size: int
    epochs: int = 1
    backward: bool = False
    training: bool = False
    per_sample: bool = False
    ordered: bool = False
    clipped: bool = False
    stored: bool = False
    entries: int = 0
    lazy: bool = False


@dataclass(frozen=True)
class Division:
    """The parts that a call's work is divided in; tuples have an entry for each layer of weights.

    Attributes
    ----------
    threads : int
        How many work on it; no other part depends on it but the groups, windows and pairs.
    tile_rows, task_rows : int
        Rows of a tile, and of a task of a shared one.
    shared : bool
        Whether all threads share a tile.
    chunks : int
        How many gradients there are.
    paired : bool
        Whether a thread takes both chunks of a pair.
    rows_ahead : int
        How far ahead rows are asked for: those of the thread's next tile, or of the next batch if each has one tile.
    divided : int
        How many layers, from the first on, are divided by their units.
    window : int
        Samples that a second thread copies together ahead; 0: it does not.
    blocks : tuple of Block
        Of the gradient, or of the weights in per-sample descent.
    split : tuple of int
        The row at which a layer is divided in two parts; 0: it is not.
    first_block : tuple of int
        A divided layer's first block.
    deferred : tuple of bool
        Whether per-sample descent defers a layer's update to the block's end.
    turned : int
        Into how many tasks each part of the turn is divided; 0: there is no turn.
    """

    threads: int
    tile_rows: int
    task_rows: int
    shared: bool
    chunks: int
    paired: bool
    rows_ahead: int
    divided: int
    window: int
    blocks: tuple[Block, ...]
    split: tuple[int, ...]
    first_block: tuple[int, ...]
    deferred: tuple[bool, ...]
    turned: int

    @property
    def walk_divided(self) -> bool:
        """Whether any layer of a sample's walk is divided."""
        return any(self.deferred) and any(self.split[1:])

    def plain_layers(self, per_sample: bool) -> int:
        """Return how many of the first layers need no transposed copy of their weights."""
        if per_sample:
            return 2 if self.turned else 1
        return max(1, self.divided)


def divide(layout: Layout, request: Request, available: int, costs: Costs) -> Division:
    """Return how the work is divided among at most so many threads."""
    if request.per_sample:
        return _divide_samples(layout, request, available, costs)
    operations = 6 * sum(layout.weights[1:] if request.entries else layout.weights)
    if request.entries:
        operations += 6 * layout.width_out[0] * -(-request.entries // sparse_tile(request.batch_size, costs))
    worthwhile = request.batch_size * operations / costs.operations_per_step  # threads
    limit = int(request.epochs * request.samples * operations / costs.operations_per_call)
    available = max(1, min(available, limit))
    threads = max(1, min(available, int(worthwhile)))
    if request.entries and request.backward:
        return _divide_sparse(layout, request, threads, costs)
    if _shares_tiles(layout, request, costs):
        return _divide_shared(layout, request, threads, costs)
    return _divide_chunks(layout, request, threads, available, worthwhile, costs)


def _shares_tiles(layout: Layout, request: Request, costs: Costs) -> bool:
    """Return whether all threads share a tile."""
    gradient_bytes = sum(layout.weights) * layout.itemsize
    activation_bytes = request.batch_size * sum(layout.width_out) * layout.itemsize
    return request.backward and gradient_bytes > min(activation_bytes, costs.max_chunk_bytes)


def _divide_shared(layout: Layout, request: Request, threads: int, costs: Costs) -> Division:
    rows = _even_part(request.batch_size, costs.shared_tile_rows)
    divided = _divided_layers(layout, rows, costs)
    split = tuple(layout.line_below(n // 2) if i < divided else 0 for i, n in enumerate(layout.n_in))
    blocks, first_block = _blocks(layout, divided, split, costs.block_rows)
    return Division(
        threads=threads,
        tile_rows=rows,
        task_rows=_task_rows(rows, threads, costs),
        shared=True,
        chunks=1,
        paired=False,
        rows_ahead=rows if request.batch_size > rows else request.batch_size,
        divided=divided,
        window=0,
        blocks=blocks,
        split=split,
        first_block=first_block,
        deferred=(False,) * layout.layers,
        turned=0,
    )


def sparse_tile(batch_size: int, costs: Costs) -> int:
    """Return the rows of a tile of sparse samples."""
    return _even_part(batch_size, costs.sparse_tile_rows)


def _divide_sparse(layout: Layout, request: Request, threads: int, costs: Costs) -> Division:
    """Divide a tile's rows, then the gradient's blocks: lazily, the first layer has that of its biases alone."""
    rows, none, n_in = sparse_tile(request.batch_size, costs), (0,) * layout.layers, layout.n_in[0]
    length = max(costs.block_rows, -(-n_in // costs.sparse_blocks))
    later = [block for layer in range(1, layout.layers) for block in _whole_layer(layout, layer, costs.block_rows)]
    first = [(0, n_in, n_in + 1)] if request.lazy else _whole_layer(layout, 0, length)
    return Division(
        threads=threads,
        tile_rows=rows,
        task_rows=max(1, min(_task_rows(rows, threads, costs), -(-rows // (4 * threads)))),
        shared=True,
        chunks=1,
        paired=False,
        rows_ahead=0,
        divided=0,
        window=0,
        blocks=(*later, *first),
        split=none,
        first_block=none,
        deferred=(False,) * layout.layers,
        turned=0,
    )


def _whole_layer(layout: Layout, layer: int, length: int) -> list[Block]:
    return _blocks_of(layer, 0, layout.n_in[layer] + 1, length)


def _divide_chunks(
    layout: Layout, request: Request, threads: int, available: int, worthwhile: float, costs: Costs
) -> Division:
    batch = request.batch_size
    chunks = min(costs.max_chunks, max(-(-batch // costs.chunk_rows), min(costs.min_chunks, int(worthwhile / 2))))
    longest = -(-batch // chunks)
    rows = _even_part(longest, costs.tile_rows)
    none = (0,) * layout.layers
    division = Division(
        threads=threads,
        tile_rows=rows,
        task_rows=_task_rows(rows, threads, costs),
        shared=False,
        chunks=chunks,
        paired=2 * threads <= chunks and longest <= rows,
        rows_ahead=rows if longest > rows else batch,
        divided=0,
        window=0,
        blocks=_blocks(layout, 0, none, costs.block_rows)[0] if request.backward else (),
        split=none,
        first_block=none,
        deferred=(False,) * layout.layers,
        turned=0,
    )
    if threads == 1 and available > 1 and request.ordered:
        return replace(division, threads=2, window=-(-costs.window_samples // batch) * batch)
    return division


def _divide_samples(layout: Layout, request: Request, available: int, costs: Costs) -> Division:
    """Choose the deferred and the divided layers, and the threads of per-sample descent."""
    weights = layout.weights
    deferred = [n >= costs.walk_weights and width > 1 for n, width in zip(weights, layout.width_out, strict=True)]
    has_turn = any(deferred[1:2])
    # the first layer's corrections are a part of the turn
    deferred[0] = has_turn or (weights[0] >= costs.deferred_weights and layout.width_out[0] > 1)
    plain = 2 if has_turn else 1
    rows = [*layout.n_in[:plain], *layout.n_out[plain:]]  # of weights, of transposed ones where they are
    split = tuple(layout.line_below(n // 2) if late else 0 for n, late in zip(rows, deferred, strict=True))
    turned = _turn_tasks(layout, split, costs) if has_turn else 0
    whole = 6 * sum(weights) * request.samples * request.epochs / costs.operations_per_call
    worthwhile = _threads_of_a_walk(layout, split, deferred, turned, costs)
    # A thread has the blocks of the part of a layer that it multiplies with: the first parts come first.
    first = [_blocks_of(layer, 0, end, costs.block_rows) for layer, end in enumerate(split)]
    undivided = [_blocks_of(layer, 0, rows[layer], costs.block_rows) for layer, end in enumerate(split) if end == 0]
    second = [_blocks_of(layer, end, rows[layer], costs.block_rows) for layer, end in enumerate(split) if end > 0]
    return Division(
        threads=max(1, min(available, int(min(worthwhile, whole)))),
        tile_rows=costs.block_samples,
        task_rows=costs.block_samples,
        shared=True,
        chunks=1,
        paired=False,
        rows_ahead=0,
        divided=0,
        window=0,
        blocks=tuple(block for blocks in (*first, *undivided, *second) for block in blocks),
        split=split,
        first_block=(0,) * layout.layers,
        deferred=tuple(deferred),
        turned=turned,
    )


def _turn_tasks(layout: Layout, split: tuple[int, ...], costs: Costs) -> int:
    """Return into how many tasks each part of the turn is divided."""
    if split[1] == 0:
        return 1
    most = max(1, split[1] // max(costs.turn_units, layout.lanes))
    return min(most, -(-layout.weights[1] // (2 * costs.turn_weights)))


def _threads_of_a_walk(
    layout: Layout, split: tuple[int, ...], deferred: list[bool], turned: int, costs: Costs
) -> float:
    """Return how many threads are worth their while: in the walk's layers, or else in the first one's products."""
    if any(split[1:2]) and not any(split[2:]):
        return 2 * turned  # tasks
    walked = max((n for n, at in zip(layout.weights[1:], split[1:], strict=True) if at), default=0)
    if walked:
        return 2 * walked / costs.walk_weights
    return 4 * costs.block_samples * layout.weights[0] * deferred[0] / costs.operations_per_step


def _divided_layers(layout: Layout, rows: int, costs: Costs) -> int:
    """Return how many layers, from the first on, are divided by their units."""
    large = [
        n >= costs.divided_weights and inputs >= costs.inputs_to_a_row * rows and width > 1
        for n, inputs, width in zip(layout.weights, layout.n_in, layout.width_out, strict=True)
    ]
    return max((layer + 1 for layer, is_large in enumerate(large) if is_large), default=0)


def _blocks(
    layout: Layout, divided: int, split: tuple[int, ...], length: int
) -> tuple[tuple[Block, ...], tuple[int, ...]]:
    """Return the blocks of the gradient's rows, and each divided layer's first.

    The row after the weights is the biases'. The layers that are not divided are shared out after the halves of the
    last one that is: then half of the threads have the same half of its blocks, and so of its rows, as of its product,
    and whoever is done with them first takes more of the small ones.
    """
    blocks: list[Block] = []
    first_block = [0] * layout.layers
    rows = [n + 1 for n in layout.n_in]
    others = [block for layer in range(divided, layout.layers) for block in _blocks_of(layer, 0, rows[layer], length)]
    for layer in range(divided):
        first_block[layer] = len(blocks)
        first = _blocks_of(layer, 0, split[layer], length)
        second = _blocks_of(layer, split[layer], rows[layer], length)
        last = others if layer == divided - 1 else []
        share = max(0, (len(last) + len(second) - len(first)) // 2)
        blocks += [*first, *last[:share], *second, *last[share:]]
    return tuple(blocks or others), tuple(first_block)


def _blocks_of(layer: int, begin: int, end: int, length: int) -> list[Block]:
    """Return the blocks of a layer's rows from ``begin`` to ``end``."""
    return [(layer, first, min(first + length, end)) for first in range(begin, end, length)]


def _task_rows(rows: int, threads: int, costs: Costs) -> int:
    """Return the rows of a task of a tile: a thread's share, but in blocks where that is long."""
    share = -(-rows // threads)
    return share if share < 2 * costs.block_rows else costs.block_rows


def _even_part(total: int, size: int) -> int:
    """Return the largest of the equal parts that a total is divided in, about as large as ``size``."""
    return -(-total // max(1, round(total / size)))
