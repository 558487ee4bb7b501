"""The schedule of a run: a class of `optim.lr_scheduler`, its lengths checked, stepped in time."""

from __future__ import annotations

from inspect import signature
from itertools import pairwise
from typing import Any

from gpunet.errors import ConfigError
from gpunet.optim import lr_scheduler
from gpunet.optim.lr_scheduler.scheduler import Schedule
from gpunet.optim.optimizer import Optimizer
from gpunet.train.config import Component, Config
from gpunet.train.make import kinds_in, make

# Those that take functions or other schedulers' objects cannot be written down.
_KINDS = {
    name: kind
    for name, kind in kinds_in(lr_scheduler, Schedule).items()
    if name not in ("LRScheduler", "LambdaLR", "MultiplicativeLR", "ChainedScheduler")
}
# Arguments that count steps: the schedule has come to its end, or to its next turn, by then.
_LENGTHS = ("total_steps", "T_max", "total_iters", "T_0", "step_size")
_OF_THE_RUN = ("total_steps", "T_max")  # these are the run's length where they are left out


class RunSchedule:
    """Steps a scheduler in time.

    Args:
        scheduler: of the run's optimizer. every: "batch" or "epoch".
    """

    def __init__(self, scheduler: Any, every: str):
        self.scheduler, self.every = scheduler, every

    def after_batch(self) -> None:
        """The optimizer has made a step."""
        if self.every == "batch":
            self.scheduler.step()

    def after_epoch(self, figure: float) -> None:
        """The held-out set was evaluated; `figure` is the one that decides."""
        if isinstance(self.scheduler, lr_scheduler.ReduceLROnPlateau):
            self.scheduler.step(figure)
        elif self.every == "epoch":
            self.scheduler.step()


def build_schedule(
    config: Config, optimizer: Optimizer, steps_an_epoch: int, more_is_better: bool
) -> RunSchedule | None:
    """The schedule of a configuration, None where it has none.

    Args:
        more_is_better: of the figure that a ReduceLROnPlateau watches.

    Raises:
        ConfigError: no such scheduler or argument, a value out of range, or longer than the run.
    """
    described, where = config.schedule, f"{config.name}: schedule"
    if described is None:
        return None
    arguments, every = dict(described.arguments), described.every
    if described.kind == "ReduceLROnPlateau":
        arguments.setdefault("mode", "max" if more_is_better else "min")
        every = "epoch"
    steps = config.train.epochs * (steps_an_epoch if every == "batch" else 1)
    unit = {"batch": "steps", "epoch": "epochs"}[every]
    component = Component(described.kind, arguments)
    return RunSchedule(_build(component, optimizer, steps, unit, where), every)


def _build(config: Component, optimizer: Optimizer, steps: int, unit: str, where: str) -> Any:
    """A scheduler that has `steps` to make."""
    arguments = dict(config.arguments)
    known = signature(_KINDS[config.kind]).parameters if config.kind in _KINDS else {}
    for name in _OF_THE_RUN:
        if name in known and "epochs" not in arguments:
            arguments.setdefault(name, steps)
    if config.kind == "OneCycleLR":
        arguments.setdefault("max_lr", [group["lr"] for group in optimizer.param_groups])
    _check_lengths(arguments, steps, unit, where)
    if config.kind == "SequentialLR":
        arguments["schedulers"] = _build_several(arguments, optimizer, steps, unit, where)
    made = make(_KINDS, Component(config.kind, arguments), where, optimizer)
    if isinstance(made, lr_scheduler.OneCycleLR) and made.total_steps != steps:
        raise ConfigError(
            where, f"total_steps must be {steps} {unit} or left out, got {made.total_steps}"
        )
    return made


def _check_lengths(arguments: dict[str, Any], steps: int, unit: str, where: str) -> None:
    lengths = {name: arguments[name] for name in _LENGTHS if name in arguments}
    turns = arguments.get("milestones")
    if isinstance(turns, list) and turns:
        lengths["milestones"] = max(turns)
    for name, length in lengths.items():
        if isinstance(length, int) and length > steps:
            raise ConfigError(
                where, f"{name} must be at most the {steps} {unit} there are, got {length}"
            )


def _build_several(
    arguments: dict[str, Any], optimizer: Optimizer, steps: int, unit: str, where: str
) -> list[Any]:
    """The schedules of a SequentialLR, each with the steps from its milestone to the next."""
    tables, milestones = arguments.get("schedulers"), arguments.get("milestones")
    if not (isinstance(tables, list) and isinstance(milestones, list)):
        raise ConfigError(where, "SequentialLR needs schedulers and milestones, two lists")
    if len(milestones) != len(tables) - 1:
        raise ConfigError(
            where, f"milestones must be one less than the {len(tables)} schedulers, "
            f"got {len(milestones)}"
        )  # fmt: skip
    made = []
    for i, (start, stop) in enumerate(pairwise([0, *milestones, steps])):
        here, table = f"{where}.schedulers.{i}", tables[i]
        if not isinstance(table, dict) or "kind" not in table:
            raise ConfigError(here, f"must be a table with a kind, got {table}")
        rest = {name: value for name, value in table.items() if name != "kind"}
        made.append(_build(Component(table["kind"], rest), optimizer, stop - start, unit, here))
    return made
