"""RAdam: Adam that trusts its v̂ only when enough squares are averaged."""

from __future__ import annotations

from typing import Any

from gpunet.optim.optimizer import Optimizer, Params


class RAdam(Optimizer):
    """p ← p − lr·r·m̂ / √v̂ where the average behind v̂ is long enough (ρ > 5), else p − lr·m̂.

    ρ = ρ∞ − 2t·β₂ᵗ / (1 − β₂ᵗ) with ρ∞ = 2 / (1 − β₂) − 1, and
    r = √((ρ − 4)(ρ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ)). `eps` is added to √v before its correction.
    `weight_decay`·p joins the gradient, or shrinks the parameter by lr·weight_decay if
    `decoupled_weight_decay`. `maximize` climbs instead.

    Args:
        lr, eps, weight_decay: at least 0. betas: of m and v, in [0, 1).

    Source: Liu et al., arXiv:1908.03265, algorithm 2 (which switches at ρ > 4, PyTorch at 5).
    """

    state_names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def fresh(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "exp_avg": 0.0, "exp_avg_sq": 0.0}

    def update(self, be: Any, group: dict[str, Any], arrays: list[list[Any]], lr: Any) -> None:
        be.optim.radam_step(
            *arrays,
            lr,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )
