"""The losses, and the output unit that each fixes: with that pair the derivative at Z_L is A_L - Y."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn._checks import check_choice
from fastnn._kernels.contract import Activation as ActivationCode
from fastnn._kernels.contract import Loss as Code


@dataclass(frozen=True)
class Loss:
    """A cost function of the network's output h and the target y, a mean over the samples.

    Attributes
    ----------
    name : str
        The name by which ``Network`` takes it.
    equation : str
        One sample's cost; cross entropies are computed from Z_L, so a saturated output gives a finite, right value.
    output : Activation code
        The output unit.
    code : int
        How kernels know it.
    """

    name: str
    equation: str
    output: ActivationCode
    code: Code

    @property
    def classifies(self) -> bool:
        """Whether the targets are classes or yes/no answers, not real numbers."""
        return self.code.kind != "numbers"

    @property
    def chooses(self) -> bool:
        """Whether the outputs are the probabilities of classes of which each sample has one."""
        return self.code.kind == "classes"

    @property
    def domain(self) -> str:
        """The values that targets may take."""
        return self.code.domain


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("softmax_cross_entropy", "-log h_y", ActivationCode.SOFTMAX, Code.SOFTMAX_CROSS_ENTROPY),
        Loss(
            "sigmoid_cross_entropy",
            "-sum_k [y_k log h_k + (1 - y_k) log(1 - h_k)]",
            ActivationCode.SIGMOID,
            Code.SIGMOID_CROSS_ENTROPY,
        ),
        Loss("squared_error", "1/2 sum_k (h_k - y_k)^2", ActivationCode.IDENTITY, Code.SQUARED_ERROR),
        Loss("poisson", "sum_k (h_k - y_k log h_k)", ActivationCode.EXP, Code.POISSON),
    )
}


def find_loss(loss: str | Loss) -> Loss:
    """Return the loss of that name; a Loss is returned as it is."""
    if isinstance(loss, Loss):
        return loss
    return LOSSES[check_choice("loss", loss, LOSSES)]
