"""Losses as modules; formulas, shapes and errors are those of `gpunet.functional`."""

from __future__ import annotations

from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.nn.module import Module


class MSELoss(Module):
    """See `functional.mse_loss`."""

    def __init__(self, reduction: str = "mean"):
        self.reduction = reduction

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(x, target, self.reduction)


class BCEWithLogitsLoss(Module):
    """See `functional.binary_cross_entropy_with_logits`."""

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ):
        self.weight, self.reduction, self.pos_weight = weight, reduction, pos_weight

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        arguments = (self.weight, self.reduction, self.pos_weight)
        return F.binary_cross_entropy_with_logits(x, target, *arguments)


class CrossEntropyLoss(Module):
    """See `functional.cross_entropy`."""

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        self.weight, self.ignore_index = weight, ignore_index
        self.reduction, self.label_smoothing = reduction, label_smoothing

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        arguments = (self.weight, self.ignore_index, self.reduction, self.label_smoothing)
        return F.cross_entropy(x, target, *arguments)
