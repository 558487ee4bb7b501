"""`gpunet folds`: trains once for each fold of a data set, and tells the mean of the figures."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import gpunet
from gpunet import backend
from gpunet.cli.console import console
from gpunet.cli.train import free_folder
from gpunet.errors import ArgumentError
from gpunet.train.build import build_data, build_model, build_trainer, describe, load_part
from gpunet.train.config import Config, load
from gpunet.train.run import Run


def run(options: Any) -> int:
    overrides = options.overrides + ([f"device={options.device}"] if options.device else [])
    config = load(Path(options.config), overrides)
    folds = describe(config.data).folds
    if not folds:
        rule = f"data.set must be one that has folds, got {config.data.name!r}"
        raise ArgumentError("folds", rule, "it has a test set of its own: use gpunet train")
    if config.data.fold is not None:
        raise ArgumentError("folds", f"data.fold must be left out, got {config.data.fold}")
    folder, values = free_folder(options.out, f"{config.name}-folds"), []
    for fold in range(folds):
        one = replace(config, data=replace(config.data, fold=fold))
        name, value, shown = _train(one, folder / f"fold-{fold}")
        values.append(value)
        console.print(f"fold {fold + 1:>2} of {folds}: {name} {shown(value)}")
    mean, spread = statistics.mean(values), statistics.stdev(values)
    console.print(
        f"{config.data.name}, {folds} folds: {name} [bold green]{shown(mean)}[/], "
        f"standard deviation {shown(spread)}"
    )
    console.print(f"written to {folder}/", markup=False, soft_wrap=True)
    return 0


def _train(config: Config, folder: Path) -> tuple[str, float, Any]:
    """Trains on all folds but one; the figure on that one, its name, and how it is shown."""
    be, _ = backend.resolve(config.device)
    gpunet.manual_seed(config.seed)
    model = build_model(config).to(be.device)
    train, name, held_out = build_data(config.data, config.seed)
    trainer = build_trainer(config, model, train, (name, held_out))
    parameters = sum(p.numel() for p in model.parameters())
    trainer.callbacks = [Run.create(folder, config, 4 * parameters)]
    trainer.fit()
    task, test = trainer.task, load_part(config.data, "test")
    figures = task.evaluate(trainer.averaging.best_of(model), test, be).figures
    return f"test {task.figure}", figures[task.figure], lambda value: task.show(task.figure, value)
