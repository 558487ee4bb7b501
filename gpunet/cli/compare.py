"""`gpunet compare`: the last figures of several runs in a table, their curves in one picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from gpunet.cli.console import console
from gpunet.errors import ArgumentError, CheckpointError
from gpunet.train.run import METRICS

SPEED = "samples_per_second"


def run(options: Any) -> int:
    from gpunet import viz

    histories: dict[str, list[dict[str, Any]]] = {}
    for folder in map(Path, options.runs):
        name = folder.resolve().name
        if name in histories:
            raise ArgumentError("compare", f"runs must have different names, got {name} twice")
        histories[name] = _history(folder / METRICS)
    path = viz.compare_curves(histories, options.out)
    console.print(_table(histories))
    console.print(f"picture, open it: {path}", markup=False, soft_wrap=True)
    return 0


def _table(histories: dict[str, list[dict[str, Any]]]) -> Table:
    """A row a run: how long it took, and each figure after its last epoch."""
    last = {name: history[-1] for name, history in histories.items()}
    figures = list(dict.fromkeys(key for record in last.values() for key in record))
    figures = [key for key in figures if key not in ("epoch", "lr", "seconds", SPEED)]
    table = Table("run", box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("epochs", "minutes", *(key.replace("_", " ") for key in figures)):
        table.add_column(column, justify="right")
    for name, record in last.items():
        minutes = sum(entry["seconds"] for entry in histories[name]) / 60
        cells = [f"{record[key]:.4f}" if key in record else "" for key in figures]
        table.add_row(escape(name), str(record["epoch"]), f"{minutes:.1f}", *cells)
    return table


def _history(file: Path) -> list[dict[str, Any]]:
    """The figures of a run, epoch by epoch."""
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        problem = f"must be the folder of a run, got {file.parent} without {file.name}"
        raise CheckpointError("compare", problem, "it is written after each epoch") from error
    except ValueError as error:
        problem = f"{file} must hold a line of JSON an epoch, got: {error}"
        raise CheckpointError("compare", problem) from error
