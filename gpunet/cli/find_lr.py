"""`gpunet find-lr`: a sweep over learning rates, its picture, and the rate it suggests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gpunet
from gpunet import backend
from gpunet.cli.console import console
from gpunet.errors import MissingPackageError
from gpunet.train.build import build_data, build_model, build_trainer
from gpunet.train.config import load
from gpunet.train.find_lr import find_lr

_LITERAL: Any = {"markup": False, "soft_wrap": True}


def run(options: Any) -> int:
    overrides = options.overrides + ([f"device={options.device}"] if options.device else [])
    config = load(Path(options.config), overrides)
    be, reason = backend.resolve(config.device)
    gpunet.manual_seed(config.seed)
    train, name, held_out = build_data(config.data, config.seed)
    trainer = build_trainer(config, build_model(config).to(be.device), train, (name, held_out))
    console.print(f"[bold]{config.name}[/]  up to {options.steps} steps")
    console.print(reason, style="dim", **_LITERAL)
    found = find_lr(trainer, options.lowest, options.highest, options.steps)
    present = config.optimizer.arguments.get("lr", trainer.optimizer.defaults["lr"])
    least = found.rates[found.losses.index(min(found.losses))]
    console.print(
        f"the loss falls fastest at lr = [bold green]{found.suggestion:.2g}[/], "
        f"and was least at {least:.2g}; the configuration has {present:g}",
        soft_wrap=True,
    )
    try:
        from gpunet import viz

        path = viz.learning_rates(found.rates, found.losses, found.suggestion, Path(options.out))
        console.print(f"picture, open it: {path}", **_LITERAL)
    except MissingPackageError as error:
        console.print(f"no picture: {error}", **_LITERAL)
    return 0
