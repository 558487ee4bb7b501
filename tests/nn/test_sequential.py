"""Layers one after another: fused behind the scenes, with the very bits of the layers alone."""

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.nn.activation import ActivationLayer

ACTIVATIONS = [
    getattr(nn, name)
    for name in nn.__all__
    if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), ActivationLayer)
]
REQUIRED = {nn.Threshold: (0.5, -1.0)}  # arguments without a default


def passed(model: nn.Sequential, x: np.ndarray) -> tuple[list[str], list[bytes]]:
    """The operations recorded, and the bits of the output and of every gradient."""
    leaf = gpunet.tensor(x, requires_grad=True)
    model.zero_grad()
    y = model(leaf)
    names, edge = [], y.origin
    while type(edge) is tuple:
        names.append(edge[0].name)
        edge = edge[0].edges[0]
    y.sum().backward()
    gradients = [leaf.grad, *(parameter.grad for parameter in model.parameters())]
    return names[::-1], [y.array.tobytes(), *(g.array.tobytes() for g in gradients)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.__name__)
def test_fused_is_unfused_to_the_last_bit(activation, bias, dtype) -> None:
    model = nn.Sequential(
        nn.Linear(7, 33, bias=bias, dtype=dtype),
        activation(*REQUIRED.get(activation, ())),
        nn.Linear(33, 3, dtype=dtype),
    )
    x = (3 * np.random.default_rng(0).standard_normal((17, 7))).astype(dtype)
    names, fused = passed(model, x)
    assert names == ["Linear", "Linear"]
    seen = []
    handle = model[1].register_forward_hook(lambda *call: seen.append(call))
    names, unfused = passed(model, x)
    assert len(names) == 3
    assert len(seen) == 1
    assert unfused == fused
    handle.remove()
    assert passed(model, x)[0] == ["Linear", "Linear"]


@pytest.mark.parametrize("listener", [0, 1])
def test_who_listens_sees_each_layer_alone(listener) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    seen = []
    model[listener].register_forward_hook(lambda module, inputs, output: seen.append(output))
    y = model(gpunet.tensor(np.ones((2, 4), "float32"))).array
    assert ((seen[0].array == y).all()) == (listener == 1)
    assert (y >= 0).all()
    assert (seen[0].array < 0).any() == (listener == 0)


def test_a_linear_of_ones_own_is_called_as_it_is() -> None:
    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2

    model = nn.Sequential(Doubled(4, 4), nn.ReLU())
    x = gpunet.tensor(np.ones((2, 4), "float32"))
    np.testing.assert_array_equal(
        model(x).array, np.maximum(2 * nn.Linear.forward(model[0], x).array, 0)
    )


def test_softmax_and_others_are_not_fused() -> None:
    model = nn.Sequential(
        nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 4), nn.Dropout(0.0), nn.Tanh()
    )
    assert passed(model, np.ones((2, 4), "float32"))[0] == ["Linear", "Softmax", "Linear", "Tanh"]


def test_as_a_sequence() -> None:
    layers = nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)
    model = nn.Sequential(*layers)
    assert len(model) == 3
    assert tuple(model) == layers
    assert model[0] is layers[0]
    assert model[-1] is layers[2]


def test_nothing_changes_nothing() -> None:
    x = gpunet.tensor([1.0])
    assert nn.Sequential()(x) is x
