"""The activations of hidden layers: equation, derivative from the output, kernel code."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fastnn._checks import check_choice, check_real
from fastnn._kernels.contract import Activation as Code
from fastnn._kernels.contract import Formula


@dataclass(frozen=True)
class Activation:
    """An elementwise function g between layers.

    Attributes
    ----------
    name : str
        The name by which ``Network`` takes it.
    equation, derivative : str
        g(z), and g'(z) written in the output a = g(z).
    gain : {"glorot", "he"}
        The initialiser that keeps the variance of its signals from layer to layer.
    code : Code or Formula
        How kernels know it; one of your own by its formula.
    slope : float
        The slope of leaky_relu for z < 0; no other activation has one.
    """

    name: str
    equation: str
    derivative: str
    gain: str
    code: Code | Formula
    slope: float = 0.0


ACTIVATIONS = {
    name: Activation(name, code.text, code.derivative_text, code.gain, code, 0.01 if code.has_slope else 0.0)
    for code in Code
    if code.gain
    for name in [code.name.lower()]
}


def leaky_relu(slope: float = 0.01) -> Activation:
    """Return the leaky rectified linear unit, g(z) = z for z > 0 and slope z otherwise.

    Parameters
    ----------
    slope : float, default 0.01
        The slope for z < 0, in [0, 1).

    Returns
    -------
    Activation
        To be given as ``Network(activation=...)``, alone or in a list.

    References
    ----------
    Maas, Hannun, Ng: Rectifier nonlinearities improve neural network acoustic models. ICML 2013.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Network((2, 3, 1), fastnn.leaky_relu(0.2), "squared_error").activations[0].slope
    0.2
    """
    check_real("slope", slope, low=0, below=1)
    return replace(ACTIVATIONS["leaky_relu"], slope=float(slope))


def find_activation(activation: str | Activation) -> Activation:
    """Return the activation of that name; an Activation is returned as it is."""
    if isinstance(activation, Activation):
        if isinstance(activation.code, Code) and activation.code not in {known.code for known in ACTIVATIONS.values()}:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation.name!r}, an output unit"
            )
        return activation
    return ACTIVATIONS[check_choice("activation", activation, ACTIVATIONS)]
