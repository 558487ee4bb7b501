"""The training loop, on one screen. Everything else (progress bars, files) hangs on as callbacks.

Progress can be written down between any two batches and taken up again: a run that was stopped and
resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gpunet import functional as F
from gpunet import nn, optim
from gpunet.autograd import Tensor
from gpunet.backend import Backend, random
from gpunet.data import DataLoader, Dataset
from gpunet.errors import NonFiniteError
from gpunet.train.callbacks import Callback
from gpunet.train.config import TrainConfig
from gpunet.train.diagnostics import first_non_finite, non_finite_parameter
from gpunet.train.metrics import Evaluation, evaluate


@dataclass
class Progress:
    """How far training has come: counters of the epoch under way, and the figures of those done."""

    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


def learning_rate(config: TrainConfig, base: float, step: int, steps_an_epoch: int) -> float:
    """A step's rate: rising linearly over the warm-up, then constant or half a cosine down to 0.

    Source: Loshchilov & Hutter, arXiv:1608.03983, eq. 5 without restarts.
    """
    warmup, total = config.warmup_epochs * steps_an_epoch, config.epochs * steps_an_epoch
    if step < warmup:
        return base * (step + 1) / warmup
    if config.schedule == "constant":
        return base
    return base * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


class Trainer:
    """Trains a classifier with cross entropy.

    Args:
        model, optimizer: what to train, and how.
        loader: batches of the training set.
        held_out: the set to evaluate on after each epoch, and its name in the figures, e.g. "test".
        config: epochs, schedule, label smoothing.
        be: the backend of the model's device.
        callbacks: told of events, in order.

    Attributes:
        progress: see `Progress`. stop: set it to True to stop after the batch under way.
        evaluation: of the last epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        loader: DataLoader,
        held_out: tuple[str, Dataset],
        config: TrainConfig,
        be: Backend,
        callbacks: Sequence[Callback] = (),
    ):
        self.model, self.optimizer, self.loader = model, optimizer, loader
        self.held_out_name, self.held_out = held_out
        self.config, self.be, self.callbacks = config, be, callbacks
        self.base_rates = [group["lr"] for group in optimizer.param_groups]
        self.progress = Progress()
        self.evaluation: Evaluation | None = None
        self.stop = False

    def fit(self) -> bool:
        """Trains to the last epoch; returns False if it was asked to stop before.

        Raises:
            NonFiniteError: the loss became NaN or Inf; the message says at which batch and layer.
                No callback hears of the epoch or stop then, so none saves such weights.
        """
        self._tell("on_start")
        try:
            while self.loader.epoch < self.config.epochs:
                epoch, started = self.loader.epoch, time.perf_counter()
                self.model.train()
                for inputs, targets in self.loader:
                    self._train_on(inputs, targets)
                    now = time.perf_counter()
                    self.progress.seconds, started = self.progress.seconds + now - started, now
                    self._tell("on_batch")
                    if self.stop:
                        if fault := non_finite_parameter(self.model):
                            raise self._diverged("weights must be finite to be kept", fault)
                        self._tell("on_stop")
                        return False
                self._finish_epoch(epoch)
        finally:
            self._tell("on_end")
        return True

    def _train_on(self, inputs: Any, targets: Any) -> None:
        progress, be = self.progress, self.be
        for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = learning_rate(self.config, base, progress.step, len(self.loader))
        x, t = Tensor(be.asarray(inputs), be), Tensor(be.asarray(targets), be)

        self.optimizer.zero_grad()
        scores = self.model(x)
        loss = F.cross_entropy(scores, t, label_smoothing=self.config.label_smoothing)
        value = loss.item()
        if not math.isfinite(value):
            raise self._diverged(
                f"the loss must be finite, got {value}", first_non_finite(self.model, x)
            )
        loss.backward()
        self.optimizer.step()

        progress.step += 1
        progress.seen += len(inputs)
        progress.loss_sum += value * len(inputs)
        progress.correct += int((scores.array.argmax(1) == t.array).sum())

    def _finish_epoch(self, epoch: int) -> None:
        progress, name = self.progress, self.held_out_name
        self.evaluation = evaluate(self.model, self.held_out, self.be)
        if not math.isfinite(self.evaluation.loss):
            x = Tensor(self.be.asarray(self.held_out.inputs), self.be)
            problem = f"the {name} loss must be finite, got {self.evaluation.loss}"
            raise self._diverged(
                problem, first_non_finite(self.model, x), f"after epoch {epoch + 1}"
            )
        record = {
            "epoch": epoch + 1,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": progress.loss_sum / progress.seen,
            "train_accuracy": progress.correct / progress.seen,
            f"{name}_loss": self.evaluation.loss,
            f"{name}_accuracy": self.evaluation.accuracy,
            "seconds": progress.seconds,
            "samples_per_second": progress.seen / progress.seconds,
        }
        self.progress = Progress(step=progress.step, history=[*progress.history, record])
        self._tell("on_epoch", record)

    def _diverged(self, problem: str, fault: str, when: str = "") -> NonFiniteError:
        when = when or f"at epoch {self.loader.epoch + 1}, batch {self.loader.position}"
        return NonFiniteError(
            "train", f"{problem} {when}", f"{fault}; a smaller learning rate often helps"
        )

    def _tell(self, event: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *arguments)

    # --- stop here, go on there

    def state_dict(self) -> dict[str, Any]:
        """Everything beside weights and optimizer that the next batch depends on.

        The values are JSON-compatible.
        """
        return {
            "progress": asdict(self.progress),
            "loader": self.loader.state_dict(),
            "random": random.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self.progress = Progress(**state["progress"])
        self.loader.load_state_dict(state["loader"])
        random.load_state_dict(state["random"])
