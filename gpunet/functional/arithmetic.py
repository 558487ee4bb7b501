"""Elementwise arithmetic with broadcasting, as functions, methods and operators.

These need no kernels of their own: they are the array module's, and their gradients are composed.
A plain number keeps the tensor's dtype (float32 times 2.0 is float32).
"""

from __future__ import annotations

from typing import Any

from gpunet.autograd.broadcast import unbroadcast
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.functional.check import floating, is_tensor
from gpunet.functional.promotion import binary

Number = float | int


class _Broadcast(Op):
    """Base of operations on two operands, of which one may be a number; remembers their shapes."""

    def shapes(self, x: Any, y: Any) -> None:
        self.x_shape, self.y_shape = getattr(x, "shape", ()), getattr(y, "shape", ())

    def reduced(self, be: Backend, gx: Array, gy: Array) -> tuple[Array, Array]:
        return (
            unbroadcast(be, gx, self.x_shape) if self.needs[0] else None,
            unbroadcast(be, gy, self.y_shape) if self.needs[1] else None,
        )


class Add(_Broadcast):
    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        return be.xp.add(x, y)

    def backward(self, be: Backend, g: Array) -> Any:
        return self.reduced(be, g, g)


class Subtract(_Broadcast):
    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        return be.xp.subtract(x, y)

    def backward(self, be: Backend, g: Array) -> Any:
        return self.reduced(be, g, be.xp.negative(g) if self.needs[1] else None)


class Multiply(_Broadcast):
    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        self.saved = x if self.needs[1:] != (False,) else None, y
        return be.xp.multiply(x, y)

    def backward(self, be: Backend, g: Array) -> Any:
        x, y = self.saved
        multiply = be.xp.multiply
        return self.reduced(
            be, multiply(g, y) if self.needs[0] else None, multiply(g, x) if self.needs[1] else None
        )


class Divide(_Broadcast):
    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        z = be.xp.divide(x, y)
        self.saved = y, z
        return z

    def backward(self, be: Backend, g: Array) -> Any:
        y, z = self.saved
        gx = be.xp.divide(g, y)
        return self.reduced(
            be, gx, be.xp.negative(be.xp.multiply(gx, z)) if self.needs[1] else None
        )


class Power(_Broadcast):
    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        z = be.xp.power(x, y)
        self.saved = x, y, z
        return z

    def backward(self, be: Backend, g: Array) -> Any:
        x, y, z = self.saved
        xp = be.xp
        gx = gy = None
        if self.needs[0]:  # d/dx x^y = y x^(y−1), which is 0 where y = 0, also at x = 0
            gx = xp.multiply(xp.multiply(g, y), xp.power(x, y - 1))
            gx = xp.where(xp.equal(y, 0), xp.zeros_like(gx), gx)
        if self.needs[1]:  # d/dy x^y = x^y log x, taken as 0 where x = 0
            base = be.asarray(x, g.dtype)
            log = xp.log(xp.where(xp.equal(base, 0), xp.ones_like(base), base))
            gy = xp.multiply(xp.multiply(g, z), log)
        return self.reduced(be, gx, gy)


class Negate(Op):
    def forward(self, be: Backend, x: Array) -> Array:
        return be.xp.negative(x)

    def backward(self, be: Backend, g: Array) -> Array:
        return be.xp.negative(g)


class Exp(Op):
    def forward(self, be: Backend, x: Array) -> Array:
        self.saved = be.xp.exp(x)
        return self.saved

    def backward(self, be: Backend, g: Array) -> Array:
        return be.xp.multiply(g, self.saved)


class Log(Op):
    def forward(self, be: Backend, x: Array) -> Array:
        self.saved = x
        return be.xp.log(x)

    def backward(self, be: Backend, g: Array) -> Array:
        return be.xp.divide(g, self.saved)


class Sqrt(Op):
    def forward(self, be: Backend, x: Array) -> Array:
        self.saved = be.xp.sqrt(x)
        return self.saved

    def backward(self, be: Backend, g: Array) -> Array:
        return be.xp.divide(g, be.xp.multiply(self.saved, 2))


class Abs(Op):
    def forward(self, be: Backend, x: Array) -> Array:
        self.saved = x
        return be.xp.absolute(x)

    def backward(self, be: Backend, g: Array) -> Array:
        return be.xp.multiply(g, be.xp.sign(self.saved))


@method("add", "add_", "__add__", "__radd__", "__iadd__")
def add(x: Tensor | Number, y: Tensor | Number) -> Tensor:
    """x + y, elementwise.

    Shapes: any two that broadcast. Its gradient is passed on to both and summed over broadcast
    axes.
    """
    return binary("add", Add(), x, y)


@method("sub", "sub_", "__sub__", "__isub__")
def sub(x: Tensor | Number, y: Tensor | Number) -> Tensor:
    """x − y, elementwise. Shapes: any two that broadcast."""
    return binary("sub", Subtract(), x, y)


@method("__rsub__")
def _rsub(y: Tensor, x: Number) -> Tensor:
    return sub(x, y)


@method("mul", "mul_", "__mul__", "__rmul__", "__imul__")
def mul(x: Tensor | Number, y: Tensor | Number) -> Tensor:
    """x · y, elementwise. Shapes: any two that broadcast."""
    return binary("mul", Multiply(), x, y)


@method("div", "div_", "__truediv__", "__itruediv__")
def div(x: Tensor | Number, y: Tensor | Number) -> Tensor:
    """x / y, elementwise; integers divide to float32. Shapes: any two that broadcast."""
    return binary("div", Divide(), x, y, real=True)


@method("__rtruediv__")
def _rdiv(y: Tensor, x: Number) -> Tensor:
    return div(x, y)


@method("pow", "pow_", "__pow__", "__ipow__")
def pow(x: Tensor | Number, exponent: Tensor | Number) -> Tensor:
    """x to the power of `exponent`, elementwise. Shapes: any two that broadcast."""
    return binary("pow", Power(), x, exponent)


@method("__rpow__")
def _rpow(exponent: Tensor, x: Number) -> Tensor:
    return pow(x, exponent)


@method("neg", "__neg__")
def neg(x: Tensor) -> Tensor:
    """−x, elementwise. Shapes: any."""
    is_tensor("neg", "x", x)
    return apply(Negate(), x)


@method()
def exp(x: Tensor) -> Tensor:
    """e to the power of x, elementwise. Shapes: any. Dtypes: floating."""
    floating("exp", "x", x)
    return apply(Exp(), x)


@method()
def log(x: Tensor) -> Tensor:
    """Natural logarithm, elementwise. Shapes: any. Dtypes: floating."""
    floating("log", "x", x)
    return apply(Log(), x)


@method()
def sqrt(x: Tensor) -> Tensor:
    """Square root, elementwise. Shapes: any. Dtypes: floating."""
    floating("sqrt", "x", x)
    return apply(Sqrt(), x)


@method("abs", "__abs__")
def abs(x: Tensor) -> Tensor:
    """Absolute value, elementwise; its gradient at 0 is 0. Shapes: any."""
    is_tensor("abs", "x", x)
    return apply(Abs(), x)
