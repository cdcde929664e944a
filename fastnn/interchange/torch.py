"""PyTorch: networks as ``torch.nn.Sequential``, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

try:
    import torch
    from torch import nn
except ModuleNotFoundError as error:
    raise ImportError("to_torch and from_torch need PyTorch: pip install torch", name="torch") from error

from fastnn._checks import check_flag
from fastnn._kernels.contract import Activation as Unit
from fastnn._kernels.contract import Array
from fastnn.activations import Activation, find_activation, leaky_relu
from fastnn.data import Scaler, Standardizer
from fastnn.interchange.common import check_activations, model_of, places_in_order
from fastnn.interchange.torch_modules import Ascending, Exp, InputScale, Tabular, TargetScale
from fastnn.losses import LOSSES, Loss, Poisson, find_loss
from fastnn.network import Network

if TYPE_CHECKING:
    from fastnn.sklearn.estimator import BaseMLP


# From z = threshold on PyTorch takes log(1 + e^z) for z. Its own threshold of 20 is 1e-10 off, which float64 shows.
_THRESHOLD = 40.0

_MODULES = {
    "identity": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU, "selu": nn.SELU, "gelu": nn.GELU, "silu": nn.SiLU, "mish": nn.Mish, "softplus": nn.Softplus,
}  # fmt: skip
_NAMES = {kind: name for name, kind in _MODULES.items()}
# Of output units: the loss whose unit it is, and the unit.
_OUTPUTS: dict[type, Loss] = {
    nn.Softmax: LOSSES["softmax_cross_entropy"],
    nn.Sigmoid: LOSSES["sigmoid_cross_entropy"],
    Exp: Poisson(),
    nn.Softplus: Poisson(link="softplus"),
}
_SUPPORTED = list(dict.fromkeys((nn.Linear, *_NAMES, nn.Dropout, *_OUTPUTS, InputScale, Ascending, TargetScale)))
# What options may be, where fastnn has no others; the first is what messages tell.
_OPTIONS: dict[type, dict[str, tuple[Any, ...]]] = {
    nn.ELU: {"alpha": (1,)},
    nn.GELU: {"approximate": ("none",)},
    nn.Softplus: {"beta": (1,), "threshold": (20, _THRESHOLD)},
    nn.Softmax: {"dim": (1, -1, None)},
}


def to_torch(net: Network | BaseMLP, output: bool = False) -> nn.Sequential:
    """Return a network as a PyTorch module of Linear layers, activations and Dropout.

    Parameters
    ----------
    net : Network or estimator of fastnn.sklearn
        Its parameters are copied, in its dtype. Its activations must be fastnn's own. The module of an estimator with a
        preset begins with the preprocessing of its table, `Tabular`.
    output : bool, default False
        Whether the module ends in the output unit and so returns what ``net.forward`` does. Without it the module
        returns the logits, as PyTorch's losses take them: ``CrossEntropyLoss``, ``BCEWithLogitsLoss``,
        ``PoissonNLLLoss``.

    Returns
    -------
    torch.nn.Sequential
        In evaluation mode, as fastnn predicts: ``module.train()`` switches dropout on.

    Raises
    ------
    TypeError
        If net is neither, or output no flag.
    ValueError
        If an activation is one of your own, if net is an ensemble or takes text, or if without the output unit
        predictions would differ: of a network trained with ``scale_targets``, or of quantiles with ``crossing=False``.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn.interchange import to_torch
    >>> to_torch(fastnn.Network((784, 128, 10), "relu"))
    Sequential(
      (0): Linear(in_features=784, out_features=128, bias=True)
      (1): ReLU()
      (2): Linear(in_features=128, out_features=10, bias=True)
    )
    """
    check_flag("output", output)
    model = model_of(net)
    net = model.network("PyTorch")
    check_activations(net, _MODULES, "PyTorch")
    ending = _ending(net)
    if not output and any(isinstance(step, Ascending | TargetScale) for step in ending):
        named = {Ascending: "puts quantiles in order (crossing=False)", TargetScale: "was trained with scale_targets"}
        what = " and ".join(named[type(step)] for step in ending)
        raise ValueError(f"net {what}, of which logits know nothing: to_torch needs output=True")
    layers = [_linear(W, b) for W, b in zip(net.weights, net.biases, strict=True)]
    scaler = net.state.scaler
    steps: list[nn.Module] = [] if model.table is None else [Tabular(model.table)]
    if scaler is not None:
        steps.append(InputScale(scaler, net.sizes[0], net.dtype))
    for linear, activation, dropout in zip(layers, net.activations, net.dropout, strict=False):
        steps += [linear, _module(activation)]
        if dropout:
            steps.append(nn.Dropout(dropout))
    return nn.Sequential(*steps, layers[-1], *(ending if output else ())).eval()


def _linear(W: Array, b: Array) -> nn.Linear:
    linear = nn.utils.skip_init(nn.Linear, *W.shape, dtype=getattr(torch, W.dtype.name))  # no draws from a generator
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(W.T))
        linear.bias.copy_(torch.tensor(b))
    return linear


def _module(activation: Activation) -> nn.Module:
    if activation.name == "leaky_relu":
        return nn.LeakyReLU(activation.slope)
    if activation.name == "softplus":
        return nn.Softplus(threshold=_THRESHOLD)
    return _MODULES[activation.name]()


def _ending(net: Network) -> list[nn.Module]:
    """Return what makes a network's predictions of its logits."""
    units = {
        Unit.SOFTMAX: lambda: [nn.Softmax(dim=1)],
        Unit.SIGMOID: lambda: [nn.Sigmoid()],
        Unit.EXP: lambda: [Exp()],
        Unit.SOFTPLUS: lambda: [nn.Softplus(threshold=_THRESHOLD)],
        Unit.IDENTITY: list,
    }
    ending: list[nn.Module] = units[net.architecture.loss.output]()
    places, scale = places_in_order(net.architecture), net.state.target_scale
    if places is not None:
        ending.append(Ascending(places))
    if scale is not None:
        ending.append(TargetScale(scale.mean, scale.deviation))
    return ending


# --- and back ---------------------------------------------------------------------------------------------------------


@dataclass
class _Layer:
    """A layer as it is read."""

    name: str
    linear: nn.Linear
    activation: Activation | None = None
    dropout: float | None = None


def from_torch(module: nn.Sequential, loss: str | Loss | None = None) -> Network:
    """Return a PyTorch module as a network.

    Parameters
    ----------
    module : torch.nn.Sequential
        Of Linear layers, one activation after each hidden one or none, and Dropout after that; nested or not. The
        parameters are copied, in their dtype, float32 or float64.
    loss : str or Loss, optional
        What the network is to be trained with, as ``Network`` takes it; it fixes the output unit, whether or not the
        module has it. By default that of the output unit at the module's end: Softmax and Sigmoid are the cross
        entropies', `Exp` and Softplus Poisson's.

    Returns
    -------
    Network
        ``forward`` returns the module's outputs, or, where the module returns logits, the output unit's values.

    Raises
    ------
    TypeError
        If module is no Sequential.
    ValueError
        If a part of it is of a kind or has an option that fastnn has not, or if its output unit is not the loss's; the
        message names the part.

    Examples
    --------
    >>> from torch import nn
    >>> from fastnn.interchange import from_torch
    >>> from_torch(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3), nn.Softmax(dim=1)))
    Network((4, 8, 3), activation=['tanh'], loss='softmax_cross_entropy', dtype='float32', dropout=[0.2])
    """
    if type(module) is not nn.Sequential:
        raise TypeError(f"module must be a torch.nn.Sequential; got {type(module).__name__}")
    given = None if loss is None else find_loss(loss)
    scaler, layers, ending = _read(module)
    scale = ending.pop()[1] if ending and type(ending[-1][1]) is TargetScale else None
    order = ending.pop()[1] if ending and type(ending[-1][1]) is Ascending else None
    found, arrays = _loss(ending, given), _arrays(layers)
    net = Network(
        (len(arrays[0][0]), *(len(b) for _, b in arrays)),
        [layer.activation or "identity" for layer in layers[:-1]],
        found,
        arrays[0][0].dtype,
        init=arrays,
        dropout=[layer.dropout or 0.0 for layer in layers[:-1]],
    )
    if order is not None and places_in_order(net.architecture) != order.places.tolist():
        raise ValueError("module ends in Ascending, so loss must be the Quantile of crossing=False that it was made of")
    if scale is not None:
        if not found.has_units:
            raise ValueError(f"module ends in TargetScale, in the targets' units; loss={found.name!r} is not in units")
        net.state.target_scale = Standardizer(
            *(buffer.double().cpu().numpy() for buffer in (scale.mean, scale.deviation))
        )
    net.state.scaler = scaler
    return net


def _steps(module: nn.Sequential, name: str = "module") -> Iterator[tuple[str, nn.Module]]:
    """Yield the parts of a module, those of nested ones too, with the expressions that give them."""
    for i, step in enumerate(module):
        if type(step) is nn.Sequential:
            yield from _steps(step, f"{name}[{i}]")
        else:
            yield f"{name}[{i}]", step


def _read(module: nn.Sequential) -> tuple[Scaler | None, list[_Layer], list[tuple[str, nn.Module]]]:
    """Return the scale of a module's inputs, its layers, and what comes after the last one."""
    steps = list(_steps(module))
    for name, step in steps:
        _check_step(name, step)
    steps = [(name, step) for name, step in steps if type(step) is not nn.Identity]
    scaler = steps.pop(0)[1].scaler if steps and type(steps[0][1]) is InputScale else None
    last = max((i for i, (_, step) in enumerate(steps) if type(step) is nn.Linear), default=-1)
    layers: list[_Layer] = []
    for name, step in steps[: last + 1]:
        if type(step) is nn.Linear:
            layers.append(_Layer(name, step))
        else:
            _add(layers, name, step)
    if not layers:
        raise ValueError("module must have a Linear layer; got none")
    return scaler, layers, steps[last + 1 :]


def _check_step(name: str, step: nn.Module) -> None:
    """Refuse what fastnn has not."""
    kind = type(step)
    if kind not in _SUPPORTED:
        supported = ", ".join(known.__name__ for known in _SUPPORTED)
        raise ValueError(f"{name} is a {kind.__name__}; supported are {supported}, in Sequential")
    for option, allowed in _OPTIONS.get(kind, {}).items():
        if getattr(step, option) not in allowed:
            raise ValueError(f"{name} is {step}; {kind.__name__} must have {option}={allowed[0]!r}")


def _add(layers: list[_Layer], name: str, step: nn.Module) -> None:
    """Give the last layer its activation, or its dropout."""
    layer = layers[-1] if layers else None
    if layer is None or layer.dropout is not None or (layer.activation and type(step) is not nn.Dropout):
        place = "only after a Linear layer" if layer is None else "not here"
        raise ValueError(
            f"{name} is a {type(step).__name__}, {place}: after each Linear layer there may be one activation, and "
            "after that one Dropout"
        )
    if type(step) is nn.Dropout:
        layer.dropout = step.p
    elif type(step) is nn.LeakyReLU:
        try:
            layer.activation = leaky_relu(step.negative_slope)
        except ValueError as error:
            raise ValueError(f"{name} is {step}: {error}") from error
    elif type(step) in _NAMES:
        layer.activation = find_activation(_NAMES[type(step)])
    else:
        raise ValueError(f"{name} is a {type(step).__name__}, which is for outputs: there is a Linear layer after it")


def _loss(ending: list[tuple[str, nn.Module]], given: Loss | None) -> Loss:
    """Return the loss that belongs to what comes after the last layer."""
    for name, step in ending[1:] or [pair for pair in ending if type(pair[1]) not in _OUTPUTS]:
        raise ValueError(
            f"{name} is a {type(step).__name__}; after the last Linear layer there may be one of "
            f"{', '.join(kind.__name__ for kind in _OUTPUTS)}"
        )
    unit = _OUTPUTS[type(ending[0][1])] if ending else None
    if given is None and unit is None:
        raise ValueError(f"loss must be given where module ends in a Linear layer; known are {', '.join(LOSSES)}")
    if given is not None and unit is not None and given.output != unit.output:
        raise ValueError(f"{ending[0][0]} is a {ending[0][1]}, which is not the output unit of loss={given.name!r}")
    found = given or unit
    assert found is not None
    return found


def _arrays(layers: list[_Layer]) -> list[tuple[Array, Array]]:
    """Return the weights and biases, zero where a layer has none, of layers that fit together."""
    dtype = layers[0].linear.weight.dtype
    arrays: list[tuple[Array, Array]] = []
    for before, layer in zip([None, *layers], layers, strict=False):
        W, b = layer.linear.weight, layer.linear.bias
        if W.dtype not in (torch.float32, torch.float64) or W.dtype != dtype:
            found = f"{layer.name} has {W.dtype} and {layers[0].name} {dtype}"
            raise ValueError(f"the layers of module must be all in float32, or all in float64; {found}")
        if before is not None and W.shape[1] != before.linear.out_features:
            found = f"{layer.name} takes {W.shape[1]} inputs, {before.name} has {before.linear.out_features} outputs"
            raise ValueError(f"the layers of module do not fit together: {found}")
        W = W.detach().cpu().numpy().T
        arrays.append((W, np.zeros(W.shape[1], W.dtype) if b is None else b.detach().cpu().numpy()))
    return arrays
