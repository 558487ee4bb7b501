"""`gpunet profile`: where the time and the memory of training go, by layer and operation."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import gpunet
from gpunet import backend
from gpunet.cli.console import console
from gpunet.errors import ArgumentError
from gpunet.profiling.table import NOTE, summary, table
from gpunet.train.build import build_data, build_model, build_trainer
from gpunet.train.config import load

WARM_UP = 3  # steps: the first compile kernels and fill caches
LEAST = 0.01  # share of the time that earns a row of its own
_LITERAL: Any = {"markup": False, "soft_wrap": True}


def run(options: Any) -> int:
    if options.steps < 1:
        raise ArgumentError("profile", f"--steps must be at least 1, got {options.steps}")
    overrides = options.overrides + ([f"device={options.device}"] if options.device else [])
    config = load(Path(options.config), overrides)
    be, reason = backend.resolve(config.device)
    gpunet.manual_seed(config.seed)
    train, name, held_out = build_data(config.data, config.seed)
    trainer = build_trainer(config, build_model(config).to(be.device), train, (name, held_out))
    trainer.schedule = None  # a short one may be over before
    console.print(f"[bold]{config.name}[/]")
    console.print(reason, style="dim", **_LITERAL)
    batches = (batch for _ in iter(int, 1) for batch in trainer.loader)
    trainer.model.train()
    for batch in islice(batches, WARM_UP):
        trainer.train_on([batch])
    with gpunet.profile() as profile:
        for batch in islice(batches, options.steps):
            trainer.train_on([batch])
    console.print(summary(profile), **_LITERAL)
    console.print(table(profile, LEAST))
    console.print(NOTE, style="dim")
    profile.write_trace(options.out)
    console.print(f"trace, open it in https://ui.perfetto.dev: {options.out}", **_LITERAL)
    return 0
