"""Lower rates when nothing improves any more."""

from __future__ import annotations

import math
from typing import SupportsFloat

from gpunet.functional.check import one_of
from gpunet.optim.lr_scheduler.scheduler import Schedule
from gpunet.optim.optimizer import Optimizer


class ReduceLROnPlateau(Schedule):
    """Multiplies the rate by `factor` after more than `patience` epochs without improvement.

    Args:
        mode: `"min"` if lower metrics are better, `"max"` if higher.
        factor: in [0, 1). patience, cooldown: epochs, at least 0.
        threshold: an improvement is better than the best by this much: of it (`threshold_mode`
            `"rel"`), or absolutely (`"abs"`). At least 0.
        cooldown: epochs after a reduction that are not judged.
        min_lr: where it ends; a number or a list of one a group.
        eps: the smallest reduction that is made.

    Attributes:
        best: the best metric so far. num_bad_epochs: how many since were not better.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0.0,
        eps: float = 1e-8,
    ):
        self.optimizer = self._checked(optimizer)
        groups = len(optimizer.param_groups)
        one_of("ReduceLROnPlateau", "mode", mode, ("min", "max"))
        one_of("ReduceLROnPlateau", "threshold_mode", threshold_mode, ("rel", "abs"))
        self._require(0 <= factor < 1, "factor must be in [0, 1)", factor)
        for name, value in (("patience", patience), ("cooldown", cooldown), ("eps", eps)):
            self._require(value >= 0, f"{name} must be at least 0", value)
        self._require(threshold >= 0, "threshold must be at least 0", threshold)
        self.min_lrs = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * groups
        one_each = len(self.min_lrs) == groups
        self._require(one_each, f"min_lr must be one number or {groups}", min_lr)
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = self._present_lrs()

    def step(self, metrics: SupportsFloat) -> None:
        """Judges an epoch by its `metrics`, a number; NaN is no improvement."""
        current = float(metrics)
        self.last_epoch += 1
        if self._better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._present_lrs()

    def _better(self, current: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * current < sign * self.best * (1 - sign * self.threshold)
        return sign * current < sign * self.best - self.threshold

    def _reduce(self) -> None:
        groups = zip(self.optimizer.param_groups, self.min_lrs, strict=True)
        for group, lowest in groups:
            lr = max(group["lr"] * self.factor, lowest)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr
