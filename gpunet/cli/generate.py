"""`gpunet generate`: a text by a trained language model, character by character."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gpunet
from gpunet.cli.restore import restore
from gpunet.errors import ArgumentError
from gpunet.train.build import build_task
from gpunet.train.tasks import LanguageModel


def run(options: Any) -> int:
    characters = writer(options, "generate")(options.prompt)
    print(options.prompt, end="", flush=True)
    for character in characters:
        print(character, end="", flush=True)
    print()
    return 0


def writer(options: Any, command: str) -> Callable[[str], Iterator[str]]:
    """What goes on with a text as the trained model of a run would, as the options ask for it.

    Raises:
        ArgumentError: the run is of no language model.
    """
    model, trained, be = restore(options.run, options.device)
    task = build_task(trained.config)
    if not isinstance(task, LanguageModel):
        rule = f"the run must be of a language_model, got one of {trained.config.task}"
        raise ArgumentError(command, rule, options.run)
    gpunet.manual_seed(options.seed)
    classes = trained.description().classes
    settings = options.length, be, options.temperature, options.top_k

    def write(prompt: str) -> Iterator[str]:
        return task.write(model, classes, prompt, *settings)

    return write
