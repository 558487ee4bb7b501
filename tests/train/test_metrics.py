"""Metrics, against their formulas written out in plain Python."""

import math
from itertools import product

import numpy as np
import pytest

from gpunet.errors import ArgumentError, ShapeError
from gpunet.train import metrics


@pytest.fixture(params=[0, 1, 2])
def answers(request) -> tuple[np.ndarray, np.ndarray]:
    """Scores (40, 4), half of them tied, and targets that leave the last class out."""
    generator = np.random.default_rng(request.param)
    return generator.integers(0, 6, (40, 4)) / 4, generator.integers(0, 3, 40)


def likeliest(row) -> int:
    return list(row).index(max(row))


def test_accuracy(answers) -> None:
    scores, targets = answers
    right = sum(likeliest(row) == t for row, t in zip(scores, targets, strict=True))
    assert metrics.accuracy(scores, targets) == right / 40


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_top_k(answers, k) -> None:
    scores, targets = answers
    right = sum(
        sum(other > row[t] for other in row) < k for row, t in zip(scores, targets, strict=True)
    )
    assert metrics.top_k_accuracy(scores, targets, k) == right / 40


def test_confusion_matrix(answers) -> None:
    scores, targets = answers
    said = [likeliest(row) for row in scores]
    expected = [
        [sum(t == i and s == j for t, s in zip(targets, said, strict=True)) for j in range(4)]
        for i in range(4)
    ]
    np.testing.assert_array_equal(metrics.confusion_matrix(np.array(said), targets, 4), expected)


def by_class(scores, targets) -> list[tuple[float, float, float]]:
    """Precision, recall and F1 of each class; 0 where there is nothing to divide by."""
    said, found = [likeliest(row) for row in scores], []
    for k in range(scores.shape[1]):
        right = sum(t == s == k for t, s in zip(targets, said, strict=True))
        precision = right / said.count(k) if said.count(k) else 0.0
        recall = right / list(targets).count(k) if list(targets).count(k) else 0.0
        both = precision + recall
        found.append((precision, recall, 2 * precision * recall / both if both else 0.0))
    return found


@pytest.mark.parametrize(("place", "name"), [(0, "precision"), (1, "recall"), (2, "f1")])
def test_of_classes(answers, place, name) -> None:
    expected = np.mean([figures[place] for figures in by_class(*answers)])
    assert getattr(metrics, name)(*answers) == pytest.approx(expected, rel=1e-14)


def test_roc_auc(answers) -> None:
    """Every pair of an example in the class and one out of it, a tie counting half."""
    scores, targets = answers
    areas = []
    for k in range(3):  # the last class has no examples
        inside, outside = scores[targets == k, k], scores[targets != k, k]
        pairs = [(a > b) + (a == b) / 2 for a, b in product(inside, outside)]
        areas.append(sum(pairs) / len(pairs))
    assert metrics.roc_auc(scores, targets) == pytest.approx(np.mean(areas), rel=1e-14)


def test_roc_auc_of_one_class() -> None:
    with pytest.raises(ArgumentError, match="targets must be of two classes at least, got one"):
        metrics.roc_auc(np.eye(3), np.zeros(3, int))


def test_r2() -> None:
    generator = np.random.default_rng(0)
    y, t = generator.standard_normal((2, 30, 2))
    explained = [
        1 - sum((t[:, i] - y[:, i]) ** 2) / sum((t[:, i] - sum(t[:, i]) / 30) ** 2)
        for i in range(2)
    ]
    assert metrics.r2(y, t) == pytest.approx(np.mean(explained), rel=1e-12)
    assert metrics.r2(t, t) == 1.0
    assert not math.isfinite(metrics.r2(y, np.ones_like(y)))
    with pytest.raises(ShapeError, match=r"targets must have shape \(30, 2\), got \(30,\)"):
        metrics.r2(y, t[:, 0])


def test_perplexity() -> None:
    """A uniform guess among seven is as good as a guess among seven."""
    assert metrics.perplexity(-math.log(1 / 7)) == pytest.approx(7, rel=1e-15)
    assert metrics.perplexity(1e4) == math.inf


@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "f1", "roc_auc"])
def test_shapes_are_checked(name) -> None:
    for scores, targets in ((np.ones(3), np.ones(3, int)), (np.ones((0, 3)), np.ones(0, int))):
        with pytest.raises(ShapeError, match=rf"{name}: scores must have shape \(N, K\) and"):
            getattr(metrics, name)(scores, targets)
    with pytest.raises(ArgumentError, match=r"k must be in 1..3, got 4"):
        metrics.top_k_accuracy(np.ones((2, 3)), np.ones(2, int), 4)
