"""`gpunet verify-resume`: proves that stopping and resuming changes no bit of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpunet import backend
from gpunet.cli.console import console
from gpunet.errors import ArgumentError
from gpunet.train.config import load
from gpunet.train.verify import verify_resume


def run(options: Any) -> int:
    if options.steps < 3:
        raise ArgumentError("verify-resume", f"--steps must be at least 3, got {options.steps}")
    overrides = options.overrides + ([f"device={options.device}"] if options.device else [])
    config = load(Path(options.config), overrides)
    be, reason = backend.resolve(config.device)
    stops = [options.steps // 3, 2 * options.steps // 3]
    where = " and ".join(map(str, stops))
    console.print(f"[bold]{config.name}[/]  {options.steps} steps, twice: stopped after {where}")
    console.print(reason, style="dim", markup=False, soft_wrap=True)
    found = verify_resume(config, be, options.steps, stops)
    if not found:
        console.print("[bold green]exact[/]: the same bits with and without the stops")
        return 0
    console.print("[bold red]not exact[/]: what the model draws or keeps must be in its state")
    for line in found:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    return 1
