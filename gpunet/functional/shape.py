"""Other shapes for the same elements. Results are views where the array module makes views."""

from __future__ import annotations

import math

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.functional.check import axis, is_tensor, shape_error


class Reshape(Op):
    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, be: Backend, x: Array) -> Array:
        self.before = x.shape
        return x.reshape(self.shape)

    def backward(self, be: Backend, g: Array) -> Array:
        return g.reshape(self.before)


class Permute(Op):
    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, be: Backend, x: Array) -> Array:
        return x.transpose(self.axes)

    def backward(self, be: Backend, g: Array) -> Array:
        return g.transpose([self.axes.index(i) for i in range(len(self.axes))])


@method()
def reshape(x: Tensor, *shape: int | tuple[int, ...]) -> Tensor:
    """The elements in another shape, in C order; one length may be −1 and is then derived.

    Shapes: x any; the result `shape`, given as separate lengths or one tuple.
    """
    is_tensor("reshape", "x", x)
    wanted: tuple[int, ...] = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape  # type: ignore[assignment]
    known = math.prod(n for n in wanted if n != -1)
    unknown = wanted.count(-1)
    fits = x.numel() == known if not unknown else known > 0 and x.numel() % known == 0
    if not fits or unknown > 1 or min(wanted, default=0) < -1:
        shape_error("reshape", f"shape must hold {x.numel()} elements, got {wanted}", x=x)
    return apply(Reshape(wanted), x)


@method()
def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Joins the axes from `start_dim` to `end_dim` into one.

    Shapes: x (a, b, c, ...); with start_dim=1 the result is (a, b·c·...).
    """
    is_tensor("flatten", "x", x)
    if x.ndim == 0:
        return reshape(x, (1,))
    start, end = axis("flatten", x, start_dim), axis("flatten", x, end_dim)
    if start > end:
        shape_error(
            "flatten", f"start_dim must not be behind end_dim, got {start_dim} and {end_dim}", x=x
        )
    if start == end:
        return x
    joined = math.prod(x.shape[start : end + 1])
    return apply(Reshape((*x.shape[:start], joined, *x.shape[end + 1 :])), x)


@method()
def permute(x: Tensor, *dims: int | tuple[int, ...]) -> Tensor:
    """The axes in another order.

    Shapes: x (n_0, n_1, ...); the result (n_dims[0], n_dims[1], ...).
    """
    is_tensor("permute", "x", x)
    wanted: tuple[int, ...] = dims[0] if len(dims) == 1 and isinstance(dims[0], tuple) else dims  # type: ignore[assignment]
    axes = tuple(axis("permute", x, d) for d in wanted)
    if sorted(axes) != list(range(x.ndim)):
        shape_error("permute", f"dims must name each of {x.ndim} axes once, got {wanted}", x=x)
    return apply(Permute(axes), x)


@method()
def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Axes `dim0` and `dim1` exchanged.

    Shapes: x (..., n, ..., m, ...); the result (..., m, ..., n, ...).
    """
    is_tensor("transpose", "x", x)
    first, second = axis("transpose", x, dim0), axis("transpose", x, dim1)
    axes = list(range(x.ndim))
    axes[first], axes[second] = second, first
    return apply(Permute(tuple(axes)), x)
