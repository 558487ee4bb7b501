"""What a step does to gradients and weights beside the optimizer, in float64 by hand."""

from dataclasses import replace

import numpy as np
import pytest

import gpunet
from gpunet import nn
from gpunet.train import Callback, Trainer
from gpunet.train.config import RegularizationConfig, TrainConfig
from gpunet.train.regularization import change_gradients, change_weights


@pytest.fixture
def model() -> nn.Module:
    """float64, with gradients; one weight is 0, and one parameter has no gradient."""
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).to("float64")
    generator = np.random.default_rng(0)
    for p in network.parameters():
        p.grad = gpunet.tensor(generator.standard_normal(p.shape))
    network[0].weight.array[0, 1] = 0.0
    network[1].bias.grad = None
    return network


def gradients(model: nn.Module) -> list[np.ndarray]:
    return [p.grad.array.copy() for p in model.parameters() if p.grad is not None]


def test_nothing(model) -> None:
    before, weights = gradients(model), [p.array.copy() for p in model.parameters()]
    state = gpunet.backend.random.state_dict()
    change_gradients(model, RegularizationConfig(), 0)
    change_weights(model, RegularizationConfig())
    for old, new in zip(before, gradients(model), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, p in zip(weights, model.parameters(), strict=True):
        np.testing.assert_array_equal(old, p.array)
    assert gpunet.backend.random.state_dict() == state


def test_l1(model) -> None:
    """Biases are left alone, and a weight of 0 is not pushed."""
    before = gradients(model)
    change_gradients(model, RegularizationConfig(l1=0.25), 0)
    first, bias, second = gradients(model)
    np.testing.assert_array_equal(first, before[0] + 0.25 * np.sign(model[0].weight.array))
    assert first[0, 1] == before[0][0, 1]
    np.testing.assert_array_equal(bias, before[1])
    np.testing.assert_array_equal(second, before[2] + 0.25 * np.sign(model[1].weight.array))


def test_noise() -> None:
    """Mean 0, variance η / (1 + t)^0.55: 40,000 draws tell either within five deviations."""
    layer = nn.Linear(200, 200, bias=False)
    gpunet.manual_seed(1)
    for step in (0, 9):
        layer.weight.grad = gpunet.zeros(200, 200)
        change_gradients(layer, RegularizationConfig(noise=0.3), step)
        g, variance = layer.weight.grad.array, 0.3 / (1 + step) ** 0.55
        assert abs(g.mean()) < 5 * (variance / g.size) ** 0.5
        assert abs(g.var() / variance - 1) < 5 * (2 / g.size) ** 0.5
        assert g.dtype == "float32"


def test_clipping(model) -> None:
    """First each element, then the norm of what is left of all."""
    before = gradients(model)
    change_gradients(model, RegularizationConfig(clip_value=0.5, clip_norm=0.7), 0)
    clipped = [np.clip(g, -0.5, 0.5) for g in before]
    norm = sum((g**2).sum() for g in clipped) ** 0.5
    for old, new in zip(clipped, gradients(model), strict=True):
        np.testing.assert_allclose(new, old * 0.7 / (norm + 1e-6), rtol=1e-12)


def test_max_norm(model) -> None:
    """Rows above the norm come down to it, others and biases stay; no row of zeros is NaN."""
    model[0].weight.array[2] = 0.0
    model[0].weight.array[3] = 5.0
    before = [p.array.copy() for p in model.parameters()]
    change_weights(model, RegularizationConfig(max_norm=0.6))
    for old, p in zip(before, model.parameters(), strict=True):
        expected = old.copy()
        if old.ndim == 2:
            for row in expected:
                row *= min(1.0, 0.6 / max(1e-300, (row**2).sum() ** 0.5))
        np.testing.assert_allclose(p.array, expected, rtol=1e-12)
    assert np.linalg.norm(model[0].weight.array[3]) == pytest.approx(0.6, rel=1e-12)


def test_max_norm_of_a_convolution() -> None:
    layer = nn.Conv2d(2, 3, 3)
    layer.weight.array *= 100
    change_weights(layer, RegularizationConfig(max_norm=2.0))
    norms = np.linalg.norm(layer.weight.array.reshape(3, -1), axis=1)
    np.testing.assert_allclose(norms, 2.0, rtol=1e-6)


def test_in_training(build) -> None:
    """Gradients are as clipped, weights as bounded, after every step of a run."""

    class Look(Callback):
        def on_batch(self, trainer: Trainer) -> None:
            parameters = list(trainer.model.parameters())
            squares = sum((p.grad.array.astype("float64") ** 2).sum() for p in parameters)
            assert squares**0.5 <= 0.01 * (1 + 1e-5)
            weights = [p.array for p in parameters if p.ndim == 2]
            assert max(np.linalg.norm(w, axis=1).max() for w in weights) <= 0.3 * (1 + 1e-5)
            seen.append(trainer.progress.step)

    seen: list[int] = []
    rules = RegularizationConfig(l1=1e-4, noise=1e-3, clip_value=1.0, clip_norm=0.01, max_norm=0.3)
    build([Look()], regularization=rules, train=TrainConfig(2, 64)).fit()
    assert seen == [1, 2, 3, 4, 5, 6]


def test_a_penalty_makes_weights_small(build, config) -> None:
    plain, sparse = build(), build(regularization=replace(config.regularization, l1=0.05))
    for trainer in (plain, sparse):
        trainer.fit()
    small = [(np.abs(t.model[1].weight.array) < 0.02).mean() for t in (plain, sparse)]
    assert small[1] > 1.2 * small[0]
