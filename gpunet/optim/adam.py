"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.optim.optimizer import Optimizer


class Adam(Optimizer):
    """p ← p − lr·m̂ / (√v̂ + eps), m and v being averages of the gradient and its square.

    m̂ and v̂ are m and v corrected for their start. `weight_decay`·p joins the gradient. With
    `amsgrad`, v̂ is the largest so far. `maximize` climbs instead.

    Source: Kingma & Ba, arXiv:1412.6980, algorithm 1; Reddi et al., ICLR 2018, for AMSGrad.
    """

    _decoupled: ClassVar[bool] = False

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        maximize: bool = False,
    ):
        if len(betas) != 2 or not all(0.0 <= beta < 1.0 for beta in betas):
            raise ArgumentError(
                type(self).__name__, f"betas must be two numbers in [0, 1), got {betas}"
            )
        super().__init__(
            params,
            lr=lr,
            betas=tuple(betas),
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
        )

    def fresh(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        be, shape, dtype = parameter.backend, parameter.shape, parameter.dtype
        return {
            "step": be.full((1,), 0.0, "float64"),
            "exp_avg": be.full(shape, 0.0, dtype),
            "exp_avg_sq": be.full(shape, 0.0, dtype),
            "max_exp_avg_sq": be.full(shape if group["amsgrad"] else (0,), 0.0, dtype),
        }

    def update(
        self,
        be: Any,
        group: dict[str, Any],
        lr: Any,
        parameters: list[Any],
        gradients: list[Any],
        states: list[Any],
    ) -> None:
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step")
        be.optim.adam_step(
            parameters,
            gradients,
            *([s[name] for s in states] for name in names),
            lr,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=self._decoupled,
            maximize=group["maximize"],
        )


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter by lr·weight_decay, not by way of the gradient.

    Source: Loshchilov & Hutter, arXiv:1711.05101, algorithm 2 (with PyTorch's lr factor).
    """

    _decoupled: ClassVar[bool] = True

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize)
