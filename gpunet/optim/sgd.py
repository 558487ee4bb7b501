"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from gpunet.errors import ArgumentError
from gpunet.optim.optimizer import Optimizer, Params


class SGD(Optimizer):
    """p ← p − lr·v with v ← momentum·v + (1 − dampening)·(g + weight_decay·p).

    The first v is the gradient itself.
    With `nesterov`, p ← p − lr·(g + momentum·v). `maximize` climbs instead.

    Textbooks write momentum in two ways, and both are settings of this rule:

    - an average, v ← βv + (1 − β)g and p ← p − αv: `momentum=β, dampening=β, lr=α`;
    - a sum of steps, v ← βv + αg and p ← p − v: `momentum=β, lr=α`. The v kept here is theirs
      divided by α, which makes a difference only while α changes.

    In the first, v starts at g, where a textbook that starts at 0 has (1 − β)g after one step.

    Args:
        lr, momentum, weight_decay: at least 0.
        nesterov: needs momentum, and no dampening.

    Source: Sutskever et al., ICML 2013, for momentum; as in PyTorch, lr multiplies v.
    """

    state_names = ("momentum_buffer",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check_options(self, group: dict[str, Any]) -> None:
        super().check_options(group)
        momentum, dampening = group["momentum"], group["dampening"]
        if group["nesterov"] and (momentum <= 0 or dampening != 0):
            raise ArgumentError(
                "SGD",
                "nesterov needs momentum > 0 and dampening 0, "
                f"got momentum {momentum}, dampening {dampening}",
            )

    def fresh(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "momentum_buffer": 0.0} if group["momentum"] else {}

    def update(self, be: Any, group: dict[str, Any], arrays: list[list[Any]], lr: Any) -> None:
        be.optim.sgd_step(
            *arrays,
            lr,
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )
