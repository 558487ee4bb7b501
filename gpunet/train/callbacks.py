"""What may happen beside the training loop: a callback is told of named events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpunet.errors import GpunetError
    from gpunet.train.trainer import Trainer


class Callback:
    """Told by the trainer what happens; a subclass overrides what it wants to hear of."""

    def on_start(self, trainer: Trainer) -> None:
        """Training is about to begin, or to go on after a resume."""

    def on_gradients(self, trainer: Trainer) -> None:
        """Gradients were computed, are finite, and have changed nothing yet."""

    def on_batch(self, trainer: Trainer) -> None:
        """A step has been made, by one batch or several; `trainer.progress` counts it."""

    def on_epoch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """An epoch has ended and been evaluated; `record` holds its figures."""

    def on_stop(self, trainer: Trainer) -> None:
        """Training was asked to stop, between two batches."""

    def on_finish(self, trainer: Trainer) -> None:
        """Training came to its end: the last epoch, or one too many without a better figure."""

    def on_error(self, trainer: Trainer, error: GpunetError) -> None:
        """Training cannot go on: NaN, say, or a shape that does not fit."""

    def on_end(self, trainer: Trainer) -> None:
        """The last thing heard, however training ended."""
