"""Network: what the user holds. It validates, allocates and delegates to the kernels."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn import _kernels, evaluation, lbfgs, saving, training
from fastnn._checks import check_integer, check_real
from fastnn._kernels.contract import Array
from fastnn.activations import Activation
from fastnn.architecture import Architecture
from fastnn.averaging import Average, check_average
from fastnn.data import (
    ClassWeight,
    Given,
    Scaler,
    as_given,
    as_samples,
    as_validation_data,
    check_in_memory,
    feed_of,
    in_blocks,
    learn_classes,
    with_weights,
)
from fastnn.history import History
from fastnn.losses import Loss
from fastnn.optimizers import LBFGS, AnyOptimizer, RateFactors, find_optimizer, input_factor, layer_factors
from fastnn.requests import (
    BATCH_SIZE,
    EPOCHS,
    Request,
    Shuffle,
    check_batch_size,
    check_callbacks,
    check_feed,
    find_beginning,
    find_scale,
    find_scaler,
)
from fastnn.schedules import LearningRate
from fastnn.state import State
from fastnn.stopping import EarlyStopping, find_early_stopping

Callback = Callable[["Network", History], object]


class _OneAtATime:
    """Keeps another training or reset out: it would give the memory away that the kernels write to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError("this network is being trained: fit and reset can be called when that has ended")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Network:
    """A dense feed-forward network: A_{l+1} = g_l(A_l W_l + b_l), A_1 = X.

    Parameters
    ----------
    sizes : sequence of int
        Units of each layer, inputs first, outputs last; two sizes make a linear, logistic or softmax regression.
    activation : str, Activation or a sequence of them, default "sigmoid"
        Of all hidden layers, or one for each: "identity", "sigmoid", "tanh", "relu", "leaky_relu" (slope 0.01), "elu",
        "selu", "gelu", "silu", "mish", "softplus", ``leaky_relu(slope)``, or one of your own from
        ``activation_from(lambda z: ...)``.
    loss : str or Loss, default "softmax_cross_entropy"
        A class of ``fastnn.losses`` with its arguments, such as ``Huber(delta=2.0)``, or a name for its defaults:
        "softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error", "absolute_error", "huber", "quantile",
        "poisson", "hinge". It fixes the output unit: softmax, sigmoid, exp for Poisson, otherwise the
        identity. One of your own, ``loss_from(lambda z, y: ...)``, is of plain outputs z.
    dtype : {"float32", "float64"}
        Of the parameters and of all computation.
    rng : int, numpy.random.Generator or None
        Seed or source of the initial weights and of every shuffle.
    init : {"auto", "glorot", "he", "zeros"} or sequence of (W, b)
        Initial weights; "auto" is He for rectifiers, Glorot otherwise. Biases begin at zero.
    dropout : float or sequence of float, default 0
        In [0, 1): the share of units that is dropped while training, of all hidden layers or one number for each. A
        unit's output is 0 with that probability, and divided by 1 - dropout otherwise (Srivastava et al., JMLR 2014);
        never so in ``predict``, ``score``, ``loss`` and validation.

    Attributes
    ----------
    parameters : ndarray, (P,)
        All parameters in one flat vector: W_1 in C order, b_1, W_2, b_2, ... What is assigned is copied into it.
    weights, biases : list of ndarray
        Views into ``parameters``: W_l (n_in, n_out) and b_l (n_out,); ``weights[0][:] = W`` writes into it.
    architecture, state : Architecture, State
        What never changes, and what training changes.

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
        loss: str | Loss = "softmax_cross_entropy",
        dtype: npt.DTypeLike = "float32",
        rng: int | np.random.Generator | None = None,
        init: str | Sequence[tuple[npt.ArrayLike, npt.ArrayLike]] = "auto",
        dropout: float | Sequence[float] = 0.0,
    ) -> None:
        self.architecture = Architecture.of(sizes, activation, loss, dtype, dropout)
        self.state = State.of(self.architecture, rng, init)
        self.in_training = _OneAtATime()

    def __repr__(self) -> str:
        """Return the architecture as it was given."""
        names, loss = [a.name for a in self.activations], self.architecture.loss
        shown = loss if isinstance(loss.describe(), dict) else loss.name
        dropout = f", dropout={list(self.dropout)}" if any(self.dropout) else ""
        return f"Network({self.sizes}, activation={names}, loss={shown!r}, dtype={self.dtype.name!r}{dropout})"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of each layer."""
        return self.architecture.sizes

    @property
    def activations(self) -> tuple[Activation, ...]:
        """Of each hidden layer."""
        return self.architecture.activations

    @property
    def dropout(self) -> tuple[float, ...]:
        """The share of each hidden layer's units that is dropped while training."""
        return self.architecture.dropout

    @property
    def loss_name(self) -> str:
        """The name of the loss; ``loss`` is the method that computes it."""
        return self.architecture.loss.name

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the parameters and of all computation."""
        return self.architecture.dtype

    @property
    def rng(self) -> np.random.Generator:
        """Source of the initial weights and of every shuffle."""
        return self.state.rng

    @rng.setter
    def rng(self, generator: np.random.Generator) -> None:
        self.state.rng = generator

    @property
    def optimizer(self) -> AnyOptimizer | None:
        """The last one trained with; None before the first training."""
        return self.state.optimizer

    @property
    def classes(self) -> npt.NDArray[Any] | None:
        """The label of each class, two for one yes/no output; None before the first training on labels."""
        return None if self.state.classes is None else self.state.classes.labels.copy()

    @property
    def average(self) -> Array | None:
        """A copy of the average of the last training's parameters; None where ``fit`` kept none."""
        average = self.state.parameters if self.state.averaged else self.state.average
        return None if average is None else average.copy()

    @property
    def parameters(self) -> Array:
        """All parameters in one flat vector."""
        return self.state.parameters

    @parameters.setter
    def parameters(self, values: npt.ArrayLike) -> None:
        array, parameters = np.asarray(values), self.state.parameters
        if array.shape != parameters.shape or array.dtype.kind not in "buif":
            expected = f"{len(parameters)} real numbers, {parameters.shape}"
            raise ValueError(f"parameters must be {expected}; got {array.dtype} in shape {array.shape}")
        parameters[:] = array

    @property
    def weights(self) -> list[Array]:
        """Views of the weights, one (n_in, n_out) array a layer."""
        return [W for W, _ in self.architecture.layers(self.state.parameters)]

    @property
    def biases(self) -> list[Array]:
        """Views of the biases, one (n_out,) array a layer."""
        return [b for _, b in self.architecture.layers(self.state.parameters)]

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy takes over, also one in another process."""
        return {"architecture": self.architecture, "state": self.state}

    def __setstate__(self, content: dict[str, Any]) -> None:
        """Take over another network's content, the arrays as aligned copies: those given may be read-only files."""
        if "_parameters" in content:
            self.architecture, state = saving.from_flat_pickle(content)
        else:
            self.architecture, state = content["architecture"], content["state"]
        self.state = state.copy()
        self.in_training = _OneAtATime()

    def reset(self) -> None:
        """Draw the initial parameters anew and forget the optimizer's state.

        Raises
        ------
        RuntimeError
            If the network is being trained: by another thread, or by the caller of a callback.
        """
        with self.in_training:
            self.state.draw(self.architecture)

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: ClassWeight | None = None,
        *,
        optimizer: str | AnyOptimizer = "adam",
        learning_rate: LearningRate | None = None,
        batch_size: int | None = BATCH_SIZE,
        epochs: int = EPOCHS,
        l2: float = 0.0,
        l1: float = 0.0,
        rate_factors: RateFactors | None = None,
        average: Average | None = None,
        shuffle: Shuffle = True,
        validation_data: tuple[npt.ArrayLike, ...] | None = None,
        early_stopping: EarlyStopping | bool | None = None,
        scale: Scaler | str | None = None,
        scale_targets: bool = False,
        batch_loss: bool = False,
        callback: Callback | Sequence[Callback] | None = None,
        reset: bool = False,
        resume: bool = False,
        check_finite: bool = True,
        verbose: bool = False,
        progress: bool = True,
    ) -> History:
        """Train on samples X and targets y, from where the last call ended.

        Parameters
        ----------
        X : array_like, (m, n_in)
            Samples in rows, of any type of numbers: kernels convert them while they read them. Or `fastnn.data.Windows`
            of a recording, or a sparse matrix of SciPy. The page docs/data.md says what is copied first. A
            ``numpy.memmap``, an HDF5 or Zarr array, a `fastnn.data.Table` or any object with ``shape`` and row slices
            is read in blocks where it is larger than 64 MB, see `fastnn.data.Blocks`; a `fastnn.data.Stream` brings y.
        y : array_like, (m,) or (m, K)
            Labels or a 0/1 matrix (classification), real values (regression): NaN where a target is missing, if the
            loss was made with ``masked=True``; (m,) for several quantiles. Labels are 0 .. K - 1, or K different
            strings, whole numbers or booleans, two for one output, also (m, 1) and columns of pandas or polars: the
            first training fixes ``classes``, in ascending order.
        sample_weight : array_like, (m,), optional
            >= 0, not all 0; scaled to mean 1, so that only ratios count. A sample's loss and gradient are multiplied by
            its weight, in batches and per-sample descent too.
        class_weight : {"balanced"} or mapping of label to weight, optional
            Multiplies each sample's weight by that of its class; "balanced" gives all classes the same total.
        optimizer : {"sgd", "rmsprop", "adam", "adamw", "lbfgs"}, Optimizer or LBFGS, default "adam"
            Its state is kept for the next call while the rule stays the same.
        learning_rate : float, Schedule or callable, optional
            > 0, or one that changes from step to step (see ``fastnn.schedules``); by default the optimizer's own.
        batch_size : int or None, default 100
            Samples a step: None is all m (gradient descent), 1 is stochastic gradient descent. The last batch of an
            epoch may be smaller and is weighted by its own size. "lbfgs" takes all m, whatever the default is here.
        epochs : int, default 10
            Passes over the data, >= 0.
        l2 : float, default 0
            >= 0; adds l2 / (2 m) times the sum of the squared weights to the cost.
        l1 : float, default 0
            >= 0; adds l1 / m times the sum of the weights' sizes to the cost, by the proximal step: after each step of
            the optimizer, weights go towards 0 by the learning rate times l1 / m, and no further, so that many become
            exactly 0 (Duchi, Singer: Efficient online and batch learning using forward backward splitting. JMLR 2009).
        rate_factors : mapping, optional
            "weights" and "biases": factors >= 0 of the learning rate, one number each or one for each layer of weights;
            0 keeps a layer as it is. "inputs", a number > 0, has a scale s_j of each input trained along, at that
            factor of the rate: row j of the first layer's weights is s_j W_j, and s and W take the optimizer's steps, s
            without decay. Penalties, ``clip_norm`` and averages see that product alone. The scales begin at 1, and
            belong to the optimizer's state, which begins anew where a training has scales and the last one had none, or
            the reverse (Holzmüller, Grinsztajn, Steinwart: Better by default: strong pre-tuned MLPs and boosted trees
            on tabular data. NeurIPS 2024).
        average : EMA or SWA, optional
            Keep an average of the parameters, which the network then has when the training ends.
        shuffle : bool or callable, default True
            Visit the samples in a new random order each epoch. A callable is called with m before each epoch and
            returns the m rows to visit, in their order; a row may come several times.
        validation_data : (X, y), (X, y, weights) or Stream, optional
            Loss and score on it are recorded after each epoch.
        early_stopping : bool or EarlyStopping, optional
            End the training when the validation loss, or what an ``EarlyStopping`` looks at, has not improved for some
            epochs, and return to the best parameters; True is ``EarlyStopping()``.
        scale : Scaler or "standard", optional
            Train on inputs minus a mean, divided by a deviation, without a copy of X; "standard" measures those of each
            column of X, as ``fastnn.data.Scaler.of(X)`` does. The network keeps the scale, in files too: it is applied
            to all that it is given, also by later trainings, until ``reset``.
        scale_targets : bool, default False
            Train on the targets of a regression minus their mean, divided by their deviation, each column's in float64
            as they are at the first training; later trainings go on with these. The network predicts and is scored in
            the targets' own units, in float64, however far from zero they are; ``history``, ``loss`` and
            ``loss_and_gradient`` have the cost of the standardised ones. It needs an identity output unit.
        batch_loss : bool, default False
            Keep every step's loss in ``history.batch_loss``.
        callback : callable or sequence of them, optional
            Each is called as ``callback(network, history)`` after each epoch; the training ends if one returns True.
        reset : bool, default False
            Begin anew: draw the parameters again and forget the optimizer's state.
        resume : bool, default False
            Go on with the last training, which an interrupt, a callback or the end of the process ended: ``epochs``
            counts the epochs that it took, and schedule, early stopping, order of the samples and history go on where
            they were. With the same arguments, the result is that of a training that never stopped, bit for bit, also
            after ``save`` and ``load``. (Of the steps' losses ``history.batch_loss`` has those since the resumption.) A
            network that has not been trained begins.
        check_finite : bool, default True
            Refuse NaN and infinity in X and y.
        verbose : bool, default False
            Print a line an epoch.
        progress : bool, default True
            Show a bar on a terminal if the training takes longer than two seconds and tqdm is installed.

        Returns
        -------
        History
            One number an epoch; ``ended`` says why the training ended. KeyboardInterrupt ends it at the next step
            boundary: the history then says ``interrupted``.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; nothing has been changed then.
        DivergenceError
            If the loss or a parameter is no longer finite; the last finite epoch's parameters are kept.
        RuntimeError
            If the network is being trained: by another thread, or by the caller of a callback.
        fastnn.data.ReadError
            If samples that are read in blocks or chunks cannot be read, or are not as they must be: the network is as
            after its last whole step, and can be resumed.
        """
        X, callbacks = in_blocks(X), check_callbacks(callback)
        found = find_optimizer(optimizer, learning_rate)
        classes = None if reset else self.state.classes
        if self.architecture.loss.classifies:
            y, classes = learn_classes(X, y, self.sizes[-1], classes)
        names = np.arange(max(2, self.sizes[-1])) if classes is None else classes.labels
        target_scale = find_scale(self.architecture, self.state, y, sample_weight, scale_targets, reset)
        own = classes if y is None else None  # of a stream, whose labels are still as they were given
        given = as_given(X, y, self.architecture, check_finite, classes=own, scale=target_scale)
        scaler = find_scaler(self.state, given.data.X, scale, reset)
        data = with_weights(given.scaled(scaler).data, sample_weight, class_weight, names)
        m = len(data.X)
        validation = as_validation_data(validation_data, self.architecture, check_finite, classes, target_scale)
        validation = validation and validation.scaled(scaler)
        stopping = find_early_stopping(early_stopping, validation is not None)
        request = Request(
            optimizer=found,
            batch_size=check_batch_size(batch_size, m, found),
            epochs=check_integer("epochs", epochs, low=0),
            l2=check_real("l2", l2, low=0),
            l1=check_real("l1", l1, low=0),
            factors=layer_factors(found, rate_factors, len(self.sizes) - 1),
            input_factor=input_factor(rate_factors),
            average=check_average(average),
            shuffle=shuffle,
            validation=validation,
            early_stopping=stopping,
            monitor=partial(stopping.monitor, self) if stopping and callable(stopping.monitor) else None,
            keep_batch_loss=batch_loss,
            callbacks=tuple(partial(call, self) for call in callbacks),
            verbose=verbose,
            progress=progress,
        )
        state = self.state
        if not state.parameters.flags.writeable:
            raise ValueError("parameters are read-only; parameters.flags.writeable = True lets them be trained")
        kernels = _kernels.kernels()  # here, and the threads: what is wrong with a setting is raised before any change
        _kernels.get_num_threads()
        check_feed(data.X, request)
        rates = None if isinstance(found, LBFGS) else request.rates(m)
        extras = request.factors.size or request.input_factor or request.average or any(self.dropout)
        if rates is None and (request.l1 > 0 or extras):
            raise ValueError("l1, rate_factors, average and dropout are for optimizers with steps, not for lbfgs")
        beginning = find_beginning(state, request, m, resume, reset)
        with self.in_training:
            if reset:
                state.draw(self.architecture)
            state.take_up(found, self.sizes[0] if request.input_factor else 0)
            if self.architecture.loss.classifies:
                feed = feed_of(data.X)
                state.trained_on_labels = data.labels.size > 0 or (feed is not None and feed.labelled)
                state.classes = classes
            state.target_scale, state.scaler = target_scale, scaler
            goes_on = beginning.history.epochs > 0 or beginning.partial is not None
            state.begin_average(request.average is not None, goes_on)
            if rates is None:
                return lbfgs.train(kernels, self.architecture, state, data, request, beginning)
            return training.train(kernels, self.architecture, state, data, request, rates, beginning)

    def _given(self, X: npt.ArrayLike, y: npt.ArrayLike | None, sample_weight: npt.ArrayLike | None) -> Given:
        """Return samples and targets of a trained network, with the weights."""
        state = self.state
        given = as_given(X, y, self.architecture, classes=state.classes, scale=state.target_scale)
        return given._replace(data=with_weights(given.data, sample_weight)).scaled(state.scaler)

    def forward(self, X: npt.ArrayLike) -> Array:
        """Return the output unit's values A_L, (m, K), in the network's dtype.

        Quantiles that were made with ``crossing=False`` are in ascending order. Of a network that was trained with
        ``scale_targets`` the outputs are in the targets' units, in float64.
        """
        architecture, state = self.architecture, self.state
        samples = as_samples(in_blocks(X), architecture.sizes[0], architecture.dtype)
        samples = samples if state.scaler is None else state.scaler.scaled(samples, architecture.dtype)
        return evaluation.predicted(architecture, state.parameters, samples, state.target_scale)

    def predict_proba(self, X: npt.ArrayLike) -> Array:
        """Return the probability of each class or answer, (m, K).

        Raises
        ------
        ValueError
            If the loss is no cross entropy: its outputs are no probabilities.
        """
        if not self.architecture.loss.has_probabilities:
            raise ValueError(f"predict_proba needs a cross-entropy loss; this network's loss is {self.loss_name!r}")
        return self.forward(X)

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the predicted targets, in the form of those trained on.

        Labels (m,) for softmax, and for sigmoid or hinge outputs trained on labels, as they were given: strings,
        numbers or booleans, see ``classes``. Otherwise for these 0 or 1 each, (m, K): 1 where the probability is at
        least 1/2, or hinge's margin at least 0. For real targets the outputs: means (squared error, Huber's nearly,
        Poisson), medians (absolute error), quantiles. One output gives (m,).
        """
        state = self.state
        return evaluation.decide(self.architecture, self.forward(X), state.trained_on_labels, state.classes)

    def score(
        self, X: npt.ArrayLike, y: npt.ArrayLike | None = None, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Return the accuracy: the share of the samples all of whose answers are right; for real targets R^2 or D^2.

        D^2 = 1 - sum d(y, h) / sum d(y, c) with the best constant c, the mean over the outputs; R^2 is that of the
        squared error d = (y - h)^2, c the mean: for the squared error and Huber's loss. For the absolute error and
        quantiles d is the loss and c the quantile of y, for Poisson the deviance 2 (y log(y / h) - y + h) and the mean.
        Missing targets are left out. An output all of whose targets are the same has none, NaN: a UserWarning names it,
        and the mean is over the others. For a loss of your own it is minus the mean loss. With weights, all of these
        sums and means are weighted. Targets are compared as they are given, in float64, also by a float32 network.
        """
        given, state = self._given(in_blocks(X), y, sample_weight), self.state
        outputs, own = evaluation.judged(self.architecture, state.parameters, given, state.target_scale)
        return evaluation.score(self.architecture, outputs, own)

    def loss(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        l2: float = 0.0,
        sample_weight: npt.ArrayLike | None = None,
    ) -> float:
        """Return the cost J on (X, y), 1/m sum w_i loss_i with weights of mean 1, and its penalty.

        Real targets are compared as they are given, in float64; after training with ``scale_targets`` they are
        standardised, as in ``history.loss``.
        """
        l2 = check_real("l2", l2, low=0)
        given = self._given(in_blocks(X), y, sample_weight)
        return evaluation.loss(self.architecture, self.state.parameters, given, l2)

    def loss_and_gradient(
        self, X: npt.ArrayLike, y: npt.ArrayLike, l2: float = 0.0, sample_weight: npt.ArrayLike | None = None
    ) -> tuple[float, Array]:
        """Return J and its gradient, a flat vector laid out like ``parameters``; targets are in the network's dtype."""
        l2 = check_real("l2", l2, low=0)
        data = self._given(check_in_memory(X), y, sample_weight).data
        model, parameters = self.architecture.model, self.state.parameters
        gradient = np.empty_like(parameters)
        return float(_kernels.kernels().loss_and_gradient(model, parameters, data, l2, gradient)), gradient

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a safetensors file, whole or not at all; see ``fastnn.saving``."""
        saving.save(path, self.architecture, self.state)


def load(path: str | os.PathLike[str]) -> Network:
    """Read a network from a file that ``Network.save`` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, truncated or of another origin.
    ImportError
        If safetensors is not installed.

    Examples
    --------
    >>> import fastnn
    >>> net = fastnn.Network((4, 8, 3), rng=0)
    >>> net.save("net.safetensors")
    >>> bool((fastnn.load("net.safetensors").parameters == net.parameters).all())
    True
    """
    architecture, state = saving.load(path)
    network = Network.__new__(Network)
    network.__setstate__({"architecture": architecture, "state": state})
    return network
