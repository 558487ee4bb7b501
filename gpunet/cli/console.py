"""The terminal, and the bars that show training."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gpunet.train.callbacks import Callback
from gpunet.train.trainer import Trainer

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

BAR = "█"
REFRESH = 0.1  # seconds between two drawings: a small network takes a thousand steps in that time


class TrainingBars(Callback):
    """A line for each finished epoch; below them a bar for the epochs and one for the batches."""

    def on_start(self, trainer: Trainer) -> None:
        columns = (
            TextColumn("{task.description:<5}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
        )
        # Without a terminal there is nothing to redraw: the lines of the epochs tell the story.
        self.bars = Progress(
            *columns,
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self.epochs = self.bars.add_task("epoch", total=trainer.config.epochs, figures="")
        self.batches = self.bars.add_task("batch", total=len(trainer.loader), figures="")
        self.bars.update(self.epochs, completed=trainer.loader.epoch)
        self.bars.start()
        self.drawn = 0.0
        name = trainer.held_out_name
        console.print(
            f"[dim]{'epoch':>7}  {'train loss':>10}  {'accuracy':>8}"
            f"   {name + ' loss':>15}  {'accuracy':>8}   {'samples/s':>9}[/]"
        )

    def on_batch(self, trainer: Trainer) -> None:
        now = time.perf_counter()
        if now - self.drawn < REFRESH:
            return
        self.drawn, progress = now, trainer.progress
        loss, accuracy = progress.loss_sum / progress.seen, progress.correct / progress.seen
        rate = progress.seen / progress.seconds
        figures = f"loss {loss:.4f}  accuracy {accuracy:.2%}  {rate:,.0f} samples/s"
        self.bars.update(self.batches, completed=trainer.loader.position, figures=figures)
        self.bars.refresh()

    def on_epoch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        name = trainer.held_out_name
        console.print(
            f"{record['epoch']:>3}/{trainer.config.epochs:<3}"
            f"  {record['train_loss']:>10.4f}  {record['train_accuracy']:>8.2%}"
            f"   {record[name + '_loss']:>15.4f}  [bold]{record[name + '_accuracy']:>8.2%}[/]"
            f"   {record['samples_per_second']:>9,.0f}"
        )
        self.bars.update(self.epochs, completed=trainer.loader.epoch)

    def on_end(self, trainer: Trainer) -> None:
        self.bars.stop()


def probability_bars(probabilities: Any, classes: tuple[str, ...], most: int = 10) -> list[str]:
    """A line a class, likeliest first: name, bar, percent."""
    order = sorted(range(len(classes)), key=lambda k: -probabilities[k])[:most]
    width = max(len(classes[k]) for k in order)
    lines = []
    for k in order:
        bar = BAR * round(30 * float(probabilities[k]))
        lines.append(f"{classes[k]:>{width}}  {bar:<30} {probabilities[k]:>7.2%}")
    return lines
