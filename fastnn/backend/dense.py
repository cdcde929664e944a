"""One layer, without a network."""

from __future__ import annotations

import numpy as np

from fastnn import _kernels
from fastnn._kernels.contract import Array
from fastnn.activations import Activation, find_activation
from fastnn.architecture import DTYPES
from fastnn.backend.arrays import as_array, check_array, described


def dense_forward(
    A: Array, W: Array, b: Array, activation: str | Activation = "identity", out: Array | None = None
) -> Array:
    """Return g(A W + b), the outputs of one layer.

    Parameters
    ----------
    A : ndarray, (m, n_in)
        The layer's inputs, float32 or float64, in C order. Its dtype is that of all others; nothing is converted.
    W : ndarray, (n_in, n_out)
        Weights, in C order.
    b : ndarray, (n_out,)
        Biases.
    activation : str or Activation, default "identity"
        As ``Network`` takes it.
    out : ndarray, (m, n_out), optional
        Where the outputs go; it must not share memory with A.

    Returns
    -------
    ndarray, (m, n_out)
        ``out`` if it is given.

    Raises
    ------
    TypeError, ValueError
        If an array has another type, dtype, shape or order, or an argument does not fit.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> A, W, b = (np.array(each, np.float32) for each in ([[1, 1]], [[1, -3], [1, 1]], [0, 0]))
    >>> fastnn.backend.dense_forward(A, W, b, "relu").tolist()
    [[2.0, 0.0]]
    """
    unit, inputs, weights = find_activation(activation), as_array("A", A), as_array("W", W)
    if not isinstance(inputs, np.ndarray) or inputs.dtype not in DTYPES:
        raise TypeError(f"A must be an array of {' or '.join(DTYPES)}; got {described(inputs)}")
    for name, shape in (("A", inputs.shape), ("W", np.shape(weights))):
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"{name} must be a matrix that is not empty; got shape {shape}")
    dtype, (m, n_in), n_out = inputs.dtype, inputs.shape, np.shape(weights)[1]
    inputs = check_array("A", inputs, dtype, (m, n_in))
    weights, biases = check_array("W", weights, dtype, (n_in, n_out)), check_array("b", b, dtype, (n_out,))
    if out is None:
        out = np.empty((m, n_out), dtype)
    outputs = check_array("out", out, dtype, (m, n_out), written=True)
    if np.may_share_memory(outputs, inputs):
        raise ValueError("out must not share memory with A")
    _kernels.kernels().dense_forward(inputs, weights, biases, unit.code, unit.slope, outputs)
    return out
