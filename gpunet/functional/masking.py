"""Elements picked by a condition."""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.broadcast import unbroadcast
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.check import describe, is_tensor, one_device, shape_error
from gpunet.functional.indexing import getitem
from gpunet.functional.positions import fitting
from gpunet.functional.promotion import promoted
from gpunet.functional.shape import broadcast_to


class Where(Op):
    """z = x where the condition holds, else y."""

    def forward(self, be: Backend, condition: Array, x: Array, y: Array) -> Array:
        self.saved, self.x_shape, self.y_shape = condition, x.shape, y.shape
        return be.xp.where(condition, x, y)

    def backward(self, be: Backend, g: Array) -> Any:
        gx = gy = None
        zero = be.full((), 0, g.dtype)
        if self.needs[1]:
            gx = unbroadcast(be, be.xp.where(self.saved, g, zero), self.x_shape)
        if self.needs[2]:
            gy = unbroadcast(be, be.xp.where(self.saved, zero, g), self.y_shape)
        return None, gx, gy


class MaskedScatter(Op):
    """y = x, but where the mask holds, the elements of the source in their order."""

    def forward(self, be: Backend, x: Array, mask: Array, source: Array) -> Array:
        self.saved, self.source = mask, source.shape
        y = be.copy(x)
        y[mask] = source.reshape(-1)[: int(mask.sum())]
        return y

    def backward(self, be: Backend, gy: Array) -> Any:
        mask, gx, gsource = self.saved, None, None
        if self.needs[0]:
            gx = be.xp.where(mask, be.full((), 0, gy.dtype), gy)
        if self.needs[2]:
            gsource = be.full((math.prod(self.source),), 0, gy.dtype)
            used = gy[mask]
            gsource[: used.size] = used
            gsource = gsource.reshape(self.source)
        return gx, None, gsource


def _boolean(operation: str, name: str, mask: Any) -> None:
    is_tensor(operation, name, mask)
    if mask.array.dtype != bool:
        raise DTypeError(operation, f"{name} must be bool, got {mask.dtype}")


def _common_shape(operation: str, **tensors: Any) -> tuple[int, ...]:
    """The shape in which all tensors meet."""
    shapes = [x.shape for x in tensors.values() if isinstance(x, Tensor)]
    reach = max(map(len, shapes))
    padded = [(1,) * (reach - len(shape)) + shape for shape in shapes]
    common = []
    for lengths in zip(*padded, strict=True):
        others = set(lengths) - {1}
        if len(others) > 1:
            shape_error(operation, f"shapes must broadcast, got {shapes}", **tensors)
        common.append(others.pop() if others else 1)
    return tuple(common)


@method()
def where(condition: Tensor, x: Any = None, y: Any = None) -> Any:
    """x where the condition holds, else y, elementwise; they meet in one dtype.

    With the condition alone: the positions where it is not 0, as `nonzero(condition,
    as_tuple=True)`.
    Shapes: condition, x and y any three that broadcast; x and y may be numbers.

    >>> import gpunet
    >>> x = gpunet.tensor([-1.0, 2.0])
    >>> gpunet.where(gpunet.tensor([False, True]), x, 0)
    tensor([0., 2.], dtype=float32)
    """
    if x is None and y is None:
        is_tensor("where", "condition", condition)
        return nonzero(condition, as_tuple=True)
    _boolean("where", "condition", condition)
    for name, value in (("x", x), ("y", y)):
        if not isinstance(value, (Tensor, bool, int, float)):
            got = type(value).__name__
            raise DTypeError("where", f"{name} must be a gpunet.Tensor or a number, got {got}")
    _common_shape("where", condition=condition, x=x, y=y)
    tensors = [v for v in promoted(x, y) if isinstance(v, Tensor)]
    dtype = tensors[0].dtype if tensors else dtypes.promote((type(x), False), (type(y), False))
    be = condition.backend
    x, y = (
        v if isinstance(v, Tensor) else Tensor(be.cast(be.asarray(v), dtype), be)
        for v in promoted(x, y)
    )
    return apply(Where(), condition, x, y)


@method("masked_fill", "masked_fill_")
def masked_fill(x: Tensor, mask: Tensor, value: Tensor | float) -> Tensor:
    """`value`, one number, where the mask holds, else x.

    Shapes: x and mask any two that broadcast.

    >>> import gpunet
    >>> x = gpunet.tensor([1.0, 2.0])
    >>> x.masked_fill(gpunet.tensor([True, False]), float("-inf"))
    tensor([-inf,   2.], dtype=float32)
    """
    is_tensor("masked_fill", "x", x)
    _boolean("masked_fill", "mask", mask)
    number = fitting("masked_fill", "value", value, x)
    if not isinstance(number, Tensor):
        number = Tensor(number, x.backend)
    _common_shape("masked_fill", x=x, mask=mask)
    return apply(Where(), mask, number, x)


@method()
def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements of x where the mask holds, in C order.

    Shapes: x and mask any two that broadcast; the result (n,).
    """
    is_tensor("masked_select", "x", x)
    _boolean("masked_select", "mask", mask)
    one_device("masked_select", x, mask)
    shape = _common_shape("masked_select", x=x, mask=mask)
    if not shape:
        x, mask, shape = x.reshape(1), mask.reshape(1), (1,)
    return getitem(broadcast_to(x, shape), broadcast_to(mask, shape))


@method("masked_scatter", "masked_scatter_")
def masked_scatter(x: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Where the mask holds, the elements of `source` one after the other, else x.

    Shapes: x and mask any two that broadcast, source of at least as many elements as are needed.
    """
    is_tensor("masked_scatter", "x", x)
    _boolean("masked_scatter", "mask", mask)
    is_tensor("masked_scatter", "source", source)
    if source.dtype != x.dtype:
        problem = f"source must be {x.dtype} as x, got {source.dtype}"
        raise DTypeError("masked_scatter", problem, describe(x=x, source=source))
    shape = _common_shape("masked_scatter", x=x, mask=mask)
    mask = broadcast_to(mask, shape)
    needed = int(mask.array.sum())
    if needed > source.numel():
        problem = f"source must have at least {needed} elements, got {source.numel()}"
        raise ArgumentError("masked_scatter", problem, describe(x=x, mask=mask, source=source))
    return apply(MaskedScatter(), broadcast_to(x, shape), mask, source)


@method()
def nonzero(x: Tensor, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not 0, in C order, as int64.

    With `as_tuple` they come as a tensor for each axis, which together are a key for x.
    Shapes: x any of d axes; the result (n, d), or d tensors (n,).

    >>> import gpunet
    >>> gpunet.nonzero(gpunet.tensor([[0, 5], [7, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    is_tensor("nonzero", "x", x)
    be, array = x.backend, x.array
    found = be.xp.nonzero(array if x.ndim else array.reshape(1))
    if as_tuple:
        return tuple([Tensor(be.asarray(at, "int64"), be) for at in found])
    if not x.ndim:
        return Tensor(be.full((found[0].size, 0), 0, "int64"), be)
    return Tensor(be.asarray(be.xp.stack(found, 1), "int64"), be)


@method()
def argwhere(x: Tensor) -> Tensor:
    """The positions of the elements that are not 0, as `nonzero`.

    Shapes: x any of d axes; the result (n, d).
    """
    is_tensor("argwhere", "x", x)
    return nonzero(x)
