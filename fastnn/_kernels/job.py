"""A job: the struct and the memory of a call, prepared once for a shape of work, then bound to each call's data.

All fields are 8 bytes wide: addresses, counts and float64 numbers. Arrays go in as addresses, so one compiled kernel a
dtype serves read-only arrays and views alike; whoever binds them keeps them alive while the kernels run.
"""

from __future__ import annotations

import importlib
import struct
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._kernels.contract import Activation, Array, Data, Formula, Integers, Model, Optimizer, saves
from fastnn._kernels.division import Costs, Division, Request, divide
from fastnn._kernels.drivers.primitives import AS_STORED
from fastnn._kernels.layout import Layout, layout
from fastnn._kernels.rows import FORMATS, Rows, SparseRows
from fastnn._kernels.schema import CACHE_LINE, CALL, COLUMNS, FIRST_WORDS, NUMBERS, STRUCT_WORDS, WORD, WORDS
from fastnn._kernels.workspace import Workspace, lay_out

TIMES_SAVED = int(Activation.GELU)  # on the way back: the deltas times what has been saved
_CALL = struct.Struct("".join("d" if name in NUMBERS else "q" for name in CALL))


@dataclass(frozen=True, eq=False)
class Plan:
    """What does not depend on a call's data; compared by identity, as `plan` keeps them."""

    model: Model
    layout: Layout
    request: Request
    division: Division
    workspace: Workspace


@lru_cache(maxsize=256)
def plan(model: Model, lanes: int, itemsize: int, request: Request, threads: int, costs: Costs) -> Plan:
    """Return the plan of a request, for at most so many threads."""
    own_memory = tuple(saves(each) or p > 0 for each, p in zip(model.activations, model.dropped, strict=True))
    layers = layout(model.sizes, lanes, itemsize, own_memory)
    division = divide(layers, request, threads, costs)
    return Plan(model, layers, request, division, lay_out(layers, division, request, bool(model.loss_numbers)))


class Job:
    """The struct, the tables and the workspace of kernel calls, in one block of memory.

    Parameters
    ----------
    plan : Plan
        The work.
    functions : mapping of str to int
        The addresses of compiled functions, as far as the backend's kernels call through the job.
    formulas : mapping of Formula to int
        The addresses of what computes the functions of a user's own.
    """

    def __init__(self, plan: Plan, functions: Mapping[str, int], formulas: Mapping[Formula, int] | None = None) -> None:
        self.plan, self._formulas = plan, formulas or {}
        workspace = plan.workspace
        memory = np.empty(workspace.size + CACHE_LINE, np.uint8)
        start = -_address(memory) % CACHE_LINE
        self._memory: Any = memory[start : start + workspace.size]
        self._start = _address(self._memory)
        self.address = self.address_of("struct")
        words = self._piece("struct", STRUCT_WORDS, np.int64)
        words[:] = 0
        self._integers, self._numbers = memoryview(words), memoryview(words.view(np.float64))
        self._call = workspace.offsets["struct"] + FIRST_WORDS["call"] * WORD
        self._cleared = self._memory[slice(*workspace.cleared)]
        self._loss, self._loss_address = memoryview(self._piece("loss", 1, np.float64)), self.address_of("loss")
        self._table = self._piece("table", plan.layout.layers * len(COLUMNS), np.int64).reshape(-1, len(COLUMNS))
        self._bound_to: Callable[[], Array | None] = lambda: None
        self._parameters = 0
        self._pack(functions)

    def __getitem__(self, name: str) -> int | float:
        """Return a field of the struct."""
        return (self._numbers if name in NUMBERS else self._integers)[WORDS[name]]

    def set(self, **values: Any) -> None:
        """Set fields of the struct."""
        for name, value in values.items():
            (self._numbers if name in NUMBERS else self._integers)[WORDS[name]] = value

    def address_of(self, piece: str) -> int:
        """Return where a piece of the workspace lies; 0 if there is none."""
        offset = self.plan.workspace.offsets.get(piece)
        return 0 if offset is None else self._start + offset

    def column(self, name: str) -> Integers:
        """Return a column of the layer table."""
        column: Integers = self._table[:, COLUMNS.index(name)]
        return column

    @property
    def loss(self) -> float:
        """The loss of a call that was bound without an array for losses."""
        return self._loss[0]

    def bind(
        self,
        parameters: Array,
        data: Data,
        order: Integers | None = None,
        optimizer: Optimizer | None = None,
        losses: npt.NDArray[np.float64] | None = None,
        out: Array | None = None,
        gradient: Array | None = None,
        l2: float = 0.0,
    ) -> None:
        """Take up a call's data.

        Parameters
        ----------
        parameters : ndarray
            The network's.
        data : Data
            The samples, and their targets unless only outputs are wanted.
        order : ndarray, optional
            The rows to visit, where the request says that there is an order.
        optimizer : Optimizer, optional
            The update, where the request is for a training.
        losses : ndarray, optional
            Where the mean loss of each step goes; a single one can be read from ``loss``.
        out, gradient : ndarray, optional
            Where the outputs go, or the gradient.
        l2 : float
            The penalty in that gradient; an optimizer brings its own.
        """
        if parameters is not self._bound_to():
            self._bind_parameters(parameters)
        self._cleared.fill(0)
        X: npt.NDArray[Any]
        if isinstance(data.X, SparseRows):
            X, format = data.X.values, self._sparse_format_of(data.X)
        elif isinstance(data.X, Rows):
            X, format = data.X.array, self._format_of(data.X)
        else:
            X, format = data.X, _NO_FORMAT
        where = [_address(array) for array in (X, data.labels, data.targets, data.weights, order)]
        # Where a second thread copies samples together, the kernels visit what it has copied.
        source = where if self.plan.division.window else (where[0], 0, 0, 0, 0)
        _CALL.pack_into(
            self._memory,
            self._call,
            *where[:4],
            0 if source is where else where[4],
            self._parameters,
            _address(out),
            self._loss_address if losses is None else _address(losses),
            _address(gradient),
            *source,
            *format,
            *(_NO_OPTIMIZER if optimizer is None else _numbers_of(optimizer)),
            l2 if optimizer is None else optimizer.l2,
        )

    def _format_of(self, X: Rows) -> tuple[int, ...]:
        """Return the fields of a call that say how rows of X are read."""
        array, own = X.array, X.array.dtype == np.dtype(f"f{self.plan.layout.itemsize}") and X.mean is None
        addresses = _address(X.starts), _address(X.mean), _address(X.inverse)
        return AS_STORED if own else FORMATS[array.dtype], array.itemsize, array.strides[0], *addresses, 0, 0, 0

    def _sparse_format_of(self, X: SparseRows) -> tuple[int, ...]:
        own = X.values.dtype == np.dtype(f"f{self.plan.layout.itemsize}")
        format, columns = AS_STORED if own else FORMATS[X.values.dtype], (_address(X.indices), X.indices.itemsize)
        return format, X.values.itemsize, 0, _address(X.begins), 0, 0, _address(X.ends), *columns

    def _bind_parameters(self, parameters: Array) -> None:
        """Tell the layer table where the weights and biases are that need no padding."""
        self._parameters, self._bound_to = _address(parameters), weakref.ref(parameters)
        model, layers, itemsize = self.plan.model, self.plan.layout, self.plan.layout.itemsize
        for layer, (n_out, width) in enumerate(zip(layers.n_out, layers.width_out, strict=True)):
            if n_out == width or (layer == 0 and self.plan.request.entries):
                self.column("packed")[layer] = self._parameters + model.weights[layer] * itemsize
                self.column("bias")[layer] = self._parameters + model.biases[layer] * itemsize
                if width == 1 and not self.address_of(f"transposed {layer}") and not self.plan.request.per_sample:
                    self.column("transposed")[layer] = self.column("packed")[layer]

    def _pack(self, functions: Mapping[str, int]) -> None:
        """Write what stays: the plan's fields and the tables."""
        plan = self.plan
        model, layers, division, request = plan.model, plan.layout, plan.division, plan.request
        self.set(
            layers=layers.layers,
            loss=self._code(model.loss),
            n_inputs=model.sizes[0],
            n_outputs=model.sizes[-1],
            itemsize=layers.itemsize,
            n_parameters=model.biases[-1] + model.sizes[-1],
            n_targets=model.n_targets or model.sizes[-1],
            smoothing=model.smoothing,
            masked=model.masked,
            samples=request.samples,
            epochs=request.epochs,
            batch_size=request.batch_size,
            training=request.training,
            backward=request.backward,
            per_sample=request.per_sample,
            clipped=request.clipped,
            stored=request.stored,
            sparse=request.entries > 0,
            lazy=request.lazy,
            entries=request.entries,
            blocks=len(division.blocks),
            **{name: getattr(division, name) for name in _FIELDS_OF_A_DIVISION},
            **plan.workspace.sizes,
            **{name: self.address_of(name) for name in _PIECES},
            **functions,
        )
        self._pack_tables(model, layers, division)
        real = np.dtype(f"f{layers.itemsize}")
        self._piece("one", 1, real)[:] = 1
        if model.loss_numbers:
            numbers = self._piece("loss_numbers", division.tile_rows * len(model.loss_numbers), real)
            numbers.reshape(division.tile_rows, -1)[:] = model.loss_numbers

    def _pack_tables(self, model: Model, layers: Layout, division: Division) -> None:
        columns = {
            "n_in": layers.n_in,
            "n_out": layers.n_out,
            "width_in": layers.width_in,
            "width_out": layers.width_out,
            "weights": model.weights,
            "biases": model.biases,
            "activation": [self._code(activation) for activation in model.activations],
            "derivative": [
                TIMES_SAVED if saves_it or isinstance(code, Formula) else int(code)
                for code, saves_it in zip(model.activations, layers.saves, strict=True)
            ],
            "dropped": [(p > 0) * (1 + saves(each)) for each, p in zip(model.activations, model.dropped, strict=True)],
            "deferred": division.deferred,
            "split": division.split,
            "first_block": division.first_block,
            "flipped": layers.flipped,
            **self.plan.workspace.columns,
            **{
                copy: [self.address_of(f"{copy} {layer}") for layer in range(layers.layers)]
                for copy in ("packed", "bias", "transposed")
            },
        }
        for name, values in columns.items():
            self.column(name)[:] = values
        self._piece("slopes", layers.layers, np.float64)[:] = model.slopes
        self._piece("dropouts", layers.layers, np.float64)[:] = model.dropped
        if division.blocks:
            self._piece("block_table", 3 * len(division.blocks), np.int64)[:] = np.ravel(division.blocks)

    def _code(self, what: int | Formula) -> int:
        """Return the code by which kernels know an activation or a loss, or the address of what computes it."""
        return self._formulas[what] if isinstance(what, Formula) else what

    def _piece(self, name: str, count: int, dtype: npt.DTypeLike) -> Any:
        """Return the first so many numbers of a piece of the workspace."""
        dtype = np.dtype(dtype)
        start = self.plan.workspace.offsets[name]
        return self._memory[start : start + count * dtype.itemsize].view(dtype)


_FIELDS_OF_A_DIVISION = (
    "threads", "task_rows", "tile_rows", "shared", "chunks", "paired", "rows_ahead", "divided", "walk_divided",
    "turned", "window",
)  # fmt: skip
_PIECES = (
    "table", "block_table", "slopes", "dropouts", "one", "loss_numbers", "team", "row_losses", "chunk_losses", "tiles",
    "logits", "gathered", "gram", "sums", "partials", "scratch", "staged", "staged_targets", "staged_weights",
    "block_weights", "norms", "piece_indices", "piece_values", "keys", "values", "columns", "begins", "digits",
    "current", "step_numbers",
)  # fmt: skip


_NO_FORMAT = (0,) * 9
_NO_OPTIMIZER = (0, 0, 0, 0, 0, *(0.0,) * 7, 0, 0, 0, 0, 0, 0, 0.0)


def _numbers_of(optimizer: Optimizer) -> tuple[float, ...]:
    """Return an optimizer's fields of a call, from the rule on to the penalty, which is left out."""
    state, step, rates = _address(optimizer.state), _address(optimizer.step), _address(optimizer.rates)
    averages, average_rates = optimizer.average, optimizer.average_rates
    return (
        *(optimizer.rule, state, step, rates, optimizer.rates.strides[0] // WORD, *optimizer.hyper),
        *(optimizer.l1, optimizer.clip_norm, _address(optimizer.factors)),
        *(_address(averages), _address(average_rates), average_rates.strides[0] // WORD, optimizer.seed),
        *(_address(optimizer.input_scale), optimizer.input_factor),
    )


@lru_cache
def _reader() -> Callable[[Any], int]:
    """Return what tells an array's address: compiled, 0.1 us, where the extension is there; NumPy's takes over 1 us."""
    try:
        read: Callable[[Any], int] = importlib.import_module("fastnn._kernels.cython.kernels").address
    except ImportError:
        return lambda array: int(array.ctypes.data)
    return read


def _address(array: npt.NDArray[np.generic] | None) -> int:
    """Return where an array's elements begin; 0 if there are none."""
    return 0 if array is None or array.size == 0 else _reader()(array)
