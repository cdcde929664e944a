"""ONNX: networks as graphs that other runtimes compute."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

try:
    import onnx
    from onnx import TensorProto, helper
except ModuleNotFoundError as error:
    raise ImportError("to_onnx needs onnx: pip install fastnn-cpu[onnx]", name="onnx") from error

from fastnn._equations.activations import SELU_ALPHA, SELU_SCALE
from fastnn._kernels.contract import Activation as Unit
from fastnn.activations import Activation, find_activation
from fastnn.interchange.common import Model, check_activations, model_of, places_in_order
from fastnn.interchange.onnx_graph import Graph
from fastnn.interchange.onnx_table import prepare
from fastnn.network import Network
from fastnn.saving import write_atomically

if TYPE_CHECKING:
    from fastnn.sklearn.estimator import BaseMLP

_OPSET, _IR = 20, 9  # the first opset with Gelu, and the format of its time, which later runtimes read

_OPERATORS = {
    "identity": "Identity", "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "leaky_relu": "LeakyRelu",
    "elu": "Elu", "selu": "Selu", "gelu": "Gelu", "mish": "Mish", "softplus": "Softplus",
}  # fmt: skip


def to_onnx(net: Network | BaseMLP, path: str | os.PathLike[str] | None = None) -> onnx.ModelProto:
    """Return a network as an ONNX model of what ``net.forward`` computes, checked by ONNX.

    Parameters
    ----------
    net : Network or estimator of fastnn.sklearn
        In float32 or float64; its activations must be fastnn's own, its loss may be any. Of an ensemble the model has
        the mean of the networks, and with a preset it prepares the table itself.
    path : path, optional
        A file to write the model to, whole or not at all; replaced if it exists.

    Returns
    -------
    onnx.ModelProto
        Of opset 20. The input "X", (m, n_in), is of the network's dtype; "outputs", (m, K), are the output unit's
        values, as of ``forward``: quantiles with ``crossing=False`` in order, after ``scale_targets`` in float64 in the
        targets' units. The metadata's entry "classes" has the labels as JSON, where there are any. ONNX Runtime 1.32
        runs all of it but gelu in float64, for which it has no Erf. With a preset "X" is in float64, NaN where a number
        is missing; if there are categories, each column of the table is an input of its own, (m, 1), by its name or as
        "x0", "x1", ...: numbers in float64, categories as they are, text, numbers or booleans; what is unknown, such as
        "" and NaN, is taken as missing.

    Raises
    ------
    TypeError
        If net is neither.
    ValueError
        If an activation is one of your own, or a column has categories of several kinds.
    OSError
        If the file cannot be written; a file that was there is untouched.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn.interchange import to_onnx
    >>> [node.op_type for node in to_onnx(fastnn.Network((4, 8, 3), "mish")).graph.node]
    ['Gemm', 'Mish', 'Gemm', 'Softmax']
    """
    given = model_of(net)
    for each in given.networks:
        check_activations(each, dict.fromkeys([*_OPERATORS, *_WRITTEN_OUT]), "ONNX")
    file = None if path is None else Path(path)
    model = _model(given)
    onnx.checker.check_model(model, full_check=True)
    if file is not None:
        write_atomically(file, model.SerializeToString())
    return model


def _model(model: Model) -> onnx.ModelProto:
    net = model.networks[0]
    graph = Graph(net.dtype)
    dtype = helper.np_dtype_to_tensor_dtype(net.dtype)
    if model.table is None:
        inputs, signal = [helper.make_tensor_value_info("X", dtype, ["m", net.sizes[0]])], "X"
    else:
        inputs, signal = prepare(graph, model.table)
        signal = graph.add("Cast", signal, to=dtype)
    outputs = [_forward(graph, each, signal) for each in model.networks]
    if len(outputs) > 1:
        graph.add("Div", graph.add("Sum", *outputs), len(outputs))
    graph.nodes[-1].output[0] = "outputs"
    found = dtype if net.state.target_scale is None else TensorProto.DOUBLE
    predictions = [helper.make_tensor_value_info("outputs", found, ["m", net.sizes[-1]])]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "fastnn", inputs, predictions, graph.constants),
        producer_name="fastnn",
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
    )
    if net.classes is not None:
        helper.set_model_props(proto, {"classes": json.dumps(net.classes.tolist())})
    return proto


def _forward(graph: Graph, net: Network, signal: str) -> str:
    """Add a network; return the name of its outputs."""
    scaler = net.state.scaler
    if scaler is not None:
        mean, inverse = scaler.numbers(net.sizes[0], net.dtype)
        signal = graph.add("Mul", graph.add("Sub", signal, mean), inverse)
    for W, b, activation in zip(net.weights, net.biases, (*net.activations, None), strict=True):
        signal = graph.add("Gemm", signal, W, b)
        if activation is not None:
            signal = _activate(graph, signal, activation)
    return _predict(graph, net, signal)


def _activate(graph: Graph, z: str, activation: Activation) -> str:
    """Add an activation; return its output's name."""
    name = activation.name
    if name in _WRITTEN_OUT and (graph.dtype == np.float64 or name not in _OPERATORS):
        return _WRITTEN_OUT[name](graph, z, activation)
    slope: dict[str, Any] = {"alpha": activation.slope} if name == "leaky_relu" else {}
    return graph.add(_OPERATORS[name], z, **slope)


def _predict(graph: Graph, net: Network, z: str) -> str:
    """Add what makes predictions of the logits; return their name."""
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
        z = graph.add("Add", graph.add("Mul", graph.add("Cast", z, to=TensorProto.DOUBLE), scale.deviation), scale.mean)
    return z


# --- activations written out ------------------------------------------------------------------------------------------
# ONNX has no operator for silu at this opset. The others are for float64: ONNX Runtime has their operators for float32
# alone, and numbers in them, such as slopes and gelu's root of 2, are float32's.


def _silu(graph: Graph, z: str, _: Activation) -> str:
    """Add z sigmoid(z)."""
    return graph.add("Mul", z, graph.add("Sigmoid", z))


def _leaky_relu(graph: Graph, z: str, activation: Activation) -> str:
    """Add max(z, slope z)."""
    return graph.add("Max", z, graph.add("Mul", z, activation.slope))


def _below(graph: Graph, z: str) -> str:
    """Add e^min(z, 0) - 1."""
    return graph.add("Sub", graph.add("Exp", graph.add("Min", z, 0.0)), 1.0)


def _elu(graph: Graph, z: str, _: Activation) -> str:
    """Add max(z, 0) + e^min(z, 0) - 1."""
    return graph.add("Add", graph.add("Relu", z), _below(graph, z))


def _selu(graph: Graph, z: str, _: Activation) -> str:
    """Add scale (max(z, 0) + alpha (e^min(z, 0) - 1))."""
    sum_ = graph.add("Add", graph.add("Relu", z), graph.add("Mul", _below(graph, z), SELU_ALPHA))
    return graph.add("Mul", sum_, SELU_SCALE)


def _softplus(graph: Graph, z: str, _: Activation) -> str:
    """Add max(z, 0) + log(1 + e^-|z|)."""
    unit = graph.add("Exp", graph.add("Neg", graph.add("Abs", z)))
    return graph.add("Add", graph.add("Relu", z), graph.add("Log", graph.add("Add", unit, 1.0)))


def _gelu(graph: Graph, z: str, _: Activation) -> str:
    """Add z / 2 (1 + erf(z / root of 2))."""
    error = graph.add("Erf", graph.add("Mul", z, math.sqrt(0.5)))
    return graph.add("Mul", graph.add("Mul", z, 0.5), graph.add("Add", error, 1.0))


def _mish(graph: Graph, z: str, activation: Activation) -> str:
    """Add z tanh(log(1 + e^z))."""
    return graph.add("Mul", z, graph.add("Tanh", _softplus(graph, z, activation)))


_WRITTEN_OUT = {
    "silu": _silu, "leaky_relu": _leaky_relu, "elu": _elu, "selu": _selu, "softplus": _softplus, "gelu": _gelu,
    "mish": _mish,
}  # fmt: skip
