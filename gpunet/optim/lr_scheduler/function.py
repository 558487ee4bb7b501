"""Schedules given as a function of the epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunet.errors import ArgumentError
from gpunet.optim.lr_scheduler.scheduler import LRScheduler
from gpunet.optim.optimizer import Optimizer

Function = Callable[[int], float]


class LambdaLR(LRScheduler):
    """lr(t) = initial_lr·lr_lambda(t).

    Args:
        lr_lambda: a function of the epoch from 0, or a list of one a group. The state of a schedule
            does not hold functions: make the new one with the same.
    """

    _not_saved = LRScheduler._not_saved | {"lr_lambdas"}

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Function | list[Function], last_epoch: int = -1
    ):
        self.lr_lambdas = self._each(self._checked(optimizer), lr_lambda)
        super().__init__(optimizer, last_epoch)

    def _each(self, optimizer: Optimizer, given: Any) -> list[Function]:
        groups, name = len(optimizer.param_groups), type(self).__name__
        functions = list(given) if isinstance(given, list | tuple) else [given] * groups
        if len(functions) != groups:
            raise ArgumentError(
                name, f"lr_lambda must be one function or {groups}, got {len(functions)}"
            )
        for function in functions:
            if not callable(function):
                raise ArgumentError(name, f"lr_lambda must be a function, got {function!r}")
        return functions

    def get_lr(self) -> list[float]:
        epoch = self.last_epoch
        return [base * f(epoch) for f, base in zip(self.lr_lambdas, self.base_lrs, strict=True)]


class MultiplicativeLR(LambdaLR):
    """lr(t) = lr(t − 1)·lr_lambda(t), and lr(0) is the first rate.

    Args:
        lr_lambda: see `LambdaLR`; called with epochs from 1.
    """

    def get_lr(self) -> list[float]:
        rates = self._present_lrs()
        return [lr * f(self.last_epoch) for f, lr in zip(self.lr_lambdas, rates, strict=True)]

    def first_lr(self) -> list[float]:
        return self._present_lrs()
