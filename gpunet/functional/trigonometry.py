"""Circular and hyperbolic functions, elementwise; angles in radians. Whole numbers become float32.

The hyperbolic tangent is an activation function, and has kernels.
"""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.op import Op
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.functional.pointwise import Broadcast, Unary
from gpunet.functional.promotion import WIDE_REAL, binary, unary

Number = float | int


class Sin(Unary):
    f = "sin"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.multiply(g, xp.cos(x))


class Cos(Unary):
    f = "cos"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.multiply(g, xp.negative(xp.sin(x)))


class Tan(Unary):
    f, keeps = "tan", "y"

    def through(self, xp: Any, g: Array, y: Array) -> Array:
        return xp.multiply(g, xp.add(xp.square(y), 1))


class Asin(Unary):
    f = "arcsin"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.divide(g, xp.sqrt(xp.subtract(1, xp.square(x))))


class Acos(Unary):
    f = "arccos"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.divide(xp.negative(g), xp.sqrt(xp.subtract(1, xp.square(x))))


class Atan(Unary):
    f = "arctan"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.divide(g, xp.add(xp.square(x), 1))


class Sinh(Unary):
    f = "sinh"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.multiply(g, xp.cosh(x))


class Cosh(Unary):
    f = "cosh"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.multiply(g, xp.sinh(x))


class Asinh(Unary):
    f = "arcsinh"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.divide(g, xp.sqrt(xp.add(xp.square(x), 1)))


class Acosh(Unary):
    f = "arccosh"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.divide(g, xp.sqrt(xp.subtract(xp.square(x), 1)))


class Atanh(Unary):
    f = "arctanh"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.divide(g, xp.subtract(1, xp.square(x)))


class Scale(Op):
    """y = factor · x."""

    def __init__(self, factor: float):
        self.factor = factor

    def forward(self, be: Backend, x: Array) -> Array:
        return be.xp.multiply(x, self.factor)

    def backward(self, be: Backend, g: Array) -> Array:
        return be.xp.multiply(g, self.factor)


class Sinc(Op):
    def forward(self, be: Backend, x: Array) -> Array:
        xp = be.xp
        self.saved = x
        a = xp.multiply(x, math.pi)
        zero = xp.equal(a, 0)
        return xp.where(zero, 1, xp.divide(xp.sin(a), xp.where(zero, 1, a)))

    def backward(self, be: Backend, g: Array) -> Array:
        xp = be.xp
        a = xp.multiply(self.saved, math.pi)
        near = xp.less(xp.absolute(a), 0.1)  # where cos a − sin a / a cancels: Taylor's series
        far = xp.where(near, 1, a)
        square = xp.where(near, xp.square(a), 0)
        series = xp.multiply(a, -1 / 3 + square * (1 / 30 - square * (1 / 840 - square / 45360)))
        slope = xp.divide(xp.subtract(xp.cos(far), xp.divide(xp.sin(far), far)), far)
        return xp.multiply(g, xp.multiply(xp.where(near, series, slope), math.pi))


class Atan2(Broadcast):
    def forward(self, be: Backend, y: Any, x: Any) -> Array:
        self.saved = y, x = self.arrays(be, y, x)
        return be.xp.arctan2(y, x)

    def backward(self, be: Backend, g: Array) -> Any:
        y, x = self.saved
        xp = be.xp
        squared = xp.add(xp.multiply(y, y), xp.multiply(x, x))
        # Every direction is one at the origin: the gradient there is taken as 0.
        share = xp.divide(g, xp.where(xp.equal(squared, 0), math.inf, squared))
        gy = xp.multiply(share, x) if self.needs[0] else None
        return self.reduced(be, gy, xp.multiply(share, xp.negative(y)) if self.needs[1] else None)


class Hypot(Broadcast):
    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        z = be.xp.hypot(x, y)
        self.saved = x, y, z
        return z

    def backward(self, be: Backend, g: Array) -> Any:
        x, y, z = self.saved
        xp = be.xp
        gx = xp.multiply(g, xp.divide(x, z)) if self.needs[0] else None
        return self.reduced(be, gx, xp.multiply(g, xp.divide(y, z)) if self.needs[1] else None)


@method("sin", "sin_")
def sin(x: Tensor) -> Tensor:
    """Sine. Shapes: any."""
    return unary("sin", Sin(), x)


@method("cos", "cos_")
def cos(x: Tensor) -> Tensor:
    """Cosine. Shapes: any."""
    return unary("cos", Cos(), x)


@method("tan", "tan_")
def tan(x: Tensor) -> Tensor:
    """Tangent. Shapes: any."""
    return unary("tan", Tan(), x)


@method("asin", "asin_")
def asin(x: Tensor) -> Tensor:
    """Inverse sine, in [−π/2, π/2]; NaN beyond [−1, 1]. Shapes: any."""
    return unary("asin", Asin(), x)


@method("acos", "acos_")
def acos(x: Tensor) -> Tensor:
    """Inverse cosine, in [0, π]; NaN beyond [−1, 1]. Shapes: any."""
    return unary("acos", Acos(), x)


@method("atan", "atan_")
def atan(x: Tensor) -> Tensor:
    """Inverse tangent, in [−π/2, π/2]. Shapes: any."""
    return unary("atan", Atan(), x)


@method("sinh", "sinh_")
def sinh(x: Tensor) -> Tensor:
    """Hyperbolic sine, (e^x − e^−x) / 2. Shapes: any."""
    return unary("sinh", Sinh(), x)


@method("cosh", "cosh_")
def cosh(x: Tensor) -> Tensor:
    """Hyperbolic cosine, (e^x + e^−x) / 2. Shapes: any."""
    return unary("cosh", Cosh(), x)


@method("asinh", "asinh_")
def asinh(x: Tensor) -> Tensor:
    """Inverse hyperbolic sine, log(x + √(x² + 1)). Shapes: any."""
    return unary("asinh", Asinh(), x)


@method("acosh", "acosh_")
def acosh(x: Tensor) -> Tensor:
    """Inverse hyperbolic cosine, log(x + √(x² − 1)); NaN below 1. Shapes: any."""
    return unary("acosh", Acosh(), x)


@method("atanh", "atanh_")
def atanh(x: Tensor) -> Tensor:
    """Inverse hyperbolic tangent, log((1 + x) / (1 − x)) / 2; NaN beyond [−1, 1]. Shapes: any."""
    return unary("atanh", Atanh(), x)


@method("deg2rad", "deg2rad_")
def deg2rad(x: Tensor) -> Tensor:
    """Degrees in radians, x · π / 180. Shapes: any."""
    return unary("deg2rad", Scale(math.pi / 180), x)


@method("rad2deg", "rad2deg_")
def rad2deg(x: Tensor) -> Tensor:
    """Radians in degrees, x · 180 / π. Shapes: any."""
    return unary("rad2deg", Scale(180 / math.pi), x)


@method("sinc", "sinc_")
def sinc(x: Tensor) -> Tensor:
    """sin(πx) / (πx), which is 1 at 0.

    Shapes: any.
    Differs from PyTorch: the gradient has all its digits near 0, there only some.
    """
    return unary("sinc", Sinc(), x)


@method("atan2", "atan2_")
def atan2(x: Tensor | Number, other: Tensor | Number) -> Tensor:
    """The angle of the point (other, x) seen from the origin, in [−π, π].

    Its gradient at the origin is 0.

    Shapes: any two that broadcast.
    Differs from PyTorch: a number may stand in place of either tensor.

    >>> import gpunet
    >>> gpunet.atan2(gpunet.tensor([0.0, 1.0]), gpunet.tensor([-1.0, 0.0]))
    tensor([3.1415927, 1.5707964], dtype=float32)
    """
    return binary("atan2", Atan2(), x, other, WIDE_REAL)


@method("hypot", "hypot_")
def hypot(x: Tensor | Number, other: Tensor | Number) -> Tensor:
    """√(x² + other²), without overflow. Shapes: any two that broadcast.

    Its gradient at the origin is NaN, as the direction from there is not known.

    Differs from PyTorch: a number may stand in place of either tensor.
    """
    return binary("hypot", Hypot(), x, other, WIDE_REAL)
