"""NAdam: Adam with Nesterov's look ahead."""

from __future__ import annotations

from typing import Any

from gpunet.optim.optimizer import Optimizer, Params


class NAdam(Optimizer):
    """p ← p − lr·((1−μₜ)/(1−Πμ)·g + μₜ₊₁/(1−Πμ·μₜ₊₁)·m) / (√v̂ + eps), m and v̂ as in Adam.

    The momentum grows: μₜ = beta1·(1 − ½·0.96^(t·momentum_decay)), and Πμ is the product of all so
    far. `weight_decay`·p joins the gradient, or shrinks the parameter by lr·weight_decay if
    `decoupled_weight_decay`. `maximize` climbs instead.

    Args:
        lr, eps, weight_decay, momentum_decay: at least 0. betas: of m and v, in [0, 1).

    Source: Dozat, ICLR workshop 2016, algorithm 2.
    """

    state_names = ("exp_avg", "exp_avg_sq", "mu_product")

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def fresh(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "mu_product": 1.0, "exp_avg": 0.0, "exp_avg_sq": 0.0}

    def update(self, be: Any, group: dict[str, Any], arrays: list[list[Any]], lr: Any) -> None:
        be.optim.nadam_step(
            *arrays,
            lr,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum_decay=group["momentum_decay"],
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )
