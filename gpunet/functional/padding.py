"""Borders around the last axes."""

from __future__ import annotations

from collections.abc import Sequence

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend
from gpunet.errors import ArgumentError
from gpunet.functional.check import is_tensor, one_of, shape_error, whole_numbers
from gpunet.functional.gathering import IndexSelect
from gpunet.functional.positions import fitting

Pairs = list[tuple[int, int]]


class ConstantPad(Op):
    """`pairs` holds how many elements come before and behind each axis; negative ones go."""

    takes_bfloat16 = True

    def __init__(self, pairs: Pairs, value: Array):
        self.pairs, self.value = pairs, value

    def forward(self, be: Backend, x: Array) -> Array:
        self.shape = x.shape
        both = list(zip(x.shape, self.pairs, strict=True))
        y = be.full(tuple([n + a + b for n, (a, b) in both]), self.value, x.dtype)
        self.outside = (*[slice(max(a, 0), a + n + min(b, 0)) for n, (a, b) in both], ...)
        self.inside = (*[slice(max(-a, 0), n + min(b, 0)) for n, (a, b) in both], ...)
        y[self.outside] = x[self.inside]
        return y

    def backward(self, be: Backend, g: Array) -> Array:
        kept = g[self.outside]
        if kept.shape == self.shape:
            return kept
        gx = be.full(self.shape, 0, g.dtype)
        gx[self.inside] = kept
        return gx


def pad(
    x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Elements added at both ends of the last axes; negative numbers take some away.

    Args:
        pad: two numbers for the last axis, before and behind it, then two for the last but one, ...
        mode: "constant", or what continues x: "reflect" (without repeating the outermost),
            "replicate" (the outermost) or "circular". These take two numbers for x of two or three
            axes, four for three or four, six for four or five.
        value: the constant, 0 if None.

    Shapes: x (..., n); the result (..., pad[0] + n + pad[1]).

    >>> import gpunet
    >>> x = gpunet.arange(3)[None]
    >>> gpunet.functional.pad(x, (2, 1), "reflect")
    tensor([[2, 1, 0, 1, 2, 1]])
    """
    is_tensor("pad", "x", x)
    numbers = whole_numbers("pad", "pad", (pad,))
    one_of("pad", "mode", mode, ("constant", "reflect", "replicate", "circular"))
    if len(numbers) % 2 or len(numbers) > 2 * x.ndim:
        rule = f"pad must be pairs for at most {x.ndim} axes"
        shape_error("pad", f"{rule}, got {len(numbers)} numbers", x=x)
    count = len(numbers) // 2
    pairs = [(0, 0)] * (x.ndim - count)
    pairs += [(numbers[2 * i], numbers[2 * i + 1]) for i in reversed(range(count))]
    if mode == "constant":
        for n, (a, b) in zip(x.shape, pairs, strict=True):
            if n + a + b < 0 or n + min(a, 0) < 0 or n + min(b, 0) < 0:
                shape_error("pad", f"pad must leave a length of at least 0, got {pad}", x=x)
        return apply(ConstantPad(pairs, fitting("pad", "value", value or 0, x)), x)
    if value:
        raise ArgumentError("pad", f"value must be None in mode {mode!r}, got {value}")
    if not 1 <= count <= 3 or x.ndim not in (count + 1, count + 2):
        rule = "pad must have 2 numbers for 2 or 3 axes, 4 for 3 or 4, 6 for 4 or 5"
        shape_error("pad", f"{rule}, got {len(numbers)}", x=x)
    if mode != "circular" and 0 in x.shape[-count - 1 :]:
        shape_error("pad", "x must not be empty but for a first axis of samples", x=x)
    for at, (a, b) in enumerate(pairs):
        if a or b:
            x = _continued(x, at, a, b, mode)
    return x


def _continued(x: Tensor, at: int, before: int, behind: int, mode: str) -> Tensor:
    """x with positions taken from itself at both ends of an axis."""
    n, be = x.shape[at], x.backend
    first, stop = 0, n
    if mode == "circular":  # what goes takes no part in the circle
        first, stop = max(0, -before), n + min(0, behind)
    most = {"reflect": n - 1, "circular": stop - first, "replicate": max(before, behind)}[mode]
    if max(before, behind) > most or n + before + behind < (mode != "circular"):
        rule = f"pad must not take away all of axis {at}, nor be longer than mode {mode!r} allows"
        shape_error("pad", f"{rule}, {most}, got {before} and {behind}", x=x)
    positions = be.xp.arange(-before, n + behind)
    if mode == "reflect":
        positions = n - 1 - be.xp.absolute(n - 1 - be.xp.absolute(positions))
    elif mode == "replicate":
        positions = be.xp.clip(positions, 0, n - 1)
    else:
        positions = first + (positions - first) % max(stop - first, 1)
    return apply(IndexSelect(at), x, Tensor(positions, be))
