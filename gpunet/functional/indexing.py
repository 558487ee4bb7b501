"""Elements picked by position."""

from __future__ import annotations

from typing import Any

from gpunet.autograd.broadcast import unbroadcast
from gpunet.autograd.memory import written
from gpunet.autograd.mode import mode
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.errors import GpunetError, ShapeError
from gpunet.functional.check import describe, is_tensor
from gpunet.functional.promotion import cast


class Index(Op):
    def __init__(self, key: Any):
        self.key = key

    def forward(self, be: Backend, x: Array) -> Array:
        self.shape = x.shape
        return be.xp.asarray(x[self.key])

    def backward(self, be: Backend, g: Array) -> Array:
        gx = be.full(self.shape, 0, g.dtype)
        be.xp.add.at(gx, self.key, g)  # a position picked twice gets both gradients
        return gx


class SetIndex(Op):
    """A copy of x with `value` at the key; each gets the gradient of its own elements."""

    def __init__(self, key: Any):
        self.key = key

    def forward(self, be: Backend, x: Array, value: Any) -> Array:
        self.shape = getattr(value, "shape", ())
        y = be.copy(x)
        y[self.key] = value
        return y

    def backward(self, be: Backend, gy: Array) -> Any:
        gx = gvalue = None
        if self.needs[1]:
            gvalue = unbroadcast(be, be.xp.asarray(gy[self.key]), self.shape)
        if self.needs[0]:
            gx = be.copy(gy)
            gx[self.key] = 0
        return gx, gvalue


@method("__getitem__")
def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key], with NumPy's rules.

    A key holds integers, slices, None, `...`, and integer and boolean arrays or tensors.
    Shapes: x any; the result as NumPy's.
    """
    is_tensor("getitem", "x", x)
    raw = _raw(key)
    try:
        return apply(Index(raw), x)
    except (IndexError, ValueError) as error:  # a ValueError is a step of 0
        raise ShapeError("getitem", f"key must fit the shape: {error}", describe(x=x)) from None


@method("__setitem__")
def _setitem(x: Tensor, key: Any, value: Tensor | float) -> None:
    """x[key] = value, in place, with NumPy's rules; see `Tensor.assign` for what is refused."""
    if isinstance(value, Tensor):
        value = cast(value, x.dtype)
    try:
        if mode.recording and (x.requires_grad or getattr(value, "requires_grad", False)):
            x.assign("setitem", apply(SetIndex(_raw(key)), x, value))
        else:
            x.array[_raw(key)] = _array(value)
            written((x.array,))
    except (IndexError, ValueError) as error:
        if isinstance(error, GpunetError):
            raise
        raise ShapeError("setitem", f"key and value must fit: {error}", describe(x=x)) from None


def _raw(key: Any) -> Any:
    """The key with raw arrays in place of tensors, and lists of them as arrays."""
    return tuple(_array(k) for k in key) if isinstance(key, tuple) else _array(key)


def _array(key: Any) -> Any:
    return key.array if isinstance(key, Tensor) else key
