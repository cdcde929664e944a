"""A job: everything that the compiled kernels need for one call, in one struct that Numba and Cython read alike.

All fields are 8 bytes wide: addresses, counts and float64 numbers. Arrays go in as addresses, so one compiled kernel a
dtype serves read-only arrays and views alike. `Job` keeps the arrays alive while the kernels run.

How the work is divided. Rows (samples) pass forward and backward independently of each other, and so do blocks of the
gradient's rows; each sum over samples is added in an order that follows from the shapes alone. So a result depends
neither on the number of threads nor on which of them did what.

- If the network has more weights than the batch has activations, or is too large for a second gradient, all threads
  share a tile. Its rows are divided among them, and then the gradient's blocks. But large layers are divided by their
  units: each thread keeps to the same rows of their weights, multiplies them with its columns of the layer's inputs,
  computes the deltas of those inputs, and updates them. Then products and deltas cross from core to core, not weights.
- Any other step is cut into ``chunks`` of samples, each with a gradient of its own: a thread takes a chunk through all
  its tiles on its own, each forward, backward and into the gradient while it is in cache. Their number depends on the
  batch and the network alone. Gradients are added in pairs, then the pairs: a thread that takes both chunks of a pair,
  of one tile each, adds the second's to the first's as it computes it, with the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fastnn import _kernels
from fastnn._kernels.contract import Array, Data, Integers, Model, Optimizer

INTEGERS = (
    # the network: the addresses of the layer table below and of the slopes, and the loss
    "layers", "table", "slopes", "loss", "n_inputs", "n_outputs", "itemsize",
    # the samples: addresses (0: there is none), how many to visit, and whether to write outputs, a gradient or neither
    "X", "labels", "targets", "order", "samples", "epochs", "batch_size", "out", "losses", "gradient",
    # the parameters and the optimizer
    "parameters", "state", "n_parameters", "rates", "rate_stride", "step", "rule",
    # the workspace: addresses, sizes in elements
    "gathered", "tiles", "tile_size", "tile_rows", "compact", "partials", "partials_size", "sums", "sums_size",
    "shared", "chunks", "paired", "rows_ahead", "row_losses", "chunk_losses", "one", "logits", "logits_size",
    # the division of work: threads, rows of a task, how many of the first layers are divided by their units and whether
    # any is in a sample's walk, into how many tasks each part of the turn in the second layer (0: there is none), the
    # blocks of the gradient (layer, first row, last row)
    "threads", "task_rows", "divided", "walk_divided", "turned", "blocks", "block_table", "team", "training",
    "backward",
    # the step under way, written by the leading thread; the layer, and the sample of a block, that the threads are at
    "batch_start", "batch_rows", "tile_start", "tile_count", "layer", "sample",
    # the samples' rows and targets where they are, if a thread copies the next ones together: windows of so many
    "source_X", "source_labels", "source_targets", "source_order", "window", "staged", "staged_targets",
    # a thread's memory for a block of weights, transposed, and its gradient; or for a sample in per-sample descent
    "scratch", "scratch_size",
    # per-sample descent: two parts of its block's Gram matrix, and products of deltas; the block or window under way,
    # and the next
    "per_sample", "gram", "parity", "next_start", "next_count",
    # the addresses of compiled functions
    "multiply", "dots", "gram_rows", "add_rows", "transpose", "activate", "multiply_by_derivative", "exp_array",
    "sigmoid_cross_entropy_array", "lead", "run_task",
)  # fmt: skip
NUMBERS = (
    "momentum", "second", "epsilon", "weight_decay", "nesterov", "l2",
    # of the step under way
    "rate", "correction1", "correction2", "scale", "folded", "delta_scale",
)  # fmt: skip
JOB = np.dtype([(name, np.int64) for name in INTEGERS] + [(name, np.float64) for name in NUMBERS])

# The columns of the layer table. Offsets count elements: of weights and biases in the parameters, of inputs (the
# previous layer's outputs), outputs and deltas in a tile, of sums in a gradient. PACKED, BIAS and TRANSPOSED are
# addresses: of the weights (n_in, width_out) and biases (width_out) with columns padded to whole vectors (the
# parameters themselves where they need no padding), and of the transposed weights (n_out, width_in): 0 for the first
# layer, divided ones, and a deferred second one. DEFERRED says that per-sample descent updates the layer's weights once
# a block. SPLIT is the row at which its weights (the transposed ones, where per-sample descent has them) are divided in
# two parts for products (0: they are not), FIRST_BLOCK the layer's first block in the table of blocks. FLIPPED says
# that the sums of a gradient lie transposed, inputs along the lanes. After a hidden layer a single output has width 1.
COLUMNS = (
    "n_in", "n_out", "width_in", "width_out", "weights", "biases", "activation",
    "packed", "bias", "transposed", "outputs", "deltas", "sums", "deferred", "split", "first_block", "flipped",
)  # fmt: skip

CACHE_LINE = 64
# Rows of a tile, 1.5 times as many at most: of a chunk, and of one that threads share. A chunk's deltas stay in the
# first-level cache while they go into the gradient, whose rows pass by (54-100-100-7 and 200-64-32-5, full batch, are 5
# to 8 % slower with 240 or 480 rows). Longer shared ones leave the core's cache (784-512-512-10 on two threads: 297
# GFLOP/s at 192 rows, 264 at 384), shorter ones pass the gradient more often.
TILE_ROWS = 96
SHARED_TILE_ROWS = 192
# A gradient for each chunk: where one fits in the core's own cache beside the weights. At half the size, 784-128-10 in
# float64 and full batch took 2.7 times as long as in float32 in place of 2.1.
MAX_CHUNK_BYTES = 1024 * 1024
# Rows of a chunk. With 96, batches of 1,000 took 12 to 19 % longer: each chunk's gradient is written, and added.
CHUNK_ROWS, MIN_CHUNKS, MAX_CHUNKS = 192, 4, 32
# A layer is divided by its units if it has so many weights, and as many inputs to each of a tile's rows.
DIVIDED_WEIGHTS, INPUTS_TO_A_ROW = 16384, 2
BLOCK_ROWS = 48  # rows of a gradient's block: whole register tiles of 6 or 12 rows, and whole cache lines transposed
# Below these numbers of floating-point operations a second thread costs more than it saves: the two barriers of a
# step (about 1 us), and waking threads for a call: 10 to 50 us, but 8 ms if other processes have the cores.
OPERATIONS_PER_STEP, OPERATIONS_PER_CALL = 4e5, 2e8
# A network too small for two threads visits its rows in random order, each of them some cache misses: a third of its
# time. A second thread copies so many together, ahead of the first.
WINDOW_SAMPLES = 1024
# Per-sample descent: samples of a block, and how many weights make the first layer's update worth deferring to the
# block's end: products of whole blocks take its place. A block is a multiple of the four rows of `gram_rows`,
# of the eight samples that are prepared at a time, and of a vector's lanes, up to 16.
BLOCK_SAMPLES, DEFERRED_WEIGHTS = 32, 16384
# And how many a deeper one's, which is then divided between two threads that meet in each sample, if it has two cache
# lines of units (the second one of inputs, later ones of outputs); each half of that is worth another thread. Fewer
# would do where a cache line takes 100 ns from core to core and back (64-224-224-10: 4.5 us a sample for 5.9), not
# where it takes 500 (9.6 for 5.9).
WALK_WEIGHTS = 65536
TURN_WEIGHTS = 131072  # of a task of the turn in the second layer: each has a summand of its outputs
TURN_UNITS = 32  # of the first layer, at least: before a wide second one, most tasks would have a summand and no units


Count = TypeVar("Count", int, Integers)
Block = tuple[int, int, int]  # layer, first row, the one after the last
Fill = Callable[..., npt.NDArray[np.uint8]]  # numpy.zeros or numpy.empty


class Job:
    """Prepares the struct, the tables and the workspace of one kernel call.

    Parameters
    ----------
    lanes : int
        Real numbers in a vector of the backend's SIMD level.
    model, parameters : Model, ndarray
        The network.
    data : Data
        The samples, and their targets unless only outputs are wanted.
    batch_size : int
        Samples of a step.
    order : ndarray, optional
        The rows to visit; empty for all of them in order.
    optimizer : Optimizer, optional
        The update; without it nothing is changed.
    losses : ndarray, optional
        Where the mean loss of each step goes.
    out, gradient : ndarray, optional
        Where the outputs go, or the gradient: with either there are no updates.
    l2 : float
        The penalty in that gradient; an optimizer brings its own.
    per_sample : bool
        Whether the kernels of per-sample descent do the job.
    epochs : int
        How many go one after the other; ``order`` holds one order for each.
    """

    def __init__(
        self,
        lanes: int,
        model: Model,
        parameters: Array,
        data: Data,
        batch_size: int,
        order: Integers | None = None,
        optimizer: Optimizer | None = None,
        losses: npt.NDArray[np.float64] | None = None,
        out: Array | None = None,
        gradient: Array | None = None,
        l2: float = 0.0,
        per_sample: bool = False,
        epochs: int = 1,
    ) -> None:
        self.fields = np.zeros(1, JOB)
        self.kept: list[object] = []  # the arrays behind the addresses
        self.parameters = parameters
        self._itemsize = parameters.itemsize
        self._lanes = lanes
        self._network(model)
        self._samples(data, batch_size, order, epochs, losses, out, gradient)
        self.set(l2=l2, per_sample=per_sample)
        self._optimizer(optimizer)
        self.set(backward=bool(self["training"] or self["gradient"]))
        if per_sample:
            self._divide_samples()
        else:
            self._divide()
        self._lay_out()

    @property
    def address(self) -> int:
        """Where the struct lies."""
        return self.fields.ctypes.data

    def __getitem__(self, name: str) -> int:
        return int(self.fields[name][0])

    def set(self, **values: float) -> None:
        """Set fields by name."""
        for name, value in values.items():
            self.fields[name] = value

    def _address(self, array: npt.NDArray[np.generic] | None) -> int:
        if array is None or array.size == 0:
            return 0
        self.kept.append(array)
        return array.ctypes.data

    def _network(self, model: Model) -> None:
        n_in, n_out = model.sizes[:-1], model.sizes[1:]
        self.table = np.zeros((len(n_in), len(COLUMNS)), dtype=np.int64)
        columns = {
            "n_in": n_in,
            "n_out": n_out,
            "width_in": self._padded(n_in),
            "width_out": self._padded(n_out),
            "weights": model.weights,
            "biases": model.biases,
            "activation": model.activations,
        }
        for name, values in columns.items():
            self._column(name)[:] = values
        if len(n_in) > 1 and n_out[-1] == 1:  # one output is a dot product: its lanes would be empty but for one
            self._column("width_out")[-1] = 1
        # Rows of weights of one vector or less: a gradient's register tile, so narrow, would wait for loads, and where
        # outputs are few its lanes would be empty. The first layer's inputs are not padded to whole vectors.
        self._column("flipped")[1:] = self._column("width_out")[1:] <= self._lanes
        self.set(
            layers=len(n_in),
            table=self._address(self.table),
            slopes=self._address(model.slopes),
            loss=model.loss,
            n_inputs=n_in[0],
            n_outputs=n_out[-1],
            parameters=self._address(self.parameters),
            n_parameters=len(self.parameters),
            itemsize=self._itemsize,
        )

    def _column(self, name: str) -> Integers:
        return self.table[:, COLUMNS.index(name)]

    def _padded(self, n: Integers) -> Integers:
        """Return n rounded up to whole vectors."""
        return -(-n // self._lanes) * self._lanes

    def _samples(
        self,
        data: Data,
        batch_size: int,
        order: Integers | None,
        epochs: int,
        losses: npt.NDArray[np.float64] | None,
        out: Array | None,
        gradient: Array | None,
    ) -> None:
        samples = len(order) // epochs if order is not None and order.size else len(data.X)
        self.set(
            X=self._address(data.X),
            labels=self._address(data.labels),
            targets=self._address(data.targets),
            order=self._address(order),
            samples=samples,
            epochs=epochs,
            batch_size=min(batch_size, samples),
            out=self._address(out),
            losses=self._address(losses),
            gradient=self._address(gradient),
        )

    def _optimizer(self, optimizer: Optimizer | None) -> None:
        if optimizer is None:
            return
        first, second, epsilon, weight_decay, nesterov = optimizer.hyper
        self.set(
            training=1,
            rule=optimizer.rule,
            momentum=first,
            second=second,
            epsilon=epsilon,
            weight_decay=weight_decay,
            nesterov=nesterov,
            l2=optimizer.l2,
            state=self._address(optimizer.state),
            rates=self._address(optimizer.rates),
            rate_stride=optimizer.rates.strides[0] // 8,
            step=self._address(optimizer.step),
        )

    def _divide(self) -> None:
        """Choose tiles, chunks and threads; only the threads' number depends on the machine."""
        batch, samples = self["batch_size"], self["samples"]
        operations = 6 * int((self._column("n_in") * self._column("width_out")).sum())
        gradient_bytes = int((self._column("n_in") * self._column("width_out")).sum()) * self._itemsize
        activations = batch * int(self._column("width_out").sum()) * self._itemsize
        shared = self["backward"] and gradient_bytes > min(activations, MAX_CHUNK_BYTES)
        worthwhile = batch * operations / OPERATIONS_PER_STEP  # threads
        if shared:
            rows, chunks = _even_part(batch, SHARED_TILE_ROWS), 1
            self.set(divided=self._divided_layers(rows))
        else:
            chunks = min(MAX_CHUNKS, max(-(-batch // CHUNK_ROWS), min(MIN_CHUNKS, int(worthwhile / 2))))
            rows = _even_part(-(-batch // chunks), TILE_ROWS)
        limit = int(self["epochs"] * samples * operations / OPERATIONS_PER_CALL)
        available = max(1, min(_kernels.get_num_threads(), limit))
        threads = max(1, min(available, int(worthwhile)))
        share = -(-rows // threads)
        task_rows = share if share < 2 * BLOCK_ROWS else BLOCK_ROWS
        paired = 2 * threads <= chunks and -(-batch // chunks) <= rows
        self.set(tile_rows=rows, shared=shared, chunks=chunks, paired=paired, threads=threads, task_rows=task_rows)
        # a thread's rows after these: in the next tile, or in the next batch if each has no more than one tile of them
        self.set(rows_ahead=rows if -(-batch // chunks) > rows else batch)
        if threads == 1 and available > 1 and self["order"] and not shared:
            self._stage(batch)

    def _divided_layers(self, rows: int) -> int:
        """Return how many layers, from the first on, are divided by their units."""
        n_in, width_out = self._column("n_in"), self._column("width_out")
        large = (n_in * width_out >= DIVIDED_WEIGHTS) & (n_in >= INPUTS_TO_A_ROW * rows) & (width_out > 1)
        return int(np.flatnonzero(large)[-1]) + 1 if large.any() else 0

    def _stage(self, batch: int) -> None:
        """Have a second thread copy the next samples together, where steps are too short to share."""
        window = -(-WINDOW_SAMPLES // batch) * batch
        target_bytes = 8 if self["labels"] else self["n_outputs"] * self._itemsize
        self.set(
            threads=2,
            window=window,
            source_X=self["X"],
            source_labels=self["labels"],
            source_targets=self["targets"],
            source_order=self["order"],
            order=0,
            staged=self._allocate(2 * window * self["n_inputs"]),
            staged_targets=self._bytes(2 * window * target_bytes),
        )

    def _divide_samples(self) -> None:
        """Choose the deferred and the divided layers, and the threads of per-sample descent."""
        weights = self._column("n_in") * self._column("width_out")
        enough = np.where(np.arange(len(weights)) == 0, DEFERRED_WEIGHTS, WALK_WEIGHTS)
        deferred = (weights >= enough) & (self._column("width_out") > 1)
        turned = bool(deferred[1:2].any())
        deferred[0] |= turned  # its corrections are a part of the turn
        self.set(turned=turned)
        split = np.where(deferred, self._line_below(self._rows_walked() // 2), 0)
        self._column("deferred")[:], self._column("split")[:] = deferred, split
        if split[1:2].any() and turned:
            most = max(1, int(split[1]) // max(TURN_UNITS, self._lanes))
            self.set(turned=min(most, -(-int(weights[1]) // (2 * TURN_WEIGHTS))))
        # Either the walk's layers are divided, or the products of a block in the first one.
        walked = int(weights[1:].max(initial=0, where=split[1:] > 0))
        block = 4 * BLOCK_SAMPLES * int(weights[0] * deferred[0])
        shared = 2 * walked / WALK_WEIGHTS if walked else block / OPERATIONS_PER_STEP
        if split[1:2].any() and not split[2:].any():
            shared = 2 * self["turned"]  # tasks
        whole = 6 * int(weights.sum()) * self["samples"] * self["epochs"] / OPERATIONS_PER_CALL
        threads = max(1, min(_kernels.get_num_threads(), int(min(shared, whole))))
        self.set(tile_rows=BLOCK_SAMPLES, shared=1, chunks=1, threads=threads, task_rows=BLOCK_SAMPLES)
        self.set(walk_divided=bool(split[1:].any()))

    def _rows_walked(self) -> Integers:
        """Return how many rows of weights each layer has in per-sample descent: of transposed ones where they are."""
        plain = self._plain_layers()
        return np.concatenate((self._column("n_in")[:plain], self._column("n_out")[plain:]))

    def _plain_layers(self) -> int:
        """Return how many of the first layers need no transposed copy of their weights."""
        if self["per_sample"]:
            return 2 if self["turned"] else 1
        return max(1, self["divided"])

    def _lay_out(self) -> None:
        """Allocate the workspace, and tell the layer table where everything lies in it."""
        n_in, width_out = self._column("n_in"), self._column("width_out")
        rows, outputs = self["tile_rows"], self["n_outputs"]
        self._column("outputs")[:], end = _offsets(rows * width_out)
        self._column("deltas")[:-1], end = _offsets(rows * width_out[:-1], end)
        self._column("deltas")[-1] = self._column("outputs")[-1]  # the output's delta takes the output's place
        tile_size = self._line(end + 3 * rows * outputs)  # outputs, targets and losses without padding
        # The last row is the biases' gradient. Flipped sums have a row for each output, then the biases', and room for
        # the weights' once more, as they lie in the parameters.
        n_out = self._column("n_out")
        flipped_size = n_out * self._column("width_in") + self._lanes + self._padded(n_in * n_out)
        sizes = np.where(self._column("flipped"), flipped_size, (n_in + 1) * width_out)
        self._column("sums")[:], sums_size = _offsets(sizes)
        tiles = 1 if self["shared"] else self["threads"]
        # as many rows as a vector has lanes, taken as columns; and their labels
        logits_size = self._line((int(width_out[-1]) + 1) * self._lanes)
        self.set(
            tile_size=tile_size,
            compact=end,
            tiles=self._allocate(tiles * tile_size),
            sums_size=sums_size,
            sums=self._allocate(self["chunks"] * sums_size if self["backward"] else 0, np.empty),
            row_losses=self._allocate_numbers(tiles * rows),
            chunk_losses=self._allocate_numbers(self["chunks"]),
            team=self._allocate_numbers((3 + self["threads"]) * CACHE_LINE // 8),
            one=self._address(np.ones(1, self.parameters.dtype)),
            logits=self._allocate(self["threads"] * logits_size),
            logits_size=logits_size,
        )
        gathered = rows * int(self._column("width_in")[0])
        if self["shared"]:  # two layers' second parts of products; in the walk, the first's and a turn's, or of deltas
            size = self._line(rows * int(width_out.max()))
            if self["turned"]:
                size = max(size, self._line(2 * self["turned"] * (int(width_out[1]) + rows)))
            self.set(partials=self._allocate(2 * size, np.empty), partials_size=size)
        if self["per_sample"]:
            scratch_size = self._line(max(rows, (3 if self["turned"] else 1) * int(width_out.max())))
            self.set(
                gathered=self._allocate(2 * gathered),
                gram=self._allocate((2 * rows + 1) * rows),
            )
        else:
            scratch_size = self._line((BLOCK_ROWS + 1) * int(width_out.max()))
            self.set(gathered=self._allocate(tiles * gathered if self["order"] else 0))
        scratch = self["threads"] * scratch_size if self["shared"] else 0
        self.set(scratch=self._allocate(scratch, np.empty), scratch_size=scratch_size)
        self._copies()
        blocks = self._sample_blocks() if self["per_sample"] else self._blocks()
        self.set(blocks=len(blocks), block_table=self._address(np.array(blocks, dtype=np.int64)))

    def _copies(self) -> None:
        """Allocate the padded weights of layers whose units do not fill vectors, and the transposed ones."""
        for layer in range(self["layers"]):
            n_in, n_out, width_in, width_out, weights, biases = self.table[layer, :6]
            if n_out == width_out:
                packed, bias = (self["parameters"] + int(offset) * self._itemsize for offset in (weights, biases))
            else:
                packed, bias = self._allocate(n_in * width_out), self._allocate(width_out)
            # One column, where lanes are 1, is its own transposed copy.
            copied = layer >= self._plain_layers()
            shared = packed if width_out == 1 and not self["per_sample"] else 0
            transposed = self._allocate(n_out * width_in) if copied else shared
            for name, value in (("packed", packed), ("bias", bias), ("transposed", transposed)):
                self._column(name)[layer] = value

    def _blocks(self) -> list[Block]:
        """Return the blocks of the gradient's rows, the row after the weights being the biases'."""
        n_in = self._column("n_in")
        rows = n_in + 1
        divided, blocks = self["divided"], list[Block]()
        others = [block for layer in range(divided, self["layers"]) for block in _blocks_of(layer, 0, rows[layer])]
        for layer in range(divided):
            split = self._line_below(int(n_in[layer]) // 2)
            self.table[layer, COLUMNS.index("split")] = split
            self.table[layer, COLUMNS.index("first_block")] = len(blocks)
            first, second = _blocks_of(layer, 0, split), _blocks_of(layer, split, rows[layer])
            # The layers that are not divided are shared out after the halves of the last one that is: then half of the
            # threads have the same half of its blocks, and so of its rows, as of its product, and whoever is done with
            # them first takes more of the small ones.
            last = others if layer == divided - 1 else []
            share = max(0, (len(last) + len(second) - len(first)) // 2)
            blocks += [*first, *last[:share], *second, *last[share:]]
        return blocks or others

    def _sample_blocks(self) -> list[Block]:
        """Return the blocks of the weights' rows, of the transposed weights where they are.

        A thread has the blocks of the part of a layer that it multiplies with: the first parts come first.
        """
        rows, splits = self._rows_walked().tolist(), self._column("split").tolist()
        first = [_blocks_of(layer, 0, split) for layer, split in enumerate(splits)]
        whole = [_blocks_of(layer, 0, rows[layer]) for layer, split in enumerate(splits) if split == 0]
        second = [_blocks_of(layer, split, rows[layer]) for layer, split in enumerate(splits) if split > 0]
        return [block for blocks in (*first, *whole, *second) for block in blocks]

    def _line_below(self, elements: Count) -> Count:
        """Return a number of elements, or several, rounded down to whole cache lines."""
        line = CACHE_LINE // self._itemsize
        return elements // line * line

    def _line(self, elements: int) -> int:
        """Return the number of elements rounded up to whole cache lines."""
        line = CACHE_LINE // self._itemsize
        return -(-int(elements) // line) * line

    def _allocate(self, elements: int, fill: Fill = np.zeros) -> int:
        """Return the address of memory of the network's dtype, at the beginning of a cache line.

        It holds zeros unless ``fill`` is `numpy.empty`: they take 0.5 ms from each call of a large network.
        """
        return self._bytes(self._line(elements) * self._itemsize, fill)

    def _allocate_numbers(self, count: int) -> int:
        """Return the address of 8-byte zeros, at the beginning of a cache line."""
        return self._bytes(count * 8)

    def _bytes(self, size: int, fill: Fill = np.zeros) -> int:
        raw = fill(size + CACHE_LINE, dtype=np.uint8)
        address = self._address(raw)
        return address + -address % CACHE_LINE


def _even_part(total: int, size: int) -> int:
    """Return the largest of the equal parts that a total is divided in, about as large as ``size``."""
    return -(-total // max(1, round(total / size)))


def _blocks_of(layer: int, begin: int, end: int) -> list[Block]:
    """Return the blocks of a layer's rows from ``begin`` to ``end``."""
    return [(layer, first, min(first + BLOCK_ROWS, int(end))) for first in range(begin, int(end), BLOCK_ROWS)]


def _offsets(sizes: Integers, start: int = 0) -> tuple[Integers, int]:
    """Return where each of several consecutive pieces begins, and where the last one ends."""
    ends = start + np.cumsum(sizes)
    return ends - sizes, int(ends[-1]) if len(ends) else start
