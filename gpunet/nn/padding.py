"""Borders as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.functional.check import is_tensor, shape_error
from gpunet.functional.windows import LETTERS
from gpunet.nn.module import Module


class _Pad(Module):
    """Base: so many elements at both ends of each of the last `axes`.

    Args:
        padding: one number for all ends, or two for the last axis (before it and behind it), two
            for the last but one, ... Negative numbers take elements away.
    """

    axes: ClassVar[int]
    mode: ClassVar[str]
    value: float | None = None

    def __init__(self, padding: int | Sequence[int]):
        ends = 2 * self.axes
        self.padding = (padding,) * ends if isinstance(padding, int) else tuple(padding)

    def forward(self, x: Tensor) -> Tensor:
        name = type(self).__name__
        is_tensor(name, "x", x)
        if self.mode != "constant" and x.ndim not in (self.axes + 1, self.axes + 2):
            letters = LETTERS[self.axes]
            rule = f"x must have shape (N, C, {letters}) or (C, {letters}), got {x.shape}"
            shape_error(name, rule, x=x)
        return F.pad(x, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float):
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_Pad):
    mode = "constant"


class _ReflectionPad(_Pad):
    mode = "reflect"


class _ReplicationPad(_Pad):
    mode = "replicate"


class _CircularPad(_Pad):
    mode = "circular"


class ConstantPad1d(_ConstantPad):
    """A border of one value; see `functional.pad`. Shapes: (..., L)."""

    axes = 1


class ConstantPad2d(_ConstantPad):
    """A border of one value; see `functional.pad`. Shapes: (..., H, W)."""

    axes = 2


class ConstantPad3d(_ConstantPad):
    """A border of one value; see `functional.pad`. Shapes: (..., D, H, W)."""

    axes = 3


class ZeroPad1d(_ZeroPad):
    """A border of zeros; see `functional.pad`. Shapes: (..., L)."""

    axes = 1


class ZeroPad2d(_ZeroPad):
    """A border of zeros; see `functional.pad`. Shapes: (..., H, W)."""

    axes = 2


class ZeroPad3d(_ZeroPad):
    """A border of zeros; see `functional.pad`. Shapes: (..., D, H, W)."""

    axes = 3


class ReflectionPad1d(_ReflectionPad):
    """x mirrored at its outermost elements; see `functional.pad`. Shapes: (..., L)."""

    axes = 1


class ReflectionPad2d(_ReflectionPad):
    """x mirrored at its outermost elements; see `functional.pad`. Shapes: (..., H, W)."""

    axes = 2


class ReflectionPad3d(_ReflectionPad):
    """x mirrored at its outermost elements; see `functional.pad`. Shapes: (..., D, H, W)."""

    axes = 3


class ReplicationPad1d(_ReplicationPad):
    """A border of the outermost elements; see `functional.pad`. Shapes: (..., L)."""

    axes = 1


class ReplicationPad2d(_ReplicationPad):
    """A border of the outermost elements; see `functional.pad`. Shapes: (..., H, W)."""

    axes = 2


class ReplicationPad3d(_ReplicationPad):
    """A border of the outermost elements; see `functional.pad`. Shapes: (..., D, H, W)."""

    axes = 3


class CircularPad1d(_CircularPad):
    """A border from the other end; see `functional.pad`. Shapes: (..., L)."""

    axes = 1


class CircularPad2d(_CircularPad):
    """A border from the other end; see `functional.pad`. Shapes: (..., H, W)."""

    axes = 2


class CircularPad3d(_CircularPad):
    """A border from the other end; see `functional.pad`. Shapes: (..., D, H, W)."""

    axes = 3
