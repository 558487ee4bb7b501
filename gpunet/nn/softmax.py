"""Softmax and its kin as layers."""

from __future__ import annotations

from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.functional.check import shape_error
from gpunet.nn.module import Module


class _AlongAxis(Module):
    """Base of those along an axis."""

    def __init__(self, dim: int):
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongAxis):
    """e^x / Σ e^x along `dim`; see `functional.softmax`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(x, self.dim)


class LogSoftmax(_AlongAxis):
    """log softmax along `dim`; see `functional.log_softmax`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(x, self.dim)


class Softmin(_AlongAxis):
    """softmax(−x) along `dim`; see `functional.softmin`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softmin(x, self.dim)


class Softmax2d(Module):
    """Softmax over the channels of each place. Shapes: x (N, C, H, W) or (C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in (3, 4):
            shape_error("Softmax2d", f"x must have 3 or 4 axes, got {x.ndim}", x=x)
        return F.softmax(x, -3)
