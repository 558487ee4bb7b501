"""How gradients flow through a network: their norms, layer by layer, along training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunet.errors import ArgumentError
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gradient_flow(
    norms: Sequence[Mapping[str, float]], steps: Sequence[int], path: str | os.PathLike[str]
) -> Path:
    """Draw the norm of each parameter's gradient over the steps, in colour; returns `path`.

    A row is a parameter, the first layer on top; the colour is the logarithm of the norm. Rows that
    fade downwards or upwards are gradients that vanish or explode on their way; a norm of 0 is
    white.

    Args:
        norms: by parameter, at each step. steps: their numbers, rising.
        path: the PNG file to write.

    Raises:
        ArgumentError: there is nothing to draw.
    """
    if not norms or not norms[0] or len(norms) != len(steps):
        raise ArgumentError(
            "gradient_flow",
            f"norms must be some for each step, got {len(norms)} for {len(steps)} steps",
        )
    return style.write(_draw(norms, steps), path)


@style.look()
def _draw(norms: Sequence[Mapping[str, float]], steps: Sequence[int]) -> Figure:
    from matplotlib.ticker import MaxNLocator

    names = list(norms[0])
    values = np.array([[row.get(name, 0.0) for row in norms] for name in names])
    logarithms = np.log10(np.where(values > 0, values, np.nan))
    left = 0.4 + max(style.width_of(name, style.SMALL) for name in names)
    height = max(0.8, 0.2 * len(names))
    figure = style.new_figure(left + 6.0, height + 1.4)
    axes = style.add_axes(figure, left, 0.7, 4.6, height)
    style.add_title(figure, "Gradient flow")
    drawn = axes.imshow(
        logarithms,
        aspect="auto",
        interpolation="nearest",
        cmap="viridis",
        extent=(0, len(steps), len(names), 0),
    )
    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    places = np.unique(np.linspace(0, len(steps) - 1, min(6, len(steps))).round().astype(int))
    axes.set_xticks(places + 0.5, [f"{steps[i]:,}" for i in places])
    axes.set_xlabel("Step")
    bar = figure.colorbar(
        drawn, cax=style.add_axes(figure, left + 4.8, 0.7, 0.15, height), format=_power
    )
    bar.outline.set_visible(False)
    bar.ax.set_title("Norm", fontweight="normal", fontsize=style.SMALL, color=style.GREY)
    bar.ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return figure


def _power(value: float, _: Any = None) -> str:
    """A logarithm as the number it is of."""
    return f"{10.0**value:g}"
