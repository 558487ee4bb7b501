"""`gpunet summary`: the layers of a configured model and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

import gpunet
from gpunet import backend
from gpunet.cli.console import console
from gpunet.train.build import build_data, build_example, build_model, build_trainer
from gpunet.train.config import Config, load
from gpunet.train.memory import size
from gpunet.train.summary import summarize


def run(options: Any) -> int:
    config = load(Path(options.config), options.overrides)
    if options.memory:
        return _memory(config)
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
    console.print(f"[bold]{config.name}[/] on {config.data.name}")
    console.print(table)
    parameters = totals[0] + totals[1]
    console.print(
        f"{parameters:,} parameters, {4 * parameters / 1e6:.2f} MB in float32; "
        "multiply-adds for one example"
    )
    return 0


def _memory(config: Config) -> int:
    """A line for each layer that holds something in a step on the first batch."""
    be, _ = backend.resolve(config.device)
    gpunet.manual_seed(config.seed)
    train, name, held_out = build_data(config.data, config.seed)
    trainer = build_trainer(config, build_model(config).to(be.device), train, (name, held_out))
    batch = next(iter(trainer.loader))
    trainer.model.train()
    layers = trainer.gradients.memory(batch)
    table = Table("layer", box=None, header_style="dim", padding=(0, 2, 0, 0))
    columns = "parameters", "gradients", "state", "kept"
    for column in (*columns, "all"):
        table.add_column({"state": "optimizer"}.get(column, column), justify="right")
    for layer in layers:
        sizes = [getattr(layer, column) for column in columns]
        table.add_row(layer.name or "outside", *map(_size, sizes), _size(layer.total))
    totals = [sum(getattr(layer, column) for layer in layers) for column in columns]
    table.add_section()
    table.add_row("all", *map(_size, totals), _size(sum(totals)), style="bold")
    console.print(
        f"[bold]{config.name}[/] on {config.data.name}, {len(batch[0]):,} examples a batch"
    )
    console.print(table)
    console.print("kept: for the backward pass, by the first layer that needs it")
    return 0


def _size(nbytes: int) -> str:
    return size(nbytes) if nbytes else ""


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
