"""Confusion matrices: which class is taken for which."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunet.errors import ArgumentError, DTypeError, ShapeError
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_WITH_NUMBERS = 30  # classes; with more of them the numbers would be too small to read
CENTRE: dict[str, Any] = {
    "horizontalalignment": "center",
    "verticalalignment": "center_baseline",
}


def confusion_matrix(
    targets: Sequence[int] | np.ndarray,
    predictions: Sequence[int] | np.ndarray,
    classes: Sequence[str],
    path: str | os.PathLike[str],
    *,
    text: style.Words = str,
) -> Path:
    """Draw how often each class (row) was taken for each class (column); returns `path`.

    A colour is the share of its row, on a square-root scale so that rare mistakes show. The margin
    has the recall of each class: the share of it that was recognised.

    Args:
        targets: (N,) the true classes, 0..K-1.
        predictions: (N,) the predicted classes, 0..K-1.
        classes: the K names.
        path: the PNG file to write.
        text: gives what is shown in place of each English text; the same by default.

    Raises:
        ShapeError: the two are empty, or differ in shape.
        DTypeError: they are no integers.
        ArgumentError: a label is not in 0..K-1.
    """
    return style.write(_draw(targets, predictions, classes, text), path)


@style.look()
def _draw(
    targets: Sequence[int] | np.ndarray,
    predictions: Sequence[int] | np.ndarray,
    classes: Sequence[str],
    text: style.Words = str,
) -> Figure:
    """The figure: the matrix, the names left and below, the recalls right, the accuracy above."""
    counts = _count(np.asarray(targets), np.asarray(predictions), len(classes))
    right, total = np.trace(counts), counts.sum()
    title = text("Accuracy {}  ({:,} of {:,})").format(
        style.percent(right / total, 2), right, total
    )
    cell = min(0.5, 12 / len(classes))  # inches
    points = min(style.NORMAL, 72 * 0.7 * cell)
    longest = max(style.width_of(name, points) for name in classes)
    slanted = longest > 0.9 * cell
    side, left, below = (
        cell * len(classes),
        longest + 0.6,
        0.5 + max(0.15, 0.75 * longest * slanted),
    )
    width = max(left + side + 1.0, 1.2 * style.width_of(title, style.LARGE) + 0.5)
    figure = style.new_figure(width, below + side + 0.9)
    axes = style.add_axes(figure, left, below, side, side)
    style.add_title(figure, title)
    _fill(axes, counts, points, text)
    for axis, word in ((axes.xaxis, "Predicted class"), (axes.yaxis, "True class")):
        axis.set_ticks(range(len(classes)), classes, fontsize=points, color=style.INK)
        axis.set_label_text(text(word))
    if slanted:
        for label in axes.get_xticklabels():
            label.set(rotation=45, horizontalalignment="right", rotation_mode="anchor")
    return figure


def _fill(axes: Axes, counts: np.ndarray, points: float, text: style.Words) -> None:
    """The coloured cells with their counts, and the recalls beside them."""
    size, totals = len(counts), counts.sum(1)
    share = counts / np.maximum(totals, 1)[:, None]
    axes.imshow(_colours(share), interpolation="nearest")
    axes.spines[:].set_visible(False)
    edges = np.arange(size + 1) - 0.5
    axes.hlines(edges, -0.5, size - 0.5, color=style.FAINT, linewidth=0.8)
    axes.vlines(edges, -0.5, size - 0.5, color=style.FAINT, linewidth=0.8)
    if size > MOST_WITH_NUMBERS:
        return
    number = text("{:,}")
    for row, column in np.argwhere(counts):
        colour = style.PAPER if row == column and share[row, row] > 0.6 else style.INK
        axes.text(
            column,
            row,
            number.format(counts[row, column]),
            fontsize=points - 1,
            color=colour,
            **CENTRE,
        )
    for row in range(size):
        recall = style.percent(share[row, row], 1) if totals[row] else "–"
        axes.text(size + 0.5, row, recall, fontsize=points, **CENTRE)
    axes.text(size + 0.5, -0.9, text("Recall"), fontsize=points, color=style.GREY, **CENTRE)


def _colours(share: np.ndarray) -> np.ndarray:
    """(K, K, 3) from the paper to blue for what is right, to vermillion for what is not."""
    from matplotlib.colors import to_rgb

    right = np.eye(len(share), dtype=bool)[..., None]
    full = np.where(right, to_rgb(style.BLUE), to_rgb(style.VERMILLION))
    return style.toward(full, np.sqrt(share)[..., None])


def _count(targets: np.ndarray, predictions: np.ndarray, size: int) -> np.ndarray:
    """(K, K) how often class `row` was predicted as class `column`."""
    if targets.shape != predictions.shape or targets.ndim != 1 or not targets.size:
        rule = "targets and predictions must both have shape (N,), N > 0"
        raise ShapeError("confusion_matrix", f"{rule}, got {targets.shape} and {predictions.shape}")
    check_labels("confusion_matrix", "targets", targets, size)
    check_labels("confusion_matrix", "predictions", predictions, size)
    return np.bincount(targets * size + predictions, minlength=size * size).reshape(size, size)


def check_labels(operation: str, name: str, labels: np.ndarray, size: int) -> None:
    """Refuse labels that are not the number of one of `size` classes."""
    if labels.dtype.kind not in "iu":
        raise DTypeError(operation, f"{name} must be integers, got {labels.dtype}")
    if labels.min() < 0 or labels.max() >= size:
        problem = f"{name} must be in 0..{size - 1}, got {labels.min()}..{labels.max()}"
        raise ArgumentError(operation, problem)
