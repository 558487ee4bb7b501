"""`inplace=True`: the result in the memory of the input, and the gradient all the same."""

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import nn
from gpunet.errors import GradError

X = np.array([-4.0, -0.5, 0.0, 0.5, 7.0])


def layers(inplace: bool) -> list[nn.Module]:
    """Every layer that has the option."""
    return [
        nn.Threshold(0.1, 3.0, inplace),
        nn.ReLU(inplace),
        nn.ReLU6(inplace),
        nn.LeakyReLU(0.1, inplace),
        nn.RReLU(0.25, 0.25, inplace),
        nn.RReLU(0.25, 0.25, inplace).eval(),
        nn.ELU(0.5, inplace),
        nn.SELU(inplace),
        nn.CELU(0.5, inplace),
        nn.SiLU(inplace),
        nn.Mish(inplace),
        nn.Hardtanh(-1.0, 1.0, inplace),
        nn.Hardsigmoid(inplace),
        nn.Hardswish(inplace),
        nn.Dropout(0.5, inplace),
        nn.Dropout(0.0, inplace),
    ]


both = pytest.mark.parametrize(
    ("inplace", "plain"), list(zip(layers(True), layers(False), strict=True)), ids=repr
)


@both
def test_the_input_holds_the_result(inplace, plain) -> None:
    gpunet.manual_seed(0)
    expected = plain(gpunet.tensor(X)).numpy()
    gpunet.manual_seed(0)
    x = gpunet.tensor(X)
    memory = x.numpy()
    y = inplace(x)
    np.testing.assert_array_equal(y.numpy(), expected)
    np.testing.assert_array_equal(memory, expected)
    assert np.shares_memory(y.numpy(), memory)


@both
def test_the_gradient_is_the_same(inplace, plain) -> None:
    gradients = []
    for layer in (inplace, plain):
        gpunet.manual_seed(0)
        leaf = gpunet.tensor(X, requires_grad=True)
        (layer(leaf * 2.0) * 3.0).sum().backward()
        gradients.append(leaf.grad.numpy())
    np.testing.assert_array_equal(*gradients)


def test_a_leaf_with_a_gradient_is_not_written_to() -> None:
    with pytest.raises(GradError, match="relu: must not write into a leaf"):
        F.relu(gpunet.tensor(X, requires_grad=True), inplace=True)


def test_what_another_gradient_needs_is_not_lost_unnoticed() -> None:
    y = F.sigmoid(gpunet.tensor(X, requires_grad=True))
    with pytest.raises(GradError, match="overwritten"):
        F.relu(y, inplace=True).sum().backward()


@pytest.mark.parametrize("name", ["relu_", "sigmoid_", "tanh_"])
def test_methods(name) -> None:
    x = gpunet.tensor(X)
    expected = getattr(F, name[:-1])(gpunet.tensor(X)).numpy()
    assert getattr(x, name)() is x
    np.testing.assert_array_equal(x.numpy(), expected)


def test_invalid_settings_are_refused() -> None:
    for make, message in [
        (lambda: nn.Hardtanh(1.0, 1.0), "Hardtanh: min_val must be below max_val"),
        (lambda: nn.Softshrink(-1.0), "Softshrink: lambd must be at least 0, got -1.0"),
        (lambda: nn.CELU(0.0), "CELU: alpha must not be 0"),
        (lambda: nn.Softmax2d()(gpunet.tensor(X)), "Softmax2d: x must have 3 or 4 axes, got 1"),
    ]:
        with pytest.raises(gpunet.errors.GpunetError, match=message):
            make()
