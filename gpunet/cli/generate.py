"""`gpunet generate`: a text by a trained language model, character by character."""

from __future__ import annotations

from typing import Any

import gpunet
from gpunet import data
from gpunet.cli.restore import restore
from gpunet.errors import ArgumentError
from gpunet.train.build import build_task
from gpunet.train.tasks import LanguageModel


def run(options: Any) -> int:
    model, config, be = restore(options.run, options.device)
    task = build_task(config)
    if not isinstance(task, LanguageModel):
        rule = f"the run must be of a language_model, got one of {config.task}"
        raise ArgumentError("generate", rule, options.run)
    gpunet.manual_seed(options.seed)
    characters = task.write(
        model,
        data.describe(config.data.set).classes,
        options.prompt,
        options.length,
        be,
        options.temperature,
        options.top_k,
    )
    print(options.prompt, end="", flush=True)
    for character in characters:
        print(character, end="", flush=True)
    print()
    return 0
