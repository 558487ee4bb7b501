"""`gpunet bench`: measures, prints the tables, keeps the figures. `python -m bench` is the same."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import crossover, plan
from bench.machine import machine
from bench.measure import add_compiling, find_rivals, keep, run
from bench.show import compare, console, show, show_failures
from gpunet import backend
from gpunet.backend import crossover as stored
from gpunet.backend.cuda import probe

SECONDS, ROUNDS = 0.45, 3
GPU_SECONDS, GPU_ROUNDS = 0.15, 2  # there most steps take less than a millisecond
QUICK_SECONDS, QUICK_ROUNDS = 0.3, 1


def bench(options: Any) -> int:
    """Does what the command says; see `gpunet bench --help`."""
    be, reason = backend.resolve(options.device or "cpu")
    gpu: Any = None if be.device == "cpu" else be.gpu
    names, left_out = plan.chosen(options.names, options.quick), ""
    if gpu is not None:
        names, left_out = plan.on_gpu(names, bool(options.names))
    if refusal := _refusal(options, names):
        console.print(*refusal, sep="\n")
        return 1
    before = json.loads(options.compare.read_text()) if options.compare else None
    rivals, versions, missing = _rivals(options, gpu is not None)
    kernels = f"kernel by kernel on a GPU: make bench-gpu; {probe() or 'there is one here'}"
    for line in filter(None, (reason, kernels, left_out)):
        console.print(line, style="dim", markup=False)
    results, failures, more = _measured(names, rivals, options.quick, be.device)
    show(results, missing, gpu is not None)
    show_failures(failures)
    if gpu is not None:
        console.print(stored.describe())
    if before is not None:
        compare(results, before)
    if options.json:
        keep(options.json, machine(versions, _command(options), gpu), results, **more)
        console.print(f"written to {options.json}")
    return 1 if failures else 0


def _refusal(options: Any, names: list[str]) -> tuple[str, ...]:
    """Lines that say why nothing is measured."""
    if not names:
        asked = " ".join(options.names)
        return f"[red]nothing is called {asked}; there is:[/]", ", ".join(plan.RIVALS)
    if options.json and options.json.exists() and "machine" not in _content(options.json):
        return (f"[red]{options.json} is something else's: it would be overwritten[/]",)
    return ()


def _rivals(options: Any, gpu: bool) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """The rivals that are here and asked for, versions of their packages, rivals that lack."""
    asked = set(options.against.split(",")) & ({"torch"} if gpu else set(plan.PACKAGE.values()))
    possible = [f for f, package in plan.PACKAGE.items() if package in asked]
    if gpu:  # the copy is W6-copy there
        possible = [framework for framework in possible if framework != "copy"]
    rivals, versions = find_rivals(options.rivals_python, sorted(asked))
    here = {name: python for name, python in rivals.items() if name in possible}
    return here, versions, [name for name in possible if name not in here]


def _measured(
    names: list[str], rivals: dict[str, str], quick: bool, device: str
) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
    """Figures, what failed, and on a GPU from which sizes it wins; meanwhile says what it does."""
    seconds, rounds = (QUICK_SECONDS, QUICK_ROUNDS) if quick else (SECONDS, ROUNDS)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("")

        def tell(what: str) -> None:
            bar.update(task, description=what)

        if device != "cpu":
            results, failures = run(names, rivals, GPU_SECONDS, GPU_ROUNDS, device, tell)
            tell("from which sizes the GPU is faster")
            return results, failures, {"crossover": crossover.find(device)}
        results, failures = run(names, rivals, seconds, rounds, device, tell)
        if not quick:
            add_compiling(results, tell)
        return results, failures, {}


def _content(file: Path) -> dict[str, Any]:
    content = json.loads(file.read_text())
    return content if isinstance(content, dict) else {}


def _command(options: Any) -> str:
    """What was asked for, but for where files lay."""
    words = ["gpunet", "bench", *options.names, *(["--quick"] if options.quick else [])]
    if options.device:
        words += ["--device", options.device]
    return shlex.join(words)


if __name__ == "__main__":
    from gpunet.cli import main

    sys.exit(main(["bench", *sys.argv[1:]]))
