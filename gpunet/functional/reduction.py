"""Reductions over axes."""

from __future__ import annotations

import math

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.functional.check import axis, floating, is_tensor, shape_error

Dim = int | tuple[int, ...] | None


class Sum(Op):
    def __init__(self, axes: tuple[int, ...], keepdim: bool):
        self.axes, self.keepdim = axes, keepdim

    def forward(self, be: Backend, x: Array) -> Array:
        self.shape = x.shape
        return be.sum(x, self.axes, self.keepdim)

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
    is_tensor(operation, "x", x)
    if dim is None:
        return tuple(range(x.ndim))
    if isinstance(dim, int):
        return (axis(operation, x, dim),)
    axes = tuple(axis(operation, x, d) for d in dim)
    if len(set(axes)) < len(axes):
        shape_error(operation, f"dim must name each axis once, got {dim}", x=x)
    return axes


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
    Dtypes: floating.
    """
    floating("mean", "x", x)
    return apply(Mean(_axes("mean", x, dim), keepdim), x)
