"""Which learning rate? A short run with rates from tiny to huge, and the loss at each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from gpunet.data.loader import Batch
from gpunet.errors import ArgumentError, NonFiniteError
from gpunet.train.trainer import Trainer

_MEMORY = 0.9  # of the smoothed loss
_TOO_MUCH = 4.0  # times the least loss: the sweep ends there


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes:
        rates: tried, in order. losses: smoothed, at each of them.
        suggestion: the rate where the loss falls fastest.
    """

    rates: list[float]
    losses: list[float]
    suggestion: float


def find_lr(trainer: Trainer, lowest: float, highest: float, steps: int) -> Sweep:
    """Trains with a rate that grows by the same factor each step, until the loss explodes.

    The trainer is used up: its weights are those after the sweep. Schedules are not followed.

    Args:
        lowest, highest: rates, 0 < lowest < highest.
        steps: at least 10; the loader is gone through as often as needed.

    Source: Smith, arXiv:1506.01186, section 3.3; the suggestion is the steepest slope of the loss
    over the logarithm of the rate.
    """
    if not 0 < lowest < highest:
        raise ArgumentError(
            "find_lr", f"must be 0 < lowest < highest, got {lowest:g} and {highest:g}"
        )
    if steps < 10:
        raise ArgumentError("find_lr", f"steps must be at least 10, got {steps}")
    trainer.schedule = None
    trainer.model.train()
    rates: list[float] = []
    losses: list[float] = []
    mean, factor = 0.0, (highest / lowest) ** (1 / (steps - 1))
    for step, batch in enumerate(islice(_endless(trainer), steps)):
        rate = lowest * factor**step
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate
        try:
            loss = trainer.train_on([batch])["loss"]
        except NonFiniteError:
            break
        mean = _MEMORY * mean + (1 - _MEMORY) * loss
        rates.append(rate)
        losses.append(mean / (1 - _MEMORY ** (step + 1)))
        if losses[-1] > _TOO_MUCH * min(losses):
            break
    if len(rates) < 3:
        raise ArgumentError(
            "find_lr", f"lowest must be a rate that the model survives, got {lowest:g}"
        )
    return Sweep(rates, losses, _steepest(rates, losses))


def _endless(trainer: Trainer) -> Iterator[Batch]:
    while True:
        yield from trainer.loader


def _steepest(rates: list[float], losses: list[float]) -> float:
    """The rate where the loss falls fastest, before its least value."""
    slopes = np.gradient(losses, np.log(rates))
    return rates[int(slopes[: int(np.argmin(losses)) + 1].argmin())]
