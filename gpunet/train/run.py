"""The folder of a run: the configuration as used, metrics, checkpoint, pictures.

runs/digits/
    config.toml             the configuration as used; `gpunet train` takes it again
    metrics.jsonl           a line an epoch
    checkpoint.safetensors  the state after the last epoch, or where it was stopped
    learning_curve.png ...  the task's pictures
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from gpunet.errors import CheckpointError, RunError
from gpunet.train import checkpoint
from gpunet.train.callbacks import Callback
from gpunet.train.config import Config, load, to_toml
from gpunet.train.trainer import Trainer

CONFIG, METRICS, CHECKPOINT = "config.toml", "metrics.jsonl", "checkpoint.safetensors"


class Run(Callback):
    """Writes a run's files as training goes on.

    Attributes:
        folder: where they are.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, config: Config, parameter_bytes: int) -> Run:
        """A fresh folder, found writable and with room for checkpoints before anything is computed.

        Args:
            folder: must not exist yet, or be empty.
            parameter_bytes: size of the model's parameters.

        Raises:
            RunError: it exists with something in it, cannot be written, or the disk is too full.
        """
        if folder.is_dir() and any(folder.iterdir()):
            raise RunError(
                "train", f"--out must be a new or empty folder, got {folder}, which holds files"
            )
        # Weights and two moments, in a new checkpoint beside the old one; pictures and metrics are
        # small.
        needed = 6 * parameter_bytes + (1 << 22)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
            if free >= needed:
                (folder / CONFIG).write_text(to_toml(config), encoding="utf-8")
        except OSError as error:
            raise RunError(
                "train", f"{folder} must be writable, got: {error.strerror or error}"
            ) from error
        if free < needed:
            raise RunError(
                "train",
                f"{folder} must have {needed / 1e6:.0f} MB free for checkpoints, "
                f"got {free / 1e6:.0f} MB",
            )
        return cls(folder)

    @classmethod
    def open(cls, folder: Path) -> tuple[Run, Config]:
        """The run in a folder and its configuration.

        Raises:
            CheckpointError: the folder holds no run.
        """
        if not (folder / CONFIG).is_file():
            raise CheckpointError(
                "run", f"must be the folder of a run, got {folder} without {CONFIG}"
            )
        return cls(folder), load(folder / CONFIG)

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint."""
        return self.folder / CHECKPOINT

    def restore(self, trainer: Trainer) -> None:
        """Sets a freshly built trainer to where the run stopped."""
        saved = checkpoint.load(self.checkpoint)
        checkpoint.restore_model(self.checkpoint, saved, trainer.model)
        checkpoint.restore_optimizer(self.checkpoint, saved, trainer.optimizer)
        trainer.load_state_dict(saved.state)

    def on_epoch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        self._save(trainer)
        # The whole history again, not one more line: a crash between the files then mends itself.
        lines = "".join(json.dumps(entry) + "\n" for entry in trainer.progress.history)
        checkpoint.write_atomically(self.folder / METRICS, lines.encode())

    def on_stop(self, trainer: Trainer) -> None:
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        checkpoint.save(self.checkpoint, trainer.model, trainer.optimizer, trainer.state_dict())
