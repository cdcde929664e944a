"""The activations of hidden layers: equation, derivative from the output, kernel code."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn._checks import check_choice, check_real
from fastnn._kernels.contract import Activation as Code


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
    code : int
        How kernels know it.
    slope : float
        The slope of leaky_relu for z < 0; no other activation has one.
    """

    name: str
    equation: str
    derivative: str
    gain: str
    code: Code
    slope: float = 0.0


ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("identity", "z", "1", "glorot", Code.IDENTITY),
        Activation("sigmoid", "1 / (1 + exp(-z))", "a - a^2", "glorot", Code.SIGMOID),
        Activation("tanh", "tanh(z)", "1 - a^2", "glorot", Code.TANH),
        Activation("relu", "max(z, 0)", "1 if a > 0 else 0", "he", Code.RELU),
        Activation("leaky_relu", "z if z > 0 else slope z", "1 if a > 0 else slope", "he", Code.LEAKY_RELU, 0.01),
    )
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
    """
    check_real("slope", slope, low=0, below=1)
    plain = ACTIVATIONS["leaky_relu"]
    return Activation(plain.name, plain.equation, plain.derivative, plain.gain, plain.code, float(slope))


def find_activation(activation: str | Activation) -> Activation:
    """Return the activation of that name; an Activation is returned as it is."""
    if isinstance(activation, Activation):
        if activation.code not in {known.code for known in ACTIVATIONS.values()}:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation.name!r}, an output unit"
            )
        return activation
    return ACTIVATIONS[check_choice("activation", activation, ACTIVATIONS)]
