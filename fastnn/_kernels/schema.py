"""What Python, Numba's kernels and the C compiler read alike: the job's struct and the layer table's columns.

It needs the standard library alone: the build imports this file without the package, and writes the declarations of
`as_cython` from it. `fingerprint` tells whether two readers have the same, and the same codes.
"""

from __future__ import annotations

import hashlib

from fastnn._equations.activations import Activation
from fastnn._equations.losses import Loss
from fastnn._equations.operations import Operation
from fastnn._equations.updates import Rule

WORD, CACHE_LINE = 8, 64  # bytes; every field is a word: an address, a count, or a float64 number of `NUMBERS`


# The struct's sections. A job's memory holds the plan, which stays; the arguments of one call; and the leading thread's
# cursor, on cache lines of its own: waiting threads read the plan all the time. The team's words lie behind the struct.
PLAN = (
    # the network: the addresses of the layer table below, of the slopes and of the shares that are dropped; the loss,
    # and what it may need besides (see contract.Model): the address of its numbers, one an output and row of a tile
    "layers", "table", "slopes", "dropouts", "loss", "n_inputs", "n_outputs", "itemsize", "n_parameters",
    "n_targets", "loss_numbers", "smoothing", "masked",
    # how many samples to visit, and whether to change the parameters, or to write a gradient, sample by sample, or by a
    # gradient whose norm is limited; whether rows of X must be read (drivers/rows.py)
    "samples", "epochs", "batch_size", "training", "backward", "per_sample", "clipped", "stored",
    # whether samples are sparse, and the weights of inputs that a step's samples do not have wait (drivers/sparse.py)
    "sparse", "lazy",
    # the division of work, see division.py: the blocks of the gradient are (layer, first row, last row)
    "threads", "task_rows", "tile_rows", "shared", "chunks", "paired", "rows_ahead", "divided", "walk_divided",
    "turned", "window", "blocks", "block_table", "team",
    # the workspace: addresses, sizes in elements. A thread's scratch is for a block of weights, transposed, and its
    # gradient, or for a sample in per-sample descent; gram holds two parts of a block's Gram matrix and the products of
    # deltas; staged are the windows that a thread copies together
    "gathered", "tiles", "tile_size", "compact", "partials", "partials_size", "sums", "sums_size", "row_losses",
    "chunk_losses", "one", "logits", "logits_size", "scratch", "scratch_size", "gram", "staged", "staged_targets",
    "staged_weights", "block_weights", "norms",
    # of sparse samples: some numbers of a row, a thread each; those of a tile, sorted by column: room for keys and
    # values, twice, the number of entries, the columns and where each begins; counts. Lazily also the step that each
    # row of weights is up to date with, and the numbers of an epoch's steps
    "piece_indices", "piece_values", "keys", "values", "entries", "columns", "begins", "digits", "current",
    "step_numbers",
    # the addresses of compiled functions
    "multiply", "dots", "gram_rows", "add_rows", "transpose", "activate", "multiply_by_derivative", "drop_units",
    "exp_array", "loss_and_delta", "convert", "convert_and_scale", "add_some_rows",
    "take_missed_steps", "lead", "run_task",
)  # fmt: skip
CALL = (
    # addresses, 0 where there is none: the samples, the network's parameters, and where results go (job.py packs all of
    # a call in this order)
    "X", "labels", "targets", "weights", "order", "parameters", "out", "losses", "gradient",
    # the same where they are, if a thread copies them together; X also where its rows must be read: their format, the
    # bytes of a number and from one row to the next, and addresses, 0 where there is none, of the row that each sample
    # begins at, and of what scales its numbers. Sparse samples have the addresses of where each begins and ends, of the
    # columns, and the bytes of one of these
    "source_X", "source_labels", "source_targets", "source_weights", "source_order",
    "format", "item_bytes", "row_bytes", "starts", "means", "inverses",
    "ends", "indices", "index_bytes",
    # the optimizer; factors are three numbers a layer: of its rate for weights, for biases, and of the decay; the
    # inputs' scales have their state behind them
    "rule", "state", "step", "rates", "rate_stride", "momentum", "second", "epsilon", "weight_decay", "variant",
    "l1", "clip_norm", "factors", "average", "average_rates", "average_stride", "seed",
    "input_scale", "input_factor", "l2",
)  # fmt: skip
CURSOR = (
    # the step and the tile under way; the layer, and the sample of a block, that the threads are at
    "batch_start", "batch_rows", "tile_start", "tile_count", "layer", "sample",
    # which of two buffers the block or window under way is in; the next one
    "parity", "next_start", "next_count",
    # the step's numbers
    "rate", "correction1", "correction2", "scale", "floor", "folded", "delta_scale", "clipped_to", "average_rate",
    # of sparse samples: the columns that the tile has numbers in, which half of the room has them in order, and, of the
    # first layer's weights W = s U, the factor s of plain descent's lazy decay
    "touched", "half", "shrunk",
)  # fmt: skip
SECTIONS = {"plan": PLAN, "call": CALL, "cursor": CURSOR}
NUMBERS = frozenset(
    ("smoothing", "momentum", "second", "epsilon", "weight_decay", "variant", "l1", "clip_norm", "l2",
     "input_factor", "rate", "correction1", "correction2", "scale", "floor", "folded", "delta_scale", "clipped_to",
     "average_rate", "shrunk")
)  # fmt: skip

# The columns of the layer table. Offsets count elements: of weights and biases in the parameters, of inputs (the
# previous layer's outputs), outputs, deltas and what the derivative needs (SAVED: the outputs themselves, where it
# follows from them) in a tile, of sums in a gradient. DERIVATIVE is the code for the way back: that of the activation,
# or of one that saves g'(z), as is saved where units are DROPPED (1, or 2 if the activation saves it by itself).
# PACKED, BIAS and TRANSPOSED are addresses: of the weights (n_in, width_out) and biases (width_out) with columns padded
# to whole vectors (the parameters themselves where they need no padding), and of the transposed weights (n_out,
# width_in): 0 for the first layer, divided ones, a deferred second one, and where nothing goes backward. DEFERRED says
# that per-sample descent updates the layer's weights once a block. SPLIT is the row at which its weights (the
# transposed ones, where per-sample descent has them) are divided in two parts for products (0: they are not),
# FIRST_BLOCK the layer's first block in the table of blocks. FLIPPED says that the sums of a gradient lie transposed,
# inputs along the lanes. After a hidden layer a single output has width 1.
COLUMNS = (
    "n_in", "n_out", "width_in", "width_out", "weights", "biases", "activation", "derivative", "dropped",
    "packed", "bias", "transposed", "outputs", "saved", "deltas", "sums", "deferred", "split", "first_block", "flipped",
)  # fmt: skip


def _words_of(fields: tuple[str, ...]) -> int:
    """Return a section's words, up to a whole cache line."""
    return -(-len(fields) * WORD // CACHE_LINE) * CACHE_LINE // WORD


FIRST_WORDS = {
    name: sum(_words_of(fields) for fields in list(SECTIONS.values())[:i]) for i, name in enumerate(SECTIONS)
}
WORDS = {field: FIRST_WORDS[name] + i for name, fields in SECTIONS.items() for i, field in enumerate(fields)}
STRUCT_WORDS = sum(map(_words_of, SECTIONS.values()))


def fingerprint() -> str:
    """Return a hash of all that the readers must agree on."""
    codes = [[(code.name, code.value) for code in kind] for kind in (Activation, Loss, Rule, Operation)]
    return hashlib.sha256(repr((WORDS, STRUCT_WORDS, sorted(NUMBERS), COLUMNS, codes)).encode()).hexdigest()[:16]


def as_cython() -> str:
    """Return the struct, the columns and the fingerprint as declarations of Cython."""
    lines = ["# Made from schema.py.", "", "cdef struct Job:"]
    for name, fields in SECTIONS.items():
        lines += [f"    {'double' if field in NUMBERS else 'int64_t'} {field}" for field in fields]
        if padding := _words_of(fields) - len(fields):
            lines.append(f"    int64_t end_of_{name}[{padding}]")
    lines += ["", "cdef enum:", *(f"    {column.upper()} = {i}" for i, column in enumerate(COLUMNS))]
    lines += [f"    COLUMNS = {len(COLUMNS)}", "", f'FINGERPRINT = "{fingerprint()}"']
    return "\n".join(lines) + "\n"
