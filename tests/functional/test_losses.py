"""What lectures say of losses, in numbers."""

import math

import numpy as np
import pytest

import gpunet
from gpunet import functional as F

# Two models, asked for the class of the same three examples; both are wrong on one of them.
TARGETS = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
MODELS = {
    "barely right, clearly wrong": [[0.3, 0.3, 0.4], [0.3, 0.4, 0.3], [0.1, 0.2, 0.7]],
    "clearly right, barely wrong": [[0.1, 0.2, 0.7], [0.1, 0.7, 0.2], [0.3, 0.4, 0.3]],
}


@pytest.mark.parametrize(
    ("model", "entropy", "squares"),
    [("barely right, clearly wrong", 1.378, 0.403), ("clearly right, barely wrong", 0.639, 0.170)],
)
def test_losses_tell_apart_what_the_error_does_not(model, entropy, squares) -> None:
    p, t = gpunet.tensor(np.array(MODELS[model])), gpunet.tensor(TARGETS)
    wrong = p.numpy().argmax(1) != TARGETS.argmax(1)
    assert wrong.mean() == 1 / 3
    labels = gpunet.tensor(TARGETS.argmax(1))
    of_labels, of_shares = F.nll_loss(p.log(), labels), F.cross_entropy(p.log(), t)
    assert round(of_labels.item(), 3) == round(of_shares.item(), 3) == entropy
    half_squares = 0.5 * F.mse_loss(p, t, reduction="sum") / len(TARGETS)
    assert round(half_squares.item(), 3) == squares


def test_half_the_sum_of_squares_has_the_error_as_its_gradient() -> None:
    y, t = gpunet.tensor([0.5, 2.0, -1.0], requires_grad=True), gpunet.tensor([1.0, 2.0, 3.0])
    (0.5 * F.mse_loss(y, t, reduction="sum")).backward()
    np.testing.assert_array_equal(y.grad.numpy(), [-0.5, 0.0, -4.0])


def test_gradient_of_the_logistic_loss() -> None:
    """∂/∂w log(1 + e^(−y·wᵀx)) = −y·x·(1 − σ(y·wᵀx)), for labels y of −1 and 1."""
    rng = np.random.default_rng(0)
    x, y, w = rng.standard_normal((6, 3)), np.array([1.0, -1, 1, 1, -1, -1]), rng.standard_normal(3)
    weights = gpunet.tensor(w, requires_grad=True)
    scores = gpunet.tensor(x) @ weights.reshape(3, 1)
    F.soft_margin_loss(scores, gpunet.tensor(y[:, None]), "sum").backward()
    right = 1 / (1 + np.exp(-y * (x @ w)))
    expected = -(y[:, None] * x * (1 - right)[:, None]).sum(0)
    np.testing.assert_allclose(weights.grad.numpy(), expected, rtol=1e-14)


def test_confidently_wrong() -> None:
    """σ(−20) for a target of 1: squares barely move it, cross entropy as fast as it can."""
    score = -20.0
    slopes = {}
    for name, loss in {
        "squares": lambda x, t: F.mse_loss(x.sigmoid(), t),
        "probability": lambda x, t: F.binary_cross_entropy(x.sigmoid(), t),
        "score": F.binary_cross_entropy_with_logits,
    }.items():
        x = gpunet.tensor([score], requires_grad=True, dtype="float64")
        loss(x, gpunet.tensor([1.0], dtype="float64")).backward()
        slopes[name] = x.grad.item()
    p = 1 / (1 + math.exp(-score))
    assert math.isclose(slopes["squares"], -2 * (1 - p) ** 2 * p, rel_tol=1e-12)
    assert abs(slopes["squares"]) < 1e-8
    assert math.isclose(slopes["score"], p - 1, rel_tol=1e-12)
    assert math.isclose(slopes["probability"], p - 1, rel_tol=1e-12)


def test_a_saturated_probability_tells_less_than_its_score() -> None:
    """In float32 σ(−200) is 0: the logarithm is cut off, and only the score still has a slope."""
    x, t = gpunet.tensor([-200.0], requires_grad=True), gpunet.tensor([1.0])
    assert F.binary_cross_entropy(x.sigmoid(), t).item() == 100.0
    assert F.binary_cross_entropy_with_logits(x, t).item() == 200.0
    F.binary_cross_entropy_with_logits(x, t).backward()
    assert x.grad.item() == -1.0


def test_weights_that_require_a_gradient() -> None:
    """PyTorch has none for these weights; without recording nobody asks."""
    w, x = gpunet.tensor([1.0, 2.0], requires_grad=True), gpunet.tensor([[0.5, 0.25]])
    labels = gpunet.tensor([1])
    losses = {
        "nll_loss": lambda: F.nll_loss(x, labels, weight=w),
        "cross_entropy": lambda: F.cross_entropy(x, labels, weight=w),
        "multi_margin_loss": lambda: F.multi_margin_loss(x, labels, weight=w),
        "binary_cross_entropy": lambda: F.binary_cross_entropy(x, x, weight=w),
        "binary_cross_entropy_with_logits": lambda: F.binary_cross_entropy_with_logits(
            x, x, pos_weight=w
        ),
        "soft_margin_loss": lambda: F.soft_margin_loss(x, w),
    }
    for name, loss in losses.items():
        rule = "must not require a gradient, got one that does"
        with pytest.raises(gpunet.errors.ArgumentError, match=rf"^{name}: \w+ {rule}"):
            loss()
        with gpunet.no_grad():
            assert math.isfinite(loss().item())


@pytest.mark.parametrize(
    ("x", "t", "dtype"),
    [
        ("float32", "float64", "float64"),
        ("float16", "float32", "float32"),
        ("float32", "int64", "float32"),
    ],
)
def test_dtypes_meet(x, t, dtype) -> None:
    scores = gpunet.tensor([0.5, -1.0], dtype=x, requires_grad=True)
    target = gpunet.tensor([1.0, -1.0], dtype=t)
    losses = F.mse_loss(scores, target), F.smooth_l1_loss(scores, target)
    losses += F.poisson_nll_loss(scores, target), F.margin_ranking_loss(scores, scores, target)
    for loss in losses:
        assert loss.dtype == dtype
    labelled = F.soft_margin_loss(scores, target), F.hinge_embedding_loss(scores, target)
    for loss in labelled:
        assert loss.dtype == x
    sum(loss.double() for loss in losses + labelled).backward()
    assert scores.grad.dtype == x
