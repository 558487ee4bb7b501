"""`gpunet predict`: what a trained network makes of something new, such as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape

from gpunet.cli.console import console, probability_bars
from gpunet.cli.restore import restore
from gpunet.train.build import build_task
from gpunet.train.run import Run


def run(options: Any) -> int:
    model, config, be = restore(options.run, options.device)
    task = build_task(config)
    task.vocabularies = Run.open(Path(options.run)).vocabularies()
    for source in options.inputs:
        prediction = task.predict(model, config.data.set, source, be)
        answer = f"[bold green]{escape(prediction.answer)}[/]"
        console.print(f"{escape(source)}: {answer}", soft_wrap=True)
        for line in probability_bars(prediction.probabilities):
            console.print("  " + line, markup=False)
    return 0
