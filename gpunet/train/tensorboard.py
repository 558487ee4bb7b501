"""What TensorBoard shows, written by tensorboardX: losses, learning rate, histograms of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpunet.errors import MissingPackageError
from gpunet.train.callbacks import Callback
from gpunet.train.config import WatchConfig
from gpunet.train.trainer import Trainer

FOLDER = "tensorboard"


class TensorBoard(Callback):
    """Writes event files into the folder `tensorboard` of a run, by the number of the step.

    - `step/loss` and the other figures of the step's own examples, and `step/lr`, every few steps;
    - `train/loss`, `test/loss`, ... and a histogram of each parameter after each epoch.

    `tensorboard --logdir runs` shows them, while the run goes on, too.

    Args:
        config: how often. folder: of the run.

    Raises:
        MissingPackageError: tensorboardX is not installed.
    """

    def __init__(self, config: WatchConfig, folder: Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            how = "pip install 'gpunet[tensorboard]'"
            raise MissingPackageError(
                "watch.tensorboard", f"event files need tensorboardX, which is missing: {how}"
            ) from error
        self.config, self.folder, self._open = config, folder / FOLDER, SummaryWriter
        self.writer: Any = None

    def on_start(self, trainer: Trainer) -> None:
        """What was written after the step that a run is taken up at is not shown."""
        step = trainer.progress.step
        self.writer = self._open(
            str(self.folder),
            purge_step=step + 1 if step else None,
            filename_suffix=f".{step}",  # its time is in seconds: too coarse for a quick resume
        )

    def on_batch(self, trainer: Trainer) -> None:
        step = trainer.progress.step
        if step % self.config.every:
            return
        for name, value in trainer.figures.items():
            self.writer.add_scalar(f"step/{name}", value, step)
        self.writer.add_scalar("step/lr", trainer.progress.lr, step)

    def on_epoch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        step = trainer.progress.step
        for part in ("train", trainer.held_out_name):
            for key in [key for key in record if key.startswith(f"{part}_")]:
                tag = f"{part}/{key.removeprefix(f'{part}_')}"
                self.writer.add_scalar(tag, record[key], step)
        for name, p in trainer.model.named_parameters():
            self.writer.add_histogram(f"weights/{name}", p.backend.to_host(p.array), step)
        self.writer.flush()

    def on_end(self, trainer: Trainer) -> None:
        if self.writer is not None:
            self.writer.close()
