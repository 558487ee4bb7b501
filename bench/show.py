"""The tables of `gpunet bench`, and the texts of figures."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import conv, overhead, plan
from bench.measure import NOISY

# In a file or a pipe the table keeps its width.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 190)


def milliseconds(ms: float) -> str:
    """Four digits also where they are few."""
    return f"{ms:.3f}" if ms >= 1 else f"{ms:.4f}"


def spread(figures: dict[str, Any]) -> str:
    """The medians of the fastest and the slowest round, if they are known."""
    if "fastest_round_ms" not in figures:
        return ""
    return " to ".join(milliseconds(figures[f"{end}_round_ms"]) for end in ("fastest", "slowest"))


def noisy(figures: dict[str, Any]) -> bool:
    """Whether other programs were at work meanwhile."""
    return figures.get("others", 0.0) > NOISY


def rate(figures: dict[str, Any]) -> str:
    """GB/s or GFLOP/s, and the share of a copy's or of a large matrix product's."""
    for key, unit, of in (
        ("gb_per_s", "GB/s", "share_of_copy"),
        ("gflop_per_s", "GFLOP/s", "share_of_product"),
    ):
        if key in figures:
            share = f" ({figures[of]:.0%})" if of in figures else ""
            return f"{figures[key]:.0f} {unit}{share}"
    return ""


def memory(figures: dict[str, Any]) -> str:
    """Peak memory of the process; of a convolution that of a pass, in inputs and outputs."""
    if "peak_mib" not in figures:
        return ""
    if "memory_share" in figures:
        return f"{figures['peak_mib']:.0f} ({figures['memory_share']:.2f}×)"
    return f"{figures['peak_mib']:.0f}"


def transferred(figures: dict[str, Any]) -> str:
    """A step on a GPU with the way of its batch there."""
    if "transfer_ms" not in figures:
        return ""
    return milliseconds(figures["median_ms"] + figures["transfer_ms"])


def ratio(workload: str, framework: str, results: dict[str, Any], gpu: bool = False) -> str:
    """A rival's time over gpunet's, in colour where there is a goal: on the CPU."""
    found = results[framework]["median_ms"] / results["gpunet"]["median_ms"]
    goal = None if gpu else plan.goal_of(workload, framework)
    colour = "default" if goal is None else "green" if found >= goal else "red"
    return f"[{colour}]{found:.2f}[/]"


def show(results: dict[str, Any], missing: list[str], gpu: bool = False) -> None:
    """All tables: times and ratios, then what comes before a steady step.

    Args:
        missing: rivals that are not installed.
        gpu: whether gpunet and PyTorch ran on a GPU.
    """
    names = [f for f in plan.NAMES if f != "gpunet" and any(f in r for r in results.values())]
    absent = [f for f in missing if any(f in plan.RIVALS[w] for w in results)]
    more = ("with transfer", "rate", "GPU's MiB") if gpu else ("rate", "MiB")
    table = _table("", "gpunet, ms", "rounds", *more)
    for name in [*names, *absent]:
        table.add_column(f"{plan.NAMES[name]}, ms", justify="right")
        table.add_column("ratio", justify="right")
    if not gpu:
        table.add_column("goal", justify="right")
    for workload, frameworks in results.items():
        own = frameworks["gpunet"]
        mark = "[yellow]~[/]" if any(map(noisy, frameworks.values())) else ""
        cells = [workload, milliseconds(own["median_ms"]) + mark]
        cells += [spread(own), *([transferred(own)] if gpu else []), rate(own)]
        cells.append(memory(own) if gpu or workload not in plan.OPERATIONS else "")
        for name in names:
            there = name in frameworks
            cells.append(milliseconds(frameworks[name]["median_ms"]) if there else "")
            cells.append(ratio(workload, name, frameworks, gpu) if there else "")
        for name in absent:
            cells += ["[dim]not installed[/]" if name in plan.RIVALS[workload] else "", ""]
        table.add_row(*cells, *([] if gpu else [f"{plan.GOALS.get(workload, '')}"]))
    console.print(table)
    console.print(f"[dim]{_GPU_NOTE if gpu else _NOTE}[/]")
    if parts := overhead.rows(results):
        table = _table("", *overhead.COLUMNS)
        for row in parts:
            table.add_row(*row)
        console.print(table)
        console.print(f"[dim]{overhead.NOTE}[/]")
    if features := overhead.tape_rows(results):
        table = _table(*overhead.TAPE_COLUMNS)
        for row in features:
            table.add_row(*row)
        console.print(table)
        console.print(f"[dim]{overhead.TAPE_NOTE}[/]")
    _show_beginnings(results)
    _tell_of_noise(results)


_NOTE = (
    "ratio: the rival's time over gpunet's, above 1 gpunet is faster; goal: of PyTorch's. "
    "In brackets, rate: of what a copy or a large matrix product reaches; memory of a "
    f"convolution: its peak over its inputs and outputs (goal: at most {conv.MEMORY_GOAL})"
)
_GPU_NOTE = (
    "ratio: the other time over gpunet's on the GPU, above 1 gpunet there is faster. With "
    "transfer: the way of the batch from the host, too. MiB: the peak of the GPU's memory. In "
    "brackets, rate: of what a copy or a product of 1024² reaches; arrays of 16 MiB stay in a "
    "large cache, where more is possible. PyTorch's convolutions keep all bits of float32 (no "
    "TF32), as gpunet's do"
)


def show_failures(failures: dict[str, str]) -> None:
    """What was left out, and why."""
    for what, why in failures.items():
        console.print(f"{what} left out, it failed: {why}", style="red", markup=False)


def _show_beginnings(results: dict[str, Any]) -> None:
    """What comes before a steady step, and is in none of the times above."""
    table = _table("", "framework", "import, ms", "build, ms", "first step, ms", "first ever, ms",
                   "steady step, ms", "batch to GPU, ms")  # fmt: skip
    for workload, frameworks in results.items():
        if workload in (*plan.OPERATIONS, *conv.WORKLOADS, "W9"):
            continue
        for name, figures in frameworks.items():
            cells = [
                milliseconds(figures[key]) if key in figures else ""
                for key in ("import_ms", "prepare_ms", "first_ms", "compile_ms", "median_ms",
                            "transfer_ms")
            ]  # fmt: skip
            table.add_row(workload if name == "gpunet" else "", plan.NAMES[name], *cells)
    if table.row_count:
        console.print(table)
        console.print(
            "[dim]first ever: with no kernel compiled; otherwise compiled kernels are read from "
            "the disk[/]"
        )


def _tell_of_noise(results: dict[str, Any]) -> None:
    others = {
        workload: max(figures.get("others", 0.0) for figures in frameworks.values())
        for workload, frameworks in results.items()
    }
    loud = [workload for workload, cores in others.items() if cores > NOISY]
    if loud:
        most = max(others.values())
        console.print(
            f"[yellow]~: other programs kept up to {most:.1f} cores busy meanwhile, in {len(loud)} "
            f"of {len(results)}: compare ratios, not milliseconds, or measure again[/]"
        )


def compare(results: dict[str, Any], before: dict[str, Any]) -> None:
    """gpunet's times in an earlier file over those of now."""
    table = _table(
        "", "before, ms", "now, ms", "before / now", "its ratio to PyTorch, before / now"
    )
    old = before["workloads"]
    for workload, frameworks in results.items():
        if "gpunet" not in old.get(workload, {}):
            continue
        was, now = old[workload], frameworks
        factor = was["gpunet"]["median_ms"] / now["gpunet"]["median_ms"]
        colour = "green" if factor > 1.1 else "red" if factor < 0.9 else "default"
        ratios = ""
        if "torch" in was and "torch" in now:
            ratios = " / ".join(
                f"{of['torch']['median_ms'] / of['gpunet']['median_ms']:.2f}" for of in (was, now)
            )
        times = (milliseconds(of["gpunet"]["median_ms"]) for of in (was, now))
        table.add_row(workload, *times, f"[{colour}]{factor:.2f}[/]", ratios)
    made = before["machine"]
    console.print(f"before: {made['processor']}, {made['date']}, commit {made['commit']}")
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for i, column in enumerate(columns):
        text = column in ("", "framework")
        table.add_column(column, justify="left" if text and i < 2 else "right", no_wrap=i == 0)
    return table
