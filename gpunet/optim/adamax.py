"""Adamax: Adam with the largest recent gradient in the place of its mean square."""

from __future__ import annotations

from typing import Any

from gpunet.optim.optimizer import Optimizer, Params


class Adamax(Optimizer):
    """p ← p − lr·m̂ / u with m̂ as in Adam and u ← max(beta2·u, |g| + eps).

    `weight_decay`·p joins the gradient. `maximize` climbs instead.

    Args:
        lr, eps, weight_decay: at least 0. betas: of m and u, in [0, 1).

    Source: Kingma & Ba, arXiv:1412.6980, algorithm 2 (eps added as in PyTorch, so that u > 0).
    """

    state_names = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def fresh(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "exp_avg": 0.0, "exp_inf": 0.0}

    def update(self, be: Any, group: dict[str, Any], arrays: list[list[Any]], lr: Any) -> None:
        be.optim.adamax_step(
            *arrays,
            lr,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )
