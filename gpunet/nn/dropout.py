"""Dropout as a layer."""

from __future__ import annotations

from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.nn.module import Module


class Dropout(Module):
    """Zeroes elements with probability `p` in training, passes everything in evaluation.

    See `functional.dropout`.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False):
        if not 0.0 <= p <= 1.0:
            raise ArgumentError(type(self).__name__, f"p must be in [0, 1], got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}" + ", inplace=True" * self.inplace
