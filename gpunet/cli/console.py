"""The terminal, and the bars that show training."""

from __future__ import annotations

import time
from collections.abc import Mapping
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
        self.drawn, self.headed = 0.0, False

    def on_batch(self, trainer: Trainer) -> None:
        now = time.perf_counter()
        if now - self.drawn < REFRESH:
            return
        self.drawn, progress, show = now, trainer.progress, trainer.task.show
        shown = [f"{name} {show(name, value)}" for name, value in progress.means().items()]
        figures = "  ".join([*shown, f"{progress.seen / progress.seconds:,.0f} samples/s"])
        self.bars.update(self.batches, completed=trainer.loader.position, figures=figures)
        self.bars.refresh()

    def on_epoch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        columns = self._columns(trainer, record)
        if not self.headed:
            titles = "".join(title for title, _ in columns)
            console.print(f"[dim]{'epoch':>7}{titles}   samples/s[/]")
            self.headed = True
        figures = "".join(text for _, text in columns)
        console.print(
            f"{record['epoch']:>3}/{trainer.config.epochs:<3}{figures}"
            f"   {record['samples_per_second']:>9,.0f}"
        )
        self.bars.update(self.epochs, completed=trainer.loader.epoch)

    def on_end(self, trainer: Trainer) -> None:
        self.bars.stop()

    def _columns(self, trainer: Trainer, record: dict[str, Any]) -> list[tuple[str, str]]:
        """Title and text of each figure, in line: those of the training set, then the others."""
        columns, held_out = [], trainer.held_out_name
        for part in ("train", held_out):
            names = [key.removeprefix(f"{part}_") for key in record if key.startswith(f"{part}_")]
            for i, name in enumerate(names):
                title = name if i else f"{part} {name}"  # the part is said once
                width = max(8, len(title)) + (2 if i else 3)
                text = f"{trainer.task.show(name, record[f'{part}_{name}']):>{width}}"
                if (part, name) == (held_out, trainer.task.figure):
                    text = f"[bold]{text}[/]"
                columns.append((f"{title:>{width}}", text))
        return columns


def probability_bars(probabilities: Mapping[str, float], most: int = 10) -> list[str]:
    """A line an answer, likeliest first: name, bar, percent."""
    likeliest = sorted(probabilities, key=probabilities.__getitem__, reverse=True)[:most]
    width = max(map(len, likeliest), default=0)
    lines = []
    for name in likeliest:
        bar = BAR * round(30 * probabilities[name])
        lines.append(f"{name:>{width}}  {bar:<30} {probabilities[name]:>7.2%}")
    return lines
