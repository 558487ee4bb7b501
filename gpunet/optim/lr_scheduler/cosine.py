"""Schedules along a cosine: Loshchilov & Hutter, SGDR, arXiv:1608.03983."""

from __future__ import annotations

import math

from gpunet.optim.lr_scheduler.scheduler import LRScheduler
from gpunet.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """lr(t) = eta_min + (initial_lr − eta_min)·(1 + cos(π·t / T_max)) / 2.

    Written as a change of the rate before, so that schedules act in turn. After T_max epochs the
    rate rises again.

    Args:
        T_max: epochs from the first rate to eta_min, at least 1. eta_min: at least 0.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ):
        self._require(T_max >= 1, "T_max must be at least 1", T_max)
        self._require(eta_min >= 0, "eta_min must be at least 0", eta_min)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        epoch, lowest, rates = self.last_epoch, self.eta_min, self._present_lrs()
        if epoch == 0:
            return list(self.base_lrs)
        now, before = (1 + math.cos(math.pi * t / self.T_max) for t in (epoch, epoch - 1))
        if (epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # it was lowest: no ratio leads out
            return [
                lr + (base - lowest) * now / 2
                for lr, base in zip(rates, self.base_lrs, strict=True)
            ]
        return [lowest + (lr - lowest) * now / before for lr in rates]

    def first_lr(self) -> list[float]:
        return self._present_lrs()


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr = eta_min + (initial_lr − eta_min)·(1 + cos(π·T_cur / T_i)) / 2.

    T_cur counts epochs since the last restart. The first comes after T_i = T_0 epochs, each next
    after T_mult times as many.

    Args:
        T_0, T_mult: at least 1. eta_min: at least 0.

    Source: SGDR, equation 5.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ):
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            whole = isinstance(value, int) and value >= 1
            self._require(whole, f"{name} must be a whole number from 1", value)
        self._require(eta_min >= 0, "eta_min must be at least 0", eta_min)
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        self.T_i, self.T_cur = T_0, 0.0
        super().__init__(optimizer, last_epoch)
        self._find(self.last_epoch)

    def get_lr(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Goes to the next epoch, or to `epoch`, which may lie between two.

        With `step(epoch + batch / batches)` after each batch the rate changes from batch to batch.
        """
        if epoch is None:
            epoch = self.last_epoch + 1
        self._require(epoch >= 0, "epoch must be at least 0", epoch)
        self._find(epoch)
        self.last_epoch = math.floor(epoch)
        self._write(self.get_lr())

    def _restart(self) -> None:
        self.step(0)

    def _find(self, epoch: float) -> None:
        """T_i and T_cur of an epoch."""
        self.T_i, self.T_cur = self.T_0, epoch
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
            return
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
