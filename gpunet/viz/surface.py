"""A loss of two parameters as a landscape, and the ways that optimizers take through it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunet.errors import ArgumentError, ShapeError
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, WIDTH, HEIGHT = 4, 2.7, 1.9  # panels in a row, and their inches
LEVELS, POINTS = 14, 241

Loss = Callable[[Any, Any], Any]


def loss_surface(
    loss: Loss,
    paths: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    span: tuple[float, float, float, float],
    title: str = "Loss surface",
) -> Path:
    """Draw the contours of a loss with one optimizer's path on each panel; returns `path`.

    Contours are evenly spaced in the logarithm of the loss above its least value. A path begins at
    a ring and ends at a disc; a cross is the lowest point of the area.

    Args:
        loss: of two arrays, both parameters at many points at once; any shape.
        paths: by name, each (T, 2), where the parameters were at each step.
        path: the PNG file to write.
        span: the area, (least x, greatest x, least y, greatest y).
        title: the heading.

    Raises:
        ArgumentError: there is no path, the area is empty, or the loss is not finite in it.
        ShapeError: a path is not (T, 2).
    """
    left, right, low, high = span
    if not (paths and left < right and low < high):
        problem = f"paths must be some, and span an area, got {len(paths)} and {span}"
        raise ArgumentError("loss_surface", problem)
    ways = {name: np.asarray(way, float) for name, way in paths.items()}
    for name, way in ways.items():
        if way.ndim != 2 or way.shape[1] != 2 or not len(way):
            raise ShapeError("loss_surface", f"{name} must be (T, 2), got {way.shape}")
    x, y = np.linspace(left, right, POINTS), np.linspace(low, high, POINTS)
    z = np.asarray(loss(*np.meshgrid(x, y)), float)
    if not np.isfinite(z).all():
        raise ArgumentError("loss_surface", "loss must be finite within span")
    return style.write(_draw(x, y, z, ways, title), path)


@style.look()
def _draw(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, ways: Mapping[str, np.ndarray], title: str
) -> Figure:
    columns = min(COLUMNS, len(ways))
    rows = math.ceil(len(ways) / columns)
    figure = style.new_figure(0.65 + columns * (WIDTH + 0.25), 0.75 + rows * (HEIGHT + 0.65))
    style.add_title(figure, title)
    lowest = np.unravel_index(z.argmin(), z.shape)
    heights = np.log10(z - z.min() + 1e-3 * (z.max() - z.min()))
    for i, (name, way) in enumerate(ways.items()):
        row, column = divmod(i, columns)
        bottom = 0.45 + (rows - 1 - row) * (HEIGHT + 0.65)
        axes = style.add_axes(figure, 0.55 + column * (WIDTH + 0.25), bottom, WIDTH, HEIGHT)
        axes.contourf(x, y, heights, LEVELS, cmap=_shades(), zorder=0)
        axes.plot(*way.T, color=style.VERMILLION, linewidth=1.2, marker=".", markersize=3)
        axes.plot(*way[0], "o", color=style.INK, markerfacecolor="none", markersize=7)
        axes.plot(*way[-1], "o", color=style.VERMILLION, markersize=6)
        axes.plot(x[lowest[1]], y[lowest[0]], "x", color=style.INK, markersize=7)
        axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
        axes.set_title(name, pad=5)
        axes.tick_params(pad=6, labelleft=column == 0, labelbottom=i + columns >= len(ways))
    return figure


def _shades() -> Any:
    """From a pale blue in the valley to the paper on the heights."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    blue = to_rgb(style.BLUE)
    return LinearSegmentedColormap.from_list(
        "valley", [style.toward(blue, 0.75), style.toward(blue, 0.0)]
    )
