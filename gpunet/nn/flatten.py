"""Flatten as a layer."""

from __future__ import annotations

from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.nn.module import Module


class Flatten(Module):
    """Joins all axes but the first.

    Shapes: (n, ...) to (n, product of the rest); see `functional.flatten`.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return F.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
