"""Exponentials, logarithms and the error function, elementwise; whole numbers become float32."""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.op import Op
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError
from gpunet.functional.pointwise import Broadcast, Unary
from gpunet.functional.precision import in_single
from gpunet.functional.promotion import WIDE_REAL, binary, unary

Number = float | int


class Exp(Unary):
    f, keeps = "exp", "y"

    def through(self, xp: Any, g: Array, y: Array) -> Array:
        return xp.multiply(g, y)


class Exp2(Unary):
    f, keeps = "exp2", "y"

    def through(self, xp: Any, g: Array, y: Array) -> Array:
        return xp.multiply(g, xp.multiply(y, math.log(2)))


class Expm1(Unary):
    f, keeps = "expm1", "y"

    def through(self, xp: Any, g: Array, y: Array) -> Array:
        return xp.multiply(g, xp.add(y, 1))


class Log(Unary):
    f = "log"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.divide(g, x)


class Log2(Unary):
    f = "log2"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.divide(g, xp.multiply(x, math.log(2)))


class Log10(Unary):
    f = "log10"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.divide(g, xp.multiply(x, math.log(10)))


class Log1p(Unary):
    f = "log1p"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.divide(g, xp.add(x, 1))


class Erf(Unary):
    def forward(self, be: Backend, x: Array) -> Array:
        self.saved = x
        return be.activation.erf_fwd(be.contiguous(x))

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.multiply(g, xp.multiply(_bell(xp, x), 2 / math.sqrt(math.pi)))


class Erfc(Unary):
    def forward(self, be: Backend, x: Array) -> Array:
        self.saved = x
        return be.activation.erfc_fwd(be.contiguous(x))

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.multiply(g, xp.multiply(_bell(xp, x), -2 / math.sqrt(math.pi)))


def _bell(xp: Any, x: Array) -> Array:
    """e^(−x²); beyond |x| = 100 it is 0, and the square must not overflow."""
    return xp.exp(xp.negative(xp.square(xp.minimum(xp.absolute(x), 100))))


class Logit(Op):
    def __init__(self, eps: float | None):
        self.eps = eps

    def forward(self, be: Backend, x: Array) -> Array:
        xp = be.xp
        self.saved = x
        if self.eps is not None:
            x = xp.minimum(xp.maximum(x, self.eps), 1 - self.eps)
        return xp.log(xp.divide(x, xp.subtract(1, x)))

    def backward(self, be: Backend, g: Array) -> Array:
        x, xp = self.saved, be.xp
        low, beyond = (0, math.nan) if self.eps is None else (self.eps, 0)
        inside = xp.logical_and(xp.greater_equal(x, low), xp.less_equal(x, 1 - low))
        slope = xp.multiply(x, xp.subtract(1, x))
        return xp.where(inside, xp.divide(g, xp.where(inside, slope, 1)), beyond)


class LogAddExp(Broadcast):
    f, scale = "logaddexp", 1.0

    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        self.saved = x, y
        return getattr(be.xp, self.f)(x, y)

    def backward(self, be: Backend, g: Array) -> Any:
        x, y = self.saved
        xp = be.xp
        d = xp.multiply(xp.subtract(x, y), self.scale)  # the slopes are σ(d) and σ(−d)

        def part(d: Array) -> Array:
            return xp.multiply(g, be.activation.sigmoid_fwd(be.contiguous(d)))

        return self.reduced(
            be,
            part(d) if self.needs[0] else None,
            part(xp.negative(d)) if self.needs[1] else None,
        )


class LogAddExp2(LogAddExp):
    f, scale = "logaddexp2", math.log(2)


class XLogY(Broadcast):
    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.saved = x, y = self.arrays(be, x, y)
        xp = be.xp
        zero = xp.logical_and(xp.equal(x, 0), xp.equal(y, y))  # whatever log y is, but for NaN
        return xp.multiply(x, xp.log(xp.where(zero, 1, y)))

    def backward(self, be: Backend, g: Array) -> Any:
        x, y = self.saved
        xp, gx = be.xp, None
        if self.needs[0]:
            none = xp.logical_and(xp.equal(x, 0), xp.less_equal(y, 0))  # 0, as in PyTorch
            gx = xp.multiply(g, xp.log(xp.where(none, 1, y)))
        return self.reduced(be, gx, xp.divide(xp.multiply(g, x), y) if self.needs[1] else None)


@method("exp", "exp_")
@in_single
def exp(x: Tensor) -> Tensor:
    """e to the power of x. Shapes: any."""
    return unary("exp", Exp(), x)


@method("exp2", "exp2_")
@in_single
def exp2(x: Tensor) -> Tensor:
    """2 to the power of x. Shapes: any."""
    return unary("exp2", Exp2(), x)


@method("expm1", "expm1_")
@in_single
def expm1(x: Tensor) -> Tensor:
    """e^x − 1, exact also where e^x is nearly 1. Shapes: any."""
    return unary("expm1", Expm1(), x)


@method("log", "log_")
@in_single
def log(x: Tensor) -> Tensor:
    """Natural logarithm; −Inf at 0, NaN below. Shapes: any."""
    return unary("log", Log(), x)


@method("log2", "log2_")
@in_single
def log2(x: Tensor) -> Tensor:
    """Logarithm to base 2. Shapes: any."""
    return unary("log2", Log2(), x)


@method("log10", "log10_")
@in_single
def log10(x: Tensor) -> Tensor:
    """Logarithm to base 10. Shapes: any."""
    return unary("log10", Log10(), x)


@method("log1p", "log1p_")
@in_single
def log1p(x: Tensor) -> Tensor:
    """log(1 + x), exact also where x is nearly 0. Shapes: any."""
    return unary("log1p", Log1p(), x)


@method("erf", "erf_")
def erf(x: Tensor) -> Tensor:
    """Error function, 2/√π ∫₀ˣ e^(−t²) dt. Shapes: any."""
    return unary("erf", Erf(), x)


@method("erfc", "erfc_")
def erfc(x: Tensor) -> Tensor:
    """1 − erf(x), exact also where erf is nearly 1. Shapes: any."""
    return unary("erfc", Erfc(), x)


@method("logit", "logit_")
@in_single
def logit(x: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 − x)), the inverse of the sigmoid.

    Shapes: any.

    Args:
        eps: x is first clamped to [eps, 1 − eps], with eps in [0, 0.5]; the gradient beyond is 0.
            If None, results beyond [0, 1] are NaN.

    >>> import gpunet
    >>> gpunet.logit(gpunet.tensor([0.0, 0.5, 1.0]), eps=0.25)
    tensor([-1.0986123,  0.       ,  1.0986123], dtype=float32)
    """
    if eps is not None and not 0 <= eps <= 0.5:
        raise ArgumentError("logit", f"eps must be in [0, 0.5], got {eps}")
    return unary("logit", Logit(eps), x)


@method()
@in_single
def logaddexp(x: Tensor, other: Tensor | Number) -> Tensor:
    """log(e^x + e^other), without overflow. Shapes: any two that broadcast.

    Differs from PyTorch: a number may stand in place of either tensor.

    >>> import gpunet
    >>> gpunet.logaddexp(gpunet.tensor([1e4, -1e4]), gpunet.tensor([1e4, 1e4]))
    tensor([10000.693, 10000.   ], dtype=float32)
    """
    return binary("logaddexp", LogAddExp(), x, other, WIDE_REAL)


@method()
@in_single
def logaddexp2(x: Tensor, other: Tensor | Number) -> Tensor:
    """log₂(2^x + 2^other), without overflow.

    Shapes: any two that broadcast.
    Differs from PyTorch: a number may stand in place of either tensor.
    """
    return binary("logaddexp2", LogAddExp2(), x, other, WIDE_REAL)


@method("xlogy", "xlogy_")
@in_single
def xlogy(x: Tensor | Number, other: Tensor | Number) -> Tensor:
    """x · log(other), and 0 where x = 0 unless `other` is NaN. Shapes: any two that broadcast."""
    return binary("xlogy", XLogY(), x, other, WIDE_REAL)
