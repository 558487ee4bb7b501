"""Decision boundaries: what a classifier answers all over a plane, with the points it was given."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunet.errors import ShapeError
from gpunet.viz import style
from gpunet.viz.confusion import check_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE, POINTS, ROOM = 3.4, 301, 0.15  # inches; of the grid along an axis; around the points
MARKS = "os^Dv<>"


def decision_boundary(
    answer: Callable[[np.ndarray], Any],
    x: Any,
    labels: Any,
    classes: Sequence[str],
    path: str | os.PathLike[str],
    *,
    title: str = "Decision boundary",
) -> Path:
    """Draw the regions of the answers, and points with the signs of their classes; returns `path`.

    Args:
        answer: of points (M, 2) the number of a class for each, in 0..K-1.
        x: (N, 2) points. labels: (N,) the class of each. classes: the K names, at most 7.
        path: the PNG file to write.
        title: the heading.

    Raises:
        ShapeError: x is not (N, 2), N > 0, with a label each, or an answer is missing.
        ArgumentError, DTypeError: a label or an answer is no class.
    """
    points, targets = np.asarray(x, float), np.asarray(labels)
    if points.shape != (len(targets), 2) or not len(points):
        rule = f"x must be (N, 2), N > 0, for {len(targets)} labels"
        raise ShapeError("decision_boundary", f"{rule}, got {points.shape}")
    check_labels("decision_boundary", "labels", targets, len(classes))
    low, high = points.min(axis=0), points.max(axis=0)
    room = ROOM * np.maximum(high - low, 1e-6)
    axes = [np.linspace(a, b, POINTS) for a, b in zip(low - room, high + room, strict=True)]
    grid = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
    answers = np.asarray(answer(grid))
    if answers.shape != (len(grid),):
        rule = f"answer must give shape ({len(grid)},), got {answers.shape}"
        raise ShapeError("decision_boundary", rule)
    check_labels("decision_boundary", "answers", answers, len(classes))
    regions = answers.reshape(POINTS, POINTS)
    return style.write(_draw(axes, regions, points, targets, classes, title), path)


@style.look()
def _draw(
    axes: Sequence[np.ndarray],
    regions: np.ndarray,
    points: np.ndarray,
    targets: np.ndarray,
    classes: Sequence[str],
    title: str,
) -> Figure:
    from matplotlib.colors import to_rgb

    names = max(style.width_of(name, style.NORMAL) for name in classes)
    figure = style.new_figure(0.6 + SIDE + 0.6 + names, SIDE + 1.2)
    style.add_title(figure, title)
    plane = style.add_axes(figure, 0.6, 0.45, SIDE, SIDE)
    plane.tick_params(pad=7)
    colours = style.palette(len(classes))
    pale = np.array([style.toward(to_rgb(colour), 0.25) for colour in colours])
    edges = (axes[0][0], axes[0][-1], axes[1][0], axes[1][-1])
    plane.imshow(pale[regions], extent=edges, origin="lower", aspect="auto")
    for k, name in enumerate(classes):
        own = points[targets == k]
        mark = MARKS[k % len(MARKS)]
        plane.plot(own[:, 0], own[:, 1], mark, color=colours[k], markersize=5, label=name)
        at = (1.04, 1 - 0.08 * (k + 0.5))
        plane.annotate(name, at, xycoords="axes fraction", color=colours[k], va="center")
    return figure
