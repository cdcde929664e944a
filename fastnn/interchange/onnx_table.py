"""The preprocessing of tables in ONNX."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from fastnn.interchange.common import FAR
from fastnn.interchange.onnx_graph import Graph

if TYPE_CHECKING:
    from fastnn.sklearn.preprocessing import CategoryColumn, NumberColumns, TabularPreprocessor

_KINDS = {str: TensorProto.STRING, bool: TensorProto.BOOL, float: TensorProto.DOUBLE}


def prepare(graph: Graph, table: TabularPreprocessor) -> tuple[list[onnx.ValueInfoProto], str]:
    """Add the preprocessing of a table, in float64; return its inputs and the name of what comes out."""
    numbers, categories = table.steps()
    names = getattr(table, "feature_names_in_", [f"x{i}" for i in range(table.n_features_in_)])
    if not categories:
        inputs = [helper.make_tensor_value_info("X", TensorProto.DOUBLE, ["m", len(names)])]
        return inputs, _numbers(graph, numbers, "X")
    kinds = dict.fromkeys(numbers.places, float) | {each.place: _kind(names[each.place], each) for each in categories}
    inputs = [helper.make_tensor_value_info(names[i], _KINDS[kinds[i]], ["m", 1]) for i in sorted(kinds)]
    columns = [_categories(graph, each, names[each.place], kinds[each.place]) for each in categories]
    if numbers.places:
        X = graph.add("Concat", *(names[i] for i in numbers.places), axis=1)
        columns.insert(0, _numbers(graph, numbers, X))
    return inputs, graph.add("Concat", *columns, axis=1)


def _kind(name: str, column: CategoryColumn) -> type:
    """Return what the categories of a column are, of which ONNX's columns have one kind."""
    groups = {str: str, bool | np.bool_: bool, Real: float}  # a bool is a Real, too
    found = {
        next((kind for group, kind in groups.items() if isinstance(each, group)), object) for each in column.values
    }
    if len(found) != 1 or object in found:
        kinds = ", ".join(sorted({type(each).__name__ for each in column.values})) or "none"
        raise ValueError(f"column {name!r} must have categories of one kind, text, numbers or booleans; it has {kinds}")
    return found.pop()


def _numbers(graph: Graph, numbers: NumberColumns, X: str) -> str:
    """Add s / sqrt(1 + (s / 3)^2) of s = (x - center) factor, 0 where x is missing, and what marks that."""
    scaled = graph.add("Mul", graph.add("Sub", X, numbers.center), numbers.factor)
    scaled = graph.add("Clip", scaled, np.array(-FAR), np.array(FAR))
    third = graph.add("Div", scaled, np.array(3.0))
    root = graph.add("Sqrt", graph.add("Add", graph.add("Mul", third, third), np.array(1.0)))
    missing = graph.add("IsNaN", X)
    found = graph.add("Where", missing, np.array(0.0), graph.add("Div", scaled, root))
    if not numbers.marked:
        return found
    marks = graph.add("Cast", graph.add("Gather", missing, np.array(numbers.marked), axis=1), to=TensorProto.DOUBLE)
    return graph.add("Concat", found, marks, axis=1)


def _categories(graph: Graph, column: CategoryColumn, name: str, kind: type) -> str:
    """Add 1 where a column has a category, a column each; 1 and -1 in one where there are two."""
    values: npt.NDArray[Any] = np.array([[kind(each) for each in column.values]], object if kind is str else kind)
    ones = graph.add("Cast", graph.add("Equal", name, values), to=TensorProto.DOUBLE)
    return graph.add("MatMul", ones, np.array([[1.0], [-1.0]])) if column.signed else ones
