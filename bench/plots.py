"""The pictures of docs/benchmarks.md, drawn from the figures in bench/results/."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import plan
from bench.measure import add_rates
from gpunet.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGES = Path(__file__).parent.parent / "docs" / "images"
WIDE = 7.2  # inches
COLOURS = {"torch": "VERMILLION", "torch-fused": "ORANGE", "torch-channels-last": "ORANGE",
           "jax": "GREEN", "numpy": "PURPLE", "gpunet-cpu": "SKY",
           "gpunet-captured": "BLUE"}  # fmt: skip


def colour(framework: str) -> str:
    """Of a framework, in the theme in use."""
    return getattr(style, COLOURS.get(framework, "BLUE"))


@style.look()
def ratios(
    results: dict[str, Any],
    title: str = "Times of others, as multiples of gpunet's",
    goals: bool = True,
) -> Figure:
    """A bar a rival and workload: its time over gpunet's, and a mark at the goal."""
    from matplotlib.ticker import FuncFormatter

    rows = [
        (workload, rival, figures["median_ms"] / frameworks["gpunet"]["median_ms"])
        for workload, frameworks in results.items()
        for rival, figures in frameworks.items()
        if rival != "gpunet"
    ]
    height = 0.19 * len(rows) + 0.12 * len(results)
    figure = style.new_figure(WIDE, height + 1.2)
    axes = style.add_axes(figure, 1.9, 0.55, WIDE - 2.5, height)
    style.add_title(figure, title)
    place, before = 0.0, ""
    ticks, labels = [], []
    for workload, rival, found in rows:
        place += 1.0 if workload == before else 1.6
        axes.barh(place, found - 1, left=1, height=0.8, color=colour(rival))
        goal = plan.goal_of(workload, rival) if goals else None
        marked = goal is not None and goal != 1  # a line is there anyway
        near = marked and 0.75 * goal < max(found, 1) <= goal  # text would run into the mark
        beyond = goal if near else max(found, 1)
        axes.text(1.03 * beyond, place, f"{found:.2f}", va="center", fontsize=style.SMALL)
        if marked:
            axes.plot([goal, goal], [place - 0.45, place + 0.45], color=style.INK, linewidth=1.4)
        name = plan.NAMES[rival]
        ticks.append(place)
        labels.append(f"{workload}  {name}" if workload != before else name)
        before = workload
    axes.set_yticks(ticks, labels)
    axes.set_ylim(place + 0.8, 0.8)
    axes.set_xscale("log", base=2)
    most = max(found for *_, found in rows)
    axes.set_xlim(min(0.45, *(0.9 * found for *_, found in rows)), 1.35 * most)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}×"))
    axes.axvline(1, color=style.GREY, linewidth=0.8)
    axes.grid(axis="x")
    axes.set_xlabel("above 1×, gpunet is faster" + ("; black: the goal" if goals else ""))
    return figure


@style.look()
def memory(results: dict[str, Any]) -> Figure:
    """Peak memory of the process, beside PyTorch's."""
    names = [name for name, found in results.items() if "torch" in found]
    height = 0.42 * len(names)
    figure = style.new_figure(WIDE, height + 1.35)
    axes = style.add_axes(figure, 1.1, 0.55, WIDE - 1.7, height)
    style.add_title(figure, "Peak memory of the process")
    for i, name in enumerate(names):
        for shift, framework in ((-0.2, "gpunet"), (0.2, "torch")):
            peak = results[name][framework]["peak_mib"]
            axes.barh(i + shift, peak, height=0.36, color=colour(framework))
            axes.text(peak + 4, i + shift, f"{peak:.0f}", va="center", fontsize=style.SMALL)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.set_xlabel("MiB, libraries included")
    legend(axes, {"gpunet": colour("gpunet"), "PyTorch": colour("torch")})
    return figure


def points(results: dict[str, Any]) -> dict[str, dict[str, tuple[float, float]]]:
    """By framework and operation: operations a byte, and GFLOP/s."""
    add_rates(results)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for name, frameworks in results.items():
        flops, nbytes = 2 * plan.multiply_adds(name), plan.least_bytes(name)
        for framework, figures in frameworks.items():
            if flops and nbytes and framework in ("gpunet", "torch"):
                of = flops / nbytes, flops / figures["median_ms"] / 1e6
                found.setdefault(framework, {})[name] = of
    return found


@style.look()
def roofline(results: dict[str, Any]) -> Figure:
    """GFLOP/s of products and convolutions over their operations a byte, below the two roofs."""
    found = points(results)
    copy = max(f["gb_per_s"] for f in results["W6-copy"].values())
    product = max(f["gflop_per_s"] for f in results["op-matmul"].values())
    figure = style.new_figure(WIDE, 4.6)
    axes = style.add_axes(figure, 0.8, 0.6, WIDE - 1.1, 3.1)
    style.add_title(figure, "GFLOP/s of products and convolutions")
    of = [place for by_name in found.values() for place, _ in by_name.values()]
    low, high = min(of) / 1.5, max(of) * 1.5
    ridge = product / copy
    roof = [(x, min(product, copy * x)) for x in sorted({low, min(max(ridge, low), high), high})]
    axes.plot(*zip(*roof, strict=True), color=style.INK, linewidth=1.4)
    for framework, marker in (("torch", "o"), ("gpunet", "D")):
        places = list(found.get(framework, {}).values())
        if places:
            axes.scatter(*zip(*places, strict=True), s=26, marker=marker, alpha=0.85,
                         color=colour(framework), linewidths=0)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    _plain(axes)
    axes.set_xlabel("operations a byte that must be moved")
    axes.set_title(
        f"roofs: a copy's {copy:.0f} GB/s, a product's {product:.0f} GFLOP/s",
        weight="normal",
    )
    axes.grid()
    legend(axes, {"gpunet": colour("gpunet"), "PyTorch": colour("torch")})
    return figure


@style.look()
def scaling(found: dict[str, Any]) -> Figure:
    """Time of a step over batch, width, depth and length: gpunet's line and PyTorch's."""
    figure = style.new_figure(WIDE, 6.6)
    style.add_title(figure, "Time of a step, in milliseconds")
    places = [(0.55, 3.55), (4.1, 3.55), (0.55, 0.6), (4.1, 0.6)]
    for (sweep, by_line), (left, bottom) in zip(found.items(), places, strict=True):
        axes = style.add_axes(figure, left, bottom, 2.8, 2.05)
        for name, of in by_line.items():
            framework = name.split(",")[0]
            alone = "1 thread" in name and len(by_line) > 2
            axes.plot([int(size) for size in of], list(of.values()), color=colour(framework),
                      linestyle="--" if alone else "-", marker="o", markersize=3.5,
                      linewidth=1.6)  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        _plain(axes)
        axes.set_title(_TITLES[sweep])
        axes.grid()
    figure.text(0.25 / WIDE, 1 - 0.62 / 6.6, "gpunet", color=colour("gpunet"), weight="bold")
    figure.text(0.95 / WIDE, 1 - 0.62 / 6.6, "PyTorch", color=colour("torch"), weight="bold")
    figure.text(1.75 / WIDE, 1 - 0.62 / 6.6, "two threads; broken lines: one", color=style.GREY)
    return figure


_TITLES = {
    "batch": "MLP: examples in a batch",
    "width": "MLP: width",
    "depth": "MLP: hidden layers",
    "length": "LSTM: steps of a sequence",
}


def _plain(axes: Axes) -> None:
    """Numbers on logarithmic axes as they are, and no more than fit."""
    from matplotlib.ticker import FuncFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if x >= 0.01 else f"{x:.3f}"))
    low, high = axes.get_xlim()
    if math.log2(high / low) > 7:
        axes.xaxis.get_major_locator().set_params(base=4)


def legend(axes: Axes, colours: dict[str, str], above: float = 6) -> None:
    """Names in their colours, above the axes at the right; `above` in points."""
    for i, (name, its) in enumerate(reversed(colours.items())):
        axes.annotate(name, (1, 1), (-70 * i, above), xycoords="axes fraction",
                      textcoords="offset points", ha="right", color=its, weight="bold")  # fmt: skip


def draw(results: dict[str, Any], sweeps: dict[str, Any]) -> list[Path]:
    """Writes the pictures that there are figures for; returns their files."""
    workloads = {name: found for name, found in results.items() if name in plan.WORKLOADS}
    pictures = {"ratios": ratios(workloads), "memory": memory(_of_processes(workloads))}
    if "W6-copy" in results and "op-matmul" in results:
        pictures["roofline"] = roofline(results)
    if sweeps:
        pictures["scaling"] = scaling(sweeps)
    files = []
    for name, figure in pictures.items():
        files.append(style.write(figure, IMAGES / f"bench-{name}.png"))
    return files


def _of_processes(workloads: dict[str, Any]) -> dict[str, Any]:
    return {name: found for name, found in workloads.items() if name != "W9"}
