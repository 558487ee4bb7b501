"""Other shapes for the same elements. Results are views where the array module makes views.

A view shares its memory: a write into it shows in the tensor that it is a view of, and the other
way round.
"""

from __future__ import annotations

import math
from typing import Any

from gpunet.autograd.broadcast import unbroadcast
from gpunet.autograd.memory import owner
from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend, dtypes
from gpunet.errors import DTypeError
from gpunet.functional.check import (
    axis,
    is_tensor,
    new_axis,
    once,
    shape_error,
    whole_number,
    whole_numbers,
    wrapped_axis,
)

Size = int | tuple[int, ...] | list[int]


class Reshape(Op):
    takes_bfloat16 = True

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, be: Backend, x: Array) -> Array:
        self.before = x.shape
        return x.reshape(self.shape)

    def backward(self, be: Backend, g: Array) -> Array:
        return g.reshape(self.before)


class Permute(Op):
    takes_bfloat16 = True

    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, be: Backend, x: Array) -> Array:
        return x.transpose(self.axes)

    def backward(self, be: Backend, g: Array) -> Array:
        return g.transpose([self.axes.index(i) for i in range(len(self.axes))])


class Expand(Op):
    takes_bfloat16 = True

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, be: Backend, x: Array) -> Array:
        self.before = x.shape
        if math.prod(self.shape) == x.size:  # nothing is repeated: the view may be written to
            return x.reshape(self.shape)
        return be.xp.broadcast_to(x, self.shape)

    def backward(self, be: Backend, g: Array) -> Array:
        return unbroadcast(be, g, self.before)


class Unfold(Op):
    takes_bfloat16 = True

    def __init__(self, axis: int, size: int, step: int):
        self.axis, self.size, self.step = axis, size, step

    def forward(self, be: Backend, x: Array) -> Array:
        self.shape = x.shape
        shape, strides = [*x.shape, self.size], [*x.strides, x.strides[self.axis]]
        shape[self.axis] = (x.shape[self.axis] - self.size) // self.step + 1
        strides[self.axis] *= self.step
        return be.xp.lib.stride_tricks.as_strided(x, shape, strides)

    def backward(self, be: Backend, g: Array) -> Array:
        # Elements of one offset lie in different windows, so each addition meets no element twice.
        gx = be.full(self.shape, 0, dtypes.float32 if dtypes.half(g.dtype) else g.dtype)
        along, windows = gx.swapaxes(self.axis, 0), g.swapaxes(self.axis, 0)
        reach = (windows.shape[0] - 1) * self.step + 1
        for offset in range(self.size):
            along[offset : offset + reach : self.step] += windows[..., offset]
        return be.asarray(gx, g.dtype)


class Diagonal(Op):
    takes_bfloat16 = True

    def __init__(self, offset: int, axis1: int, axis2: int):
        self.offset, self.axis1, self.axis2 = offset, axis1, axis2

    def forward(self, be: Backend, x: Array) -> Array:
        self.shape = x.shape
        return self.line(be, x)

    def backward(self, be: Backend, g: Array) -> Array:
        gx = be.full(self.shape, 0, g.dtype)
        self.line(be, gx)[...] = g
        return gx

    def line(self, be: Backend, x: Array) -> Array:
        """The diagonal as the last axis, writable (which NumPy's `diagonal` is not)."""
        others = [i for i in range(x.ndim) if i not in (self.axis1, self.axis2)]
        x = x.transpose([*others, self.axis1, self.axis2])
        x = x[..., max(0, -self.offset) :, max(0, self.offset) :]
        n = min(x.shape[-2:])
        return be.xp.einsum("...ii->...i", x[..., :n, :n])


# --- the same elements in the same order


@method()
def reshape(x: Tensor, *shape: Size) -> Tensor:
    """The elements in another shape, in C order; one length may be −1 and is then derived.

    Shapes: x any; the result `shape`, given as separate lengths or one tuple or list.
    """
    is_tensor("reshape", "x", x)
    return apply(Reshape(_lengths("reshape", x, x.numel(), shape)), x)


@method("reshape_as")
def _reshape_as(x: Tensor, other: Tensor) -> Tensor:
    """The elements in the shape of `other`, in C order. Shapes: any two of equal size."""
    is_tensor("reshape_as", "x", x)
    is_tensor("reshape_as", "other", other)
    return apply(Reshape(_lengths("reshape_as", x, x.numel(), other.shape)), x)


@method("view")
def _view(x: Tensor, *shape: Size) -> Tensor:
    """As `reshape`, but always a view of the same memory: refused where that needs a copy."""
    is_tensor("view", "x", x)
    y = apply(Reshape(_lengths("view", x, x.numel(), shape)), x)
    if owner(y.array) is not owner(x.array):
        rule = "x must have memory that can be seen in the shape without a copy, use reshape"
        shape_error("view", f"{rule}, got strides {x.array.strides} for {y.shape}", x=x)
    return y


@method("view_as")
def _view_as(x: Tensor, other: Tensor) -> Tensor:
    """`x.view(other.shape)`."""
    is_tensor("view_as", "other", other)
    return _view(x, other.shape)


def _lengths(operation: str, x: Tensor, size: int, shape: Any) -> tuple[int, ...]:
    """`shape` with its −1 derived; it must hold `size` elements."""
    wanted = whole_numbers(operation, "shape", shape)
    if math.prod(wanted) == size and min(wanted, default=0) >= 0:  # the usual case, at once
        return wanted
    known = math.prod([n for n in wanted if n != -1])
    unknown = wanted.count(-1)
    fits = size == known if not unknown else known > 0 and size % known == 0
    if not fits or unknown > 1 or min(wanted, default=0) < -1:
        shape_error(operation, f"shape must hold {size} elements, got {wanted}", x=x)
    return tuple([size // known if n == -1 else n for n in wanted])


@method()
def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Joins the axes from `start_dim` to `end_dim` into one.

    Shapes: x (a, b, c, ...); with start_dim=1 the result is (a, b·c·...).
    """
    is_tensor("flatten", "x", x)
    start, end = wrapped_axis("flatten", x, start_dim), wrapped_axis("flatten", x, end_dim)
    if x.ndim == 0:
        return reshape(x, (1,))
    if start > end:
        shape_error(
            "flatten", f"start_dim must not be behind end_dim, got {start_dim} and {end_dim}", x=x
        )
    if start == end:
        return x
    joined = math.prod(x.shape[start : end + 1])
    return apply(Reshape((*x.shape[:start], joined, *x.shape[end + 1 :])), x)


@method()
def ravel(x: Tensor) -> Tensor:
    """All elements in one axis, in C order. Shapes: any; the result (n,)."""
    is_tensor("ravel", "x", x)
    return apply(Reshape((x.numel(),)), x)


@method()
def unflatten(x: Tensor, dim: int, sizes: tuple[int, ...]) -> Tensor:
    """Cuts the axis `dim` into several of lengths `sizes`, of which one may be −1.

    Shapes: x (..., n, ...); the result (..., *sizes, ...), where the product of sizes is n.
    """
    is_tensor("unflatten", "x", x)
    at = axis("unflatten", x, dim)
    if not isinstance(sizes, (tuple, list)) or not sizes:
        raise DTypeError("unflatten", f"sizes must be a tuple of integers, got {sizes!r}")
    lengths = _lengths("unflatten", x, x.shape[at], (sizes,))
    return apply(Reshape((*x.shape[:at], *lengths, *x.shape[at + 1 :])), x)


@method()
def squeeze(x: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Drops axes of length 1: all of them, or those among `dim` that have that length.

    Shapes: x (1, n, 1, m); the result (n, m).
    """
    is_tensor("squeeze", "x", x)
    if dim is None:
        dropped = tuple(range(x.ndim))
    else:
        dims = whole_numbers("squeeze", "dim", (dim,))
        dropped = tuple([wrapped_axis("squeeze", x, d) for d in dims])
        once("squeeze", "dim", dropped, x)
    kept = [n for i, n in enumerate(x.shape) if n != 1 or i not in dropped]
    return apply(Reshape(tuple(kept)), x)


@method()
def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """Puts in an axis of length 1, which is the axis `dim` of the result.

    Shapes: x (n, m); with dim=1 the result is (n, 1, m).
    """
    is_tensor("unsqueeze", "x", x)
    at = new_axis("unsqueeze", x, dim)
    return apply(Reshape((*x.shape[:at], 1, *x.shape[at:])), x)


# --- another order of the axes


@method()
def permute(x: Tensor, *dims: Size) -> Tensor:
    """The axes in another order, a view.

    Shapes: x (n_0, n_1, ...); the result (n_dims[0], n_dims[1], ...). `dims` are separate or one
    tuple or list.
    """
    is_tensor("permute", "x", x)
    wanted = whole_numbers("permute", "dims", dims)
    axes = tuple([axis("permute", x, d) for d in wanted])
    if sorted(axes) != list(range(x.ndim)):
        shape_error("permute", f"dims must name each of {x.ndim} axes once, got {wanted}", x=x)
    return apply(Permute(axes), x)


@method()
def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Axes `dim0` and `dim1` exchanged, a view.

    Shapes: x (..., n, ..., m, ...); the result (..., m, ..., n, ...).
    """
    is_tensor("transpose", "x", x)
    first, second = wrapped_axis("transpose", x, dim0), wrapped_axis("transpose", x, dim1)
    axes = list(range(x.ndim))
    if axes:
        axes[first], axes[second] = second, first
    return apply(Permute(tuple(axes)), x)


@method()
def swapaxes(x: Tensor, axis0: int, axis1: int) -> Tensor:
    """Axes `axis0` and `axis1` exchanged, as `transpose` under NumPy's name. Shapes: see there."""
    is_tensor("swapaxes", "x", x)
    for at in (axis0, axis1):
        wrapped_axis("swapaxes", x, at)
    return transpose(x, axis0, axis1)


@method()
def movedim(x: Tensor, source: Size, destination: Size) -> Tensor:
    """Moves the axes `source` to `destination`; the others keep their order. A view.

    Shapes: x (a, b, c); with source 0 and destination −1 the result is (b, c, a).
    """
    is_tensor("movedim", "x", x)
    wanted = [
        whole_numbers("movedim", name, (dims,))
        for name, dims in (("source", source), ("destination", destination))
    ]
    if len(wanted[0]) != len(wanted[1]):
        got = f"{source} and {destination}"
        shape_error("movedim", f"source and destination must have equal length, got {got}", x=x)
    before, after = ([wrapped_axis("movedim", x, d) for d in dims] for dims in wanted)
    once("movedim", "source", before, x)
    once("movedim", "destination", after, x)
    axes = [i for i in range(x.ndim) if i not in before]
    for to, start in sorted(zip(after, before, strict=True)):
        if x.ndim:
            axes.insert(to, start)
    return apply(Permute(tuple(axes)), x)


@method()
def t(x: Tensor) -> Tensor:
    """The transposed matrix, a view; fewer axes stay as they are. Shapes: x (n, m), (n,) or ()."""
    is_tensor("t", "x", x)
    if x.ndim > 2:
        shape_error("t", f"x must have at most two axes, got {x.ndim}", x=x)
    return apply(Permute(tuple(reversed(range(x.ndim)))), x)


def _reversed(x: Tensor) -> Tensor:
    """All axes in reverse order, a view."""
    return apply(Permute(tuple(reversed(range(x.ndim)))), x)


def _transposed(x: Tensor) -> Tensor:
    """The last two axes exchanged, a view."""
    if x.ndim < 2:
        shape_error("mT", f"x must have at least two axes, got {x.ndim}", x=x)
    return transpose(x, -1, -2)


for _name, _function in (("T", _reversed), ("mT", _transposed)):
    setattr(Tensor, _name, property(_function))


# --- repeated in place


@method("expand")
def _expand(x: Tensor, *sizes: Size) -> Tensor:
    """Axes of length 1 repeated to `sizes`, a view; see `broadcast_to`."""
    is_tensor("expand", "x", x)
    return apply(Expand(_expanded("expand", x, sizes)), x)


@method("expand_as")
def _expand_as(x: Tensor, other: Tensor) -> Tensor:
    """x expanded to the shape of `other`."""
    is_tensor("expand_as", "x", x)
    is_tensor("expand_as", "other", other)
    return apply(Expand(_expanded("expand_as", x, other.shape)), x)


@method()
def broadcast_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Axes of length 1, and new ones in front, repeated to `shape`: a view that takes no memory.

    Its elements share memory, so it is not written to. In `shape`, −1 stands for the length that
    there is.
    Shapes: x (n, 1); with shape=(k, n, m) the result is (k, n, m).
    """
    is_tensor("broadcast_to", "x", x)
    return apply(Expand(_expanded("broadcast_to", x, (shape,))), x)


def _expanded(operation: str, x: Tensor, sizes: Any) -> tuple[int, ...]:
    wanted = whole_numbers(operation, "shape", sizes)
    added = len(wanted) - x.ndim
    shape = [n if kept == -1 else kept for kept, n in zip(wanted[added:], x.shape, strict=False)]
    fits = added >= 0 and min(wanted[:added], default=0) >= 0
    for n, length in zip(shape, x.shape, strict=False):
        fits = fits and (n == length or (length == 1 and n >= 0))
    if not fits:
        shape_error(operation, f"x must broadcast to the shape, got {wanted}", x=x)
    return (*wanted[:added], *shape)


# --- parts


@method()
def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`length` positions along `dim`, from `start` on (negative: from the end). A view.

    Shapes: x (..., n, ...); the result (..., length, ...).
    """
    is_tensor("narrow", "x", x)
    at = axis("narrow", x, dim)
    first, count = whole_numbers("narrow", "start and length", (start, length))
    n = x.shape[at]
    begin = first + n if first < 0 else first
    if not (0 <= begin <= begin + count <= n):
        got = f"{first} and {count}"
        shape_error("narrow", f"start and length must lie within the {n} positions, got {got}", x=x)
    return x[(slice(None),) * at + (slice(begin, begin + count),)]


@method("unfold")
def _unfold(x: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of `size` positions along `dimension`, `step` apart, a view.

    Shapes: x (..., n, ...); the result (..., (n − size) // step + 1, ..., size).

    >>> import gpunet
    >>> gpunet.arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    is_tensor("unfold", "x", x)
    at = wrapped_axis("unfold", x, dimension)
    size, step = whole_number("unfold", "size", size), whole_number("unfold", "step", step)
    n = x.shape[at] if x.ndim else 1
    if not 0 <= size <= n or step < 1:
        rule = f"size must be in [0, {n}] and step at least 1"
        shape_error("unfold", f"{rule}, got {size} and {step}", x=x)
    if not x.ndim:
        return reshape(x, (1,))[:size]
    return apply(Unfold(at, size, step), x)


@method()
def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The elements whose position along `dim2` is that along `dim1` plus `offset`, a view.

    Shapes: x (..., n, ..., m, ...); the result (..., k) without the two axes, k positions long.

    >>> import gpunet
    >>> gpunet.arange(6).reshape(2, 3).diagonal(offset=1)
    tensor([1, 5])
    """
    is_tensor("diagonal", "x", x)
    first, second = axis("diagonal", x, dim1), axis("diagonal", x, dim2)
    if first == second:
        shape_error("diagonal", f"dim1 and dim2 must differ, got {dim1} and {dim2}", x=x)
    return apply(Diagonal(whole_number("diagonal", "offset", offset), first, second), x)
