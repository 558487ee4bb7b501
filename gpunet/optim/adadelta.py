"""Adadelta: steps in units of past steps."""

from __future__ import annotations

from typing import Any

from gpunet.optim.optimizer import Optimizer, Params


class Adadelta(Optimizer):
    """p ← p − lr·δ with δ = √(u + eps) / √(v + eps) · g, v and u averaging g² and δ².

    v ← rho·v + (1 − rho)·g², then δ, then u likewise of δ². `weight_decay`·p joins the gradient.
    `maximize` climbs instead.

    Args:
        lr, eps, weight_decay: at least 0. rho: in [0, 1].

    Source: Zeiler, arXiv:1212.5701, algorithm 1 (there without lr).
    """

    state_names = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def fresh(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "square_avg": 0.0, "acc_delta": 0.0}

    def update(self, be: Any, group: dict[str, Any], arrays: list[list[Any]], lr: Any) -> None:
        be.optim.adadelta_step(
            *arrays,
            lr,
            rho=group["rho"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )
