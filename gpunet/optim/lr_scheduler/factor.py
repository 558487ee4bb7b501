"""Schedules that are a factor of the first rate."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from gpunet.optim.lr_scheduler.scheduler import LRScheduler
from gpunet.optim.optimizer import Optimizer


class FactorLR(LRScheduler):
    """lr(t) = initial_lr·f(t), written as lr(t − 1)·f(t) / f(t − 1), so that schedules multiply."""

    def factor(self, epoch: int) -> float:
        """f of an epoch from 0."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        now = self.factor(self.last_epoch)
        before = self.factor(self.last_epoch - 1) if self.last_epoch else 0.0
        if before == 0:
            return [base * now for base in self.base_lrs]
        return [lr * (now / before) for lr in self._present_lrs()]

    def first_lr(self) -> list[float]:
        return [lr * self.factor(0) for lr in self._present_lrs()]


class StepLR(FactorLR):
    """f(t) = gamma^⌊t / step_size⌋.

    Args:
        step_size: epochs between two drops, at least 1. gamma: what each leaves, at least 0.
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ):
        self._require(step_size >= 1, "step_size must be at least 1", step_size)
        self._require(gamma >= 0, "gamma must be at least 0", gamma)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return self.gamma ** (epoch // self.step_size)


class MultiStepLR(FactorLR):
    """f(t) = gamma^(number of milestones ≤ t).

    Args:
        milestones: epochs of the drops. gamma: what each leaves, at least 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ):
        self._require(gamma >= 0, "gamma must be at least 0", gamma)
        self.milestones, self.gamma = sorted(milestones), gamma
        first = min(self.milestones, default=1)
        self._require(first >= 1, "milestones must be at least 1", first)
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return self.gamma ** bisect_right(self.milestones, epoch)


class ExponentialLR(FactorLR):
    """f(t) = gamma^t, gamma at least 0."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self._require(gamma >= 0, "gamma must be at least 0", gamma)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return self.gamma**epoch


class ConstantLR(FactorLR):
    """f(t) = factor for the first total_iters epochs, then 1.

    Args:
        factor: in [0, 1]. total_iters: at least 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        self._require(0 <= factor <= 1, "factor must be in [0, 1]", factor)
        self._require(total_iters >= 1, "total_iters must be at least 1", total_iters)
        self.start_factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return self.start_factor if epoch < self.total_iters else 1.0


class LinearLR(FactorLR):
    """f(t) runs straight from start_factor to end_factor in total_iters epochs, and stays.

    With end_factor 1, a warm-up.

    Args:
        start_factor: in (0, 1]. end_factor: in [0, 1]. total_iters: at least 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        self._require(0 < start_factor <= 1, "start_factor must be in (0, 1]", start_factor)
        self._require(0 <= end_factor <= 1, "end_factor must be in [0, 1]", end_factor)
        self._require(total_iters >= 1, "total_iters must be at least 1", total_iters)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        done = min(epoch, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * done


class PolynomialLR(FactorLR):
    """f(t) = (1 − t / total_iters)^power, and 0 afterwards.

    Args:
        total_iters: at least 1. power: at least 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ):
        self._require(total_iters >= 1, "total_iters must be at least 1", total_iters)
        self._require(power >= 0, "power must be at least 0", power)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return (1 - min(epoch, self.total_iters) / self.total_iters) ** self.power
