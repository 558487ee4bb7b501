"""Depth, vanishing and exploding gradients: the rows E1 to E5 of docs/lectures.md."""

from __future__ import annotations

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import nn
from gpunet.train.config import DiagnosticsConfig


def figure(performance, name: str, file: str) -> None:
    """The demonstration has written this figure."""
    (path,) = (path for path in performance(name).figures if path.name == file)
    assert path.stat().st_size > 10_000


def test_E1_tanh_has_no_slope_far_from_0(demo) -> None:
    """tanh'(t) < 1e-8 for |t| > 10, and not at 9."""
    t = np.concatenate([np.linspace(-40, -10.001, 999), np.linspace(10.001, 40, 999)])
    x = gpunet.tensor(t, requires_grad=True)
    F.tanh(x).sum().backward()
    assert 0 <= x.grad.min().item() <= x.grad.max().item() < 1e-8
    slopes = demo("vanishing")["slopes"]
    assert slopes[10.0] < 1e-8 < slopes[5.0]
    for at, slope in slopes.items():
        assert slope == pytest.approx(1 / np.cosh(at) ** 2, rel=1e-12, abs=1e-16)


def test_E2_gradients_in_100_tanh_layers(demo, performance) -> None:
    results = demo("vanishing")
    small, large = results["small"], results["large"]
    assert len(small) == len(large) == 100
    assert 0 < small[0] / small[-1] < 1e-10
    assert large[0] / large[-1] > 1e10
    figure(performance, "vanishing", "depth.png")


def test_E3_each_remedy_moves_the_picture(demo, performance) -> None:
    results = demo("vanishing")
    for remedy in ("ReLU", "Xavier", "BatchNorm", "residual"):
        norms = results[remedy]
        assert len(norms) == 100
        assert 1e-3 < norms[0] / norms[-1] < 1e5, remedy
    clipped, large = results["clipped"], results["large"]
    assert np.linalg.norm(large) > 1e10
    assert np.linalg.norm(clipped) <= 1.001
    np.testing.assert_allclose(clipped / clipped.max(), large / large.max(), rtol=1e-4)
    figure(performance, "vanishing", "remedies.png")


def test_E4_dying_relu(demo, performance) -> None:
    """Reported during training by a switch; Leaky ReLU and ELU lose no unit."""
    results = demo("dying_relu")
    silent, dead = results["silent"], results["dead"]
    assert silent["ReLU", 0.02] > 0.3
    assert silent["ReLU", 0.02] > silent["ReLU", 0.002]
    assert silent["LeakyReLU", 0.02] == silent["ELU", 0.02] == 0
    assert len(dead[0.02]) >= 10  # during training, not after it
    assert dead[0.02][-1] > 30
    assert not DiagnosticsConfig().dead_units  # a switch, off by default
    figure(performance, "dying_relu", "dead_units.png")


def test_E5_variances_of_initial_weights(demo, performance) -> None:
    """2/(n_in + n_out) and 2/n_in, uniform and normal; the spread by layer plotted."""
    results = demo("initialization")
    assert len(results["variance"]) == 4
    for name, (drawn, promised) in results["variance"].items():
        assert promised == pytest.approx({"X": 2 / 1000, "H": 2 / 600}[name[0]])
        assert drawn == pytest.approx(promised, rel=0.02)  # 7 σ of the variance of 240,000 draws
    for name, (largest, bound) in results["bound"].items():
        assert (largest <= bound * (1 + 1e-6)) == ("uniform" in name)
    spread = {name: np.array(layers) for name, layers in results["spread"].items()}
    assert spread["tanh"][-1] > 0.1
    assert 0.5 < spread["ReLU"][-1] / spread["ReLU"][0] < 2
    assert spread["tanh small"][-1] < 1e-8
    assert spread["ReLU Xavier"][-1] < 1e-2 * spread["ReLU Xavier"][0]
    assert spread["ReLU large"][-1] > 100 * spread["ReLU large"][0]
    assert results["saturated"] > 0.5
    figure(performance, "initialization", "spread.png")


def test_E5_by_the_formula_for_convolutions() -> None:
    """n_in and n_out count the receptive field."""
    gpunet.manual_seed(1)
    weight = nn.Conv2d(30, 60, 5).weight
    for draw, variance in (
        (nn.init.xavier_normal_, 2 / (25 * 30 + 25 * 60)),
        (lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"), 2 / (25 * 30)),
    ):
        draw(weight)
        assert weight.detach().numpy().var() == pytest.approx(variance, rel=0.03)
