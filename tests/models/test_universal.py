"""The built approximator is below eps everywhere, for functions of every kind."""

import math

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.errors import ArgumentError, ShapeError
from gpunet.models import universal


def slide(x):
    return 0.2 + 0.4 * x**2 + 0.3 * x * np.sin(15 * x) + 0.1 * np.cos(50 * x)


CASES = {  # f, a, b, and a size of its values
    "slide": (slide, 0.0, 1.0, 1.0),
    "sine": (np.sin, -math.pi, math.pi, 1.0),
    "corner": (np.abs, -1.0, 1.0, 1.0),
    "infinite slope": (lambda x: np.sqrt(np.abs(x)), 0.0, 4.0, 1.0),
    "constant": (lambda x: np.full_like(x, -3.0), 0.0, 1.0, 1.0),
    "zero": (np.zeros_like, 0.0, 1.0, 1.0),
    "large": (lambda x: 1e6 * np.exp(-(x**2)), -3.0, 3.0, 1e6),
    "tiny": (lambda x: 1e-6 * np.cos(x), 0.0, 1.0, 1e-6),
    "far from 0": (np.cos, 1000.0, 1003.0, 1.0),
}


def error(network, f, a: float, b: float) -> float:
    """The largest on a grid that is none of the samples, with the ends and what is beside cuts."""
    cuts = -network[0].bias.detach().numpy() / network[0].weight.detach().numpy()[:, 0]
    x = np.concatenate([np.linspace(a, b, 10007), *(cuts + d for d in (-1e-6, 0.0, 1e-6))])
    x = np.clip(x, a, b).astype(network[0].weight.array.dtype)
    with gpunet.no_grad():
        y = network(gpunet.tensor(x[:, None])).numpy()[:, 0]
    return float(np.abs(y - f(x.astype(float))).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(CASES))
def test_the_error_is_below_eps(name, dtype) -> None:
    f, a, b, size = CASES[name]
    for eps in (0.3 * size, 0.05 * size):
        network = universal.build(f, a, b, eps, dtype)
        assert error(network, f, a, b) < eps


def test_it_is_an_ordinary_network_of_two_hidden_layers() -> None:
    network = universal.build(np.sin, 0.0, 3.0, 0.1)
    kinds = [type(layer) for layer in network]
    assert kinds == [nn.Linear, nn.Sigmoid, nn.Linear, nn.Sigmoid, nn.Linear]
    x = gpunet.tensor([[0.5], [2.5]], requires_grad=True)
    network(x).sum().backward()
    assert x.grad.shape == (2, 1)
    assert {p.grad is not None for p in network.parameters()} == {True}
    copy = nn.Sequential(*(type(layer)(*arguments(layer)) for layer in network))
    copy.load_state_dict(network.state_dict())
    np.testing.assert_array_equal(copy(x).detach().numpy(), network(x).detach().numpy())


def arguments(layer) -> tuple:
    if isinstance(layer, nn.Sigmoid):
        return ()
    return layer.in_features, layer.out_features, layer.bias is not None


def test_neurons_of_a_piece_are_a_partition() -> None:
    """The second layer's outputs add up to 1 wherever x is, also upon a cut."""
    network = universal.build(slide, 0.0, 1.0, 0.05, "float64")
    x = gpunet.tensor(np.linspace(0, 1, 4001)[:, None])
    inside = network[3](network[2](network[1](network[0](x)))).detach().numpy()
    np.testing.assert_allclose(inside.sum(1), 1, atol=0.05)
    assert set(np.round(inside.max(1), 1)) <= {0.5, 0.6, 0.7, 0.8, 0.9, 1.0}


def test_outside_the_interval_it_stays_as_it_was() -> None:
    network = universal.build(np.sin, 0.0, 3.0, 0.1)
    with gpunet.no_grad():
        far = network(gpunet.tensor([[-100.0], [0.0], [3.0], [100.0]])).numpy()[:, 0]
    np.testing.assert_allclose(far[[0, 3]], far[[1, 2]], atol=1e-6)


def test_fewer_neurons_where_f_is_flat() -> None:
    flat = universal.build(lambda x: 1e-9 * x, 0.0, 1.0, 0.01)
    assert flat[2].out_features == 2
    steep = universal.build(lambda x: np.maximum(0.0, 20 * x - 19), 0.0, 1.0, 0.1)
    cuts = -steep[0].bias.detach().numpy() / steep[0].weight.detach().numpy()[:, 0]
    assert cuts.min() > 0.94


@pytest.mark.parametrize(
    ("arguments", "error_type", "message"),
    [
        ((np.sin, 1.0, 1.0, 0.1), ArgumentError, "must be a < b, both finite, got a = 1 and b = 1"),
        ((np.sin, 0.0, math.inf, 0.1), ArgumentError, "must be a < b, both finite"),
        ((np.sin, math.nan, 1.0, 0.1), ArgumentError, "must be a < b, both finite"),
        ((np.sin, 0.0, 1.0, 0.0), ArgumentError, "eps must be above 0, got 0"),
        ((np.sin, 0.0, 1.0, math.nan), ArgumentError, "eps must be above 0, got nan"),
        ((lambda x: 1 / x, 0.0, 1.0, 0.1), ArgumentError, "f must be finite, got inf at x = 0"),
        ((np.log, -1.0, 1.0, 0.1), ArgumentError, "f must be finite, got nan at x = -1"),
        ((np.sign, -1.0, 1.1, 0.1), ArgumentError, "f must be continuous, got a change of 2 at x"),
        ((lambda x: 100 * x, 0.0, 1.0, 0.01), ArgumentError, "eps must leave at most 5000 pieces"),
        ((lambda x: 1.0, 0.0, 1.0, 0.1), ShapeError, r"f must give shape \(1025,\) for it, got"),
    ],
)
def test_refused(arguments, error_type, message) -> None:
    with np.errstate(all="ignore"), pytest.raises(error_type, match=f"^build: {message}"):
        universal.build(*arguments)
