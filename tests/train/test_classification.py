"""Evaluation: the figures of a model on a data set, against NumPy's."""

import numpy as np
import pytest

import gpunet
from gpunet import backend, data, nn
from gpunet.data import Dataset
from gpunet.errors import ShapeError
from gpunet.train.tasks import Classification


@pytest.fixture(scope="module")
def test_set() -> Dataset:
    return data.load("digits", "test")  # 1,797: one full batch of 1,000, and a smaller one


def model() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Dropout(0.5))


def test_figures(test_set) -> None:
    """In float64 from the same weights: 64 products a score leave errors near 1e-6."""
    network = model()
    w, b = (p.detach().numpy().astype("float64") for p in network.parameters())
    scores = test_set.inputs.reshape(-1, 64) @ w.T + b
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    loss = -np.log(probabilities[np.arange(1797), test_set.targets]).mean()

    result = Classification().evaluate(network, test_set, backend.cpu)
    assert result.figures["loss"] == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(result.outputs, probabilities, atol=1e-6)
    assert (result.outputs.shape, result.outputs.dtype) == ((1797, 10), "float32")
    assert result.figures["accuracy"] == (result.outputs.argmax(1) == test_set.targets).sum() / 1797
    assert result.figures["accuracy"] == pytest.approx(
        (scores.argmax(1) == test_set.targets).mean(), abs=1e-3
    )


def test_perfect_and_hopeless() -> None:
    """One input a class: a model that passes it on is right, one that negates it never."""
    inputs = 100 * np.eye(4, dtype="float32")
    dataset = Dataset("four", inputs, np.arange(4), tuple("abcd"))
    layer = nn.Linear(4, 4, bias=False)
    for sign, accuracy, loss in ((1, 1.0, 0.0), (-1, 0.0, 100 + np.log(3))):
        layer.weight.array[...] = sign * np.eye(4)
        result = Classification().evaluate(layer, dataset, backend.cpu)
        assert result.figures["accuracy"] == accuracy
        assert result.figures["loss"] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("mode", [True, False])
def test_the_mode_is_put_back(test_set, mode) -> None:
    network = model().train(mode)
    modes = []
    network[2].register_forward_hook(lambda layer, *_: modes.append(layer.training))
    Classification().evaluate(network, test_set, backend.cpu)
    assert modes == [False, False]
    assert all(module.training is mode for module in network.modules())
    other = Dataset("other", np.ones((2, 9), "float32"), np.array([0, 1]), ("a", "b"))
    with pytest.raises(ShapeError):
        Classification().evaluate(network, other, backend.cpu)
    assert all(module.training is mode for module in network.modules())


def test_nothing_is_recorded(test_set) -> None:
    network = model()
    recorded = []
    network[1].register_forward_hook(lambda layer, x, y: recorded.append(y.requires_grad))
    Classification().evaluate(network, test_set, backend.cpu)
    assert recorded == [False, False]
    assert all(p.grad is None for p in network.parameters())


def test_accuracy_on_mixed_targets_counts_the_larger_share() -> None:
    layer = nn.Linear(3, 3, bias=False)
    layer.weight.array[...] = np.eye(3)
    x = gpunet.tensor(np.eye(3, dtype="float32"))
    shares = np.array([[0.7, 0.3, 0], [0.6, 0.4, 0], [0, 0.2, 0.8]], "float32")
    loss, figures = Classification().loss(layer, x, gpunet.tensor(shares))
    scores = np.eye(3)
    expected = -(shares * (scores - np.log(np.exp(scores).sum(1, keepdims=True)))).sum(1).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert figures["accuracy"] == pytest.approx(2 / 3)
