"""What functions along axes share: how axes are given, and results that were picked by position."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from gpunet.autograd.op import Op
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError
from gpunet.functional.check import axis, describe, is_tensor, shape_error
from gpunet.functional.shape import reshape

F = TypeVar("F", bound=Callable[..., Any])
Dim = int | tuple[int, ...] | None
NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}


class Picked(NamedTuple):
    """Elements of a tensor, and where along the axis each was found."""

    values: Tensor
    indices: Tensor


def over_axes(function: F) -> F:
    """Lets a function of axes also take NumPy's names of arguments, and tensors without axes.

    As in PyTorch, `axis` and `keepdims` mean `dim` and `keepdim`, and a tensor without axes counts
    as one of a single axis of length 1, which the results lose again (beside another tensor, as in
    `max(x, other)`, it stays as it is).
    """

    @functools.wraps(function)
    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        for name, ours in NUMPY_NAMES.items():
            if name in kwargs:
                if ours in kwargs:
                    rule = f"{name} must not be given beside {ours}, got {kwargs[name]!r}"
                    raise ArgumentError(function.__name__, rule)
                kwargs[ours] = kwargs.pop(name)
        if not isinstance(x, Tensor) or x.array.ndim:
            return function(x, *args, **kwargs)
        if any(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
            return function(x, *args, **kwargs)
        result = function(reshape(x, (1,)), *args, **kwargs)
        if isinstance(result, Tensor):
            return reshape(result, ())
        results = [reshape(y, ()) for y in result]
        return type(result)(*results) if hasattr(result, "_fields") else tuple(results)

    return call  # type: ignore[return-value]


def one_axis(operation: str, x: Tensor, dim: Any) -> int:
    """`dim` counted from the front; it must be an axis of the tensor x."""
    is_tensor(operation, "x", x)
    try:
        return axis(operation, x, operator.index(dim))
    except TypeError:
        raise ArgumentError(
            operation, f"dim must be an integer, got {dim!r}", describe(x=x)
        ) from None


def axes(operation: str, x: Tensor, dim: Any) -> tuple[int, ...]:
    """The axes that `dim` names, counted from the front; all of them if it is None or ()."""
    is_tensor(operation, "x", x)
    if dim is None or dim == ():
        return tuple(range(x.ndim))
    if not isinstance(dim, (tuple, list)):
        return (one_axis(operation, x, dim),)
    found = tuple([one_axis(operation, x, d) for d in dim])
    if len(set(found)) < len(found):
        shape_error(operation, f"dim must name each axis once, got {dim}", x=x)
    return found


def not_empty(operation: str, x: Tensor, along: tuple[int, ...]) -> None:
    """x must have elements along these axes: of none, there is no largest."""
    for i in along:
        if not x.shape[i]:
            shape_error(operation, f"axis {i} of x must not be empty, got length 0", x=x)


def nans(be: Backend, x: Array, axis: int) -> Array:
    """How many elements along an axis are NaN; the axis keeps length 1."""
    return be.sum(be.xp.not_equal(x, x), (axis,), True)


def evenly(be: Backend, gy: Array, among: Array, over: tuple[int, ...]) -> Array:
    """Each gradient in equal parts to the elements that are marked, of those that it belongs to.

    Shapes: among (any), of bool; gy the same with length 1 at the axes `over`.
    """
    xp = be.xp
    part = xp.divide(gy, be.asarray(be.sum(among, over, True), gy.dtype))
    return xp.multiply(part, be.asarray(among, gy.dtype))


class Reduction(Op):
    """Base of reductions over `axes`, which have length 1 in the result with `keepdim`."""

    def __init__(self, axes: tuple[int, ...], keepdim: bool = False):
        self.axes, self.keepdim = axes, keepdim

    def kept(self, y: Array) -> Array:
        """A result or its gradient with length 1 at the axes, so that it broadcasts against x."""
        if self.keepdim:
            return y
        shape = list(y.shape)
        for i in sorted(self.axes):
            shape.insert(i, 1)
        return y.reshape(shape)

    def dropped(self, be: Backend, y: Array) -> Array:
        """The result, from one with length 1 at the axes. A copy: results may be written into."""
        return y if self.keepdim else be.copy(y.squeeze(self.axes))


class Pick(Reduction):
    """Base of operations that return elements of x along one axis, and their positions there.

    `saved` are the positions, as many an element as `values` had before an axis was dropped. No
    element is picked twice.
    """

    def __init__(self, axis: int, keepdim: bool = True):
        super().__init__((axis,), keepdim)
        self.axis = axis

    def backward(self, be: Backend, gy: Array, _: None) -> Array:
        gx = be.full(self.shape, 0, gy.dtype)
        be.xp.put_along_axis(gx, self.saved, self.kept(gy), self.axis)
        return gx

    shape: tuple[int, ...]

    def picked(self, be: Backend, x: Array, indices: Array) -> tuple[Array, Array]:
        """The results of `forward`: the elements at `indices`, which have an axis of their own."""
        self.shape, self.saved = x.shape, indices
        values = be.take_along(x, indices, self.axis)
        return self.dropped(be, values), self.dropped(be, indices)
