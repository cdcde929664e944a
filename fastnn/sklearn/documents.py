"""The parts of a docstring that both estimators have, written once."""

from __future__ import annotations

import inspect
from textwrap import indent
from typing import TypeVar

Estimator = TypeVar("Estimator", bound=type)

PARAMETERS = """
hidden_layer_sizes : int or sequence of int, default (100,)
    Units of each hidden layer; (256, 256, 256) with the preset.
activation : str, Activation or a sequence of them, default "relu"
    Of all hidden layers, or one for each: "identity", "logistic", "tanh", "relu", and all others of `fastnn.Network`.
solver : {"lbfgs", "sgd", "adam"}, default "adam"
    How the cost is minimised.
alpha : float, default 0.0001
    Of the penalty alpha / (2 b) sum W^2 in the cost of a batch of b samples; b is m for lbfgs.
batch_size : int or "auto", default "auto"
    Samples of a step of sgd and adam; "auto" is min(200, m).
learning_rate : {"constant", "invscaling", "adaptive", "coslog4", "cosine", "one_cycle"}, default "constant"
    For sgd "invscaling" divides the rate by (samples seen)^power_t after each epoch, "adaptive" by 5 each time when
    n_iter_no_change epochs in a row were no better by tol. The others are schedules of sgd and adam over max_iter
    epochs, see `fastnn.schedules`.
learning_rate_init : float, default 0.001
    The rate, > 0, of sgd and adam.
power_t : float, default 0.5
    Of "invscaling".
max_iter : int, default 200
    Epochs of sgd and adam, iterations of lbfgs.
shuffle : bool, default True
    Visit the samples in a new order each epoch.
random_state : int, RandomState or None, default None
    Of the initial coefficients, the validation rows and the orders: the same numbers as scikit-learn draws.
tol : float, default 0.0001
    An epoch that is not better by tol counts as none; of lbfgs the largest element of the gradient at the end.
verbose : bool or int, default False
    Print the loss of each epoch.
warm_start : bool, default False
    Let ``fit`` begin with the coefficients that are there.
momentum : float, default 0.9
    In [0, 1), of sgd.
nesterovs_momentum : bool, default True
    Nesterov's form of momentum.
early_stopping : bool, default False
    End when the score of validation samples is no better for n_iter_no_change epochs, with the best coefficients.
validation_fraction : float, default 0.1
    The share of the samples that is held out for that, unless ``fit`` is given X_val.
beta_1, beta_2 : float, default 0.9, 0.999
    Of adam's moments, in [0, 1).
epsilon : float, default 1e-8
    Of adam.
n_iter_no_change : int or inf, default 10
    Epochs in a row that may be no better by tol.
max_fun : int, default 15000
    Evaluations of the cost by lbfgs.
"""

LAST_PARAMETERS = """
dropout : float or sequence of float, default 0
    In [0, 1): the share of hidden units that is dropped in training, of all layers or one number for each.
clip_norm : float, optional
    > 0: a longer gradient of a step is scaled to that norm.
n_threads : int, optional
    Threads of this estimator, >= 1; by default those of `fastnn.get_num_threads`. Results do not depend on it.
preset : {"tabular"}, optional
    A recipe for tables with categories and missing values: RealMLP-TD-S (Holzmüller et al., NeurIPS 2024). It takes the
    place of all parameters that are left at their default.
categorical_features : "from_dtype", array_like or None, default "from_dtype"
    With the preset: which columns are categories, by dtype, or as a mask, numbers or names.
n_ensemble : int, default 1
    Networks with seeds of their own, whose outputs are averaged.
"""

ATTRIBUTES = """
coefs_, intercepts_ : list of ndarray
    W_l (n_in, n_out) and b_l (n_out,) of each layer.
network_ : fastnn.Network
    The network that has them as its parameters.
loss_ : float
    The cost of the last epoch, under the coefficients before each step.
best_loss_ : float or None
    The lowest one; None with ``early_stopping``.
loss_curve_ : list of float
    That of each epoch of sgd and adam.
validation_scores_ : list of float or None
    The validation score of each epoch, with ``early_stopping``.
best_validation_score_ : float or None
    The highest one.
n_iter_ : int
    Epochs or iterations of the last ``fit``.
t_ : int
    Samples seen, all epochs together.
n_layers_, n_outputs_ : int
    Layers of units, inputs and outputs included; outputs.
out_activation_ : str
    The output unit.
n_features_in_ : int
    Columns of X.
feature_names_in_ : ndarray, (columns,)
    Their names, where X has names.
estimators_ : list
    With ``n_ensemble`` the single estimators; the other attributes are those of the first.
"""

_PARTS = {"{parameters}": PARAMETERS, "{last parameters}": LAST_PARAMETERS, "{attributes}": ATTRIBUTES}


def documented(estimator: Estimator) -> Estimator:
    """Put the shared parts into a class's docstring, where it has their names in braces."""
    text = inspect.getdoc(estimator) or ""
    for name, part in _PARTS.items():
        text = text.replace(name, part.strip())
    estimator.__doc__ = text[: text.index("\n")] + indent(text[text.index("\n") :], "    ")
    return estimator
