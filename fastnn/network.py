"""Network: what the user holds. It validates, allocates and delegates to the kernels."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn import _kernels, training
from fastnn._checks import check_integer, check_real
from fastnn._kernels import reference
from fastnn._kernels.contract import Array, Data, Model
from fastnn.activations import Activation, find_activation
from fastnn.data import as_data, as_samples
from fastnn.initializers import draw_arrays, own_arrays
from fastnn.losses import find_loss
from fastnn.optimizers import Optimizer, find_optimizer
from fastnn.training import Callback, History

DTYPES = ("float32", "float64")


class Network:
    """A dense feed-forward network: A_{l+1} = g_l(A_l W_l + b_l), A_1 = X.

    Parameters
    ----------
    sizes : sequence of int
        Units of each layer, inputs first, outputs last; two sizes make a linear, logistic or softmax regression.
    activation : str, Activation or a sequence of them, default "sigmoid"
        Of all hidden layers, or one for each: "identity", "sigmoid", "tanh", "relu", "leaky_relu" (slope 0.01), or
        ``leaky_relu(slope)``.
    loss : {"softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"}
        Fixes the output unit: softmax, sigmoid, identity.
    dtype : {"float32", "float64"}
        Of the parameters and of all computation.
    rng : int, numpy.random.Generator or None
        Seed or source of the initial weights and of every shuffle.
    init : {"auto", "glorot", "he", "zeros"} or sequence of (W, b)
        Initial weights; "auto" is He for rectifiers, Glorot otherwise. Biases begin at zero.

    Attributes
    ----------
    parameters : ndarray, (P,)
        All parameters in one flat vector: W_1 in C order, b_1, W_2, b_2, ... What is assigned is copied into it.
    weights, biases : list of ndarray
        Views into ``parameters``: W_l (n_in, n_out) and b_l (n_out,); ``weights[0][:] = W`` writes into it.

    Examples
    --------
    >>> import fastnn
    >>> (X, y), (X_test, y_test) = fastnn.datasets.load_digits()
    >>> net = fastnn.Network((784, 128, 10), rng=1)
    >>> history = net.fit(X, y, optimizer="adam", batch_size=100, epochs=10)
    >>> net.score(X_test, y_test) > 0.9
    True
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str | Activation | Sequence[str | Activation] = "sigmoid",
        loss: str = "softmax_cross_entropy",
        dtype: npt.DTypeLike = "float32",
        rng: int | np.random.Generator | None = None,
        init: str | Sequence[tuple[npt.ArrayLike, npt.ArrayLike]] = "auto",
    ) -> None:
        self.sizes = _check_sizes(sizes)
        self.activations = _check_activations(activation, len(self.sizes) - 2)
        self._loss = find_loss(loss)
        if self._loss.chooses and self.sizes[-1] < 2:
            raise ValueError(
                f"softmax needs at least two output units; got sizes={self.sizes}. For two classes with one output "
                "take loss='sigmoid_cross_entropy'"
            )
        self.dtype = _check_dtype(dtype)
        self.rng = _check_rng(rng)
        self._model = self._lay_out()
        self._parameters = _aligned_zeros(int(self._model.biases[-1]) + self.sizes[-1], self.dtype)
        self._init = init if isinstance(init, str) else own_arrays(init, self.sizes, self.dtype)
        self._trained_on_labels = self._loss.chooses
        self._in_training = threading.Lock()
        self._draw()

    def __repr__(self) -> str:
        """Return the architecture as it was given."""
        names = [a.name for a in self.activations]
        return f"Network({self.sizes}, activation={names}, loss={self.loss_name!r}, dtype={self.dtype.name!r})"

    @property
    def loss_name(self) -> str:
        """The name of the loss; ``loss`` is the method that computes it."""
        return self._loss.name

    @property
    def parameters(self) -> Array:
        """All parameters in one flat vector."""
        return self._parameters

    @parameters.setter
    def parameters(self, values: npt.ArrayLike) -> None:
        array = np.asarray(values)
        if array.shape != self._parameters.shape or array.dtype.kind not in "buif":
            expected = f"{len(self._parameters)} real numbers, {self._parameters.shape}"
            raise ValueError(f"parameters must be {expected}; got {array.dtype} in shape {array.shape}")
        self._parameters[:] = array

    @property
    def weights(self) -> list[Array]:
        """Views of the weights, one (n_in, n_out) array a layer."""
        return [W for W, _ in self._layers()]

    @property
    def biases(self) -> list[Array]:
        """Views of the biases, one (n_out,) array a layer."""
        return [b for _, b in self._layers()]

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy takes over, also one in another process."""
        return {name: value for name, value in self.__dict__.items() if name != "_in_training"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over another network's state, the arrays as aligned copies: those given may be read-only files."""
        self.__dict__.update(state)
        self._parameters = _aligned_zeros(len(state["_parameters"]), self.dtype)
        self._parameters[:] = state["_parameters"]
        self._state, self._step = state["_state"].copy(), state["_step"].copy()
        self._in_training = threading.Lock()

    def reset(self) -> None:
        """Draw the initial parameters anew and forget the optimizer's state.

        Raises
        ------
        RuntimeError
            If the network is being trained: by another thread, or by the caller of a callback.
        """
        with self._alone():
            self._draw()

    def _draw(self) -> None:
        arrays = self._init
        if isinstance(arrays, str):
            arrays = draw_arrays(arrays, self.sizes, [*(a.gain for a in self.activations), "glorot"], self.rng)
        for (W, b), (W_0, b_0) in zip(self._layers(), arrays, strict=True):
            W[:], b[:] = W_0, b_0
        self.optimizer: Optimizer | None = None
        self._state = np.zeros((0, len(self.parameters)), self.dtype)
        self._step = np.zeros(1, dtype=np.int64)

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        optimizer: str | Optimizer = "adam",
        learning_rate: float | None = None,
        batch_size: int | None = 100,
        epochs: int = 10,
        l2: float = 0.0,
        shuffle: bool = True,
        validation_data: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
        batch_loss: bool = False,
        callback: Callback | None = None,
        reset: bool = False,
        check_finite: bool = True,
        verbose: bool = False,
        progress: bool = True,
    ) -> History:
        """Train on samples X and targets y, from where the last call ended.

        Parameters
        ----------
        X : array_like, (m, n_in)
            Samples in rows; converted to the network's dtype and C order where it must be.
        y : array_like, (m,) or (m, K)
            Labels 0 .. K - 1 or a 0/1 matrix (classification), real values (squared error).
        optimizer : {"sgd", "rmsprop", "adam", "adamw"} or Optimizer, default "adam"
            Its state is kept for the next call while the rule stays the same.
        learning_rate : float, optional
            > 0; by default the optimizer's own.
        batch_size : int or None, default 100
            Samples a step: None is all m (gradient descent), 1 is stochastic gradient descent. The last batch of an
            epoch may be smaller and is weighted by its own size.
        epochs : int, default 10
            Passes over the data, >= 0.
        l2 : float, default 0
            >= 0; adds l2 / (2 m) times the sum of the squared weights to the cost.
        shuffle : bool, default True
            Visit the samples in a new random order each epoch.
        validation_data : (X, y), optional
            Loss and score on it are recorded after each epoch.
        batch_loss : bool, default False
            Keep every step's loss in ``history.batch_loss``.
        callback : callable, optional
            Called as ``callback(network, history)`` after each epoch; the training ends if it returns True.
        reset : bool, default False
            Begin anew: draw the parameters again and forget the optimizer's state.
        check_finite : bool, default True
            Refuse NaN and infinity in X and y.
        verbose : bool, default False
            Print a line an epoch.
        progress : bool, default True
            Show a bar on a terminal if the training takes longer than two seconds and tqdm is installed.

        Returns
        -------
        History
            One number an epoch. KeyboardInterrupt ends the training at the next step boundary: the history then
            says ``interrupted``.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; nothing has been changed then.
        DivergenceError
            If the loss or a parameter is no longer finite; the last finite epoch's parameters are kept.
        RuntimeError
            If the network is being trained: by another thread, or by the caller of a callback.
        """
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable, callback(network, history); got {type(callback).__name__}")
        found = find_optimizer(optimizer, learning_rate)
        data = self._data(X, y, check_finite)
        m = len(data.X)
        plan = training.Plan(
            optimizer=found,
            samples=m,
            batch_size=m if batch_size is None else min(m, check_integer("batch_size", batch_size, low=1)),
            epochs=check_integer("epochs", epochs, low=0),
            l2=check_real("l2", l2, low=0),
            shuffle=shuffle,
            validation=self._validation_data(validation_data, check_finite),
            keep_batch_loss=batch_loss,
            callback=callback,
            verbose=verbose,
            progress=progress,
        )
        if not self.parameters.flags.writeable:
            raise ValueError("parameters are read-only; parameters.flags.writeable = True lets them be trained")
        _kernels.get_backend()  # both raise what is wrong with a variable of the environment before anything changes
        _kernels.get_num_threads()
        with self._alone():
            if reset:
                self._draw()
            self._take_up(found)
            if self._loss.classifies:
                self._trained_on_labels = data.labels.size > 0
            return training.train(self, data, plan)

    def forward(self, X: npt.ArrayLike) -> Array:
        """Return the output unit's values A_L, (m, K), in the network's dtype."""
        return self._outputs(as_samples(X, self.sizes[0], self.dtype))

    def _outputs(self, samples: Array) -> Array:
        out = np.empty((len(samples), self.sizes[-1]), self.dtype)
        _kernels.kernels().forward(self._model, self.parameters, samples, out)
        return out

    def predict_proba(self, X: npt.ArrayLike) -> Array:
        """Return the probability of each class or answer, (m, K).

        Raises
        ------
        ValueError
            If the loss is the squared error: its outputs are no probabilities.
        """
        if not self._loss.classifies:
            raise ValueError("predict_proba needs a cross-entropy loss; this network's loss is 'squared_error'")
        return self.forward(X)

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the predicted targets, in the form of those trained on.

        Labels (m,) for softmax, and for sigmoid outputs trained on labels; otherwise for sigmoid outputs 0 or 1 each,
        (m, K), where the probability is at least 1/2; for the squared error the outputs. One output gives (m,).
        """
        return self._decide(self.forward(X))

    def score(self, X: npt.ArrayLike, y: npt.ArrayLike) -> float:
        """Return the accuracy: the share of the samples all of whose answers are right; for the squared error R^2.

        R^2 = 1 - sum (y - h)^2 / sum (y - mean y)^2, the mean over the outputs; NaN where all targets of one are the
        same.
        """
        data = self._data(X, y)
        return self._score(self._outputs(data.X), data)

    def loss(self, X: npt.ArrayLike, y: npt.ArrayLike, l2: float = 0.0) -> float:
        """Return the cost J on (X, y), with the penalty l2 / (2 m) sum W^2."""
        l2 = check_real("l2", l2, low=0)
        return float(_kernels.kernels().loss(self._model, self.parameters, self._data(X, y), l2))

    def loss_and_gradient(self, X: npt.ArrayLike, y: npt.ArrayLike, l2: float = 0.0) -> tuple[float, Array]:
        """Return J and its gradient, a flat vector laid out like ``parameters``."""
        l2 = check_real("l2", l2, low=0)
        gradient = np.empty_like(self.parameters)
        J = _kernels.kernels().loss_and_gradient(self._model, self.parameters, self._data(X, y), l2, gradient)
        return float(J), gradient

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a safetensors file, whole or not at all; see ``fastnn.saving``."""
        from fastnn import saving

        saving.save(self, path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep another training or reset out: it would give the memory away that the kernels write to."""
        if not self._in_training.acquire(blocking=False):
            raise RuntimeError("this network is being trained: fit and reset can be called when that has ended")
        try:
            yield
        finally:
            self._in_training.release()

    # --- for the training loop --------------------------------------------------------------------------------------

    def _lay_out(self) -> Model:
        n_in, n_out = np.array(self.sizes[:-1]), np.array(self.sizes[1:])
        ends = np.cumsum(n_in * n_out + n_out)
        return Model(
            sizes=self.sizes,
            weights=(0, *ends[:-1].tolist()),
            biases=tuple((ends - n_out).tolist()),
            activations=(*(int(a.code) for a in self.activations), int(self._loss.output)),
            slopes=(*(a.slope for a in self.activations), 0.0),
            loss=int(self._loss.code),
        )

    def _layers(self) -> list[tuple[Array, Array]]:
        return list(reference.layers(self._model, self.parameters))

    def _data(
        self, X: npt.ArrayLike, y: npt.ArrayLike, check_finite: bool = True, names: tuple[str, str] = ("X", "y")
    ) -> Data:
        return as_data(X, y, self.sizes, self._loss, self.dtype, check_finite, names)

    def _validation_data(self, pair: tuple[npt.ArrayLike, npt.ArrayLike] | None, check_finite: bool) -> Data | None:
        if pair is None:
            return None
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"validation_data must be a pair (X, y); got {type(pair).__name__}")
        return self._data(*pair, check_finite, ("validation_data X", "validation_data y"))

    def _take_up(self, optimizer: Optimizer) -> None:
        """Keep the optimizer's state if the rule is the same as before; begin a new one otherwise."""
        vectors = optimizer.state_vectors
        if type(self.optimizer) is not type(optimizer) or len(self._state) != vectors:
            self._state = np.zeros((vectors, len(self.parameters)), self.dtype)
            self._step = np.zeros(1, dtype=np.int64)
        self.optimizer = optimizer

    def _snapshot(self) -> tuple[Array, Array, npt.NDArray[np.int64]]:
        return self.parameters.copy(), self._state.copy(), self._step.copy()

    def _restore(self, snapshot: tuple[Array, Array, npt.NDArray[np.int64]]) -> None:
        self.parameters[:], self._state[:], self._step[:] = snapshot

    def _evaluate(self, data: Data) -> tuple[float, float]:
        """Return the loss without the penalty, and the score."""
        loss = float(_kernels.kernels().loss(self._model, self.parameters, data, 0.0))
        return loss, self._score(self._outputs(data.X), data)

    def _decide(self, outputs: Array) -> npt.NDArray[Any]:
        if self._loss.classifies and self.sizes[-1] > 1 and self._trained_on_labels:
            labels: npt.NDArray[Any] = outputs.argmax(axis=1)
            return labels
        answers = (outputs >= 0.5).astype(np.int64) if self._loss.classifies else outputs
        return answers[:, 0] if self.sizes[-1] == 1 else answers

    def _score(self, outputs: Array, data: Data) -> float:
        if data.labels.size:
            answers = outputs[:, 0] >= 0.5 if self.sizes[-1] == 1 else outputs.argmax(axis=1)
            return float((answers == data.labels).mean())
        if self._loss.classifies:
            return float(((outputs >= 0.5) == data.targets).all(axis=1).mean())
        y = data.targets.astype(np.float64)
        residual, total = ((y - outputs) ** 2).sum(axis=0), ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        return float(np.mean(1 - residual / np.where(total > 0, total, np.nan)))


def _check_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(sizes, list | tuple | np.ndarray):
        raise TypeError(f"sizes must be a sequence of integers, inputs first and outputs last; got {sizes!r}")
    if len(sizes) < 2:
        raise ValueError(f"sizes must name at least the inputs and the outputs; got {tuple(sizes)}")
    return tuple(check_integer(f"sizes[{i}]", n, low=1) for i, n in enumerate(sizes))


def _check_activations(
    activation: str | Activation | Sequence[str | Activation], hidden: int
) -> tuple[Activation, ...]:
    if isinstance(activation, str | Activation):
        return (find_activation(activation),) * hidden
    if not isinstance(activation, Sequence):
        raise TypeError(f"activation must be one name, or one for each of {hidden} hidden layers; got {activation!r}")
    found = tuple(find_activation(a) for a in activation)
    if len(found) != hidden:
        raise ValueError(f"activation must be one name, or one for each of {hidden} hidden layers; got {len(found)}")
    return found


def _check_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    try:
        found = np.dtype(dtype)
    except TypeError as error:
        raise TypeError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}") from error
    if dtype is None:  # float64 to NumPy
        raise TypeError(f"dtype must be one of {', '.join(DTYPES)}; got None")
    if found.name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {found.name}")
    return found.newbyteorder("=")


def _check_rng(rng: int | np.random.Generator | None) -> np.random.Generator:
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(f"rng must be an integer >= 0, a numpy.random.Generator or None; got {rng!r}") from error


def _aligned_zeros(n: int, dtype: np.dtype[Any]) -> Array:
    """Return n zeros that begin at a multiple of 64 bytes, a cache line and the widest vector."""
    raw = np.zeros(n * dtype.itemsize + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + n * dtype.itemsize].view(dtype)
