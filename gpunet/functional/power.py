"""Powers and roots, elementwise."""

from __future__ import annotations

from typing import Any

from gpunet.autograd.op import apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import ArgumentError
from gpunet.functional.check import describe, is_tensor
from gpunet.functional.pointwise import Broadcast, Unary
from gpunet.functional.precision import in_single
from gpunet.functional.promotion import WIDE_NUMBERS, binary, cast, unary, whole

Number = float | int


class Power(Broadcast):
    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        _refuse_negative(be, x, y)
        z = _power(be, x, y)
        self.saved = x, y, z
        return z

    def backward(self, be: Backend, g: Array) -> Any:
        x, y, z = self.saved
        xp = be.xp
        gx = gy = None
        if self.needs[0]:  # d/dx x^y = y x^(y−1), which is 0 where y = 0, also at x = 0
            gx = xp.multiply(g, xp.multiply(_power(be, x, y - 1), y))
            if hasattr(y, "dtype") or y == 0:
                gx = xp.where(xp.equal(y, 0), xp.zeros_like(gx), gx)
        if self.needs[1]:  # d/dy x^y = x^y log x, which is 0 where x = 0 and y ≥ 0
            base = be.asarray(x, g.dtype)
            flat = xp.logical_and(xp.equal(base, 0), xp.greater_equal(y, 0))
            log = xp.log(xp.where(flat, xp.ones_like(base), base))
            gy = xp.multiply(g, xp.where(flat, xp.zeros_like(z), xp.multiply(z, log)))
        return self.reduced(be, gx, gy)


_POWERS = {1: "positive", 2: "square", 0.5: "sqrt", -1: "reciprocal"}  # many times as fast


def _power(be: Backend, x: Any, y: Any) -> Array:
    """x^y for arrays and numbers."""
    if hasattr(y, "dtype") or not dtypes.floating(x.dtype) or y not in _POWERS:
        return be.xp.power(x, y)
    return getattr(be.xp, _POWERS[y])(x)


def _refuse_negative(be: Backend, x: Any, y: Any) -> None:
    """Integers have no fractions to answer a negative exponent with."""
    if hasattr(y, "dtype") and y.dtype.kind == "i" and whole(x) and be.xp.any(y < 0):
        rule = "exponent must not be negative among integers"
        raise ArgumentError("pow", f"{rule}, got {int(y.min())}")


class Square(Unary):
    f = "square"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.multiply(g, xp.multiply(x, 2))


class Reciprocal(Unary):
    f, keeps = "reciprocal", "y"

    def through(self, xp: Any, g: Array, y: Array) -> Array:
        return xp.multiply(xp.negative(g), xp.square(y))


class Sqrt(Unary):
    f, keeps = "sqrt", "y"

    def through(self, xp: Any, g: Array, y: Array) -> Array:
        return xp.divide(g, xp.multiply(y, 2))


class Rsqrt(Unary):
    keeps = "y"

    def forward(self, be: Backend, x: Array) -> Array:
        self.saved = be.xp.reciprocal(be.xp.sqrt(x))
        return self.saved

    def through(self, xp: Any, g: Array, y: Array) -> Array:
        return xp.multiply(xp.multiply(g, -0.5), xp.multiply(xp.square(y), y))


@method("pow", "pow_", "__pow__", "__ipow__")
@in_single
def pow(x: Tensor | Number, exponent: Tensor | Number) -> Tensor:
    """x to the power of `exponent`, elementwise. Shapes: any two that broadcast.

    Integers keep their dtype, and negative exponents among them are refused.
    """
    if isinstance(x, Tensor) and x.array.dtype.kind in "iu" and isinstance(exponent, int):
        largest = x.backend.xp.iinfo(x.array.dtype).max
        if not 0 <= exponent <= largest:
            rule = f"exponent must be in [0, {largest}] for {x.dtype}, got {exponent}"
            raise ArgumentError("pow", rule, describe(x=x))
    return binary("pow", Power(), x, exponent, WIDE_NUMBERS, name="exponent")


@method("__rpow__")
def _rpow(exponent: Tensor, x: Number) -> Tensor:
    return pow(x, exponent)


@method("float_power", "float_power_")
@in_single
def float_power(x: Tensor | Number, exponent: Tensor | Number) -> Tensor:
    """x to the power of `exponent` in float64, whatever their dtypes.

    Shapes: any two that broadcast.
    """
    x, exponent = (cast(v, dtypes.float64) if isinstance(v, Tensor) else v for v in (x, exponent))
    return binary("float_power", Power(), x, exponent, name="exponent")


@method("square", "square_")
def square(x: Tensor) -> Tensor:
    """x², elementwise; booleans become int64. Shapes: any."""
    is_tensor("square", "x", x)
    return apply(Square(), cast(x, dtypes.int64) if x.array.dtype.kind == "b" else x)


@method("reciprocal", "reciprocal_")
@in_single
def reciprocal(x: Tensor) -> Tensor:
    """1 / x, elementwise. Shapes: any."""
    return unary("reciprocal", Reciprocal(), x)


@method("sqrt", "sqrt_")
def sqrt(x: Tensor) -> Tensor:
    """Square root, elementwise; its gradient at 0 is Inf. Shapes: any."""
    return unary("sqrt", Sqrt(), x)


@method("rsqrt", "rsqrt_")
@in_single
def rsqrt(x: Tensor) -> Tensor:
    """1 / √x, elementwise. Shapes: any."""
    return unary("rsqrt", Rsqrt(), x)
