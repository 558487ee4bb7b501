"""Lines: one quantity over another, for several things side by side."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunet.errors import ArgumentError, ShapeError
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = Sequence[tuple[float, float]]
Values = Any  # a sequence or an array of numbers
LEFT, BELOW = 0.8, 0.6  # of a panel: room for the names and numbers of its axes, in inches
HEIGHT, GAP, COLUMNS = 2.4, 0.4, 4  # of a panel and between two, in inches; side by side at most
MOST = 7  # lines in a panel: as many as there are colours


def lines(
    panels: Mapping[str, Mapping[str, Values]],
    path: str | os.PathLike[str],
    *,
    x: Values | None = None,
    x_label: str = "",
    y_label: str = "",
    log: str = "",
    title: str = "",
    beneath: str = "",
) -> Path:
    """Draw lines with their names, in one panel or in several with the same axes; returns `path`.

    A line breaks off where a value is not finite. In a single panel, names stand at the ends of the
    lines; in several, where lines of one name have one colour, in the upper right corner.

    Args:
        panels: titles, and under each the values of every line, by name.
        path: the PNG file to write.
        title: the heading of several panels; one has its own.
        beneath: the line that others may lie upon, drawn broad and pale so that both are seen.
        x: where all lines have their values; 1, 2, 3, ... by default.
        x_label, y_label: names of the axes, with units.
        log: which axes are logarithmic: "", "x", "y" or "xy".

    Raises:
        ArgumentError: there is no line, or more than 7 in a panel, or one without a finite value,
            or `log` or `beneath` is none of these.
        ShapeError: a line has not a value for each of `x`.
    """
    _check(panels, x, log, beneath)
    return style.write(_draw(panels, x, (x_label, y_label), log, title, beneath), path)


def _check(panels: Any, x: Values | None, log: str, beneath: str) -> None:
    if log not in ("", "x", "y", "xy"):
        raise ArgumentError("lines", f'log must be "", "x", "y" or "xy", got {log!r}')
    for title, panel in panels.items():
        if not 1 <= len(panel) <= MOST:
            problem = f"panels must hold 1 to {MOST} lines, got {len(panel)} in {title!r}"
            raise ArgumentError("lines", problem)
        for name, values in panel.items():
            if x is not None and len(values) != len(x):
                problem = f"lines must have a value for each x, got {len(values)} for {len(x)}"
                raise ShapeError("lines", problem, f"line {name!r} of {title!r}")
            if not np.isfinite(np.asarray(values, float)).any():
                problem = f"lines must have a finite value, got none in {name!r} of {title!r}"
                raise ArgumentError("lines", problem)
    if not panels:
        raise ArgumentError("lines", "panels must hold at least one, got none")
    if beneath and not any(beneath in panel for panel in panels.values()):
        raise ArgumentError("lines", f"beneath must be the name of a line, got {beneath!r}")


@style.look()
def _draw(
    panels: Mapping[str, Mapping[str, Values]],
    x: Values | None = None,
    labels: tuple[str, str] = ("", ""),
    log: str = "",
    title: str = "",
    beneath: str = "",
) -> Figure:
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    colours = dict(zip(names, style.palette(len(names)), strict=True))
    single, ends = len(panels) == 1, max(style.width_of(name, style.NORMAL) for name in names)
    columns = min(len(panels), COLUMNS)
    rows = math.ceil(len(panels) / columns)
    width = 4.6 if single else 2.6
    across = LEFT + columns * (width + GAP) + (ends + 0.1 if single else 0.0)
    if title:
        legend = sum(style.width_of(name, style.NORMAL) + 0.25 for name in names)
        across = max(across, 0.75 + 1.2 * style.width_of(title, style.LARGE) + legend)
    headed = bool(title) or (not single and len(names) > 1)
    figure = style.new_figure(across, rows * (HEIGHT + 0.6) + (0.95 if headed else 0.4))
    if title:
        style.add_title(figure, title)
    first = None
    for i, (heading, panel) in enumerate(panels.items()):
        row, column = divmod(i, columns)
        bottom = BELOW + (rows - 1 - row) * (HEIGHT + 0.6)
        axes = style.add_axes(figure, LEFT + column * (width + GAP), bottom, width, HEIGHT)
        axes.set_title(heading)
        if first is not None:
            axes.sharex(first)
            axes.sharey(first)
        first = first or axes
        _add_lines(axes, panel, x, colours, beneath)
        last = i + columns >= len(panels)
        axes.set_xlabel(labels[0] if last else "")
        axes.set_ylabel(labels[1] if column == 0 else "")
        axes.tick_params(labelleft=column == 0, labelbottom=last)
    assert first is not None
    _finish(first, panels, x, log)
    if single:
        points = {name: _last(values, x) for name, values in next(iter(panels.values())).items()}
        name_ends(first, points, colours, lambda _: "")
    elif len(names) > 1:
        _legend(figure, colours)
    return figure


def _add_lines(
    axes: Axes,
    panel: Mapping[str, Values],
    x: Values | None,
    colours: Mapping[str, str],
    beneath: str,
) -> None:
    for name, values in panel.items():
        at = np.arange(1, len(values) + 1) if x is None else np.asarray(x, float)
        look: dict[str, Any] = {"linewidth": 1.6}
        if name == beneath:
            look = {"linewidth": 5.0, "alpha": 0.4}
        axes.plot(at, np.asarray(values, float), color=colours[name], label=name, **look)
    axes.grid(axis="y")


def _finish(axes: Axes, panels: Mapping[str, Any], x: Any, log: str) -> None:
    """The scales, which all panels share."""
    longest = max(len(values) for panel in panels.values() for values in panel.values())
    at = range(1, longest + 1) if x is None else x
    if min(at) < max(at):
        axes.set_xlim(min(at), max(at))
    if "x" in log:
        axes.set_xscale("log")
        _powers(axes.xaxis, axes.get_xlim())
    if "y" in log:
        axes.set_yscale("log")
        _powers(axes.yaxis, axes.get_ylim())


def _powers(axis: Any, limits: tuple[float, float]) -> None:
    """Powers of ten on a logarithmic axis, and 2 and 5 times them where there is room."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    first, last = (math.floor(math.log10(limit)) for limit in limits)
    step = max(1, math.ceil((last - first) / 7))
    factors = (1, 2, 5) if last - first < 3 else (1,)
    ticks = [f * 10.0**p for p in range(first, last + 1) if p % step == 0 for f in factors]
    axis.set_major_locator(FixedLocator([t for t in ticks if limits[0] <= t <= limits[1]]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))


def power_of_ten(value: float) -> str:
    """A tick of a logarithmic axis: "0.02", "500", or "10⁻⁹" where that is shorter."""
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    digits = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    factor = round(value / 10.0**exponent)
    return f"10{digits}" if factor == 1 else f"{factor}·10{digits}"


def _last(values: Values, x: Values | None) -> Points:
    """The last finite point of a line."""
    end = int(np.flatnonzero(np.isfinite(np.asarray(values, float)))[-1])
    return [(end + 1 if x is None else x[end], values[end])]


def _legend(figure: Figure, colours: Mapping[str, str]) -> None:
    """Names in their colours, from the upper right corner to the left."""
    across, up = figure.get_size_inches()
    place = across - 0.25
    for name, colour in reversed(list(colours.items())):
        figure.text(place / across, 1 - 0.35 / up, name, color=colour, ha="right")
        place -= style.width_of(name, style.NORMAL) + 0.25


def scale(axes: Axes, values: list[float]) -> None:
    """A logarithmic axis where the values span a factor of ten or more; 0 stands at its foot."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    positive = [value for value in values if value > 0]
    if min(values) < 0 or not positive or max(values) < 10 * min(positive):
        return
    least = 10.0 ** math.floor(math.log10(min(positive)))
    if min(values) == 0:
        axes.set_yscale("symlog", linthresh=least, linscale=0.4)
    else:
        axes.set_yscale("log")
    decades = math.log10(max(values) / min(positive))
    steps = (1, 2, 5) if decades < 2.5 else (1, 3) if decades < 4 else (1,)
    powers = range(round(math.log10(least)), math.ceil(math.log10(max(values))) + 1)
    low, high = axes.get_ylim()
    ticks = [0.0] + [step * 10.0**power for power in powers for step in steps]
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def name_ends(
    axes: Axes,
    lines: Mapping[str, Points],
    colours: Mapping[str, str],
    text_of: Callable[[float], str],
) -> None:
    """Name and last value at the right end of each line, moved apart where they would overlap."""
    height = {
        part: axes.transData.transform(points[-1])[1] * 72 / style.DPI
        for part, points in lines.items()
    }
    place = dict(height)
    for below, above in 10 * list(pairwise(sorted(lines, key=height.__getitem__))):
        overlap = max(0.0, place[below] + 1.3 * style.NORMAL - place[above])
        place[below] -= overlap / 2
        place[above] += overlap / 2
    for part, points in lines.items():
        axes.annotate(
            f"{part} {text_of(points[-1][1])}".rstrip(),
            points[-1],
            (8, place[part] - height[part]),
            textcoords="offset points",
            verticalalignment="center",
            color=colours[part],
        )
