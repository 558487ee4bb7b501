"""`gpunet compare`: the curves of several runs in one picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpunet.cli.console import console
from gpunet.errors import ArgumentError, CheckpointError
from gpunet.train.run import METRICS


def run(options: Any) -> int:
    from gpunet import viz

    histories: dict[str, list[dict[str, Any]]] = {}
    for folder in map(Path, options.runs):
        name = folder.resolve().name
        if name in histories:
            raise ArgumentError("compare", f"runs must have different names, got {name} twice")
        histories[name] = _history(folder / METRICS)
    path = viz.compare_curves(histories, options.out)
    console.print(f"picture, open it: {path}", markup=False, soft_wrap=True)
    return 0


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
