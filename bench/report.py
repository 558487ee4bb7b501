"""Writes docs/benchmarks.md from the figures in bench/results/: `python -m bench.report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench import conv, gpu, images, optimizers, recurrent, text
from bench.__main__ import bandwidth, goal_of, memory, milliseconds, spread
from bench.elementwise import OVERHEAD, W6

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
NAMES = {
    "gpunet": "gpunet",
    "torch": "PyTorch, eager",
    "torch-fused": "PyTorch, fused optimizer",
    "torch-channels-last": "PyTorch, channels last",
    "copy": "a copy of as many bytes",
    "jax": "JAX, jit",
}
WORKLOADS = {
    "W1": "MLP 784–512–512–10, batch 128, Adam: a training step",
    "W1s": "MLP 784–128–10, batch 32, SGD: a training step",
    **images.TEXT,
    **recurrent.TEXT,
    **text.TEXT,
    **optimizers.TEXT,
    "W7": "the network of W1, inference of one example",
    **{workload: conv.text(workload) for workload in conv.WORKLOADS},
    "W6-copy": "a copy of 16 Mi float32 numbers",
    **{
        workload: f"{workload[3:].replace('bias-', 'bias + ')} of 16 Mi numbers, forward + backward"
        for workload in W6
        if workload != "W6-copy"
    },
    **{name: f"{name[9:]} of 10 numbers, forward + backward" for name in OVERHEAD},
    "W9": "start of the process to the end of its first W1s step, caches warm",
}


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for file in sorted((ROOT / "bench" / "results").glob("*.json")):
        content = json.loads(file.read_text())
        if file.name.startswith("gpu-"):
            parts.append(gpu.section(content, file.name))
        else:
            parts.append(_section(content["machine"], content["workloads"], file.name))
    if not any((ROOT / "bench" / "results").glob("gpu-*.json")):
        parts.append("There is no GPU figure yet: no kernel has been timed on one.\n")
    return "\n".join(parts)


def _section(machine: dict[str, Any], workloads: dict[str, Any], name: str) -> str:
    versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
    lines = [
        f"## {name}: {machine['processor']}, {machine['threads']} threads, {machine['date']}",
        "",
        f"{versions}; commit {machine['commit']}. Made by `{machine['command']}`, figures in "
        f"`bench/results/{name}`.",
        "",
        "| workload | framework | ms, median | rounds, fastest to slowest "
        "| peak memory, MiB | GB/s (of a copy's) | ratio | goal |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for workload, frameworks in workloads.items():
        own = frameworks["gpunet"]["median_ms"]
        for framework, figures in frameworks.items():
            first = framework == "gpunet"
            cells = (
                f"**{workload}** {WORKLOADS[workload]}" if first else "",
                NAMES[framework],
                milliseconds(figures["median_ms"]),
                spread(figures),
                memory(figures),
                bandwidth(figures),
                "" if first else f"{figures['median_ms'] / own:.2f}",
                "" if (goal := goal_of(workload, framework)) is None else f"{goal}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


_INTRODUCTION = """# Benchmarks

This page is written by `python -m bench.report` from the figures in `bench/results/`.

Every framework runs in a process of its own, in turns with the others, three rounds of two seconds
each (half a second for a convolution); a figure is the median of the rounds' medians. **Ratio** is
the framework's time over gpunet's of the same run: above 1, gpunet is faster. Times of one machine
at one hour; compare ratios, not milliseconds.

Peak memory is the process's. In brackets stands that of a convolution: the growth of the process
from its inputs alone to the peak of its first pass, inputs included, over the size of its inputs
and outputs (`VmHWM` of Linux, begun anew before the pass). The goal is 1.5 at most.
"""


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
