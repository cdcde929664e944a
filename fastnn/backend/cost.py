"""The cost of a network as a function of its parameters, for minimisers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastnn import _kernels
from fastnn._checks import check_real
from fastnn.backend.arrays import as_given, check_network
from fastnn.network import Network


def objective(
    network: Network, X: npt.ArrayLike, y: npt.ArrayLike, l2: float = 0.0, sample_weight: npt.ArrayLike | None = None
) -> Callable[[npt.ArrayLike], tuple[float, npt.NDArray[np.float64]]]:
    """Return the cost of a network as a function of its parameters, for ``scipy.optimize.minimize(..., jac=True)``.

    Parameters
    ----------
    network : Network
        Each call writes the parameters into it. The last ones that a minimiser tries need not be the best:
        ``network.parameters = result.x`` at the end.
    X, y, l2, sample_weight
        As in ``Network.loss_and_gradient``. They are checked, and converted where they must be, once; arrays that need
        no conversion are read at each call.

    Returns
    -------
    callable
        ``f(theta)``, theta (P,) laid out like ``Network.parameters``, returns J and its gradient, (P,), in float64, on
        the backend in use now. A float32 network rounds theta, so that J is known to some seven digits: tolerances
        below 1e-6 are for float64 ones. It raises ValueError if theta is not P real numbers, and RuntimeError if the
        network is being trained or another thread is in such a call.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> net = fastnn.Network((4, 8, 3), rng=0)
    >>> X, y = np.ones((2, 4), np.float32), np.array([0, 2])
    >>> cost = fastnn.backend.objective(net, X, y)
    >>> J, gradient = cost(net.parameters)
    >>> gradient.shape == net.parameters.shape
    True
    """
    check_network(network)
    l2 = check_real("l2", l2, low=0)
    data = network._given(as_given("X", X), as_given("y", y), sample_weight).data
    model, kernels = network.architecture.model, _kernels.kernels()
    gradient = np.empty_like(network.parameters)

    def cost(theta: npt.ArrayLike) -> tuple[float, npt.NDArray[np.float64]]:
        with network.in_training:
            network.parameters = theta
            J = float(kernels.loss_and_gradient(model, network.parameters, data, l2, gradient))
            return J, gradient.astype(np.float64)

    return cost
