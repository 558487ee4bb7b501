"""Largest and smallest elements. NaN counts as larger and as smaller than any number."""

from __future__ import annotations

from typing import NamedTuple

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError
from gpunet.functional.check import is_tensor
from gpunet.functional.dims import (
    Dim,
    Pick,
    Picked,
    Reduction,
    axes,
    not_empty,
    one_axis,
    over_axes,
)


class MinMax(NamedTuple):
    """Smallest and largest elements."""

    min: Tensor
    max: Tensor


def evenly(be: Backend, gy: Array, among: Array, over: tuple[int, ...]) -> Array:
    """Each gradient in equal parts to the elements that are marked, of those that it belongs to.

    Shapes: among (any), of bool; gy the same with length 1 at the axes `over`.
    """
    xp = be.xp
    part = xp.divide(gy, be.asarray(be.sum(among, over, True), gy.dtype))
    return xp.multiply(part, be.asarray(among, gy.dtype))


class Extremum(Reduction):
    """The largest or smallest element; elements equal to it share its gradient evenly."""

    def __init__(self, name: str, axes: tuple[int, ...], keepdim: bool):
        super().__init__(axes, keepdim)
        self.reduce = name

    def forward(self, be: Backend, x: Array) -> Array:
        reduce = getattr(be.xp, self.reduce)
        y = be.xp.asarray(reduce(x, axis=self.axes, keepdims=self.keepdim))
        self.saved = x, y
        return y

    def among(self, be: Backend, x: Array, y: Array) -> Array:
        """Marks the elements of x that are the extremum."""
        return be.xp.equal(x, y)

    def backward(self, be: Backend, gy: Array) -> Array:
        x, y = self.saved
        return evenly(be, self.kept(gy), self.among(be, x, self.kept(y)), self.axes)


class ExtremumOfAll(Extremum):
    """Over all axes NaN may be the extremum, too, as PyTorch has it."""

    def among(self, be: Backend, x: Array, y: Array) -> Array:
        return be.xp.where(be.xp.isnan(y), be.xp.isnan(x), be.xp.equal(x, y))


class PickExtremum(Pick):
    """The first of the largest or smallest elements along an axis."""

    def __init__(self, name: str, axis: int, keepdim: bool):
        super().__init__(axis, keepdim)
        self.reduce = name

    def forward(self, be: Backend, x: Array) -> tuple[Array, Array]:
        find = getattr(be.xp, "arg" + self.reduce)
        return self.picked(be, x, find(x, axis=self.axis, keepdims=True))


class Position(Reduction):
    """Where the first of the largest or smallest elements is."""

    def __init__(self, name: str, axis: int, keepdim: bool):
        super().__init__((axis,), keepdim)
        self.reduce = name

    def forward(self, be: Backend, x: Array) -> Array:
        find = getattr(be.xp, "arg" + self.reduce)
        return be.xp.asarray(find(x, axis=self.axes[0], keepdims=self.keepdim))


class Larger(Op):
    """The larger (or smaller) of two; where they are equal, each gets half of the gradient."""

    def __init__(self, name: str):
        self.choose = name

    def forward(self, be: Backend, x: Array, y: Array) -> Array:
        z = getattr(be.xp, self.choose)(x, y)
        self.saved = x, y
        return z
