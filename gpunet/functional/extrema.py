"""The larger or smaller of two, elementwise, and values kept within bounds."""

from __future__ import annotations

from typing import Any

from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError
from gpunet.functional.check import describe, is_tensor
from gpunet.functional.pointwise import Broadcast
from gpunet.functional.promotion import NARROW, binary, together

Number = float | int


class Larger(Broadcast):
    """The larger of two, NaN if one is; where they are equal, each gets half of the gradient."""

    f, other_wins = "maximum", "less"  # x < y: the gradient is y's

    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        self.saved = x, y
        return getattr(be.xp, self.f)(x, y)

    def backward(self, be: Backend, g: Array) -> Any:
        x, y = self.saved
        xp = be.xp
        wins = getattr(xp, self.other_wins)
        shared = xp.where(xp.equal(x, y), xp.multiply(g, 0.5), g)
        gx = xp.where(wins(x, y), 0, shared) if self.needs[0] else None
        return self.reduced(be, gx, xp.where(wins(y, x), 0, shared) if self.needs[1] else None)


class Smaller(Larger):
    f, other_wins = "minimum", "greater"


class LargerNumber(Broadcast):
    """The larger of two, or the one that is not NaN; where they are equal, x gets the gradient."""

    f, wins = "fmax", "greater_equal"

    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        self.saved = x, y
        return getattr(be.xp, self.f)(x, y)

    def backward(self, be: Backend, g: Array) -> Any:
        x, y = self.saved
        xp = be.xp
        first = xp.logical_or(getattr(xp, self.wins)(x, y), xp.isnan(y))
        gx = xp.where(first, g, 0) if self.needs[0] else None
        return self.reduced(be, gx, xp.where(first, 0, g) if self.needs[1] else None)


class SmallerNumber(LargerNumber):
    f, wins = "fmin", "less_equal"


class Clamp(Broadcast):
    def forward(self, be: Backend, x: Array, low: Any, high: Any) -> Array:
        self.all_shapes(x, low, high)
        self.saved = x, low, high
        y = x if low is None else be.xp.maximum(x, low)
        return y if high is None else be.xp.minimum(y, high)

    def backward(self, be: Backend, g: Array) -> Any:
        x, low, high = self.saved
        xp, both = be.xp, low is not None and high is not None
        gx = glow = ghigh = None
        if self.needs[0]:  # at a bound it is x that counts
            above = True if low is None else xp.greater_equal(x, low)
            below = True if high is None else xp.less_equal(x, high)
            gx = xp.where(xp.logical_and(above, below), g, 0)
        if self.needs[1]:
            takes = xp.less(x, low)
            glow = xp.where(xp.logical_and(takes, xp.less(low, high)) if both else takes, g, 0)
        if self.needs[2]:
            takes = xp.greater(x, high)
            ghigh = xp.where(xp.logical_or(takes, xp.less(high, low)) if both else takes, g, 0)
        return self.reduced(be, gx, glow, ghigh)


@method()
def maximum(x: Tensor, other: Tensor | Number) -> Tensor:
    """The larger of x and other, NaN if either is; a tie gives half of the gradient to each.

    Shapes: any two that broadcast.
    Differs from PyTorch: a number may stand in place of either tensor.
    """
    return binary("maximum", Larger(), x, other, NARROW)


@method()
def minimum(x: Tensor, other: Tensor | Number) -> Tensor:
    """The smaller of x and other, NaN if either is; a tie gives half of the gradient to each.

    Shapes: any two that broadcast.
    Differs from PyTorch: a number may stand in place of either tensor.
    """
    return binary("minimum", Smaller(), x, other, NARROW)


@method()
def fmax(x: Tensor, other: Tensor | Number) -> Tensor:
    """The larger of x and other, NaN only if both are; a tie gives the gradient to x.

    Shapes: any two that broadcast.
    Differs from PyTorch: a number may stand in place of either tensor.

    >>> import gpunet
    >>> gpunet.fmax(gpunet.tensor([float("nan"), 2.0]), gpunet.tensor(1.0))
    tensor([1., 2.], dtype=float32)
    """
    return binary("fmax", LargerNumber(), x, other, NARROW)


@method()
def fmin(x: Tensor, other: Tensor | Number) -> Tensor:
    """The smaller of x and other, NaN only if both are; a tie gives the gradient to x.

    Shapes: any two that broadcast.
    Differs from PyTorch: a number may stand in place of either tensor.
    """
    return binary("fmin", SmallerNumber(), x, other, NARROW)


@method("clamp", "clamp_")
def clamp(
    x: Tensor, min: Tensor | Number | None = None, max: Tensor | Number | None = None
) -> Tensor:
    """x, but nowhere below `min` nor above `max`; `max` where they cross.

    Its gradient is 1 within the bounds and on them, 0 beyond.

    Shapes: any that broadcast.

    Args:
        min, max: bounds, at least one of them.
    Differs from PyTorch: one bound may be a number and the other one a tensor.

    >>> import gpunet
    >>> gpunet.clamp(gpunet.tensor([-1.0, 0.5, 3.0]), 0, max=1)
    tensor([0. , 0.5, 1. ], dtype=float32)
    """
    return _clamped("clamp", x, min, max)


@method("clip", "clip_")
def clip(
    x: Tensor, min: Tensor | Number | None = None, max: Tensor | Number | None = None
) -> Tensor:
    """`clamp` by NumPy's name: x, but nowhere below `min` nor above `max`.

    Shapes: any that broadcast.
    Differs from PyTorch: one bound may be a number and the other one a tensor.
    """
    return _clamped("clip", x, min, max)


def _clamped(operation: str, x: Tensor, low: Any, high: Any) -> Tensor:
    is_tensor(operation, "x", x)
    if low is None and high is None:
        raise ArgumentError(operation, "min or max must be given, got neither", describe(x=x))
    return together(operation, Clamp(), {"x": x, "min": low, "max": high}, NARROW)
