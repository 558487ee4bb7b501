"""The folder of a run: the configuration as used, metrics, checkpoints, pictures.

runs/digits/
    config.toml               the configuration as used; `gpunet train` takes it again
    metrics.jsonl             a line an epoch
    checkpoint.safetensors    the latest state: after an epoch, or where it was stopped
    best.safetensors          the state after the best epoch
    vocabularies.json         the tokens of texts, and their numbers
    failure.txt               why it ended, where it was an error
    diagnostics.jsonl         what the configuration asks to look at, a line every few steps
    epoch-0007.safetensors    those of the last epochs, where the configuration keeps several
    learning_curve.png ...    the task's pictures
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpunet import data, text
from gpunet.data import Dataset, Description
from gpunet.errors import CheckpointError, GpunetError, RunError
from gpunet.text import Vocabulary
from gpunet.train import checkpoint
from gpunet.train.build import describe
from gpunet.train.callbacks import Callback
from gpunet.train.checkpoint import Checkpoint
from gpunet.train.config import Config, differences, load, loads, to_toml
from gpunet.train.trainer import Trainer

CONFIG, METRICS, CHECKPOINT = "config.toml", "metrics.jsonl", "checkpoint.safetensors"
BEST, FAILURE = "best.safetensors", "failure.txt"
VOCABULARIES, DESCRIPTION = "vocabularies.json", "data.json"
# A resumed run may be another in these: they decide nothing, or what is not yet computed.
FREE = (
    *("device ", "checkpoints.", "diagnostics.", "watch."),
    *("data.path ", "data.workers ", "train.epochs "),  # data that moved is known by its content
)


class Run(Callback):
    """Writes a run's files as training goes on.

    Attributes:
        folder: where they are. config: of the run.
        checkpoint: path of the state to go on with.
    """

    def __init__(self, folder: Path, config: Config, name: str = CHECKPOINT):
        self.folder, self.config, self.checkpoint = folder, config, folder / name
        self._data: dict[str, str] = {}

    @classmethod
    def create(cls, folder: Path, config: Config, parameter_bytes: int) -> Run:
        """A fresh folder, found writable and with room for checkpoints before anything is computed.

        Args:
            folder: must not exist yet, or be empty.
            parameter_bytes: size of the model's parameters.

        Raises:
            RunError: it exists with something in it, cannot be written, or the disk is too full.
        """
        if folder.is_dir() and any(path.name != CONFIG + ".tmp" for path in folder.iterdir()):
            raise RunError(
                "train", f"--out must be a new or empty folder, got {folder}, which holds files"
            )
        # Weights and two moments, in each checkpoint that is kept, the best one, and a new one
        # beside them; pictures and metrics are small.
        needed = 3 * parameter_bytes * (config.checkpoints.keep + 2) + (1 << 22)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
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
        checkpoint.write_atomically(folder / CONFIG, to_toml(config).encode())
        return cls(folder, config)

    @classmethod
    def open(cls, path: Path) -> Run:
        """The run in a folder, or at one of its checkpoints.

        Raises:
            CheckpointError: the folder holds no run.
        """
        folder, name = (path.parent, path.name) if path.is_file() else (path, CHECKPOINT)
        if not (folder / CONFIG).is_file():
            raise CheckpointError(
                "run", f"must be the folder of a run, got {folder} without {CONFIG}"
            )
        return cls(folder, load(folder / CONFIG), name)

    def trained(self) -> tuple[Path, Checkpoint, str]:
        """The checkpoint to judge the run by, its path, and the part with the weights that count.

        After a run with patience it is the best one, where an average was kept, that.

        Raises:
            CheckpointError: there is no whole checkpoint.
        """
        last = self.checkpoint.name == CHECKPOINT and self.checkpoint.exists()
        path = self.folder / BEST if last and self.config.train.patience else self.checkpoint
        saved = checkpoint.load(path)
        averaged = saved.tensors.get("average.n_averaged")
        return path, saved, "average.module" if averaged is not None and averaged else "model"

    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """Those of the data it was trained on, if that is sentences.

        Raises:
            CheckpointError: their file is damaged.
        """
        path = self.folder / VOCABULARIES
        if not path.exists():
            return ()
        try:
            return text.from_json(path.read_text("utf-8"))
        except ValueError as error:
            raise CheckpointError("run", f"{path} must be as it was written: {error}") from error

    def description(self) -> Description:
        """What is known of the data it was trained on, be it still there or not.

        Raises:
            CheckpointError: that of one's own data is missing or damaged.
        """
        if self.config.data.set:
            return data.describe(self.config.data.set)
        path = self.folder / DESCRIPTION
        try:
            found: Any = json.loads(path.read_text("utf-8"))
            tuples: Any = {name: tuple(x) if type(x) is list else x for name, x in found.items()}
            return Description(**tuples)
        except (OSError, TypeError, ValueError) as error:
            raise CheckpointError("run", f"{path} must be as it was written: {error}") from error

    @property
    def begun(self) -> bool:
        """Whether there is anything to go on with; a run may be killed before its first epoch."""
        return self.checkpoint.exists() or (self.folder / METRICS).exists()

    def restore(self, trainer: Trainer) -> None:
        """Sets a freshly built trainer to where the run stopped.

        Raises:
            CheckpointError: there is no whole checkpoint, or it is one of other data or settings.
        """
        saved = checkpoint.load(self.checkpoint)
        self._compare(saved.state, trainer)
        self._restore_weights(self.checkpoint, saved, trainer)
        checkpoint.restore_optimizer(self.checkpoint, saved, trainer.optimizer)
        trainer.load_state_dict(saved.state)
        trainer.gradients.carried = checkpoint.carried(saved, trainer.be)
        if self.checkpoint.name != CHECKPOINT:
            self._go_back(trainer)
        if not trainer.progress.seen:  # it may have been killed while it wrote what follows
            self._follow_up(trainer)

    def on_batch(self, trainer: Trainer) -> None:
        every = self.config.checkpoints.every
        if every and trainer.progress.step % every == 0:
            trainer.check_weights()
            self._save(trainer)

    def on_epoch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        self._save(trainer)
        self._follow_up(trainer)

    def on_start(self, trainer: Trainer) -> None:
        (self.folder / FAILURE).unlink(missing_ok=True)
        if vocabularies := trainer.held_out.vocabularies:
            content = text.to_json(vocabularies).encode()
            checkpoint.write_atomically(self.folder / VOCABULARIES, content)
        if self.config.data.path:
            known = json.dumps(asdict(describe(self.config.data)), ensure_ascii=False, indent=1)
            checkpoint.write_atomically(self.folder / DESCRIPTION, known.encode())

    def on_error(self, trainer: Trainer, error: GpunetError) -> None:
        """Keeps what went wrong, for the report."""
        checkpoint.write_atomically(self.folder / FAILURE, str(error).encode())

    def on_stop(self, trainer: Trainer) -> None:
        self._save(trainer)

    def on_finish(self, trainer: Trainer) -> None:
        """Patience asks for the best weights, which are then those to be drawn and told of."""
        if self.config.train.patience:
            best = self.folder / BEST
            self._restore_weights(best, checkpoint.load(best), trainer)
            trainer.evaluate()

    def _save(self, trainer: Trainer) -> None:
        state = {
            **trainer.state_dict(),
            "config": to_toml(self.config),
            "data": self._fingerprints(trainer),
        }
        latest = self.folder / CHECKPOINT
        average = trainer.averaging.average
        checkpoint.save(
            latest, trainer.model, trainer.optimizer, state, average, trainer.gradients.carried
        )

    def _restore_weights(self, path: Path, saved: Checkpoint, trainer: Trainer) -> None:
        checkpoint.restore_model(path, saved, trainer.model)
        if trainer.averaging.average is not None:
            checkpoint.restore_model(path, saved, trainer.averaging.average, "average")

    def _follow_up(self, trainer: Trainer) -> None:
        """What is written after the checkpoint of an epoch. Done twice, it is the same."""
        history = trainer.progress.history
        if not history:
            return
        # The whole history again, not one more line: a crash between the files then mends itself.
        lines = "".join(json.dumps(entry) + "\n" for entry in history)
        checkpoint.write_atomically(self.folder / METRICS, lines.encode())
        if trainer.best_epoch() == len(history):
            _copy(self.checkpoint, self.folder / BEST)
        keep = self.config.checkpoints.keep
        if keep > 1:
            _copy(self.checkpoint, self.folder / f"epoch-{len(history):04}.safetensors")
            for path in sorted(self.folder.glob("epoch-*.safetensors"))[:-keep]:
                path.unlink()

    def _go_back(self, trainer: Trainer) -> None:
        """An older checkpoint becomes the latest, and what came after it is given up.

        Raises:
            CheckpointError: the best epoch until then, which patience asks for, was not kept.
        """
        done, best = len(trainer.progress.history), trainer.best_epoch()
        kept = self.folder / BEST, self.folder / f"epoch-{best:04}.safetensors", self.checkpoint
        found = next((path for path in kept if path.is_file() and _epochs(path) == best), None)
        if found is None and self.config.train.patience:
            raise CheckpointError(
                "resume",
                f"the best epoch so far, {best}, must have been kept to go back to "
                f"{self.checkpoint.name}, got none",
                "with patience, a run ends with its weights",
            )
        _copy(self.checkpoint, self.folder / CHECKPOINT)
        self.checkpoint = self.folder / CHECKPOINT
        if found:
            _copy(found, self.folder / BEST)
        else:
            (self.folder / BEST).unlink(missing_ok=True)
        for path in self.folder.glob("epoch-*.safetensors"):
            if _epochs(path) > done:
                path.unlink()

    # --- is it the same run?

    def _fingerprints(self, trainer: Trainer) -> dict[str, str]:
        if not self._data:
            self._data = {
                "train": _fingerprint(trainer.loader.dataset),
                trainer.held_out_name: _fingerprint(trainer.held_out),
            }
        return self._data

    def _compare(self, state: dict[str, Any], trainer: Trainer) -> None:
        changed = [
            change
            for change in differences(loads(state["config"]), self.config)
            if not change.startswith(FREE)
            or (trainer.schedule and change.startswith("train.epochs "))
        ]
        data = self._fingerprints(trainer)
        changed += [
            f"the {part} data is {data.get(part, 'none')}, was {was}"
            for part, was in state["data"].items()
            if data.get(part) != was
        ]
        if changed:
            raise CheckpointError(
                "resume",
                f"{self.checkpoint} must be of the same data and configuration, got others: "
                + "; ".join(changed),
            )


def _fingerprint(dataset: Dataset) -> str:
    value = 0
    for array in (dataset.inputs, dataset.targets):
        value = zlib.crc32(array.tobytes(), value)
    return f"{dataset.name} ({len(dataset):,} examples, CRC-32 {value:08x})"


def _epochs(path: Path) -> int:
    """How many were done when a checkpoint was written."""
    return len(checkpoint.load(path).state["progress"]["history"])


def _copy(source: Path, target: Path) -> None:
    """`target` becomes another name of `source`, whose content never changes; else a copy."""
    temporary = target.with_name(target.name + ".tmp")
    try:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:  # a file system without links
            shutil.copyfile(source, temporary)
        os.replace(temporary, target)
        temporary.unlink(missing_ok=True)  # it is still there where both were one file already
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RunError(
            "checkpoint", f"{target} must be writable, got: {error.strerror or error}"
        ) from error
