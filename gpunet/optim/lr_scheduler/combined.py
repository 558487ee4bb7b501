"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from gpunet.errors import ArgumentError
from gpunet.optim.lr_scheduler.scheduler import LRScheduler
from gpunet.optim.optimizer import Optimizer


class _Combined(LRScheduler):
    """Holds schedules of one optimizer."""

    _not_saved = LRScheduler._not_saved | {"_schedulers"}

    def _hold(self, optimizer: Any, schedulers: Sequence[LRScheduler]) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ArgumentError(name, "schedulers must hold at least one, got none")
        for index, each in enumerate(schedulers):
            if not isinstance(each, LRScheduler):
                raise ArgumentError(
                    name,
                    f"scheduler {index} must be one that steps without arguments, "
                    f"got {type(each).__name__}",
                )
            if each.optimizer is not (optimizer or schedulers[0].optimizer):
                raise ArgumentError(
                    name,
                    f"schedulers must be of one optimizer, got another's {type(each).__name__} "
                    f"at {index}",
                )
        self.optimizer = schedulers[0].optimizer
        self._schedulers = list(schedulers)

    def state_dict(self) -> dict[str, Any]:
        """See `LRScheduler`; `"_schedulers"` is a list of the schedules' own."""
        return {
            **super().state_dict(),
            "_schedulers": [each.state_dict() for each in self._schedulers],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        found, wanted = len(state_dict.get("_schedulers", ())), len(self._schedulers)
        if found != wanted:
            raise ArgumentError("load_state_dict", f"must be of {wanted} schedules, got {found}")
        before = self._schedulers
        super().load_state_dict(state_dict)
        self._schedulers = before
        for each, saved in zip(before, state_dict["_schedulers"], strict=True):
            each.load_state_dict(saved)


class SequentialLR(_Combined):
    """One schedule after the other, each beginning with its first rate at its milestone.

    Args:
        schedulers: of `optimizer`, in order.
        milestones: the epochs at which the second, third, ... take over, rising.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ):
        self._hold(self._checked(optimizer), schedulers)
        if len(milestones) != len(schedulers) - 1 or sorted(milestones) != list(milestones):
            raise ArgumentError(
                "SequentialLR",
                f"milestones must be {len(schedulers) - 1} rising numbers for {len(schedulers)} "
                f"schedulers, got {list(milestones)}",
            )
        self._milestones = list(milestones)
        self.last_epoch = last_epoch
        self._begin()

    def _begin(self) -> None:
        self.last_epoch += 1
        if self.last_epoch == 0:
            # The others wrote rates when they were made.
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"]
            first = self._schedulers[bisect_right(self._milestones, 0)]
            first.last_epoch = -1
            first._begin()
        self._last_lr = self._present_lrs()

    def _restart(self) -> None:
        self.last_epoch = -1
        self._begin()

    def step(self) -> None:
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        if index and self._milestones[index - 1] == self.last_epoch:
            self._schedulers[index]._restart()
        else:
            self._schedulers[index].step()
        self._last_lr = self._present_lrs()


class ChainedScheduler(_Combined):
    """All schedules at every step, each changing the rate that the one before it wrote.

    Args:
        schedulers: in order. optimizer: theirs, which need not be named.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None):
        self._hold(optimizer, schedulers)
        self.last_epoch = max(each.last_epoch for each in self._schedulers)
        self._last_lr = self._present_lrs()

    def _begin(self) -> None:
        self.last_epoch += 1
        for each in self._schedulers:
            each.last_epoch = self.last_epoch - 1
            each._begin()
        self._last_lr = self._present_lrs()

    def _restart(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self.last_epoch = -1
        self._begin()

    def step(self) -> None:
        self.last_epoch += 1
        for each in self._schedulers:
            each.step()
        self._last_lr = self._present_lrs()
