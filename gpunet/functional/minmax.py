"""Largest and smallest elements. NaN counts as larger and as smaller than any number."""

from __future__ import annotations

from typing import Any, NamedTuple

from gpunet.autograd.op import apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError
from gpunet.functional.check import is_tensor
from gpunet.functional.dims import (
    Dim,
    Pick,
    Picked,
    Reduction,
    axes,
    evenly,
    not_empty,
    one_axis,
    over_axes,
)
from gpunet.functional.extrema import Larger, Smaller
from gpunet.functional.promotion import NARROW, binary
from gpunet.functional.shape import reshape


class MinMax(NamedTuple):
    """Smallest and largest elements."""

    min: Tensor
    max: Tensor


class Extremum(Reduction):
    """The largest or smallest element; elements equal to it share its gradient evenly."""

    def __init__(self, name: str, axes: tuple[int, ...], keepdim: bool):
        super().__init__(axes, keepdim)
        self.reduce = name

    def forward(self, be: Backend, x: Array) -> Array:
        reduce = getattr(be.xp, self.reduce)
        y = be.xp.asarray(reduce(x, axis=self.axes, keepdims=self.keepdim))
        self.saved = x, y
        return y

    def among(self, be: Backend, x: Array, y: Array) -> Array:
        """Marks the elements of x that are the extremum."""
        return be.xp.equal(x, y)

    def backward(self, be: Backend, gy: Array) -> Array:
        x, y = self.saved
        return evenly(be, self.kept(gy), self.among(be, x, self.kept(y)), self.axes)


class ExtremumOfAll(Extremum):
    """Over all axes NaN may be the extremum, too, as PyTorch has it."""

    def among(self, be: Backend, x: Array, y: Array) -> Array:
        return be.xp.where(be.xp.isnan(y), be.xp.isnan(x), be.xp.equal(x, y))


class PickExtremum(Pick):
    """The first of the largest or smallest elements along an axis."""

    def __init__(self, name: str, axis: int, keepdim: bool):
        super().__init__(axis, keepdim)
        self.reduce = name

    def forward(self, be: Backend, x: Array) -> tuple[Array, Array]:
        find = getattr(be.xp, "arg" + self.reduce)
        return self.picked(be, x, find(x, axis=self.axis, keepdims=True))


class Position(Reduction):
    """Where the first of the largest or smallest elements is."""

    def __init__(self, name: str, axis: int, keepdim: bool):
        super().__init__((axis,), keepdim)
        self.reduce = name

    def forward(self, be: Backend, x: Array) -> Array:
        find = getattr(be.xp, "arg" + self.reduce)
        return be.xp.asarray(find(x, axis=self.axes[0], keepdims=self.keepdim))


def _extremum(name: str, x: Tensor, dim: Any, keepdim: bool, other: Any) -> Any:
    is_tensor(name, "x", x)
    if isinstance(dim, Tensor):
        dim, other = None, dim
    if other is not None:
        is_tensor(name, "other", other)
        return binary(name, Larger() if name == "max" else Smaller(), x, other, NARROW)
    if dim is not None:
        along = one_axis(name, x, dim)
        not_empty(name, x, (along,))
        return Picked(*apply(PickExtremum(name, along, keepdim), x))
    if keepdim:
        raise ArgumentError(name, "keepdim must come with dim, got keepdim=True alone")
    every = axes(name, x, None)
    not_empty(name, x, every)
    return apply(ExtremumOfAll(name, every, False), x)


@method()
@over_axes
def max(
    x: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    other: Tensor | None = None,
) -> Any:
    """The largest element; with `dim`, those along the axis and their positions.

    NaN counts as largest. Without `dim`, equal elements share the gradient evenly; with it, the
    first of them is picked and gets all of it. `max(x, other)`, with a tensor in the place of
    `dim`, is the larger of two, elementwise, where equal ones get half of the gradient each.
    Shapes: x any; without `dim` the result is (), with it (values, indices), both lacking the axis,
    or having length 1 there with `keepdim`; with `other` any two shapes that broadcast.

    >>> import gpunet
    >>> gpunet.max(gpunet.tensor([[1.0, 5.0], [7.0, 3.0]]), dim=1).indices
    tensor([1, 0])
    """
    return _extremum("max", x, dim, keepdim, other)


@method()
@over_axes
def min(
    x: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    other: Tensor | None = None,
) -> Any:
    """The smallest element; with `dim`, those along the axis and their positions.

    NaN counts as smallest. Without `dim`, equal elements share the gradient evenly; with it, the
    first of them is picked and gets all of it. `min(x, other)`, with a tensor in the place of
    `dim`, is the smaller of two, elementwise, where equal ones get half of the gradient each.
    Shapes: x any; without `dim` the result is (), with it (values, indices), both lacking the axis,
    or having length 1 there with `keepdim`; with `other` any two shapes that broadcast.
    """
    return _extremum("min", x, dim, keepdim, other)


def _over(operation: str, name: str, x: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    along = axes(operation, x, dim)
    not_empty(operation, x, along)
    return apply(Extremum(name, along, keepdim), x)


@method()
@over_axes
def amax(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The largest element over the axes `dim` (all of them if None or ()); NaN counts as largest.

    Equal elements share the gradient evenly.
    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    """
    return _over("amax", "max", x, dim, keepdim)


@method()
@over_axes
def amin(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The smallest element over the axes `dim` (all of them if None or ()); NaN counts as smallest.

    Equal elements share the gradient evenly.
    Shapes: x any; the result lacks the axes `dim`, or has length 1 there with `keepdim`.
    """
    return _over("amin", "min", x, dim, keepdim)


@method()
@over_axes
def aminmax(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> MinMax:
    """(`amin`, `amax`) over the axis `dim`, over all axes if None.

    Shapes: x any; the results lack the axis `dim`, or have length 1 there with `keepdim`.

    >>> import gpunet
    >>> gpunet.aminmax(gpunet.tensor([3, 1, 2])).min
    tensor(1)
    """
    along = None if dim is None else one_axis("aminmax", x, dim)
    smallest, largest = (_over("aminmax", name, x, along, keepdim) for name in ("min", "max"))
    return MinMax(smallest, largest)


def _position(operation: str, name: str, x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    is_tensor(operation, "x", x)
    along = axes(operation, x, None) if dim is None else (one_axis(operation, x, dim),)
    not_empty(operation, x, along)
    if dim is not None:
        return apply(Position(name, along[0], keepdim), x)
    found = apply(Position(name, 0, False), reshape(x, (-1,)))
    return reshape(found, (1,) * x.ndim) if keepdim else found


@method()
@over_axes
def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest element is along the axis `dim`; if None, in x flattened.

    NaN counts as largest; of equal elements it is the first.
    Shapes: x any; the result lacks the axis `dim`, or has length 1 there with `keepdim`.
    Differs from PyTorch: booleans are taken, too.

    >>> import gpunet
    >>> gpunet.argmax(gpunet.tensor([[1.0, 5.0], [7.0, 3.0]]))
    tensor(2)
    """
    return _position("argmax", "max", x, dim, keepdim)


@method()
@over_axes
def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest element is along the axis `dim`; if None, in x flattened.

    NaN counts as smallest; of equal elements it is the first.
    Shapes: x any; the result lacks the axis `dim`, or has length 1 there with `keepdim`.
    Differs from PyTorch: booleans are taken, too.
    """
    return _position("argmin", "min", x, dim, keepdim)
