"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from gpunet.errors import ArgumentError
from gpunet.optim.optimizer import Optimizer, Params


class Adam(Optimizer):
    """p ← p − lr·m̂ / (√v̂ + eps), m and v being averages of the gradient and its square.

    m̂ and v̂ are m and v corrected for their start. `weight_decay`·p joins the gradient, or shrinks
    the parameter by lr·weight_decay if `decoupled_weight_decay` (then it is AdamW). With `amsgrad`,
    v̂ is the largest so far. `maximize` climbs instead.

    Args:
        lr, eps, weight_decay: at least 0. betas: of m and v, in [0, 1).

    Source: Kingma & Ba, arXiv:1412.6980, algorithm 1; Reddi et al., ICLR 2018, for AMSGrad.
    """

    state_names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def fresh(self, group: dict[str, Any]) -> dict[str, float]:
        fresh = {"step": 0.0, "exp_avg": 0.0, "exp_avg_sq": 0.0}
        return {**fresh, "max_exp_avg_sq": 0.0} if group["amsgrad"] else fresh

    def update(self, be: Any, group: dict[str, Any], arrays: list[list[Any]], lr: Any) -> None:
        be.optim.adam_step(
            *arrays,
            lr,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter by lr·weight_decay, not by way of the gradient.

    Source: Loshchilov & Hutter, arXiv:1711.05101, algorithm 2 (with PyTorch's lr factor).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize, True)

    def check_options(self, group: dict[str, Any]) -> None:
        super().check_options(group)
        if not group["decoupled_weight_decay"]:
            raise ArgumentError(
                "AdamW", "decoupled_weight_decay must be True, got False, which is Adam's"
            )
