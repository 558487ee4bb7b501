"""Averages of a model's weights along its training: often better than the last weights.

averaged = swa_utils.AveragedModel(model, avg_fn=swa_utils.get_ema_avg_fn(0.999))
for inputs, targets in loader:
    ...
    optimizer.step()
    averaged.update_parameters(model)
averaged.eval()(inputs)
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from gpunet.autograd import Tensor, no_grad, tensor, written
from gpunet.errors import ArgumentError
from gpunet.nn.module import Buffer, Module

Average = Callable[[Tensor, Tensor, int], Tensor]


class AveragedModel(Module):
    """A copy of a model whose weights are averages.

    Args:
        model: is copied; the average begins with the weights of the first `update_parameters`.
        avg_fn: the new average, of (average, weights, number averaged before); by default the
            mean of all.
        use_buffers: whether buffers (such as running statistics) are averaged, too; otherwise they
            are copied.

    Attributes:
        module: the copy. n_averaged: how many weights are in the average, a buffer of shape ().

    Source: Izmailov et al., arXiv:1803.05407, for the mean of all.
    """

    def __init__(self, model: Module, avg_fn: Average | None = None, use_buffers: bool = False):
        super().__init__()
        self.module = deepcopy(model)
        self.n_averaged = Buffer(tensor(0, "int64"))
        self.avg_fn = avg_fn or get_swa_avg_fn()
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model would compute with the averaged weights."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Takes the present weights of `model` into the average."""
        count = int(self.n_averaged.array)
        parameters = list(zip(self.module.parameters(), model.parameters(), strict=True))
        buffers = list(zip(self.module.buffers(), model.buffers(), strict=True))
        averaged = [*parameters, *buffers] if self.use_buffers else parameters
        with no_grad():
            for mean, now in averaged if count else ():
                mean.array[...] = self.avg_fn(mean, now, count).array
        copied = (
            buffers if count and not self.use_buffers else [] if count else parameters + buffers
        )
        for mean, now in copied:
            mean.array[...] = now.array
        written(mean.array for mean, _ in parameters + buffers)
        self.n_averaged.array += 1


def get_swa_avg_fn() -> Average:
    """The mean of all weights: average + (weights − average) / (number + 1)."""

    def mean(average: Tensor, weights: Tensor, number: int) -> Tensor:
        return average + (weights - average) * (1 / (number + 1))

    return mean


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The exponential average: decay·average + (1 − decay)·weights, decay in [0, 1]."""
    if not 0 <= decay <= 1:
        raise ArgumentError("get_ema_avg_fn", f"decay must be in [0, 1], got {decay}")

    def exponential(average: Tensor, weights: Tensor, number: int) -> Tensor:
        return average * decay + weights * (1 - decay)

    return exponential
