"""Networks to other libraries and back: ``to_torch``, ``from_torch``, ``to_sklearn``, ``from_sklearn``, ``to_onnx``.

A library is imported when one of its functions is first asked for. What cannot travel is refused, by name, before
anything is made. docs/interchange.md has a table of what travels.

Examples
--------
>>> import numpy as np, fastnn
>>> from fastnn.interchange import to_torch
>>> net = fastnn.Network((4, 8, 3), "gelu", rng=0)
>>> module = to_torch(net, output=True)
>>> X = np.ones((2, 4), np.float32)
>>> import torch
>>> np.allclose(module(torch.from_numpy(X)).detach().numpy(), net.forward(X), atol=1e-6)
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastnn.interchange.onnx import to_onnx
    from fastnn.interchange.sklearn import from_sklearn, to_sklearn
    from fastnn.interchange.torch import from_torch, to_torch

__all__ = ["from_sklearn", "from_torch", "to_onnx", "to_sklearn", "to_torch"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{name.split('_')[1]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
