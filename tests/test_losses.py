"""The losses with their arguments: what each cost and gradient is, what is predicted and kept, and PyTorch's."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from conftest import ALL_LOSSES, VARIANTS, assert_close, find_loss, make_case, random_targets

import fastnn
from fastnn import losses
from fastnn._kernels import contract, reference

X = np.random.default_rng(7).normal(size=(30, 4))


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def network(loss, outputs=3, **options):
    return fastnn.Network((4, 6, outputs), "tanh", loss, "float64", rng=1, **options)


# ---- names and arguments


@pytest.mark.parametrize("name", losses.LOSSES)
def test_a_name_is_the_class_with_its_defaults(name):
    kind = type(losses.LOSSES[name])
    assert network(name).architecture == network(kind()).architecture
    assert network(kind()).loss_name == name
    assert repr(name) in repr(network(name))


@pytest.mark.parametrize("name", VARIANTS)
def test_arguments_are_kept(name, tmp_path, rng):
    pytest.importorskip("safetensors")
    loss = find_loss(name, 3)
    net, y = network(loss), random_targets(rng, name, 30, 3)
    net.fit(X, y, batch_size=10, epochs=1)
    net.save(tmp_path / "net.safetensors")
    assert repr(loss) in repr(net)
    for other in (fastnn.load(tmp_path / "net.safetensors"), pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert other.architecture.loss == loss
        assert other.architecture.model == net.architecture.model
        assert other.loss(X, y) == net.loss(X, y)
        np.testing.assert_array_equal(other.predict(X), net.predict(X))


def test_arguments_are_plain_numbers_whatever_is_given():
    assert losses.Quantile(np.array([0.25, 0.5])) == losses.Quantile([0.25, 0.5]) == losses.Quantile((0.25, 0.5))
    assert losses.Huber(np.float32(0.5)) == losses.Huber(0.5)
    assert hash(losses.Quantile([0.25])) == hash(losses.Quantile((0.25,)))
    with pytest.raises(AttributeError):
        losses.Huber().delta = 2.0


# ---- masks


MASKED = [name for name in VARIANTS if "masked" in name]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MASKED)
def test_a_missing_target_counts_for_nothing(backend, name, dtype):
    """The cost is that of the targets that are there over all samples, and nothing goes back from the others."""
    net = fastnn.Network((4, 6, 3), "tanh", find_loss(name, 3), dtype, rng=1)
    y = random_targets(np.random.default_rng(3), name, 30, 3)
    y[4] = np.nan  # a sample without any
    J, gradient = net.loss_and_gradient(X, y)
    assert np.isfinite(gradient).all()
    there = np.flatnonzero(~np.isnan(y).all(axis=1))
    partial = net.loss_and_gradient(X[there], y[there])
    assert_close(J, partial[0] * len(there) / 30, dtype, "J")
    assert_close(gradient, partial[1] * len(there) / 30, dtype, "gradient")
    filled = np.where(np.isnan(y), 1.0, y)  # the same again, when what the filled ones add is taken away
    model = net.architecture.model._replace(masked=False)
    Z = reference.propagate(model, net.parameters.astype(float), X)[1][-1]
    kept = reference.losses_of(model, Z, np.broadcast_to(filled, Z.shape))
    assert_close(J, np.where(np.isnan(y), 0, kept).sum() / 30, dtype, "J")


@pytest.mark.parametrize("batch_size", [1, 7, None])
@pytest.mark.parametrize("outputs", [1, 3])
def test_without_missing_targets_masked_is_plain(backend, batch_size, outputs, rng):
    y, nets = rng.normal(size=(30, outputs)), []
    for masked in (False, True):
        nets.append(network(losses.Huber(0.5, masked=masked), outputs))
        nets[-1].fit(X, y, optimizer="sgd", learning_rate=0.1, batch_size=batch_size, epochs=2)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)


def test_all_targets_missing(backend):
    net = network(losses.SquaredError(masked=True))
    J, gradient = net.loss_and_gradient(X, np.full((30, 3), np.nan))
    assert J == 0
    assert not gradient.any()
    with pytest.warns(UserWarning, match="all targets of column 0, 1, 2 are the same"):
        assert np.isnan(net.score(X, np.full((30, 3), np.nan)))


# ---- smoothing


@pytest.mark.parametrize("name", ["softmax, smoothed", "sigmoid, smoothed"])
@pytest.mark.parametrize("batch_size", [1, 8, None])
def test_smoothing_is_training_on_smoothed_targets(backend, name, batch_size, rng):
    """The same as the cross entropy with (1 - e) y + e / K of 0/1 targets, here the mean over the labels it mixes."""
    loss = find_loss(name, 3)
    labels, e = rng.integers(0, 3, 30), loss.smoothing
    net, plain = network(loss), network(loss.name)
    J, gradient = net.loss_and_gradient(X, labels)
    if loss.chooses:
        mixed = [plain.loss_and_gradient(X, np.full(30, k)) for k in range(3)]
    else:
        mixed = [plain.loss_and_gradient(X, np.full((30, 3), k)) for k in (0, 1)]
    own = plain.loss_and_gradient(X, labels)
    for found, kept, others in ((J, own[0], [J for J, _ in mixed]), (gradient, own[1], [g for _, g in mixed])):
        np.testing.assert_allclose(found, (1 - e) * kept + e * np.mean(others, axis=0), rtol=1e-10, atol=1e-13)
    history = net.fit(X, labels, optimizer="sgd", learning_rate=0.1, batch_size=batch_size, epochs=20)
    assert history.loss[-1] < history.loss[0]


def test_a_smoothed_network_is_less_certain():
    labels = (X[:, 0] > 0).astype(int)
    certain = []
    for e in (0.0, 0.2):
        net = network(losses.SoftmaxCrossEntropy(e), 2)
        net.fit(X, labels, learning_rate=0.05, batch_size=None, epochs=300)
        assert net.score(X, labels) == 1
        certain.append(net.predict_proba(X).max(axis=1).mean())
    assert certain[0] > 0.98
    assert certain[1] == pytest.approx(0.9, abs=0.03)


# ---- what is predicted


def test_quantiles_of_one_target(backend, rng):
    """Each output is its quantile; that many lie below."""
    levels = [0.9, 0.1, 0.5]
    inputs = rng.uniform(-1, 1, (2000, 1))
    y = inputs[:, 0] + (1.5 + inputs[:, 0]) * rng.normal(size=2000)
    net = fastnn.Network((1, 8, 3), "tanh", losses.Quantile(levels), rng=0)
    net.fit(inputs, y, learning_rate=0.02, batch_size=100, epochs=60)
    below = (y[:, None] < net.predict(inputs)).mean(axis=0)
    np.testing.assert_allclose(below, levels, atol=0.03)
    assert net.loss(inputs, y) == net.loss(inputs, y[:, None])


def test_quantiles_that_must_not_cross(backend, rng):
    levels, y = [0.8, 0.2, 0.5], rng.normal(size=30)
    free, ordered = (network(losses.Quantile(levels, crossing=crossing)) for crossing in (True, False))
    assert (np.diff(free.forward(X)[:, [1, 2, 0]]) < 0).any()
    np.testing.assert_array_equal(np.sort(free.forward(X), axis=1), ordered.forward(X)[:, [1, 2, 0]])
    np.testing.assert_array_equal(ordered.predict(X), ordered.forward(X))
    prepared = fastnn.backend.prepare(ordered, rows=30)
    np.testing.assert_array_equal(prepared.forward(X), ordered.forward(X))
    assert free.loss(X, y) == ordered.loss(X, y)  # of Z_L
    assert prepared.loss_and_gradient(X, y[:, None])[0] == pytest.approx(free.loss(X, y), rel=1e-12)
    assert ordered.score(X, y) > free.score(X, y)


@pytest.mark.parametrize("form", ["signs", "answers", "column", "bools"])
def test_hinge_takes_signs_or_answers(backend, form):
    signs = np.where(X[:, 0] > 0, 1, -1)
    y = {"signs": signs, "answers": (signs + 1) // 2, "column": signs[:, None].astype(float), "bools": signs > 0}[form]
    net, apart = fastnn.Network((4, 1), loss="hinge", dtype="float64", rng=0), X + signs[:, None]
    Z = net.forward(apart)[:, 0]
    assert net.loss(apart, y) == pytest.approx(np.maximum(0, 1 - signs * Z).mean(), rel=1e-12)
    net.fit(apart, y, learning_rate=0.1, batch_size=None, epochs=100)
    np.testing.assert_array_equal(net.predict(apart), np.ravel(y))
    assert net.score(apart, y) == 1
    with pytest.raises(ValueError, match="predict_proba needs a cross-entropy loss"):
        net.predict_proba(X)


def test_hinge_says_yes_from_a_margin_of_zero_on(backend):
    net = fastnn.Network((1, 1), loss="hinge", init=[([[1.0]], [0.0])])
    np.testing.assert_array_equal(net.predict([[0.2], [-0.2], [0.0], [0.7]]), [1, 0, 1, 1])
    assert net.score([[0.2], [-0.2]], [1, -1]) == 1


def test_hinge_of_several_outputs_chooses_the_largest():
    labels = X[:, :3].argmax(axis=1)
    net = fastnn.Network((4, 16, 3), "elu", "hinge", rng=0)
    net.fit(X, labels, learning_rate=0.02, batch_size=None, epochs=300)
    np.testing.assert_array_equal(net.predict(X), labels)
    assert net.score(X, labels) == 1
    assert net.score(X, 2 * np.eye(3)[labels] - 1) > 0.9  # all three answers right


def test_poisson_with_softplus_stays_finite(backend):
    """Where h has no float32, its loss is still y times -z."""
    net = fastnn.Network((1, 1), loss=losses.Poisson("softplus"), init=[([[1.0]], [0.0])])
    inputs = np.array([[-400.0], [-50.0], [0.0], [50.0]])
    np.testing.assert_allclose(net.forward(inputs)[:, 0], [0, np.exp(-50.0), np.log(2), 50], rtol=1e-6)
    for z, y, expected in ((-400, 2, 800), (-50, 0, 0), (-50, 3, 150), (50, 50, 50 - 50 * np.log(50))):
        assert net.loss([[z]], [y]) == pytest.approx(expected, rel=1e-6, abs=1e-20)
        assert np.isfinite(net.loss_and_gradient([[z]], [y])[1]).all()
    np.testing.assert_allclose(net.loss_and_gradient([[-400]], [2])[1], [800, -2])


def test_single_steps_are_batches_of_one(backend):
    """Whatever the loss, drivers of single samples or not."""
    for name in ALL_LOSSES:
        for outputs in (1, 3):
            if outputs == 1 and name.startswith("softmax"):
                continue
            y, moved = random_targets(np.random.default_rng(1), name, 30, outputs), []
            for batch_size in (1, 2):
                net = network(find_loss(name, outputs), outputs)
                rows = np.repeat(np.arange(30), batch_size)  # a batch of two equal samples is a step of one
                net.fit(X[rows], y[rows], optimizer="sgd", learning_rate=0.01, batch_size=batch_size, shuffle=False)
                moved.append(net.parameters)
            assert_close(moved[0], moved[1], "float64", name)


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_threads_change_no_bit(compiled, name):
    results = []
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        case, gradient = make_case((9, 40, 5), "mish", name, m=1201, dtype="float32"), np.empty(645, np.float32)
        J = compiled.loss_and_gradient(case.model, case.parameters, case.data, 0.1, gradient[: len(case.parameters)])
        results.append((J, gradient[: len(case.parameters)].tobytes()))
    assert results[0] == results[1] == results[2]


# ---- PyTorch


def torch_loss(torch, name, outputs, labels):
    """Return PyTorch's loss of (z, y), and whether its targets are labels."""
    F = torch.nn.functional
    levels = torch.arange(1, outputs + 1, dtype=torch.float64) / (outputs + 1)

    def pinball(z, y, q):
        return torch.maximum(q * (y - z), (q - 1) * (y - z))

    def smoothed(y, e):
        return (1 - e) * y + e / 2

    terms = {
        "sigmoid_cross_entropy": lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="none"),
        "sigmoid, smoothed": lambda z, y: F.binary_cross_entropy_with_logits(z, smoothed(y, 0.3), reduction="none"),
        "squared_error": lambda z, y: F.mse_loss(z, y, reduction="none") / 2,
        "squared, masked": lambda z, y: F.mse_loss(z, y, reduction="none") / 2,
        "absolute_error": lambda z, y: F.l1_loss(z, y, reduction="none"),
        "absolute, masked": lambda z, y: F.l1_loss(z, y, reduction="none"),
        "huber": lambda z, y: F.huber_loss(z, y, reduction="none"),
        "huber, masked": lambda z, y: F.huber_loss(z, y, reduction="none", delta=0.6),
        "quantile": lambda z, y: pinball(z, y, 0.5),
        "quantile 0.7": lambda z, y: pinball(z, y, 0.7),
        "quantiles, masked": lambda z, y: pinball(z, y, levels),
        "poisson": lambda z, y: F.poisson_nll_loss(z, y, reduction="none"),
        "poisson, masked": lambda z, y: F.poisson_nll_loss(z, y, reduction="none"),
        "poisson, softplus": lambda z, y: F.softplus(z) - y * torch.log(F.softplus(z)),
        "hinge": lambda z, y: torch.relu(1 - (2 * y - 1) * z),
    }
    if name.startswith("softmax"):
        e = 0.2 if "smoothed" in name else 0.0
        return lambda z, y: F.cross_entropy(z, labels, label_smoothing=e)

    def mean(z, y):
        known = ~torch.isnan(y.expand_as(z))
        return terms[name](z, torch.nan_to_num(y, 1.0))[known].sum() / len(z)

    return mean


@pytest.mark.parametrize("activation", ["elu", "selu", "gelu", "silu", "mish", "softplus", "leaky_relu"])
@pytest.mark.parametrize("name", ALL_LOSSES)
def test_gradient_is_pytorchs(name, activation):
    torch = pytest.importorskip("torch")
    case = make_case((4, 6, 3), activation, name, m=20, seed=4)
    functional = {"leaky_relu": lambda a: torch.nn.functional.leaky_relu(a, 0.2)}
    g = functional.get(activation) or getattr(torch.nn.functional, activation)
    theta = torch.tensor(case.parameters, requires_grad=True)
    (W_1, b_1), (W_2, b_2) = (
        (theta[w : w + n * k].reshape(n, k), theta[b : b + k]) for w, b, n, k in ((0, 24, 4, 6), (30, 48, 6, 3))
    )
    Z = g(torch.tensor(case.data.X) @ W_1 + b_1) @ W_2 + b_2
    loss = torch_loss(torch, name, 3, torch.tensor(case.data.labels))(Z, torch.tensor(case.data.targets))
    loss.backward()
    gradient = np.empty_like(case.parameters)
    J = reference.loss_and_gradient(case.model, case.parameters, case.data, 0.0, gradient)
    assert pytest.approx(float(loss.detach()), rel=1e-12) == J
    np.testing.assert_allclose(gradient, theta.grad.numpy(), rtol=1e-9, atol=1e-13)


def test_every_code_has_a_name():
    named = {loss.code for loss in (*losses.LOSSES.values(), losses.Poisson("softplus"))}
    assert named == set(contract.Loss)
