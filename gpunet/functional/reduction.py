"""Reductions over axes."""

from __future__ import annotations

import math

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.functional.check import axis, floating

Dim = int | tuple[int, ...] | None


class Sum(Op):
    def __init__(self, axes: tuple[int, ...], keepdim: bool):
        self.axes, self.keepdim = axes, keepdim

    def forward(self, be: Backend, x: Array) -> Array:
        self.shape = x.shape
        return be.xp.asarray(be.xp.sum(x, axis=self.axes, keepdims=self.keepdim))

    def backward(self, be: Backend, g: Array) -> Array:
        if not self.keepdim:
            g = g.reshape([1 if i in self.axes else n for i, n in enumerate(self.shape)])
        return be.copy(be.xp.broadcast_to(g, self.shape))


class Mean(Sum):
    def forward(self, be: Backend, x: Array) -> Array:
        self.count = math.prod([x.shape[i] for i in self.axes])
        total = super().forward(be, x)
        return be.xp.asarray(be.xp.divide(total, self.count))

    def backward(self, be: Backend, g: Array) -> Array:
        return super().backward(be, be.xp.asarray(be.xp.divide(g, self.count)))


def _axes(operation: str, x: Tensor, dim: Dim) -> tuple[int, ...]:
    if dim is None:
        return tuple(range(x.ndim))
    return tuple(axis(operation, x, d) for d in ((dim,) if isinstance(dim, int) else dim))


@method()
def sum(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Sum over the axes `dim` (all of them if None).

    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    """
    return apply(Sum(_axes("sum", x, dim), keepdim), x)


@method()
def mean(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Mean over the axes `dim` (all of them if None); NaN over no elements.

    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    """
    floating("mean", "x", x)
    return apply(Mean(_axes("mean", x, dim), keepdim), x)
