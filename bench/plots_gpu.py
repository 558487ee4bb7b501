"""The pictures of docs/benchmarks.md that show a GPU; see `plots.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import kernels, plan, plots
from gpunet.backend.crossover import UNITS
from gpunet.backend.cuda import source
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ratios(content: dict[str, Any]) -> Figure:
    """Times of PyTorch on the GPU and of gpunet on the CPU, as multiples of gpunet's on the GPU."""
    workloads = {n: found for n, found in content["workloads"].items() if n in plan.WORKLOADS}
    title = f"Times of others, as multiples of gpunet's on {content['machine']['device']}"
    return plots.ratios(workloads, title, goals=False)


def shares(content: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """{family: {dtype: the shares of its kernels of their floors}}."""
    found: dict[str, dict[str, list[float]]] = {}
    for family, names in source.kernels().items():
        for dtype in kernels.DTYPES:
            keys = (f"{name} {dtype}" for name in names)
            mine = [
                content["kernels"][k]["share_of_floor"] for k in keys if k in content["kernels"]
            ]
            if mine:
                found.setdefault(family, {})[dtype] = mine
    return found


@style.look()
def floors(content: dict[str, Any]) -> Figure:
    """A point a kernel: its share of the least time, by family and dtype."""
    from matplotlib.ticker import PercentFormatter

    found = shares(content)
    colours = dict(zip(kernels.DTYPES, style.palette(len(kernels.DTYPES)), strict=True))
    height = 0.46 * len(found)
    figure = style.new_figure(plots.WIDE, height + 1.55)
    axes = style.add_axes(figure, 1.3, 0.55, plots.WIDE - 1.7, height)
    style.add_title(figure, f"What kernels reach on {content['machine']['device']}")
    for row, by_dtype in enumerate(found.values()):
        for i, (dtype, colour) in enumerate(colours.items()):
            values = by_dtype.get(dtype, [])
            places = [row + 0.24 * (i - 1)] * len(values)
            axes.scatter(values, places, s=24, color=colour, alpha=0.75, linewidths=0)
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.axvline(1, color=style.INK, linewidth=1.2)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, 0))
    axes.grid(axis="x")
    axes.set_xlabel("the least time for a kernel's bytes and operations, over the time it took")
    plots.legend(axes, colours)
    return figure


@style.look()
def crossings(content: dict[str, Any]) -> Figure:
    """Time over size on the CPU and on the GPU, and from where the GPU is faster."""
    from matplotlib.ticker import EngFormatter, LogLocator

    figure = style.new_figure(plots.WIDE, 3.3)
    style.add_title(figure, f"Milliseconds on the CPU and on {content['machine']['device']}")
    colours = {"GPU": style.BLUE, "CPU": style.ORANGE}
    for i, (kind, of) in enumerate(content["crossover"].items()):
        axes = style.add_axes(figure, 0.55 + 2.3 * i, 0.7, 1.85, 1.6)
        for name, colour in colours.items():
            times = of[name.lower()]
            sizes = [int(size) for size in times]
            axes.plot(sizes, list(times.values()), color=colour, marker="o", markersize=3)
        if of["from"] is not None:
            axes.axvline(of["from"], color=style.GREY, linewidth=1, linestyle=":")
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis, form in ((axes.xaxis, EngFormatter(sep="")), (axes.yaxis, "{x:g}")):
            axis.set_major_locator(LogLocator(numticks=5))
            axis.set_major_formatter(form)
        axes.grid()
        what, _, thing = UNITS[kind].partition(" of ")
        axes.set_title(thing.split(",")[0].removeprefix("a ").removeprefix("an "))
        axes.set_xlabel(f"{what}{', forward' if 'forward' in thing else ''}")
    plots.legend(axes, colours, above=26)
    return figure


def draw(contents: list[dict[str, Any]]) -> list[Path]:
    """Writes the pictures of the last files that have the figures; returns where they lie."""
    pictures = {}
    for content in contents:
        if "workloads" in content:
            pictures["ratios"] = ratios(content)
        if "crossover" in content:
            pictures["crossover"] = crossings(content)
        if "kernels" in content:
            pictures["kernels"] = floors(content)
    return [
        style.write(figure, plots.IMAGES / f"bench-gpu-{name}.png")
        for name, figure in pictures.items()
    ]
