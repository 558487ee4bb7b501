"""Whole parts, signs, and numbers that are none, elementwise."""

from __future__ import annotations

from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, dtypes
from gpunet.functional.check import floating, is_tensor, not_bool
from gpunet.functional.pointwise import Broadcast, Compare, Flat
from gpunet.functional.promotion import NARROW, WIDE_REAL, binary, together, unary

Number = float | int


class Round(Flat):
    """Rounded to a power of ten."""

    def __init__(self, decimals: int):
        self.decimals = decimals

    def forward(self, be: Backend, x: Array) -> Array:
        xp, scale = be.xp, 10.0 ** abs(self.decimals)
        if self.decimals < 0:
            return xp.multiply(xp.rint(xp.divide(x, scale)), scale)
        return xp.divide(xp.rint(xp.multiply(x, scale)), scale)


class Fraction(Op):
    def forward(self, be: Backend, x: Array) -> Array:
        return be.xp.subtract(x, be.xp.trunc(x))

    def backward(self, be: Backend, g: Array) -> Array:
        return g


class Sign(Flat):
    """0 for NaN, as in PyTorch."""

    def __init__(self) -> None:
        super().__init__("sign")

    def forward(self, be: Backend, x: Array) -> Array:
        if x.dtype.kind == "b":
            return be.copy(x)
        y = super().forward(be, x)
        return be.xp.where(be.xp.isnan(y), 0, y) if dtypes.floating(x.dtype) else y


class CopySign(Broadcast):
    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        z = be.xp.copysign(x, y)
        self.saved = x, z
        return z

    def backward(self, be: Backend, g: Array) -> Any:
        x, z = self.saved
        xp, gx = be.xp, None
        if self.needs[0]:  # the sign that x got, ±1; at 0 there is none
            zero = xp.equal(x, 0)
            gx = xp.multiply(g, xp.where(zero, 0, xp.divide(z, xp.where(zero, 1, x))))
        return self.reduced(be, gx, be.full(g.shape, 0, g.dtype) if self.needs[1] else None)


class Heaviside(Broadcast):
    def forward(self, be: Backend, x: Array, values: Array) -> Array:
        self.shapes(x, values)
        xp = be.xp
        self.saved = zero = xp.equal(x, 0)
        return xp.where(zero, values, xp.greater(x, 0).astype(values.dtype))

    def backward(self, be: Backend, g: Array) -> Any:
        gvalues = be.xp.where(self.saved, g, 0) if self.needs[1] else None
        return self.reduced(be, be.full(g.shape, 0, g.dtype) if self.needs[0] else None, gvalues)


class NanToNum(Op):
    def __init__(self, nan: float, posinf: float | None, neginf: float | None):
        self.values = dict(nan=nan, posinf=posinf, neginf=neginf)

    def forward(self, be: Backend, x: Array) -> Array:
        self.saved = x
        return be.xp.asarray(be.xp.nan_to_num(x, **self.values))

    def backward(self, be: Backend, g: Array) -> Array:
        return be.xp.where(be.xp.isfinite(self.saved), g, 0)


@method("floor", "floor_")
def floor(x: Tensor) -> Tensor:
    """The largest whole number not above x; its gradient is 0. Shapes: any."""
    not_bool("floor", "x", x)
    return apply(Flat("floor"), x)


@method("ceil", "ceil_")
def ceil(x: Tensor) -> Tensor:
    """The smallest whole number not below x; its gradient is 0. Shapes: any."""
    not_bool("ceil", "x", x)
    return apply(Flat("ceil"), x)


@method("trunc", "trunc_")
def trunc(x: Tensor) -> Tensor:
    """x rounded towards 0; its gradient is 0. Shapes: any."""
    not_bool("trunc", "x", x)
    return apply(Flat("trunc"), x)


@method("round", "round_")
def round(x: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest whole number, the even one of two; its gradient is 0.

    Shapes: any.

    Args:
        decimals: digits kept behind the point; before it, if negative (`-2`: whole hundreds).
            Other than 0 for floating x only.

    >>> import gpunet
    >>> gpunet.tensor([0.5, 1.5, -2.4]).round()
    tensor([ 0.,  2., -2.], dtype=float32)
    """
    if not decimals:
        not_bool("round", "x", x)
        return apply(Flat("rint" if dtypes.floating(x.array.dtype) else "positive"), x)
    floating("round", "x", x)
    return unary("round", Round(decimals), x)


@method("frac", "frac_")
def frac(x: Tensor) -> Tensor:
    """x − trunc(x), the part behind the point, with the sign of x.

    Shapes: any. Dtypes: floating.
    """
    floating("frac", "x", x)
    return apply(Fraction(), x)


@method("sign", "sign_")
def sign(x: Tensor) -> Tensor:
    """−1, 0 or 1, and 0 for NaN; its gradient is 0. Shapes: any."""
    is_tensor("sign", "x", x)
    return apply(Sign(), x)


@method("copysign", "copysign_")
def copysign(x: Tensor | Number, other: Tensor | Number) -> Tensor:
    """|x| with the sign of `other`, that of −0 included. Shapes: any two that broadcast.

    Whole numbers become float32. Its gradient for x is ±1, and 0 at 0.

    Differs from PyTorch: x may be a number.
    """
    return binary("copysign", CopySign(), x, other, WIDE_REAL)


@method("heaviside", "heaviside_")
def heaviside(x: Tensor, values: Tensor) -> Tensor:
    """0 where x is negative or NaN, 1 where it is positive, and `values` where it is 0.

    The gradient is that of `values` where x is 0, and 0 elsewhere.

    Shapes: any two that broadcast.
    Differs from PyTorch: `values` has a gradient, there none.
    """
    is_tensor("heaviside", "x", x)
    is_tensor("heaviside", "values", values)
    return together("heaviside", Heaviside(), {"x": x, "values": values}, NARROW)


@method("nan_to_num", "nan_to_num_")
def nan_to_num(
    x: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """x with numbers in place of NaN and ±Inf, where its gradient is 0.

    Shapes: any.

    Args:
        nan: in place of NaN, 0 if None.
        posinf, neginf: in place of Inf and −Inf; the largest and least of the dtype if None.

    >>> import gpunet
    >>> gpunet.nan_to_num(gpunet.tensor([float("nan"), float("inf"), 2.0]), posinf=9)
    tensor([0., 9., 2.], dtype=float32)
    """
    is_tensor("nan_to_num", "x", x)
    return apply(NanToNum(0.0 if nan is None else nan, posinf, neginf), x)


@method()
def isnan(x: Tensor) -> Tensor:
    """Whether each element is NaN. Shapes: any."""
    is_tensor("isnan", "x", x)
    return apply(Compare("isnan"), x)


@method()
def isinf(x: Tensor) -> Tensor:
    """Whether each element is Inf or −Inf. Shapes: any."""
    is_tensor("isinf", "x", x)
    return apply(Compare("isinf"), x)


@method()
def isfinite(x: Tensor) -> Tensor:
    """Whether each element is neither NaN nor ±Inf. Shapes: any."""
    is_tensor("isfinite", "x", x)
    return apply(Compare("isfinite"), x)
