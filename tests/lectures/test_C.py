"""Losses: the rows C1 to C3 of docs/lectures.md."""

from __future__ import annotations

import numpy as np
import pytest

import gpunet
from gpunet import functional as F


def test_C1_losses_by_their_formulas(demo) -> None:
    values = demo("losses")["values"]
    y, t = np.array([0.5, 2.0, -1.0]), np.array([1.0, 1.5, -1.0])
    p, yes = np.array([0.9, 0.2, 0.6]), np.array([1.0, 0.0, 1.0])
    z = np.array([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0]])
    logs = z - np.log(np.exp(z).sum(1, keepdims=True))
    expected = {
        "MSE": ((y - t) ** 2).mean(),
        "½Σ(y − t)²": ((y - t) ** 2).sum() / 2,
        "BCE": -(yes * np.log(p) + (1 - yes) * np.log(1 - p)).mean(),
        "CE, index": -(logs[0, 0] + logs[1, 1]) / 2,
        "CE, one-hot": -(np.eye(3)[[0, 1]] * logs).sum(1).mean(),
    }
    assert values == pytest.approx(expected, rel=1e-6)


def test_C1_of_random_numbers() -> None:
    rng = np.random.default_rng(0)
    z, t = rng.normal(size=(50, 7)), rng.integers(0, 7, 50)
    expected = -(z - np.log(np.exp(z).sum(1, keepdims=True)))[np.arange(50), t].mean()
    index = F.cross_entropy(gpunet.tensor(z), gpunet.tensor(t)).item()
    one_hot = F.cross_entropy(gpunet.tensor(z), gpunet.tensor(np.eye(7)[t])).item()
    assert [index, one_hot] == pytest.approx([expected, expected], rel=1e-12)


def test_C2_two_models(demo) -> None:
    models = demo("losses")["models"]
    assert models["model 1"] == pytest.approx((1 / 3, 1.378, 0.403), abs=5e-4)
    assert models["model 2"] == pytest.approx((1 / 3, 0.639, 0.170), abs=5e-4)


def test_C3_gradients_of_a_confident_mistake(demo, performance) -> None:
    """dMSE/dz = 2(σ − 1)σ(1 − σ) vanishes where dCE/dz = σ − 1 is nearly −1."""
    results = demo("losses")
    z, (squared, entropy) = results["logits"], results["gradients"]
    s = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(squared, 2 * (s - 1) * s * (1 - s), rtol=1e-9)
    np.testing.assert_allclose(entropy, s - 1, rtol=1e-9)
    assert abs(squared[z == -10]) < 1e-4
    assert abs(entropy[z == -10]) > 0.999
    shown = performance("losses")
    assert "The gradient by the logit" in shown.printed
    assert [path.name for path in shown.figures] == ["gradients.png"]
