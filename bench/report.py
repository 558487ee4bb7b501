"""Writes docs/benchmarks.md from the figures in bench/results/: `python -m bench.report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench import gpu, overhead, plan, plots, plots_gpu, profiles, report_gpu, scaling
from bench.machine import told
from bench.show import memory, milliseconds, noisy, rate, spread

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "bench" / "results"


def page() -> str:
    """The whole page."""
    files = {file.stem: json.loads(file.read_text()) for file in sorted(RESULTS.glob("*.json"))}
    parts = [_INTRODUCTION]
    parts += [
        _section(content["machine"], content["workloads"], f"{name}.json")
        for name, content in files.items()
        if "workloads" in content and not _on_gpu(content)
    ]
    if "scaling" in files:
        parts.append(scaling.section(files["scaling"]))
    if found := {name[8:]: of for name, of in files.items() if name.startswith("profile-")}:
        parts.append(_PROFILES)
        parts += [profiles.section(content, name) for name, content in found.items()]
    on_gpus = {f"{name}.json": of for name, of in files.items() if _on_gpu(of)}
    for key, section in (("workloads", report_gpu.section), ("kernels", gpu.section)):
        parts += [section(of, name) for name, of in on_gpus.items() if key in of]
    if not on_gpus:
        parts.append("There is no GPU figure yet: no kernel has been timed on one.\n")
    return "\n".join(parts)


def draw() -> list[Path]:
    """The pictures: of every workload the figures of the last file that has it; GPUs apart."""
    results: dict[str, Any] = {}
    sweeps: dict[str, Any] = {}
    contents = [json.loads(file.read_text()) for file in sorted(RESULTS.glob("*.json"))]
    for content in contents:
        if _on_gpu(content):
            continue
        results |= content.get("workloads", {})
        sweeps |= content.get("scaling", {})
    ordered = {name: results[name] for name in plan.RIVALS if name in results}
    return plots.draw(ordered, sweeps) + plots_gpu.draw(list(filter(_on_gpu, contents)))


def _on_gpu(content: dict[str, Any]) -> bool:
    return "device" in content["machine"]


def _section(machine: dict[str, Any], workloads: dict[str, Any], name: str) -> str:
    lines = [
        f"## {name}: {machine['processor']}, {machine['threads']} threads, {machine['date']}",
        "",
        told(machine, name),
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
                milliseconds(figures["median_ms"]) + ("~" if noisy(figures) else ""),
                spread(figures),
                memory(figures),
                rate(figures),
                "" if first else f"{figures['median_ms'] / own:.2f}",
                "" if (goal := plan.goal_of(workload, framework)) is None else f"{goal}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    if parts := overhead.rows(workloads):
        lines += [
            "",
            overhead.NOTE,
            "",
            f"| | {' | '.join(overhead.COLUMNS)} |",
            "|---|---:|---:|---:|---:|",
        ]
        lines += [f"| **{row[0]}** | {' | '.join(row[1:])} |" for row in parts]
    if features := overhead.tape_rows(workloads):
        lines += ["", overhead.TAPE_NOTE, ""]
        lines += [f"| {' | '.join(overhead.TAPE_COLUMNS)} |", "|---|---:|---:|"]
        lines += [f"| {' | '.join(row)} |" for row in features]
    return "\n".join([*lines, ""])


_INTRODUCTION = """# Benchmarks

This page is written by `python -m bench.report` from the figures in `bench/results/`.

Every framework runs in processes of its own, in turns with the others, three rounds each; a figure
is the median of the rounds' medians. **Ratio** is the framework's time over gpunet's of the same
run: above 1, gpunet is faster. Each section is of one machine at one hour, whose cores others may
have used in part; compare ratios, not milliseconds. The pictures are of the last section that has
the workload. `gpunet bench` (or `make bench`) measures all of it on yours; `--compare FILE` says
what became faster or slower since.

A **~** stands where other programs kept part of the cores busy meanwhile.

PyTorch runs as it does without further settings ("eager"), JAX under `jit`, NumPy as one writes the
same by hand. **Rate** is that of the bytes or operations which a step needs at the least, in
brackets its share of what a plain copy or a large product of matrices reaches here.

Peak memory is that of a process for this alone; operations share one. In brackets stands that of a
convolution: the growth of the process from its inputs alone to the peak of its first pass, inputs
included, over the size of its inputs and outputs (`VmHWM` of Linux, begun anew before the pass).
The goal is 1.5 at most.

![Times of others, as multiples of gpunet's](images/bench-ratios.png)

![What products and convolutions reach of this machine](images/bench-roofline.png)

![Peak memory](images/bench-memory.png)
"""

_PROFILES = """## Where the time goes

Profiles by `gpunet.profile()`: forward and backward by layer and operation. "Python" in a layer is
what it does beside its operations: checks, new tensors, calls; "graph" is what the backward pass
does itself; "outside" is the loop, `zero_grad` and all else. **Of the floor**: the least time for
an operation's bytes (of a copy) and multiply-adds (of a large product) over the time it takes.
"""


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    for file in (PAGE, *draw()):
        print(f"written: {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
