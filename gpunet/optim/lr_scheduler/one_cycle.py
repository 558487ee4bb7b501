"""One cycle of the learning rate, up and down, and of the momentum, down and up."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from gpunet.errors import ArgumentError
from gpunet.functional.check import one_of
from gpunet.optim.lr_scheduler.scheduler import LRScheduler
from gpunet.optim.optimizer import Optimizer


class OneCycleLR(LRScheduler):
    """From max_lr / div_factor up to max_lr, and down to max_lr / (div_factor·final_div_factor).

    Momentum (beta1 where there are betas) goes the other way, from max_momentum to base_momentum
    and back. To be stepped once a batch.

    Args:
        max_lr, max_momentum, base_momentum: numbers, or lists of one a group.
        total_steps: length of the cycle, or epochs·steps_per_epoch in its place.
        pct_start: the part of it, in [0, 1], spent rising.
        anneal_strategy: `"cos"` or `"linear"`.
        cycle_momentum: whether the momentum changes, too.
        div_factor, final_div_factor: above 0.
        three_phase: first back down to max_lr / div_factor, as fast as up, then further.

    Source: Smith & Topin, arXiv:1708.07120.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        groups = self._checked(optimizer).param_groups
        self.total_steps = self._length(total_steps, epochs, steps_per_epoch)
        self._require(0 <= pct_start <= 1, "pct_start must be in [0, 1]", pct_start)
        one_of("OneCycleLR", "anneal_strategy", anneal_strategy, ("cos", "linear"))
        for name, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
            self._require(value > 0, f"{name} must be above 0", value)
        self.pct_start, self.anneal_strategy = pct_start, anneal_strategy
        self.three_phase = three_phase
        self.max_lrs = self._each("max_lr", max_lr, len(groups))
        self.initial_lrs = [lr / div_factor for lr in self.max_lrs]
        self.min_lrs = [lr / final_div_factor for lr in self.initial_lrs]
        self.momentum = self._momentum(optimizer) if cycle_momentum else None
        self.base_momentums = self._each("base_momentum", base_momentum, len(groups))
        self.max_momentums = self._each("max_momentum", max_momentum, len(groups))
        if last_epoch == -1:
            for group, lr in zip(groups, self.initial_lrs, strict=True):
                group["initial_lr"] = lr
        super().__init__(optimizer, last_epoch)

    def _length(self, total: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
        if total is not None:
            total_steps = total
        elif epochs is not None and steps_per_epoch is not None:
            total_steps = epochs * steps_per_epoch
        else:
            raise ArgumentError(
                "OneCycleLR", "total_steps, or epochs and steps_per_epoch, must be given, got none"
            )
        whole = isinstance(total_steps, int) and total_steps >= 1
        self._require(whole, "total_steps must be a whole number from 1", total_steps)
        return total_steps

    def _each(self, name: str, given: Any, groups: int) -> list[float]:
        values = list(given) if isinstance(given, list | tuple) else [given] * groups
        self._require(len(values) == groups, f"{name} must be one number or {groups}", given)
        return values

    def _momentum(self, optimizer: Optimizer) -> str:
        """The option that holds the momentum."""
        for option in ("betas", "momentum"):
            if option in optimizer.defaults:
                return option
        raise ArgumentError(
            "OneCycleLR",
            "cycle_momentum must be False for an optimizer without momentum or betas, got True "
            f"for {type(optimizer).__name__}",
        )

    def get_lr(self) -> list[float]:
        """The rates at `last_epoch`; writes the momenta."""
        if self.last_epoch > self.total_steps:
            raise ArgumentError(
                "OneCycleLR",
                f"step must be called at most total_steps = {self.total_steps} times, "
                f"got call {self.last_epoch}",
            )
        groups = zip(self.initial_lrs, self.max_lrs, self.min_lrs, strict=True)
        rates = [self._at(*turns) for turns in groups]
        momenta = zip(self.max_momentums, self.base_momentums, self.max_momentums, strict=True)
        for group, turns in zip(self.optimizer.param_groups, momenta, strict=True):
            if self.momentum == "betas":
                group["betas"] = (self._at(*turns), *group["betas"][1:])
            elif self.momentum == "momentum":
                group["momentum"] = self._at(*turns)
        return rates

    def _at(self, first: float, middle: float, last: float) -> float:
        """The present value of what goes from `first` by `middle` to `last`."""
        up, end = self.pct_start * self.total_steps - 1, self.total_steps - 1
        turns = [(0.0, first), (up, middle), (end, last)]
        if self.three_phase:
            turns = [(0.0, first), (up, middle), (2 * up, first), (end, last)]
        phases = list(pairwise(turns))
        (start, a), (stop, b) = next(
            (phase for phase in phases if self.last_epoch <= phase[1][0]), phases[-1]
        )
        done = (self.last_epoch - start) / (stop - start) if stop != start else 1.0
        if self.anneal_strategy == "linear":
            return a + (b - a) * done
        return b + (a - b) / 2 * (1 + math.cos(math.pi * done))
