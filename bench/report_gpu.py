"""The sections of docs/benchmarks.md about `gpunet bench --device cuda:0`."""

from __future__ import annotations

from typing import Any

from bench import plan
from bench.machine import told
from bench.show import memory, milliseconds, noisy, rate, spread, transferred
from gpunet.backend import crossover

COLUMNS = ("workload", "framework", "ms, median", "rounds, fastest to slowest",
           "with transfer, ms", "GPU's memory, MiB", "rate", "ratio",
           "ratio to captured")  # fmt: skip


def section(content: dict[str, Any], name: str) -> str:
    """What was measured on a GPU, beside PyTorch there and gpunet on the CPU."""
    made = content["machine"]
    lines = [
        f"## On a GPU: {made['device']}, {made['date']}",
        "",
        f"Driver {made['driver']}, {made['processor']} with {made['threads']} threads; "
        f"{told(made, name)} {made.get('note', '')}".rstrip(),
        "",
        _TEXT,
        "![Times of others, as multiples of gpunet's on the GPU](images/bench-gpu-ratios.png)",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---|---|" + "---:|" * (len(COLUMNS) - 2),
        *(f"| {' | '.join(row)} |" for row in rows(content["workloads"])),
        "",
    ]
    if "crossover" in content:
        lines += [*_crossing(content["crossover"]), ""]
    return "\n".join(lines)


def rows(workloads: dict[str, Any]) -> list[tuple[str, ...]]:
    """The table: gpunet's row, then the others'."""
    found = []
    for workload, frameworks in workloads.items():
        own, captured = frameworks["gpunet"], frameworks.get(plan.CAPTURED)
        for framework, figures in frameworks.items():
            first = framework == "gpunet"
            found.append(
                (
                    f"**{workload}** {plan.TEXT[workload]}" if first else "",
                    plan.NAMES[framework],
                    milliseconds(figures["median_ms"]) + ("~" if noisy(figures) else ""),
                    spread(figures),
                    transferred(figures),
                    "" if framework == plan.ON_CPU else memory(figures),
                    rate(figures),
                    "" if first else _over(figures, own),
                    "" if first or figures is captured else _over(figures, captured),
                )
            )
    return found


def _over(figures: dict[str, Any], own: dict[str, Any] | None) -> str:
    """A time over one of gpunet's; nothing where that was not measured."""
    return "" if own is None else f"{figures['median_ms'] / own['median_ms']:.2f}"


def _crossing(found: dict[str, Any]) -> list[str]:
    """From which sizes the GPU is faster: a table of times, and the picture."""
    lines = [
        "The same work by size, on the CPU with all of its cores and on the GPU. "
        '`device = "auto"` takes the GPU for training steps from the size on where it is faster.',
        "",
        "![Time over size, on the CPU and on the GPU](images/bench-gpu-crossover.png)",
        "",
        "| size | CPU, ms | GPU, ms |",
        "|---|---:|---:|",
    ]
    for kind, of in found.items():
        first = of["from"]
        said = "never faster" if first is None else f"faster from {first:,} on"
        lines.append(f"| **{crossover.UNITS[kind]}**: {said} | | |")
        lines += [
            f"| {int(size):,} | {milliseconds(ms)} | {milliseconds(of['gpu'][size])} |"
            for size, ms in of["cpu"].items()
        ]
    return lines


_TEXT = """One process measures all of gpunet, another all of PyTorch, a third gpunet on the CPU
there, in turns, two rounds. **Captured** is the same step, recorded by `gpunet.capture` and
launched as a whole; the others are launched kernel by kernel. **Ratio** is the other time over
gpunet's on the GPU, or over the captured one's. **With
transfer**: the time that the batch takes to come from the host is added. Memory is the peak of what
the framework took of the GPU's. In brackets stands the share of what a copy of 64 MiB or a product
of 1024 × 1024 matrices reaches; arrays of 16 MiB stay in a large cache, where more than the copy's
rate is possible. PyTorch's convolutions and recurrent layers keep all bits of float32
(`torch.backends.cudnn.allow_tf32 = False`), as gpunet's do.
"""
