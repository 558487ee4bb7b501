"""The training loop, on one screen. Everything else (progress bars, files) hangs on as callbacks.

Progress can be written down between any two batches and taken up again: a run that was stopped and
resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gpunet import nn, optim
from gpunet.backend import random
from gpunet.data import DataLoader, Dataset
from gpunet.data.loader import Batch
from gpunet.errors import GpunetError, NonFiniteError, RunError
from gpunet.train.averaging import Averaging
from gpunet.train.callbacks import Callback
from gpunet.train.config import (
    AverageConfig,
    PrecisionConfig,
    RegularizationConfig,
    TrainConfig,
)
from gpunet.train.gradients import NOT_AGAIN, Gradients
from gpunet.train.locate import Fault, fault_in_operations, fault_in_weights
from gpunet.train.regularization import change_gradients, change_weights
from gpunet.train.schedule import RunSchedule
from gpunet.train.tasks import Evaluation, Task


@dataclass
class Progress:
    """How far training has come: sums over the epoch under way, and the figures of those done.

    Attributes:
        step: those made, in all. seen: examples in the epoch. skipped: steps of it that were left
            out, for a gradient in half precision that was not finite.
    """

    step: int = 0
    lr: float = 0.0
    seen: int = 0
    skipped: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)

    def means(self) -> dict[str, float]:
        """The figures of the training set in this epoch so far: averages over the examples."""
        return {name: total / self.seen for name, total in self.sums.items()}


class Trainer:
    """Trains a model.

    Args:
        task: what is learned, and how it is judged.
        model, optimizer: what to train, and how.
        loader: batches of the training set.
        held_out: the set to evaluate on after each epoch, after its name in the figures: "test".
        config: of the loop. schedule: of the learning rate, if it changes.
        regularization: of gradients and weights. average: of the weights, if there is to be one.
        precision: of products in training.
        callbacks: told of events, in order.

    Attributes:
        progress: see `Progress`. stop: set it to True to stop after the step under way.
        averaging: of the weights. evaluation: of the last epoch.
        batches, figures: of the last step; the latter are means over its examples.
    """

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        optimizer: optim.Optimizer,
        loader: DataLoader,
        held_out: tuple[str, Dataset],
        config: TrainConfig,
        schedule: RunSchedule | None = None,
        regularization: RegularizationConfig | None = None,
        average: AverageConfig | None = None,
        precision: PrecisionConfig | None = None,
        callbacks: Sequence[Callback] = (),
    ):
        self.task, self.model, self.optimizer, self.loader = task, model, optimizer, loader
        self.held_out_name, self.held_out = held_out
        self.config, self.schedule, self.callbacks = config, schedule, callbacks
        self.regularization = regularization or RegularizationConfig()
        self.averaging = Averaging(average, model)
        self.be = next(model.parameters()).backend
        self.gradients = Gradients(
            task, model, optimizer, config, precision or PrecisionConfig(), self._now
        )
        self.progress = Progress()
        self.evaluation: Evaluation | None = None
        self.batches: list[Batch] = []
        self.figures: dict[str, float] = {}
        self.stop = False

    def fit(self) -> bool:
        """Trains to the last epoch; returns False if it was asked to stop before.

        Raises:
            NonFiniteError: the loss became NaN or Inf; the message says at which batch and layer.
                No callback hears of the epoch or stop then, so none saves such weights.
            DeviceMemoryError: the memory does not reach; the message says what holds it, by layer.
        """
        self._tell("on_start")
        try:
            while self.loader.epoch < self.config.epochs and not self._exhausted():
                epoch, started = self.loader.epoch, time.perf_counter()
                self.model.train()
                of_step: list[Batch] = []
                for batch in self.loader:
                    of_step.append(batch)
                    last = self.loader.position == len(self.loader)
                    if len(of_step) < self.config.accumulate and not last:
                        continue
                    self.train_on(of_step)
                    of_step = []
                    now = time.perf_counter()
                    self.progress.seconds, started = self.progress.seconds + now - started, now
                    self._tell("on_batch")
                    if self.stop:
                        self.check_weights()
                        self._tell("on_stop")
                        return False
                self._finish_epoch(epoch)
            self._tell("on_finish")
        except RunError:  # the folder is not writable: there is nowhere to tell of it
            raise
        except GpunetError as error:
            self._tell("on_error", error)
            raise
        finally:
            self._tell("on_end")
        return True

    def train_on(self, batches: list[Batch]) -> dict[str, float]:
        """Makes one step on these batches; returns their figures before it: means."""
        progress = self.progress
        evaluations: list[dict[str, float]] = []

        def closure() -> float:  # some optimizers evaluate more than once a step
            first = not evaluations
            evaluations.append(self.gradients.compute(batches, first))
            if self.gradients.scaler.finite(self.optimizer):
                if first:
                    self._tell("on_gradients")
                change_gradients(self.model, self.regularization, progress.step)
            return evaluations[-1]["loss"] / size

        size = sum(len(inputs) for inputs, _ in batches)
        self.batches = batches
        if self.loader.position <= len(batches):  # the first of an epoch
            self.gradients.carried = None
        finite = self._step(closure)
        self.gradients.carried = self.gradients.after
        if finite:
            change_weights(self.model, self.regularization)
            self.averaging.after_step(self.model, self.loader.epoch)
        else:
            progress.skipped += 1

        progress.step += 1
        progress.lr = self.optimizer.param_groups[0]["lr"]
        progress.seen += size
        for name, total in evaluations[0].items():
            progress.sums[name] = progress.sums.get(name, 0.0) + total
        if self.schedule:
            self.schedule.after_batch()
        self.figures = {name: total / size for name, total in evaluations[0].items()}
        return self.figures

    def _step(self, closure: Callable[[], float]) -> bool:
        """The optimizer's step, unless its gradients overflowed in half precision."""
        scaler = self.gradients.scaler
        if not scaler.is_enabled():
            self.optimizer.step(closure)
            return True
        closure()
        finite = scaler.finite(self.optimizer)
        scaler.step(self.optimizer)
        scaler.update()
        return finite

    def _finish_epoch(self, epoch: int) -> None:
        progress, name = self.progress, self.held_out_name
        self.averaging.after_epoch(self.model, epoch)
        figures = self.evaluate().figures
        if not math.isfinite(figures["loss"]):
            problem = f"the {name} loss must be finite, got {figures['loss']}"
            fault = fault_in_weights(self.model, self._rule) or fault_in_operations(
                self.averaging.best_of(self.model), self.evaluate
            )
            raise self._diverged(problem, fault, f"after epoch {epoch + 1}")
        if self.schedule:
            self.schedule.after_epoch(figures[self.task.figure])
        record = {
            "epoch": epoch + 1,
            "lr": progress.lr,
            **{f"train_{figure}": value for figure, value in progress.means().items()},
            **{f"{name}_{figure}": value for figure, value in figures.items()},
            "seconds": progress.seconds,
            "samples_per_second": progress.seen / progress.seconds,
        }
        if self.gradients.scaler.is_enabled():
            record["skipped_steps"] = progress.skipped
            record["loss_scale"] = self.gradients.scaler.get_scale()
        self.progress = Progress(progress.step, progress.lr, history=[*progress.history, record])
        self._tell("on_epoch", record)

    def evaluate(self) -> Evaluation:
        """Judges what was learned on the held-out set: the average of the weights if there is one.

        The result is kept as `evaluation`.
        """
        judged = self.averaging.best_of(self.model)
        self.evaluation = self.task.evaluate(judged, self.held_out, self.be)
        return self.evaluation

    def best_epoch(self) -> int:
        """The first of the epochs with the best figure, counted from 1; 0 before there is one."""
        figure = f"{self.held_out_name}_{self.task.figure}"
        sign = 1 if self.task.more_is_better else -1
        values = [sign * record[figure] for record in self.progress.history]
        return values.index(max(values)) + 1 if values else 0

    def _exhausted(self) -> bool:
        """Whether the best epoch is `patience` epochs ago."""
        patience = self.config.patience
        return bool(patience) and len(self.progress.history) - self.best_epoch() >= patience

    def check_weights(self) -> None:
        """Refuses weights that must not be written down.

        Raises:
            NonFiniteError: one is NaN or Inf.
        """
        if fault := fault_in_weights(self.model, self._rule):
            raise self._diverged("weights must be finite to be kept", fault)

    @property
    def _rule(self) -> str:
        return type(self.optimizer).__name__

    def _diverged(self, problem: str, fault: Fault | None, when: str = "") -> NonFiniteError:
        return NonFiniteError("train", f"{problem} {when or self._now()}", str(fault or NOT_AGAIN))

    def _now(self) -> str:
        return f"at epoch {self.loader.epoch + 1}, batch {self.loader.position}"

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
            "schedule": self.schedule and self.schedule.scheduler.state_dict(),
            "random": random.state_dict(),
            "scaler": self.gradients.scaler.state_dict(),
            "micro_batch": self.gradients.micro,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self.progress = Progress(**state["progress"])
        self.loader.load_state_dict(state["loader"])
        if self.schedule:
            self.schedule.scheduler.load_state_dict(state["schedule"])
        random.load_state_dict(state["random"])
        self.gradients.scaler.load_state_dict(state.get("scaler", {}))
        self.gradients.micro = state.get("micro_batch", 0)
