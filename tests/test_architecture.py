"""Architecture and State: what a network computes, and what its training changes."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest

import fastnn
from fastnn.architecture import Architecture
from fastnn.state import State

ARCHITECTURE = Architecture.of([3, 4, 5, 2], ["relu", fastnn.leaky_relu(0.2)], "squared_error", "float64")


def test_an_architecture_is_frozen_and_equal_by_value():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ARCHITECTURE.sizes = (3, 2)
    same = Architecture.of((3, 4, 5, 2), ("relu", fastnn.leaky_relu(0.2)), "squared_error", np.float64)
    assert same == ARCHITECTURE
    assert hash(same) == hash(ARCHITECTURE)
    for field, other in {"sizes": (3, 4, 5, 1), "dtype": np.dtype("float32"), "activations": ()}.items():
        assert dataclasses.replace(ARCHITECTURE, **{field: other}) != ARCHITECTURE


def test_where_the_parameters_of_each_layer_lie():
    assert ARCHITECTURE.n_parameters == 3 * 4 + 4 + 4 * 5 + 5 + 5 * 2 + 2
    layers = ARCHITECTURE.layers(np.arange(ARCHITECTURE.n_parameters))
    assert [(W.shape, b.shape) for W, b in layers] == [((3, 4), (4,)), ((4, 5), (5,)), ((5, 2), (2,))]
    np.testing.assert_array_equal(np.concatenate([part.ravel() for layer in layers for part in layer]), np.arange(53))
    np.testing.assert_array_equal(ARCHITECTURE.model.slopes, [0, 0.2, 0])


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_of_an_architecture_is_made_of_names(make):
    assert ARCHITECTURE.model is ARCHITECTURE.model
    assert make(ARCHITECTURE) == ARCHITECTURE
    assert b"contract" not in pickle.dumps(ARCHITECTURE), "a pickle holds no code and no layout of the kernels"


def test_a_state_goes_back_to_its_snapshot():
    state = State.of(ARCHITECTURE, 1, "auto")
    state.take_up(fastnn.Adam())
    place, before = state.parameters, state.snapshot()
    state.parameters += 1
    state.optimizer_state += 2
    state.step += 3
    state.restore(before)
    assert state.parameters is place
    for name, array in before._asdict().items():
        np.testing.assert_array_equal(getattr(state, name), array)
    assert not state.step.any()


def test_the_optimizers_state_is_kept_while_its_rule_stays():
    state = State.of(ARCHITECTURE, 1, "auto")
    for optimizer, vectors, kept in (
        (fastnn.SGD(), 0, False),
        (fastnn.SGD(momentum=0.9), 1, False),
        (fastnn.SGD(0.5, momentum=0.8), 1, True),
        (fastnn.RMSprop(), 1, False),
        (fastnn.Adam(), 2, False),
        (fastnn.AdamW(), 2, False),
    ):
        before = state.optimizer_state
        state.take_up(optimizer)
        assert state.optimizer == optimizer
        assert state.optimizer_state.shape == (vectors, 53)
        assert (state.optimizer_state is before) == kept
    state.draw(ARCHITECTURE)
    assert state.optimizer is None
    assert state.optimizer_state.shape == (0, 53)
