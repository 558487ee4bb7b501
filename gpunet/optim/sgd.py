"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.optim.optimizer import Optimizer


class SGD(Optimizer):
    """p ← p − lr·v with v ← momentum·v + (1 − dampening)·(g + weight_decay·p).

    The first v is the gradient itself.
    With `nesterov`, p ← p − lr·(g + momentum·v). `maximize` climbs instead.

    Source: Sutskever et al., ICML 2013, for momentum; as in PyTorch, lr multiplies v.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
    ):
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentError(
                "SGD",
                "nesterov needs momentum > 0 and dampening 0, "
                f"got momentum {momentum}, dampening {dampening}",
            )
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    def fresh(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        be = parameter.backend
        shape = parameter.shape if group["momentum"] else (0,)
        return {
            "step": be.full((1,), 0.0, "float64"),
            "velocity": be.full(shape, 0.0, parameter.dtype),
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
        be.optim.sgd_step(
            parameters,
            gradients,
            [s["velocity"] for s in states],
            [s["step"] for s in states],
            lr,
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )
