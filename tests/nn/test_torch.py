"""Side by side with PyTorch: the same keys, the same numbers from the same weights."""

import numpy as np
import pytest

import gpunet
from gpunet import nn
from tests.tolerance import EPS


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")


# Arguments and inputs of each layer; the class has the same name in both.
rng = np.random.default_rng(0)
X = 3 * rng.standard_normal((6, 5))
CASES = [
    ("Linear", (5, 3), {}, [X]),
    ("Linear", (5, 3), {"bias": False}, [X.reshape(2, 3, 5)]),
    ("Bilinear", (5, 4, 3), {}, [X, X[:, :4]]),
    ("Bilinear", (5, 4, 3), {"bias": False}, [X.reshape(2, 3, 5), X[:, :4].reshape(2, 3, 4)]),
    ("Identity", (1,), {"unused": True}, [X]),
    ("Flatten", (), {}, [X.reshape(3, 2, 5)]),
    ("Flatten", (0, 1), {}, [X.reshape(3, 2, 5)]),
    ("Unflatten", (1, (-1, 5)), {}, [X]),
    ("ReLU", (), {}, [X]),
    ("LeakyReLU", (0.3,), {}, [X]),
    ("ELU", (0.5,), {}, [X]),
    ("Sigmoid", (), {}, [X]),
    ("Tanh", (), {}, [X]),
    ("GELU", (), {}, [X]),
    ("GELU", (), {"approximate": "tanh"}, [X]),
    ("SiLU", (), {}, [X]),
    ("Softplus", (2.0,), {}, [X]),
    ("Mish", (), {}, [X]),
    ("Threshold", (0.5, -7.0), {}, [X]),
    ("ReLU6", (), {}, [X]),
    ("SELU", (), {}, [X]),
    ("CELU", (0.5,), {}, [X]),
    ("Softplus", (1.0, 2.0), {}, [X]),
    ("Softsign", (), {}, [X]),
    ("LogSigmoid", (), {}, [X]),
    ("Tanhshrink", (), {}, [X]),
    ("Hardtanh", (-0.5,), {"max_val": 2.0}, [X]),
    ("Hardswish", (), {}, [X]),
    ("Softshrink", (0.7,), {}, [X]),
    ("Hardshrink", (), {"lambd": 0.7}, [X]),
    ("PReLU", (), {"init": 0.1}, [X]),
    ("PReLU", (5,), {}, [X]),
    ("RReLU", (0.25,), {"upper": 0.25}, [X]),
    ("GLU", (), {"dim": 0}, [X]),
    ("Softmin", (), {"dim": 0}, [X]),
    ("Softmax2d", (), {}, [X.reshape(3, 2, 5)]),
    ("Softmax", (1,), {}, [X]),
    ("LogSoftmax", (), {"dim": 0}, [X]),
]


@pytest.mark.parametrize(
    ("name", "arguments", "options", "inputs"),
    CASES,
    ids=[f"{name}{arguments}{options or ''}" for name, arguments, options, _ in CASES],
)
def test_layer(torch, name, arguments, options, inputs) -> None:
    dtype = {"dtype": "float64"} if "inear" in name or name == "PReLU" else {}
    ours = getattr(nn, name)(*arguments, **options, **dtype)
    theirs = getattr(torch.nn, name)(*arguments, **options).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})

    x, *rest = (gpunet.tensor(array) for array in inputs)
    tx, *trest = (torch.tensor(array) for array in inputs)
    y, ty = ours(x.requires_grad_(), *rest), theirs(tx.requires_grad_(), *trest)
    assert y.shape == tuple(ty.shape)
    y.sum().backward()
    ty.sum().backward()
    pairs = [(y.detach().numpy(), ty.detach()), (x.grad.numpy(), tx.grad)]
    theirs_by_name = dict(theirs.named_parameters())
    for key, parameter in ours.named_parameters():
        pairs.append((parameter.grad.numpy(), theirs_by_name[key].grad))
    for got, expected in pairs:
        expected = expected.numpy()
        bound = 40 * EPS["float64"] * (1 + np.abs(expected).max())  # some twenty roundings each
        assert np.abs(got - expected).max() <= bound


def test_keys_and_shapes_of_a_model(torch) -> None:
    def model(n):
        layers = n.Flatten(), n.Linear(4, 8), n.ReLU(), n.Sequential(n.Linear(8, 8), n.Dropout(0.1))
        return n.Sequential(*layers, n.Linear(8, 2, bias=False))

    ours, theirs = model(nn).state_dict(), model(torch.nn).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: tuple(v.shape) for k, v in theirs.items()}
    assert list(ours) == list(theirs)


def test_weights_start_in_the_same_range(torch) -> None:
    ours, theirs = nn.Linear(100, 1000), torch.nn.Linear(100, 1000)
    for got, expected in ((ours.weight.array, theirs.weight), (ours.bias.array, theirs.bias)):
        expected = expected.detach().numpy()
        assert abs(np.abs(got).max() - np.abs(expected).max()) < 20 / got.size
        assert abs(got.std() / expected.std() - 1) < 10 * np.sqrt(0.8 / 4 / got.size)


@pytest.mark.parametrize("shape", [(20, 30), (8, 6, 3, 5)])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("xavier_uniform_", {"gain": 2.0}),
        ("kaiming_uniform_", {"a": 0.3, "mode": "fan_out"}),
        ("kaiming_uniform_", {"nonlinearity": "relu"}),
    ],
)
def test_bounds_of_initial_values(torch, name, options, shape) -> None:
    """The largest of n uniform draws is within 20 / n of the bound, relatively, but for e^-20."""
    ours, theirs = gpunet.tensor(np.zeros(shape)), torch.zeros(shape, dtype=torch.float64)
    got = np.abs(getattr(nn.init, name)(ours, **options).array).max()
    expected = getattr(torch.nn.init, name)(theirs, **options).abs().max().item()
    assert abs(got / expected - 1) < 20 / np.prod(shape)


def test_gains(torch) -> None:
    for name in ("linear", "sigmoid", "tanh", "relu", "selu"):
        assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    expected = torch.nn.init.calculate_gain("leaky_relu", 0.2)
    assert nn.init.calculate_gain("leaky_relu", 0.2) == expected
