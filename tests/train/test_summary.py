"""What a model is made of, counted by hand."""

import numpy as np
import pytest

import gpunet
from gpunet import models, nn
from gpunet.errors import ShapeError
from gpunet.train.summary import summarize


def example(*shape: int) -> gpunet.Tensor:
    return gpunet.tensor(np.zeros((1, *shape), "float32"))


def test_mlp() -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10, bias=False)
    )
    lines = summarize(model, example(1, 8, 8))
    rows = [(x.name, x.kind, x.output, x.weights, x.biases, x.multiply_adds) for x in lines]
    assert rows == [
        ("0", "Flatten(start_dim=1, end_dim=-1)", (64,), 0, 0, 0),
        ("1", "Linear(64, 32, bias=True)", (32,), 2048, 32, 2048),
        ("2", "ReLU()", (32,), 0, 0, 0),
        ("3", "Dropout(p=0.5)", (32,), 0, 0, 0),
        ("4", "Linear(32, 10, bias=False)", (10,), 320, 0, 320),
    ]
    assert sum(x.weights + x.biases for x in lines) == sum(p.numel() for p in model.parameters())


def test_a_dense_layer_over_a_sequence() -> None:
    """Its weights meet each of the 5 · 7 vectors."""
    (line,) = summarize(nn.Sequential(nn.Linear(4, 3)), example(5, 7, 4))
    assert (line.output, line.multiply_adds) == ((5, 7, 3), 5 * 7 * 12)


def test_convolutions() -> None:
    """Its 3·3·2·4 weights meet the 6·6 places of the output; a transposed one's, the input's."""
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ConvTranspose2d(4, 5, 2, stride=2, bias=False))
    first, second = summarize(model, example(2, 8, 8))
    assert (first.output, first.multiply_adds) == ((4, 6, 6), 36 * 72)
    assert (second.output, second.multiply_adds) == ((5, 12, 12), 36 * 80)


def test_layers_come_in_the_order_they_run_with_their_paths() -> None:
    class Net(nn.Module):
        def __init__(self):
            self.head = nn.Linear(6, 2)
            self.body = nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.Tanh()))

        def forward(self, x):
            return self.head(self.body(x))

    assert [line.name for line in summarize(Net(), example(4))] == ["body.0", "body.1.0", "head"]


@pytest.mark.parametrize("mode", [True, False])
def test_the_model_is_left_as_it_was(mode) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).train(mode)
    summarize(model, example(4))
    with pytest.raises(ShapeError, match="in layer 0"):
        summarize(model, example(5))
    assert all(module.training is mode for module in model.modules())
    assert all(module._forward_hooks == () for module in model.modules())


def test_recurrent_layers() -> None:
    """Their weights meet every step; a weight that is used twice is counted once."""
    (line,) = summarize(nn.Sequential(nn.LSTM(4, 3, batch_first=True)), example(5, 4))
    assert (line.output, line.weights, line.biases) == ((5, 3), 12 * (4 + 3), 24)
    assert line.multiply_adds == 5 * 12 * (4 + 3)


def test_a_shared_weight_is_counted_once() -> None:
    net = models.GPT(11, 8, 1, 1, 4)
    lines = summarize(net, gpunet.tensor(np.zeros((1, 8), int)))
    assert sum(x.weights + x.biases for x in lines) == sum(p.numel() for p in net.parameters())
    assert (lines[-1].name, lines[-1].weights, lines[-1].multiply_adds) == ("lm_head", 0, 8 * 44)
