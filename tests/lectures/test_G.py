"""Approximation: the rows G1 to G4 of docs/lectures.md."""

from __future__ import annotations

import numpy as np
import pytest

import gpunet
from gpunet.models import universal
from gpunet.recipes.approximation import EPSILONS, FUNCTIONS
from tests.lectures.test_E import figure


def test_G1_step_neurons_by_hand(demo, performance) -> None:
    """Values on the three steps: 0.4, 0.8, 1.5."""
    results = demo("step_neurons")
    np.testing.assert_allclose(results["stairs"], [0.4, 0.8, 1.5], rtol=1e-12)
    errors = list(results["errors"].values())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.03
    figure(performance, "step_neurons", "staircase.png")


def test_G2_the_theorem_builds_the_network(demo, performance) -> None:
    """Three functions, ε = 0.1, 0.03, 0.01: the largest error on a dense grid is below ε."""
    assert len(FUNCTIONS) == 3
    assert EPSILONS == (0.1, 0.03, 0.01)
    results = demo("approximation")
    for name in FUNCTIONS:
        for eps in EPSILONS:
            assert 0 < results["errors"][name, eps] < eps
        counts = [results["neurons"][name, eps] for eps in EPSILONS]
        assert counts == sorted(counts)
        assert 7 < counts[2] / counts[0] < 15  # as 1/ε
    figure(performance, "approximation", "neurons.png")
    figure(performance, "approximation", "built.png")


def test_G2_on_a_grid_of_our_own() -> None:
    for f, a, b in FUNCTIONS.values():
        network = universal.build(f, a, b, 0.1, "float64")
        x = np.linspace(a, b, 7919)
        with gpunet.no_grad():
            y = network(gpunet.tensor(x[:, None])).numpy()[:, 0]
        assert np.abs(y - f(x)).max() < 0.1


def test_G3_trained_the_error_falls_as_neurons_grow(demo, performance) -> None:
    results = demo("trained_approximation")
    errors = list(results["errors"].values())
    assert len(errors) >= 4
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 * errors[0]
    x = np.linspace(-np.pi, np.pi, 201)
    slope = (x @ np.sin(x)) / (x @ x)  # of the best line, which goes through 0
    best = np.sqrt(np.mean((np.sin(x) - slope * x) ** 2))
    assert results["sine"]["line"] == pytest.approx(best, rel=1e-6)
    assert results["sine"]["network"] < 0.05 * best
    figure(performance, "trained_approximation", "trained.png")
    figure(performance, "trained_approximation", "sine.png")


def test_G4_digits_come_together_in_the_last_hidden_layer(demo, performance) -> None:
    """Within-class cosine similarity before and after, and the projection."""
    results = demo("representations")
    (before, before_others), (after, after_others) = results["pixels"], results["hidden"]
    assert before < 0.5
    assert after > 0.75
    assert after - after_others > 1.5 * (before - before_others)
    figure(performance, "representations", "projection.png")
