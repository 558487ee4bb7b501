"""`gpunet bench`: measures, prints the tables, keeps the figures. `python -m bench` is the same."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import crossover, plan
from bench.measure import add_compiling, find_rivals, keep, machine, run
from bench.show import compare, console, show
from gpunet import backend
from gpunet.backend import crossover as stored
from gpunet.backend.cuda import probe

SECONDS, ROUNDS = 0.5, 3
QUICK_SECONDS, QUICK_ROUNDS = 0.3, 1


def bench(options: Any) -> int:
    """Does what the command says; see `gpunet bench --help`."""
    names = plan.chosen(options.names, options.quick)
    if not names:
        console.print(f"[red]nothing is called {' '.join(options.names)}; there is:[/]")
        console.print(", ".join(plan.RIVALS))
        return 1
    if options.json and options.json.exists() and "machine" not in _content(options.json):
        console.print(f"[red]{options.json} is something else's: it would be overwritten[/]")
        return 1
    before = json.loads(options.compare.read_text()) if options.compare else None
    be, reason = backend.resolve(options.device or "cpu")
    rivals, versions = find_rivals(options.rivals_python, options.against.split(","))
    if be.device != "cpu":
        rivals = {name: python for name, python in rivals.items() if name.startswith("torch")}
        names = [name for name in names if name != "W9"]
    missing = [
        name for name, package in plan.PACKAGE.items()
        if package not in versions and package in options.against.split(",")
    ]  # fmt: skip
    console.print(reason, style="dim", markup=False)
    gpu = f"kernel by kernel on a GPU: make bench-gpu; {probe() or 'there is one here'}"
    console.print(gpu, style="dim", markup=False)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("")

        def tell(what: str) -> None:
            bar.update(task, description=what)

        times = (QUICK_SECONDS, QUICK_ROUNDS) if options.quick else (SECONDS, ROUNDS)
        results = run(names, rivals, *times, be.device, tell)
        if not options.quick and be.device == "cpu":
            add_compiling(results, tell)
    show(results, missing)
    if be.device != "cpu":
        crossover.find(be.device)
        console.print(stored.describe())
    if before is not None:
        compare(results, before)
    if options.json:
        keep(options.json, machine(versions, _command(options), be.device), results)
        console.print(f"written to {options.json}")
    return 0


def _content(file: Path) -> dict[str, Any]:
    content = json.loads(file.read_text())
    return content if isinstance(content, dict) else {}


def _command(options: Any) -> str:
    """What was asked for, but for where files lay."""
    words = ["gpunet bench", *options.names, *(["--quick"] if options.quick else [])]
    if options.device:
        words.append(f"--device {options.device}")
    return shlex.join(words).replace("'gpunet bench'", "gpunet bench")


if __name__ == "__main__":
    from gpunet.cli import main

    sys.exit(main(["bench", *sys.argv[1:]]))
