"""ONNX: networks as graphs that other runtimes compute."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ModuleNotFoundError as error:
    raise ImportError("to_onnx needs onnx: pip install fastnn-cpu[onnx]", name="onnx") from error

from fastnn._equations.activations import SELU_ALPHA, SELU_SCALE
from fastnn._kernels.contract import Activation as Unit
from fastnn.activations import Activation, find_activation
from fastnn.interchange.common import check_activations, check_network, places_in_order
from fastnn.network import Network
from fastnn.saving import write_atomically

_OPSET, _IR = 20, 9  # the first opset with Gelu, and the format of its time, which later runtimes read

_OPERATORS = {
    "identity": "Identity", "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "leaky_relu": "LeakyRelu",
    "elu": "Elu", "selu": "Selu", "gelu": "Gelu", "mish": "Mish", "softplus": "Softplus",
}  # fmt: skip


def to_onnx(net: Network, path: str | os.PathLike[str] | None = None) -> onnx.ModelProto:
    """Return a network as an ONNX model of what ``net.forward`` computes, checked by ONNX.

    Parameters
    ----------
    net : Network
        In float32 or float64; its activations must be fastnn's own, its loss may be any.
    path : path, optional
        A file to write the model to, whole or not at all; replaced if it exists.

    Returns
    -------
    onnx.ModelProto
        Of opset 20. The input "X", (m, n_in), is of the network's dtype; "outputs", (m, K), are the output unit's
        values, as of ``forward``: quantiles with ``crossing=False`` in order, after ``scale_targets`` in float64 in the
        targets' units. The metadata's entry "classes" has the labels as JSON, where there are any. ONNX Runtime 1.32
        runs all of it but gelu in float64, for which it has no Erf.

    Raises
    ------
    TypeError
        If net is no network.
    ValueError
        If an activation is one of your own.
    OSError
        If the file cannot be written; a file that was there is untouched.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn.interchange import to_onnx
    >>> [node.op_type for node in to_onnx(fastnn.Network((4, 8, 3), "mish")).graph.node]
    ['Gemm', 'Mish', 'Gemm', 'Softmax']
    """
    net = check_network(net)
    check_activations(net, dict.fromkeys([*_OPERATORS, *_WRITTEN_OUT]), "ONNX")
    file = None if path is None else Path(path)
    model = _model(net)
    onnx.checker.check_model(model, full_check=True)
    if file is not None:
        write_atomically(file, model.SerializeToString())
    return model


class _Graph:
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


def _model(net: Network) -> onnx.ModelProto:
    graph = _Graph(net.dtype)
    signal = "X"
    for W, b, activation in zip(net.weights, net.biases, (*net.activations, None), strict=True):
        signal = graph.add("Gemm", signal, W, b)
        if activation is not None:
            signal = _activate(graph, signal, activation)
    _predict(graph, net, signal)
    graph.nodes[-1].output[0] = "outputs"
    dtype = helper.np_dtype_to_tensor_dtype(net.dtype)
    found = dtype if net.state.target_scale is None else TensorProto.DOUBLE
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "fastnn",
            [helper.make_tensor_value_info("X", dtype, ["m", net.sizes[0]])],
            [helper.make_tensor_value_info("outputs", found, ["m", net.sizes[-1]])],
            graph.constants,
        ),
        producer_name="fastnn",
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
    )
    if net.classes is not None:
        helper.set_model_props(model, {"classes": json.dumps(net.classes.tolist())})
    return model


def _activate(graph: _Graph, z: str, activation: Activation) -> str:
    """Add an activation; return its output's name."""
    name = activation.name
    if name in _WRITTEN_OUT and (graph.dtype == np.float64 or name not in _OPERATORS):
        return _WRITTEN_OUT[name](graph, z, activation)
    slope: dict[str, Any] = {"alpha": activation.slope} if name == "leaky_relu" else {}
    return graph.add(_OPERATORS[name], z, **slope)


def _predict(graph: _Graph, net: Network, z: str) -> None:
    """Add what makes predictions of the logits."""
    unit = net.architecture.loss.output
    if unit == Unit.SOFTMAX:
        z = graph.add("Softmax", z, axis=1)
    elif unit == Unit.EXP:
        z = graph.add("Exp", z)
    elif unit != Unit.IDENTITY:
        z = _activate(graph, z, find_activation(unit.name.lower()))
    places, scale = places_in_order(net.architecture), net.state.target_scale
    if places is not None:
        ordered = graph.add("TopK", z, np.array([len(places)]), outputs=2, axis=1, largest=0)
        z = graph.add("Gather", ordered, np.array(places), axis=1)
    if scale is not None:
        graph.add("Add", graph.add("Mul", graph.add("Cast", z, to=TensorProto.DOUBLE), scale.deviation), scale.mean)


# --- activations written out ------------------------------------------------------------------------------------------
# ONNX has no operator for silu at this opset. The others are for float64: ONNX Runtime has their operators for float32
# alone, and numbers in them, such as slopes and gelu's root of 2, are float32's.


def _silu(graph: _Graph, z: str, _: Activation) -> str:
    """Add z sigmoid(z)."""
    return graph.add("Mul", z, graph.add("Sigmoid", z))


def _leaky_relu(graph: _Graph, z: str, activation: Activation) -> str:
    """Add max(z, slope z)."""
    return graph.add("Max", z, graph.add("Mul", z, activation.slope))


def _below(graph: _Graph, z: str) -> str:
    """Add e^min(z, 0) - 1."""
    return graph.add("Sub", graph.add("Exp", graph.add("Min", z, 0.0)), 1.0)


def _elu(graph: _Graph, z: str, _: Activation) -> str:
    """Add max(z, 0) + e^min(z, 0) - 1."""
    return graph.add("Add", graph.add("Relu", z), _below(graph, z))


def _selu(graph: _Graph, z: str, _: Activation) -> str:
    """Add scale (max(z, 0) + alpha (e^min(z, 0) - 1))."""
    sum_ = graph.add("Add", graph.add("Relu", z), graph.add("Mul", _below(graph, z), SELU_ALPHA))
    return graph.add("Mul", sum_, SELU_SCALE)


def _softplus(graph: _Graph, z: str, _: Activation) -> str:
    """Add max(z, 0) + log(1 + e^-|z|)."""
    unit = graph.add("Exp", graph.add("Neg", graph.add("Abs", z)))
    return graph.add("Add", graph.add("Relu", z), graph.add("Log", graph.add("Add", unit, 1.0)))


def _gelu(graph: _Graph, z: str, _: Activation) -> str:
    """Add z / 2 (1 + erf(z / root of 2))."""
    error = graph.add("Erf", graph.add("Mul", z, math.sqrt(0.5)))
    return graph.add("Mul", graph.add("Mul", z, 0.5), graph.add("Add", error, 1.0))


def _mish(graph: _Graph, z: str, activation: Activation) -> str:
    """Add z tanh(log(1 + e^z))."""
    return graph.add("Mul", z, graph.add("Tanh", _softplus(graph, z, activation)))


_WRITTEN_OUT = {
    "silu": _silu, "leaky_relu": _leaky_relu, "elu": _elu, "selu": _selu, "softplus": _softplus, "gelu": _gelu,
    "mish": _mish,
}  # fmt: skip
