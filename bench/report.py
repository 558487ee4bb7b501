"""Writes docs/benchmarks.md from the figures in bench/results/: `python -m bench.report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench import gpu, plan
from bench.show import memory, milliseconds, rate, spread

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "bench" / "results"


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for file in sorted(RESULTS.glob("*.json")):
        content = json.loads(file.read_text())
        if file.name.startswith("gpu-"):
            parts.append(gpu.section(content, file.name))
        else:
            parts.append(_section(content["machine"], content["workloads"], file.name))
    if not any(RESULTS.glob("gpu-*.json")):
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
        "| peak memory, MiB | rate | ratio | goal |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for workload, frameworks in workloads.items():
        own = frameworks["gpunet"]["median_ms"]
        for framework, figures in frameworks.items():
            first = framework == "gpunet"
            cells = (
                f"**{workload}** {plan.TEXT[workload]}" if first else "",
                plan.NAMES[framework],
                milliseconds(figures["median_ms"]),
                spread(figures),
                memory(figures),
                rate(figures),
                "" if first else f"{figures['median_ms'] / own:.2f}",
                "" if (goal := plan.goal_of(workload, framework)) is None else f"{goal}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


_INTRODUCTION = """# Benchmarks

This page is written by `python -m bench.report` from the figures in `bench/results/`.

Every framework runs in a process of its own, in turns with the others, three rounds each; a figure
is the median of the rounds' medians. **Ratio** is the framework's time over gpunet's of the same
run: above 1, gpunet is faster. Times of one machine at one hour; compare ratios, not milliseconds.
`gpunet bench` (or `make bench`) measures all of it on yours; `--compare FILE` says what became
faster or slower since.

PyTorch runs as it does without further settings ("eager"), JAX under `jit`, NumPy as one writes the
same by hand. **Rate** is that of the bytes or operations which a step needs at the least, in
brackets its share of what a plain copy or a large product of matrices reaches here.

Peak memory is the process's. In brackets stands that of a convolution: the growth of the process
from its inputs alone to the peak of its first pass, inputs included, over the size of its inputs
and outputs (`VmHWM` of Linux, begun anew before the pass). The goal is 1.5 at most.
"""


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
