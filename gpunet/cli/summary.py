"""`gpunet summary`: the layers of a configured model and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from gpunet.cli.console import console
from gpunet.train.build import build_example, build_model
from gpunet.train.config import load
from gpunet.train.summary import summarize


def run(options: Any) -> int:
    config = load(Path(options.config), options.overrides)
    example = build_example(config.data)
    lines = summarize(build_model(config), *example)
    table = Table("", "layer", box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("output", "weights", "biases", "multiply-adds"):
        table.add_column(column, justify="right")
    for x in example:
        table.add_row("", "input", _shape(x.shape[1:]), "", "", "")
    for line in lines:
        numbers = [f"{n:,}" if n else "" for n in (line.weights, line.biases, line.multiply_adds)]
        table.add_row(line.name, line.kind, _shape(line.output), *numbers)
    totals = [
        sum(getattr(line, name) for line in lines)
        for name in ("weights", "biases", "multiply_adds")
    ]
    table.add_section()
    table.add_row("", "all", "", *(f"{n:,}" for n in totals), style="bold")
    console.print(f"[bold]{config.name}[/] on {config.data.set}")
    console.print(table)
    parameters = totals[0] + totals[1]
    console.print(
        f"{parameters:,} parameters, {4 * parameters / 1e6:.2f} MB in float32; "
        "multiply-adds for one example"
    )
    return 0


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
