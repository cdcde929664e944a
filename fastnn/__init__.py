"""fastnn trains dense feed-forward networks on the CPU as fast as the CPU can go."""

from __future__ import annotations

from fastnn import backend, data, datasets, losses, optimizers, schedules
from fastnn._config import show_config
from fastnn._kernels import get_backend, get_num_threads, set_backend, set_num_threads
from fastnn.activations import leaky_relu
from fastnn.averaging import EMA, SWA
from fastnn.history import DivergenceError, History
from fastnn.network import Network, load
from fastnn.optimizers import LBFGS, SGD, Adam, AdamW, RMSprop
from fastnn.own_functions import activation_from, loss_from
from fastnn.search import Search, fit_many
from fastnn.stopping import EarlyStopping

__version__ = "0.1.0"

__all__ = [
    "EMA",
    "LBFGS",
    "SGD",
    "SWA",
    "Adam",
    "AdamW",
    "DivergenceError",
    "EarlyStopping",
    "History",
    "Network",
    "RMSprop",
    "Search",
    "activation_from",
    "backend",
    "data",
    "datasets",
    "fit_many",
    "get_backend",
    "get_num_threads",
    "leaky_relu",
    "load",
    "loss_from",
    "losses",
    "optimizers",
    "schedules",
    "set_backend",
    "set_num_threads",
    "show_config",
]
