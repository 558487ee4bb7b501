"""Adagrad: each weight's step shrinks with all its gradients so far."""

from __future__ import annotations

from typing import Any

from gpunet.optim.optimizer import Optimizer, Params


class Adagrad(Optimizer):
    """p ← p − lr / (1 + (t − 1)·lr_decay) · g / (√s + eps) with s ← s + g².

    s starts at `initial_accumulator_value`. `weight_decay`·p joins the gradient. `maximize` climbs
    instead.

    Args:
        lr, lr_decay, weight_decay, initial_accumulator_value, eps: at least 0.

    Source: Duchi, Hazan & Singer, JMLR 12 (2011), the diagonal form of figure 1.
    """

    state_names = ("sum",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def fresh(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "sum": group["initial_accumulator_value"]}

    def update(self, be: Any, group: dict[str, Any], arrays: list[list[Any]], lr: Any) -> None:
        be.optim.adagrad_step(
            *arrays,
            lr,
            lr_decay=group["lr_decay"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )
