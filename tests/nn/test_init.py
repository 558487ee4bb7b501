"""Initial values: bounds that hold for every draw, means and variances within 5 standard errors.

Of n draws with variance v and kurtosis k, the mean has standard error √(v / n), and the variance
v √((k − 1) / n); k is 3 for the normal distribution and 1.8 for the uniform one. The seed is fixed,
so a test that passes once always does.
"""

import math

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.errors import ArgumentError, ShapeError

init = nn.init
SHAPE = (300, 200)  # fan_in 200, fan_out 300


def drawn(draw, shape=SHAPE, **arguments) -> np.ndarray:
    x = gpunet.tensor(np.full(shape, np.nan))
    assert draw(x, **arguments) is x
    return x.array


def assert_distribution(x: np.ndarray, mean: float, variance: float, kurtosis: float) -> None:
    assert abs(x.mean() - mean) < 5 * math.sqrt(variance / x.size)
    spread = ((x - mean) ** 2).mean()
    assert abs(spread - variance) < 5 * variance * math.sqrt((kurtosis - 1) / x.size)


def assert_uniform(x: np.ndarray, low: float, high: float) -> None:
    """All inside, and the ends are reached within 5 expected gaps of 1 / n of the width each."""
    width = high - low
    assert x.min() >= low
    assert x.max() < high
    assert x.min() < low + 20 * width / x.size
    assert x.max() > high - 20 * width / x.size
    assert_distribution(x, (low + high) / 2, width**2 / 12, 1.8)


def test_uniform() -> None:
    assert_uniform(drawn(init.uniform_), 0, 1)
    assert_uniform(drawn(init.uniform_, a=-3, b=5), -3, 5)


def test_normal() -> None:
    assert_distribution(drawn(init.normal_), 0, 1, 3)
    x = drawn(init.normal_, mean=2, std=0.5)
    assert_distribution(x, 2, 0.25, 3)
    within = (np.abs(x - 2) < 0.5).mean()  # 68.27 % of a normal distribution
    assert abs(within - 0.6827) < 5 * math.sqrt(0.6827 * 0.3173 / x.size)


def test_constants() -> None:
    assert (drawn(init.zeros_) == 0).all()
    assert (drawn(init.ones_) == 1).all()
    assert (drawn(init.constant_, val=2.5) == 2.5).all()


@pytest.mark.parametrize("gain", [1.0, 5 / 3])
def test_xavier(gain) -> None:
    """Variance 2 / (fan_in + fan_out), times gain²."""
    variance = gain**2 * 2 / 500
    bound = math.sqrt(3 * variance)
    assert_uniform(drawn(init.xavier_uniform_, gain=gain), -bound, bound)
    assert_distribution(drawn(init.xavier_normal_, gain=gain), 0, variance, 3)


@pytest.mark.parametrize(
    ("arguments", "variance"),
    [
        ({}, 2 / 200),
        ({"mode": "fan_out"}, 2 / 300),
        ({"nonlinearity": "relu"}, 2 / 200),
        ({"a": 1.0}, 1 / 200),
        ({"a": math.sqrt(5)}, 2 / 6 / 200),
        ({"nonlinearity": "linear", "mode": "fan_out"}, 1 / 300),
        ({"nonlinearity": "tanh"}, 25 / 9 / 200),
    ],
)
def test_kaiming(arguments, variance) -> None:
    """Variance gain² / fan; for leaky ReLU of slope a, gain² is 2 / (1 + a²)."""
    bound = math.sqrt(3 * variance)
    assert_uniform(drawn(init.kaiming_uniform_, **arguments), -bound, bound)
    assert_distribution(drawn(init.kaiming_normal_, **arguments), 0, variance, 3)


def test_fans_of_a_convolution() -> None:
    """Of (out, in, height, width): a unit sees 30 · 15 values, and is seen by 40 · 15."""
    bound = math.sqrt(6 / (450 + 600))
    assert_uniform(drawn(init.xavier_uniform_, (40, 30, 3, 5)), -bound, bound)
    assert_distribution(drawn(init.kaiming_normal_, (40, 30, 3, 5)), 0, 2 / 450, 3)


def test_a_dense_layer_starts_uniform() -> None:
    """In ±1/√in_features, weights and bias, as PyTorch's."""
    layer = nn.Linear(100, 2000)
    assert_uniform(layer.weight.array.astype("float64"), -0.1, 0.1)
    assert_uniform(layer.bias.array.astype("float64"), -0.1, 0.1)


def test_kaiming_keeps_the_size_of_activations_through_relu() -> None:
    """What it is for: after ten layers the mean square is what it was, within a factor of two."""
    x = gpunet.tensor(np.random.default_rng(0).standard_normal((200, 400)))
    for _ in range(10):
        layer = nn.Linear(400, 400, bias=False, dtype="float64")
        init.kaiming_normal_(layer.weight, nonlinearity="relu")
        x = layer(x).relu().detach()
    assert 0.25 < (x.numpy() ** 2).mean() < 1  # half of the mean square is cut off by ReLU


@pytest.mark.parametrize(
    ("name", "gain"),
    [("linear", 1), ("sigmoid", 1), ("tanh", 5 / 3), ("relu", math.sqrt(2)), ("selu", 0.75)],
)
def test_gains(name, gain) -> None:
    assert init.calculate_gain(name) == gain
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)


def test_float32_is_rounded_from_the_same_draws() -> None:
    gpunet.manual_seed(7)
    wide = drawn(init.normal_)
    gpunet.manual_seed(7)
    narrow = init.normal_(gpunet.tensor(np.zeros(SHAPE, "float32"))).array
    np.testing.assert_array_equal(narrow, wide.astype("float32"))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: init.xavier_normal_(x[0]), ShapeError, r"at least two axes, got shape \(200,\)"),
        (
            lambda x: init.kaiming_normal_(x, mode="fan"),
            ArgumentError,
            '"fan_in" or "fan_out", got',
        ),
        (lambda x: init.kaiming_uniform_(x, nonlinearity="gelu"), ArgumentError, "must be one of"),
        (lambda x: init.calculate_gain("elu"), ArgumentError, "leaky_relu, linear, .*, got 'elu'"),
    ],
)
def test_refused(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call(gpunet.tensor(np.zeros(SHAPE)))


# --- shapes with a meaning


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [(0, 1, -2, 2), (0, 0.02, -2, 2), (1, 3, 0, 4), (0, 1, 4, 9), (0, 1, -9, -5), (0, 1, 0.1, 0.2)],
)
def test_truncated_normal(mean, std, a, b) -> None:
    """All draws are inside, and their mean is the truncated distribution's, to five errors."""
    x = init.trunc_normal_(gpunet.zeros(200, 500, dtype="float64"), mean, std, a, b).array
    assert x.min() >= a
    assert x.max() <= b
    grid = np.linspace(a, b, 200_001)
    density = np.exp(-(((grid - mean) / std) ** 2) / 2)
    expected = (grid * density).sum() / density.sum()
    spread = np.sqrt(((grid - expected) ** 2 * density).sum() / density.sum())
    assert abs(x.mean() - expected) < 5 * spread / np.sqrt(x.size) + 1e-4 * spread


@pytest.mark.parametrize("shape", [(4, 4), (3, 8), (8, 3), (6, 2, 2)])
def test_orthogonal(shape) -> None:
    x = init.orthogonal_(gpunet.zeros(shape, dtype="float64"), gain=2.0).array
    x = x.reshape(shape[0], -1)
    x = x if x.shape[0] <= x.shape[1] else x.T
    np.testing.assert_allclose(x @ x.T, 4 * np.eye(len(x)), atol=1e-14)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("eye_", (3, 5), {}),
        ("dirac_", (4, 3, 3), {}),
        ("dirac_", (2, 4, 3, 5), {}),
        ("dirac_", (6, 2, 4, 3, 3), {"groups": 3}),
    ],
)
def test_identities_beside_pytorch(name, shape, options) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    ours = getattr(init, name)(gpunet.ones(shape), **options)
    theirs = getattr(torch.nn.init, name)(torch.ones(shape), **options)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_dirac_passes_channels_on() -> None:
    x = init.dirac_(gpunet.ones(2, 2, 3)).array
    assert x.tolist() == [[[0, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 0]]]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: init.trunc_normal_(gpunet.ones(2), a=1, b=1), ArgumentError, "a must be below b"),
        (lambda: init.eye_(gpunet.ones(2)), ShapeError, "must have two axes"),
        (lambda: init.dirac_(gpunet.ones(2, 2)), ShapeError, "3 to 5 axes"),
        (lambda: init.dirac_(gpunet.ones(4, 2, 3), 3), ArgumentError, "groups must divide 4"),
        (lambda: init.orthogonal_(gpunet.ones(2)), ShapeError, "two axes or more"),
    ],
)
def test_shapes_without_one(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()
