"""`gpunet predict`: what a trained network makes of something new, such as a picture."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from gpunet.cli.console import console, probability_bars
from gpunet.cli.restore import restore
from gpunet.train.build import build_task


def run(options: Any) -> int:
    model, trained, be = restore(options.run, options.device)
    task, known = build_task(trained.config), trained.description()
    task.vocabularies = trained.vocabularies()
    for source in options.inputs:
        prediction = task.predict(model, known, source, be)
        answer = f"[bold green]{escape(prediction.answer)}[/]"
        console.print(f"{escape(source)}: {answer}", soft_wrap=True)
        for line in probability_bars(prediction.probabilities):
            console.print("  " + line, markup=False)
    return 0
