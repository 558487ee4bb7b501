"""Elements repeated, mirrored and shifted. Results have memory of their own, as in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor, method
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError, DTypeError
from gpunet.functional.check import (
    axis,
    is_tensor,
    once,
    one_device,
    shape_error,
    whole_number,
    whole_numbers,
    wrapped_axis,
)
from gpunet.functional.conversion import clone
from gpunet.functional.gathering import IndexSelect
from gpunet.functional.shape import Size, ravel, reshape, transpose


class Tile(Op):
    takes_bfloat16 = True

    def __init__(self, repeats: tuple[int, ...]):
        self.repeats = repeats

    def forward(self, be: Backend, x: Array) -> Array:
        self.shape = x.shape
        return be.xp.tile(x, self.repeats)

    def backward(self, be: Backend, g: Array) -> Array:
        lengths = (1,) * (len(self.repeats) - len(self.shape)) + self.shape
        pairs = [n for pair in zip(self.repeats, lengths, strict=True) for n in pair]
        return be.sum(g.reshape(pairs), tuple(range(0, len(pairs), 2))).reshape(self.shape)


class Flip(Op):
    takes_bfloat16 = True

    def __init__(self, axes: Sequence[int]):
        self.axes = axes

    def forward(self, be: Backend, x: Array) -> Array:
        return be.copy(self.mirrored(x))

    def backward(self, be: Backend, g: Array) -> Array:
        return self.mirrored(g)

    def mirrored(self, x: Array) -> Array:
        """The same memory read the other way along the axes."""
        key = [slice(None, None, -1 if i in self.axes else 1) for i in range(x.ndim)]
        return x[tuple([*key, ...])]


class Roll(Op):
    """Shifted along axes; None along all elements in C order."""

    takes_bfloat16 = True

    def __init__(self, shifts: Any, axes: Any):
        self.shifts, self.axes = shifts, axes

    def forward(self, be: Backend, x: Array) -> Array:
        return be.xp.roll(x, self.shifts, self.axes)

    def backward(self, be: Backend, g: Array) -> Array:
        return be.xp.roll(g, tuple([-n for n in self.shifts]), self.axes)


# --- repeated


@method()
def tile(x: Tensor, *dims: Size) -> Tensor:
    """x repeated dims[i] times along axis i; fewer `dims` are for the last axes.

    Shapes: x (n, m); with dims (a, b) the result is (a·n, b·m).
    """
    is_tensor("tile", "x", x)
    repeats = whole_numbers("tile", "dims", dims)
    return _tiled("tile", x, (1,) * (x.ndim - len(repeats)) + repeats)


@method("repeat")
def _repeat(x: Tensor, *repeats: Size) -> Tensor:
    """As `tile`, but `repeats` has a number for each axis at least."""
    is_tensor("repeat", "x", x)
    wanted = whole_numbers("repeat", "repeats", repeats)
    if len(wanted) < x.ndim:
        shape_error("repeat", f"repeats must be at least {x.ndim} numbers, got {wanted}", x=x)
    return _tiled("repeat", x, wanted)


def _tiled(operation: str, x: Tensor, repeats: tuple[int, ...]) -> Tensor:
    if min(repeats, default=0) < 0:
        shape_error(operation, f"repeats must not be negative, got {repeats}", x=x)
    return apply(Tile(repeats), x)


@method()
def repeat_interleave(
    x: Tensor,
    repeats: int | Tensor | None = None,
    dim: int | None = None,
    *,
    output_size: int | None = None,
) -> Tensor:
    """Each position along `dim` repeated in place; without `dim`, x is taken as flat.

    Args:
        repeats: how often, one number or one for each position. Without it x itself says how often,
            and the positions are what is repeated.
        output_size: the length of the result; it must be the sum of the repeats.

    Shapes: x (..., n, ...); the result (..., Σ repeats, ...).

    >>> import gpunet
    >>> gpunet.tensor([5, 7]).repeat_interleave(gpunet.tensor([2, 1]))
    tensor([5, 5, 7])
    """
    is_tensor("repeat_interleave", "x", x)
    one_device("repeat_interleave", x, repeats)
    be = x.backend
    if repeats is None:
        if x.ndim != 1:
            shape_error("repeat_interleave", f"x must have one axis, got {x.ndim}", x=x)
        counts = _counts(x, x.numel())
        return Tensor(be.asarray(be.xp.repeat(be.xp.arange(x.numel()), counts), x.dtype), be)
    if dim is None or not x.ndim:
        at = 0 if dim is None else wrapped_axis("repeat_interleave", x, dim)
        x = ravel(x)
    else:
        at = axis("repeat_interleave", x, dim)
    counts = _counts(repeats, x.shape[at])
    index = be.xp.repeat(be.xp.arange(x.shape[at]), counts)
    if output_size not in (None, index.size):
        problem = f"output_size must be the sum of the repeats, {index.size}, got {output_size}"
        raise ArgumentError("repeat_interleave", problem)
    return apply(IndexSelect(at), x, Tensor(index, be))


def _counts(repeats: Any, n: int) -> Any:
    """Repeats of n positions as a number or a list of them (the length of the result is needed)."""
    if isinstance(repeats, Tensor):
        if repeats.array.dtype.kind != "i":
            problem = f"repeats must be int64 or int32, got {repeats.dtype}"
            raise DTypeError("repeat_interleave", problem)
        if repeats.ndim > 1 or repeats.numel() not in (1, n):
            rule = f"repeats must be one number, or {n} in one axis, got shape {repeats.shape}"
            shape_error("repeat_interleave", rule)
        counts = repeats.reshape(-1).tolist()
    else:
        counts = [whole_number("repeat_interleave", "repeats", repeats)]
    if min(counts, default=0) < 0:
        problem = f"repeats must not be negative, got {min(counts)}"
        raise ArgumentError("repeat_interleave", problem)
    return counts[0] if len(counts) == 1 else counts


# --- mirrored and shifted


@method()
def flip(x: Tensor, *dims: Size) -> Tensor:
    """The order of the positions reversed along each of `dims`. Shapes: x any."""
    is_tensor("flip", "x", x)
    axes = [wrapped_axis("flip", x, d) for d in whole_numbers("flip", "dims", dims)]
    once("flip", "dims", axes, x)
    return apply(Flip(axes), x)


@method()
def fliplr(x: Tensor) -> Tensor:
    """The order along the second axis reversed. Shapes: x (n, m, ...)."""
    is_tensor("fliplr", "x", x)
    if x.ndim < 2:
        shape_error("fliplr", f"x must have at least two axes, got {x.ndim}", x=x)
    return apply(Flip([1]), x)


@method()
def flipud(x: Tensor) -> Tensor:
    """The order along the first axis reversed. Shapes: x (n, ...)."""
    is_tensor("flipud", "x", x)
    if not x.ndim:
        shape_error("flipud", "x must have at least one axis, got 0", x=x)
    return apply(Flip([0]), x)


@method()
def roll(x: Tensor, shifts: Size, dims: Size | None = None) -> Tensor:
    """Shifted by `shifts` positions along `dims`; what leaves at one end comes in at the other.

    Without `dims`, all elements are shifted in C order.
    Shapes: x any.
    """
    is_tensor("roll", "x", x)
    by = whole_numbers("roll", "shifts", (shifts,))
    along = () if dims is None else whole_numbers("roll", "dims", (dims,))
    if not by or len(by) != (len(along) or 1):
        rule = "shifts must have as many numbers as dims"
        raise ArgumentError("roll", f"{rule}, got {shifts} and {dims}")
    axes = tuple([axis("roll", x, d) for d in along])
    if axes:
        return apply(Roll(by, axes), x)
    return reshape(apply(Roll(by, (0,)), ravel(x)), x.shape)


@method()
def rot90(x: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned `k` times by 90° in the plane of `dims`, from the first axis towards the second.

    Shapes: x (n, m, ...); for odd k the result is (m, n, ...).
    """
    is_tensor("rot90", "x", x)
    times, plane = whole_number("rot90", "k", k), whole_numbers("rot90", "dims", (dims,))
    if len(plane) != 2 or x.ndim < 2:
        shape_error("rot90", f"dims must be two axes of x, got {plane}", x=x)
    first, second = (axis("rot90", x, d) for d in plane)
    if first == second:
        shape_error("rot90", f"dims must be two axes of x, got {plane}", x=x)
    if times % 4 == 0:
        return clone(x)
    if times % 4 == 2:
        return apply(Flip([first, second]), x)
    return apply(Flip([first if times % 4 == 1 else second]), transpose(x, first, second))
