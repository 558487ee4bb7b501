"""`gpunet eval`: the figures of a trained network on the test set, in detail."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from gpunet.cli.console import console
from gpunet.cli.restore import restore
from gpunet.train.build import build_task, load_part


def run(options: Any) -> int:
    model, trained, be = restore(options.run, options.device)
    config = trained.config
    task, test = build_task(config), load_part(config.data, "test")
    result = task.evaluate(model, test, be)
    details = task.table(result, test)
    table = Table(box=None, header_style="dim")
    for i, column in enumerate(details.columns):
        table.add_column(column, justify="right" if i else "left")
    for row in details.rows:
        table.add_row(*row)
    console.print(table)
    figures = {name: task.show(name, value) for name, value in result.figures.items()}
    figures[task.figure] = f"[bold green]{figures[task.figure]}[/]"
    shown = ", ".join(f"{name} {text}" for name, text in figures.items())
    console.print(f"{config.data.name} test set: {shown} ({details.summary})")
    return 0
