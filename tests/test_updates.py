"""What happens to parameters besides the optimizer's rule: a norm's limit, factors of rates, l1, averages, scales."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import assert_close, kernel_optimizer, make_case
from test_backends import DTYPES, NETS, OPTIMIZERS

import fastnn
from fastnn._kernels import reference

RULES = OPTIMIZERS | {"sgd": fastnn.SGD(0.05), "momentum": fastnn.SGD(0.01, momentum=0.9)}  # without divergence
FEW = ("5-6-1", "7-10-15-2", "100-33-16-7", "10-1-16-2-7")


def extras(what, case, steps, vectors):
    """Return fields of the kernels' optimizer, which has so many vectors of state."""
    layers, dtype, inputs = len(case.sizes) - 1, case.parameters.dtype, case.sizes[0]
    scales = np.zeros((1 + vectors, inputs), dtype)
    scales[0] = np.linspace(0.7, 1.4, inputs) * (-1) ** np.arange(inputs)
    all_of_them = {
        "clip_norm": {"clip_norm": 0.05},
        "factors": {"factors": np.random.default_rng(1).uniform(0, 2, (layers, 3))},
        "l1": {"l1": 0.2},
        "average": {"average": np.zeros(len(case.parameters), dtype), "average_rates": np.linspace(1, 0.2, steps)},
        "input_scale": {"input_scale": scales, "input_factor": 3.0},
    }
    if what == "all":
        return {key: value for each in all_of_them.values() for key, value in each.items()}
    return all_of_them[what]


def run(kernels, case, batch_size, optimizer, what, epochs=2):
    """Train in place; return the parameters, the average, the scales and the losses."""
    m = len(case.data.X)
    losses = np.full(epochs * -(-m // batch_size), np.nan)
    taken = kernel_optimizer(
        optimizer, case.parameters, np.linspace(1, 0.5, len(losses)) * optimizer.learning_rate, 0.1
    )
    taken = taken._replace(**extras(what, case, len(losses), optimizer.state_vectors))
    order = np.concatenate([np.random.default_rng(i).permutation(m) for i in range(epochs)])
    arguments = (case.model, case.parameters, case.data, order)
    if batch_size == 1:
        kernels.sgd_epoch(*arguments, taken, losses, epochs)
    else:
        kernels.minibatch_epoch(*arguments, batch_size, taken, losses, epochs)
    return case.parameters, taken.average, taken.input_scale, losses


def net_case(name, dtype):
    sizes, activations, loss, m, labelled = NETS[name]
    return make_case(sizes, activations, loss, m, dtype, seed=len(name), labelled=labelled)


@pytest.mark.parametrize("what", ["clip_norm", "factors", "l1", "average", "input_scale", "all"])
@pytest.mark.parametrize("rule", [name for name in RULES if name != "nesterov"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_are_the_references(compiled, what, rule, dtype):
    for name in FEW:
        for batch_size in {1, 4} if dtype == "float64" else {NETS[name][3]}:  # rounding grows with steps
            case = net_case(name, dtype)
            oracle = case.doubled()
            size = min(batch_size, NETS[name][3])
            expected = run(reference, oracle, size, RULES[rule], what)
            found = run(compiled, case, size, RULES[rule], what)
            for part, a, b in zip(("parameters", "average", "scales", "losses"), found, expected, strict=True):
                assert_close(a, b, dtype, f"{part} of {name}, batches of {size}", slack=30)


@pytest.mark.parametrize("what", ["clip_norm", "all"])
def test_threads_and_tiles_change_no_bit(compiled, costs, what):
    """Gradients of chunks, of shared tiles, and of layers that are divided by their units."""
    for divided in (False, True):
        changes = {"divided_weights": 1, "inputs_to_a_row": 0} if divided else {}
        costs(operations_per_step=1.0, operations_per_call=1.0, shared_tile_rows=8, tile_rows=8, **changes)
        for sizes, m, batch_size in (((9, 40, 33, 3), 90, 30), ((70, 65, 50, 3), 40, 20), ((5, 6, 1), 300, 300)):
            found = []
            for threads in (1, 2, 3):
                fastnn.set_num_threads(threads)
                loss = "softmax_cross_entropy" if sizes[-1] > 1 else "sigmoid_cross_entropy"
                case = make_case(sizes, "tanh", loss, m, "float64")
                expected = run(reference, case.doubled(), batch_size, fastnn.SGD(0.2), what)
                found.append(run(compiled, case, batch_size, fastnn.SGD(0.2), what))
                assert_close(found[-1][0], expected[0], "float64", "parameters", slack=3)
            assert len({tuple(part.tobytes() for part in (theta, *others)) for theta, *others, _ in found}) == 1


def test_a_smaller_norm_is_left_alone(compiled):
    """And a gradient of 0 is no division by 0."""
    plain, limited = (net_case("7-10-15-2", "float64") for _ in range(2))
    losses = np.empty(1)
    for case, clip_norm in ((plain, np.inf), (limited, 1e6)):
        taken = kernel_optimizer(fastnn.SGD(0.1), case.parameters, np.full(1, 0.1))._replace(clip_norm=clip_norm)
        compiled.minibatch_epoch(case.model, case.parameters, case.data, np.arange(33), 33, taken, losses)
    np.testing.assert_allclose(limited.parameters, plain.parameters, rtol=1e-12)
    case = make_case((3, 2), (), "squared_error", 4)
    case.parameters[:], case.data.targets[:] = 0, 0
    taken = kernel_optimizer(fastnn.SGD(0.1), case.parameters, np.full(1, 0.1))._replace(clip_norm=1.0)
    compiled.minibatch_epoch(case.model, case.parameters, case.data, np.arange(4), 4, taken, losses)
    assert (case.parameters == 0).all()


def test_the_clipped_step_has_that_length(compiled):
    case = net_case("100-33-16-7", "float64")
    before, losses = case.parameters.copy(), np.empty(1)
    taken = kernel_optimizer(fastnn.SGD(1.0), case.parameters, np.full(1, 1.0))._replace(clip_norm=0.125)
    compiled.minibatch_epoch(case.model, case.parameters, case.data, np.arange(15), 15, taken, losses)
    assert np.linalg.norm(case.parameters - before) == pytest.approx(0.125, rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_scale_stays_away_from_0(compiled, dtype):
    """On its side, so that the weights by their scales are finite; a NaN is not hidden."""
    case = make_case((3, 2), (), "squared_error", 4, dtype)
    gradient, losses, V = np.empty_like(case.parameters), np.empty(1), case.parameters[:6].copy()
    compiled.loss_and_gradient(case.model, case.parameters, case.data, 0.0, gradient)
    scales = np.ones((1, 3), dtype)
    slopes = (V * gradient[:6]).reshape(3, 2).sum(axis=1, dtype=float)
    taken = kernel_optimizer(fastnn.SGD(1e-9), case.parameters, np.full(1, 1e-9))
    taken = taken._replace(input_scale=scales, input_factor=1 / (slopes[1] * 1e-9))
    compiled.minibatch_epoch(case.model, case.parameters, case.data, np.arange(4), 4, taken, losses)
    assert abs(scales[0, 1]) == 2.0**-20
    assert (abs(scales[0, [0, 2]]) > 1e-3).all()
    np.testing.assert_allclose(case.parameters[:6].reshape(3, 2), scales[0, :, None] * V.reshape(3, 2), rtol=1e-5)
    case.data.X[0, 1] = np.nan
    compiled.minibatch_epoch(case.model, case.parameters, case.data, np.arange(4), 4, taken, losses)
    assert np.isnan(case.parameters[2:4]).all()


def test_l1_reaches_0_and_stays(compiled):
    """Weights that the data do not need are exactly 0; a NaN is not hidden."""
    case = make_case((20, 3), (), "squared_error", 50)
    case.data.targets[:] = case.data.X[:, :3]
    losses = np.empty(300)
    taken = kernel_optimizer(fastnn.SGD(0.1), case.parameters, np.full(300, 0.1))._replace(l1=0.05)
    compiled.minibatch_epoch(
        case.model, case.parameters, case.data, np.tile(np.arange(50), 300), 50, taken, losses, 300
    )
    W = case.parameters[:60].reshape(20, 3)
    assert (W == 0).sum() > 40
    assert (np.abs(np.diag(W)) > 0.5).all()
    case.parameters[7] = np.nan
    compiled.minibatch_epoch(
        case.model, case.parameters, case.data, np.arange(50), 50, taken._replace(rates=np.full(1, 0.1)), losses[:1]
    )
    assert np.isnan(case.parameters).any()
