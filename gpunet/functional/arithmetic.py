"""Elementwise arithmetic with broadcasting, as functions, methods and operators.

A plain number keeps the tensor's dtype (float32 times 2.0 is float32).
"""

from __future__ import annotations

from typing import Any

from gpunet.autograd.op import apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.check import describe, floating, is_tensor, not_bool, one_of
from gpunet.functional.pointwise import Broadcast, Unary
from gpunet.functional.promotion import (
    REAL,
    WIDE,
    WIDE_NUMBERS,
    WRAPS,
    WRAPS_NUMBERS,
    Rules,
    binary,
    factor,
    meeting,
    together,
    whole,
)

Number = float | int
SCALED = Rules(numeric=True, wraps=True, wide=True)  # sums with a factor `alpha`


class Add(Broadcast):
    takes_bfloat16 = True

    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        return be.xp.add(x, y)

    def backward(self, be: Backend, g: Array) -> Any:
        if self.before is None and False not in self.needs:  # the most frequent, without a call
            return g, g
        return self.reduced(be, g, g)


class AddScaled(Broadcast):
    """x + alpha·y."""

    def __init__(self, alpha: Number):
        self.alpha = alpha

    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        x, y = self.arrays(be, x, y)
        alpha = be.cast(be.asarray(self.alpha), y.dtype)  # −2 wraps around among unsigned integers
        return be.xp.add(x, be.xp.multiply(y, alpha))

    def backward(self, be: Backend, g: Array) -> Any:
        return self.reduced(be, g, be.xp.multiply(g, self.alpha) if self.needs[1] else None)


class Subtract(Broadcast):
    takes_bfloat16 = True

    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        return be.xp.subtract(x, y)

    def backward(self, be: Backend, g: Array) -> Any:
        return self.reduced(be, g, be.xp.negative(g) if self.needs[1] else None)


class Multiply(Broadcast):
    fresh = True
    takes_bfloat16 = True

    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        self.saved = x if self.needs[1:] != (False,) else None, y
        return be.xp.multiply(x, y)

    def backward(self, be: Backend, g: Array) -> Any:
        x, y = self.saved
        multiply = be.xp.multiply
        gx = multiply(g, y) if self.needs[0] else None
        gy = multiply(g, x) if self.needs[1] else None
        return (gx, gy) if self.before is None else self.reduced(be, gx, gy)


class Divide(Broadcast):
    fresh = True

    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        z = be.xp.divide(x, y)
        self.saved = y, z
        return z

    def backward(self, be: Backend, g: Array) -> Any:
        y, z = self.saved
        gx = be.xp.divide(g, y)
        gy = be.xp.negative(be.xp.multiply(gx, z)) if self.needs[1] else None
        return self.reduced(be, gx, gy)


class DivideRounded(Broadcast):
    """x / y rounded down (`"floor"`) or towards 0 (`"trunc"`); made of steps, so the slope is 0."""

    def __init__(self, operation: str, mode: str):
        self.operation, self.mode = operation, mode

    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        _refuse_zero(self.operation, be, x, y)
        xp = be.xp
        if self.mode == "floor":
            return be.floor_divide(x, y)
        if whole(x) and whole(y):
            return xp.floor_divide(xp.subtract(x, xp.fmod(x, y)), y)  # nothing is left to round
        return xp.trunc(xp.divide(x, y))

    def backward(self, be: Backend, g: Array) -> Any:
        zero = be.full(g.shape, 0, g.dtype)
        return self.reduced(be, zero, zero)


class Remainder(Broadcast):
    """x − y·q with q = x / y rounded down (`"floor"`) or towards 0 (`"trunc"`)."""

    def __init__(self, operation: str, mode: str):
        self.operation, self.mode = operation, mode

    def forward(self, be: Backend, x: Any, y: Any) -> Array:
        self.shapes(x, y)
        self.saved = x, y
        _refuse_zero(self.operation, be, x, y)
        return be.remainder(x, y) if self.mode == "floor" else be.xp.fmod(x, y)

    def backward(self, be: Backend, g: Array) -> Any:
        gy, xp = None, be.xp
        if self.needs[1]:
            x, y = self.saved
            q = be.floor_divide(x, y) if self.mode == "floor" else xp.trunc(xp.divide(x, y))
            gy = xp.multiply(xp.negative(g), q)
        return self.reduced(be, g, gy)


def _refuse_zero(operation: str, be: Backend, x: Any, y: Any) -> None:
    """Integers have no Inf and NaN to answer a division by zero with."""
    if whole(x) and whole(y) and not (be.xp.all(y) if hasattr(y, "dtype") else y):
        raise ArgumentError(operation, "other must not hold 0 among integers, got a 0")


class Negate(Unary):
    f = "negative"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.negative(g)


class Abs(Unary):
    f = "absolute"

    def through(self, xp: Any, g: Array, x: Array) -> Array:
        return xp.multiply(g, xp.where(xp.isnan(x), 0, xp.sign(x)))


class Lerp(Broadcast):
    def forward(self, be: Backend, x: Array, end: Array, weight: Any) -> Array:
        self.all_shapes(x, end, weight)
        xp = be.xp
        way = xp.subtract(end, x)
        self.saved = way, weight
        # From the nearer end, so that weight 1 gives `end` exactly.
        return xp.where(
            xp.less(xp.abs(weight), 0.5),
            xp.add(x, xp.multiply(way, weight)),
            xp.subtract(end, xp.multiply(way, 1 - weight)),
        )

    def backward(self, be: Backend, g: Array) -> Any:
        way, weight = self.saved
        multiply = be.xp.multiply
        return self.reduced(
            be,
            multiply(g, 1 - weight) if self.needs[0] else None,
            multiply(g, weight) if self.needs[1] else None,
            multiply(g, way) if self.needs[2] else None,
        )


class AddProduct(Broadcast):
    def __init__(self, value: Number):
        self.value = value

    def forward(self, be: Backend, x: Array, first: Array, second: Array) -> Array:
        self.all_shapes(x, first, second)
        self.saved = first, second
        return be.xp.add(x, be.xp.multiply(be.xp.multiply(first, self.value), second))

    def backward(self, be: Backend, g: Array) -> Any:
        first, second = self.saved
        multiply, gv = be.xp.multiply, be.xp.multiply(g, self.value)
        gfirst = multiply(gv, second) if self.needs[1] else None
        return self.reduced(be, g, gfirst, multiply(gv, first) if self.needs[2] else None)


class AddQuotient(Broadcast):
    def __init__(self, value: Number):
        self.value = value

    def forward(self, be: Backend, x: Array, first: Array, second: Array) -> Array:
        self.all_shapes(x, first, second)
        self.saved = first, second
        return be.xp.add(x, be.xp.divide(be.xp.multiply(first, self.value), second))

    def backward(self, be: Backend, g: Array) -> Any:
        first, second = self.saved
        xp, gfirst, gsecond = be.xp, None, None
        if self.needs[1] or self.needs[2]:
            gfirst = xp.multiply(g, xp.divide(self.value, second))
        if self.needs[2]:
            gsecond = xp.negative(xp.multiply(gfirst, xp.divide(first, second)))
        return self.reduced(be, g, gfirst, gsecond)


@method("add", "add_", "__add__", "__radd__", "__iadd__")
def add(x: Tensor | Number, other: Tensor | Number, *, alpha: Number = 1) -> Tensor:
    """x + `alpha` · other, elementwise.

    Shapes: any two that broadcast. Its gradient is passed on to both and summed over broadcast
    axes.

    >>> import gpunet
    >>> gpunet.add(gpunet.tensor([1, 2]), gpunet.tensor([[10], [20]]), alpha=2)
    tensor([[21, 22],
            [41, 42]])
    """
    if alpha != 1:
        op = AddScaled(factor("add", "alpha", alpha, x, other))
        return binary("add", op, x, other, SCALED)
    return binary("add", Add(), x, other, WRAPS)


@method("sub", "sub_", "__sub__", "__isub__")
def sub(x: Tensor | Number, other: Tensor | Number, *, alpha: Number = 1) -> Tensor:
    """x − `alpha` · other, elementwise. Shapes: any two that broadcast."""
    if alpha != 1:
        op = AddScaled(-factor("sub", "alpha", alpha, x, other))
        return binary("sub", op, x, other, SCALED)
    return binary("sub", Subtract(), x, other, WRAPS_NUMBERS)


@method("__rsub__")
def _rsub(other: Tensor, x: Number) -> Tensor:
    return sub(x, other)


@method("mul", "mul_", "__mul__", "__rmul__", "__imul__")
def mul(x: Tensor | Number, other: Tensor | Number) -> Tensor:
    """x · other, elementwise. Shapes: any two that broadcast."""
    return binary("mul", Multiply(), x, other, WRAPS)


@method("div", "div_", "__truediv__", "__itruediv__")
def div(x: Tensor | Number, other: Tensor | Number, *, rounding_mode: str | None = None) -> Tensor:
    """x / other, elementwise; integers divide to float32. Shapes: any two that broadcast.

    Args:
        rounding_mode: `"trunc"` rounds the result towards 0, `"floor"` down; integers then stay
            integers, and the gradient is 0.

    >>> import gpunet
    >>> gpunet.div(gpunet.tensor([-7, 7]), 2, rounding_mode="trunc")
    tensor([-3,  3])
    """
    if rounding_mode is None:
        return binary("div", Divide(), x, other, REAL)
    one_of("div", "rounding_mode", rounding_mode, (None, "trunc", "floor"))
    return binary("div", DivideRounded("div", rounding_mode), x, other, WIDE_NUMBERS)


@method("__rtruediv__")
def _rdiv(other: Tensor, x: Number) -> Tensor:
    return div(x, other)


@method("floor_divide", "floor_divide_", "__floordiv__", "__ifloordiv__")
def floor_divide(x: Tensor | Number, other: Tensor | Number) -> Tensor:
    """x / other rounded down, elementwise, with gradient 0.

    Shapes: any two that broadcast.
    Differs from PyTorch: the result takes part in differentiation, with gradient 0.
    """
    op = DivideRounded("floor_divide", "floor")
    return binary("floor_divide", op, x, other, WIDE_NUMBERS)


@method("__rfloordiv__")
def _rfloordiv(other: Tensor, x: Number) -> Tensor:
    return floor_divide(x, other)


@method("remainder", "remainder_", "__mod__", "__imod__")
def remainder(x: Tensor | Number, other: Tensor | Number) -> Tensor:
    """x − other · ⌊x / other⌋, which has the sign of `other`, as Python's `%`.

    Shapes: any two that broadcast.
    Differs from PyTorch: where x is a number `other` has a gradient, too, there none.

    >>> import gpunet
    >>> gpunet.tensor([-3.0, 3.5]) % 2
    tensor([1. , 1.5], dtype=float32)
    """
    op = Remainder("remainder", "floor")
    return binary("remainder", op, x, other, WIDE_NUMBERS)


@method("__rmod__")
def _rmod(other: Tensor, x: Number) -> Tensor:
    return remainder(x, other)


@method("fmod", "fmod_")
def fmod(x: Tensor | Number, other: Tensor | Number) -> Tensor:
    """x − other · trunc(x / other), which has the sign of x, as C's `fmod`.

    Shapes: any two that broadcast.
    Differs from PyTorch: x may be a number.

    >>> import gpunet
    >>> gpunet.fmod(gpunet.tensor([-3.0, 3.5]), 2)
    tensor([-1. ,  1.5], dtype=float32)
    """
    return binary("fmod", Remainder("fmod", "trunc"), x, other, WIDE_NUMBERS)


@method("neg", "neg_", "__neg__")
def neg(x: Tensor) -> Tensor:
    """−x, elementwise. Shapes: any."""
    not_bool("neg", "x", x)
    return apply(Negate(), x)


@method("positive", "__pos__")
def positive(x: Tensor) -> Tensor:
    """x itself. Shapes: any."""
    not_bool("positive", "x", x)
    return x


@method("abs", "abs_", "__abs__")
def abs(x: Tensor) -> Tensor:
    """Absolute value, elementwise; its gradient at 0 is 0. Shapes: any."""
    not_bool("abs", "x", x)
    return apply(Abs(), x)


@method("lerp", "lerp_")
def lerp(x: Tensor, end: Tensor, weight: Tensor | Number) -> Tensor:
    """x + weight · (end − x), a point of the straight line from x to `end`.

    Shapes: any that broadcast. Dtypes: floating.

    >>> import gpunet
    >>> gpunet.lerp(gpunet.tensor([0.0, 10.0]), gpunet.tensor([4.0, 20.0]), 0.25)
    tensor([ 1. , 12.5], dtype=float32)
    """
    floating("lerp", "x", x)
    floating("lerp", "end", end)
    return together("lerp", Lerp(), {"x": x, "end": end, "weight": weight}, WIDE)


@method("addcmul", "addcmul_")
def addcmul(x: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """x + `value` · tensor1 · tensor2, elementwise. Shapes: any that broadcast."""
    operands = {"x": x, "tensor1": tensor1, "tensor2": tensor2}
    for name, operand in operands.items():
        is_tensor("addcmul", name, operand)
    op = AddProduct(factor("addcmul", "value", value, *operands.values()))
    return together("addcmul", op, operands, WIDE_NUMBERS)


@method("addcdiv", "addcdiv_")
def addcdiv(x: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """x + `value` · tensor1 / tensor2, elementwise.

    Shapes: any that broadcast. Dtypes: floating.
    """
    operands = {"x": x, "tensor1": tensor1, "tensor2": tensor2}
    for name, operand in operands.items():
        is_tensor("addcdiv", name, operand)
    quotient = meeting((tensor1, tensor2))
    if not dtypes.floating(quotient):
        rule = f"tensor1 or tensor2 must be floating, got {quotient}"
        raise DTypeError("addcdiv", rule, describe(**operands))
    op = AddQuotient(factor("addcdiv", "value", value))
    return together("addcdiv", op, operands, WIDE)
