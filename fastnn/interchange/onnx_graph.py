"""A graph of ONNX, as it is put together."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Graph:
    """The nodes of a graph and its constants, all in one dtype."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> str:
        """Add a node of inputs, which are names or constants; return the name of its first output."""
        given = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        names = [f"{operator}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, given, names, **attributes))
        return names[0]

    def constant(self, value: Any) -> str:
        """Add an array as it is, or a number in the graph's dtype; return its name."""
        array = value if isinstance(value, np.ndarray) else np.array(value, self.dtype)
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name
