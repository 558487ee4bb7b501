"""Elements picked by position."""

from __future__ import annotations

from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.errors import ShapeError
from gpunet.functional.check import describe, is_tensor


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


@method("__getitem__")
def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key], with NumPy's rules.

    A key holds integers, slices, None, `...`, and integer and boolean arrays or tensors.
    Shapes: x any; the result as NumPy's.
    """
    is_tensor("getitem", "x", x)
    raw = tuple(_array(k) for k in key) if isinstance(key, tuple) else _array(key)
    try:
        return apply(Index(raw), x)
    except (IndexError, ValueError) as error:  # a ValueError is a step of 0
        raise ShapeError("getitem", f"key must fit the shape: {error}", describe(x=x)) from None


def _array(key: Any) -> Any:
    return key.array if isinstance(key, Tensor) else key
