"""Points of many dimensions, laid flat: by where they differ most, or by who is near to whom."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunet.errors import ArgumentError, MissingPackageError, ShapeError
from gpunet.viz import style
from gpunet.viz.confusion import check_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 3.6  # inches of a panel
MARKS = ("o", "s", "^")  # a second sign beside the colours, of which there are seven


def pca(x: Any, dimensions: int = 2) -> np.ndarray:
    """Principal components of points: (N, D) to (N, dimensions), by descending variance.

    The points are centred and projected on their first right singular vectors, each turned so that
    its largest coordinate is above 0.

    Raises:
        ShapeError: x is not (N, D) with N and D at least `dimensions`, which is at least 1.

    >>> pca([[0.0, 0.0, 1.0], [1.0, 1.0, 1.0], [2.0, 2.0, 1.0]], 1).round(3).tolist()
    [[-1.414], [0.0], [1.414]]
    """
    points = np.asarray(x, float)
    if points.ndim != 2 or not 1 <= dimensions <= min(points.shape):
        rule = f"x must be (N, D), both at least dimensions = {dimensions} >= 1"
        raise ShapeError("pca", f"{rule}, got {points.shape}")
    centred = points - points.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:dimensions]
    largest = np.take_along_axis(directions, abs(directions).argmax(1, keepdims=True), 1)
    flat: np.ndarray = centred @ (directions * np.where(largest < 0, -1.0, 1.0)).T
    return flat


def tsne(x: Any, *, perplexity: float = 30.0, seed: int = 0) -> np.ndarray:
    """Points laid flat so that neighbours stay neighbours: (N, D) to (N, 2).

    Distances between groups say little, and there are no axes; a group of points that lie together
    is a group in all D dimensions. It begins with the principal components. Scikit-learn's, for
    `projection` of what this returns.

    Args:
        perplexity: how many neighbours count, about; above 0 and below N.
        seed: of the random numbers.

    Raises:
        ShapeError: x is not (N, D) with N and D at least 2.
        ArgumentError: the perplexity is not in this range.
        MissingPackageError: scikit-learn is not installed.

    Source: van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 9, 2008.
    """
    points = np.asarray(x, np.float32)
    if points.ndim != 2 or min(points.shape) < 2:
        raise ShapeError("tsne", f"x must be (N, D), both at least 2, got {points.shape}")
    if not 0 < perplexity < len(points):
        problem = f"perplexity must be in 0..{len(points)}, without its ends, got {perplexity:g}"
        raise ArgumentError("tsne", problem)
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits  # comes with scikit-learn
    except ImportError as error:
        how = "pip install 'gpunet[sklearn]'"
        problem = f"t-SNE needs scikit-learn, which is missing: {how}"
        raise MissingPackageError("tsne", problem) from error
    # Its threads wait for one another without rest: beside other programs that takes minutes.
    with threadpool_limits(1):
        flat: np.ndarray = TSNE(perplexity=perplexity, random_state=seed).fit_transform(points)
    return flat


def projection(
    points: Mapping[str, Any],
    labels: Any,
    classes: Sequence[str],
    path: str | os.PathLike[str],
    *,
    title: str = "Two principal components",
) -> Path:
    """Draw points by class, a panel for each way of describing them; returns `path`.

    What has more than two dimensions is projected by `pca`; `tsne` gives two. The name of a class
    stands in the middle of its points.

    Args:
        points: by title, (N, D) each, such as pixels and what a hidden layer makes of them.
        labels: (N,) the class of each, in 0..K-1. classes: the K names.
        path: the PNG file to write.
        title: the heading.

    Raises:
        ArgumentError, DTypeError: there is nothing to draw, or a label is no class.
        ShapeError: points are not (N, D) with D at least 2.
    """
    targets = np.asarray(labels)
    if not points or not targets.size:
        raise ArgumentError("projection", f"points must be some, got {len(points)} panels")
    check_labels("projection", "labels", targets, len(classes))
    for name, x in points.items():
        if np.ndim(x) != 2 or len(x) != len(targets):
            problem = f"{name} must be (N, D) for {len(targets)} labels, got {np.shape(x)}"
            raise ShapeError("projection", problem)
    return style.write(_draw(points, targets, classes, title), path)


@style.look()
def _draw(
    points: Mapping[str, Any], targets: np.ndarray, classes: Sequence[str], title: str
) -> Figure:
    across = max(0.5 + len(points) * (SIDE + 0.25), 1.2 * style.width_of(title, style.LARGE) + 0.5)
    figure = style.new_figure(across, SIDE + 1.2)
    style.add_title(figure, title)
    for column, (name, x) in enumerate(points.items()):
        axes = style.add_axes(figure, 0.25 + column * (SIDE + 0.25), 0.25, SIDE, SIDE)
        flat = np.asarray(x, float) if np.shape(x)[1] == 2 else pca(x)
        axes.set_title(name)
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(visible=True, color=style.LIGHT, linewidth=0.6)
        _add_points(axes, flat, targets, classes)
    return figure


def _add_points(axes: Axes, flat: np.ndarray, targets: np.ndarray, classes: Sequence[str]) -> None:
    from matplotlib.patheffects import withStroke

    colours = style.palette(len(classes))
    for k, name in enumerate(classes):
        own = flat[targets == k]
        if not len(own):
            continue
        mark = MARKS[k // 7 % len(MARKS)]
        axes.scatter(
            own[:, 0], own[:, 1], s=9, marker=mark, color=colours[k], alpha=0.55, linewidths=0
        )
        axes.annotate(
            name,
            tuple(np.median(own, axis=0)),
            ha="center",
            va="center",
            fontsize=style.LARGE,
            fontweight="bold",
            color=colours[k],
            path_effects=[withStroke(linewidth=3, foreground=style.PAPER)],
        )
