"""The base of schedules: epochs are counted, rates written, state kept."""

from __future__ import annotations

from typing import Any, ClassVar

from gpunet.errors import ArgumentError
from gpunet.optim.optimizer import Optimizer


class Schedule:
    """What writes `lr` into the groups of an optimizer, by whatever rule.

    Attributes:
        optimizer: whose `param_groups` are written.
        last_epoch: how many steps were made; "epoch" is whatever passes between two of them.
    """

    optimizer: Optimizer
    last_epoch: int
    _not_saved: ClassVar[frozenset[str]] = frozenset({"optimizer"})

    def _checked(self, optimizer: Any) -> Optimizer:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(
                type(self).__name__,
                f"optimizer must be a gpunet.optim.Optimizer, got {type(optimizer).__name__}",
            )
        return optimizer

    def _require(self, holds: bool, rule: str, value: Any) -> None:
        """An argument must obey its rule."""
        if not holds:
            raise ArgumentError(type(self).__name__, f"{rule}, got {value!r}")

    def get_last_lr(self) -> list[float]:
        """The rate of each group as last written."""
        return list(self._last_lr)

    def _present_lrs(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _write(self, rates: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = rates

    # --- stop here, go on there

    def state_dict(self) -> dict[str, Any]:
        """All of the schedule but its optimizer, JSON-compatible.

        The rate itself is in the optimizer's state.
        """
        return {name: value for name, value in vars(self).items() if name not in self._not_saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken.

        Raises:
            ArgumentError: it is another schedule's, or of another number of groups.
        """
        own = self.state_dict()
        if state_dict.keys() != own.keys():
            raise ArgumentError(
                "load_state_dict",
                f"state must be {type(self).__name__}'s {sorted(own)}, got {sorted(state_dict)}",
            )
        groups, found = len(self.optimizer.param_groups), len(state_dict["_last_lr"])
        if found != groups:
            raise ArgumentError("load_state_dict", f"must be of {groups} groups, got {found}")
        vars(self).update(state_dict)


class LRScheduler(Schedule):
    """Writes `lr` into the groups of an optimizer, as a subclass's `get_lr` says.

    Args:
        optimizer: whose `param_groups` are written.
        last_epoch: −1 to begin; otherwise the epoch after which to go on, and the groups must
            have the `"initial_lr"` and the `"lr"` of then.

    Attributes:
        base_lrs: the rate of each group that the schedule starts from (`"initial_lr"` of the
            group).
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        self.optimizer = optimizer = self._checked(optimizer)
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ArgumentError(
                    type(self).__name__,
                    f'group {index} must have "initial_lr" to go on after epoch {last_epoch}, '
                    f"got {sorted(group.keys() - {'params'})}",
                    "load the optimizer's state first",
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._begin()

    def get_lr(self) -> list[float]:
        """The rate of each group at `last_epoch`, from the group's own of the epoch before."""
        raise NotImplementedError

    def first_lr(self) -> list[float]:
        """The rates when the schedule is made: `get_lr` at epoch 0 where nothing was before."""
        return self.get_lr()

    def step(self) -> None:
        """Goes to the next epoch."""
        self.last_epoch += 1
        self._write(self.get_lr())

    def _begin(self) -> None:
        """Makes the step to the first epoch, which is 0, or the one to go on with."""
        self.last_epoch += 1
        resumed = self.last_epoch > 0  # the groups' rates came with the optimizer's state
        self._write(self._present_lrs() if resumed else self.first_lr())

    def _restart(self) -> None:
        """Makes epoch 0 the present one, whatever was before."""
        self.last_epoch = 0
        self._write(self.get_lr())
