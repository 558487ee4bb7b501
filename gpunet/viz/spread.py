"""How widely the outputs of each layer are spread: whether a signal fades or grows with depth."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunet.errors import ArgumentError
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, WIDTH, HEIGHT = 3, 2.9, 1.9  # panels in a row, and their inches
BANDS = ((1, 0.18), (10, 0.3), (25, 0.5))  # from this percentile to its mirror, and how dark


def activation_spread(
    outputs: Mapping[str, Sequence[Any]],
    path: str | os.PathLike[str],
    *,
    title: str = "Spread of activations",
    x_label: str = "Layer",
    note: str = "bands: 1–99 %, 10–90 %, 25–75 % of the values; line: median",
) -> Path:
    """Draw what lies between percentiles of each layer's outputs; returns `path`.

    Panels have axes of their own, for what fades in one network may explode in another.

    Args:
        outputs: of each network, by name: an array of any shape for each of its layers, in order.
        path: the PNG file to write.
        title, x_label, note: the heading, the axis, and the legend.

    Raises:
        ArgumentError: there is nothing to draw, or an output is empty or not finite.
    """
    if not outputs or not all(map(len, outputs.values())):
        raise ArgumentError("activation_spread", "outputs must hold layers for each network")
    for name, layers in outputs.items():
        for number, values in enumerate(layers, 1):
            if not np.size(values) or not np.isfinite(values).all():
                problem = f"outputs must be finite, got others in layer {number} of {name!r}"
                raise ArgumentError("activation_spread", problem)
    return style.write(_draw(outputs, title, x_label, note), path)


@style.look()
def _draw(outputs: Mapping[str, Sequence[Any]], title: str, x_label: str, note: str) -> Figure:
    from matplotlib.ticker import MaxNLocator

    columns = min(COLUMNS, len(outputs))
    rows = math.ceil(len(outputs) / columns)
    width = max(0.2 + columns * (WIDTH + 0.75), style.width_of(note, style.SMALL) + 0.6)
    height = 1.0 + rows * (HEIGHT + 0.7)
    figure = style.new_figure(width, height)
    style.add_title(figure, title)
    style.add_note(figure, 0.25, 0.65, note)
    for i, (name, layers) in enumerate(outputs.items()):
        row, column = divmod(i, columns)
        bottom = 0.5 + (rows - 1 - row) * (HEIGHT + 0.7)
        axes = style.add_axes(figure, 0.75 + column * (WIDTH + 0.75), bottom, WIDTH, HEIGHT)
        at = np.arange(1, len(layers) + 1)
        for low, share in BANDS:
            bounds = [np.percentile(values, (low, 100 - low)) for values in layers]
            axes.fill_between(at, *np.transpose(bounds), color=style.BLUE, alpha=share, linewidth=0)
        medians = [float(np.median(values)) for values in layers]
        axes.plot(at, medians, color=style.BLUE, linewidth=1.4)
        axes.set_title(name)
        axes.set_xlim(1, max(len(layers), 2))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(axis="y")
        if i + columns >= len(outputs):
            axes.set_xlabel(x_label)
    return figure
