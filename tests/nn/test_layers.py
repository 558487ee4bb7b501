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


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu_tanh(x):
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softmax(x, axis):
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


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
    (nn.Step(), [X], np.where(X > 0, 1, 0)),
    (nn.Threshold(0.5, -7), [X], np.where(X > 0.5, X, -7)),
    (nn.ReLU6(), [3 * X], np.clip(3 * X, 0, 6)),
    (nn.SELU(), [X], 1.0507009873554805 * np.where(X > 0, X, 1.6732632423543772 * np.expm1(X))),
    (nn.CELU(alpha=0.5), [X], np.where(X > 0, X, 0.5 * np.expm1(X / 0.5))),
    (nn.Softplus(1, threshold=0.5), [X], np.where(X > 0.5, X, np.log(1 + np.exp(X)))),
    (nn.Softsign(), [X], X / (1 + np.abs(X))),
    (nn.LogSigmoid(), [X], np.log(sigmoid(X))),
    (nn.Tanhshrink(), [X], X - np.tanh(X)),
    (nn.Hardtanh(), [X], np.clip(X, -1, 1)),
    (nn.Hardtanh(-0.5, max_val=2), [X], np.clip(X, -0.5, 2)),
    (nn.Hardsigmoid(), [2 * X], np.clip(2 * X + 3, 0, 6) / 6),
    (nn.Hardswish(), [2 * X], 2 * X * np.clip(2 * X + 3, 0, 6) / 6),
    (nn.Softshrink(), [X], np.sign(X) * np.maximum(np.abs(X) - 0.5, 0)),
    (nn.Hardshrink(lambd=1), [X], np.where(np.abs(X) > 1, X, 0)),
    (nn.PReLU(dtype="float64"), [X], np.where(X > 0, X, 0.25 * X)),
    (nn.PReLU(7, init=-0.5, dtype="float64"), [X], np.where(X > 0, X, -0.5 * X)),
    (nn.RReLU(0.25, upper=0.25), [X], np.where(X > 0, X, 0.25 * X)),
    (nn.RReLU().eval(), [X], np.where(X > 0, X, 11 / 48 * X)),
    (nn.GLU(), [X[:, :6]], X[:, :3] * sigmoid(X[:, 3:6])),
    (nn.GLU(dim=0), [X[:4]], X[:2] * sigmoid(X[2:4])),
    (nn.Softmin(dim=1), [X], softmax(-X, 1)),
    (nn.Softmax2d(), [X.reshape(5, 7, 1)], softmax(X, 0).reshape(5, 7, 1)),
    (nn.Softmax2d(), [X.reshape(1, 5, 7, 1)], softmax(X, 0).reshape(1, 5, 7, 1)),
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
    assert np.abs(y.detach().numpy() - expected).max() <= 40 * EPS["float64"] * scale


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
    elsewhere |= {nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Fold, nn.Unfold}
    elsewhere |= {nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d}
    elsewhere |= {nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict}
    families = (
        *("attention", "ctc", "feature_dropout", "layer_norm_lstm", "loss", "normalization"),
        *("padding", "pooling", "positional", "recurrent", "recurrent_cells", "resize"),
        "transformer",
    )
    elsewhere |= {layer for layer in layers if layer.__module__.rpartition(".")[2] in families}
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
        (nn.Softplus(), "Softplus(beta=1.0, threshold=20.0)"),
        (nn.Threshold(0.1, 20), "Threshold(threshold=0.1, value=20)"),
        (nn.ReLU(inplace=True), "ReLU(inplace=True)"),
        (nn.ELU(0.5, True), "ELU(alpha=0.5, inplace=True)"),
        (nn.PReLU(3), "PReLU(num_parameters=3)"),
        (nn.RReLU(0.1, 0.3, inplace=True), "RReLU(lower=0.1, upper=0.3, inplace=True)"),
        (nn.GLU(), "GLU(dim=-1)"),
        (nn.Dropout(0.2, inplace=True), "Dropout(p=0.2, inplace=True)"),
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
