"""The gradients of a step: in the precision asked for, in parts that fit, and what goes wrong."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from gpunet import nn, optim
from gpunet.autograd import Tensor, autocast
from gpunet.backend import random
from gpunet.data.loader import Batch
from gpunet.errors import DeviceMemoryError, NonFiniteError
from gpunet.train import memory
from gpunet.train.config import PrecisionConfig, TrainConfig
from gpunet.train.locate import (
    Fault,
    fault_in_data,
    fault_in_operations,
    fault_in_weights,
    gradients_finite,
    small_parameters,
)
from gpunet.train.tasks import Carried, Task

NOT_AGAIN = (
    "when it was done again it was finite: the model keeps state of its own, or draws random "
    "numbers of its own"
)


class Gradients:
    """Computes the gradients of a step; says what was wrong where it cannot.

    Args:
        task, model, optimizer: of the run. config: of the loop. precision: of products.
        when: says at which point of the run a step is, for messages.

    Attributes:
        scaler: of the loss; it does nothing in float32.
        micro: how many examples go through the model at once at most, 0 for a batch as it comes.
        carried, after: what a model that goes on from batch to batch carries: before the step, and
            after its last evaluation.
    """

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        optimizer: optim.Optimizer,
        config: TrainConfig,
        precision: PrecisionConfig,
        when: Callable[[], str],
    ):
        self.task, self.model, self.optimizer = task, model, optimizer
        self.config, self.when = config, when
        self.be = next(model.parameters()).backend
        half = precision.dtype != "float32"
        self._autocast = autocast(precision.dtype) if half else contextlib.nullcontext()
        self.scaler = optim.GradScaler(
            precision.init_scale,
            growth_interval=precision.growth_interval,
            enabled=precision.dtype == "float16",
        )
        self.micro = 0
        self.carried: Carried = None
        self.after: Carried = None
        self._watched = small_parameters(model)

    def compute(self, batches: list[Batch], first: bool = True) -> dict[str, float]:
        """Puts the gradients of the mean over all examples into the model.

        Where they were computed in float16, they are divided by the scale again.

        Args:
            first: of its step, before which no weight has changed.

        Returns:
            Sums of the figures over the examples.

        Raises:
            NonFiniteError: the loss or a gradient is not finite, of a first evaluation.
            DeviceMemoryError: the memory does not reach.
        """
        drawn = random.counter
        before = self._buffers() if self.config.auto_accumulate else []
        while True:
            try:
                sums = self._sum(batches, drawn if first else None)
                break
            except MemoryError as error:
                shortage = str(error)
            # Outside of the handler, whose error holds what was made for the step.
            self.optimizer.zero_grad()
            self._put_back(drawn, before)
            size = self.micro or max(len(x) for x, _ in batches)
            if not self.config.auto_accumulate or size == 1:
                self._explain_shortage(shortage, batches)
            self.micro = -(-size // 2)
        self.scaler.unscale_(self.optimizer)
        if first and self.config.stop_at_nan:
            self._check(batches, drawn)
        return sums

    def loss(
        self, x: Tensor, t: Tensor, carried: Carried = None
    ) -> tuple[Tensor, dict[str, float], Carried]:
        """The loss of a batch, in the precision asked for, other figures, and what is carried on.

        Args:
            carried: what the model goes on from.
        """
        with self._autocast:
            return self.task.loss_after(self.model, x, t, carried)

    def parts(self, batches: list[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        """What goes through the model at once, on its device."""
        for inputs, targets in batches:
            size = self.micro or len(inputs)
            for i in range(0, len(inputs), size):
                yield self._on_device(inputs[i : i + size]), self._on_device(targets[i : i + size])

    def memory(self, batch: Batch) -> list[memory.LayerMemory]:
        """What each layer needs of memory for a batch; nothing is different afterwards."""
        drawn, before = random.counter, self._buffers()
        try:
            return memory.memory_by_layer(
                self.model, lambda: self.loss(*next(self.parts([batch])))[0], self.optimizer
            )
        finally:
            self._put_back(drawn, before)

    def _on_device(self, array: Any) -> Tensor:
        return Tensor(self.be.asarray(array), self.be)

    def _sum(self, batches: list[Batch], drawn: int | None = None) -> dict[str, float]:
        """Adds up gradients, those of a scaled loss, and figures.

        Args:
            drawn: how much was drawn before; None where the loss may be anything.
        """
        watched = drawn is not None and self.config.stop_at_nan
        sums: dict[str, float] = {}
        size, cleared = sum(len(inputs) for inputs, _ in batches), False
        self.after = self.carried
        for x, t in self.parts(batches):
            before = self.carried if self.micro else self.after  # parts are no batches in a row
            loss, figures, self.after = self.loss(x, t, before)
            figures = {"loss": loss.item(), **figures}
            if watched and not math.isfinite(figures["loss"]):
                problem = f"the loss must be finite, got {figures['loss']}"
                self._replay(problem, batches, drawn or 0)
            if (
                not cleared
            ):  # not before: what spoilt the weights may still be seen in the last ones
                self.optimizer.zero_grad()
                cleared = True
            self.scaler.scale(loss if len(x) == size else loss * (len(x) / size)).backward()
            for name, mean in figures.items():
                sums[name] = sums.get(name, 0.0) + mean * len(x)
        return sums

    # --- NaN and Inf

    def _check(self, batches: list[Batch], drawn: int) -> None:
        """Gradients must be finite; where the loss is scaled, a smaller scale may help first."""
        if self.scaler.is_enabled():
            if not self.scaler.finite(self.optimizer) and self.scaler.get_scale() <= 1:
                problem = f"gradients must be finite at a loss scale of {self.scaler.get_scale():g}"
                self._replay(problem, batches, drawn)
        elif not gradients_finite(self._watched):
            self._replay("gradients must be finite", batches, drawn)

    def _replay(self, problem: str, batches: list[Batch], drawn: int) -> NoReturn:
        """Does a step again, which has changed no weight yet, to say what went wrong."""
        random.counter = drawn  # dropout, once more, drops the same
        fault = self._find_fault(batches)
        raise NonFiniteError("train", f"{problem} {self.when()}", str(fault or NOT_AGAIN))

    def _find_fault(self, batches: list[Batch]) -> Fault | None:
        """Does a step again, without the optimizer, and looks at everything."""
        if fault := fault_in_weights(self.model, type(self.optimizer).__name__):
            return fault
        carried = [self.carried]
        for x, t in self.parts(batches):

            def run(x: Tensor = x, t: Tensor = t) -> None:
                loss, _, after = self.loss(x, t, carried[-1])
                carried.append(after)
                self.scaler.scale(loss).backward()

            if fault := fault_in_data(x, t) or fault_in_operations(self.model, run):
                return fault
        return None

    # --- memory

    def _buffers(self) -> list[Any]:
        """Copies of what a forward pass may change: running statistics."""
        return [self.be.copy(b.array) for b in self.model.buffers()]

    def _put_back(self, drawn: int, buffers: list[Any]) -> None:
        random.counter = drawn
        for b, array in zip(self.model.buffers(), buffers, strict=False):
            b.array[...] = array

    def _explain_shortage(self, shortage: str, batches: list[Batch]) -> NoReturn:
        """Does a step again that found too little memory, to say what holds it and what fits."""
        drawn, before = random.counter, self._buffers()
        layers, where = memory.until_shortage(
            self.model, lambda: self._sum(batches), self.optimizer
        )
        size = most = self.micro or max(len(x) for x, _ in batches)
        while size and not self._fits(batches, size):
            size = -(-size // 2) if size > 1 else 0
        self.optimizer.zero_grad()
        self._put_back(drawn, before)
        advice = "not even one example at a time fits"
        if size == most:
            advice = "when it was done again, it fitted: other programs use the memory, too"
        elif size:
            advice = (
                f"{size} examples at a time fit: train.batch_size = {size} with "
                f"train.accumulate = {-(-most // size)} makes the same step, and "
                "train.auto_accumulate = true finds such parts by itself"
            )
        context = f"{advice}; {where}, held by layer: {memory.describe(layers)}"
        raise DeviceMemoryError("train", f"{shortage} {self.when()}", context)

    def _fits(self, batches: list[Batch], size: int) -> bool:
        self.micro = size
        with contextlib.suppress(MemoryError):
            self._sum(batches)
            return True
        self.optimizer.zero_grad()
        return False
