"""Axes joined and cut apart, as layers."""

from __future__ import annotations

from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.nn.module import Module


class Flatten(Module):
    """Joins the axes from `start_dim` to `end_dim`: by default all but the first.

    Shapes: (n, ...) to (n, product of the rest); see `functional.flatten`.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return F.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Cuts the axis `dim` into several of lengths `unflattened_size`, of which one may be −1.

    Shapes: (..., n, ...) to (..., *unflattened_size, ...); see `functional.unflatten`.
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]):
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, x: Tensor) -> Tensor:
        return F.unflatten(x, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
