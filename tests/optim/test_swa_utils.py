"""Averages of weights: by their definition, and PyTorch's."""

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.errors import ArgumentError
from gpunet.optim.swa_utils import AveragedModel, get_ema_avg_fn, get_swa_avg_fn
from tests.tolerance import EPS


class Counting(nn.Module):
    """A weight, and a buffer that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(gpunet.tensor(np.zeros(3)))
        self.seen = nn.Buffer(gpunet.tensor(np.zeros(1)))

    def forward(self, x):
        return x * self.weight + self.seen


def trained(model, averaged, steps=6):
    """The weights that `averaged` was shown."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((steps, 3))
    for number, values in enumerate(weights):
        model.weight.array[...] = values
        model.seen.array[...] = number
        averaged.update_parameters(model)
    return weights


@pytest.mark.parametrize("avg_fn", [None, get_swa_avg_fn()])
def test_mean(avg_fn) -> None:
    model = Counting()
    averaged = AveragedModel(model, avg_fn)
    weights = trained(model, averaged)
    expected = weights.mean(0)
    np.testing.assert_allclose(averaged.module.weight.array, expected, rtol=20 * EPS["float64"])
    assert averaged.module.seen.array.tolist() == [5.0]
    assert int(averaged.n_averaged.array) == 6
    got = averaged(gpunet.tensor(np.ones(3))).detach().numpy()
    np.testing.assert_array_equal(got, averaged.module.weight.array + 5)


def test_exponential_average() -> None:
    model = Counting()
    averaged = AveragedModel(model, get_ema_avg_fn(0.9), use_buffers=True)
    first, *rest = trained(model, averaged)
    seen = 0.0
    for number, weights in enumerate(rest, 1):
        first = 0.9 * first + 0.1 * weights
        seen = 0.9 * seen + 0.1 * number
    np.testing.assert_allclose(averaged.module.weight.array, first, rtol=20 * EPS["float64"])
    assert averaged.module.seen.array.item() == pytest.approx(seen)


def test_the_model_is_left_alone() -> None:
    model = Counting()
    averaged = AveragedModel(model)
    weights = trained(model, averaged)
    np.testing.assert_array_equal(model.weight.array, weights[-1])
    assert not np.shares_memory(model.weight.array, averaged.module.weight.array)


def test_state_goes_on_exactly() -> None:
    model = Counting()
    one, two = AveragedModel(model), AveragedModel(model)
    trained(model, one)
    assert list(one.state_dict()) == ["n_averaged", "module.weight", "module.seen"]
    two.load_state_dict(one.state_dict())
    trained(model, one)
    trained(model, two)
    np.testing.assert_array_equal(two.module.weight.array, one.module.weight.array)
    assert int(two.n_averaged.array) == 12


@pytest.mark.parametrize("decay", [None, 0.9])
def test_equals_pytorch(decay) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    swa = torch.optim.swa_utils
    ours, theirs = nn.Linear(3, 2, dtype="float64"), torch.nn.Linear(3, 2).double()
    our_mean = AveragedModel(ours, decay and get_ema_avg_fn(decay))
    their_mean = swa.AveragedModel(theirs, avg_fn=decay and swa.get_ema_avg_fn(decay))
    assert set(our_mean.state_dict()) == set(their_mean.state_dict())
    rng = np.random.default_rng(0)
    for _ in range(20):
        weights = {name: rng.standard_normal(w.shape) for name, w in ours.state_dict().items()}
        ours.load_state_dict(weights)
        theirs.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})
        our_mean.update_parameters(ours)
        their_mean.update_parameters(theirs)
    for name, expected in their_mean.state_dict().items():
        np.testing.assert_allclose(our_mean.state_dict()[name], expected.numpy(), rtol=1e-12)


def test_refused() -> None:
    with pytest.raises(ArgumentError, match=r"decay must be in \[0, 1\], got 1.5"):
        get_ema_avg_fn(1.5)
