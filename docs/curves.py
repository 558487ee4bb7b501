"""Pictures of the reference pages: every function of one variable, with its derivative.

The functions are found, not listed: those of a module that take one tensor and need no more, and
losses that take a prediction and a target.
"""

from __future__ import annotations

import inspect
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import gpunet
from gpunet.errors import GpunetError
from gpunet.viz import style

COLUMNS = 4
PANEL = (2.3, 1.75)  # inches
POINTS = 801


@dataclass(frozen=True)
class Figure:
    """A grid of small plots: each function in blue, its derivative in red.

    Args:
        module: where the functions stand.
        title: heading of the picture.
        span: the axis from −span to span.
        curve: (function, x) to its values as a tensor, or an error if it is not one of this kind.
    """

    module: str
    title: str
    span: float
    curve: Callable[[Any, Any], Any]

    def functions(self) -> list[tuple[str, Any, Any, Any]]:
        """Name, axis, values and slopes of each function that can be drawn."""
        found = []
        for name, function in vars(import_module(self.module)).items():
            own = inspect.isfunction(function) and function.__module__ == self.module
            if not own or name.startswith("_"):
                continue
            x = gpunet.tensor(np.linspace(-self.span, self.span, POINTS), requires_grad=True)
            try:
                with np.errstate(all="ignore"):  # outside their domain functions are not drawn
                    y = self.curve(function, x)
                    y.sum().backward()
            except (GpunetError, TypeError, ValueError):
                continue
            if y.shape == x.shape and x.grad is not None:
                values, slopes = y.detach().numpy(), x.grad.numpy()
                found.append((name, x.detach().numpy(), values, slopes))
        return found

    @style.look()
    def png(self) -> bytes:
        """The picture."""
        functions = self.functions()
        rows = math.ceil(len(functions) / COLUMNS)
        width, height = COLUMNS * PANEL[0] + 0.5, rows * PANEL[1] + 0.9
        figure = style.new_figure(width, height)
        style.add_title(figure, self.title)
        for i, (name, x, values, slopes) in enumerate(functions):
            left = 0.4 + i % COLUMNS * PANEL[0]
            bottom = height - 0.75 - (i // COLUMNS + 1) * PANEL[1] + 0.35
            axes = style.add_axes(figure, left, bottom, PANEL[0] - 0.45, PANEL[1] - 0.6)
            axes.set_title(name, fontsize=style.SMALL, pad=4)
            axes.grid(True)
            low, high = _limits(values)
            axes.set_ylim(low, high)
            axes.plot(x, slopes, color=style.VERMILLION, linewidth=1.0)
            axes.plot(x, values, color=style.BLUE, linewidth=1.6)
        across = width - 0.3
        for offset, (text, colour) in enumerate(
            [("derivative", style.VERMILLION), ("function", style.BLUE)]
        ):
            x_at = (across - 0.95 * offset) / width
            figure.text(
                x_at, 1 - 0.4 / height, text, color=colour, ha="right", fontsize=style.NORMAL
            )
        with tempfile.TemporaryDirectory() as folder:
            return style.write(figure, Path(folder) / "figure.png").read_bytes()


def _limits(values: Any) -> tuple[float, float]:
    """The range of the function, with room for a slope of 1 and no more than ±6."""
    low, high = max(np.nanmin(values), -6.0), min(np.nanmax(values), 6.0)
    low, high = min(low, -0.2), max(high, 1.2)
    room = 0.06 * (high - low)
    return low - room, high + room


def _loss(function: Any, x: Any) -> Any:
    """A loss of predictions x whose target is 1."""
    return function(x, gpunet.ones_like(x.detach()), reduction="none")


def _plain(function: Any, x: Any) -> Any:
    """A function of one tensor."""
    return function(x)


FIGURES = {
    f"functional.{family}": Figure(f"gpunet.functional.{family}", title, span, curve)
    for family, title, span, curve in [
        ("activation", "Activation functions", 4.0, _plain),
        ("piecewise", "Activation functions in pieces", 7.0, _plain),
        ("elementwise", "Functions of one number", 4.0, _plain),
        ("trigonometry", "Trigonometric and hyperbolic functions", 4.0, _plain),
        ("loss", "Losses of one prediction, target 1", 3.0, _loss),
        ("classification", "Losses of one score, target 1", 3.0, _loss),
    ]
}
