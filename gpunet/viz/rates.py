"""The loss over the learning rate, from a sweep of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpunet.errors import ShapeError
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_rates(
    rates: Sequence[float],
    losses: Sequence[float],
    suggestion: float,
    path: str | os.PathLike[str],
) -> Path:
    """Draw the loss over the learning rate, with the suggested rate marked; returns `path`.

    Args:
        rates: those tried, above 0. losses: at each of them.
        suggestion: the rate to be marked.
        path: the PNG file to write.

    Raises:
        ShapeError: there is not one loss for each rate, or none at all.
    """
    if len(rates) != len(losses) or not len(rates):
        raise ShapeError(
            "learning_rates",
            f"losses must be one for each rate, got {len(losses)} for {len(rates)}",
        )
    return style.write(_draw(rates, losses, suggestion), path)


@style.look()
def _draw(rates: Sequence[float], losses: Sequence[float], suggestion: float) -> Figure:
    from matplotlib.ticker import LogLocator

    figure = style.new_figure(6.2, 3.6)
    axes = style.add_axes(figure, 0.75, 0.6, 5.1, 2.5)
    axes.plot(rates, losses, color=style.BLUE, linewidth=1.8)
    axes.axvline(suggestion, color=style.VERMILLION, linewidth=1.2)
    axes.annotate(
        f" {suggestion:.2g}",
        (suggestion, 1),
        xycoords=("data", "axes fraction"),
        verticalalignment="top",
        color=style.VERMILLION,
    )
    axes.set_xscale("log")
    # A decade or two have hardly a power of ten between them: 2 and 5 are marked, too.
    narrow = max(rates) < 100 * min(rates)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axes.xaxis.set_major_formatter(_as_typed)
    axes.minorticks_off()
    axes.set_xlabel("Learning rate")
    axes.set_title("Loss")
    axes.grid(axis="y")
    return figure


def _as_typed(rate: float, _: object) -> str:
    """A rate as it may stand in a configuration: 1e-5, 0.001, 0.1."""
    return f"{rate:g}".replace("e-0", "e-")
