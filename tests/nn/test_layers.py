"""Every layer against its formula, written with NumPy in float64."""

import math

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.errors import ArgumentError
from tests.tolerance import EPS

rng = np.random.default_rng(0)
X = 2 * rng.standard_normal((5, 7))
T01 = rng.random((5, 7))
LABELS = np.array([0, 6, 3, 3, 1])
WEIGHT, POSITIVE = rng.uniform(0.5, 2, 7), rng.uniform(0.5, 2, 7)
KNOWN = LABELS != 3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu_tanh(x):
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softmax(x, axis):
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


def bce(x, t, weight=1.0, positive=1.0):
    return -weight * (positive * t * np.log(sigmoid(x)) + (1 - t) * np.log(1 - sigmoid(x)))


def nll(x, labels):
    return -np.log(softmax(x, 1))[np.arange(len(x)), labels]


def smoothed(x, labels, share):
    return (1 - share) * nll(x, labels) - share * np.log(softmax(x, 1)).mean(1)


def tensors(*arrays):
    return [gpunet.tensor(array) for array in arrays]


# Layer, inputs, and what it must return.
TABLE = [
    (nn.ReLU(), [X], np.where(X > 0, X, 0)),
    (nn.LeakyReLU(), [X], np.where(X > 0, X, 0.01 * X)),
    (nn.LeakyReLU(negative_slope=0.3), [X], np.where(X > 0, X, 0.3 * X)),
    (nn.ELU(), [X], np.where(X > 0, X, np.exp(X) - 1)),
    (nn.ELU(alpha=0.5), [X], np.where(X > 0, X, 0.5 * (np.exp(X) - 1))),
    (nn.Sigmoid(), [X], sigmoid(X)),
    (nn.Tanh(), [X], (np.exp(X) - np.exp(-X)) / (np.exp(X) + np.exp(-X))),
    (nn.GELU(), [X], X / 2 * (1 + np.vectorize(math.erf)(X / math.sqrt(2)))),
    (nn.GELU(approximate="tanh"), [X], gelu_tanh(X)),
    (nn.SiLU(), [X], X * sigmoid(X)),
    (nn.Softplus(), [X], np.log(1 + np.exp(X))),
    (nn.Softplus(beta=3), [X], np.log(1 + np.exp(3 * X)) / 3),
    (nn.Mish(), [X], X * np.tanh(np.log(1 + np.exp(X)))),
    (nn.Softmax(1), [X], softmax(X, 1)),
    (nn.Softmax(dim=0), [X], softmax(X, 0)),
    (nn.LogSoftmax(-1), [X], np.log(softmax(X, 1))),
    (nn.Identity(3, bias=False), [X], X),
    (nn.Flatten(), [X.reshape(5, 1, 7, 1)], X),
    (nn.Flatten(0), [X], X.reshape(-1)),
    (nn.Flatten(0, 1), [X.reshape(5, 1, 7)], X),
    (nn.Unflatten(0, (5, -1)), [X.reshape(-1)], X),
    (nn.Unflatten(-1, [7]), [X], X),
    (nn.Dropout(0), [X], X),
    (nn.Dropout(p=1), [X], 0 * X),
    (nn.Dropout(0.7).eval(), [X], X),
    (nn.MSELoss(), [X, T01], ((X - T01) ** 2).mean()),
    (nn.MSELoss(reduction="sum"), [X, T01], ((X - T01) ** 2).sum()),
    (nn.MSELoss("none"), [X, T01], (X - T01) ** 2),
    (nn.BCEWithLogitsLoss(), [X, T01], bce(X, T01).mean()),
    (
        nn.BCEWithLogitsLoss(*tensors(WEIGHT), "none", *tensors(POSITIVE)),
        [X, T01],
        bce(X, T01, WEIGHT, POSITIVE),
    ),
    (nn.CrossEntropyLoss(), [X, LABELS], nll(X, LABELS).mean()),
    (
        nn.CrossEntropyLoss(*tensors(WEIGHT)),
        [X, LABELS],
        (WEIGHT[LABELS] * nll(X, LABELS)).sum() / WEIGHT[LABELS].sum(),
    ),
    (nn.CrossEntropyLoss(ignore_index=3), [X, LABELS], nll(X, LABELS)[KNOWN].mean()),
    (nn.CrossEntropyLoss(None, 3, "none"), [X, LABELS], nll(X, LABELS) * KNOWN),
    (nn.CrossEntropyLoss(label_smoothing=0.1), [X, LABELS], smoothed(X, LABELS, 0.1).mean()),
]
named = pytest.mark.parametrize(
    ("layer", "inputs", "expected"), [pytest.param(*row, id=repr(row[0])) for row in TABLE]
)


@named
def test_layer(layer, inputs, expected) -> None:
    """Rounding: the formulas take at most some twenty steps on values below 40."""
    y = layer(*tensors(*inputs))
    assert y.shape == np.shape(expected)
    assert y.dtype == "float64"
    scale = 1 + np.abs(expected).max()
    assert np.abs(y.numpy() - expected).max() <= 40 * EPS["float64"] * scale


@named
def test_gradients_reach_the_input(layer, inputs, expected) -> None:
    x, *rest = tensors(*inputs)
    with_gradient = x.requires_grad_()
    layer(with_gradient, *rest).sum().backward()
    assert x.grad.shape == x.shape
    assert np.isfinite(x.grad.numpy()).all()


def test_every_layer_stands_in_the_table() -> None:
    layers = {kind for name in nn.__all__ if isinstance(kind := getattr(nn, name), type)}
    elsewhere = {nn.Module, nn.Parameter, nn.Buffer, nn.Linear, nn.Bilinear, nn.Embedding}
    elsewhere |= {nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict}
    assert {type(layer) for layer, *_ in TABLE} == layers - elsewhere


# --- dense


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7,), (5, 7), (0, 7), (2, 3, 4, 7)], ids=str)
def test_linear(shape, bias) -> None:
    layer = nn.Linear(7, 3, bias=bias, dtype="float64")
    x = np.random.default_rng(1).standard_normal(shape)
    w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy() if bias else 0.0
    y = layer(gpunet.tensor(x)).detach().numpy()
    assert y.shape == (*shape[:-1], 3)
    exact = np.einsum("...i,oi->...o", x, w) + b
    assert np.abs(y - exact).max(initial=0) <= 9 * EPS["float64"] * 7 * 3
    assert (layer.bias is not None) == bias
    assert repr(layer) == f"Linear(7, 3, bias={bias})"


def test_linear_defaults() -> None:
    layer = nn.Linear(4, 3)
    assert (layer.weight.shape, layer.bias.shape) == ((3, 4), (3,))
    assert layer.weight.dtype == layer.bias.dtype == "float32"
    before = layer.weight.array.copy()
    layer.reset_parameters()
    assert (layer.weight.array != before).all()


@pytest.mark.parametrize("features", [(0, 3), (3, 0), (-1, 3)])
def test_linear_needs_features(features) -> None:
    with pytest.raises(
        ArgumentError, match="Linear: in_features and out_features must be at least 1"
    ):
        nn.Linear(*features)


@pytest.mark.parametrize("bias", [True, False])
def test_bilinear_starts_like_pytorch(bias) -> None:
    layer = nn.Bilinear(100, 4, 30, bias=bias)
    assert repr(layer) == (
        f"Bilinear(in1_features=100, in2_features=4, out_features=30, bias={bias})"
    )
    assert (layer.weight.shape, layer.bias is not None) == ((30, 100, 4), bias)
    # The largest of n uniform draws is within 20 / n of the bound, relatively, but for e^-20.
    assert abs(np.abs(layer.weight.array).max() / 0.1 - 1) < 20 / 12000
    with pytest.raises(ArgumentError, match=r"at least 1, got \(0, 4, 30\)"):
        nn.Bilinear(0, 4, 30)


# --- dropout


def test_dropout_keeps_the_mean() -> None:
    """Each is 1 / (1 − p) with probability 1 − p, so the mean of n is 1 ± 5 √(p / (1 − p) / n)."""
    n, p = 100_000, 0.3
    y = nn.Dropout(p)(gpunet.tensor(np.ones(n))).numpy()
    assert set(y.tolist()) == {0.0, 1 / 0.7}
    assert abs(y.mean() - 1) < 5 * math.sqrt(p / (1 - p) / n)


def test_dropout_passes_gradients_where_it_passed_values() -> None:
    x = gpunet.tensor(np.ones(1000), requires_grad=True)
    y = nn.Dropout(0.5)(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_dropout_is_a_probability(p) -> None:
    with pytest.raises(ArgumentError, match=rf"Dropout: p must be in \[0, 1\], got {p}"):
        nn.Dropout(p)


def test_gelu_knows_two_formulas() -> None:
    with pytest.raises(
        ArgumentError, match="GELU: approximate must be one of 'none', 'tanh', got 'x'"
    ):
        nn.GELU("x")


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.ReLU(), "ReLU()"),
        (nn.LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)"),
        (nn.ELU(), "ELU(alpha=1.0)"),
        (nn.GELU("tanh"), "GELU(approximate='tanh')"),
        (nn.Softplus(), "Softplus(beta=1.0)"),
        (nn.Softmax(1), "Softmax(dim=1)"),
        (nn.LogSoftmax(1), "LogSoftmax(dim=1)"),
        (nn.Dropout(), "Dropout(p=0.5)"),
        (nn.Identity(3), "Identity()"),
        (nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
        (nn.Unflatten(1, (2, -1)), "Unflatten(dim=1, unflattened_size=(2, -1))"),
    ],
)
def test_repr(layer, text) -> None:
    assert repr(layer) == text
