"""How good answers are: figures of arrays on the host, each the formula of its name.

Where a ratio has nothing to divide by, such as the precision of a class that is never said, it
counts as 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gpunet.errors import ArgumentError, ShapeError

Floats = NDArray[np.floating]
Labels = NDArray[np.integer]


def accuracy(scores: Floats, targets: Labels) -> float:
    """The share of examples whose largest score is that of their class.

    Shapes: scores (N, K), targets (N,).
    """
    return float((_scores("accuracy", scores, targets).argmax(1) == targets).mean())


def top_k_accuracy(scores: Floats, targets: Labels, k: int) -> float:
    """The share of examples with fewer than `k` scores above that of their class.

    Shapes: scores (N, K), targets (N,).

    Args:
        k: from 1 to K.
    """
    if not 1 <= k <= scores.shape[1]:
        raise ArgumentError("top_k_accuracy", f"k must be in 1..{scores.shape[1]}, got {k}")
    own = _scores("top_k_accuracy", scores, targets)[np.arange(len(targets)), targets]
    return float(((scores > own[:, None]).sum(1) < k).mean())


def confusion_matrix(predictions: Labels, targets: Labels, classes: int) -> NDArray[np.int64]:
    """(K, K): how often class `row` was taken for class `column`.

    Shapes: predictions (N,), targets (N,), each in 0..K-1.
    """
    pairs = targets * classes + predictions
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def precision(scores: Floats, targets: Labels) -> float:
    """Right answers of a class / answers of it; the mean over the classes.

    Shapes: scores (N, K), targets (N,).
    """
    right, said, _ = _counts("precision", scores, targets)
    return float(_ratio(right, said).mean())


def recall(scores: Floats, targets: Labels) -> float:
    """Right answers of a class / examples of it; the mean over the classes.

    Shapes: scores (N, K), targets (N,).
    """
    right, _, there = _counts("recall", scores, targets)
    return float(_ratio(right, there).mean())


def f1(scores: Floats, targets: Labels) -> float:
    """2·precision·recall / (precision + recall) of a class; the mean over the classes.

    Shapes: scores (N, K), targets (N,).
    """
    right, said, there = _counts("f1", scores, targets)
    return float(_ratio(2 * right, said + there).mean())


def roc_auc(scores: Floats, targets: Labels) -> float:
    """How probably an example of a class scores above one of another, a tie counting half.

    It is the area under the curve of true over false positives. The mean over the classes that
    have examples in and out of them.

    Shapes: scores (N, K), targets (N,).

    Source: Hanley & McNeil, Radiology 143 (1982).
    """
    _scores("roc_auc", scores, targets)
    areas = []
    for k in range(scores.shape[1]):
        inside = targets == k
        n, m = int(inside.sum()), int((~inside).sum())
        if n and m:
            _, place, counts = np.unique(scores[:, k], return_inverse=True, return_counts=True)
            ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # from 1, ties share theirs
            areas.append((ranks[inside].sum() - n * (n + 1) / 2) / (n * m))
    if not areas:
        raise ArgumentError("roc_auc", "targets must be of two classes at least, got one")
    return float(np.mean(areas))


def r2(predictions: Floats, targets: Floats) -> float:
    """1 − Σ(t − y)² / Σ(t − mean t)²: the share of the targets' variance that is explained.

    The mean over the columns where there are several; not finite where a column is constant.

    Shapes: predictions (N, ...), targets the same.
    """
    if predictions.shape != targets.shape:
        raise ShapeError("r2", f"targets must have shape {predictions.shape}, got {targets.shape}")
    t = targets.astype(np.float64)
    rest, all_of_it = ((t - predictions) ** 2).sum(0), ((t - t.mean(0)) ** 2).sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean(1 - rest / all_of_it))


def perplexity(loss: float) -> float:
    """exp of a mean cross entropy in nats: among how many symbols the model as good as guesses."""
    return math.exp(loss) if loss < 709 else math.inf


def _scores(operation: str, scores: Floats, targets: Labels) -> Floats:
    if scores.ndim != 2 or targets.shape != scores.shape[:1] or not len(targets):
        raise ShapeError(
            operation,
            f"scores must have shape (N, K) and targets (N,), N > 0, "
            f"got {scores.shape} and {targets.shape}",
        )
    return scores


def _counts(
    operation: str, scores: Floats, targets: Labels
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each class: right answers, answers, examples."""
    predictions = _scores(operation, scores, targets).argmax(1)
    counts = confusion_matrix(predictions, targets, scores.shape[1])
    return counts.diagonal(), counts.sum(0), counts.sum(1)


def _ratio(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)
