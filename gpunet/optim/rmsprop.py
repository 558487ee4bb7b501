"""RMSprop: gradients divided by their recent size."""

from __future__ import annotations

from typing import Any

from gpunet.optim.optimizer import Optimizer, Params


class RMSprop(Optimizer):
    """p ← p − lr·g / (√v + eps) with v ← alpha·v + (1 − alpha)·g².

    With `momentum`, b ← momentum·b + g / (√v + eps) and p ← p − lr·b. `centered` puts v − m² under
    the root, m averaging g as v does g². `weight_decay`·p joins the gradient. `maximize` climbs
    instead.

    Args:
        lr, eps, weight_decay, momentum: at least 0. alpha: in [0, 1].

    Source: Tieleman & Hinton, Coursera lecture 6.5 (2012); Graves, arXiv:1308.0850, equations 38
    to 41, for the centered form (there with eps under the root).
    """

    state_names = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def fresh(self, group: dict[str, Any]) -> dict[str, float]:
        fresh = {"step": 0.0, "square_avg": 0.0}
        if group["centered"]:
            fresh["grad_avg"] = 0.0
        if group["momentum"]:
            fresh["momentum_buffer"] = 0.0
        return fresh

    def update(self, be: Any, group: dict[str, Any], arrays: list[list[Any]], lr: Any) -> None:
        be.optim.rmsprop_step(
            *arrays,
            lr,
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            maximize=group["maximize"],
        )
