"""Functions of one variable, each with its derivative."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpunet.autograd import Tensor
from gpunet.autograd.creation import tensor
from gpunet.errors import ArgumentError, ShapeError
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4
PANEL = (2.3, 1.75)  # inches
POINTS = 801

Function = Callable[[Tensor], Tensor]
Curve = tuple[np.ndarray, np.ndarray, np.ndarray]


def function_curves(
    functions: Mapping[str, Function],
    path: str | os.PathLike[str],
    *,
    span: float = 4.0,
    title: str = "Activation functions",
    legend: tuple[str, str] = ("function", "derivative"),
) -> Path:
    """Draw functions in blue with their derivatives, by autograd, in vermillion; returns `path`.

    Args:
        functions: of a tensor, element by element, by their names.
        path: the PNG file to write.
        span: the axis goes from −span to span, above 0.
        title, legend: the heading, and what the two lines are called in it.

    Raises:
        ArgumentError: there is no function, or the span is not above 0.
        ShapeError: a function gives another shape than it got.
    """
    if not functions or not span > 0:
        problem = f"functions must be some and span above 0, got {len(functions)} and {span:g}"
        raise ArgumentError("function_curves", problem)
    curves = {name: curve(name, function, span) for name, function in functions.items()}
    return style.write(_draw(curves, title, legend), path)


def curve(name: str, function: Function, span: float) -> Curve:
    """Axis, values and slopes of a function on [−span, span]."""
    x = tensor(np.linspace(-span, span, POINTS), requires_grad=True)
    with np.errstate(all="ignore"):  # outside their domain functions are not drawn
        y = function(x)
        if y.shape != x.shape:
            problem = f"{name} must keep the shape {x.shape}, got {y.shape}"
            raise ShapeError("function_curves", problem)
        y.sum().backward()
    assert x.grad is not None
    return x.detach().numpy(), y.detach().numpy(), x.grad.numpy()


@style.look()
def _draw(curves: Mapping[str, Curve], title: str, legend: tuple[str, str]) -> Figure:
    columns = min(COLUMNS, len(curves))
    rows = math.ceil(len(curves) / columns)
    names = [style.width_of(text, style.NORMAL) for text in legend]
    least = 0.25 + 1.2 * style.width_of(title, style.LARGE) + sum(names) + 1.0
    width = max(columns * PANEL[0] + 0.5, least)
    height = rows * PANEL[1] + 0.9
    figure = style.new_figure(width, height)
    style.add_title(figure, title)
    for i, (name, (x, values, slopes)) in enumerate(curves.items()):
        row, column = divmod(i, columns)
        bottom = height - 0.4 - (row + 1) * PANEL[1]
        place = (0.4 + column * PANEL[0], bottom, PANEL[0] - 0.45, PANEL[1] - 0.6)
        axes = style.add_axes(figure, *place)
        axes.set_title(name, fontsize=style.SMALL, pad=4)
        axes.grid(True)
        axes.set_ylim(*_limits(values))
        axes.plot(x, slopes, color=style.VERMILLION, linewidth=1.0)
        axes.plot(x, values, color=style.BLUE, linewidth=1.6)
    at = width - 0.3
    for text, size, colour in ((legend[1], names[1], style.VERMILLION), (legend[0], 0, style.BLUE)):
        figure.text(at / width, 1 - 0.4 / height, text, color=colour, ha="right")
        at -= size + 0.25
    return figure


def _limits(values: np.ndarray) -> tuple[float, float]:
    """The range of the function, with room for a slope of 1 and no more than ±6."""
    low, high = max(np.nanmin(values), -6.0), min(np.nanmax(values), 6.0)
    low, high = min(low, -0.2), max(high, 1.2)
    room = 0.06 * (high - low)
    return low - room, high + room
