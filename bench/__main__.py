"""Measures, prints the table, keeps the figures: `python -m bench [WORKLOAD ...] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench import THREADS, conv, elementwise, images, optimizers, recurrent, text

# In a file or a pipe the table keeps its width.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
RIVALS = {
    "W1": ("torch", "torch-fused", "jax"),
    "W1s": ("torch", "jax"),
    **dict.fromkeys(images.WORKLOADS, ("torch", "torch-channels-last")),
    **dict.fromkeys(recurrent.WORKLOADS, ("torch",)),
    **dict.fromkeys(text.WORKLOADS, ("torch",)),
    "W7": ("torch", "jax"),
    "W9": ("torch", "jax"),
    **dict.fromkeys(conv.WORKLOADS, ("torch",)),
    **dict.fromkeys(elementwise.WORKLOADS, ("torch",)),
    **dict.fromkeys(optimizers.WORKLOADS, optimizers.RIVALS),
}
# PyTorch's time over gpunet's
GOALS = {"W1": 1.8, "W1s": 1.8, "W2": 1.65, "W2l": 2.0, "W3": 1.25, "W7": 2.0, "W8": 1.2, "W9": 4.0}
GOALS |= {"W4": 1.1, "W5": 1.3, "lstm-b32": 0.9, "lstm-b1": 1.25, "lstm-step": 2.9}
GOALS |= dict.fromkeys(conv.WORKLOADS, 1.0)
GOALS |= {workload: 2.5 for workload in elementwise.W6 if workload != "W6-copy"}
PACKAGE = {
    "torch": "torch",
    "torch-fused": "torch",
    "torch-channels-last": "torch",
    "copy": "torch",
    "jax": "jax",
}


def measure(python: str, framework: str, workload: str, seconds: float) -> dict[str, Any]:
    """One round in a fresh process: times in ms and peak memory."""
    arguments = [python, "-m", "bench.worker", framework]
    start = time.perf_counter()
    if workload == "W9":
        result = _worker([*arguments, "W1s", "0"])
        result["ms"] = [1e3 * (time.perf_counter() - start)]
        return result
    short = (*conv.WORKLOADS, *optimizers.WORKLOADS)  # there are many of them
    part = 0.25 if workload in short else 1.0
    return _worker([*arguments, workload, str(part * seconds)])


def _worker(command: list[str]) -> dict[str, Any]:
    # Warm caches include Python's own, also where the environment forbids to write them.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def run(chosen: list[str], rivals: dict[str, str], seconds: float, rounds: int) -> dict[str, Any]:
    """Workloads, frameworks in turn; returns {workload: {framework: figures}}.

    Args:
        chosen: what the names of the workloads begin with.
        rivals: for each rival that is there, the interpreter that has it.
        seconds: of measuring, a round.
    """
    pythons = {"gpunet": sys.executable, **rivals}
    plan = {
        workload: ("gpunet", *(name for name in names if name in rivals))
        for workload, names in RIVALS.items()
        if workload.startswith(tuple(chosen))
    }
    results: dict[str, Any] = {}
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("", total=sum(len(frameworks) for frameworks in plan.values()) * rounds)
        for workload, frameworks in plan.items():
            samples: dict[str, list[dict[str, Any]]] = {name: [] for name in frameworks}
            if workload == "W9":
                for name in frameworks:
                    measure(pythons[name], name, workload, 0)  # files into the system's cache
            for _ in range(rounds):
                for name in frameworks:
                    bar.update(task, description=f"{workload} {name}")
                    samples[name].append(measure(pythons[name], name, workload, seconds))
                    bar.advance(task)
            results[workload] = {name: _figures(found) for name, found in samples.items()}
    _add_bandwidths(results)
    return results


def _add_bandwidths(results: dict[str, Any]) -> None:
    """GB/s where memory is the bound, and their share of the faster copy of the same run."""
    for workload, frameworks in results.items():
        nbytes = elementwise.nbytes(workload) or optimizers.nbytes(workload)
        for figures in frameworks.values() if nbytes else ():
            figures["gb_per_s"] = nbytes / figures["median_ms"] / 1e6
    copies = [figures["gb_per_s"] for figures in results.get("W6-copy", {}).values()]
    for frameworks in results.values() if copies else ():
        for figures in frameworks.values():
            if "gb_per_s" in figures:
                figures["share_of_copy"] = figures["gb_per_s"] / max(copies)


def find_rivals(python: str) -> tuple[dict[str, str], dict[str, str]]:
    """The rivals `python` has, as {framework: python}, and their versions, {package: version}."""
    names = sorted(set(PACKAGE.values()))
    code = f"""if True:
        import json
        from importlib import metadata
        have = {{d.metadata["Name"]: d.version for d in metadata.distributions()}}
        print(json.dumps({{n: have[n] for n in {names} if n in have}}))"""
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    versions = json.loads(found.stdout)
    return {name: python for name, package in PACKAGE.items() if package in versions}, versions


def _figures(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    medians = [statistics.median(found["ms"]) for found in rounds]
    shares = [found["memory_share"] for found in rounds if "memory_share" in found]
    return {
        "median_ms": statistics.median(medians),
        "fastest_round_ms": min(medians),
        "slowest_round_ms": max(medians),
        "steps": sum(len(found["ms"]) for found in rounds),
        "peak_mib": max(found["peak_mib"] for found in rounds),
        **({"memory_share": max(shares)} if shares else {}),
    }


def machine(rival_versions: dict[str, str], workloads: list[str]) -> dict[str, Any]:
    """Where and with what the figures were measured."""
    own = {package: metadata.version(package) for package in ("gpunet", "numpy", "numba")}
    versions = {"python": platform.python_version(), **own, **rival_versions}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": THREADS,
        "versions": versions,
        "commit": commit.stdout.strip(),
        "command": " ".join(["python -m bench", *workloads]),  # not where files lay
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def goal_of(workload: str, framework: str) -> float | None:
    """What a rival's time over gpunet's should be at least."""
    if framework == "gpunet":
        return None
    if framework == "copy":
        return optimizers.FLOOR
    return GOALS.get(workload) if framework == "torch" else 1.0


def milliseconds(ms: float) -> str:
    """Four digits also where they are few."""
    return f"{ms:.3f}" if ms >= 1 else f"{ms:.4f}"


def spread(figures: dict[str, Any]) -> str:
    """The medians of the fastest and the slowest round."""
    return " to ".join(milliseconds(figures[f"{end}_round_ms"]) for end in ("fastest", "slowest"))


def bandwidth(figures: dict[str, Any]) -> str:
    """GB/s, and their share of a copy's."""
    if "gb_per_s" not in figures:
        return ""
    share = f" ({figures['share_of_copy']:.0%})" if "share_of_copy" in figures else ""
    return f"{figures['gb_per_s']:.0f}{share}"


def memory(figures: dict[str, Any]) -> str:
    """Peak memory of the process; of a convolution also that of a pass, in inputs and outputs."""
    share = f" ({figures['memory_share']:.2f}×)" if "memory_share" in figures else ""
    return f"{figures['peak_mib']:.0f}{share}"


def show(results: dict[str, Any]) -> None:
    """The table: times, ratios to gpunet, and the goal."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    columns = "workload", "framework", "median ms", "rounds", "peak MiB", "GB/s", "ratio", "goal"
    for column in columns:
        table.add_column(column, justify="left" if column in ("workload", "framework") else "right")
    for workload, frameworks in results.items():
        own = frameworks["gpunet"]["median_ms"]
        for name, figures in frameworks.items():
            ratio = figures["median_ms"] / own
            goal = goal_of(workload, name)
            colour = "green" if goal is None or ratio >= goal else "red"
            table.add_row(
                workload if name == "gpunet" else "",
                name,
                milliseconds(figures["median_ms"]),
                spread(figures),
                memory(figures),
                bandwidth(figures),
                "" if name == "gpunet" else f"[{colour}]{ratio:.2f}[/]",
                "" if goal is None else f"{goal}",
            )
        table.add_section()
    console.print(table)
    console.print(
        "[dim]ratio: the rival's time over gpunet's, above 1 gpunet is faster. "
        "GB/s: of what must be moved; in brackets, of what a copy reaches. Memory: of the process; "
        "in brackets, of a convolution, its peak over its inputs and outputs "
        f"(goal: at most {conv.MEMORY_GOAL})[/]"
    )


def keep(file: Path, made: dict[str, Any], results: dict[str, Any]) -> None:
    """Writes the figures; those of other workloads stay if made in the same circumstances."""
    if file.exists():
        before = json.loads(file.read_text())
        if {**before["machine"], "command": made["command"]} == made:
            made["command"] = f"{before['machine']['command']}`, `{made['command']}"
            results = {**before["workloads"], **results}
    file.write_text(json.dumps({"machine": made, "workloads": results}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "workloads", nargs="*", default=[""], metavar="WORKLOAD", help="e.g. W6 W9; all if none"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round: a look, not a result"
    )
    parser.add_argument("--json", type=Path, help="keep the figures, e.g. bench/results/NAME.json")
    parser.add_argument(
        "--rivals-python", default=sys.executable, metavar="PATH",
        help="an interpreter that has PyTorch or JAX and NumPy, if this one has not",
    )  # fmt: skip
    options = parser.parse_args()
    rivals, versions = find_rivals(options.rivals_python)
    for package in sorted(set(PACKAGE.values()) - set(versions)):
        console.print(
            f"[yellow]{package} is not installed, so it is left out: pip install {package}[/]"
        )
    results = run(options.workloads, rivals, *((0.5, 1) if options.quick else (2.0, 3)))
    show(results)
    if options.json:
        keep(options.json, machine(versions, options.workloads), results)
        console.print(f"written to {options.json}")


if __name__ == "__main__":
    main()
